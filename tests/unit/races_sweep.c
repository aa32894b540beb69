/*
 * Sweeps and curves over several threads, under TSan: what they find is what one thread finds, and what is
 * kept is found again.
 */
#include <stdlib.h>
#include <unistd.h>

#include "sim/curves.h"
#include "sim/sweep.h"
#include "sim/team.h"
#include "trace_support.h"

enum { REFERENCES = 12000, TRACES = 2, SIZES = 3, MOST_TYPES = 64, MOST_RUNS = MOST_TYPES * SIZES * TRACES };

static char paths[TRACES][200], database[200];
static struct trace_options options;
static struct sweep_run runs[MOST_RUNS], again[MOST_RUNS];

static int make_traces(void **state)
{
    static uint64_t pages[REFERENCES];
    struct random random = {3};

    for (unsigned trace = 0; trace < TRACES; trace++) {
        for (size_t i = 0; i < REFERENCES; i++)
            pages[i] = random_below(&random, 3) ? random_below(&random, 20) : random_below(&random, 400);
        snprintf(paths[trace], sizeof(paths[trace]), "%s",
                 trace_file(trace ? "b.raw64" : "a.raw64", pages, sizeof(pages)));
    }
    options.format = TRACE_RAW64;
    snprintf(database, sizeof(database), "%s/folder/results.sqlite", trace_folder());
    return 0;
}

static int remove_traces(void **state)
{
    trace_folder_remove();
    return 0;
}

static size_t make_runs(struct sweep_run *out)
{
    static const uint32_t sizes[SIZES] = {5, 60, 1000};
    size_t count = 0;

    for (size_t trace = 0; trace < TRACES; trace++)
        for (size_t size = 0; size < SIZES; size++)
            for (size_t i = 0; policy_types[i]; i++) {
                struct policy_config config;

                policy_standard(policy_types[i], &config);
                out[count] = (struct sweep_run){.trace = trace, .policy = policy_types[i]->name};
                out[count].run =
                    (struct engine_run){.type = policy_types[i], .frames = sizes[size], .seed = 1};
                memcpy(out[count].run.options, config.options, sizeof(config.options));
                count++;
            }
    return count;
}

static struct sweep sweep_of(struct sweep_run *these, unsigned threads, struct results *results)
{
    static struct sweep_trace traces[TRACES];

    for (unsigned i = 0; i < TRACES; i++)
        traces[i] = (struct sweep_trace){.path = paths[i], .name = paths[i]};
    return (struct sweep){.traces = traces,
                          .trace_count = TRACES,
                          .options = &options,
                          .runs = these,
                          .run_count = make_runs(these),
                          .threads = threads,
                          .results = results};
}

static void expect_same(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_true(runs[i].done && again[i].done);
        assert_memory_equal(&runs[i].value.tally, &again[i].value.tally, sizeof(struct policy_tally));
        assert_int_equal(runs[i].value.pages, again[i].value.pages);
        assert_int_equal(runs[i].value.counter_count, again[i].value.counter_count);
        for (size_t k = 0; k < runs[i].value.counter_count; k++) {
            assert_string_equal(runs[i].value.counters[k].name, again[i].value.counters[k].name);
            assert_int_equal(runs[i].value.counters[k].value, again[i].value.counters[k].value);
        }
    }
}

static double last_part;

static void watch(void *context, double part)
{
    assert_true(part >= 0 && part <= 1 + 1e-9);
    last_part = part;
}

static void threads_as_one(void **state)
{
    struct sweep one = sweep_of(runs, 1, NULL), four = sweep_of(again, 4, NULL);
    struct trace_error error;

    four.progress = watch;
    assert_true(sweep_do(&one, &error));
    assert_true(sweep_do(&four, &error));
    expect_same(one.run_count);
    assert_true(last_part > 0.999);
}

static void kept_and_found(void **state)
{
    struct trace_error error;
    struct results *results = results_open(database, &error);
    struct sweep first = sweep_of(runs, 3, results);

    assert_non_null(results);
    assert_true(sweep_do(&first, &error));
    for (size_t i = 0; i < first.run_count; i++)
        assert_false(runs[i].kept);
    results_close(results);

    results = results_open(database, &error);
    first = sweep_of(again, 3, results);
    again[1].run.seed = 2; /* this one is another run */
    again[2].run.frames = 6;
    again[3].policy = "another";
    assert_true(sweep_do(&first, &error));
    for (size_t i = 0; i < first.run_count; i++)
        assert_int_equal(again[i].kept, i < 1 || i > 3);
    again[1] = runs[1];
    again[2] = runs[2];
    again[3] = runs[3];
    expect_same(first.run_count);
    results_close(results);
}

