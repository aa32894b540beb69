/*
 * The resident pages as a binary heap: the one that is to go first on top. The policy says which of two pages
 * goes before the other; its function is compiled into the loops.
 *
 * Invariants: page[0 … count) are different pages, place[] names their entries; none goes before the one
 * above it.
 */
#ifndef QUIRE_POLICY_HEAP_H
#define QUIRE_POLICY_HEAP_H

#include "policy_internal.h"

struct policy_heap {
    uint32_t *page;
    uint32_t *place; /* by page */
    uint32_t count;
};

typedef bool heap_before_fn(const struct policy *policy, uint32_t page, uint32_t other);

static inline size_t heap_bytes(const struct policy_config *config)
{
    return ((size_t)config->most_frames + config->pages) * sizeof(uint32_t) + 2 * sizeof(uint64_t);
}

static inline void heap_init(struct policy_heap *heap, uint8_t **memory, const struct policy_config *config)
{
    heap->page = policy_carve(memory, config->most_frames * sizeof(uint32_t));
    heap->place = policy_carve(memory, config->pages * sizeof(uint32_t));
    heap->count = 0;
}

static inline void heap_put(struct policy_heap *heap, uint32_t place, uint32_t page)
{
    heap->page[place] = page;
    heap->place[page] = place;
}

/* The page belongs at `place` or above. */
__attribute__((always_inline)) static inline void heap_rise(struct policy_heap *heap,
                                                            const struct policy *policy, uint32_t place,
                                                            uint32_t page, heap_before_fn *before)
{
    while (place > 0) {
        uint32_t above = (place - 1) / 2;

        if (!before(policy, page, heap->page[above]))
            break;
        heap_put(heap, place, heap->page[above]);
        place = above;
    }
    heap_put(heap, place, page);
}

/* The page belongs at `place` or below. */
__attribute__((always_inline)) static inline void heap_sink(struct policy_heap *heap,
                                                            const struct policy *policy, uint32_t place,
                                                            uint32_t page, heap_before_fn *before)
{
    for (;;) {
        uint64_t below = 2 * (uint64_t)place + 1;

        if (below >= heap->count)
            break;
        if (below + 1 < heap->count && before(policy, heap->page[below + 1], heap->page[below]))
            below++;
        if (!before(policy, heap->page[below], page))
            break;
        heap_put(heap, place, heap->page[below]);
        place = (uint32_t)below;
    }
    heap_put(heap, place, page);
}

/* The page's order has changed, either way. */
__attribute__((always_inline)) static inline void
heap_update(struct policy_heap *heap, const struct policy *policy, uint32_t page, heap_before_fn *before)
{
    uint32_t place = heap->place[page];

    if (place > 0 && before(policy, page, heap->page[(place - 1) / 2]))
        heap_rise(heap, policy, place, page, before);
    else
        heap_sink(heap, policy, place, page, before);
}

__attribute__((always_inline)) static inline void
heap_insert(struct policy_heap *heap, const struct policy *policy, uint32_t page, heap_before_fn *before)
{
    heap_rise(heap, policy, heap->count++, page, before);
}

__attribute__((always_inline)) static inline void
heap_remove(struct policy_heap *heap, const struct policy *policy, uint32_t page, heap_before_fn *before)
{
    uint32_t place = heap->place[page], last = heap->page[--heap->count];

    if (last == page)
        return;
    heap_put(heap, place, last);
    heap_update(heap, policy, last, before);
}

/* Takes out the first page that may go; POLICY_NO_PAGE when there is none. With pinned pages on top all are
 * looked at. */
__attribute__((always_inline)) static inline uint32_t
heap_take(struct policy_heap *heap, const struct policy *policy, heap_before_fn *before)
{
    uint32_t first = POLICY_NO_PAGE;

    for (uint32_t place = 0; place < heap->count && (place == 0 || first != heap->page[0]); place++) {
        uint32_t page = heap->page[place];

        if (!policy_is_pinned(policy, page) && (first == POLICY_NO_PAGE || before(policy, page, first)))
            first = page;
    }
    if (first != POLICY_NO_PAGE)
        heap_remove(heap, policy, first, before);
    return first;
}

__attribute__((always_inline)) static inline const char *
heap_check(const struct policy_heap *heap, const struct policy *policy, heap_before_fn *before)
{
    if (heap->count != policy->resident)
        return "the heap does not hold as many pages as are resident";
    for (uint32_t place = 0; place < heap->count; place++) {
        uint32_t page = heap->page[place];

        if (page >= policy->pages || !policy_is_resident(policy, page) || heap->place[page] != place)
            return "a page of the heap is not resident or does not know its place";
        if (place > 0 && before(policy, page, heap->page[(place - 1) / 2]))
            return "a page of the heap goes before the one above it";
    }
    return NULL;
}

#endif
