/*
 * A block of references in one loop. A policy's file ends with a run() that calls policy_run() with its own
 * functions, which the compiler then puts in place: a hit costs a few instructions, and no indirect call.
 * What it would rather call (it is large, and used elsewhere too) the attribute `flatten` of run() puts in
 * place.
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

/*
 * `touch`: NULL for policies that need bits only. Nothing may be pinned.
 *
 * What the loop reads from the block is kept in locals: a state byte is a char, so that the compiler must
 * take every store of one for a change of anything.
 */
__attribute__((always_inline)) static inline void
policy_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally,
           policy_page_fn *touch, policy_page_fn *insert, policy_victim_fn *victim)
{
    uint8_t *state = policy->state;
    const uint32_t *references = block->references, *distances = block->distances;
    size_t count = block->count;
    uint64_t start = policy->now, step = block->timed ? 0 : 1;

    for (size_t i = 0; i < count; i++) {
        uint32_t page = references[i] >> 1;
        uint8_t dirty = (uint8_t)((references[i] & 1) * POLICY_DIRTY);

        if (touch || !(state[page] & POLICY_RESIDENT))
            policy->now = start + i * step;
        if (distances)
            policy->distance = distances[i];
        if (__builtin_expect((state[page] & POLICY_RESIDENT) != 0, 1)) {
            state[page] |= POLICY_REFERENCED | dirty;
            if (touch)
                touch(policy, page);
        } else {
            policy_run_fault(policy, page, tally, insert, victim);
            state[page] |= dirty;
        }
    }
    policy->now = start + count * step;
    tally->references += count;
}

#endif
