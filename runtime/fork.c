/*
 * Regions in a child of fork(). A region is not inherited (MADV_DONTFORK): it is shared memory, and the
 * child's faults would be nobody's. Who wants them there stands still while the child takes a copy:
 *
 *      quire_fork_begin()     nothing is evicted, nor written to any region: the door of snapshot.h is
 *          |                  closed, and what is open is write-protected
 *      fork() ------------.
 *          |              quire_fork_child()    a pager and regions of its own, at the same addresses, empty
 *          |              quire_inherit()       what the parent has in memory is read from its memfd, the
 *          |              |                     rest from its store, and written to the child's own
 *          |   <--tells---'
 *      quire_fork_end()
 *
 * The parent's threads may go on reading meanwhile; who writes waits. The child has one thread, and all of
 * the parent's structures as they were: a page on its way in is not there.
 *
 * Locking: begin takes every region's door, then round, regions_lock (by way of regions_hold) and order; end
 * gives them back. In the child they stay as they are, with the old pager.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bare.h"
#include "pager.h"
#include "snapshot.h"

#define RETRY_NS 1000000u

static bool prepared;
static struct region *parents[MOST_REGIONS]; /* in the child: the regions of the parent */
static _Alignas(PAGE_SIZE) uint8_t buffer[SLOT_PAGES * PAGE_SIZE];

static void freeze(struct region *region, void *context)
{
    enum status *status = context;

    if (*status != ST_OK || region->live) /* who is in a write section may have to go through a view's door */
        return;
    *status = region_freeze(region);
    region->frozen = *status == ST_OK;
}

static void thaw(struct region *region, void *context)
{
    if (region->frozen)
        region_thaw(region);
    region->frozen = false;
}

bool fork_is_prepared(void)
{
    return prepared;
}

bool quire_fork_prepare(unsigned handlers)
{
    prepared = true;
    return bare_prepare(handlers + 2 + AHEAD_THREADS);
}

enum status quire_fork_begin(struct quire_pager *pager)
{
    uint64_t until = now_ns() + pager->deadline_ns;
    enum status status;

    if (pager->way == QUIRE_WAY_ANONYMOUS) /* no child could read it */
        return ST_UNSUPPORTED;
    for (;;) {
        status = ST_OK;
        regions_for_each(pager, freeze, &status);
        if (status == ST_OK)
            break;
        regions_for_each(pager, thaw, NULL);
        if (status != ST_RETRY || now_ns() > until)
            return status == ST_RETRY ? ST_IO_ERROR : status;
        futex_wait(&pager->nobody, 0, RETRY_NS); /* somebody else is at a door */
    }
    pthread_mutex_lock(&pager->round);
    regions_hold(true);
    pthread_mutex_lock(&pager->order);
    return ST_OK;
}

void quire_fork_end(struct quire_pager *pager)
{
    pthread_mutex_unlock(&pager->order);
    regions_hold(false);
    pthread_mutex_unlock(&pager->round);
    regions_for_each(pager, thaw, NULL);
}

/* ------------------------------------------------------------------ in the child */

/* Members have their parents' numbers. */
static enum status map_again(struct quire_pager *pager, const struct region *parent,
                             struct store *(*reopen)(const struct quire_mapping *mapping, void *context),
                             void *context, struct quire_error *error)
{
    struct quire_mapping mapping = parent->mapping;
    void *address;

    mapping.address = parent->start;
    mapping.member = &pager->members[parent->member->number];
    if (!parent->plain && !(mapping.store = reopen(&parent->mapping, context))) {
        error_say(error, "fork: no store for the child");
        return ST_UNSUPPORTED;
    }
    return quire_map(pager, &mapping, &address, error);
}

enum status quire_fork_child(struct quire_pager *pager, const struct quire_options *options,
                             struct store *(*reopen)(const struct quire_mapping *mapping, void *context),
                             void *context, struct quire_pager **own, struct quire_error *error)
{
    enum status status;

    regions_abandon(parents);
    live_abandon(pager);
    close(pager->uffd);
    close(pager->pagemap);
    status = regions_keep_addresses(parents, true) ? pager_open(options, own, error) : ST_NO_SPACE;
    if (status == ST_OK)
        status = members_copy(*own, pager, error);
    for (uint32_t i = 0; i < MOST_REGIONS && status == ST_OK; i++)
        if (parents[i] && parents[i]->pager == pager && !parents[i]->live)
            status = map_again(*own, parents[i], reopen, context, error);
    return regions_keep_addresses(parents, false) ? status : ST_NO_SPACE;
}

