/*
 * Several traces as several processes (sim/mix.c): against the same references made one by one, and in small
 * cases that can be followed by hand. Every case walks all invariants after every turn.
 */
#include "trace_support.h"

#include <stdlib.h>

#include "sim/mix.h"

enum { MOST = 6, LENGTH = 4000 };

static struct trace_error error;
static struct mix_result results[MOST];
static struct mix_total total;
static struct random dice = {4};

static const struct policy_type *policy(const char *name)
{
    const struct policy_type *type = policy_find(name, strlen(name));

    assert_non_null(type);
    return type;
}

static struct mix_config config_of(const char *name, uint32_t frames)
{
    struct policy_config standard = {0};
    struct mix_config config = {
        .type = policy(name),
        .scope = {.kind = SCOPE_GLOBAL, .frames = frames},
        .quantum = 10,
        .window = 1000,
        .check = true,
    };

    policy_standard(config.type, &standard);
    memcpy(config.options, standard.options, sizeof(config.options));
    return config;
}

static struct mix_config local(struct mix_config config, enum scope_rule rule)
{
    config.scope.kind = SCOPE_LOCAL;
    config.scope.rule = rule;
    return config;
}

/* A process whose trace is this text. */
static struct mix_process process_of(const char *text)
{
    static unsigned files;
    struct mix_process process = {0};
    char name[32];

    snprintf(name, sizeof(name), "process-%u", files++ % (2 * MOST));
    process.trace = trace_open(trace_file(name, text, strlen(text)), &(struct trace_options){0}, &error);
    assert_non_null(process.trace);
    if (!mix_count_pages(process.trace, &process.pages, &error))
        fail_msg("%s", error.text);
    return process;
}

/* "first first+1 … first+pages-1" again and again, `suffix` after each number. */
static struct mix_process loop_of(unsigned first, unsigned pages, unsigned times, const char *suffix)
{
    size_t size = (size_t)pages * times * 16 + 1, at = 0;
    char *text = malloc(size);
    struct mix_process process;

    assert_non_null(text);
    for (unsigned i = 0; i < times * pages; i++)
        at += (size_t)snprintf(text + at, size - at, "%u%s ", first + i % pages, suffix);
    process = process_of(text);
    free(text);
    return process;
}

static void run(struct mix_config config, struct mix_process *processes, uint32_t count)
{
    if (!mix_run(&config, processes, count, results, &total, &error))
        fail_msg("%s", error.text);
}

static void close_all(struct mix_process *processes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        trace_close(processes[i].trace);
}

/* ------------------------------------------------------------------ against references made one by one */

/* Random references: often near the last one, so that there is something to hit. Pages are numbered in the
 * order in which they come, as a reader would. */
static void make_references(uint32_t *out, size_t count, uint32_t below)
{
    uint32_t numbers[64], pages = 0, at = 0;

    assert_true(below <= 64);
    memset(numbers, 0xff, sizeof(numbers));
    for (size_t i = 0; i < count; i++) {
        at = random_below(&dice, 4) == 0 ? (uint32_t)random_below(&dice, below)
                                         : (at + (uint32_t)random_below(&dice, 3)) % below;
        if (numbers[at] == UINT32_MAX)
            numbers[at] = pages++;
        out[i] = numbers[at] * 2 + (random_below(&dice, 3) == 0);
    }
}

static struct mix_process process_from(const uint32_t *references, size_t count)
{
    char *text = malloc(count * 12 + 1);
    size_t at = 0;
    struct mix_process process;

    assert_non_null(text);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, 12, "%u%s ", references[i] >> 1, references[i] & 1 ? " w" : "");
    process = process_of(text);
    free(text);
    return process;
}

/* policy_host: written at once. */
static void reference_clean(void *context, struct policy *cleaned, uint32_t page)
{
    struct policy_tally *tally = context;

    tally->write_backs += (cleaned->state[page] & POLICY_DIRTY) != 0;
    cleaned->state[page] &= (uint8_t)~POLICY_DIRTY;
}

