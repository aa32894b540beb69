/*
 * OPT: the page whose next reference is farthest in the future goes. No policy has fewer faults.
 *
 * L. A. Belady, "A Study of Replacement Algorithms for a Virtual-Storage Computer", 1966.
 *
 * Of pages that are not referenced again any may go: here the one with the lowest number.
 *
 * Invariants: the heap holds the resident pages.
 */
#include "heap.h"
#include "run.h"

#define NEVER UINT64_MAX

struct opt {
    struct policy base;
    struct policy_heap heap;
    uint64_t *next; /* by page: when it is referenced next */
};

static struct opt *opt_of(struct policy *policy)
{
    return (struct opt *)policy;
}

static size_t opt_bytes(const struct policy_config *config)
{
    return sizeof(struct opt) + heap_bytes(config) + config->pages * sizeof(uint64_t);
}

static void opt_init(struct policy *policy, const struct policy_config *config)
{
    struct opt *opt = opt_of(policy);
    uint8_t *memory = (uint8_t *)(opt + 1);

    heap_init(&opt->heap, &memory, config);
    opt->next = policy_carve(&memory, config->pages * sizeof(uint64_t));
}

static bool opt_before(const struct policy *policy, uint32_t page, uint32_t other)
{
    const struct opt *opt = (const struct opt *)policy;

    return opt->next[page] != opt->next[other] ? opt->next[page] > opt->next[other] : page < other;
}

static void opt_note(struct policy *policy, uint32_t page)
{
    opt_of(policy)->next[page] = policy->distance == UINT32_MAX ? NEVER : policy->now + policy->distance;
}

static void opt_insert(struct policy *policy, uint32_t page)
{
    opt_note(policy, page);
    heap_insert(&opt_of(policy)->heap, policy, page, opt_before);
}

static void opt_touch(struct policy *policy, uint32_t page)
{
    opt_note(policy, page);
    heap_update(&opt_of(policy)->heap, policy, page, opt_before);
}

static uint32_t opt_victim(struct policy *policy, uint32_t incoming)
{
    return heap_take(&opt_of(policy)->heap, policy, opt_before);
}

static void opt_remove(struct policy *policy, uint32_t page)
{
    if (policy_is_resident(policy, page))
        heap_remove(&opt_of(policy)->heap, policy, page, opt_before);
}

static const char *opt_check(const struct policy *policy)
{
    return heap_check(&((const struct opt *)policy)->heap, policy, opt_before);
}

static void opt_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, opt_touch, opt_insert, opt_victim);
}

const struct policy_type policy_opt = {
    .name = "opt",
    .title = "the page whose next reference is farthest goes (needs the future)",
    .source = "Belady, A Study of Replacement Algorithms for a Virtual-Storage Computer, 1966",
    .needs = POLICY_FUTURE,
    .page_bytes = sizeof(uint32_t) + sizeof(uint64_t),
    .frame_bytes = sizeof(uint32_t),
    .bytes = opt_bytes,
    .init = opt_init,
    .insert = opt_insert,
    .touch = opt_touch,
    .victim = opt_victim,
    .remove = opt_remove,
    .check = opt_check,
    .run = opt_run,
};
