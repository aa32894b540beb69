/*
 * What policies share: asking the host, and the few words that every file uses.
 */
#ifndef QUIRE_POLICY_INTERNAL_H
#define QUIRE_POLICY_INTERNAL_H

#include "quire/policy.h"

/* Brings the state byte up to date, where the host must be asked. */
static inline uint8_t policy_state(struct policy *policy, uint32_t page)
{
    if (policy->host->harvest)
        policy->host->harvest(policy->host->context, policy, page);
    return policy->state[page];
}

/* Tests and clears the reference bit. */
static inline bool policy_take_reference(struct policy *policy, uint32_t page)
{
    uint8_t state = policy_state(policy, page);

    policy->state[page] = state & (uint8_t)~POLICY_REFERENCED;
    return (state & POLICY_REFERENCED) != 0;
}

/* It may not be a victim now. */
static inline bool policy_is_pinned(const struct policy *policy, uint32_t page)
{
    return (policy->state[page] & POLICY_PINNED) != 0 ||
           (policy->host->spares && policy->host->spares(policy->host->context, policy, page));
}

static inline bool policy_is_dirty(const struct policy *policy, uint32_t page)
{
    return (policy->state[page] & POLICY_DIRTY) != 0;
}

static inline bool policy_is_resident(const struct policy *policy, uint32_t page)
{
    return (policy->state[page] & POLICY_RESIDENT) != 0;
}

static inline void policy_clean(struct policy *policy, uint32_t page)
{
    if (policy->host->clean)
        policy->host->clean(policy->host->context, policy, page);
}

static inline void policy_forget(struct policy *policy, uint32_t page)
{
    if (policy->host->forget)
        policy->host->forget(policy->host->context, policy, page);
}

/* 0 … below - 1 (below > 0), from a state that may begin with any number: SplitMix64 (Steele, Lea, Flood,
 * OOPSLA 2014), and the high half of a product instead of a division. */
static inline uint32_t policy_random_below(uint64_t *random, uint32_t below)
{
    uint64_t number = *random += 0x9e3779b97f4a7c15u;

    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
    number ^= number >> 31;
    return (uint32_t)(((number >> 32) * below) >> 32);
}

/* The next `bytes` of a policy's memory, aligned to 8: what policies lay out in bytes() and init() alike. */
static inline void *policy_carve(uint8_t **at, size_t bytes)
{
    void *here = *at;

    *at += (bytes + 7) & ~(size_t)7;
    return here;
}

/* For counters(): as many of `all` as there is room for. */
static inline size_t policy_copy_counters(const struct policy_counter *all, size_t count,
                                          struct policy_counter *out, size_t most)
{
    size_t copied = count < most ? count : most;

    for (size_t i = 0; i < copied; i++)
        out[i] = all[i];
    return copied;
}

#endif