static struct policy_tally reference_run(const struct mix_config *config, uint32_t frames,
                                         const uint32_t *references, size_t count, uint32_t pages)
{
    struct policy_tally tally = {0};
    struct policy_host host = {.clean = reference_clean, .context = &tally};
    struct policy_config made = {.pages = pages, .frames = frames, .most_frames = frames, .host = &host};
    struct policy *made_policy;
    void *memory;

    memcpy(made.options, config->options, sizeof(made.options));
    made.state = calloc(pages, 1);
    memory = aligned_alloc(64, (policy_bytes(config->type, &made) + 63) / 64 * 64);
    assert_non_null(memory);
    memset(memory, 0, (policy_bytes(config->type, &made) + 63) / 64 * 64);
    made_policy = policy_create(config->type, &made, memory);
    for (size_t i = 0; i < count; i++) {
        policy_reference(made_policy, references[i] >> 1, references[i] & 1, 0, &tally);
        if (config->tick > 0 && (i + 1) % config->tick == 0)
            policy_tick(made_policy);
    }
    free(memory);
    free(made.state);
    return tally;
}

static void same(struct policy_tally got, struct policy_tally expected)
{
    assert_int_equal(got.references, expected.references);
    assert_int_equal(got.faults, expected.faults);
    assert_int_equal(got.write_backs, expected.write_backs);
}

static void one_process_is_the_plain_simulation(void **state)
{
    static uint32_t references[LENGTH];

    for (const struct policy_type *const *type = policy_types; *type; type++) {
        struct mix_config config = config_of((*type)->name, 20);
        struct mix_process process;

        if ((*type)->needs == POLICY_FUTURE)
            continue;
        config.tick = 50;
        make_references(references, LENGTH, 60);
        process = process_from(references, LENGTH);
        run(config, &process, 1);
        same(results[0].tally, reference_run(&config, 20, references, LENGTH, 60));
        assert_int_equal(results[0].lost, 0);
        run(local(config, SCOPE_PROPORTIONAL), &process, 1);
        same(results[0].tally, reference_run(&config, 20, references, LENGTH, 60));
        close_all(&process, 1);
    }
}

/* The turns of `count` processes in one stream; page numbers of different processes apart. */
static size_t interleave(uint32_t streams[][LENGTH], unsigned count, unsigned quantum, uint32_t *out)
{
    size_t at = 0;

    for (size_t turn = 0; turn * quantum < LENGTH; turn++)
        for (unsigned i = 0; i < count; i++)
            for (size_t j = turn * quantum; j < (turn + 1) * quantum && j < LENGTH; j++)
                out[at++] = streams[i][j] + 2 * 60 * i;
    return at;
}

static void global_scope_is_one_stream(void **state)
{
    static uint32_t streams[3][LENGTH], all[3 * LENGTH];
    struct mix_process processes[3];

    for (unsigned i = 0; i < 3; i++) {
        make_references(streams[i], LENGTH, 60);
        processes[i] = process_from(streams[i], LENGTH);
    }
    for (unsigned quantum = 1; quantum < 200; quantum *= 10) { /* all end in the same round of turns */
        struct mix_config config = config_of("clock", 50);
        size_t count = interleave(streams, 3, quantum, all);

        config.quantum = quantum;
        run(config, processes, 3);
        same(total.tally, reference_run(&config, 50, all, count, 180));
        assert_int_equal(total.tally.faults,
                         results[0].tally.faults + results[1].tally.faults + results[2].tally.faults);
    }
    close_all(processes, 3);
}

/* Of equal length, so that nobody inherits: each is as if alone in its part. */
static void local_scope_is_each_alone(void **state)
{
    static uint32_t streams[3][LENGTH];
    struct mix_config config = local(config_of("clock", 62), SCOPE_EQUAL);
    struct mix_process processes[3];

    for (unsigned i = 0; i < 3; i++) {
        make_references(streams[i], LENGTH, 60);
        processes[i] = process_from(streams[i], LENGTH);
    }
    config.quantum = 16;
    run(config, processes, 3);
    for (unsigned i = 0; i < 3; i++) {
        same(results[i].tally, reference_run(&config, 20, streams[i], LENGTH, 60));
        assert_int_equal(results[i].most_frames, 20);
        assert_int_equal(results[i].lost, 0);
    }
    close_all(processes, 3);
}

/* ------------------------------------------------------------------ classes */

static void a_guaranteed_minimum_stays(void **state)
{
    struct mix_config config = config_of("fifo", 5);
    struct mix_process processes[2] = {loop_of(0, 2, 50, ""), loop_of(0, 20, 20, "")};

    config.quantum = 2;
    run(config, processes, 2);
    assert_true(results[0].lost > 10); /* the other one's loop pushes its pages out */
    assert_true(results[0].tally.faults > 20);
    processes[0].class = CLASS_VVIP;
    processes[0].minimum = 2;
    run(config, processes, 2);
    assert_int_equal(results[0].lost, 0);
    assert_int_equal(results[0].tally.faults, 2);
    assert_int_equal(results[1].tally.faults, 400);
    close_all(processes, 2);
}

