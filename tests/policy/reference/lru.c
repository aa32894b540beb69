/*
 * LRU as the textbooks have it: a list, and every reference moves the page to the front.
 */
#include "lists.h"

struct lru {
    struct naive base;
    struct naive_list pages;
};

static void lru_touch(struct naive *naive, uint32_t page)
{
    naive_to_front(&((struct lru *)naive)->pages, page);
}

static uint32_t lru_victim(struct naive *naive, uint32_t incoming)
{
    struct lru *lru = (struct lru *)naive;
    uint32_t page = naive_oldest(naive, &lru->pages);

    naive_drop(&lru->pages, page);
    return page;
}

static void lru_remove(struct naive *naive, uint32_t page)
{
    naive_drop(&((struct lru *)naive)->pages, page);
}

static void lru_destroy(struct naive *naive)
{
    naive_list_free(&((struct lru *)naive)->pages);
}

const struct naive_type naive_lru = {
    .name = "lru",
    .size = sizeof(struct lru),
    .insert = lru_touch,
    .touch = lru_touch,
    .victim = lru_victim,
    .remove = lru_remove,
    .destroy = lru_destroy,
};
