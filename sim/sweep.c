/*
 * Traces x policies x sizes: sim/sweep.h.
 *
 * In three steps: find what is kept, plan batches, do them. A batch is a range of `order`, the runs that are
 * to be done, trace by trace.
 *
 * Locking: each run belongs to the one job whose batch it is in; `lock` guards the results and the progress.
 */
#include "sim/sweep.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/team.h"

/* What a run costs, beside what reading the trace does. */
enum { COST_READ = 1, COST_BITS = 1, COST_EVERY = 3, COST_FUTURE = 6 };
/* A batch is this part of what is left for each thread. */
enum { BATCHES_A_THREAD = 2 };

struct batch {
    size_t first, count; /* of order[] */
    double cost;         /* with the trace's length */
    double part;         /* that is done */
};

/* What is known of a trace before it is read. */
struct known {
    unsigned char hash[32];
    struct trace_info info;
};

struct plan {
    struct sweep *sweep;
    struct known *known; /* by trace */
    size_t *order;       /* indices of runs */
    size_t order_count;
    struct batch *batches;
    size_t batch_count;
    double cost;
    pthread_mutex_t lock;
};

/* One batch while it is done. */
struct work {
    struct plan *plan;
    struct batch *batch;
    struct engine *engine;
    const char *path;
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
    struct results_key key = {
        .policy = run->policy, .frames = run->run.frames, .seed = run->run.seed, .tick = run->run.tick};

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
        run->page_bytes = plan->known[trace].info.page_bytes;
    }
    return true;
}

/* The trace's runs that are to be done go into order[]: first those that need the future, so that few batches
 * have the work of finding it, then what else takes long. */
static void order_runs(struct plan *plan, size_t trace)
{
    static const enum policy_needs needs[] = {POLICY_FUTURE, POLICY_EVERY_REFERENCE, POLICY_BITS};
    const struct sweep *sweep = plan->sweep;

    for (size_t kind = 0; kind < sizeof(needs) / sizeof(needs[0]); kind++)
        for (size_t i = 0; i < sweep->run_count; i++)
            if (sweep->runs[i].trace == trace && !sweep->runs[i].done &&
                sweep->runs[i].run.type->needs == needs[kind])
                plan->order[plan->order_count++] = i;
}

static double run_cost(const struct sweep_run *run)
{
    switch (run->run.type->needs) {
    case POLICY_BITS:
        return COST_BITS;
    case POLICY_EVERY_REFERENCE:
        return COST_EVERY;
    case POLICY_FUTURE:
        break;
    }
    return COST_FUTURE;
}

