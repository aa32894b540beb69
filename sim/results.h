/*
 * Results that are kept: a SQLite file of what has been simulated, so that no run is repeated.
 *
 * A result is found by the hash of the trace's references (trace_hash(), which knows the page size), the
 * policy with its options, the frames, the seed, the tick, how many leave together, and the version of the
 * policies' source.
 *
 * Several processes may use a file at the same time; a process uses it from one thread at a time.
 */
#ifndef QUIRE_SIM_RESULTS_H
#define QUIRE_SIM_RESULTS_H

#include "sim/engine.h"
#include "sim/trace.h"

struct results;

struct results_key {
    unsigned char trace[32];
    const char *policy; /* name and options, in full */
    uint32_t frames;
    uint64_t seed, tick, ahead;
};

struct results_value {
    struct policy_tally tally;
    uint64_t writes;
    uint32_t pages;
    struct policy_counter counters[ENGINE_COUNTERS];
    size_t counter_count;
};

/* The file, made if it is not there, with its folders. NULL with *error. */
struct results *results_open(const char *path, struct trace_error *error);
void results_close(struct results *results);

/* Where results are kept if nobody says otherwise: $XDG_CACHE_HOME/quire/results.sqlite, or below ~/.cache.
 * malloc()ed; NULL when there is no home. */
char *results_standard_path(void);

/* *found: whether there is one. False: *error. The names of counters belong to `results`. */
bool results_find(struct results *results, const struct results_key *key, struct results_value *value,
                  bool *found, struct trace_error *error);
/* All that is stored between these two is there afterwards, or nothing of it. */
bool results_begin(struct results *results, struct trace_error *error);
bool results_commit(struct results *results, struct trace_error *error);
bool results_store(struct results *results, const struct results_key *key, const char *trace_name,
                   const struct results_value *value, struct trace_error *error);

#endif
