/*
 * Lists of pages, doubly linked through one array of links: what most policies that order pages by recency
 * keep them in. A page is on one list of an array at most. A list's head is an entry of the array past the
 * pages', so that neither end is a special case.
 *
 *      head -> newest -> … -> oldest -> head           `next` leads to older pages, `prev` to newer ones
 */
#ifndef QUIRE_POLICY_ORDER_H
#define QUIRE_POLICY_ORDER_H

#include "policy_internal.h"

struct order_link {
    uint32_t next, prev;
};

static inline size_t order_bytes(const struct policy_config *config, unsigned heads)
{
    return ((size_t)config->pages + heads) * sizeof(struct order_link);
}

/* The heads are entries pages, pages + 1, …: all lists are empty. */
static inline struct order_link *order_carve(uint8_t **memory, const struct policy_config *config,
                                             unsigned heads)
{
    struct order_link *links = policy_carve(memory, order_bytes(config, heads));

    for (uint32_t head = config->pages; head < config->pages + heads; head++)
        links[head] = (struct order_link){head, head};
    return links;
}

static inline uint32_t order_newest(const struct order_link *links, uint32_t head)
{
    return links[head].next;
}

static inline uint32_t order_oldest(const struct order_link *links, uint32_t head)
{
    return links[head].prev;
}

/* Puts the page where it is the next older one of `newer`: of a head, the newest of all. */
static inline void order_add(struct order_link *links, uint32_t newer, uint32_t page)
{
    uint32_t older = links[newer].next;

    links[page] = (struct order_link){older, newer};
    links[older].prev = page;
    links[newer].next = page;
}

static inline void order_remove(struct order_link *links, uint32_t page)
{
    uint32_t next = links[page].next, prev = links[page].prev;

    links[next].prev = prev;
    links[prev].next = next;
}

static inline void order_move(struct order_link *links, uint32_t newer, uint32_t page)
{
    order_remove(links, page);
    order_add(links, newer, page);
}

/* The oldest page that may go, POLICY_NO_PAGE when there is none. */
static inline uint32_t order_oldest_free(const struct policy *policy, const struct order_link *links,
                                         uint32_t head)
{
    for (uint32_t page = links[head].prev; page != head; page = links[page].prev)
        if (__builtin_expect(!policy_is_pinned(policy, page), 1))
            return page;
    return POLICY_NO_PAGE;
}

/* Is there a page on either list that may go? */
static inline bool order_either_free(const struct policy *policy, const struct order_link *links,
                                     uint32_t head, uint32_t other)
{
    return order_oldest_free(policy, links, head) != POLICY_NO_PAGE ||
           order_oldest_free(policy, links, other) != POLICY_NO_PAGE;
}

/* For check(): a list holds `count` pages, whose state under `mask` is `value`, and they are all that are in
 * that state. */
static inline bool order_holds(const struct policy *policy, const struct order_link *links, uint32_t head,
                               uint8_t mask, uint8_t value, uint32_t count)
{
    uint32_t found = 0, in_state = 0;

    for (uint32_t page = links[head].next; page != head; page = links[page].next)
        if (page >= policy->pages || links[links[page].prev].next != page ||
            (policy->state[page] & mask) != value || ++found > count)
            return false;
    for (uint32_t page = 0; page < policy->pages; page++)
        in_state += (policy->state[page] & mask) == value;
    return found == count && in_state == count;
}

#endif
