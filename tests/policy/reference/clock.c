/*
 * Clock, after Tanenbaum: the hand inspects a page; one whose bit is clear goes, the new page takes its
 * place, and the hand moves on; one whose bit is set has it cleared, and the hand moves on.
 */
#include "ring.h"

struct clock {
    struct naive base;
    struct naive_ring ring;
    size_t hand;
};

static void clock_insert(struct naive *naive, uint32_t page)
{
    naive_ring_put(&((struct clock *)naive)->ring, page);
    naive->pages[page].referenced |= naive->config->options[0] != 0;
}

static uint32_t clock_victim(struct naive *naive, uint32_t incoming)
{
    struct clock *clock = (struct clock *)naive;
    size_t places = clock->ring.places.count;

    for (size_t i = 0; i < 2 * places; i++) {
        size_t place = clock->hand;
        uint32_t page = clock->ring.places.items[place];

        clock->hand = (place + 1) % places;
        if (page == POLICY_NO_PAGE || naive->pages[page].pinned)
            continue;
        if (!naive->pages[page].referenced) {
            naive_ring_leave(&clock->ring, place);
            return page;
        }
        naive->pages[page].referenced = false;
    }
    return POLICY_NO_PAGE;
}

static void clock_remove(struct naive *naive, uint32_t page)
{
    naive_ring_remove(&((struct clock *)naive)->ring, page);
}

static void clock_destroy(struct naive *naive)
{
    naive_ring_free(&((struct clock *)naive)->ring);
}

const struct naive_type naive_clock = {
    .name = "clock",
    .size = sizeof(struct clock),
    .insert = clock_insert,
    .victim = clock_victim,
    .remove = clock_remove,
    .destroy = clock_destroy,
};
