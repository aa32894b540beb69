/*
 * The word of a page: what is going on with it. All of the runtime's synchronisation about one page's
 * contents is in changes of this word, so it is the page's lock as well; nobody sleeps or reads or writes a
 * store while he holds anything else.
 *
 *                 touched                     read
 *      ABSENT ---------------> COMING -----------------> CLEAN ----+
 *        ^ ^                     | |       written         | ^     | written (write-protect fault)
 *        | |   read failed       | +--------------+        | |     v
 *        | +---------------------+                |        | |   OPENING
 *        |                                        v        | |     |
 *        |                                      DIRTY <----|-|-----+<-------+
 *        |                       chosen, or sync  |        | |              | written while it is being
 *        |                                        v        | | (sync)       | written: nothing is lost
 *        |                                     WRITING ----|-+--------------+
 *        |  hole punched                          |        | chosen
 *        +------------------- LEAVING <-----------+--------+
 *
 * CLEAN and WRITING pages are write-protected, DIRTY ones are when they are CLOSED: because a write failed,
 * for a snapshot, or with a neighbour. COMING, OPENING and LEAVING belong to one thread, whom others wait
 * for.
 *
 * Invariants: a page's frame is in the memfd in every state but ABSENT, COMING and (about to go) LEAVING. A
 * page under FLIGHT has one write under way, and no second one begins. A page with pins is not taken by
 * eviction, nor write-protected.
 */
#ifndef QUIRE_RUNTIME_PAGE_H
#define QUIRE_RUNTIME_PAGE_H

#include <stdatomic.h>

#include "quire/types.h"

enum page_state {
    PAGE_ABSENT,
    PAGE_COMING,
    PAGE_CLEAN,
    PAGE_DIRTY,
    PAGE_WRITING,
    PAGE_OPENING,
    PAGE_LEAVING
};

enum {
    PAGE_STATE = 7,
    PAGE_WAITED = 8,  /* somebody sleeps on the word */
    PAGE_FRESH = 16,  /* it has been mapped since it came: what a scan sees is no reference yet */
    PAGE_STORED = 32, /* the region's store has contents of it */
    PAGE_FLIGHT = 64, /* a write to the store is under way */
    PAGE_CLOSED =
        128, /* DIRTY, and write-protected all the same: who writes to it opens it first (snapshot.h) */
    PAGE_SHUT =
        256, /* CLOSED, and write-protected for certain: needs no call before it is written (shut.c) */
    PAGE_REOPENED = 512, /* it was SHUT with its neighbours, and written to soon: it is so no more */
    PAGE_USED = 1024,    /* of anonymous memory: pinned since its policy looked at it last */
    PAGE_PIN = 1 << 16,
    PAGE_MOST_PINS = 0xffff
};

typedef _Atomic uint32_t page_word;

static inline enum page_state page_state(uint32_t word)
{
    return (enum page_state)(word & PAGE_STATE);
}

static inline uint32_t page_pins(uint32_t word)
{
    return word >> 16;
}

/* In memory, and nobody's in particular. */
static inline bool page_is_settled(uint32_t word)
{
    enum page_state state = page_state(word);

    return state == PAGE_CLEAN || state == PAGE_DIRTY || state == PAGE_WRITING;
}

/* May be written to without a fault. */
static inline bool page_is_open(uint32_t word)
{
    return page_state(word) == PAGE_DIRTY && !(word & PAGE_CLOSED);
}

/* The word as it was becomes that; false: it has changed meanwhile, and *seen is what it is now. */
static inline bool page_change(page_word *word, uint32_t *seen, uint32_t wanted)
{
    return atomic_compare_exchange_weak_explicit(word, seen, wanted, memory_order_acq_rel,
                                                 memory_order_acquire);
}

static inline uint32_t page_look(const page_word *word)
{
    return atomic_load_explicit((page_word *)word, memory_order_acquire);
}

/* Whoever owns the state (COMING, OPENING, LEAVING) ends that; flags are added and taken away; sleepers wake.
 */
void page_settle(page_word *word, enum page_state state, uint32_t set, uint32_t clear);

#endif
