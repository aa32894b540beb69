/*
 * Two-handed clock, after the 4.3BSD book: the back hand looks, the front hand, a fixed number of places
 * before it, clears.
 */
#include "ring.h"

struct hands {
    struct naive base;
    struct naive_ring ring;
    size_t back;
};

static void hands_insert(struct naive *naive, uint32_t page)
{
    naive_ring_put(&((struct hands *)naive)->ring, page);
    naive->pages[page].referenced |= naive->config->options[1] != 0;
}

static uint32_t hands_victim(struct naive *naive, uint32_t incoming)
{
    struct hands *hands = (struct hands *)naive;
    const struct naive_list *places = &hands->ring.places;
    size_t gap = places->count * naive->config->options[0] / 100;

    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < places->count; i++) {
            size_t place = hands->back;
            uint32_t page = places->items[place], ahead = places->items[(place + gap) % places->count];
            bool goes = page != POLICY_NO_PAGE && !naive->pages[page].pinned &&
                        (!naive->pages[page].referenced || round == 2);

            if (ahead != POLICY_NO_PAGE)
                naive->pages[ahead].referenced = false;
            hands->back = (place + 1) % places->count;
            if (goes) {
                naive_ring_leave(&hands->ring, place);
                return page;
            }
        }
    return POLICY_NO_PAGE;
}

static void hands_remove(struct naive *naive, uint32_t page)
{
    naive_ring_remove(&((struct hands *)naive)->ring, page);
}

static void hands_destroy(struct naive *naive)
{
    naive_ring_free(&((struct hands *)naive)->ring);
}

const struct naive_type naive_two_handed_clock = {
    .name = "two-handed-clock",
    .size = sizeof(struct hands),
    .insert = hands_insert,
    .victim = hands_victim,
    .remove = hands_remove,
    .destroy = hands_destroy,
};
