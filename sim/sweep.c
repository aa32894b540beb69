/*
 * Traces x policies x sizes: sim/sweep.h.
 *
 * First every trace is looked at, and what is kept is found. Then trace by trace: a round is one pass over
 * the trace for as many of its runs as memory has room for, shared by the threads (sim/feed.h).
 *
 * Locking: sim/feed.h has it; results are used between passes only.
 */
#include "sim/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/feed.h"

/* What is known of a trace before it is read. */
struct known {
    unsigned char hash[32];
    struct trace_info info;
    size_t left; /* runs that are to be done */
};

struct plan {
    struct sweep *sweep;
    struct known *known; /* by trace */
    double work, done;   /* runs times references, as far as they are known */
};

/* One pass while it is done. */
struct round {
    struct plan *plan;
    size_t trace;
    size_t *runs; /* indices */
    size_t count;
    struct engine *engine;
    double work;
};

static bool plan_keeps(const struct plan *plan, size_t trace)
{
    return plan->sweep->results && !plan->sweep->traces[trace].read_once;
}

/* Opens the trace, so that what cannot be read is known before anything runs. */
static bool trace_look(const struct plan *plan, size_t index, struct trace_error *error)
{
    const struct sweep_trace *wanted = &plan->sweep->traces[index];
    struct known *known = &plan->known[index];
    struct trace *trace;
    bool done = true;

    if (wanted->read_once)
        return true;
    trace = trace_open(wanted->path, plan->sweep->options, error);
    if (!trace)
        return false;
    if (plan_keeps(plan, index))
        done = trace_hash(trace, known->hash, error);
    trace_get_info(trace, &known->info);
    trace_close(trace);
    return done;
}

static struct results_key run_key(const struct plan *plan, const struct sweep_run *run)
{
    struct results_key key = {.policy = run->policy,
                              .frames = run->run.frames,
                              .seed = run->run.seed,
                              .tick = run->run.tick,
                              .ahead = run->run.ahead};

    memcpy(key.trace, plan->known[run->trace].hash, sizeof(key.trace));
    return key;
}

/* Which of the trace's runs are kept? */
static bool find_kept(struct plan *plan, size_t trace, struct trace_error *error)
{
    struct sweep *sweep = plan->sweep;

    for (size_t i = 0; i < sweep->run_count; i++) {
        struct sweep_run *run = &sweep->runs[i];
        struct results_key key;

        if (run->trace != trace)
            continue;
        key = run_key(plan, run);
        if (plan_keeps(plan, trace) && !results_find(sweep->results, &key, &run->value, &run->kept, error))
            return false;
        run->done = run->kept;
        plan->known[trace].left += !run->done;
        run->page_bytes = plan->known[trace].info.page_bytes;
    }
    return true;
}

/* The part of memory that the runs of one pass may take. */
static double memory_for_round(void)
{
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 2;
}

/* Before the trace is read; 0: not known. */
static uint32_t known_pages(const struct plan *plan, size_t trace)
{
    uint64_t pages = plan->known[trace].info.pages;

    return pages > POLICY_MAX_PAGES ? 0 : (uint32_t)pages;
}

static double run_memory(const struct plan *plan, const struct sweep_run *run)
{
    uint32_t pages = known_pages(plan, run->trace);
    struct policy_config config = {.pages = pages, .frames = run->run.frames};

    if (pages == 0)
        return 0;
    config.frames = config.most_frames = config.frames < pages ? config.frames : pages;
    memcpy(config.options, run->run.options, sizeof(config.options));
    return pages + (double)policy_bytes(run->run.type, &config);
}

/* The length of a trace, as far as it is known. */
static double trace_length(const struct plan *plan, size_t trace)
{
    uint64_t references = plan->known[trace].info.references;

    return references ? (double)references : 1e6;
}

/* The trace's runs that are to be done next: at least one, and all of what can be read only once. */
static void choose_runs(struct round *round)
{
    const struct sweep *sweep = round->plan->sweep;
    bool all = sweep->traces[round->trace].read_once;
    double memory = 0;

    for (size_t i = 0; i < sweep->run_count; i++) {
        const struct sweep_run *run = &sweep->runs[i];

        if (run->trace != round->trace || run->done)
            continue;
        memory += run_memory(round->plan, run);
        if (round->count > 0 && !all && memory > memory_for_round())
            return;
        round->runs[round->count++] = i;
    }
}

