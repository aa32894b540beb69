/*
 * Faults at every size of memory, for several policies and one trace.
 *
 * LRU and OPT are exact at all sizes (sim/stack.h). Any other policy is simulated at chosen sizes, the larger
 * ones with a sample of the pages and several seeds (sim/sample.h), which give the error; a size that is
 * small enough to be simulated whole has none.
 */
#ifndef QUIRE_SIM_CURVES_H
#define QUIRE_SIM_CURVES_H

#include "sim/engine.h"
#include "sim/pass.h"

enum { CURVES_SHIFT_BY_PAGES = 99, CURVES_MOST_SEEDS = 16 };

struct curves_point {
    uint32_t frames;
    double faults, faults_error; /* the truth is within the error with 95 % probability; 0: exact */
    double write_backs, write_backs_error;
    unsigned shift; /* 2^-shift of the pages were looked at */
};

struct curves_line {
    struct engine_run run; /* frames are not used */
    /* Filled in. */
    bool exact;                  /* a point for each size from 1 to the trace's pages */
    bool counts_write_backs;     /* OPT's choice among pages that never come again is nobody's business */
    struct curves_point *points; /* by size, ascending */
    size_t count;
};

struct curves {
    const char *path;
    const struct trace_options *options;
    struct curves_line *lines;
    size_t line_count;
    const uint32_t *sizes; /* of what is sampled; NULL: curves_grid() */
    size_t size_count;
    unsigned most_shift; /* the smallest part is 2^-most_shift; CURVES_SHIFT_BY_PAGES: as is best */
    unsigned seeds;      /* 1 … CURVES_MOST_SEEDS */
    unsigned threads;
    void (*progress)(void *context, double part); /* NULL: nobody wants to know; one thread at a time */
    void *context;
    /* Filled in. */
    struct pass_totals totals;
};

/* False: *error; no line has points. */
bool curves_do(struct curves *curves, struct trace_error *error);
void curves_free(struct curves *curves);

/* Sizes that show a curve: evenly spaced on a scale of powers, ascending, from a part of the pages up to all
 * of them. Returns how many, at most `most`. */
size_t curves_grid(uint32_t pages, uint32_t *sizes, size_t most);
/* The point of a line for so many frames: that one, or the nearest smaller one; NULL: none. */
const struct curves_point *curves_at(const struct curves_line *line, uint32_t frames);

#endif
