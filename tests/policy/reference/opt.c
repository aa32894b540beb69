/*
 * OPT (Belady, 1966): the page whose next reference is farthest goes; of several that are not referenced
 * again, the lowest.
 */
#include "../naive.h"

struct opt {
    struct naive base;
    uint64_t *next;
};

static void opt_init(struct naive *naive)
{
    ((struct opt *)naive)->next = calloc(naive->config->pages, sizeof(uint64_t));
}

static void opt_touch(struct naive *naive, uint32_t page)
{
    ((struct opt *)naive)->next[page] =
        naive->distance == UINT32_MAX ? UINT64_MAX : naive->now + naive->distance;
}

static uint32_t opt_victim(struct naive *naive, uint32_t incoming)
{
    const uint64_t *next = ((struct opt *)naive)->next;
    uint32_t best = POLICY_NO_PAGE;

    for (uint32_t page = 0; page < naive->config->pages; page++)
        if (naive->pages[page].resident && !naive->pages[page].pinned)
            if (best == POLICY_NO_PAGE || next[page] > next[best])
                best = page;
    return best;
}

static void opt_remove(struct naive *naive, uint32_t page)
{
}

static void opt_destroy(struct naive *naive)
{
    free(((struct opt *)naive)->next);
}

const struct naive_type naive_opt = {
    .name = "opt",
    .size = sizeof(struct opt),
    .init = opt_init,
    .insert = opt_touch,
    .touch = opt_touch,
    .victim = opt_victim,
    .remove = opt_remove,
    .destroy = opt_destroy,
};