static const struct region *parent_of(const struct region *region)
{
    for (uint32_t i = 0; i < MOST_REGIONS; i++)
        if (parents[i] && parents[i]->start == region->start)
            return parents[i];
    return NULL;
}

static enum status read_memfd(const struct region *region, uint64_t page, uint32_t count)
{
    return pread(region->memory, buffer, count * PAGE_SIZE, (off_t)(page * PAGE_SIZE)) ==
                   (ssize_t)(count * PAGE_SIZE)
               ? ST_OK
               : ST_IO_ERROR;
}

enum source { FROM_NOWHERE, FROM_MEMORY, FROM_STORE };

static enum source source_of(const struct region *parent, uint64_t page)
{
    uint32_t word = page_look(&parent->words[page]);

    if (page_is_settled(word) || page_state(word) == PAGE_OPENING)
        return FROM_MEMORY;
    return word & PAGE_STORED ? FROM_STORE : FROM_NOWHERE;
}

/* How many from `page` on, before `end`, are to be had from the same: what fits into the buffer. */
static uint32_t source_run(const struct region *parent, uint64_t page, uint64_t end, enum source source)
{
    uint32_t run = 1;

    while (run < SLOT_PAGES && page + run < end && source_of(parent, page + run) == source)
        run++;
    return run;
}

static enum status read_parent(const struct region *parent, uint64_t page, uint32_t count, enum source source)
{
    if (source == FROM_MEMORY)
        return read_memfd(parent, page, count);
    if (!parent->mapping.store->type->transfer) /* its threads are the parent's */
        return ST_UNSUPPORTED;
    return io_transfer(parent->mapping.store, STORE_READ, parent->first + page, count, buffer,
                       parent->pager->deadline_ns);
}

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE_SIZE - 1) == 0;
}

/* From the buffer's page `at` on; they are the region's from `page` on. */
static enum status write_run(struct region *region, uint64_t page, uint32_t at, uint32_t count)
{
    enum status status = io_transfer(region->mapping.store, STORE_WRITE, region->first + page, count,
                                     buffer + at * PAGE_SIZE, region->pager->deadline_ns);

    for (uint32_t i = 0; i < count && status == ST_OK; i++)
        page_settle(&region->words[page + i], PAGE_ABSENT, PAGE_STORED, 0);
    return status;
}

/* The buffer's pages, but for zeroes where zeroes are anyhow. */
static enum status write_buffer(struct region *region, uint64_t page, uint32_t count)
{
    bool zeroes_at_first = !region->mapping.base;
    enum status status = ST_OK;

    for (uint32_t at = 0, run; at < count && status == ST_OK; at += run + 1) {
        for (run = 0; at + run < count; run++)
            if (zeroes_at_first && is_zero(buffer + (at + run) * PAGE_SIZE))
                break;
        if (run > 0)
            status = write_run(region, page + at, at, run);
    }
    return status;
}

static enum status inherit(struct region *region, const struct region *parent, uint64_t page, uint64_t end)
{
    enum status status = ST_OK;
    uint32_t run;

    for (; page < end && status == ST_OK; page += run) {
        enum source source = source_of(parent, page);

        run = source_run(parent, page, end, source);
        if (source == FROM_NOWHERE)
            continue;
        status = read_parent(parent, page, run, source);
        if (status == ST_OK)
            status = write_buffer(region, page, run);
    }
    return status;
}

enum status quire_inherit(void *address, size_t length)
{
    struct range range;
    const struct region *parent;

    if (region_range(address, length, &range) != ST_OK || !(parent = parent_of(range.region)))
        return ST_NOT_MAPPED;
    return range.region->plain ? ST_OK : inherit(range.region, parent, range.first, range.end);
}

static void forget_parents(void)
{
    for (uint32_t i = 0; i < MOST_REGIONS; i++)
        if (parents[i]) {
            close(parents[i]->memory);
            munmap(parents[i]->words, parents[i]->pages * sizeof(page_word));
            munmap(parents[i]->windows, region_windows(parents[i]) * sizeof(struct window));
            parents[i] = NULL;
        }
}

enum status quire_inherited(struct quire_pager *pager, unsigned handlers)
{
    forget_parents();
    bare_reset();
    pager->is_child = true;
    return pager_start(pager, handlers);
}
