/*
 * Write-protecting what a window has open, with one call and one flush of the TLBs: a flush interrupts every
 * processor that the program runs on, and costs ten times what the rest of a page's write-back does. So when
 * a page of a window of anonymous memory is to be written, its neighbours that are open are shut with it:
 * DIRTY, CLOSED and SHUT. Their turn needs no protection then; who writes to one before that opens it, at the
 * cost of a fault.
 *
 *      closer:  shutting odd ---- looks at every page: DIRTY, without pins ---- taken (OPENING)
 *                                                      on its way (COMING, OPENING) ---- gives up
 *               write-protects the range, shutting even, gives back what it took
 *      opener:  page taken (COMING, OPENING) ---- waits while shutting is odd ---- opens it ---- DIRTY
 *
 * Either the closer sees the page on its way, or the opener sees that the window is being shut: both write
 * first and look then. So no page is open by its word and write-protected in fact.
 *
 * SHUT differs from CLOSED alone, which a page may be before it is write-protected (snapshot.c).
 */
#include "pager.h"

#define NAP_NS 20000u

void window_wait_shut(struct place place)
{
    _Atomic uint32_t *turn = &place.region->windows[place.page / WINDOW_PAGES].shutting;
    uint32_t seen;

    if (place.region->memory >= 0)
        return;
    /* Not a load: what the closer looks at afterwards must be what we wrote before. */
    while ((seen = atomic_fetch_add(turn, 0)) % 2 != 0)
        futex_wait(turn, seen, NAP_NS); /* as long as one call; nobody wakes us */
}

/* The window's pages, and those among them that are ours: bits. */
struct shutting {
    struct region *region;
    uint64_t first, end;
    uint64_t ours[WINDOW_PAGES / 64], taken[WINDOW_PAGES / 64];
    uint64_t from, to; /* what must be protected; from > to: nothing */
};

static bool bit_is_set(const uint64_t *bits, uint64_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

static void set_bit(uint64_t *bits, uint64_t i)
{
    bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static void widen(struct shutting *shutting, uint64_t page)
{
    if (page < shutting->from)
        shutting->from = page;
    if (page + 1 > shutting->to)
        shutting->to = page + 1;
}

/* False: it is open, or about to be, and not to be had. */
static bool look_at(struct shutting *shutting, uint64_t page)
{
    page_word *word = &shutting->region->words[page];
    uint32_t seen = page_look(word);

    if (bit_is_set(shutting->ours, page - shutting->first)) {
        if (!(seen & PAGE_SHUT))
            widen(shutting, page);
        return page_state(seen) == PAGE_OPENING; /* else it is pinned */
    }
    for (;;) {
        enum page_state state = page_state(seen);

        if (state == PAGE_COMING || state == PAGE_OPENING)
            return false;
        if (!page_is_open(seen))
            return true;
        if (page_pins(seen) > 0)
            return false;
        if (page_change(word, &seen, (seen & ~(uint32_t)PAGE_STATE) | PAGE_OPENING)) {
            set_bit(shutting->taken, page - shutting->first);
            widen(shutting, page);
            return true;
        }
    }
}

static void give_back(struct shutting *shutting, bool shut)
{
    for (unsigned i = 0; i < WINDOW_PAGES / 64; i++)
        for (uint64_t bits = shutting->taken[i]; bits; bits &= bits - 1) {
            uint64_t page = shutting->first + i * 64 + (unsigned)__builtin_ctzll(bits);

            page_settle(&shutting->region->words[page], PAGE_DIRTY, shut ? PAGE_CLOSED | PAGE_SHUT : 0, 0);
        }
}

/* With `shutting` odd, and ours. */
static bool protect_window(struct shutting *shutting)
{
    for (uint64_t page = shutting->first; page < shutting->end; page++)
        if (!look_at(shutting, page))
            return false;
    if (shutting->from >= shutting->to)
        return true;
    return pages_protect((struct place){shutting->region, shutting->from},
                         (uint32_t)(shutting->to - shutting->from), false) == ST_OK;
}

void places_shut(const struct place *places, uint32_t count)
{
    struct region *region = places->region;
    uint64_t window = places->page / WINDOW_PAGES, end = (window + 1) * WINDOW_PAGES;
    struct shutting shutting = {.region = region,
                                .first = window * WINDOW_PAGES,
                                .end = end < region->pages ? end : region->pages,
                                .from = UINT64_MAX};
    _Atomic uint32_t *turn = &region->windows[window].shutting;
    uint32_t even = atomic_load(turn);
    bool shut;

    for (uint32_t i = 0; i < count; i++)
        set_bit(shutting.ours, places[i].page - shutting.first);
    if (even % 2 != 0 || !atomic_compare_exchange_strong(turn, &even, even + 1))
        return; /* somebody else is at it; ours are protected one by one */
    shut = protect_window(&shutting);
    atomic_fetch_add(turn, 1);
    give_back(&shutting, shut);
    for (uint32_t i = 0; i < count && shut; i++)
        atomic_fetch_or(place_word(places[i]), PAGE_SHUT);
}
