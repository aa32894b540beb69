/*
 * LRU-2: the page whose last reference but one is longest ago goes. A page that has been referenced only once
 * goes before all others; of several such the one whose reference is longest ago.
 *
 * E. J. O'Neil, P. E. O'Neil and G. Weikum, "The LRU-K Page Replacement Algorithm for Database Disk
 * Buffering", 1993, with K = 2.
 *
 * Departure: the correlated reference period is 0, every reference counts; the retained information period
 * has no end, the times of a page that has gone are kept until it is removed.
 *
 * Invariants: the heap holds the resident pages. Times are those of policy.now plus one; 0: never.
 */
#include "heap.h"
#include "run.h"

/* When a page was last referenced, and when before that. */
struct history {
    uint64_t last, before;
};

struct lru_2 {
    struct policy base;
    struct policy_heap heap;
    struct history *history; /* by page, also of those that have gone */
};

static struct lru_2 *lru_2_of(struct policy *policy)
{
    return (struct lru_2 *)policy;
}

static size_t lru_2_bytes(const struct policy_config *config)
{
    return sizeof(struct lru_2) + heap_bytes(config) + config->pages * sizeof(struct history);
}

static void lru_2_init(struct policy *policy, const struct policy_config *config)
{
    struct lru_2 *lru_2 = lru_2_of(policy);
    uint8_t *memory = (uint8_t *)(lru_2 + 1);

    heap_init(&lru_2->heap, &memory, config);
    lru_2->history = policy_carve(&memory, config->pages * sizeof(struct history));
}

static bool lru_2_before(const struct policy *policy, uint32_t page, uint32_t other)
{
    const struct history *history = ((const struct lru_2 *)policy)->history;

    return history[page].before != history[other].before ? history[page].before < history[other].before
                                                         : history[page].last < history[other].last;
}

static void lru_2_note(struct policy *policy, uint32_t page)
{
    struct history *history = &lru_2_of(policy)->history[page];

    history->before = history->last;
    history->last = policy->now + 1;
}

static void lru_2_insert(struct policy *policy, uint32_t page)
{
    lru_2_note(policy, page);
    heap_insert(&lru_2_of(policy)->heap, policy, page, lru_2_before);
}

static void lru_2_touch(struct policy *policy, uint32_t page)
{
    struct policy_heap *heap = &lru_2_of(policy)->heap;

    lru_2_note(policy, page);
    heap_sink(heap, policy, heap->place[page], page, lru_2_before);
}

static uint32_t lru_2_victim(struct policy *policy, uint32_t incoming)
{
    return heap_take(&lru_2_of(policy)->heap, policy, lru_2_before);
}

static void lru_2_remove(struct policy *policy, uint32_t page)
{
    struct lru_2 *lru_2 = lru_2_of(policy);

    if (policy_is_resident(policy, page))
        heap_remove(&lru_2->heap, policy, page, lru_2_before);
    lru_2->history[page] = (struct history){0, 0};
}

static const char *lru_2_check(const struct policy *policy)
{
    const struct lru_2 *lru_2 = (const struct lru_2 *)policy;

    for (uint32_t page = 0; page < policy->pages; page++)
        if (lru_2->history[page].before > lru_2->history[page].last)
            return "a page was referenced before and then earlier";
    return heap_check(&lru_2->heap, policy, lru_2_before);
}

static void lru_2_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, lru_2_touch, lru_2_insert, lru_2_victim);
}

const struct policy_type policy_lru_2 = {
    .name = "lru-2",
    .title = "the page whose last reference but one is longest ago goes",
    .source = "O'Neil, O'Neil and Weikum, The LRU-K Page Replacement Algorithm, SIGMOD 1993",
    .needs = POLICY_EVERY_REFERENCE,
    .ghosts = POLICY_ALL_GHOSTS,
    .page_bytes = sizeof(uint32_t) + sizeof(struct history),
    .frame_bytes = sizeof(uint32_t),
    .bytes = lru_2_bytes,
    .init = lru_2_init,
    .insert = lru_2_insert,
    .touch = lru_2_touch,
    .victim = lru_2_victim,
    .remove = lru_2_remove,
    .check = lru_2_check,
    .run = lru_2_run,
};
