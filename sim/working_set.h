/*
 * The working set: W(t, tau) is how many pages came in the last tau references before and at time t.
 *
 * P. J. Denning, "The Working Set Model for Program Behavior", CACM 11(5), 1968; P. J. Denning and S. C.
 * Schwartz, "Properties of the Working-Set Model", CACM 15(3), 1972: the mean working set and the rate of
 * faults for every tau follow from the intervals between references to the same page, in one pass.
 */
#ifndef QUIRE_SIM_WORKING_SET_H
#define QUIRE_SIM_WORKING_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quire/policy.h"

enum { WORKING_SET_TAUS = 8, WORKING_SET_POINTS = 512 };

/* With a window of tau. */
struct working_set_mean {
    uint64_t tau;    /* references */
    double pages;    /* the mean of W(t, tau) over all t */
    uint64_t faults; /* references to pages that were not in the working set */
};

/* W(t, tau) for the taus that were asked for, at evenly spaced times. */
struct working_set_point {
    uint64_t time; /* references so far */
    uint32_t pages[WORKING_SET_TAUS];
};

struct working_set;

struct working_set *working_set_create(const uint64_t *taus, size_t count); /* NULL: no memory */
void working_set_destroy(struct working_set *set);
/* `pages`: numbers are below, and it only grows. False: no memory; nothing has changed. */
MUST_USE bool working_set_block(struct working_set *set, const struct policy_block *block, uint32_t pages);
/* Once, at the end. */
void working_set_finish(struct working_set *set);

uint64_t working_set_references(const struct working_set *set);
/* For the tau of that index: exact. */
struct working_set_mean working_set_mean(const struct working_set *set, size_t tau);
/* The curve over tau: exact at each of its taus, which are 1, 2, …, 64 and then 32 for each doubling. */
size_t working_set_means(const struct working_set *set);
struct working_set_mean working_set_mean_at(const struct working_set *set, size_t index);
/* The first of the curve with at most so many faults; false: none, since more pages come for the first time.
 */
bool working_set_for(const struct working_set *set, uint64_t faults, struct working_set_mean *out);

size_t working_set_points(const struct working_set *set);
const struct working_set_point *working_set_point(const struct working_set *set, size_t index);

#endif
