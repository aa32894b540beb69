/*
 * Curves of policies that have no stack, by sampling.
 *
 * A part of the pages, chosen at random, goes through a memory that is smaller by the same part: C. A.
 * Waldspurger, N. Park, A. Garthwaite, I. Ahmad, "Efficient MRC Construction with SHARDS", FAST 2015, and C.
 * A. Waldspurger, T. Saemundsson, I. Ahmad, N. Park, "Cache Modeling and Optimization using Miniature
 * Simulations", USENIX ATC 2017. Faults are divided by the references that the sample should have had, not by
 * those that it had: whether the hottest pages are in the sample then changes little (SHARDS-adj).
 *
 * Parts are powers of two, halves of halves: one sampler makes the samples of all parts with one seed in a
 * single pass. Each size takes the smallest part that leaves it SAMPLE_LEAST_FRAMES frames, so a small memory
 * is not made meaningless. What other seeds say gives the error.
 */
#ifndef QUIRE_SIM_SAMPLE_H
#define QUIRE_SIM_SAMPLE_H

#include "sim/engine.h"

enum { SAMPLE_SHIFTS = 16, SAMPLE_LEAST_FRAMES = 32 };

/* The part 2^-shift for a memory of so many frames, at most 2^-most_shift. */
unsigned sample_shift(uint32_t frames, unsigned most_shift);

struct sampler;

/* `runs`: with the frames of the whole; none may need the future. shifts[i] says which part run i takes.
 * `pages`: how many the trace has. NULL: no memory. */
struct sampler *sampler_create(const struct engine_run *runs, const unsigned *shifts, size_t count,
                               uint64_t seed, uint32_t pages);
void sampler_destroy(struct sampler *sampler);
/* False: no memory. */
MUST_USE bool sampler_block(struct sampler *sampler, const struct policy_block *block);
/* What the sample stands for: its counts, times 2^shift. `references` are those that there were. */
void sampler_tally(const struct sampler *sampler, size_t run, struct policy_tally *tally);

/* Of estimates with different seeds: the mean, and within how much of it the truth is, with 95 % probability
 * (Student's t); 0 for one estimate. */
struct sample_estimate {
    double mean, error;
};
struct sample_estimate sample_combine(const double *values, size_t count);

#endif
