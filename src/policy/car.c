/*
 * CAR: ARC with clocks in place of its LRU lists, so that reference bits are all it needs. T1 holds pages
 * that came once, T2 those that came back or were referenced in T1; B1 and B2 their ghosts.
 *
 * The hand of T1 takes the first page that was not referenced; the others move to T2. The hand of T2 takes
 * the first that was not referenced; the others get another round.
 *
 * S. Bansal and D. S. Modha, "CAR: Clock with Adaptive Replacement", FAST 2004, figure 2.
 *
 * Departure: a ghost that is wanted leaves its list before a victim is looked for, not after; the target
 * moves after that, as in the paper. With nothing that may go where the paper looks, the other clock gives.
 * Bits that come back meanwhile do not make it endless: after three looks for each page the oldest goes.
 *
 * Invariants: T1 and T2 hold the resident pages (the hand is at the oldest), B1 and B2 those with CAR_GHOST;
 * CAR_TWICE tells T2 and B2 from T1 and B1. A page that is neither but has CAR_TWICE is about to come back.
 */
#include "arc_target.h"
#include "order.h"
#include "run.h"

enum { T1, T2, B1, B2, HEADS }; /* lists; their heads are past the pages */
enum { CAR_TWICE = 0x10, CAR_GHOST = 0x20, CAR_LIST = POLICY_RESIDENT | CAR_TWICE | CAR_GHOST };

struct car {
    struct policy base;
    struct order_link *links;
    uint32_t count[HEADS];
    uint64_t target; /* of T1: arc_target.h */
    uint64_t spared, returned[2];
};

static struct car *car_of(struct policy *policy)
{
    return (struct car *)policy;
}

static size_t car_bytes(const struct policy_config *config)
{
    return sizeof(struct car) + order_bytes(config, HEADS);
}

static void car_init(struct policy *policy, const struct policy_config *config)
{
    struct car *car = car_of(policy);
    uint8_t *memory = (uint8_t *)(car + 1);

    car->links = order_carve(&memory, config, HEADS);
}

static void put(struct policy *policy, unsigned list, uint32_t page)
{
    order_add(car_of(policy)->links, policy->pages + list, page);
    car_of(policy)->count[list]++;
}

static void take(struct policy *policy, unsigned list, uint32_t page)
{
    order_remove(car_of(policy)->links, page);
    car_of(policy)->count[list]--;
}

static void forget_ghost(struct policy *policy, unsigned list)
{
    uint32_t page = order_oldest(car_of(policy)->links, policy->pages + list);

    take(policy, list, page);
    policy->state[page] &= (uint8_t) ~(CAR_GHOST | CAR_TWICE);
    policy_forget(policy, page);
}

/* A ghost is wanted: it will go to T2. Returns the list that it was in, HEADS if it was no ghost. */
static unsigned bring_back(struct policy *policy, uint32_t page)
{
    struct car *car = car_of(policy);
    unsigned list = policy->state[page] & CAR_TWICE ? B2 : B1;

    if (!(policy->state[page] & CAR_GHOST))
        return HEADS;
    car->returned[list - B1]++;
    take(policy, list, page);
    policy->state[page] = (policy->state[page] & (uint8_t)~CAR_GHOST) | CAR_TWICE;
    return list;
}

/* The page that was brought back counts as one of its list still. */
static void learn(struct policy *policy, unsigned from)
{
    struct car *car = car_of(policy);
    uint32_t *count = car->count;

    if (from == B1)
        car->target = arc_grow(car->target, arc_step(count[B1] + 1, count[B2]), policy->frames);
    else if (from == B2)
        car->target = arc_shrink(car->target, arc_step(count[B2] + 1, count[B1]));
}

static void car_insert(struct policy *policy, uint32_t page)
{
    learn(policy, bring_back(policy, page));
    put(policy, policy->state[page] & CAR_TWICE ? T2 : T1, page);
}

/* T1 gives while it has as many pages as its target, at least 1; T2 has some if it does not. */
static unsigned car_giver(const struct policy *policy)
{
    const struct car *car = (const struct car *)policy;
    uint64_t target = car->target > ARC_FRAME ? car->target : ARC_FRAME;

    if (car->count[T2] == 0)
        return T1;
    return arc_above(car->count[T1], target) || arc_equal(car->count[T1], target) ? T1 : T2;
}

/* Where every page is pinned in one clock, the other gives. */
static uint32_t car_any(struct policy *policy, unsigned *list)
{
    struct car *car = car_of(policy);
    uint32_t page = order_oldest_free(policy, car->links, policy->pages + T1);

    *list = page != POLICY_NO_PAGE ? T1 : T2;
    return *list == T1 ? page : order_oldest_free(policy, car->links, policy->pages + T2);
}

