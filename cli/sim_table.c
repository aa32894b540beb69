/*
 * quire sim: traces x sizes x policies, as a table, CSV or JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/progress.h"
#include "cli/sim.h"
#include "sim/sweep.h"

struct table {
    const struct sim_request *request;
    struct sweep sweep;
    struct sweep_trace *traces;
    struct sweep_run *runs; /* by trace, size, policy */
    struct progress progress;
};

static void show_progress(void *context, double part)
{
    progress_show(&((struct table *)context)->progress, part);
}

static size_t run_index(const struct sim_request *request, size_t trace, size_t size, size_t policy)
{
    return (trace * request->size_count + size) * request->policy_count + policy;
}

static struct sweep_run table_run(const struct sim_request *request, size_t trace, uint32_t frames,
                                  const struct sim_policy *policy)
{
    struct sweep_run run = {.trace = trace, .policy = policy->full};

    run.run = (struct engine_run){.type = policy->type,
                                  .frames = frames,
                                  .seed = request->seed,
                                  .tick = request->tick,
                                  .ahead = (uint32_t)request->ahead};
    memcpy(run.run.options, policy->options, sizeof(run.run.options));
    return run;
}

/* False: a size is too small, which has been said. */
static bool table_runs(struct table *table)
{
    const struct sim_request *request = table->request;

    for (size_t trace = 0; trace < request->trace_count; trace++)
        for (size_t size = 0; size < request->size_count; size++) {
            uint32_t frames = sim_frames(request->sizes[size], request->traces[trace].page_bytes);

            if (frames == 0)
                return false;
            for (size_t policy = 0; policy < request->policy_count; policy++)
                table->runs[run_index(request, trace, size, policy)] =
                    table_run(request, trace, frames, &request->policies[policy]);
        }
    return true;
}

/* --db FILE, --db none, or the standard place, without which it works as well. False: a message. */
static bool open_results(const struct sim_request *request, struct results **results)
{
    struct trace_error error;
    char *path;

    *results = NULL;
    if (request->database) {
        if (strcmp(request->database, "none") != 0 && !(*results = results_open(request->database, &error)))
            return sim_fail(request, &error) == 0;
        return true;
    }
    path = results_standard_path();
    if (path)
        *results = results_open(path, &error);
    free(path);
    return true;
}

static double miss_ratio(const struct policy_tally *tally)
{
    return tally->references ? (double)tally->faults / (double)tally->references : 0;
}

static json_t *json_counters(const struct results_value *value)
{
    json_t *counters = json_object();

    for (size_t i = 0; i < value->counter_count; i++)
        json_object_set_new(counters, value->counters[i].name,
                            json_integer((json_int_t)value->counters[i].value));
    return counters;
}

static json_t *json_run(const struct sim_request *request, const struct sweep_run *run,
                        const struct sim_policy *policy)
{
    const struct policy_tally *tally = &run->value.tally;

    return json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:o}", "trace",
        request->traces[run->trace].name, "policy", policy->text, "frames", (json_int_t)run->run.frames,
        "memory", (json_int_t)((uint64_t)run->run.frames * run->page_bytes), "page_size",
        (json_int_t)run->page_bytes, "references", (json_int_t)tally->references, "writes",
        (json_int_t)run->value.writes, "pages", (json_int_t)run->value.pages, "faults",
        (json_int_t)tally->faults, "miss_ratio", json_real(miss_ratio(tally)), "evictions",
        (json_int_t)tally->evictions, "write_backs", (json_int_t)tally->write_backs, "modelled_seconds",
        sim_json_number(sim_seconds(&request->costs, tally)), "counters", json_counters(&run->value));
}

static int print_json(const struct table *table)
{
    const struct sim_request *request = table->request;
    json_t *runs = json_array();

    for (size_t i = 0; i < table->sweep.run_count; i++)
        json_array_append_new(
            runs, json_run(request, &table->runs[i], &request->policies[i % request->policy_count]));
    return sim_print_json(json_pack("{s:o}", "runs", runs));
}

static int print_csv(const struct table *table)
{
    const struct sim_request *request = table->request;

    printf("trace,policy,frames,memory,page_size,references,writes,pages,faults,miss_ratio,evictions,"
           "write_backs,modelled_seconds\n");
    for (size_t i = 0; i < table->sweep.run_count; i++) {
        const struct sweep_run *run = &table->runs[i];
        const struct policy_tally *tally = &run->value.tally;

        sim_csv_text(request->traces[run->trace].name);
        putchar(',');
        sim_csv_text(request->policies[i % request->policy_count].text);
        printf(",%u,%llu,%llu,%llu,%llu,%u,%llu,%.12g,%llu,%llu,%.12g\n", run->run.frames,
               (unsigned long long)run->run.frames * run->page_bytes, (unsigned long long)run->page_bytes,
               (unsigned long long)tally->references, (unsigned long long)run->value.writes, run->value.pages,
               (unsigned long long)tally->faults, miss_ratio(tally), (unsigned long long)tally->evictions,
               (unsigned long long)tally->write_backs, sim_seconds(&request->costs, tally));
    }
    return sim_finish_output();
}

