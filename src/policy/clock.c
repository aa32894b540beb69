/*
 * Clock: the pages in a ring, and a hand. A page under the hand that was referenced since the hand last
 * passed is spared and its bit cleared; the first that was not goes, and its place takes the page that comes.
 *
 * F. J. Corbató, "A Paging Experiment with the Multics System", 1968, with one bit. Two habits exist:
 * textbooks load a page with its reference bit set (load=set), simulators of caches often with the bit clear
 * (load=clear).
 *
 *      ring   | 7 | 3 | . | 4 | 1 |        the hand points to the oldest page
 *                       ^hand
 *
 * Departure: a page that comes when no victim has just gone takes a place that may be anywhere in the ring
 * (ring.h).
 *
 * Invariants: the ring holds the resident pages.
 */
#include "ring.h"
#include "run.h"

enum { LOAD }; /* options */

struct clock {
    struct policy base;
    struct policy_ring ring;
    uint32_t hand;  /* below ring.used, or 0 */
    uint8_t loaded; /* POLICY_REFERENCED, or 0 */
    uint64_t spared;
};

static struct clock *clock_of(struct policy *policy)
{
    return (struct clock *)policy;
}

static size_t clock_bytes(const struct policy_config *config)
{
    return sizeof(struct clock) + ring_bytes(config);
}

static void clock_init(struct policy *policy, const struct policy_config *config)
{
    struct clock *clock = clock_of(policy);
    uint8_t *memory = (uint8_t *)(clock + 1);

    ring_init(&clock->ring, &memory, config);
    clock->loaded = config->options[LOAD] ? POLICY_REFERENCED : 0;
}

static void clock_insert(struct policy *policy, uint32_t page)
{
    struct clock *clock = clock_of(policy);

    ring_put(&clock->ring, page);
    policy->state[page] |= clock->loaded;
}

static uint32_t clock_victim(struct policy *policy, uint32_t incoming)
{
    struct clock *clock = clock_of(policy);
    /* Locals, because every store of a state byte is a change of anything to the compiler. */
    bool asks = policy->host->harvest || policy->host->spares;
    const uint32_t *pages = clock->ring.page;
    uint32_t used = clock->ring.used, hand = clock->hand, victim = POLICY_NO_PAGE;
    uint8_t *state = policy->state;

    /* In the first round every bit may be set; bits that come back meanwhile do not make it endless. */
    for (uint64_t left = 2 * (uint64_t)used; left > 0 && victim == POLICY_NO_PAGE; left--) {
        uint32_t place = hand, page = pages[place];
        uint8_t seen;

        hand = place + 1 >= used ? 0 : place + 1;
        if ((page & RING_FREE) || (asks && policy_is_pinned(policy, page)))
            continue;
        seen = asks ? policy_state(policy, page) : state[page];
        if (seen & POLICY_PINNED)
            continue;
        state[page] = seen & (uint8_t)~POLICY_REFERENCED;
        if ((seen & POLICY_REFERENCED) && left > used) {
            clock->spared++;
            continue;
        }
        ring_free(&clock->ring, place);
        victim = page;
    }
    clock->hand = hand;
    return victim;
}

static void clock_remove(struct policy *policy, uint32_t page)
{
    struct clock *clock = clock_of(policy);

    if (policy_is_resident(policy, page))
        ring_free(&clock->ring, clock->ring.place[page]);
}

static size_t clock_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    if (most > 0)
        out[0] = (struct policy_counter){"spared", ((const struct clock *)policy)->spared};
    return most > 0;
}

static const char *clock_check(const struct policy *policy)
{
    const struct clock *clock = (const struct clock *)policy;

    if (clock->hand != 0 && clock->hand >= clock->ring.used)
        return "the hand is outside of the ring";
    return ring_check(&clock->ring, policy);
}

static void clock_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, clock_insert, clock_victim);
}

const struct policy_type policy_clock = {
    .name = "clock",
    .title = "a ring and a hand; referenced pages get another round",
    .source = "Corbató, A Paging Experiment with the Multics System, 1968",
    .needs = POLICY_BITS,
    .frame_bytes = sizeof(uint32_t),
    .options = {{"load", 1, 0, 1, "clear set", "the reference bit of a page that has just come"}},
    .bytes = clock_bytes,
    .init = clock_init,
    .insert = clock_insert,
    .victim = clock_victim,
    .remove = clock_remove,
    .counters = clock_counters,
    .check = clock_check,
    .run = clock_run,
};
