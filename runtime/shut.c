/*
 * Write-protecting what a part of 16 MiB has open, with one call and one flush of the TLBs: a flush
 * interrupts every processor that the program runs on, and costs ten times what the rest of a page's
 * write-back does. So when a page of anonymous memory is to be written, its neighbours that are open are shut
 * with it: DIRTY, CLOSED and SHUT. Their turn needs no protection then; who writes to one before that opens
 * it, at the cost of a fault. A page that was opened again so (REOPENED) is written often: it is left open
 * until its own turn, and what is protected ends before it.
 *
 *      closer:  shutting odd ---- looks at every page: DIRTY, without pins ---- taken (OPENING)
 *                                                      on its way (COMING, OPENING) ---- a piece ends
 *               write-protects pieces with pages to be written, gives back what it took, shutting even
 *      opener:  page taken (COMING, OPENING) ---- waits while shutting is odd ---- opens it ---- DIRTY
 *
 * Either the closer sees the page on its way, or the opener sees that the part is being shut: both write
 * first and look then. So no page is open by its word and write-protected in fact.
 *
 * SHUT differs from CLOSED alone, which a page may be before it is write-protected (snapshot.c).
 */
#include "pager.h"

#define NAP_NS 20000u

static _Atomic uint32_t *turn_of(struct place place)
{
    return &place.region->windows[place.page / SHUT_PAGES * (SHUT_PAGES / WINDOW_PAGES)].shutting;
}

void page_wait_shut(struct place place)
{
    _Atomic uint32_t *turn = turn_of(place);
    uint32_t seen;

    if (place.region->memory >= 0)
        return;
    /* Not a load: what the closer looks at afterwards must be what we wrote before. */
    while ((seen = atomic_fetch_add(turn, 0)) % 2 != 0)
        futex_wait(turn, seen, NAP_NS); /* as long as one call; nobody wakes us */
}

/* The part's pages, and those among them that are ours: bits. */
struct shutting {
    struct region *region;
    uint64_t first, end;
    uint64_t ours[SHUT_PAGES / 64], taken[SHUT_PAGES / 64];
    /* A piece without pages that must not be protected; from > to: nothing in it is open. */
    uint64_t from, to;
    bool wanted; /* one of ours is in it that is not SHUT */
};

static bool bit_is_set(const uint64_t *bits, uint64_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

static void set_bit(uint64_t *bits, uint64_t i)
{
    bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static void piece_start(struct shutting *shutting)
{
    shutting->from = UINT64_MAX;
    shutting->to = 0;
    shutting->wanted = false;
}

static void piece_add(struct shutting *shutting, uint64_t page)
{
    if (page < shutting->from)
        shutting->from = page;
    shutting->to = page + 1;
}

static void piece_end(struct shutting *shutting)
{
    bool shut = shutting->wanted && pages_protect((struct place){shutting->region, shutting->from},
                                                  (uint32_t)(shutting->to - shutting->from), false) == ST_OK;

    for (uint64_t page = shutting->from; page < shutting->to; page++) {
        page_word *word = &shutting->region->words[page];

        if (bit_is_set(shutting->taken, page - shutting->first))
            page_settle(word, PAGE_DIRTY, shut ? PAGE_CLOSED | PAGE_SHUT : 0, 0);
        else if (shut && bit_is_set(shutting->ours, page - shutting->first))
            atomic_fetch_or(word, PAGE_SHUT);
    }
    piece_start(shutting);
}

static bool look_at_ours(struct shutting *shutting, uint64_t page)
{
    uint32_t seen = page_look(&shutting->region->words[page]);

    if (page_state(seen) != PAGE_OPENING)
        return false; /* it is pinned */
    if (!(seen & PAGE_SHUT)) {
        shutting->wanted = true;
        piece_add(shutting, page);
    }
    return true;
}

/* False: it is open, or about to be, and not to be had. */
static bool look_at(struct shutting *shutting, uint64_t page)
{
    page_word *word = &shutting->region->words[page];
    uint32_t seen = page_look(word);

    for (;;) {
        enum page_state state = page_state(seen);

        if (state == PAGE_COMING || state == PAGE_OPENING)
            return false;
        if (!page_is_open(seen))
            return true;
        if (page_pins(seen) > 0 || (seen & PAGE_REOPENED))
            return false;
        if (page_change(word, &seen, (seen & ~(uint32_t)PAGE_STATE) | PAGE_OPENING)) {
            set_bit(shutting->taken, page - shutting->first);
            piece_add(shutting, page);
            return true;
        }
    }
}

/* With the part's `shutting` odd, and ours. */
static void shut_part(struct shutting *shutting)
{
    piece_start(shutting);
    for (uint64_t page = shutting->first; page < shutting->end; page++) {
        bool ours = bit_is_set(shutting->ours, page - shutting->first);

        if (!(ours ? look_at_ours(shutting, page) : look_at(shutting, page)))
            piece_end(shutting);
    }
    piece_end(shutting);
}

void places_shut(const struct place *places, uint32_t count)
{
    struct region *region = places->region;
    uint64_t first = places->page / SHUT_PAGES * SHUT_PAGES, end = first + SHUT_PAGES;
    struct shutting shutting = {
        .region = region, .first = first, .end = end < region->pages ? end : region->pages};
    _Atomic uint32_t *turn = turn_of(*places);
    uint32_t even = atomic_load(turn);

    for (uint32_t i = 0; i < count; i++)
        set_bit(shutting.ours, places[i].page - shutting.first);
    if (even % 2 != 0 || !atomic_compare_exchange_strong(turn, &even, even + 1))
        return; /* somebody else is at it; ours are protected one by one */
    shut_part(&shutting);
    atomic_fetch_add(turn, 1);
}
