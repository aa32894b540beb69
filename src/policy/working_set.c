/*
 * Working set: a page that was not referenced for `tau` of virtual time is outside of the working set, and
 * goes. If every page is inside, the one whose last use is longest ago goes, and memory is too small.
 *
 * P. J. Denning, "The Working Set Model for Program Behavior", CACM 11(5), 1968; as an algorithm on reference
 * bits: A. S. Tanenbaum, Modern Operating Systems, "The Working Set Page Replacement Algorithm".
 *
 * At a fault the table is searched from where the last search ended. A page with its bit set is in use; one
 * with its bit clear and older than tau goes; of the others the oldest is remembered. At a tick pages with
 * their bit set have been used now, and bits are cleared. A search may look at every page: wsclock is the one
 * to run, this one is to be compared with.
 *
 * Departures: the search stops at the page that goes, and the next goes on behind it. Last uses are noted at
 * ticks, so that no reference between a fault and the next tick is lost. When every bit is set, the first
 * clean page goes, or the first one. Pages that leave the working set while there is room stay until it is
 * needed.
 *
 * Bits are cleared at ticks, so until the next one a page can only leave those whose bit is clear. What a
 * search of the whole table has learnt of them holds that long: how old the oldest is, behind which the next
 * search need not look, or that there is none. (A host that clears a bit by itself, of a page that it read
 * ahead, has that page looked at when the hand comes by.)
 *
 * Invariants: the ring holds the resident pages; used[place] is the time of the last use of the page there,
 * never more than MOST_AGE ago at a tick.
 */
#include "ring.h"
#include "run.h"

enum { TAU }; /* options */

#define MOST_AGE ((uint32_t)1 << 31) /* times go round in 32 bits */

struct working_set {
    struct policy base;
    struct policy_ring ring;
    uint32_t *used; /* by place */
    uint32_t hand;  /* below ring.used, or 0 */
    uint32_t tau;
    uint32_t oldest;                  /* no page whose bit is clear was used before */
    bool all_set;                     /* no bit is clear */
    uint32_t size;                    /* pages inside at the last tick */
    uint64_t outside, inside, in_use; /* victims */
};

static struct working_set *set_of(struct policy *policy)
{
    return (struct working_set *)policy;
}

static size_t set_bytes(const struct policy_config *config)
{
    return sizeof(struct working_set) + ring_bytes(config) + (size_t)config->most_frames * sizeof(uint32_t) +
           8;
}

static void set_init(struct policy *policy, const struct policy_config *config)
{
    struct working_set *set = set_of(policy);
    uint8_t *memory = (uint8_t *)(set + 1);

    ring_init(&set->ring, &memory, config);
    set->used = policy_carve(&memory, config->most_frames * sizeof(uint32_t));
    set->tau = (uint32_t)config->options[TAU];
}

static void set_insert(struct policy *policy, uint32_t page)
{
    struct working_set *set = set_of(policy);

    set->used[ring_put(&set->ring, page)] = (uint32_t)policy->now;
    policy->state[page] |= POLICY_REFERENCED;
}

static uint32_t set_age(const struct working_set *set, uint32_t place)
{
    return (uint32_t)set->base.now - set->used[place];
}

/* What a search has met. */
struct set_search {
    uint32_t outside, oldest, clean, any; /* places, or RING_NO_PLACE */
    bool pinned;                          /* not looked at */
};

/* True when it has found a page outside, or one than which none can be better. */
static bool set_look(struct policy *policy, uint32_t place, struct set_search *search)
{
    const struct working_set *set = set_of(policy);
    uint8_t state = policy_state(policy, set->ring.page[place]);

    if (state & POLICY_REFERENCED) {
        if (!(state & POLICY_DIRTY) && search->clean == RING_NO_PLACE)
            search->clean = place;
        if (search->any == RING_NO_PLACE)
            search->any = place;
        return set->all_set && search->clean == place;
    }
    if (set_age(set, place) > set->tau)
        search->outside = place;
    else if (search->oldest == RING_NO_PLACE || set_age(set, place) > set_age(set, search->oldest))
        search->oldest = place;
    return search->outside == place || set_age(set, place) >= (uint32_t)set->base.now - set->oldest;
}

