/*
 * LRU-2 (O'Neil and others, 1993): the backward 2-distance of a page is how long ago its last reference but
 * one was, infinite if it had only one; the largest goes, by LRU among the infinite.
 */
#include "../naive.h"

#define INFINITE UINT64_MAX

struct lru_2 {
    struct naive base;
    struct naive_list *times; /* by page: of its references, the latest in front */
};

static void lru_2_init(struct naive *naive)
{
    ((struct lru_2 *)naive)->times = calloc(naive->config->pages, sizeof(struct naive_list));
}

static void lru_2_touch(struct naive *naive, uint32_t page)
{
    naive_push_front(&((struct lru_2 *)naive)->times[page], (uint32_t)naive->now);
}

/* The backward k-distance. */
static uint64_t distance(const struct naive *naive, uint32_t page, unsigned k)
{
    const struct naive_list *times = &((const struct lru_2 *)naive)->times[page];

    return times->count >= k ? naive->now - times->items[k - 1] : INFINITE;
}

static uint32_t lru_2_victim(struct naive *naive, uint32_t incoming)
{
    uint32_t best = POLICY_NO_PAGE;

    for (uint32_t page = 0; page < naive->config->pages; page++)
        if (naive->pages[page].resident && !naive->pages[page].pinned)
            if (best == POLICY_NO_PAGE || distance(naive, page, 2) > distance(naive, best, 2) ||
                (distance(naive, page, 2) == distance(naive, best, 2) &&
                 distance(naive, page, 1) > distance(naive, best, 1)))
                best = page;
    return best;
}

static void lru_2_remove(struct naive *naive, uint32_t page)
{
    ((struct lru_2 *)naive)->times[page].count = 0;
}

static void lru_2_destroy(struct naive *naive)
{
    struct lru_2 *lru_2 = (struct lru_2 *)naive;

    for (uint32_t page = 0; page < naive->config->pages; page++)
        naive_list_free(&lru_2->times[page]);
    free(lru_2->times);
}

const struct naive_type naive_lru_2 = {
    .name = "lru-2",
    .size = sizeof(struct lru_2),
    .init = lru_2_init,
    .insert = lru_2_touch,
    .touch = lru_2_touch,
    .victim = lru_2_victim,
    .remove = lru_2_remove,
    .destroy = lru_2_destroy,
};
