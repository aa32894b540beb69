/*
 * Two-handed clock: two hands go round the ring of pages together, a fixed part of it apart. The front hand
 * clears reference bits; the back hand takes the pages that were not referenced since. A page has the time
 * between the hands to prove that it is used, not that of a whole round, which grows with memory.
 *
 * S. J. Leffler, M. K. McKusick, M. J. Karels, J. S. Quarterman, The Design and Implementation of the 4.3BSD
 * UNIX Operating System, 1989, "Page Replacement"; M. J. Bach wrote of the same habit in System V.
 *
 *      ring   | 7 | 3 | 9 | 4 | 1 | 8 |    with spread=50 the front is half a ring before the back
 *                   ^back       ^front     spread=100: one hand that looks, then clears
 *
 * Departures: the hands move when a page is wanted, not at a rate that depends on free memory. A page that
 * comes when no victim has just gone takes a place that may be anywhere in the ring (ring.h).
 *
 * Invariants: the ring holds the resident pages.
 */
#include "ring.h"
#include "run.h"

enum { SPREAD, LOAD }; /* options */

struct two_handed {
    struct policy base;
    struct policy_ring ring;
    uint32_t back;   /* below ring.used, or 0 */
    uint32_t spread; /* percent */
    uint8_t loaded;  /* POLICY_REFERENCED, or 0 */
    uint64_t cleared;
};

static struct two_handed *hands_of(struct policy *policy)
{
    return (struct two_handed *)policy;
}

static size_t hands_bytes(const struct policy_config *config)
{
    return sizeof(struct two_handed) + ring_bytes(config);
}

static void hands_init(struct policy *policy, const struct policy_config *config)
{
    struct two_handed *hands = hands_of(policy);
    uint8_t *memory = (uint8_t *)(hands + 1);

    ring_init(&hands->ring, &memory, config);
    hands->spread = (uint32_t)config->options[SPREAD];
    hands->loaded = config->options[LOAD] ? POLICY_REFERENCED : 0;
}

static void hands_insert(struct policy *policy, uint32_t page)
{
    struct two_handed *hands = hands_of(policy);

    ring_put(&hands->ring, page);
    policy->state[page] |= hands->loaded;
}

/* Where the front hand is. */
static uint32_t hands_front(const struct two_handed *hands)
{
    uint64_t place = hands->back + (uint64_t)hands->ring.used * hands->spread / 100;

    return (uint32_t)(place >= hands->ring.used ? place - hands->ring.used : place);
}

static void hands_clear(struct policy *policy, uint32_t place)
{
    struct two_handed *hands = hands_of(policy);

    if (!ring_is_free(&hands->ring, place))
        hands->cleared += policy_take_reference(policy, hands->ring.page[place]);
}

static uint32_t hands_victim(struct policy *policy, uint32_t incoming)
{
    struct two_handed *hands = hands_of(policy);
    uint32_t front = hands_front(hands), used = hands->ring.used;

    /* After one round all bits were cleared once. In the third, bits that came back do not count. */
    for (uint64_t left = 3 * (uint64_t)used; left > 0; left--) {
        uint32_t place = hands->back, page = hands->ring.page[place];
        bool goes = !(page & RING_FREE) && !policy_is_pinned(policy, page) &&
                    (!(policy_state(policy, page) & POLICY_REFERENCED) || left <= used);

        hands_clear(policy, front);
        front = ring_next(&hands->ring, front);
        hands->back = ring_next(&hands->ring, place);
        if (goes) {
            ring_free(&hands->ring, place);
            return page;
        }
    }
    return POLICY_NO_PAGE;
}

static void hands_remove(struct policy *policy, uint32_t page)
{
    struct policy_ring *ring = &hands_of(policy)->ring;

    if (policy_is_resident(policy, page))
        ring_free(ring, ring->place[page]);
}

static size_t hands_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    if (most > 0)
        out[0] = (struct policy_counter){"cleared", ((const struct two_handed *)policy)->cleared};
    return most > 0;
}

static const char *hands_check(const struct policy *policy)
{
    const struct two_handed *hands = (const struct two_handed *)policy;

    if (hands->back != 0 && hands->back >= hands->ring.used)
        return "the back hand is outside of the ring";
    return ring_check(&hands->ring, policy);
}

static void hands_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, hands_insert, hands_victim);
}

const struct policy_type policy_two_handed_clock = {
    .name = "two-handed-clock",
    .title = "one hand clears reference bits, another follows and takes pages",
    .source = "Leffler and others, Design and Implementation of 4.3BSD, 1989",
    .needs = POLICY_BITS,
    .frame_bytes = sizeof(uint32_t),
    .options = {{"spread", 50, 1, 100, NULL, "how far apart the hands are, in percent of the ring"},
                {"load", 1, 0, 1, "clear set", "the reference bit of a page that has just come"}},
    .bytes = hands_bytes,
    .init = hands_init,
    .insert = hands_insert,
    .victim = hands_victim,
    .remove = hands_remove,
    .counters = hands_counters,
    .check = hands_check,
    .run = hands_run,
};
