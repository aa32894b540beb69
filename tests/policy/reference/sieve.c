/*
 * SIEVE (Zhang and others, 2024, algorithm 1): new pages at the head; the hand goes from the tail to the
 * head, clears the visited bits that it finds, evicts the first page without, and stays there.
 */
#include "lists.h"

struct sieve {
    struct naive base;
    struct naive_list pages;
    uint32_t hand; /* POLICY_NO_PAGE: at the tail */
};

static void sieve_init(struct naive *naive)
{
    ((struct sieve *)naive)->hand = POLICY_NO_PAGE;
}

static void sieve_insert(struct naive *naive, uint32_t page)
{
    naive_push_front(&((struct sieve *)naive)->pages, page);
}

/* The next towards the head; past the head: the tail. */
static uint32_t towards_head(const struct sieve *sieve, uint32_t page)
{
    size_t index = naive_search(&sieve->pages, page);

    return index > 0 ? sieve->pages.items[index - 1] : POLICY_NO_PAGE;
}

static void leave(struct sieve *sieve, uint32_t page)
{
    if (sieve->hand == page)
        sieve->hand = towards_head(sieve, page);
    naive_drop(&sieve->pages, page);
}

static uint32_t sieve_victim(struct naive *naive, uint32_t incoming)
{
    struct sieve *sieve = (struct sieve *)naive;
    uint32_t page = sieve->hand;

    if (naive_oldest(naive, &sieve->pages) == POLICY_NO_PAGE)
        return POLICY_NO_PAGE;
    for (;; page = towards_head(sieve, page)) {
        if (page == POLICY_NO_PAGE)
            page = sieve->pages.items[sieve->pages.count - 1];
        if (naive->pages[page].pinned)
            continue;
        if (!naive->pages[page].referenced)
            break;
        naive->pages[page].referenced = false;
    }
    sieve->hand = page;
    leave(sieve, page);
    return page;
}

static void sieve_remove(struct naive *naive, uint32_t page)
{
    if (naive->pages[page].resident)
        leave((struct sieve *)naive, page);
}

static void sieve_destroy(struct naive *naive)
{
    naive_list_free(&((struct sieve *)naive)->pages);
}

const struct naive_type naive_sieve = {
    .name = "sieve",
    .size = sizeof(struct sieve),
    .init = sieve_init,
    .insert = sieve_insert,
    .victim = sieve_victim,
    .remove = sieve_remove,
    .destroy = sieve_destroy,
};