static struct sweep_run *round_run(const struct round *round, size_t index)
{
    return &round->plan->sweep->runs[round->runs[index]];
}

static struct engine *round_engine(const struct round *round)
{
    struct engine_run *runs = malloc(round->count * sizeof(*runs));
    struct engine *engine;

    if (!runs)
        return NULL;
    for (size_t i = 0; i < round->count; i++) {
        runs[i] = round_run(round, i)->run;
        runs[i].removes = round->plan->known[round->trace].info.marked;
    }
    engine = engine_create(runs, round->count, known_pages(round->plan, round->trace));
    free(runs);
    return engine;
}

static bool round_block(void *context, size_t lane, const struct policy_block *block, uint32_t pages,
                        struct trace_error *error)
{
    struct round *round = context;

    if (pages > engine_pages(round->engine)) {
        snprintf(error->text, sizeof(error->text),
                 "%s: more than %u pages, and no address space for the tables of all of them; convert the "
                 "trace first (quire trace convert)",
                 round->plan->sweep->traces[round->trace].path, engine_pages(round->engine));
        return false;
    }
    engine_run_block(round->engine, lane, block);
    return true;
}

static void round_progress(void *context, double part)
{
    struct round *round = context;
    struct plan *plan = round->plan;

    plan->sweep->progress(plan->sweep->context, (plan->done + part * round->work) / plan->work);
}

static void round_finish(const struct round *round, const struct pass_totals *totals)
{
    for (size_t i = 0; i < round->count; i++) {
        struct sweep_run *run = round_run(round, i);

        run->value.tally = *engine_tally(round->engine, i);
        run->value.counter_count = engine_counters(round->engine, i, run->value.counters);
        run->value.writes = totals->writes;
        run->value.pages = totals->pages;
        run->page_bytes = totals->page_bytes;
        run->done = true;
    }
}

static bool round_store(const struct round *round, struct trace_error *error)
{
    const struct sweep *sweep = round->plan->sweep;

    if (!plan_keeps(round->plan, round->trace))
        return true;
    if (!results_begin(sweep->results, error))
        return false;
    for (size_t i = 0; i < round->count; i++) {
        const struct sweep_run *run = round_run(round, i);
        struct results_key key = run_key(round->plan, run);

        if (!results_store(sweep->results, &key, sweep->traces[run->trace].name, &run->value, error))
            return false;
    }
    return results_commit(sweep->results, error);
}

static bool round_pass(struct round *round, struct trace_error *error)
{
    const struct sweep *sweep = round->plan->sweep;
    struct feed feed = {.path = sweep->traces[round->trace].path,
                        .options = sweep->options,
                        .lanes = round->count,
                        .threads = sweep->threads,
                        .block = round_block,
                        .progress = sweep->progress ? round_progress : NULL,
                        .context = round};
    struct pass_totals totals;

    round->engine = round_engine(round);
    if (!round->engine)
        return pass_no_memory(feed.path, error);
    feed.future = engine_needs_future(round->engine);
    if (!feed_run(&feed, &totals, error))
        return false;
    round_finish(round, &totals);
    return round_store(round, error);
}

/* Some of the trace's runs. */
static bool round_do(struct plan *plan, size_t trace, struct trace_error *error)
{
    struct round round = {.plan = plan, .trace = trace};
    bool done;

    round.runs = malloc(plan->known[trace].left * sizeof(*round.runs));
    if (!round.runs)
        return pass_no_memory(plan->sweep->traces[trace].path, error);
    choose_runs(&round);
    round.work = (double)round.count * trace_length(plan, trace);
    done = round_pass(&round, error);
    plan->done += round.work;
    plan->known[trace].left -= round.count;
    engine_destroy(round.engine);
    free(round.runs);
    return done;
}

bool sweep_do(struct sweep *sweep, struct trace_error *error)
{
    struct plan plan = {.sweep = sweep};
    bool done = true;

    plan.known = calloc(sweep->trace_count + 1, sizeof(*plan.known));
    if (!plan.known)
        return pass_no_memory("the sweep", error);
    for (size_t trace = 0; done && trace < sweep->trace_count; trace++) {
        done = trace_look(&plan, trace, error) && find_kept(&plan, trace, error);
        plan.work += (double)plan.known[trace].left * trace_length(&plan, trace);
    }
    for (size_t trace = 0; done && trace < sweep->trace_count; trace++)
        while (done && plan.known[trace].left > 0)
            done = round_do(&plan, trace, error);
    free(plan.known);
    return done;
}
