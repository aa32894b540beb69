/*
 * NFU, after Tanenbaum: a count for each page, and the lowest goes, as if a tick came now. The groups say
 * what was found out since the last tick; which of the same count goes first is as in src/policy/nfu.c.
 */
#include "../naive.h"

enum group { IDLE, FRESH, USED, HELD };

struct nfu_page {
    uint64_t count;
    enum group group;
};

struct nfu {
    struct naive base;
    struct naive_list order; /* who is found again goes to the end */
    struct nfu_page *pages;
};

static void nfu_init(struct naive *naive)
{
    ((struct nfu *)naive)->pages = calloc(naive->config->pages, sizeof(struct nfu_page));
}

static void nfu_insert(struct naive *naive, uint32_t page)
{
    struct nfu *nfu = (struct nfu *)naive;

    naive_push_back(&nfu->order, page);
    nfu->pages[page] = (struct nfu_page){0, FRESH};
    naive->pages[page].referenced = true;
}

/* The least goes first. */
static uint64_t rank(const struct nfu_page *page)
{
    if (page->group == HELD)
        return UINT64_MAX;
    return (page->count + (page->group != IDLE)) * 4 + page->group;
}

static uint32_t first(const struct nfu *nfu)
{
    uint32_t best = nfu->order.items[0];

    for (size_t i = 1; i < nfu->order.count; i++)
        if (rank(&nfu->pages[nfu->order.items[i]]) < rank(&nfu->pages[best]))
            best = nfu->order.items[i];
    return best;
}

static void hold(struct nfu *nfu, uint32_t page)
{
    for (size_t i = 0; i < nfu->order.count; i++) {
        const struct nfu_page *other = &nfu->pages[nfu->order.items[i]];

        if (other->group == HELD && other->count > nfu->pages[page].count)
            nfu->pages[page].count = other->count;
    }
    nfu->pages[page].group = HELD;
}

static uint32_t nfu_victim(struct naive *naive, uint32_t incoming)
{
    struct nfu *nfu = (struct nfu *)naive;

    for (size_t i = 0; i < 3 * (size_t)naive->resident; i++) {
        uint32_t page = first(nfu);

        naive_drop(&nfu->order, page);
        if (!naive->pages[page].pinned && (nfu->pages[page].group != IDLE || !naive->pages[page].referenced))
            return page;
        naive_push_back(&nfu->order, page);
        if (naive->pages[page].pinned)
            hold(nfu, page);
        else
            nfu->pages[page].group = USED;
    }
    return POLICY_NO_PAGE;
}

/* Orders pages by keys; those with the same key stay as they are. */
static void sort(struct naive_list *order, const uint64_t *key)
{
    for (size_t i = 1; i < order->count; i++) {
        size_t to = i;
        uint32_t page = naive_take(order, i);

        while (to > 0 && key[order->items[to - 1]] > key[page])
            to--;
        naive_put(order, to, page);
    }
}

static void nfu_tick(struct naive *naive)
{
    static const uint64_t places[] = {[FRESH] = 0, [USED] = 1, [IDLE] = 2, [HELD] = 3};
    struct nfu *nfu = (struct nfu *)naive;
    uint64_t *key = calloc(naive->config->pages, sizeof(*key));

    for (size_t i = 0; i < nfu->order.count; i++) {
        uint32_t page = nfu->order.items[i];

        key[page] = nfu->pages[page].count * 4 + places[nfu->pages[page].group];
    }
    sort(&nfu->order, key);
    for (size_t i = 0; i < nfu->order.count; i++) {
        uint32_t page = nfu->order.items[i];

        nfu->pages[page].count += naive->pages[page].referenced;
        nfu->pages[page].group = IDLE;
        key[page] = nfu->pages[page].count * 2 + naive->pages[page].referenced;
        naive->pages[page].referenced = false;
    }
    sort(&nfu->order, key);
    free(key);
}

static void nfu_remove(struct naive *naive, uint32_t page)
{
    naive_drop(&((struct nfu *)naive)->order, page);
}

static void nfu_destroy(struct naive *naive)
{
    naive_list_free(&((struct nfu *)naive)->order);
    free(((struct nfu *)naive)->pages);
}

const struct naive_type naive_nfu = {
    .name = "nfu",
    .size = sizeof(struct nfu),
    .init = nfu_init,
    .insert = nfu_insert,
    .victim = nfu_victim,
    .remove = nfu_remove,
    .tick = nfu_tick,
    .destroy = nfu_destroy,
};
