/*
 * A fault, served by the thread that makes it: a page of a region is not there, or is written to and not
 * open. The handler (signal.c) has it brought in, or opened, here, and the access is made again.
 *
 *      look at the word -- absent --> COMING: frame, slot, read, copy into place --> CLEAN or DIRTY
 *                       \- clean, and a write --> OPENING: write-protection off ---> DIRTY
 *                       \- another thread is at it: wait, look again
 *                       \- nothing to do: another thread was quicker
 *
 * A page that comes for a read is write-protected, so the first write to it is seen. It appears (appear.c)
 * with all of its contents: no other thread ever sees a part of them.
 *
 * Only async-signal-safe calls are made here, nothing is allocated and no lock is taken: the interrupted code
 * may be anything, malloc() included. All signals are blocked while the handler runs.
 *
 * Read-ahead is asked for by the thread's streams (stream.c): what is next in memory comes with the page,
 * what is further away is brought in by the threads that read (ahead.c).
 */
#include "pager.h"
#include "snapshot.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NAP_NS 100000000u
#define AHEAD_PATIENCE_NS 2000000u

static const _Alignas(4096) uint8_t zeroes[SLOT_PAGES * PAGE_SIZE];

uint32_t pages_claim(struct place place, uint32_t from, uint32_t wanted, bool stored, enum reserve reserve)
{
    struct quire_member *member = place.region->member;
    uint32_t frames = wanted > from ? frames_try_take(member, wanted - from, reserve) : 0, count = from;

    for (; count < from + frames && place.page + count < place.region->pages; count++) {
        page_word *word = &place.region->words[place.page + count];
        uint32_t seen = page_look(word);

        if (page_state(seen) != PAGE_ABSENT || region_page_is_stored(place.region, seen) != stored ||
            !page_change(word, &seen, (seen & ~(uint32_t)PAGE_STATE) | PAGE_COMING))
            break;
    }
    frames_give(member, frames - (count - from));
    return count;
}

void pages_give_up(struct place place, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < count; i++)
        page_settle(&place.region->words[place.page + i], PAGE_ABSENT, 0, 0);
    frames_give(place.region->member, count - from);
}

void pages_came(struct place place, uint32_t count, uint32_t open, uint32_t touched)
{
    struct quire_pager *pager = place.region->pager;

    for (uint32_t i = 0; i < count; i++) {
        struct place one = {place.region, place.page + i};

        atomic_fetch_add_explicit(&place.region->windows[one.page / WINDOW_PAGES].resident, 1,
                                  memory_order_relaxed);
        arrivals_push(pager, one, i < touched);
        page_settle(place_word(one), i < open ? PAGE_DIRTY : PAGE_CLEAN, PAGE_FRESH, 0);
    }
}

static void have_come(struct place place, uint32_t count, uint32_t open)
{
    struct quire_pager *pager = place.region->pager;

    pages_came(place, count, open, 1);
    count_add(pager, COUNT_FAULTS, 1);
    if (count > 1)
        count_add(pager, COUNT_READ_AHEAD, count - 1);
}

/* The kernel takes no range that lies in two mappings, as mprotect() makes them: then the first page alone.
 */
static enum status copy_run(struct place place, const uint8_t *contents, uint32_t *count, bool open)
{
    enum status status = pages_show(place, contents, *count, open);

    if (status == ST_DIFFERENT && *count > 1) {
        *count = 1;
        status = pages_show(place, contents, 1, open);
    }
    return status;
}

enum status pages_put(struct place place, const uint8_t *contents, uint32_t *count, uint32_t open)
{
    uint32_t wanted = *count, first = open > 0 ? open : wanted, rest;
    enum status status;

    if (open > 0) {
        page_wait_shut(place);
        page_wait_shut((struct place){place.region, place.page + open - 1}); /* in two parts, no more */
    }
    status = copy_run(place, contents, &first, open > 0);
    *count = status == ST_OK ? first : 1;
    if (status == ST_OK && first == open && wanted > open) {
        rest = wanted - open;
        if (copy_run((struct place){place.region, place.page + open}, contents + open * PAGE_SIZE, &rest,
                     false) == ST_OK)
            *count += rest;
    }
    pages_give_up(place, *count, wanted);
    return status;
}

enum status region_read(struct place place, bool stored, uint8_t *memory, uint32_t count)
{
    struct region *region = place.region;
    struct store *store = stored ? region->mapping.store : region->mapping.base;
    uint64_t first = stored ? region->first : region->base_first;

    if (store)
        return io_transfer(store, STORE_READ, first + place.page, count, memory, region->pager->deadline_ns);
    memset(memory, 0, count * PAGE_SIZE);
    return ST_OK;
}

enum status pages_read(struct place place, bool stored, uint8_t *memory, uint32_t count)
{
    uint64_t began = time_begin();
    enum status status = !stored && place.region->live ? view_read(place, memory, count)
                                                       : region_read(place, stored, memory, count);

    time_end(place.region->pager, COUNT_READ_NS, began);
    return status;
}

/* Up to `wanted`, the first included, which is the caller's already. Many a little later are better than one
 * at once. */
static uint32_t claim_more(struct place place, bool stored, uint32_t wanted)
{
    return wanted > 1 && frames_wait(place.region->member, RESERVE_HALF, now_ns() + AHEAD_PATIENCE_NS)
               ? pages_claim(place, 1, wanted, stored, RESERVE_HALF)
               : 1;
}

