/*
 * Faults and write-backs at every size of memory, gathered from stack distances (sim/stack.h).
 *
 * Write-backs at all sizes: a page is dirty in the memories of `dirty_from` frames and more, 1 when it has
 * just been written; when it comes again from depth d, every smaller memory had dropped it, and those that
 * held it dirty had written it. (J. G. Thompson and A. J. Smith, "Efficient (Stack) Algorithms for Analysis
 * of Write-Back and Sector Memories", ACM TOCS 7(1), 1989, call this the dirty level.)
 */
#ifndef QUIRE_SIM_CURVE_H
#define QUIRE_SIM_CURVE_H

#include <stdbool.h>
#include <stdint.h>

#include "quire/policy.h"

struct curve {
    uint64_t references;
    uint32_t pages;        /* how many have come: with as many frames, each has faulted once */
    uint64_t *faults;      /* after curve_finish(): by frames, 0 … pages */
    uint64_t *write_backs; /* the same */
    uint32_t *dirty_from;  /* by page, 0: clean in every memory */
    uint32_t size;         /* of the arrays, in pages */
};

/* All zeroes is an empty curve. */
void curve_destroy(struct curve *curve);
/* A block and its distances; `pages`: numbers are below. False: no memory; nothing has changed. */
MUST_USE bool curve_block(struct curve *curve, const struct policy_block *block, uint32_t pages,
                          const uint32_t *distances);
/* At the end, for every page: at what depth it was left. */
void curve_leave(struct curve *curve, uint32_t page, uint32_t depth);
/* Adds up. */
void curve_finish(struct curve *curve);
/* The least frames with at most so many faults; 0: even `pages` frames have more. */
uint32_t curve_frames_for(const struct curve *curve, uint64_t faults);

#endif
