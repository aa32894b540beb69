/*
 * MRU: of the pages in memory, the one with the latest reference goes.
 */
#include "lists.h"

struct mru {
    struct naive base;
    struct naive_list pages; /* the oldest in front */
};

static void mru_touch(struct naive *naive, uint32_t page)
{
    struct mru *mru = (struct mru *)naive;

    naive_drop(&mru->pages, page);
    naive_push_back(&mru->pages, page);
}

static uint32_t mru_victim(struct naive *naive, uint32_t incoming)
{
    struct mru *mru = (struct mru *)naive;
    uint32_t page = naive_oldest(naive, &mru->pages); /* from the back, where the newest is */

    naive_drop(&mru->pages, page);
    return page;
}

static void mru_remove(struct naive *naive, uint32_t page)
{
    naive_drop(&((struct mru *)naive)->pages, page);
}

static void mru_destroy(struct naive *naive)
{
    naive_list_free(&((struct mru *)naive)->pages);
}

const struct naive_type naive_mru = {
    .name = "mru",
    .size = sizeof(struct mru),
    .insert = mru_touch,
    .touch = mru_touch,
    .victim = mru_victim,
    .remove = mru_remove,
    .destroy = mru_destroy,
};
