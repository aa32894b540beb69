/*
 * A block of references in one loop. A policy's file ends with a run() that calls policy_run() with its own
 * functions, which the compiler then puts in place: a hit costs a few instructions, and no indirect call.
 */
#ifndef QUIRE_POLICY_RUN_H
#define QUIRE_POLICY_RUN_H

#include "quire/policy.h"

typedef void policy_page_fn(struct policy *policy, uint32_t page);
typedef uint32_t policy_victim_fn(struct policy *policy, uint32_t incoming);

/* A page that is not there: make room, bring it in. */
__attribute__((always_inline)) static inline void policy_run_fault(struct policy *policy, uint32_t page,
                                                                   struct policy_tally *tally,
                                                                   policy_page_fn *insert,
                                                                   policy_victim_fn *victim)
{
    tally->faults++;
    if (policy->resident >= policy->frames) {
        uint32_t out = victim(policy, page);

        tally->evictions++;
        tally->write_backs += (policy->state[out] & POLICY_DIRTY) != 0;
        policy->state[out] &= (uint8_t) ~(POLICY_RESIDENT | POLICY_REFERENCED | POLICY_DIRTY);
        policy->resident--;
    }
    insert(policy, page);
    policy->state[page] |= POLICY_RESIDENT;
    policy->resident++;
}

/* `touch`: NULL for policies that need bits only. Nothing may be pinned. */
__attribute__((always_inline)) static inline void
policy_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally,
           policy_page_fn *touch, policy_page_fn *insert, policy_victim_fn *victim)
{
    uint8_t *state = policy->state;
    uint64_t start = policy->now;

    for (size_t i = 0; i < block->count; i++) {
        uint32_t page = block->references[i] >> 1;

        if (touch || !(state[page] & POLICY_RESIDENT))
            policy->now = start + i;
        if (block->distances)
            policy->distance = block->distances[i];
        if (__builtin_expect((state[page] & POLICY_RESIDENT) != 0, 1)) {
            state[page] |= POLICY_REFERENCED;
            if (touch)
                touch(policy, page);
        } else {
            policy_run_fault(policy, page, tally, insert, victim);
        }
        state[page] |= (uint8_t)((block->references[i] & 1) * POLICY_DIRTY);
    }
    policy->now = start + block->count;
    tally->references += block->count;
}

#endif
