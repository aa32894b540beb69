/*
 * The engine: many configurations give what each gives alone, ticks come where they should, and tables for
 * pages that never come take no memory. Sampling and the statistics of its seeds.
 */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "sim/engine.h"
#include "sim/sample.h"
#include "support.h"

enum { COUNT = 50000, PAGES = 700 };

static uint32_t references[COUNT], distances[COUNT];

static int make_trace(void **state)
{
    struct random random = {11};
    static uint32_t next[PAGES];

    for (size_t i = 0; i < COUNT; i++) {
        uint64_t page =
            random_below(&random, 3) ? random_below(&random, PAGES / 10) : random_below(&random, PAGES);

        references[i] = (uint32_t)page << 1 | (random_below(&random, 5) == 0);
    }
    memset(next, 0xff, sizeof(next));
    for (size_t i = COUNT; i-- > 0;) {
        uint32_t *at = &next[references[i] >> 1];

        distances[i] = *at == UINT32_MAX ? UINT32_MAX : *at - (uint32_t)i;
        *at = (uint32_t)i;
    }
    return 0;
}

static struct engine_run run_of(const struct policy_type *type, uint32_t frames)
{
    struct engine_run run = {.type = type, .frames = frames, .seed = 1};
    struct policy_config config;

    policy_standard(type, &config);
    memcpy(run.options, config.options, sizeof(run.options));
    return run;
}

static void feed(struct engine *engine, size_t length)
{
    for (size_t at = 0; at < COUNT;) {
        struct policy_block block = {.references = references + at,
                                     .distances = distances + at,
                                     .count = COUNT - at < length ? COUNT - at : length};

        engine_block(engine, &block);
        at += block.count;
    }
}

static void expect_same_tally(const struct policy_tally *got, const struct policy_tally *wanted)
{
    assert_int_equal(got->references, wanted->references);
    assert_int_equal(got->faults, wanted->faults);
    assert_int_equal(got->evictions, wanted->evictions);
    assert_int_equal(got->write_backs, wanted->write_backs);
}

enum { SIZES = 4, MOST_TYPES = 64 };
static const uint32_t sizes[SIZES] = {1, 30, 300, 5000};
static struct engine_run runs[MOST_TYPES * SIZES];

static size_t every_run(void)
{
    size_t count = 0;

    for (size_t i = 0; policy_types[i]; i++)
        for (size_t size = 0; size < SIZES; size++)
            runs[count++] = run_of(policy_types[i], sizes[size]);
    return count;
}

/* All at once in blocks of one length, each alone in blocks of another, without knowing how many pages. */
static void together_as_alone(void **state)
{
    size_t count = every_run();
    struct engine *all = engine_create(runs, count, PAGES);

    feed(all, 8192);
    for (size_t i = 0; i < count; i++) {
        struct engine *one = engine_create(&runs[i], 1, 0);

        feed(one, 77);
        expect_same_tally(engine_tally(all, i), engine_tally(one, 0));
        assert_int_equal(engine_tally(all, i)->references, COUNT);
        assert_null(engine_check(all, i));
        engine_destroy(one);
    }
    engine_destroy(all);
}

static void more_frames_than_pages(void **state)
{
    size_t count = every_run();
    struct engine *engine = engine_create(runs, count, 0);

    feed(engine, 8192);
    for (size_t i = SIZES - 1; i < count; i += SIZES) {
        assert_int_equal(engine_tally(engine, i)->faults, PAGES);
        assert_int_equal(engine_tally(engine, i)->evictions, 0);
        assert_int_equal(engine_tally(engine, i)->write_backs, 0);
    }
    engine_destroy(engine);
}

/* Address space for 2^31 pages, each policy: what is used is little more than what came. */
static void unknown_pages_take_no_memory(void **state)
{
    size_t count = every_run();
    struct rusage before, after;
    struct engine *engine;

    for (size_t i = 0; i < count; i++)
        runs[i].frames = POLICY_MAX_PAGES;
    getrusage(RUSAGE_SELF, &before);
    engine = engine_create(runs, count, 0);
    assert_non_null(engine);
    assert_true(engine_pages(engine) >= 1u << 20);
    feed(engine, 8192);
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss <
                (long)count * 16 * 1024); /* KiB: huge pages among them */
    engine_destroy(engine);
}

