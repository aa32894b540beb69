/*
 * What `quire sim` was asked for, and the ways in which it answers.
 *
 * cmd_sim.c reads the command line into a struct sim_request, sim_request.c checks it and works it out, and
 * one of the modes does the rest: each is a file of its own.
 */
#ifndef CLI_SIM_H
#define CLI_SIM_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/picture.h"
#include "cli/sim_mix.h"
#include "quire/policy.h"
#include "sim/trace.h"
#include "sim/working_set.h"

struct sim_policy {
    char *text; /* as the user wrote it */
    char *full; /* with all its options */
    const struct policy_type *type;
    uint64_t options[POLICY_OPTIONS];
};

/* A size of memory: bytes (--memory) or pages (--frames). */
struct sim_size {
    uint64_t bytes;
    uint32_t frames; /* 0: it is bytes */
};

/* What things cost in the modelled time, in nanoseconds. */
struct sim_costs {
    double reference, read, write;
};

struct sim_trace {
    const char *name; /* as it was given */
    char *path;
    int copy;            /* what was standard input or a pipe: the descriptor of a copy, or -1 */
    bool read_once;      /* standard input or a pipe, and a mode that reads it once only */
    uint64_t page_bytes; /* of a page of it; assumed if it is read once */
};

struct sim_request {
    /* From the command line. */
    struct strings words, policy_words, memory_words, frames_words, tau_words;
    const char *format, *costs_text, *svg, *database, *sample, *fault_rate;
    uint64_t page_size, address_bits, tick, ahead, seed, seeds, threads, columns;
    bool json, csv, curve, working_set;
    struct sim_mix_request mix;
    struct sim_full_request full;

    /* Worked out by sim_request_check(). */
    struct trace_options options;
    struct sim_trace *traces;
    size_t trace_count;
    struct sim_policy *policies;
    size_t policy_count;
    struct sim_size *sizes;
    size_t size_count;
    struct sim_costs costs;
    uint64_t taus[WORKING_SET_TAUS];
    size_t tau_count;
    double most_faults;    /* a reference, which memory is to be found for */
    unsigned sample_shift; /* the smallest sample is 2^-sample_shift, or CURVES_SHIFT_BY_PAGES */
};

/* False: a message has been printed. */
bool sim_request_check(struct sim_request *request);
void sim_request_free(struct sim_request *request);

/* Part of the two above: request->traces. False: a message. */
bool sim_traces_open(struct sim_request *request);
void sim_traces_close(struct sim_request *request);

/* How many frames a size is for pages of so many bytes; 0: less than one, and a message has been printed. */
uint32_t sim_frames(struct sim_size size, uint64_t page_bytes);
/* The modelled time of a run, in seconds. */
double sim_seconds(const struct sim_costs *costs, const struct policy_tally *tally);

/* Modes. Each returns the exit status. */
int sim_table(const struct sim_request *request);
int sim_curve(const struct sim_request *request);
int sim_working_set(const struct sim_request *request);

/* What the modes share. Prints the error; EXIT_USAGE. */
int sim_fail(const struct sim_request *request, const struct trace_error *error);
/* 0, or a message: standard output is full or gone. */
int sim_finish_output(void);
int sim_print_json(json_t *root); /* takes it over */
/* null for what is no number; a whole number if it is one. */
json_t *sim_json_number(double value);
json_t *sim_json_count(double value);
void sim_csv_text(const char *text); /* a field, in quotes where they are needed */
/* False: a message. */
bool sim_write_svg(const char *path, const struct picture *picture);
const char *sim_bytes(char out[32], uint64_t bytes); /* 64K, 16M, 1.5G */
const char *sim_count(char out[32], uint64_t count); /* 1,234,567 */
const char *sim_time(char out[32], double seconds);  /* 1.23 s, 45 min */

#endif
