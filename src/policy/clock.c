/*
 * Clock: the pages in a ring, and a hand. A page under the hand that was referenced since the hand last
 * passed is spared and its bit cleared; the first that was not goes, and its place takes the page that comes.
 *
 * F. J. Corbató, "A Paging Experiment with the Multics System", 1968, with one bit. Two habits exist:
 * textbooks load a page with its reference bit set (load=set), simulators of caches often with the bit clear
 * (load=clear).
 *
 *      ring   | 7 | 3 | . | 4 | 1 |        the hand points to the oldest page
 *                       ^hand              a free place holds FREE and the number of the next free one
 *
 * Departure: a page that comes when no victim has just gone (the ring grows, or a page was removed) takes the
 * place freed last, which may be anywhere in the ring.
 *
 * Invariants: a resident page has one place, place[page] names it (kept only if pages are removed); the chain
 * from `free` holds every other place below `used`.
 */
#include "policy_internal.h"
#include "run.h"

enum { LOAD }; /* options */

#define FREE ((uint32_t)1 << 31) /* pages' numbers are below */
#define NO_PLACE (FREE - 1)

struct clock {
    struct policy base;
    uint32_t *ring;  /* by place */
    uint32_t *place; /* by page; NULL when nothing is removed */
    uint32_t used;   /* places ever taken, at most base.most_frames */
    uint32_t hand;   /* below used, or 0 */
    uint32_t free;   /* the first free place, or NO_PLACE */
    uint8_t loaded;  /* POLICY_REFERENCED, or 0 */
    uint64_t spared;
};

static struct clock *clock_of(struct policy *policy)
{
    return (struct clock *)policy;
}

static size_t clock_bytes(const struct policy_config *config)
{
    size_t words = (size_t)config->most_frames + (config->removes ? config->pages : 0);

    return sizeof(struct clock) + words * sizeof(uint32_t) + 2 * sizeof(uint64_t);
}

static void clock_init(struct policy *policy, const struct policy_config *config)
{
    struct clock *clock = clock_of(policy);
    uint8_t *memory = (uint8_t *)(clock + 1);

    clock->ring = policy_carve(&memory, config->most_frames * sizeof(uint32_t));
    clock->place = config->removes ? policy_carve(&memory, config->pages * sizeof(uint32_t)) : NULL;
    clock->free = NO_PLACE;
    clock->loaded = config->options[LOAD] ? POLICY_REFERENCED : 0;
}

static void clock_insert(struct policy *policy, uint32_t page)
{
    struct clock *clock = clock_of(policy);
    uint32_t place = clock->free;

    if (place != NO_PLACE)
        clock->free = clock->ring[place] & ~FREE;
    else
        place = clock->used++;
    clock->ring[place] = page;
    if (clock->place)
        clock->place[page] = place;
    policy->state[page] |= clock->loaded;
}

static void clock_free(struct clock *clock, uint32_t place)
{
    clock->ring[place] = FREE | clock->free;
    clock->free = place;
}

static uint32_t clock_next(const struct clock *clock, uint32_t place)
{
    return place + 1 == clock->used ? 0 : place + 1;
}

static uint32_t clock_victim(struct policy *policy, uint32_t incoming)
{
    struct clock *clock = clock_of(policy);

    /* Two rounds: in the first, every bit may be set. Bits that come back meanwhile do not make it endless.
     */
    for (uint64_t left = 2 * (uint64_t)clock->used; left > 0; left--) {
        uint32_t place = clock->hand, page = clock->ring[place];

        clock->hand = clock_next(clock, place);
        if ((page & FREE) || policy_is_pinned(policy, page))
            continue;
        if (policy_take_reference(policy, page) && left > clock->used) {
            clock->spared++;
            continue;
        }
        clock_free(clock, place);
        return page;
    }
    return POLICY_NO_PAGE;
}

static void clock_remove(struct policy *policy, uint32_t page)
{
    struct clock *clock = clock_of(policy);

    if (policy_is_resident(policy, page))
        clock_free(clock, clock->place[page]);
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
    uint32_t pages = 0, free = 0;

    if (clock->used > policy->most_frames || (clock->hand != 0 && clock->hand >= clock->used))
        return "the ring is longer than memory, or the hand is outside of it";
    for (uint32_t place = 0; place < clock->used; place++) {
        uint32_t page = clock->ring[place];

        if (page & FREE)
            continue;
        pages++;
        if (page >= policy->pages || !policy_is_resident(policy, page))
            return "a place holds a page that is not resident";
        if (clock->place && clock->place[page] != place)
            return "a page does not know its place";
    }
    for (uint32_t place = clock->free; place != NO_PLACE; place = clock->ring[place] & ~FREE)
        if (place >= clock->used || !(clock->ring[place] & FREE) || ++free > clock->used)
            return "the chain of free places is broken";
    return pages != policy->resident || pages + free != clock->used ? "a resident page has no place" : NULL;
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
    .page_bytes = 0,
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