/* A policy of the test's own, which writes down when it is told of a tick. */
static uint64_t ticks[1000];
static size_t tick_count;

static size_t ticker_bytes(const struct policy_config *config)
{
    return sizeof(struct policy);
}

static void ticker_init(struct policy *policy, const struct policy_config *config)
{
}

static void ticker_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy->resident = policy->frames;
    policy->now += block->timed ? 0 : block->count;
    tally->references += block->count;
}

static void ticker_tick(struct policy *policy)
{
    ticks[tick_count++] = policy->now;
}

static const struct policy_type ticker = {
    .name = "ticker", .bytes = ticker_bytes, .init = ticker_init, .run = ticker_run, .tick = ticker_tick};

static void ticks_in_time(void **state)
{
    struct engine_run run = {.type = &ticker, .frames = 10, .tick = 333};
    struct engine *engine = engine_create(&run, 1, PAGES);

    tick_count = 0;
    feed(engine, 1000);
    assert_int_equal(tick_count, COUNT / 333);
    for (size_t i = 0; i < tick_count; i++)
        assert_int_equal(ticks[i], (i + 1) * 333);
    assert_int_equal(engine_tally(engine, 0)->references, COUNT);
    engine_destroy(engine);
    assert_int_equal(engine_standard_tick(10), 1024);
    assert_int_equal(engine_standard_tick(4096), 4096);
}

static struct policy_mark time_mark(uint32_t at, uint64_t now_us)
{
    return (struct policy_mark){.at = at, .page = POLICY_NO_PAGE, .now_us = now_us};
}

/* Where a trace has times, references take none, and intervals are microseconds; the first one begins when
 * memory is nearly full. */
static void time_passes_by_marks(void **state)
{
    struct engine_run run = {.type = &ticker, .frames = 1, .tick = 100};
    struct engine *engine = engine_create(&run, 1, PAGES);
    const struct policy_mark marks[] = {time_mark(1, 50),   time_mark(10, 149), time_mark(10, 150),
                                        time_mark(20, 160), time_mark(30, 260), time_mark(COUNT, 1000)};
    struct policy_block block = {
        .references = references, .count = COUNT, .marks = marks, .mark_count = 6, .timed = true};

    tick_count = 0;
    engine_block(engine, &block);
    assert_int_equal(tick_count, 3);
    assert_int_equal(ticks[0], 150);
    assert_int_equal(ticks[1], 260);
    assert_int_equal(ticks[2], 1000);
    assert_int_equal(engine_tally(engine, 0)->references, COUNT);
    engine_destroy(engine);
    assert_int_equal(policy_tick_us(1), 10000);
    assert_int_equal(policy_tick_us(10000), 40000);
}

/* Two frames: 0 and 1 come; 0 ends, so 2 needs no victim; 0 is another page by now, and has to come again. */
static void pages_that_end(void **state)
{
    const uint32_t stream[] = {0 << 1, 1 << 1, 2 << 1, 1 << 1, 0 << 1};
    const struct policy_mark marks[] = {{.at = 2, .page = 0}};
    struct policy_block block = {
        .references = stream, .count = 5, .marks = marks, .mark_count = 1, .timed = true};

    for (int removes = 0; removes < 2; removes++) {
        struct engine_run run = run_of(policy_find("fifo", 4), 2);
        struct engine *engine;

        run.removes = removes;
        engine = engine_create(&run, 1, 3);
        engine_block(engine, &block);
        assert_int_equal(engine_tally(engine, 0)->faults, 4);
        assert_int_equal(engine_tally(engine, 0)->evictions, removes ? 1 : 2);
        assert_null(engine_check(engine, 0));
        engine_destroy(engine);
    }
}

/* Four frames, three leave at once: 0 1 2 3 | 4 sends 0 1 2 away | 3 is there | 0 1 come | 2 sends 3 4 0. */
static void pages_leave_together(void **state)
{
    const uint32_t stream[] = {0 << 1 | 1, 1 << 1, 2 << 1, 3 << 1, 4 << 1,
                               3 << 1,     0 << 1, 1 << 1, 2 << 1, 1 << 1};
    struct policy_block block = {.references = stream, .count = 10};
    struct engine_run run = run_of(policy_find("fifo", 4), 4);
    struct engine *engine;

    run.ahead = 3;
    engine = engine_create(&run, 1, 5);
    engine_block(engine, &block);
    assert_int_equal(engine_tally(engine, 0)->faults, 8);
    assert_int_equal(engine_tally(engine, 0)->evictions, 6);
    assert_int_equal(engine_tally(engine, 0)->write_backs, 1);
    assert_int_equal(engine_tally(engine, 0)->references, 10);
    assert_null(engine_check(engine, 0));
    engine_destroy(engine);
}

