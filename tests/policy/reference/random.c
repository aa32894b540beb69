/*
 * Random: a table of the resident pages, in which the last fills the gap; one is drawn.
 */
#include "../naive.h"

struct random_naive {
    struct naive base;
    struct naive_list table;
    uint64_t random;
};

static void random_init(struct naive *naive)
{
    ((struct random_naive *)naive)->random = naive->config->seed;
}

static void random_insert(struct naive *naive, uint32_t page)
{
    naive_push_back(&((struct random_naive *)naive)->table, page);
}

static void random_take(struct naive_list *table, size_t index)
{
    uint32_t last = naive_take(table, table->count - 1);

    if (index < table->count)
        table->items[index] = last;
}

static uint32_t random_victim(struct naive *naive, uint32_t incoming)
{
    struct naive_list *table = &((struct random_naive *)naive)->table;
    size_t start = policy_random_below(&((struct random_naive *)naive)->random, naive->resident);

    for (size_t i = 0; i < table->count; i++) {
        size_t index = (start + i) % table->count;
        uint32_t page = table->items[index];

        if (!naive->pages[page].pinned) {
            random_take(table, index);
            return page;
        }
    }
    return POLICY_NO_PAGE;
}

static void random_remove(struct naive *naive, uint32_t page)
{
    struct naive_list *table = &((struct random_naive *)naive)->table;
    size_t index = naive_search(table, page);

    if (index != NAIVE_NOT_FOUND)
        random_take(table, index);
}

static void random_destroy(struct naive *naive)
{
    naive_list_free(&((struct random_naive *)naive)->table);
}

const struct naive_type naive_random = {
    .name = "random",
    .size = sizeof(struct random_naive),
    .init = random_init,
    .insert = random_insert,
    .victim = random_victim,
    .remove = random_remove,
    .destroy = random_destroy,
};
