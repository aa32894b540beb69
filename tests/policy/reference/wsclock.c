/*
 * WSClock, after Tanenbaum, with the limits on the search that src/policy/wsclock.c describes: what the hand
 * passes is listed first, and then the victim chosen.
 */
#include "ring.h"

struct wsclock_page {
    uint64_t used;
    bool asked; /* to be written */
};

struct wsclock {
    struct naive base;
    struct naive_ring ring;
    size_t hand;
    struct wsclock_page *pages;
    bool overcommitted;
    uint64_t until; /* while overcommitted: nobody leaves the window before */
};

static void wsclock_init(struct naive *naive)
{
    ((struct wsclock *)naive)->pages = calloc(naive->config->pages, sizeof(struct wsclock_page));
}

static void wsclock_insert(struct naive *naive, uint32_t page)
{
    struct wsclock *wsclock = (struct wsclock *)naive;

    naive_ring_put(&wsclock->ring, page);
    wsclock->pages[page] = (struct wsclock_page){naive->now, false};
    naive->pages[page].referenced |= naive->config->options[2] != 0;
}

/* Is the bit clear? It is cleared. */
static bool pass(struct wsclock *wsclock, uint32_t page)
{
    struct naive *naive = &wsclock->base;
    bool idle = !naive->pages[page].referenced;

    if (!idle)
        wsclock->pages[page] = (struct wsclock_page){naive->now, false};
    naive->pages[page].referenced = false;
    return idle;
}

static uint64_t age(const struct wsclock *wsclock, uint32_t page)
{
    return wsclock->base.now - wsclock->pages[page].used;
}

static uint32_t first_of(const struct naive_list *list)
{
    return list->count > 0 ? list->items[0] : POLICY_NO_PAGE;
}

/* In the order in which the hand met them. */
struct met {
    struct naive_list outside_dirty, idle_clean, idle, all;
    uint64_t most_age;
};

/* The page that goes at once, or POLICY_NO_PAGE. */
static uint32_t meet(struct wsclock *wsclock, uint32_t page, struct met *met)
{
    struct naive *naive = &wsclock->base;
    bool idle = pass(wsclock, page), dirty = naive->pages[page].dirty;

    naive_push_back(&met->all, page);
    if (idle && age(wsclock, page) > naive->config->options[0]) {
        if (!dirty)
            return page;
        if (!wsclock->pages[page].asked)
            naive_clean(naive, page);
        wsclock->pages[page].asked = true;
        naive_push_back(&met->outside_dirty, page);
        return POLICY_NO_PAGE;
    }
    if (age(wsclock, page) > met->most_age)
        met->most_age = age(wsclock, page);
    if (idle)
        naive_push_back(&met->idle, page);
    if (idle && !dirty)
        naive_push_back(&met->idle_clean, page);
    return POLICY_NO_PAGE;
}

static uint32_t outside(struct wsclock *wsclock, struct met *met)
{
    const struct naive_list *places = &wsclock->ring.places;
    uint64_t left = wsclock->base.config->options[1];

    for (size_t i = 0; i < places->count && left > 0; i++) {
        uint32_t page = places->items[(wsclock->hand + i) % places->count];

        if (page != POLICY_NO_PAGE && !wsclock->base.pages[page].pinned &&
            meet(wsclock, page, met) != POLICY_NO_PAGE)
            return page;
        left -= met->outside_dirty.count > 0;
    }
    if (met->outside_dirty.count > 0)
        return first_of(&met->outside_dirty);
    if (met->all.count == 0)
        return POLICY_NO_PAGE;
    wsclock->overcommitted = true;
    wsclock->until = wsclock->base.now + wsclock->base.config->options[0] - met->most_age;
    if (met->idle_clean.count > 0)
        return first_of(&met->idle_clean);
    return met->idle.count > 0 ? first_of(&met->idle) : first_of(&met->all);
}

static uint32_t inside(struct wsclock *wsclock, struct met *met)
{
    const struct naive_list *places = &wsclock->ring.places;
    uint64_t left = wsclock->base.config->options[1];

    for (size_t i = 0; i < places->count && left > 0; i++) {
        uint32_t page = places->items[(wsclock->hand + i) % places->count];

        if (page != POLICY_NO_PAGE && !wsclock->base.pages[page].pinned) {
            naive_push_back(&met->all, page);
            if (pass(wsclock, page)) {
                if (!wsclock->base.pages[page].dirty)
                    return page;
                naive_push_back(&met->idle, page);
            }
        }
        left -= met->idle.count > 0;
    }
    return met->idle.count > 0 ? first_of(&met->idle) : first_of(&met->all);
}

static uint32_t wsclock_victim(struct naive *naive, uint32_t incoming)
{
    struct wsclock *wsclock = (struct wsclock *)naive;
    struct met met = {0};
    bool quiet = wsclock->overcommitted && naive->now <= wsclock->until;
    uint32_t page = quiet ? inside(wsclock, &met) : outside(wsclock, &met);

    naive_list_free(&met.outside_dirty);
    naive_list_free(&met.idle_clean);
    naive_list_free(&met.idle);
    naive_list_free(&met.all);
    if (page == POLICY_NO_PAGE)
        return page;
    wsclock->hand = (naive_search(&wsclock->ring.places, page) + 1) % wsclock->ring.places.count;
    naive_ring_remove(&wsclock->ring, page);
    return page;
}

static void wsclock_remove(struct naive *naive, uint32_t page)
{
    naive_ring_remove(&((struct wsclock *)naive)->ring, page);
}

static void wsclock_destroy(struct naive *naive)
{
    naive_ring_free(&((struct wsclock *)naive)->ring);
    free(((struct wsclock *)naive)->pages);
}

const struct naive_type naive_wsclock = {
    .name = "wsclock",
    .size = sizeof(struct wsclock),
    .init = wsclock_init,
    .insert = wsclock_insert,
    .victim = wsclock_victim,
    .remove = wsclock_remove,
    .destroy = wsclock_destroy,
};