/* A part of 1 is the thing itself. */
static void sample_of_all(void **state)
{
    struct engine_run run = run_of(policy_find("clock", 5), 100);
    const unsigned shift = 0;
    struct sampler *sampler = sampler_create(&run, &shift, 1, 1, PAGES);
    struct engine *engine = engine_create(&run, 1, PAGES);
    struct policy_block block = {.references = references, .count = COUNT};
    struct policy_tally tally;

    assert_true(sampler_block(sampler, &block));
    engine_block(engine, &block);
    sampler_tally(sampler, 0, &tally);
    expect_same_tally(&tally, engine_tally(engine, 0));
    sampler_destroy(sampler);
    engine_destroy(engine);
}

/* Halves of a trace of many pages that are alike: what the parts say is near, and within the error. */
static void sample_is_near(void **state)
{
    enum { MANY = 20000, LONG = 400000, SEEDS = 5 };
    uint32_t *stream = malloc(LONG * sizeof(*stream));
    struct engine_run run = run_of(policy_find("clock", 5), MANY / 4);
    struct policy_block block = {.references = stream, .count = LONG};
    struct engine *engine = engine_create(&run, 1, MANY);
    struct random random = {17};
    struct sample_estimate estimate;
    double values[SEEDS], truth;

    for (size_t i = 0; i < LONG; i++) {
        double unit = (double)random_below(&random, 1 << 20) / (1 << 20);

        stream[i] = (uint32_t)(unit * unit * MANY) << 1;
    }
    engine_block(engine, &block);
    truth = (double)engine_tally(engine, 0)->faults;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        const unsigned shift = 3;
        struct sampler *sampler = sampler_create(&run, &shift, 1, seed, MANY);
        struct policy_tally tally;

        assert_true(sampler_block(sampler, &block));
        sampler_tally(sampler, 0, &tally);
        assert_int_equal(tally.references, LONG);
        values[seed] = (double)tally.faults;
        assert_true(fabs(values[seed] - truth) < truth * 0.1);
        sampler_destroy(sampler);
    }
    estimate = sample_combine(values, SEEDS);
    assert_true(fabs(estimate.mean - truth) < truth * 0.04);
    assert_true(estimate.error > 0 && estimate.error < truth * 0.1);
    assert_true(values[0] != values[1]);
    engine_destroy(engine);
    free(stream);
}

static void shifts(void **state)
{
    assert_int_equal(sample_shift(1, 4), 0);
    assert_int_equal(sample_shift(63, 4), 0);
    assert_int_equal(sample_shift(64, 4), 1);
    assert_int_equal(sample_shift(1 << 20, 4), 4);
    assert_int_equal(sample_shift(UINT32_MAX, 99), SAMPLE_SHIFTS);
}

/* 3, 4, 5: mean 4, deviation 1, t(2) = 4.303; of one there is no error to be told. */
static void statistics(void **state)
{
    const double values[] = {3, 4, 5};
    struct sample_estimate estimate = sample_combine(values, 3);

    assert_true(fabs(estimate.mean - 4) < 1e-12);
    assert_true(fabs(estimate.error - 4.303 / sqrt(3)) < 1e-9);
    assert_true(sample_combine(values, 1).error == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(together_as_alone),
        cmocka_unit_test(more_frames_than_pages),
        cmocka_unit_test(ticks_in_time),
        cmocka_unit_test(sample_of_all),
        cmocka_unit_test(time_passes_by_marks),
        cmocka_unit_test(pages_that_end),
        cmocka_unit_test(pages_leave_together),
        cmocka_unit_test(sample_is_near),
        cmocka_unit_test(shifts),
        cmocka_unit_test(statistics),
        cmocka_unit_test(unknown_pages_take_no_memory),
    };

    return cmocka_run_group_tests_name("engine", tests, make_trace, NULL);
}
