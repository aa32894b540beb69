/*
 * Many runs: traces x policies x sizes, over several threads, with results that are kept.
 *
 * Runs of one trace go in batches through one engine, so a trace is read a few times for all its runs.
 * Batches get smaller towards the end, so that no thread works alone for long.
 */
#ifndef QUIRE_SIM_SWEEP_H
#define QUIRE_SIM_SWEEP_H

#include "sim/engine.h"
#include "sim/pass.h"
#include "sim/results.h"

struct sweep_trace {
    const char *path; /* "-": standard input, read once */
    const char *name; /* in results */
    bool read_once;   /* a pipe: nothing can be known before its end, and no result is kept */
};

struct sweep_run {
    size_t trace;
    const char *policy; /* the name and the options, in full: what a result is found by */
    struct engine_run run;
    /* Filled in. */
    bool done, kept; /* kept: it was found, not run */
    struct results_value value;
    uint64_t page_bytes;
};

struct sweep {
    const struct sweep_trace *traces;
    size_t trace_count;
    const struct trace_options *options;
    struct sweep_run *runs;
    size_t run_count;
    unsigned threads;
    struct results *results; /* NULL: nothing is kept */
    /* What part is done, 0 … 1; called by one thread at a time. NULL: nobody wants to know. */
    void (*progress)(void *context, double part);
    void *context;
};

/* Every run is done. False: *error; what was done is kept all the same. */
bool sweep_do(struct sweep *sweep, struct trace_error *error);

#endif
