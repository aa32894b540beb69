/*
 * Aging, after Tanenbaum, with the ages written out: the bits of each page, one a tick, of which the last is
 * the most significant. The lowest age goes, the bit of the running interval being the first of all.
 */
#include "../naive.h"

struct aging {
    struct naive base;
    struct naive_list order; /* among the same ages, the first goes first */
    struct naive_list *bits; /* by page; the last tick at the end */
};

static void aging_init(struct naive *naive)
{
    struct aging *aging = (struct aging *)naive;

    aging->bits = calloc(naive->config->pages, sizeof(*aging->bits));
}

static void aging_insert(struct naive *naive, uint32_t page)
{
    struct aging *aging = (struct aging *)naive;

    naive_push_back(&aging->order, page);
    aging->bits[page].count = 0;
    naive->pages[page].referenced = true;
}

static uint32_t bit(const struct naive_list *bits, size_t age)
{
    return age < bits->count ? bits->items[bits->count - 1 - age] : 0;
}

static int compare_ages(const struct naive_list *a, const struct naive_list *b)
{
    for (size_t age = 0; age < a->count || age < b->count; age++)
        if (bit(a, age) != bit(b, age))
            return bit(a, age) < bit(b, age) ? -1 : 1;
    return 0;
}

static bool is_less(const struct aging *aging, uint32_t a, uint32_t b)
{
    const struct naive_page *pages = aging->base.pages;

    if (pages[a].referenced != pages[b].referenced)
        return !pages[a].referenced;
    return compare_ages(&aging->bits[a], &aging->bits[b]) < 0;
}

/* The index of the page with the lowest age. */
static size_t lowest(const struct aging *aging)
{
    size_t best = 0;

    for (size_t i = 1; i < aging->order.count; i++)
        if (is_less(aging, aging->order.items[i], aging->order.items[best]))
            best = i;
    return best;
}

/* The page has its turn and is pinned, and so is every page before it: it is to be the last. */
static void go_last(struct aging *aging, uint32_t page)
{
    static const uint32_t one[] = {1};
    struct naive_list highest = {(uint32_t *)(uintptr_t)one, 1, 1}, *bits = &aging->bits[page];

    for (size_t i = 0; i < aging->order.count; i++) {
        const struct naive_list *other = &aging->bits[aging->order.items[i]];

        if (compare_ages(other, &highest) > 0)
            highest = *other;
    }
    if (highest.items != bits->items) {
        bits->count = 0;
        for (size_t i = 0; i < highest.count; i++)
            naive_push_back(bits, highest.items[i]);
    }
    naive_drop(&aging->order, page);
    naive_push_back(&aging->order, page);
}

static uint32_t aging_victim(struct naive *naive, uint32_t incoming)
{
    struct aging *aging = (struct aging *)naive;

    for (size_t looked = 0; looked < aging->order.count;) {
        size_t index = lowest(aging);
        uint32_t page = aging->order.items[index];

        if (!naive->pages[page].pinned)
            return naive_take(&aging->order, index);
        if (naive->pages[page].referenced) {
            go_last(aging, page);
            looked++;
        }
        naive->pages[page].referenced = true;
    }
    return POLICY_NO_PAGE;
}

static void aging_tick(struct naive *naive)
{
    struct aging *aging = (struct aging *)naive;

    for (size_t i = 0; i < aging->order.count; i++) {
        uint32_t page = aging->order.items[i];

        naive_push_back(&aging->bits[page], naive->pages[page].referenced);
        naive->pages[page].referenced = false;
    }
}

static void aging_remove(struct naive *naive, uint32_t page)
{
    naive_drop(&((struct aging *)naive)->order, page);
}

static void aging_destroy(struct naive *naive)
{
    struct aging *aging = (struct aging *)naive;

    for (uint32_t page = 0; page < naive->config->pages; page++)
        naive_list_free(&aging->bits[page]);
    naive_list_free(&aging->order);
    free(aging->bits);
}

const struct naive_type naive_aging = {
    .name = "aging",
    .size = sizeof(struct aging),
    .init = aging_init,
    .insert = aging_insert,
    .victim = aging_victim,
    .remove = aging_remove,
    .tick = aging_tick,
    .destroy = aging_destroy,
};
