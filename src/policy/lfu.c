/*
 * LFU: the page with the fewest references since it came goes; of those with as many, the one whose last
 * reference is longest ago.
 *
 * A. V. Aho, P. J. Denning and J. D. Ullman, "Principles of Optimal Page Replacement", 1971, which derives it
 * for independent references; here in its practical form: the count is forgotten when the page goes.
 *
 * Departure: a count stops at 2^32 - 1.
 *
 * Invariants: the heap holds the resident pages.
 */
#include "heap.h"
#include "run.h"

struct lfu {
    struct policy base;
    struct policy_heap heap;
    uint32_t *count; /* by page */
    uint64_t *last;  /* by page: when it was referenced last */
};

static struct lfu *lfu_of(struct policy *policy)
{
    return (struct lfu *)policy;
}

static size_t lfu_bytes(const struct policy_config *config)
{
    return sizeof(struct lfu) + heap_bytes(config) + config->pages * (sizeof(uint32_t) + sizeof(uint64_t)) +
           sizeof(uint64_t);
}

static void lfu_init(struct policy *policy, const struct policy_config *config)
{
    struct lfu *lfu = lfu_of(policy);
    uint8_t *memory = (uint8_t *)(lfu + 1);

    heap_init(&lfu->heap, &memory, config);
    lfu->count = policy_carve(&memory, config->pages * sizeof(uint32_t));
    lfu->last = policy_carve(&memory, config->pages * sizeof(uint64_t));
}

static bool lfu_before(const struct policy *policy, uint32_t page, uint32_t other)
{
    const struct lfu *lfu = (const struct lfu *)policy;

    return lfu->count[page] != lfu->count[other] ? lfu->count[page] < lfu->count[other]
                                                 : lfu->last[page] < lfu->last[other];
}

static void lfu_insert(struct policy *policy, uint32_t page)
{
    struct lfu *lfu = lfu_of(policy);

    lfu->count[page] = 1;
    lfu->last[page] = policy->now;
    heap_insert(&lfu->heap, policy, page, lfu_before);
}

static void lfu_touch(struct policy *policy, uint32_t page)
{
    struct lfu *lfu = lfu_of(policy);

    lfu->count[page] += lfu->count[page] != UINT32_MAX;
    lfu->last[page] = policy->now;
    heap_sink(&lfu->heap, policy, lfu->heap.place[page], page, lfu_before);
}

static uint32_t lfu_victim(struct policy *policy, uint32_t incoming)
{
    return heap_take(&lfu_of(policy)->heap, policy, lfu_before);
}

static void lfu_remove(struct policy *policy, uint32_t page)
{
    if (policy_is_resident(policy, page))
        heap_remove(&lfu_of(policy)->heap, policy, page, lfu_before);
}

static const char *lfu_check(const struct policy *policy)
{
    return heap_check(&((const struct lfu *)policy)->heap, policy, lfu_before);
}

static void lfu_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, lfu_touch, lfu_insert, lfu_victim);
}

const struct policy_type policy_lfu = {
    .name = "lfu",
    .title = "the page with the fewest references since it came goes",
    .source = "Aho, Denning and Ullman, Principles of Optimal Page Replacement, 1971",
    .needs = POLICY_EVERY_REFERENCE,
    .page_bytes = 2 * sizeof(uint32_t) + sizeof(uint64_t),
    .frame_bytes = sizeof(uint32_t),
    .bytes = lfu_bytes,
    .init = lfu_init,
    .insert = lfu_insert,
    .touch = lfu_touch,
    .victim = lfu_victim,
    .remove = lfu_remove,
    .check = lfu_check,
    .run = lfu_run,
};
