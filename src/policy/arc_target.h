/*
 * What ARC and CAR learn: how many frames the pages that were referenced once are to have (`p` in the
 * papers). It is a real number; here in units of 2^-32 frames, since the kernel has no floating point. Sums
 * of ratios that should be whole miss that by a few units, so what is closer than 2^-16 counts as equal.
 */
#ifndef QUIRE_POLICY_ARC_TARGET_H
#define QUIRE_POLICY_ARC_TARGET_H

#include "quire/types.h"

#define ARC_FRAME ((uint64_t)1 << 32)
#define ARC_CLOSE ((uint64_t)1 << 16)

/* max(1, other / mine), of the two lists of ghosts; `mine` holds the page that was wanted. */
static inline uint64_t arc_step(uint32_t mine, uint32_t other)
{
    return other > mine ? (other * ARC_FRAME) / mine : ARC_FRAME;
}

static inline uint64_t arc_grow(uint64_t target, uint64_t step, uint32_t frames)
{
    uint64_t most = frames * ARC_FRAME;

    return target + step < most ? target + step : most;
}

static inline uint64_t arc_shrink(uint64_t target, uint64_t step)
{
    return target > step ? target - step : 0;
}

static inline bool arc_above(uint32_t count, uint64_t target)
{
    return count * ARC_FRAME > target + ARC_CLOSE;
}

static inline bool arc_equal(uint32_t count, uint64_t target)
{
    return !arc_above(count, target) && count * ARC_FRAME + ARC_CLOSE >= target;
}

#endif