static void print_trace_line(const struct table *table, size_t trace)
{
    const struct sweep_run *run = &table->runs[run_index(table->request, trace, 0, 0)];
    char references[32], writes[32], pages[32], page[32], all[32];

    printf("%s%s: %s references (%s writes) to %s pages of %s, %s\n", trace ? "\n" : "",
           table->request->traces[trace].name, sim_count(references, run->value.tally.references),
           sim_count(writes, run->value.writes), sim_count(pages, run->value.pages),
           sim_bytes(page, run->page_bytes), sim_bytes(all, run->value.pages * run->page_bytes));
}

static void print_size(const struct table *table, size_t trace, size_t size, int width)
{
    const struct sim_request *request = table->request;
    const struct sweep_run *first = &table->runs[run_index(request, trace, size, 0)];
    char bytes[32], frames[32], write_backs[32], time[32];

    printf("\n  %s of memory, %s frames\n", sim_bytes(bytes, first->run.frames * first->page_bytes),
           sim_count(frames, first->run.frames));
    printf("  %-*s  %15s  %10s  %15s  %10s\n", width, "policy", "faults", "miss ratio", "write-backs",
           "time");
    for (size_t i = 0; i < request->policy_count; i++) {
        const struct policy_tally *tally = &first[i].value.tally;

        printf("  %-*s  %15s  %10.6f  %15s  %10s\n", width, request->policies[i].text,
               sim_count(frames, tally->faults), miss_ratio(tally),
               sim_count(write_backs, tally->write_backs),
               sim_time(time, sim_seconds(&request->costs, tally)));
    }
}

static int print_words(const struct table *table)
{
    const struct sim_request *request = table->request;
    int width = (int)strlen("policy");

    for (size_t i = 0; i < request->policy_count; i++)
        if ((int)strlen(request->policies[i].text) > width)
            width = (int)strlen(request->policies[i].text);
    for (size_t trace = 0; trace < request->trace_count; trace++) {
        print_trace_line(table, trace);
        for (size_t size = 0; size < request->size_count; size++)
            print_size(table, trace, size, width);
    }
    return sim_finish_output();
}

/* A pipe's page size is known only now: what was counted in bytes must have been right. */
static bool check_page_sizes(const struct table *table)
{
    const struct sim_request *request = table->request;

    for (size_t i = 0; i < table->sweep.run_count; i++) {
        uint64_t assumed = request->traces[table->runs[i].trace].page_bytes;

        if (request->memory_words.count > 0 && table->runs[i].page_bytes != assumed) {
            say("sim: %s: its pages have %llu bytes, not %llu; say --page-size, or --frames instead of "
                "--memory",
                request->traces[table->runs[i].trace].name, (unsigned long long)table->runs[i].page_bytes,
                (unsigned long long)assumed);
            return false;
        }
    }
    return true;
}

/* On a terminal: that these are not new. */
static void say_kept(const struct table *table)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->sweep.run_count; i++)
        kept += table->runs[i].kept;
    if (kept > 0 && isatty(STDERR_FILENO))
        say("sim: %zu of %zu results were kept from earlier; --db none runs all again", kept,
            table->sweep.run_count);
}

static int table_do(struct table *table)
{
    const struct sim_request *request = table->request;
    struct trace_error error;
    bool done;

    progress_begin(&table->progress);
    done = sweep_do(&table->sweep, &error);
    progress_end(&table->progress);
    if (!done)
        return sim_fail(request, &error);
    if (!check_page_sizes(table))
        return EXIT_USAGE;
    say_kept(table);
    return request->json ? print_json(table) : request->csv ? print_csv(table) : print_words(table);
}

int sim_table(const struct sim_request *request)
{
    size_t count = request->trace_count * request->size_count * request->policy_count;
    struct table table = {.request = request};
    int status = EXIT_USAGE;

    table.traces = must_alloc((request->trace_count + 1) * sizeof(*table.traces));
    for (size_t i = 0; i < request->trace_count; i++)
        table.traces[i] = (struct sweep_trace){request->traces[i].path, request->traces[i].name,
                                               request->traces[i].read_once};
    table.runs = must_alloc((count + 1) * sizeof(*table.runs));
    table.sweep = (struct sweep){.traces = table.traces,
                                 .trace_count = request->trace_count,
                                 .options = &request->options,
                                 .runs = table.runs,
                                 .run_count = count,
                                 .threads = (unsigned)request->threads,
                                 .progress = show_progress,
                                 .context = &table};
    if (open_results(request, &table.sweep.results)) {
        if (table_runs(&table))
            status = table_do(&table);
        results_close(table.sweep.results);
    }
    free(table.runs);
    free(table.traces);
    return status;
}
