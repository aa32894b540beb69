/*
 * LFU: counts begin with 1 when a page comes; the lowest goes, the earlier referenced of two that are equal.
 */
#include "../naive.h"

struct lfu {
    struct naive base;
    uint64_t *count, *last;
};

static void lfu_init(struct naive *naive)
{
    struct lfu *lfu = (struct lfu *)naive;

    lfu->count = calloc(naive->config->pages, sizeof(uint64_t));
    lfu->last = calloc(naive->config->pages, sizeof(uint64_t));
}

static void lfu_touch(struct naive *naive, uint32_t page)
{
    struct lfu *lfu = (struct lfu *)naive;

    lfu->count[page]++;
    lfu->last[page] = naive->now;
}

static void lfu_insert(struct naive *naive, uint32_t page)
{
    ((struct lfu *)naive)->count[page] = 0;
    lfu_touch(naive, page);
}

static uint32_t lfu_victim(struct naive *naive, uint32_t incoming)
{
    const struct lfu *lfu = (struct lfu *)naive;
    uint32_t best = POLICY_NO_PAGE;

    for (uint32_t page = 0; page < naive->config->pages; page++)
        if (naive->pages[page].resident && !naive->pages[page].pinned)
            if (best == POLICY_NO_PAGE || lfu->count[page] < lfu->count[best] ||
                (lfu->count[page] == lfu->count[best] && lfu->last[page] < lfu->last[best]))
                best = page;
    return best;
}

static void lfu_remove(struct naive *naive, uint32_t page)
{
}

static void lfu_destroy(struct naive *naive)
{
    free(((struct lfu *)naive)->count);
    free(((struct lfu *)naive)->last);
}

const struct naive_type naive_lfu = {
    .name = "lfu",
    .size = sizeof(struct lfu),
    .init = lfu_init,
    .insert = lfu_insert,
    .touch = lfu_touch,
    .victim = lfu_victim,
    .remove = lfu_remove,
    .destroy = lfu_destroy,
};
