/*
 * A queue of pages in an array that goes round: what fifo and second chance (and others) keep their pages in.
 *
 * A page that is taken out of the middle leaves a hole, which is skipped when the head reaches it. When the
 * array is full of pages and holes the pages move up; it has room for half as many holes as pages, so that
 * this happens once in that many removals.
 *
 * Invariants: `length` places from `head` on hold pages or HOLE; place[page] (kept only if pages are removed)
 * names a page's place.
 */
#ifndef QUIRE_POLICY_QUEUE_H
#define QUIRE_POLICY_QUEUE_H

#include "policy_internal.h"

struct policy_queue {
    uint32_t *ring;
    uint32_t *place; /* by page; NULL when nothing is taken out of the middle */
    uint32_t size, head, length;
};

#define QUEUE_HOLE POLICY_NO_PAGE

/* For at most `most` pages. */
static inline uint32_t queue_size(uint32_t most, bool removes)
{
    return most + (removes ? most / 2 + 1 : 0);
}

static inline size_t queue_bytes(uint32_t most, uint32_t pages, bool removes)
{
    size_t words = (size_t)queue_size(most, removes) + (removes ? pages : 0);

    return words * sizeof(uint32_t) + 2 * sizeof(uint64_t);
}

static inline void queue_init(struct policy_queue *queue, uint8_t **memory, uint32_t most, uint32_t pages,
                              bool removes)
{
    queue->size = queue_size(most, removes);
    queue->ring = policy_carve(memory, queue->size * sizeof(uint32_t));
    queue->place = removes ? policy_carve(memory, pages * sizeof(uint32_t)) : NULL;
    queue->head = queue->length = 0;
}

static inline uint32_t queue_at(const struct policy_queue *queue, uint32_t index)
{
    uint32_t place = queue->head + index;

    return place >= queue->size ? place - queue->size : place;
}

/* The pages move up, over the holes. */
static inline void queue_close_holes(struct policy_queue *queue)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < queue->length; i++) {
        uint32_t page = queue->ring[queue_at(queue, i)];

        if (page == QUEUE_HOLE)
            continue;
        queue->ring[queue_at(queue, kept)] = page;
        queue->place[page] = queue_at(queue, kept++);
    }
    queue->length = kept;
}

static inline void queue_push(struct policy_queue *queue, uint32_t page)
{
    uint32_t place;

    if (queue->length == queue->size)
        queue_close_holes(queue);
    place = queue_at(queue, queue->length++);
    queue->ring[place] = page;
    if (queue->place)
        queue->place[page] = place;
}

/* The page that has been in it longest, POLICY_NO_PAGE when there is none. */
static inline uint32_t queue_pop(struct policy_queue *queue)
{
    while (queue->length > 0) {
        uint32_t page = queue->ring[queue->head];

        queue->head = queue_at(queue, 1);
        queue->length--;
        if (page != QUEUE_HOLE)
            return page;
    }
    return POLICY_NO_PAGE;
}

static inline void queue_remove(struct policy_queue *queue, uint32_t page)
{
    queue->ring[queue->place[page]] = QUEUE_HOLE;
}

/* NULL, or what is wrong; *pages: how many are in it. */
static inline const char *queue_check(const struct policy_queue *queue, uint32_t pages_of_policy,
                                      uint32_t *pages)
{
    *pages = 0;
    if (queue->length > queue->size || queue->head >= queue->size)
        return "the queue is longer than its array, or its head is outside of it";
    for (uint32_t i = 0; i < queue->length; i++) {
        uint32_t page = queue->ring[queue_at(queue, i)];

        if (page == QUEUE_HOLE)
            continue;
        ++*pages;
        if (page >= pages_of_policy)
            return "a place of the queue holds no page";
        if (queue->place && queue->place[page] != queue_at(queue, i))
            return "a page does not know its place in the queue";
    }
    return NULL;
}

#endif
