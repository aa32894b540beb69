/*
 * Several traces as several processes that share a memory: quire/scope.h decides, this does it.
 *
 * The processes take turns of `quantum` references each. Under global scope one policy orders the pages of
 * all of them; under local scope each process has a policy of its own, for as many frames as its target says.
 * A process that ends gives its frames back. With load control, processes whose working sets do not fit are
 * swapped out as a whole (their dirty pages are written) and come back by faulting their pages in again.
 *
 * A working set is W(t, window) of the process's own time, exact at the end of each window: the pages used in
 * it. Between, it is that of the last window, or what the present one has used already if that is more.
 */
#ifndef QUIRE_SIM_MIX_H
#define QUIRE_SIM_MIX_H

#include "quire/policy.h"
#include "quire/scope.h"
#include "sim/trace.h"

enum { MIX_PROCESSES = 1000 }; /* at most */

struct mix_process {
    struct trace *trace; /* can be rewound */
    uint32_t pages;      /* mix_count_pages() */
    enum scope_class class;
    uint32_t minimum; /* frames that the class protects */
};

struct mix_config {
    const struct policy_type *type; /* not one that needs the future */
    uint64_t options[POLICY_OPTIONS];
    uint64_t seed;
    uint64_t
        tick; /* references between two policy_tick(): of all (global) or of the process (local); 0: never */
    struct scope_config scope;
    uint64_t quantum; /* at least 1 */
    bool load_control;
    uint64_t window;                              /* of the working sets, at least 1 */
    bool check;                                   /* walk every invariant after each turn: for tests */
    void (*progress)(void *context, double part); /* now and then, 0 … 1; may be NULL */
    void *context;
};

/* What became of one process. A page that goes counts for the process whose page it was. */
struct mix_result {
    struct policy_tally tally;
    uint64_t lost;       /* of its evictions: pages that went so that another process could have the frame */
    uint64_t swap_outs;  /* how often it went as a whole */
    uint64_t swapped;    /* pages that it had then */
    uint64_t frame_time; /* frames times references: its mean is this by tally.references */
    uint32_t most_frames;
    uint64_t finished; /* references of all when it ended */
};

struct mix_total {
    struct policy_tally tally;
    uint64_t lost, swap_outs, swap_ins, swapped;
    uint64_t moved, starved; /* struct scope */
    uint64_t most_demand;    /* the largest sum of working sets in memory, after load control: pages */
};

/* How many pages the trace has; reads it through if it must, and rewinds it. */
bool mix_count_pages(struct trace *trace, uint32_t *pages, struct trace_error *error);

/* Runs them from their beginnings to their ends. `results`: one for each process. False with *error: a trace
 * is broken, memory is short, or the configuration is not possible; the results are not valid then. */
bool mix_run(const struct mix_config *config, const struct mix_process *processes, uint32_t count,
             struct mix_result *results, struct mix_total *total, struct trace_error *error);

#endif
