/*
 * NRU, not recently used: pages are in four classes by their bits, and one of the lowest class that has any
 * goes. Reference bits are cleared at every tick.
 *
 *      class 0: not referenced, clean     1: not referenced, dirty     2: referenced, clean     3: both
 *
 * A. S. Tanenbaum, Modern Operating Systems, "The Not Recently Used Page Replacement Algorithm".
 *
 * Departures: of the class, the first page from a hand that goes round goes, not one at random, which needs
 * no lists of the classes. A round of the hand that found no page of class `lowest` or below tells that there
 * is none before the next tick but for pages that come (the bits are only set meanwhile), so the next search
 * stops at the first page of that class; a page that was unpinned or written since is found when the hand
 * comes to it, not before.
 *
 * Invariants: the ring holds the resident pages.
 */
#include "ring.h"
#include "run.h"

struct nru {
    struct policy base;
    struct policy_ring ring;
    uint32_t hand;       /* below ring.used, or 0 */
    uint8_t lowest;      /* a class */
    uint64_t classes[4]; /* victims */
};

static struct nru *nru_of(struct policy *policy)
{
    return (struct nru *)policy;
}

static size_t nru_bytes(const struct policy_config *config)
{
    return sizeof(struct nru) + ring_bytes(config);
}

static void nru_init(struct policy *policy, const struct policy_config *config)
{
    struct nru *nru = nru_of(policy);
    uint8_t *memory = (uint8_t *)(nru + 1);

    ring_init(&nru->ring, &memory, config);
}

static uint8_t nru_class(uint8_t state)
{
    return (uint8_t)((state & POLICY_REFERENCED ? 2 : 0) + (state & POLICY_DIRTY ? 1 : 0));
}

static void nru_insert(struct policy *policy, uint32_t page)
{
    struct nru *nru = nru_of(policy);
    uint8_t class;

    ring_put(&nru->ring, page);
    policy->state[page] |= POLICY_REFERENCED;
    class = nru_class(policy->state[page]);
    if (class < nru->lowest)
        nru->lowest = class;
}

/* The place of the first page of the lowest class, RING_NO_PLACE if all are pinned; *class: which. */
static uint32_t nru_search(struct policy *policy, uint8_t *class)
{
    struct nru *nru = nru_of(policy);
    uint32_t place = nru->hand, best = RING_NO_PLACE;

    *class = 4;
    for (uint32_t left = nru->ring.used; left > 0; left--) {
        uint32_t page = nru->ring.page[place];

        if (!(page & RING_FREE) && !policy_is_pinned(policy, page)) {
            uint8_t its = nru_class(policy_state(policy, page));

            if (its < *class) {
                *class = its;
                best = place;
                if (its <= nru->lowest)
                    break;
            }
        }
        place = ring_next(&nru->ring, place);
    }
    return best;
}

static uint32_t nru_victim(struct policy *policy, uint32_t incoming)
{
    struct nru *nru = nru_of(policy);
    uint8_t class;
    uint32_t place = nru_search(policy, &class), page;

    if (place == RING_NO_PLACE)
        return POLICY_NO_PAGE;
    if (class > nru->lowest)
        nru->lowest = class;
    nru->classes[class]++;
    nru->hand = ring_next(&nru->ring, place);
    page = nru->ring.page[place];
    ring_free(&nru->ring, place);
    return page;
}

static void nru_remove(struct policy *policy, uint32_t page)
{
    struct policy_ring *ring = &nru_of(policy)->ring;

    if (policy_is_resident(policy, page))
        ring_free(ring, ring->place[page]);
}

static void nru_tick(struct policy *policy)
{
    struct nru *nru = nru_of(policy);

    for (uint32_t place = 0; place < nru->ring.used; place++)
        if (!ring_is_free(&nru->ring, place))
            (void)policy_take_reference(policy, nru->ring.page[place]);
    nru->lowest = 0;
}

static size_t nru_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    static const char *const names[4] = {"victims_class_0", "victims_class_1", "victims_class_2",
                                         "victims_class_3"};
    size_t count = 0;

    for (; count < 4 && count < most; count++)
        out[count] = (struct policy_counter){names[count], ((const struct nru *)policy)->classes[count]};
    return count;
}

static const char *nru_check(const struct policy *policy)
{
    const struct nru *nru = (const struct nru *)policy;

    if (nru->lowest > 3 || (nru->hand != 0 && nru->hand >= nru->ring.used))
        return "the hand is outside of the ring, or the class is none";
    return ring_check(&nru->ring, policy);
}

static void nru_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, nru_insert, nru_victim);
}

const struct policy_type policy_nru = {
    .name = "nru",
    .title = "not recently used: four classes by reference and dirty bit",
    .source = "Tanenbaum, Modern Operating Systems, the not-recently-used algorithm",
    .needs = POLICY_BITS,
    .prefers_clean = true,
    .frame_bytes = sizeof(uint32_t),
    .bytes = nru_bytes,
    .init = nru_init,
    .insert = nru_insert,
    .victim = nru_victim,
    .remove = nru_remove,
    .tick = nru_tick,
    .counters = nru_counters,
    .check = nru_check,
    .run = nru_run,
};
