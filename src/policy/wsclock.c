/*
 * WSClock: the working set's question asked by a clock's hand. A page that was referenced since the hand last
 * passed has its bit cleared and is used now. One that was not, and was not for `tau` of virtual time, is
 * outside of the working set: it goes when it is clean; when it is dirty its writing is begun, and the hand
 * moves on to find a clean one.
 *
 * R. W. Carr, J. L. Hennessy, "WSClock: A Simple and Effective Algorithm for Virtual Memory Management", SOSP
 * 1981; A. S. Tanenbaum, Modern Operating Systems, "The WSClock Page Replacement Algorithm".
 *
 * When a whole round meets no page outside, memory is smaller than the working set (counter `rounds`, which
 * is load control's to act on), and as Tanenbaum suggests a clean page is taken, or else the one under the
 * hand.
 *
 * Departures: after a dirty page outside the hand looks at `look` further places for a clean one, not at the
 * whole ring; then the dirty one goes. A round that met no page outside knows when the first can be, and
 * until then the hand does not ask: the first page without its bit goes, a clean one if there is one within
 * `look` places. So a victim costs a few steps also when memory is too small. Pages that were pinned in that
 * round are not asked before either.
 *
 * Invariants: the ring holds the resident pages; used[place] is the time of the last known use of the page
 * there, never more than MOST_AGE ago at a tick. ASKED is set only while the page is dirty and on its way.
 */
#include "ring.h"
#include "run.h"

enum { TAU, LOOK, LOAD }; /* options */

#define ASKED ((uint8_t)0x10)        /* in the state byte: to be written, as we asked */
#define MOST_AGE ((uint32_t)1 << 31) /* times go round in 32 bits */

struct wsclock {
    struct policy base;
    struct policy_ring ring;
    uint32_t *used; /* by place */
    uint32_t hand;  /* below ring.used, or 0 */
    uint32_t tau, look;
    uint8_t loaded;       /* POLICY_REFERENCED, or 0 */
    uint64_t quiet_until; /* nobody is outside before */
    uint64_t rounds, outside, inside;
};

static struct wsclock *wsclock_of(struct policy *policy)
{
    return (struct wsclock *)policy;
}

static size_t wsclock_bytes(const struct policy_config *config)
{
    return sizeof(struct wsclock) + ring_bytes(config) + (size_t)config->most_frames * sizeof(uint32_t) + 8;
}

static void wsclock_init(struct policy *policy, const struct policy_config *config)
{
    struct wsclock *wsclock = wsclock_of(policy);
    uint8_t *memory = (uint8_t *)(wsclock + 1);

    ring_init(&wsclock->ring, &memory, config);
    wsclock->used = policy_carve(&memory, config->most_frames * sizeof(uint32_t));
    wsclock->tau = (uint32_t)config->options[TAU];
    wsclock->look = (uint32_t)config->options[LOOK];
    wsclock->loaded = config->options[LOAD] ? POLICY_REFERENCED : 0;
}

static void wsclock_insert(struct policy *policy, uint32_t page)
{
    struct wsclock *wsclock = wsclock_of(policy);

    wsclock->used[ring_put(&wsclock->ring, page)] = (uint32_t)policy->now;
    policy->state[page] |= wsclock->loaded;
}

static uint32_t wsclock_age(const struct wsclock *wsclock, uint32_t place)
{
    return (uint32_t)wsclock->base.now - wsclock->used[place];
}

/* Has the page's bit not been set since the hand last passed? Else it is used now. */
static bool wsclock_idle(struct policy *policy, uint32_t place)
{
    struct wsclock *wsclock = wsclock_of(policy);

    if (!policy_take_reference(policy, wsclock->ring.page[place]))
        return true;
    policy->state[wsclock->ring.page[place]] &= (uint8_t)~ASKED;
    wsclock->used[place] = (uint32_t)policy->now;
    return false;
}

/* True if the page can go at once; else its writing is begun. */
static bool wsclock_clean(struct policy *policy, uint32_t page)
{
    if (!policy_is_dirty(policy, page))
        return true;
    if (!(policy->state[page] & ASKED)) {
        policy->state[page] |= ASKED;
        policy_clean(policy, page);
    }
    return false;
}

/* What the hand has met. */
struct wsclock_round {
    uint32_t dirty;       /* the first place with a dirty page outside, or RING_NO_PLACE */
    uint32_t idle, clean; /* the first with a page inside that is idle; with one that is clean as well */
    uint32_t any;         /* the first that is not pinned */
    uint32_t most_age;    /* of the pages inside */
};

/* True when the page can go. */
static bool wsclock_look(struct policy *policy, uint32_t place, struct wsclock_round *round)
{
    struct wsclock *wsclock = wsclock_of(policy);
    uint32_t page = wsclock->ring.page[place];
    bool idle = wsclock_idle(policy, place);

    if (round->any == RING_NO_PLACE)
        round->any = place;
    if (idle && wsclock_age(wsclock, place) > wsclock->tau) {
        if (wsclock_clean(policy, page))
            return true;
        if (round->dirty == RING_NO_PLACE)
            round->dirty = place;
        return false;
    }
    if (wsclock_age(wsclock, place) > round->most_age)
        round->most_age = wsclock_age(wsclock, place);
    if (idle && round->idle == RING_NO_PLACE)
        round->idle = place;
    if (idle && round->clean == RING_NO_PLACE && !policy_is_dirty(policy, page))
        round->clean = place;
    return false;
}

