/*
 * Reference bits. Linux lets no program read the bits of its own page table, but it says which pages are
 * mapped; and a page of the memfd that is not mapped is mapped again by the kernel, without any signal, when
 * it is touched. So a window of 2 MiB is looked at (PAGEMAP_SCAN: what is mapped has been touched), then
 * unmapped as a whole (MADV_DONTNEED: one flush of the TLBs); the pages stay in the memfd.
 *
 *      scan ---- touched: mapped again by the kernel, ~1.4 us ---- scan: it is mapped, so it was used
 *
 * The copy that brings a page in maps it too. PAGE_FRESH tells that from a use: the first scan after that
 * only unmaps it. (So a second use before that scan is not seen: the price of windows.) Write-protection
 * lasts: Linux keeps it in the empty entry.
 *
 * A page is cheap to evict when it is not mapped: no TLB needs to be told. So evict.c scans the window of a
 * victim that is still FRESH, and all the others of the window profit.
 *
 * Locking: pager->order.
 */
#include "pager.h"

#include <sys/mman.h>

static unsigned window_pages(const struct region *region, uint64_t window)
{
    uint64_t left = region->pages - window * WINDOW_PAGES;

    return left < WINDOW_PAGES ? (unsigned)left : WINDOW_PAGES;
}

bool window_is_stale(const struct region *region, uint64_t window)
{
    const struct window *at = &region->windows[window];

    return region->memory >= 0 &&
           atomic_load_explicit(&((struct window *)at)->resident, memory_order_relaxed) > 0 &&
           region->member->pool->clock - at->scanned >= region->member->pool->scan_interval;
}

/* A page that is mapped: used, or new. True: used. */
static bool was_used(page_word *word)
{
    uint32_t seen = page_look(word);

    while (seen & PAGE_FRESH)
        if (page_change(word, &seen, seen & ~(uint32_t)PAGE_FRESH))
            return false;
    return page_is_settled(seen);
}

static uint64_t note_used(struct region *region, uint64_t first, uint64_t bits, bool tells)
{
    uint64_t used = 0;

    for (; bits; bits &= bits - 1) {
        struct place place = {region, first + (unsigned)__builtin_ctzll(bits)};

        if (!was_used(place_word(place)))
            continue;
        pool_referenced(region->member->pool, place, tells);
        used++;
    }
    return used;
}

void window_scan(struct region *region, uint64_t window, bool tells)
{
    struct quire_pager *pager = region->pager;
    uint8_t *start = region->start + window * WINDOW_PAGES * PAGE_SIZE;
    unsigned pages = window_pages(region, window);
    uint64_t mapped[WINDOW_PAGES / 64], any = 0, used = 0;

    region->windows[window].scanned = region->member->pool->clock;
    if (!pagemap_mapped(pager->pagemap, start, pages, mapped))
        return;
    for (unsigned i = 0; i < WINDOW_PAGES / 64; i++) {
        any |= mapped[i];
        used += note_used(region, window * WINDOW_PAGES + i * 64, mapped[i], tells);
    }
    if (any)
        madvise(start, pages * PAGE_SIZE, MADV_DONTNEED);
    count_add(pager, COUNT_SCANS, 1);
    count_add(pager, COUNT_REFERENCED, used);
}