/* The second trace ends in the middle of a number: an error, and no thread hangs. */
static void bad_trace(void **state)
{
    struct sweep sweep = sweep_of(runs, 4, NULL);
    struct trace_error error = {""};
    char path[200];
    struct sweep_trace traces[TRACES] = {sweep.traces[0], {0}};

    snprintf(path, sizeof(path), "%s", trace_file("cut", "12345678123", 11));
    traces[1] = (struct sweep_trace){.path = path, .name = path};
    sweep.traces = traces;
    assert_false(sweep_do(&sweep, &error));
    assert_non_null(strstr(error.text, path));
}

static size_t jobs_done[500];

static bool note_job(void *context, size_t job, struct trace_error *error)
{
    jobs_done[job]++;
    return true;
}

static bool fail_job(void *context, size_t job, struct trace_error *error)
{
    snprintf(error->text, sizeof(error->text), "job %zu", job);
    return job != 7;
}

static void team(void **state)
{
    struct trace_error error;

    assert_true(team_run(8, 500, note_job, NULL, &error));
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(jobs_done[i], 1);
    assert_true(team_run(8, 0, note_job, NULL, &error));
    assert_false(team_run(3, 500, fail_job, NULL, &error));
    assert_string_equal(error.text, "job 7");
    assert_true(team_processors() >= 1);
}

/* Every size that is simulated whole agrees with the sweep; exact lines have every size. */
static void curves(void **state)
{
    static struct curves_line lines[3];
    static const char *const names[] = {"lru", "opt", "clock"};
    struct curves curves = {
        .path = paths[0], .options = &options, .lines = lines, .line_count = 3, .seeds = 3};
    struct trace_error error;
    uint32_t frames = 60;

    for (size_t i = 0; i < 3; i++) {
        struct policy_config config;

        lines[i] = (struct curves_line){.run = {.type = policy_find(names[i], strlen(names[i])), .seed = 1}};
        policy_standard(lines[i].run.type, &config);
        memcpy(lines[i].run.options, config.options, sizeof(config.options));
    }
    curves.threads = 3;
    curves.progress = watch;
    curves.sizes = &frames;
    curves.size_count = 1;
    assert_true(curves_do(&curves, &error));
    assert_true(lines[0].exact && lines[1].exact && !lines[2].exact);
    assert_int_equal(lines[0].count, curves.totals.pages);
    for (size_t i = 0; i < 3; i++) {
        struct sweep sweep = sweep_of(runs, 1, NULL);

        sweep.run_count = 1;
        runs[0].run = lines[i].run;
        runs[0].run.frames = frames;
        assert_true(sweep_do(&sweep, &error));
        assert_true(curves_at(&lines[i], frames)->faults == (double)runs[0].value.tally.faults);
        assert_int_equal(curves_at(&lines[i], frames)->frames, frames);
    }
    assert_null(curves_at(&lines[2], 59));
    curves_free(&curves);

    curves.most_shift = 2; /* samples, in threads */
    frames = 200;
    assert_true(curves_do(&curves, &error));
    assert_int_equal(lines[2].points[0].shift, 2);
    assert_true(lines[2].points[0].faults_error > 0);
    curves_free(&curves);
}

static void grid(void **state)
{
    uint32_t sizes[64];
    size_t count = curves_grid(1000000, sizes, 64);

    assert_true(count > 20 && count <= 64);
    assert_int_equal(sizes[count - 1], 1000000);
    for (size_t i = 1; i < count; i++)
        assert_true(sizes[i] > sizes[i - 1]);
    assert_int_equal(curves_grid(3, sizes, 64), 3);
    assert_int_equal(sizes[0], 1);
    assert_int_equal(curves_grid(0, sizes, 64), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_as_one), cmocka_unit_test(kept_and_found), cmocka_unit_test(bad_trace),
        cmocka_unit_test(team),           cmocka_unit_test(curves),         cmocka_unit_test(grid),
    };

    return cmocka_run_group_tests_name("sweep over threads", tests, make_traces, remove_traces);
}