/* The part of memory that the runs of one batch may take. */
static double memory_for_batch(const struct sweep *sweep)
{
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 2 / sweep->threads;
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

/* A batch from order[first] on: runs of one trace that cost up to `most` together, at least one. */
static struct batch batch_at(const struct plan *plan, size_t first, double most)
{
    const struct sweep *sweep = plan->sweep;
    size_t trace = sweep->runs[plan->order[first]].trace;
    double length = trace_length(plan, trace), memory = 0;
    struct batch batch = {.first = first};

    for (size_t i = first; i < plan->order_count; i++) {
        const struct sweep_run *run = &sweep->runs[plan->order[i]];
        double cost = run_cost(run) * length;

        memory += run_memory(plan, run);
        if (run->trace != trace || (batch.count > 0 && !sweep->traces[trace].read_once &&
                                    (batch.cost + cost > most || memory > memory_for_batch(sweep))))
            break;
        batch.cost += cost;
        batch.count++;
    }
    batch.cost += COST_READ * length;
    return batch;
}

static void make_batches(struct plan *plan)
{
    double left = 0, parts = plan->sweep->threads > 1 ? plan->sweep->threads * BATCHES_A_THREAD : 1;

    for (size_t i = 0; i < plan->order_count; i++) {
        const struct sweep_run *run = &plan->sweep->runs[plan->order[i]];

        left += run_cost(run) * trace_length(plan, run->trace);
    }
    for (size_t first = 0; first < plan->order_count;) {
        struct batch batch = batch_at(plan, first, left / parts);

        plan->batches[plan->batch_count++] = batch;
        plan->cost += batch.cost;
        for (; batch.count > 0; batch.count--, first++) {
            const struct sweep_run *run = &plan->sweep->runs[plan->order[first]];

            left -= run_cost(run) * trace_length(plan, run->trace);
        }
    }
}

static bool plan_init(struct plan *plan, struct sweep *sweep)
{
    size_t runs = sweep->run_count ? sweep->run_count : 1;

    *plan = (struct plan){.sweep = sweep, .lock = PTHREAD_MUTEX_INITIALIZER};
    plan->known = calloc(sweep->trace_count ? sweep->trace_count : 1, sizeof(*plan->known));
    plan->order = calloc(runs, sizeof(*plan->order));
    plan->batches = calloc(runs, sizeof(*plan->batches));
    return plan->known && plan->order && plan->batches;
}

static void plan_destroy(struct plan *plan)
{
    free(plan->known);
    free(plan->order);
    free(plan->batches);
    pthread_mutex_destroy(&plan->lock);
}

static bool work_block(void *context, const struct policy_block *block, uint32_t pages,
                       struct trace_error *error)
{
    struct work *work = context;

    if (pages > engine_pages(work->engine)) {
        snprintf(error->text, sizeof(error->text),
                 "%s: more than %u pages, and no address space for the tables of all of them; convert the "
                 "trace first (quire trace convert)",
                 work->path, engine_pages(work->engine));
        return false;
    }
    engine_block(work->engine, block);
    return true;
}

static void work_progress(void *context, double part)
{
    struct work *work = context;
    struct plan *plan = work->plan;
    double done = 0;

    if (part < 0)
        return;
    pthread_mutex_lock(&plan->lock);
    work->batch->part = part;
    for (size_t i = 0; i < plan->batch_count; i++)
        done += plan->batches[i].cost * plan->batches[i].part;
    plan->sweep->progress(plan->sweep->context, done / plan->cost);
    pthread_mutex_unlock(&plan->lock);
}

static struct sweep_run *batch_run(const struct plan *plan, const struct batch *batch, size_t index)
{
    return &plan->sweep->runs[plan->order[batch->first + index]];
}

static struct engine *batch_engine(const struct plan *plan, const struct batch *batch)
{
    struct engine_run *runs = malloc(batch->count * sizeof(*runs));
    struct engine *engine;

    if (!runs)
        return NULL;
    for (size_t i = 0; i < batch->count; i++)
        runs[i] = batch_run(plan, batch, i)->run;
    engine = engine_create(runs, batch->count, known_pages(plan, batch_run(plan, batch, 0)->trace));
    free(runs);
    return engine;
}

static void batch_finish(const struct work *work, const struct pass_totals *totals)
{
    for (size_t i = 0; i < work->batch->count; i++) {
        struct sweep_run *run = batch_run(work->plan, work->batch, i);

        run->value.tally = *engine_tally(work->engine, i);
        run->value.counter_count = engine_counters(work->engine, i, run->value.counters);
        run->value.writes = totals->writes;
        run->value.pages = totals->pages;
        run->page_bytes = totals->page_bytes;
        run->done = true;
    }
}

static bool store_runs(const struct plan *plan, const struct batch *batch, struct trace_error *error)
{
    struct results *results = plan->sweep->results;

    if (!results_begin(results, error))
        return false;
    for (size_t i = 0; i < batch->count; i++) {
        const struct sweep_run *run = batch_run(plan, batch, i);
        struct results_key key = run_key(plan, run);

        if (!results_store(results, &key, plan->sweep->traces[run->trace].name, &run->value, error))
            return false;
    }
    return results_commit(results, error);
}

static bool batch_store(struct plan *plan, const struct batch *batch, struct trace_error *error)
{
    bool done = true;

    if (!plan_keeps(plan, batch_run(plan, batch, 0)->trace))
        return true;
    pthread_mutex_lock(&plan->lock);
    done = store_runs(plan, batch, error);
    pthread_mutex_unlock(&plan->lock);
    return done;
}

static bool batch_do(void *context, size_t job, struct trace_error *error)
{
    struct plan *plan = context;
    struct batch *batch = &plan->batches[job];
    const struct sweep_trace *trace = &plan->sweep->traces[batch_run(plan, batch, 0)->trace];
    struct work work = {plan, batch, batch_engine(plan, batch), trace->path};
    struct pass pass = {.path = trace->path,
                        .options = plan->sweep->options,
                        .block = work_block,
                        .progress = plan->sweep->progress ? work_progress : NULL,
                        .context = &work};
    struct pass_totals totals;
    bool done;

    if (!work.engine)
        return pass_no_memory(trace->path, error);
    pass.future = engine_needs_future(work.engine);
    done = pass_run(&pass, &totals, error);
    if (done) {
        batch_finish(&work, &totals);
        done = batch_store(plan, batch, error);
    }
    engine_destroy(work.engine);
    return done;
}

bool sweep_do(struct sweep *sweep, struct trace_error *error)
{
    struct plan plan;
    bool done = true;

    if (!plan_init(&plan, sweep)) {
        plan_destroy(&plan);
        return pass_no_memory("the sweep", error);
    }
    for (size_t trace = 0; done && trace < sweep->trace_count; trace++)
        done = trace_look(&plan, trace, error) && find_kept(&plan, trace, error);
    for (size_t trace = 0; done && trace < sweep->trace_count; trace++)
        order_runs(&plan, trace);
    if (done) {
        make_batches(&plan);
        done = team_run(sweep->threads, plan.batch_count, batch_do, &plan, error);
    }
    plan_destroy(&plan);
    return done;
}