/* Three frames, FIFO. The vip brings 1 and 2, the ordinary one its page: memory is full, and the vip's pages
 * are the oldest. The vvip's first fault takes the ordinary one's page all the same, its second one a page of
 * the vip: nobody else has anything left. */
static void a_vip_gives_last(void **state)
{
    struct mix_config config = config_of("fifo", 3);
    struct mix_process processes[3] = {process_of("1 2 1 2 1 2"), process_of("1 1"), process_of("1 2")};

    config.quantum = 2;
    processes[0].class = CLASS_VIP;
    processes[0].minimum = 2;
    processes[2].class = CLASS_VVIP;
    processes[2].minimum = 1;
    run(config, processes, 3);
    assert_int_equal(results[1].lost, 1);
    assert_int_equal(results[0].lost, 1);
    assert_int_equal(results[2].tally.faults, 2);
    assert_int_equal(results[2].lost, 1);
    assert_int_equal(results[0].tally.faults, 3); /* 1 again, when the vvip has what is above its minimum */
    close_all(processes, 3);
}

static void minima_that_do_not_fit(void **state)
{
    struct mix_config config = config_of("clock", 10);
    struct mix_process processes[2] = {loop_of(0, 2, 5, ""), loop_of(0, 3, 5, "")};

    processes[0].class = CLASS_VVIP;
    processes[0].minimum = 10;
    assert_false(mix_run(&config, processes, 2, results, &total, &error));
    assert_non_null(strstr(error.text, "too small"));
    processes[0].minimum = 9;
    assert_true(mix_run(&config, processes, 2, results, &total, &error));
    close_all(processes, 2);
}

/* ------------------------------------------------------------------ page-fault frequency */

/* One loops over 4 pages, the other over 50, in 60 frames: equal parts are too few for the second, which
 * faults all the time; PFF gives it what the first does not need. */
static void pff_gives_to_whom_needs(void **state)
{
    struct mix_config config = local(config_of("fifo", 60), SCOPE_EQUAL);
    struct mix_process processes[2] = {loop_of(0, 4, 5000, ""), loop_of(0, 50, 400, "")};

    config.quantum = 100;
    run(config, processes, 2);
    assert_int_equal(results[1].tally.faults, 20000);
    config = local(config, SCOPE_PFF);
    config.scope.pff_low = 1000;
    config.scope.pff_high = 10000;
    config.scope.pff_window = 500;
    run(config, processes, 2);
    assert_int_equal(results[1].most_frames, 50);
    assert_in_range(results[1].tally.faults, 50, 5000);
    assert_in_range(results[0].tally.faults, 4, 200);
    assert_true(total.tally.faults < 5000);
    close_all(processes, 2);
}

/* ------------------------------------------------------------------ load control */

/* Four processes that loop over 40 pages each, in 100 frames: whoever runs finds that the others have taken
 * his pages. Two at a time would fit. */
static void thrashing_and_its_end(void **state)
{
    struct mix_config config = config_of("clock", 100);
    struct mix_process processes[4];
    uint64_t thrashing;

    for (unsigned i = 0; i < 4; i++)
        processes[i] = loop_of(0, 40, 500, "");
    config.quantum = 40;
    run(config, processes, 4);
    thrashing = total.tally.faults;
    assert_true(thrashing > total.tally.references * 9 / 10);
    config.load_control = true;
    config.window = 200;
    config.scope.turn = 10000;
    run(config, processes, 4);
    assert_true(total.tally.faults < thrashing / 20);
    assert_true(total.swap_outs >= 2);
    assert_int_equal(total.swap_ins, total.swap_outs);
    assert_in_range(total.most_demand, 40, 100);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(results[i].tally.references, 20000);
    close_all(processes, 4);
}

static void turns_are_fair(void **state)
{
    struct mix_config config = config_of("clock", 50);
    struct mix_process processes[2] = {loop_of(0, 40, 2000, ""), loop_of(0, 40, 2000, "")};

    config.quantum = 40;
    config.load_control = true;
    config.window = 200;
    run(config, processes, 2); /* no turns: one after the other */
    assert_int_equal(total.swap_outs, 1);
    assert_in_range(results[0].finished, 80000, 80200);
    assert_int_equal(results[1].finished, 160000);
    config.scope.turn = 10000;
    run(config, processes, 2);
    assert_in_range(total.swap_outs, 10, 20);
    assert_true(results[0].finished > 140000 && results[1].finished > 140000);
    close_all(processes, 2);
}