static uint32_t wsclock_first(uint32_t first, uint32_t second)
{
    return first != RING_NO_PLACE ? first : second;
}

/* A round for a page outside; the place of the page that goes, or RING_NO_PLACE. */
static uint32_t wsclock_outside(struct policy *policy)
{
    struct wsclock *wsclock = wsclock_of(policy);
    struct wsclock_round round = {RING_NO_PLACE, RING_NO_PLACE, RING_NO_PLACE, RING_NO_PLACE, 0};
    uint32_t place = wsclock->hand, further = wsclock->look;

    for (uint32_t left = wsclock->ring.used; left > 0 && further > 0; left--) {
        uint32_t page = wsclock->ring.page[place];

        if (!(page & RING_FREE) && !policy_is_pinned(policy, page) && wsclock_look(policy, place, &round))
            return place;
        further -= round.dirty != RING_NO_PLACE;
        place = ring_next(&wsclock->ring, place);
    }
    if (round.dirty != RING_NO_PLACE || round.any == RING_NO_PLACE)
        return round.dirty;
    wsclock->rounds++;
    wsclock->quiet_until = policy->now + (wsclock->tau - round.most_age);
    return wsclock_first(round.clean, wsclock_first(round.idle, round.any));
}

/* The first page without its bit, clean if one is near; the place, or RING_NO_PLACE. */
static uint32_t wsclock_inside(struct policy *policy)
{
    struct wsclock *wsclock = wsclock_of(policy);
    uint32_t place = wsclock->hand, further = wsclock->look, idle = RING_NO_PLACE, any = RING_NO_PLACE;

    for (uint32_t left = wsclock->ring.used; left > 0 && further > 0; left--) {
        uint32_t page = wsclock->ring.page[place];

        if (!(page & RING_FREE) && !policy_is_pinned(policy, page)) {
            any = wsclock_first(any, place);
            if (wsclock_idle(policy, place)) {
                if (!policy_is_dirty(policy, page))
                    return place;
                idle = wsclock_first(idle, place);
            }
        }
        further -= idle != RING_NO_PLACE;
        place = ring_next(&wsclock->ring, place);
    }
    return wsclock_first(idle, any);
}

static uint32_t wsclock_victim(struct policy *policy, uint32_t incoming)
{
    struct wsclock *wsclock = wsclock_of(policy);
    bool quiet = policy->now <= wsclock->quiet_until && wsclock->rounds > 0;
    uint32_t place = quiet ? wsclock_inside(policy) : wsclock_outside(policy), page;

    if (place == RING_NO_PLACE)
        return POLICY_NO_PAGE;
    if (wsclock_age(wsclock, place) > wsclock->tau)
        wsclock->outside++;
    else
        wsclock->inside++;
    wsclock->hand = ring_next(&wsclock->ring, place);
    page = wsclock->ring.page[place];
    policy->state[page] &= (uint8_t)~ASKED;
    ring_free(&wsclock->ring, place);
    return page;
}

static void wsclock_remove(struct policy *policy, uint32_t page)
{
    struct policy_ring *ring = &wsclock_of(policy)->ring;

    if (policy_is_resident(policy, page))
        ring_free(ring, ring->place[page]);
}

/* Times must not go round unnoticed. */
static void wsclock_tick(struct policy *policy)
{
    struct wsclock *wsclock = wsclock_of(policy);

    for (uint32_t place = 0; place < wsclock->ring.used; place++)
        if (wsclock_age(wsclock, place) > MOST_AGE)
            wsclock->used[place] = (uint32_t)policy->now - MOST_AGE;
}

static size_t wsclock_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    const struct wsclock *wsclock = (const struct wsclock *)policy;
    const struct policy_counter counters[] = {{"victims_outside", wsclock->outside},
                                              {"victims_inside", wsclock->inside},
                                              {"rounds", wsclock->rounds}};
    size_t count = 0;

    for (; count < sizeof(counters) / sizeof(counters[0]) && count < most; count++)
        out[count] = counters[count];
    return count;
}

static const char *wsclock_check(const struct policy *policy)
{
    const struct wsclock *wsclock = (const struct wsclock *)policy;

    if (wsclock->hand != 0 && wsclock->hand >= wsclock->ring.used)
        return "the hand is outside of the ring";
    return ring_check(&wsclock->ring, policy);
}

static void wsclock_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, wsclock_insert, wsclock_victim);
}

const struct policy_type policy_wsclock = {
    .name = "wsclock",
    .title = "a clock that asks whether a page is outside of the working set",
    .source = "Carr and Hennessy, WSClock, SOSP 1981",
    .needs = POLICY_BITS,
    .prefers_clean = true,
    .frame_bytes = 2 * sizeof(uint32_t),
    .options = {{"tau", 100000, 0, (uint64_t)1 << 30, NULL, "the window, in references"},
                {"look", 32, 1, 65536, NULL, "how far to look for a clean page behind a dirty one"},
                {"load", 1, 0, 1, "clear set", "the reference bit of a page that has just come"}},
    .bytes = wsclock_bytes,
    .init = wsclock_init,
    .insert = wsclock_insert,
    .victim = wsclock_victim,
    .remove = wsclock_remove,
    .tick = wsclock_tick,
    .counters = wsclock_counters,
    .check = wsclock_check,
    .run = wsclock_run,
};
