/*
 * One pass over a trace: every block goes to a function, in order.
 */
#ifndef QUIRE_SIM_PASS_H
#define QUIRE_SIM_PASS_H

#include "sim/trace.h"

struct pass {
    const char *path;
    const struct trace_options *options;
    bool future; /* block->distances are wanted */
    /* `pages`: the block's numbers are below. False: *error says why, and the pass ends. */
    bool (*block)(void *context, const struct policy_block *block, uint32_t pages, struct trace_error *error);
    /* What part is done, 0 … 1, now and then; negative: not known. NULL: nobody wants to know. */
    void (*progress)(void *context, double part);
    void *context; /* of both */
};

/* What the trace was, known at its end. */
struct pass_totals {
    uint64_t references, writes, page_bytes;
    uint32_t pages;
};

bool pass_run(const struct pass *pass, struct pass_totals *totals, struct trace_error *error);

/* *error becomes "out of memory", with what it was for. Always false. */
bool pass_no_memory(const char *path, struct trace_error *error);

#endif
