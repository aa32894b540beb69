/*
 * NRU, after Tanenbaum: the pages are searched class by class, from the hand on. As the policy does, it keeps
 * in mind until the next tick that the classes below `floor` were empty: pages of them count as of that
 * class.
 */
#include "ring.h"

struct nru {
    struct naive base;
    struct naive_ring ring;
    size_t hand;
    int floor;
};

static int nru_class(const struct naive *naive, uint32_t page)
{
    return 2 * naive->pages[page].referenced + naive->pages[page].dirty;
}

static void nru_insert(struct naive *naive, uint32_t page)
{
    struct nru *nru = (struct nru *)naive;

    naive_ring_put(&nru->ring, page);
    naive->pages[page].referenced = true;
    if (nru_class(naive, page) < nru->floor)
        nru->floor = nru_class(naive, page);
}

static uint32_t nru_victim(struct naive *naive, uint32_t incoming)
{
    struct nru *nru = (struct nru *)naive;
    size_t places = nru->ring.places.count;

    for (int class = nru->floor; class <= 3; class ++)
        for (size_t i = 0; i < places; i++) {
            size_t place = (nru->hand + i) % places;
            uint32_t page = nru->ring.places.items[place];

            if (page == POLICY_NO_PAGE || naive->pages[page].pinned || nru_class(naive, page) > class)
                continue;
            nru->floor = class;
            nru->hand = (place + 1) % places;
            naive_ring_leave(&nru->ring, place);
            return page;
        }
    return POLICY_NO_PAGE;
}

static void nru_tick(struct naive *naive)
{
    for (uint32_t page = 0; page < naive->config->pages; page++)
        if (naive->pages[page].resident)
            naive->pages[page].referenced = false;
    ((struct nru *)naive)->floor = 0;
}

static void nru_remove(struct naive *naive, uint32_t page)
{
    naive_ring_remove(&((struct nru *)naive)->ring, page);
}

static void nru_destroy(struct naive *naive)
{
    naive_ring_free(&((struct nru *)naive)->ring);
}

const struct naive_type naive_nru = {
    .name = "nru",
    .size = sizeof(struct nru),
    .insert = nru_insert,
    .victim = nru_victim,
    .remove = nru_remove,
    .tick = nru_tick,
    .destroy = nru_destroy,
};