static void what_is_swapped_out_is_written(void **state)
{
    struct mix_config config = config_of("clock", 50);
    struct mix_process processes[2] = {loop_of(0, 40, 100, " w"), loop_of(0, 40, 100, "")};

    config.quantum = 40;
    config.load_control = true;
    config.window = 40;
    config.scope.turn = 1000;
    run(config, processes, 2);
    assert_true(results[0].swap_outs > 0);
    assert_true(results[0].swapped > 0);
    assert_int_equal(results[0].tally.write_backs, results[0].swapped + results[0].tally.evictions);
    assert_int_equal(results[1].tally.write_backs, 0);
    close_all(processes, 2);
}

/* Every policy, scope and rule, with all that can happen to frames. */
static void nothing_breaks_it(void **state)
{
    static uint32_t references[LENGTH];

    for (const struct policy_type *const *type = policy_types; *type; type++)
        for (unsigned round = 0; round < 4 && (*type)->needs != POLICY_FUTURE; round++) {
            struct mix_config config = config_of((*type)->name, 20 + (uint32_t)random_below(&dice, 60));
            struct mix_process processes[MOST];

            config = round > 0 ? local(config, (enum scope_rule)(round - 1)) : config;
            config.quantum = 1 + random_below(&dice, 300);
            config.window = 1 + random_below(&dice, 400);
            config.tick = random_below(&dice, 2) * 100;
            config.load_control = random_below(&dice, 2) == 0;
            config.scope.turn = random_below(&dice, 3) * 500;
            config.scope.pff_low = 10000;
            config.scope.pff_high = 100000;
            config.scope.pff_window = 100;
            for (unsigned i = 0; i < MOST; i++) {
                size_t length = 1 + random_below(&dice, 1500);

                make_references(references, length, 60);
                processes[i] = process_from(references, length);
                processes[i].class = (enum scope_class)random_below(&dice, 3);
                processes[i].minimum =
                    processes[i].class != CLASS_ORDINARY ? (uint32_t)random_below(&dice, 4) : 0;
            }
            run(config, processes, MOST);
            close_all(processes, MOST);
        }
}

/* ------------------------------------------------------------------ errors */

static void a_trace_that_breaks(void **state)
{
    struct mix_config config = config_of("clock", 10);
    struct mix_process process = {.trace = trace_open(trace_text_file("1 2 3 x 4"),
                                                      &(struct trace_options){.format = TRACE_TEXT}, &error)};

    assert_non_null(process.trace);
    assert_false(mix_count_pages(process.trace, &process.pages, &error));
    assert_non_null(strstr(error.text, "text: "));
    process.pages = 10; /* and if it was whole when it was counted */
    assert_true(trace_rewind(process.trace, &error));
    assert_false(mix_run(&config, &process, 1, results, &total, &error));
    assert_non_null(strstr(error.text, "text: "));
    trace_close(process.trace);
}

static void what_cannot_be(void **state)
{
    struct mix_config config = config_of("clock", 10);
    struct mix_process process = loop_of(0, 3, 3, "");

    config.quantum = 0;
    assert_false(mix_run(&config, &process, 1, results, &total, &error));
    config.quantum = 1;
    assert_false(mix_run(&config, &process, 0, results, &total, &error));
    config.window = 0;
    assert_false(mix_run(&config, &process, 1, results, &total, &error));
    trace_close(process.trace);
}

static int clean_up(void **state)
{
    trace_folder_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_is_the_plain_simulation),
        cmocka_unit_test(global_scope_is_one_stream),
        cmocka_unit_test(local_scope_is_each_alone),
        cmocka_unit_test(a_guaranteed_minimum_stays),
        cmocka_unit_test(a_vip_gives_last),
        cmocka_unit_test(minima_that_do_not_fit),
        cmocka_unit_test(pff_gives_to_whom_needs),
        cmocka_unit_test(thrashing_and_its_end),
        cmocka_unit_test(turns_are_fair),
        cmocka_unit_test(what_is_swapped_out_is_written),
        cmocka_unit_test(nothing_breaks_it),
        cmocka_unit_test(a_trace_that_breaks),
        cmocka_unit_test(what_cannot_be),
    };

    return cmocka_run_group_tests_name("mix", tests, NULL, clean_up);
}
