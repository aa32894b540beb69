/*
 * Pages that become zeroes again: quire_clear(), what munmap() and MADV_DONTNEED are to anonymous memory. And
 * pages that are to be read anew, because somebody else has changed the store: quire_refresh().
 *
 *      in memory, not pinned:  taken (LEAVING, not STORED) ---- out of the policy ---- hole punched: ABSENT
 *      absent, in the store:   not STORED any more ---- the store is told that it may forget it
 *
 * Nothing is evicted while a batch is taken out of the policy (`round`). A page that is touched while it is
 * cleared holds zeroes, or what was written to it since: as with Linux.
 *
 * Locking: round, then order for each batch; none while we wait for a page, which may wait for eviction.
 */
#include "pager.h"
#include "snapshot.h"

#define NAP_NS 10000000u

struct clearing {
    struct region *region;
    bool refresh;                          /* only what is clean goes, and nothing is forgotten */
    uint64_t discard_first, discard_count; /* pages of the store to be forgotten */
    uint32_t count;
    struct place batch[BATCH_PAGES];
};

static void discard_now(struct clearing *clearing)
{
    struct region *region = clearing->region;
    struct store_request request = {.op = STORE_DISCARD, .first = region->first + clearing->discard_first};

    /* A store without `transfer` keeps them: nobody reads them any more. */
    while (region->mapping.store->type->transfer && clearing->discard_count > 0) {
        request.count = clearing->discard_count > UINT32_MAX ? UINT32_MAX : (uint32_t)clearing->discard_count;
        if (region->mapping.store->type->transfer(region->mapping.store, &request) != ST_OK)
            break;
        request.first += request.count;
        clearing->discard_count -= request.count;
    }
    clearing->discard_count = 0;
}

static void note_stored(struct clearing *clearing, uint64_t page)
{
    if (clearing->discard_count > 0 && page != clearing->discard_first + clearing->discard_count)
        discard_now(clearing);
    if (clearing->discard_count == 0)
        clearing->discard_first = page;
    clearing->discard_count++;
}

static void flush_batch(struct clearing *clearing)
{
    struct quire_pager *pager = clearing->region->pager;

    if (clearing->count == 0)
        return;
    pthread_mutex_lock(&pager->order);
    order_drain_all(pager);
    for (uint32_t i = 0; i < clearing->count; i++)
        order_remove(clearing->batch[i]);
    pthread_mutex_unlock(&pager->order);
    places_leave(clearing->batch, clearing->count);
    clearing->count = 0;
}

static bool is_leavable(uint32_t word)
{
    return (page_state(word) == PAGE_CLEAN || page_state(word) == PAGE_DIRTY) && !(word & PAGE_FLIGHT);
}

/* Nothing is to be done about the page. */
static bool is_to_stay(const struct clearing *clearing, uint32_t word)
{
    if (!clearing->refresh)
        return page_state(word) == PAGE_ABSENT && !(word & PAGE_STORED);
    return page_state(word) == PAGE_ABSENT || page_state(word) == PAGE_DIRTY || page_pins(word) > 0;
}

static enum status clear_page(struct clearing *clearing, uint64_t page, uint64_t until)
{
    page_word *word = &clearing->region->words[page];
    uint32_t seen = page_look(word);

    for (;;) {
        uint32_t next = clearing->refresh ? seen : seen & ~(uint32_t)PAGE_STORED;

        if (is_to_stay(clearing, seen))
            return ST_OK;
        if (page_pins(seen) > 0)
            return ST_LIMIT;
        if (page_state(seen) == PAGE_ABSENT || is_leavable(seen)) {
            if (is_leavable(seen))
                next =
                    (next & ~(uint32_t)(PAGE_STATE | PAGE_CLOSED | PAGE_SHUT | PAGE_REOPENED)) | PAGE_LEAVING;
            if (!page_change(word, &seen, next))
                continue;
            if ((seen & ~next) & PAGE_STORED)
                note_stored(clearing, page);
            if (page_state(next) == PAGE_LEAVING)
                clearing->batch[clearing->count++] = (struct place){clearing->region, page};
            return ST_OK;
        }
        if (clearing->count > 0) {
            flush_batch(clearing); /* never waiting while it has pages that others wait for */
        } else {
            if (now_ns() > until)
                return ST_IO_ERROR;
            pthread_mutex_unlock(&clearing->region->pager->round);
            if ((seen & PAGE_WAITED) || page_change(word, &seen, seen | PAGE_WAITED))
                futex_wait(word, seen | PAGE_WAITED, NAP_NS);
            pthread_mutex_lock(&clearing->region->pager->round);
        }
        seen = page_look(word);
    }
}

static enum status clear_pages(struct region *region, uint64_t first, uint64_t end, bool refresh)
{
    struct clearing clearing = {.region = region, .refresh = refresh};
    uint64_t until = now_ns() + region->pager->deadline_ns;
    enum status status = ST_OK;

    for (uint64_t page = first; page < end && status == ST_OK; page++) {
        status = clear_page(&clearing, page, until);
        if (clearing.count == BATCH_PAGES)
            flush_batch(&clearing);
    }
    flush_batch(&clearing);
    discard_now(&clearing);
    return status;
}

/* With signals as they are. */
static enum status clear_range(struct range range, bool refresh)
{
    struct region *region = range.region;
    enum status status;
    sigset_t saved;

    if (region_has_snapshots(region))
        return ST_UNSUPPORTED;
    signals_block(&saved);
    pthread_mutex_lock(&region->pager->round);
    status = clear_pages(region, range.first, range.end, refresh);
    pthread_mutex_unlock(&region->pager->round);
    signals_restore(&saved);
    return status;
}

enum status quire_clear(void *address, size_t length)
{
    struct range range;
    enum status status = region_range(address, length, &range);

    if (status != ST_OK)
        return status;
    if (!(range.region->mapping.flags & QUIRE_FRESH) || !is_aligned((uintptr_t)address | length, PAGE_SIZE))
        return ST_INVALID;
    return clear_range(range, false);
}

enum status quire_refresh(void *address, size_t length)
{
    struct range range;
    enum status status = region_range(address, length, &range);

    return status == ST_OK ? clear_range(range, true) : status;
}