/* The first page under either hand that was not referenced, and its clock. */
static uint32_t car_find(struct policy *policy, unsigned *list)
{
    struct car *car = car_of(policy);

    for (uint64_t left = 3 * (uint64_t)policy->resident; left > 0; left--) {
        uint32_t page;

        *list = car_giver(policy);
        page = order_oldest(car->links, policy->pages + *list);
        if (policy_is_pinned(policy, page)) {
            order_move(car->links, policy->pages + *list, page);
            continue;
        }
        if (!policy_take_reference(policy, page))
            return page;
        car->spared++;
        take(policy, *list, page);
        policy->state[page] |= CAR_TWICE;
        put(policy, T2, page);
    }
    return car_any(policy, list);
}

/* The page that is coming is new: with it T1 and B1 are at most as many as frames, all at most twice that. */
static void forget_ghosts(struct policy *policy)
{
    uint32_t *count = car_of(policy)->count;

    if (count[B1] > 0 && count[T1] + count[B1] >= policy->frames)
        forget_ghost(policy, B1);
    else if (count[B2] > 0 &&
             (uint64_t)count[T1] + count[T2] + count[B1] + count[B2] >= 2 * (uint64_t)policy->frames)
        forget_ghost(policy, B2);
}

static uint32_t car_victim(struct policy *policy, uint32_t incoming)
{
    unsigned list, from;
    uint32_t page;

    if (!order_either_free(policy, car_of(policy)->links, policy->pages + T1, policy->pages + T2))
        return POLICY_NO_PAGE;
    from = incoming != POLICY_NO_PAGE ? bring_back(policy, incoming) : HEADS;
    page = car_find(policy, &list);
    if (page == POLICY_NO_PAGE)
        return page;
    take(policy, list, page);
    policy->state[page] |= CAR_GHOST;
    put(policy, list == T1 ? B1 : B2, page);
    if (from == HEADS)
        forget_ghosts(policy);
    learn(policy, from);
    return page;
}

static void car_resize(struct policy *policy)
{
    struct car *car = car_of(policy);
    uint32_t *count = car->count;

    while (count[B1] > 0 && count[T1] + count[B1] > policy->frames)
        forget_ghost(policy, B1);
    while (count[B2] > 0 &&
           (uint64_t)count[T1] + count[T2] + count[B1] + count[B2] > 2 * (uint64_t)policy->frames)
        forget_ghost(policy, B2);
    car->target = arc_grow(car->target, 0, policy->frames);
}

static void car_remove(struct policy *policy, uint32_t page)
{
    uint8_t state = policy->state[page];

    if (state & (POLICY_RESIDENT | CAR_GHOST))
        take(policy, (state & CAR_GHOST ? B1 : T1) + (state & CAR_TWICE ? T2 : T1), page);
}

static size_t car_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    const struct car *car = (const struct car *)policy;
    const struct policy_counter all[] = {{"target", car->target / ARC_FRAME},
                                         {"spared", car->spared},
                                         {"returned-once", car->returned[0]},
                                         {"returned-twice", car->returned[1]},
                                         {"ghosts", car->count[B1] + car->count[B2]}};

    return policy_copy_counters(all, sizeof(all) / sizeof(all[0]), out, most);
}

static const char *car_check(const struct policy *policy)
{
    static const uint8_t state[HEADS] = {POLICY_RESIDENT, POLICY_RESIDENT | CAR_TWICE, CAR_GHOST,
                                         CAR_GHOST | CAR_TWICE};
    const struct car *car = (const struct car *)policy;

    for (unsigned list = 0; list < HEADS; list++)
        if (!order_holds(policy, car->links, policy->pages + list, CAR_LIST, state[list], car->count[list]))
            return "a list does not hold the pages that are marked as its own";
    return car->target > policy->frames * ARC_FRAME ? "the target is larger than memory" : NULL;
}

static void car_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, car_insert, car_victim);
}

const struct policy_type policy_car = {
    .name = "car",
    .title = "ARC with two clocks in place of its lists",
    .source = "Bansal and Modha, CAR: Clock with Adaptive Replacement, FAST 2004",
    .needs = POLICY_BITS,
    .ghosts = 2,
    .page_bytes = sizeof(struct order_link),
    .bytes = car_bytes,
    .init = car_init,
    .insert = car_insert,
    .victim = car_victim,
    .remove = car_remove,
    .resize = car_resize,
    .counters = car_counters,
    .check = car_check,
    .run = car_run,
};
