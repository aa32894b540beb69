/*
 * Pages in a ring of places over which hands move: what the clocks keep their pages in. A place is an index
 * below `used`; the page that comes takes the place of the one that went.
 *
 *      ring   | 7 | 3 | . | 4 | 1 |        a free place holds RING_FREE and the number of the next free one
 *
 * A page that comes when no victim has just gone (the ring grows, or a page was removed) takes the place
 * freed last, which may be anywhere in the ring.
 *
 * Invariants: a resident page has one place, place[page] names it (kept only if pages are removed); the chain
 * from `free` holds every other place below `used`.
 */
#ifndef QUIRE_POLICY_RING_H
#define QUIRE_POLICY_RING_H

#include "policy_internal.h"

#define RING_FREE ((uint32_t)1 << 31) /* pages' numbers are below */
#define RING_NO_PLACE (RING_FREE - 1)

struct policy_ring {
    uint32_t *page;  /* by place */
    uint32_t *place; /* by page; NULL when nothing is removed */
    uint32_t used;   /* places ever taken, at most most_frames */
    uint32_t free;   /* the first free place, or RING_NO_PLACE */
};

static inline size_t ring_bytes(const struct policy_config *config)
{
    size_t words = (size_t)config->most_frames + (config->removes ? config->pages : 0);

    return words * sizeof(uint32_t) + 2 * sizeof(uint64_t);
}

static inline void ring_init(struct policy_ring *ring, uint8_t **memory, const struct policy_config *config)
{
    ring->page = policy_carve(memory, config->most_frames * sizeof(uint32_t));
    ring->place = config->removes ? policy_carve(memory, config->pages * sizeof(uint32_t)) : NULL;
    ring->free = RING_NO_PLACE;
    ring->used = 0;
}

/* Returns the place that the page got. */
static inline uint32_t ring_put(struct policy_ring *ring, uint32_t page)
{
    uint32_t place = ring->free;

    if (place != RING_NO_PLACE)
        ring->free = ring->page[place] & ~RING_FREE;
    else
        place = ring->used++;
    ring->page[place] = page;
    if (ring->place)
        ring->place[page] = place;
    return place;
}

static inline void ring_free(struct policy_ring *ring, uint32_t place)
{
    ring->page[place] = RING_FREE | ring->free;
    ring->free = place;
}

static inline uint32_t ring_next(const struct policy_ring *ring, uint32_t place)
{
    return place + 1 >= ring->used ? 0 : place + 1;
}

static inline bool ring_is_free(const struct policy_ring *ring, uint32_t place)
{
    return (ring->page[place] & RING_FREE) != 0;
}

/* NULL, or what is wrong. */
static inline const char *ring_check(const struct policy_ring *ring, const struct policy *policy)
{
    uint32_t pages = 0, free = 0;

    if (ring->used > policy->most_frames)
        return "the ring is longer than memory";
    for (uint32_t place = 0; place < ring->used; place++) {
        uint32_t page = ring->page[place];

        if (page & RING_FREE)
            continue;
        pages++;
        if (page >= policy->pages || !policy_is_resident(policy, page))
            return "a place holds a page that is not resident";
        if (ring->place && ring->place[page] != place)
            return "a page does not know its place";
    }
    for (uint32_t place = ring->free; place != RING_NO_PLACE; place = ring->page[place] & ~RING_FREE)
        if (place >= ring->used || !(ring->page[place] & RING_FREE) || ++free > ring->used)
            return "the chain of free places is broken";
    return pages != policy->resident || pages + free != ring->used ? "a resident page has no place" : NULL;
}

#endif
