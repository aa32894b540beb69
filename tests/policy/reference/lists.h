/*
 * Lists of pages with the newest in front, for the naive policies that keep some.
 */
#ifndef TESTS_POLICY_REFERENCE_LISTS_H
#define TESTS_POLICY_REFERENCE_LISTS_H

#include "../naive.h"

static inline bool naive_has(const struct naive_list *list, uint32_t page)
{
    return naive_search(list, page) != NAIVE_NOT_FOUND;
}

static inline void naive_to_front(struct naive_list *list, uint32_t page)
{
    naive_drop(list, page);
    naive_push_front(list, page);
}

/* Takes the oldest page out, whatever it is. */
static inline uint32_t naive_pop(struct naive_list *list)
{
    return naive_take(list, list->count - 1);
}

/* The oldest page that is not pinned; POLICY_NO_PAGE when there is none. It stays. */
static inline uint32_t naive_oldest(const struct naive *naive, const struct naive_list *list)
{
    for (size_t i = list->count; i-- > 0;)
        if (!naive->pages[list->items[i]].pinned)
            return list->items[i];
    return POLICY_NO_PAGE;
}

static inline bool naive_either(const struct naive *naive, const struct naive_list *a,
                                const struct naive_list *b)
{
    return naive_oldest(naive, a) != POLICY_NO_PAGE || naive_oldest(naive, b) != POLICY_NO_PAGE;
}

#endif
