/*
 * ARC: pages that were referenced once (T1) and more than once (T2), each list LRU, with as many ghosts of
 * either as there are frames (B1, B2). A page that comes back from B1 says that T1 should have been larger,
 * one from B2 that T2 should have been; the target for T1 moves accordingly.
 *
 *      | T1: once | B1: its ghosts |        | T2: twice or more | B2: its ghosts |
 *       newest     at most c in both               c frames, at most 2c in all four
 *
 * N. Megiddo and D. S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003, figure 4.
 *
 * Departure: with nothing that may go where the paper looks, the other list gives.
 *
 * Invariants: T1 and T2 hold the resident pages, B1 and B2 those with ARC_GHOST; ARC_TWICE tells T2 and B2
 * from T1 and B1. A page that is neither but has ARC_TWICE is about to come back.
 */
#include "arc_target.h"
#include "order.h"
#include "run.h"

enum { T1, T2, B1, B2, HEADS }; /* lists; their heads are past the pages */
enum { ARC_TWICE = 0x10, ARC_GHOST = 0x20, ARC_LIST = POLICY_RESIDENT | ARC_TWICE | ARC_GHOST };

struct arc {
    struct policy base;
    struct order_link *links;
    uint32_t count[HEADS];
    uint64_t target; /* of T1: arc_target.h */
    uint64_t returned[2];
};

static struct arc *arc_of(struct policy *policy)
{
    return (struct arc *)policy;
}

static size_t arc_bytes(const struct policy_config *config)
{
    return sizeof(struct arc) + order_bytes(config, HEADS);
}

static void arc_init(struct policy *policy, const struct policy_config *config)
{
    struct arc *arc = arc_of(policy);
    uint8_t *memory = (uint8_t *)(arc + 1);

    arc->links = order_carve(&memory, config, HEADS);
}

static void put(struct policy *policy, unsigned list, uint32_t page)
{
    order_add(arc_of(policy)->links, policy->pages + list, page);
    arc_of(policy)->count[list]++;
}

static void take(struct policy *policy, unsigned list, uint32_t page)
{
    order_remove(arc_of(policy)->links, page);
    arc_of(policy)->count[list]--;
}

static void forget_ghost(struct policy *policy, unsigned list)
{
    uint32_t page = order_oldest(arc_of(policy)->links, policy->pages + list);

    take(policy, list, page);
    policy->state[page] &= (uint8_t) ~(ARC_GHOST | ARC_TWICE);
    policy_forget(policy, page);
}

static void arc_touch(struct policy *policy, uint32_t page)
{
    struct arc *arc = arc_of(policy);

    if (policy->state[page] & ARC_TWICE) {
        order_move(arc->links, policy->pages + T2, page);
        return;
    }
    take(policy, T1, page);
    policy->state[page] |= ARC_TWICE;
    put(policy, T2, page);
}

/* A ghost is wanted: the target moves, and the page will go to T2. Returns the list that it was in, HEADS if
 * it was no ghost. */
static unsigned bring_back(struct policy *policy, uint32_t page)
{
    struct arc *arc = arc_of(policy);
    unsigned list = policy->state[page] & ARC_TWICE ? B2 : B1;
    uint64_t step;

    if (!(policy->state[page] & ARC_GHOST))
        return HEADS;
    step = arc_step(arc->count[list], arc->count[B1 + B2 - list]);
    arc->target = list == B1 ? arc_grow(arc->target, step, policy->frames) : arc_shrink(arc->target, step);
    arc->returned[list - B1]++;
    take(policy, list, page);
    policy->state[page] = (policy->state[page] & (uint8_t)~ARC_GHOST) | ARC_TWICE;
    return list;
}

static void arc_insert(struct policy *policy, uint32_t page)
{
    (void)bring_back(policy, page);
    put(policy, policy->state[page] & ARC_TWICE ? T2 : T1, page);
}

/* The oldest page of T1 or T2 goes; its ghost stays. REPLACE of the paper, `from` where the page that is
 * coming was. */
static uint32_t arc_replace(struct policy *policy, unsigned from)
{
    struct arc *arc = arc_of(policy);
    bool once =
        arc_above(arc->count[T1], arc->target) || (from == B2 && arc_equal(arc->count[T1], arc->target));
    unsigned list = once ? T1 : T2;
    uint32_t page = order_oldest_free(policy, arc->links, policy->pages + list);

    if (page == POLICY_NO_PAGE) {
        list = T1 + T2 - list;
        page = order_oldest_free(policy, arc->links, policy->pages + list);
    }
    if (page == POLICY_NO_PAGE)
        return page;
    take(policy, list, page);
    policy->state[page] |= ARC_GHOST;
    put(policy, list == T1 ? B1 : B2, page);
    return page;
}

