/*
 * MGLRU: each page has the number of its generation, and numbers only grow. The list is in the order in which
 * pages came to their generations; the first page of the lowest number is looked at.
 */
#include "../naive.h"

struct mglru {
    struct naive base;
    struct naive_list order;
    uint64_t *generation; /* by page */
    bool *asked;          /* by page: to be written */
    uint64_t oldest, youngest;
};

static void mglru_init(struct naive *naive)
{
    struct mglru *mglru = (struct mglru *)naive;

    mglru->generation = calloc(naive->config->pages, sizeof(*mglru->generation));
    mglru->asked = calloc(naive->config->pages, sizeof(*mglru->asked));
    mglru->youngest = 1;
}

static void move(struct mglru *mglru, uint32_t page, uint64_t generation)
{
    naive_drop(&mglru->order, page);
    naive_push_back(&mglru->order, page);
    mglru->generation[page] = generation;
}

static void mglru_insert(struct naive *naive, uint32_t page)
{
    struct mglru *mglru = (struct mglru *)naive;

    move(mglru, page, mglru->youngest);
    mglru->asked[page] = false;
    naive->pages[page].referenced |= naive->config->options[0] != 0;
}

/* The first page of the oldest generation that has any. */
static uint32_t first(struct mglru *mglru)
{
    for (;; mglru->oldest++) {
        if (mglru->youngest == mglru->oldest)
            mglru->youngest++;
        for (size_t i = 0; i < mglru->order.count; i++)
            if (mglru->generation[mglru->order.items[i]] == mglru->oldest)
                return mglru->order.items[i];
    }
}

static uint32_t mglru_victim(struct naive *naive, uint32_t incoming)
{
    struct mglru *mglru = (struct mglru *)naive;

    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < naive->resident; i++) {
            uint32_t page = first(mglru);
            struct naive_page *state = &naive->pages[page];

            if (state->pinned) {
                move(mglru, page, mglru->youngest);
            } else if (state->referenced) {
                state->referenced = mglru->asked[page] = false;
                move(mglru, page, mglru->youngest);
            } else if (state->dirty && !mglru->asked[page]) {
                mglru->asked[page] = true;
                naive_clean(naive, page);
                move(mglru, page, mglru->oldest + 1);
            } else {
                round = 2;
            }
            if (round == 2 && !state->pinned) {
                naive_drop(&mglru->order, page);
                return page;
            }
        }
    return POLICY_NO_PAGE;
}

/* There are at most four: the pages of the second oldest come behind those of the oldest. */
static void join_oldest(struct mglru *mglru)
{
    mglru->oldest++;
    for (size_t i = 0, left = mglru->order.count; left > 0; left--) {
        uint32_t page = mglru->order.items[i];

        if (mglru->generation[page] == mglru->oldest)
            move(mglru, page, mglru->oldest);
        else
            i++;
    }
    for (size_t i = 0; i < mglru->order.count; i++)
        if (mglru->generation[mglru->order.items[i]] < mglru->oldest)
            mglru->generation[mglru->order.items[i]] = mglru->oldest;
}

static void mglru_tick(struct naive *naive)
{
    struct mglru *mglru = (struct mglru *)naive;
    size_t count = mglru->order.count;

    mglru->youngest++;
    if (mglru->youngest - mglru->oldest == 4)
        join_oldest(mglru);
    for (uint64_t generation = mglru->oldest; generation < mglru->youngest; generation++)
        for (size_t i = 0, left = count; left > 0; left--) {
            uint32_t page = mglru->order.items[i];

            if (mglru->generation[page] == generation && naive->pages[page].referenced) {
                naive->pages[page].referenced = false;
                move(mglru, page, mglru->youngest);
            } else {
                i++;
            }
        }
}

static void mglru_remove(struct naive *naive, uint32_t page)
{
    naive_drop(&((struct mglru *)naive)->order, page);
}

static void mglru_destroy(struct naive *naive)
{
    struct mglru *mglru = (struct mglru *)naive;

    naive_list_free(&mglru->order);
    free(mglru->generation);
    free(mglru->asked);
}

const struct naive_type naive_mglru = {
    .name = "mglru",
    .size = sizeof(struct mglru),
    .init = mglru_init,
    .insert = mglru_insert,
    .victim = mglru_victim,
    .remove = mglru_remove,
    .tick = mglru_tick,
    .destroy = mglru_destroy,
};