/* All pages were looked at, and none was outside. Those that are pinned now may be the oldest afterwards. */
static void set_learn(struct working_set *set, const struct set_search *search)
{
    if (search->pinned)
        return;
    set->all_set = search->oldest == RING_NO_PLACE;
    if (!set->all_set)
        set->oldest = set->used[search->oldest];
}

static uint32_t set_choose(struct working_set *set, const struct set_search *search)
{
    if (search->outside != RING_NO_PLACE) {
        set->outside++;
        return search->outside;
    }
    if (search->oldest != RING_NO_PLACE) {
        set->inside++;
        return search->oldest;
    }
    set->in_use += search->any != RING_NO_PLACE;
    return search->clean != RING_NO_PLACE ? search->clean : search->any;
}

static uint32_t set_victim(struct policy *policy, uint32_t incoming)
{
    struct working_set *set = set_of(policy);
    struct set_search search = {RING_NO_PLACE, RING_NO_PLACE, RING_NO_PLACE, RING_NO_PLACE, false};
    uint32_t place = set->hand, left = set->ring.used, page;

    for (; left > 0; left--, place = ring_next(&set->ring, place)) {
        if (ring_is_free(&set->ring, place))
            continue;
        if (policy_is_pinned(policy, set->ring.page[place]))
            search.pinned = true;
        else if (set_look(policy, place, &search))
            break;
    }
    if (left == 0)
        set_learn(set, &search);
    place = set_choose(set, &search);
    if (place == RING_NO_PLACE)
        return POLICY_NO_PAGE;
    set->hand = ring_next(&set->ring, place);
    page = set->ring.page[place];
    ring_free(&set->ring, place);
    return page;
}

static void set_remove(struct policy *policy, uint32_t page)
{
    struct policy_ring *ring = &set_of(policy)->ring;

    if (policy_is_resident(policy, page))
        ring_free(ring, ring->place[page]);
}

static void set_tick(struct policy *policy)
{
    struct working_set *set = set_of(policy);

    set->size = 0;
    set->all_set = false;
    set->oldest = (uint32_t)policy->now;
    for (uint32_t place = 0; place < set->ring.used; place++) {
        if (ring_is_free(&set->ring, place))
            continue;
        if (policy_take_reference(policy, set->ring.page[place]))
            set->used[place] = (uint32_t)policy->now;
        else if (set_age(set, place) > MOST_AGE)
            set->used[place] = (uint32_t)policy->now - MOST_AGE;
        set->size += set_age(set, place) <= set->tau;
        if (set_age(set, place) > (uint32_t)policy->now - set->oldest)
            set->oldest = set->used[place];
    }
}

static size_t set_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    const struct working_set *set = (const struct working_set *)policy;
    const struct policy_counter counters[] = {{"working_set", set->size},
                                              {"victims_outside", set->outside},
                                              {"victims_inside", set->inside},
                                              {"victims_in_use", set->in_use}};
    size_t count = 0;

    for (; count < sizeof(counters) / sizeof(counters[0]) && count < most; count++)
        out[count] = counters[count];
    return count;
}

static const char *set_check(const struct policy *policy)
{
    const struct working_set *set = (const struct working_set *)policy;

    if (set->hand != 0 && set->hand >= set->ring.used)
        return "the hand is outside of the ring";
    return ring_check(&set->ring, policy);
}

static void set_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, set_insert, set_victim);
}

const struct policy_type policy_working_set = {
    .name = "working-set",
    .title = "pages not referenced for tau go; the oldest if there are none",
    .source = "Denning, The Working Set Model for Program Behavior, 1968",
    .needs = POLICY_BITS,
    .frame_bytes = 2 * sizeof(uint32_t),
    .options = {{"tau", 100000, 0, (uint64_t)1 << 30, NULL, "the window, in references"}},
    .bytes = set_bytes,
    .init = set_init,
    .insert = set_insert,
    .victim = set_victim,
    .remove = set_remove,
    .tick = set_tick,
    .counters = set_counters,
    .check = set_check,
    .run = set_run,
};
