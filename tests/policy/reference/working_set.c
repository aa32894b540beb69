/*
 * Working set, after Tanenbaum: the whole table is searched. The first page from the hand on that is not
 * referenced and outside of the window goes; else the one whose last use is longest ago; else, when all are
 * referenced, a clean one; else any.
 */
#include "ring.h"

struct working_set {
    struct naive base;
    struct naive_ring ring;
    size_t hand;
    uint64_t *used; /* by page */
};

static void set_init(struct naive *naive)
{
    ((struct working_set *)naive)->used = calloc(naive->config->pages, sizeof(uint64_t));
}

static void set_insert(struct naive *naive, uint32_t page)
{
    struct working_set *set = (struct working_set *)naive;

    naive_ring_put(&set->ring, page);
    set->used[page] = naive->now;
    naive->pages[page].referenced = true;
}

/* How good a victim the page is; the least goes first. */
static uint64_t rank(const struct working_set *set, uint32_t page)
{
    const struct naive *naive = &set->base;
    uint64_t age = naive->now - set->used[page];

    if (naive->pages[page].referenced)
        return UINT64_MAX - 1 + naive->pages[page].dirty;
    return age > naive->config->options[0] ? 0 : UINT32_MAX - age;
}

static uint32_t set_victim(struct naive *naive, uint32_t incoming)
{
    struct working_set *set = (struct working_set *)naive;
    size_t places = set->ring.places.count, best = NAIVE_NOT_FOUND;

    for (size_t i = 0; i < places; i++) {
        size_t place = (set->hand + i) % places;
        uint32_t page = set->ring.places.items[place];

        if (page == POLICY_NO_PAGE || naive->pages[page].pinned)
            continue;
        if (best == NAIVE_NOT_FOUND || rank(set, page) < rank(set, set->ring.places.items[best]))
            best = place;
    }
    if (best == NAIVE_NOT_FOUND)
        return POLICY_NO_PAGE;
    set->hand = (best + 1) % places;
    incoming = set->ring.places.items[best];
    naive_ring_leave(&set->ring, best);
    return incoming;
}

static void set_tick(struct naive *naive)
{
    for (uint32_t page = 0; page < naive->config->pages; page++)
        if (naive->pages[page].resident && naive->pages[page].referenced) {
            naive->pages[page].referenced = false;
            ((struct working_set *)naive)->used[page] = naive->now;
        }
}

static void set_remove(struct naive *naive, uint32_t page)
{
    naive_ring_remove(&((struct working_set *)naive)->ring, page);
}

static void set_destroy(struct naive *naive)
{
    naive_ring_free(&((struct working_set *)naive)->ring);
    free(((struct working_set *)naive)->used);
}

const struct naive_type naive_working_set = {
    .name = "working-set",
    .size = sizeof(struct working_set),
    .init = set_init,
    .insert = set_insert,
    .victim = set_victim,
    .remove = set_remove,
    .tick = set_tick,
    .destroy = set_destroy,
};