/* With the first page COMING and a frame for it. */
static enum status bring_from_store(struct place place, bool stored, bool write)
{
    struct quire_pager *pager = place.region->pager;
    uint32_t count;
    unsigned slot;
    enum status status = slot_take(pager, &slot);

    if (status != ST_OK)
        return status;
    count = claim_more(place, stored, stream_fault(place, STREAM_BRINGS));
    status = pages_read(place, stored, pager->slots[slot].memory, count);
    if (status != ST_OK && status != ST_INTERRUPTED &&
        count > 1) { /* the one that is asked for may be readable */
        pages_give_up(place, 1, count);
        count = 1;
        status = pages_read(place, stored, pager->slots[slot].memory, count);
    }
    if (status == ST_OK) /* only the first was asked for */
        status = pages_put(place, pager->slots[slot].memory, &count, write ? 1 : 0);
    else
        pages_give_up(place, 1, count);
    if (status != ST_INTERRUPTED) /* else the store may still write into it: it is lost */
        slot_give(pager, slot);
    if (status == ST_OK)
        have_come(place, count, write ? 1 : 0);
    return status;
}

/* Who writes zeroed memory in order goes on to do so: the pages ahead are open too, unless a view would have
 * to be given its own of them first. */
static enum status bring_zeroes(struct place place, bool write)
{
    uint32_t count = claim_more(place, false, stream_fault(place, STREAM_ZEROES));
    uint32_t open = !write ? 0 : region_has_views(place.region) ? 1 : count;
    enum status status = pages_put(place, zeroes, &count, open);

    if (status == ST_OK) {
        have_come(place, count, open);
        count_add(place.region->pager, COUNT_ZERO_FAULTS, 1);
    }
    return status;
}

/* The page is COMING, and ours. */
static enum status bring_page(struct place place, uint32_t word, bool write)
{
    struct region *region = place.region;
    bool stored = region_page_is_stored(region, word);
    enum status status = frame_take(region->member);

    if (status != ST_OK) {
        page_settle(place_word(place), PAGE_ABSENT, 0, 0);
        return status;
    }
    status = stored || region->mapping.base || region->live ? bring_from_store(place, stored, write)
                                                            : bring_zeroes(place, write);
    if (status != ST_OK) {
        count_add(region->pager, COUNT_READ_ERRORS, 1);
        page_settle(place_word(place), PAGE_ABSENT, 0, 0);
        frames_give(region->member, 1);
    } else {
        record_reference(place, write);
    }
    return status;
}

static enum status bring_in(struct place place, uint32_t word, bool write)
{
    uint64_t began;
    enum status status;

    time_sometimes();
    began = time_begin();
    status = bring_page(place, word, write);
    time_end(place.region->pager, COUNT_FAULT_NS, began);
    time_always();
    return status;
}

/* The page is OPENING, and ours. */
static enum status open_page(struct place place, uint32_t word)
{
    struct quire_pager *pager = place.region->pager;
    enum status status;

    page_wait_shut(place);
    status = pages_protect(place, 1, true);
    page_settle(place_word(place), status == ST_OK ? PAGE_DIRTY : page_state(word),
                status == ST_OK && (word & PAGE_SHUT) ? PAGE_REOPENED : 0,
                status == ST_OK ? PAGE_CLOSED | PAGE_SHUT : 0);
    count_add(pager, COUNT_WRITE_FAULTS, 1);
    record_reference(place, true);
    return status;
}

enum status page_wait(struct place place, uint32_t seen, uint64_t *until)
{
    struct quire_pager *pager = place.region->pager;

    if (*until == 0) {
        *until = now_ns() + pager->deadline_ns;
        count_add(pager, COUNT_WAITS, 1);
        if (page_state(seen) == PAGE_COMING)
            (void)stream_fault(place, STREAM_WAITS);
    } else if (now_ns() > *until) {
        return ST_IO_ERROR;
    }
    if ((seen & PAGE_WAITED) || page_change(place_word(place), &seen, seen | PAGE_WAITED))
        futex_wait(place_word(place), seen | PAGE_WAITED, NAP_NS);
    return ST_OK;
}

static enum status bring(struct place place, bool write)
{
    enum status status = ST_OK;
    uint64_t until = 0;

    while (status == ST_OK) {
        uint32_t seen = page_look(place_word(place)), kept = seen & ~(uint32_t)PAGE_STATE;

        if (page_state(seen) == PAGE_ABSENT) {
            if (page_change(place_word(place), &seen, kept | PAGE_COMING))
                return bring_in(place, seen, write);
        } else if (!page_is_settled(seen)) {
            status = page_wait(place, seen, &until);
        } else if (!write || page_is_open(seen)) {
            return ST_OK;
        } else if (page_change(place_word(place), &seen, kept | PAGE_OPENING)) {
            return open_page(place, seen);
        }
    }
    return status;
}

enum status page_bring(struct place place, bool write)
{
    enum status status;

    if (!write)
        return bring(place, false);
    status = region_write_enter(place.region);
    if (status != ST_OK)
        return status;
    status = views_keep(place);
    if (status == ST_OK)
        status = bring(place, true);
    region_write_leave(place.region);
    return status;
}
