/*
 * One pass over a trace for many lanes (configurations, samples, ...), shared by several threads.
 *
 * The trace is read once, in chunks; each lane takes every chunk, in order. Whoever has nothing to do takes
 * the lane that is furthest behind, or reads the next chunk, so threads end at the same time whatever lanes
 * cost.
 */
#ifndef QUIRE_SIM_FEED_H
#define QUIRE_SIM_FEED_H

#include "sim/pass.h"

struct feed {
    const char *path;
    const struct trace_options *options;
    bool future;      /* block->distances are wanted */
    size_t lanes;     /* at least one */
    unsigned threads; /* at least one, the caller's among them */
    /* A lane takes a block, whose numbers are below `pages`; calls for different lanes run at the same time.
     * False: *error says why, and the pass ends. */
    bool (*block)(void *context, size_t lane, const struct policy_block *block, uint32_t pages,
                  struct trace_error *error);
    /* What part is done, 0 … 1; by one thread at a time. NULL: nobody wants to know. */
    void (*progress)(void *context, double part);
    void *context; /* of both */
};

bool feed_run(const struct feed *feed, struct pass_totals *totals, struct trace_error *error);

#endif
