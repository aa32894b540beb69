/*
 * A naive ring of places, for the clocks: POLICY_NO_PAGE where nobody is. A page that comes takes the place
 * that was left last, or a new one at the end.
 */
#ifndef TESTS_POLICY_REFERENCE_RING_H
#define TESTS_POLICY_REFERENCE_RING_H

#include "../naive.h"

struct naive_ring {
    struct naive_list places, left; /* pages; numbers of places that were left, the last at the end */
};

static inline size_t naive_ring_put(struct naive_ring *ring, uint32_t page)
{
    size_t place = ring->places.count;

    if (ring->left.count > 0)
        place = naive_take(&ring->left, ring->left.count - 1);
    else
        naive_push_back(&ring->places, page);
    ring->places.items[place] = page;
    return place;
}

static inline void naive_ring_leave(struct naive_ring *ring, size_t place)
{
    ring->places.items[place] = POLICY_NO_PAGE;
    naive_push_back(&ring->left, (uint32_t)place);
}

static inline void naive_ring_remove(struct naive_ring *ring, uint32_t page)
{
    size_t place = naive_search(&ring->places, page);

    if (place != NAIVE_NOT_FOUND)
        naive_ring_leave(ring, place);
}

static inline void naive_ring_free(struct naive_ring *ring)
{
    naive_list_free(&ring->places);
    naive_list_free(&ring->left);
}

#endif