/* T1 alone fills the memory: its oldest page goes, and leaves no ghost. */
static uint32_t take_once(struct policy *policy)
{
    struct arc *arc = arc_of(policy);
    uint32_t page = order_oldest_free(policy, arc->links, policy->pages + T1);

    if (page == POLICY_NO_PAGE)
        return arc_replace(policy, HEADS);
    take(policy, T1, page);
    policy_forget(policy, page);
    return page;
}

static uint32_t arc_victim(struct policy *policy, uint32_t incoming)
{
    struct arc *arc = arc_of(policy);
    uint32_t *count = arc->count;
    unsigned from;

    if (!order_either_free(policy, arc->links, policy->pages + T1, policy->pages + T2))
        return POLICY_NO_PAGE;
    from = incoming != POLICY_NO_PAGE ? bring_back(policy, incoming) : HEADS;
    if (from != HEADS)
        return arc_replace(policy, from);
    if (count[T1] + count[B1] >= policy->frames) {
        if (count[B1] == 0)
            return take_once(policy);
        forget_ghost(policy, B1);
    } else if (count[B2] > 0 &&
               (uint64_t)count[T1] + count[T2] + count[B1] + count[B2] >= 2 * (uint64_t)policy->frames) {
        forget_ghost(policy, B2);
    }
    return arc_replace(policy, from);
}

static void arc_resize(struct policy *policy)
{
    struct arc *arc = arc_of(policy);
    uint32_t *count = arc->count;

    while (count[B1] > 0 && count[T1] + count[B1] > policy->frames)
        forget_ghost(policy, B1);
    while (count[B2] > 0 &&
           (uint64_t)count[T1] + count[T2] + count[B1] + count[B2] > 2 * (uint64_t)policy->frames)
        forget_ghost(policy, B2);
    arc->target = arc_grow(arc->target, 0, policy->frames);
}

static void arc_remove(struct policy *policy, uint32_t page)
{
    uint8_t state = policy->state[page];

    if (state & (POLICY_RESIDENT | ARC_GHOST))
        take(policy, (state & ARC_GHOST ? B1 : T1) + (state & ARC_TWICE ? T2 : T1), page);
}

static size_t arc_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    const struct arc *arc = (const struct arc *)policy;
    const struct policy_counter all[] = {{"target", arc->target / ARC_FRAME},
                                         {"returned-once", arc->returned[0]},
                                         {"returned-twice", arc->returned[1]},
                                         {"ghosts", arc->count[B1] + arc->count[B2]}};

    return policy_copy_counters(all, sizeof(all) / sizeof(all[0]), out, most);
}

static const char *arc_check(const struct policy *policy)
{
    static const uint8_t state[HEADS] = {POLICY_RESIDENT, POLICY_RESIDENT | ARC_TWICE, ARC_GHOST,
                                         ARC_GHOST | ARC_TWICE};
    const struct arc *arc = (const struct arc *)policy;

    for (unsigned list = 0; list < HEADS; list++)
        if (!order_holds(policy, arc->links, policy->pages + list, ARC_LIST, state[list], arc->count[list]))
            return "a list does not hold the pages that are marked as its own";
    return arc->target > policy->frames * ARC_FRAME ? "the target is larger than memory" : NULL;
}

__attribute__((flatten)) static void arc_run(struct policy *policy, const struct policy_block *block,
                                             struct policy_tally *tally)
{
    policy_run(policy, block, tally, arc_touch, arc_insert, arc_victim);
}

const struct policy_type policy_arc = {
    .name = "arc",
    .title = "two LRU lists, once and more than once, whose shares are learnt from ghosts",
    .source = "Megiddo and Modha, ARC: A Self-Tuning, Low Overhead Replacement Cache, FAST 2003",
    .needs = POLICY_EVERY_REFERENCE,
    .ghosts = 2,
    .page_bytes = sizeof(struct order_link),
    .bytes = arc_bytes,
    .init = arc_init,
    .insert = arc_insert,
    .touch = arc_touch,
    .victim = arc_victim,
    .remove = arc_remove,
    .resize = arc_resize,
    .counters = arc_counters,
    .check = arc_check,
    .run = arc_run,
};
