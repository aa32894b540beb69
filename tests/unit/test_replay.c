/*
 * Recordings paged as the kernel does it (sim/replay.c), in small cases that can be followed by hand.
 */
#include "trace_support.h"

#include <stdlib.h>
#include <string.h>

#include "quire/event.h"
#include "sim/replay.h"

enum { MOST = 64 };

static struct {
    struct event_file_head head;
    struct event events[MOST];
} file;
static size_t count;
static struct trace_error error;
static struct replay_result result;

static int begin(void **state)
{
    memset(&file, 0, sizeof(file));
    memcpy(file.head.magic, EVENT_FILE_MAGIC, EVENT_FILE_MAGIC_BYTES);
    file.head.version = EVENT_FILE_VERSION;
    file.head.window = RECORD_WINDOW_LEAST;
    file.head.page_bytes = 4096;
    count = 0;
    return 0;
}

static void note(unsigned kind, uint32_t process, uint64_t page, uint64_t value, unsigned detail)
{
    file.events[count] = (struct event){.time_ns = count * 1000,
                                        .page = page,
                                        .value = value,
                                        .process = process,
                                        .kind = (uint16_t)kind,
                                        .detail = (uint16_t)detail};
    count++;
}

/* The program refers to its private page of this letter, to write if it is a capital one; a figure is a page
 * of an object. */
static void refer(uint32_t process, const char *letters)
{
    for (; *letters; letters++) {
        unsigned letter = (unsigned char)*letters, small = letter | 32;

        if (letter >= '0' && letter <= '9')
            note(EVENT_REFERENCE, process, (uint64_t)7 << 32 | (letter - '0'), 4096 * letter, 0);
        else
            note(EVENT_REFERENCE, process, EVENT_PAGE_PRIVATE | (uint64_t)process << 8 | small, 4096 * small,
                 letter == small ? 0 : EVENT_WRITES);
    }
}

static struct replay_config config_of(const char *name, uint32_t frames)
{
    struct policy_config standard = {0};
    struct replay_config config = {.type = policy_find(name, strlen(name)), .frames = frames, .ahead = 1};

    assert_non_null(config.type);
    policy_standard(config.type, &standard);
    memcpy(config.options, standard.options, sizeof(config.options));
    return config;
}

static bool run(const struct replay_config *config)
{
    size_t bytes = sizeof(file.head) + count * sizeof(struct event);
    struct trace *trace = trace_open(trace_file("recording.qev", &file, bytes),
                                     &(struct trace_options){.members = true}, &error);
    bool done;

    assert_non_null(trace);
    done = replay_run(config, trace, &result, &error);
    trace_close(trace);
    return done;
}

static void expect_faults(uint64_t first, uint64_t back, uint64_t evictions, uint64_t write_backs)
{
    assert_int_equal(result.first, first);
    assert_int_equal(result.back, back);
    assert_int_equal(result.evictions, evictions);
    assert_int_equal(result.write_backs, write_backs);
}

/* The page that comes is the last thing before others leave: three in memory, and two of them go at once. */
static void pages_leave_in_batches(void **state)
{
    struct replay_config config = config_of("fifo", 3);

    config.ahead = 2;
    note(EVENT_START, 1, 0, 0, 0);
    refer(1, "AbcaAb");
    assert_true(run(&config));
    /* A b c | A and b go | a comes back | written b: comes back, as the third again: c and a go */
    expect_faults(3, 2, 4, 2);
}

/* When memory falls short pages are known by objects first, then by addresses, whatever came first. */
static void the_order_when_memory_falls_short(void **state)
{
    struct replay_config config = config_of("fifo", 4);

    config.known = 4;
    note(EVENT_START, 1, 0, 0, 0);
    refer(1, "ba21" /* 1 goes */ "c" /* 2 goes */ "abc"
             "1");
    assert_true(run(&config));
    expect_faults(5, 1, 3, 0);
}

/* A page that has ended gives its frame back, and comes as a new one. */
static void pages_that_end(void **state)
{
    struct replay_config config = config_of("clock", 3);

    note(EVENT_START, 1, 0, 0, 0);
    refer(1, "ab");
    note(EVENT_GONE, 1, EVENT_PAGE_PRIVATE | 1u << 8 | 'a', 1, 0);
    refer(1, "ca");
    assert_true(run(&config));
    expect_faults(4, 0, 1, 0);
}

/* Two programs of equal shares: one that goes round more pages than its share costs the other none. */
static void shares_are_kept(void **state)
{
    struct replay_config config = config_of("fifo", 8);

    config.known = 4;
    config.scope = (struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL};
    note(EVENT_START, 1, 0, 0, 0);
    note(EVENT_START, 2, 0, 0, 0);
    refer(2, "abc");
    refer(1, "abcdefabcdef");
    refer(2, "abc");
    assert_true(run(&config));
    assert_int_equal(result.count, 3);
    assert_int_equal(result.members[1].process + result.members[2].process, 3);
    for (unsigned i = 1; i < 3; i++)
        assert_int_equal(result.members[i].back, result.members[i].process == 1 ? 6 : 0);
    expect_faults(9, 6, 8, 0);
}

/* Who ends leaves his frames to others; what he shared with them stays. */
static void a_program_that_ends(void **state)
{
    struct replay_config config = config_of("fifo", 8);

    config.known = 4;
    config.scope = (struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL};
    note(EVENT_START, 1, 0, 0, 0);
    note(EVENT_START, 2, 0, 0, 0);
    refer(2, "ab1");
    refer(1, "ab");
    note(EVENT_EXIT, 2, 0, 0, 0);
    refer(1, "1cdef" /* the seventh of eight frames */ "abcdef");
    assert_true(run(&config));
    expect_faults(9, 0, 0, 0);
}

/* A child that fork made is charged with its parent, until it begins a program of its own. */
static void members_are_programs(void **state)
{
    struct replay_config config = config_of("clock", 16);

    note(EVENT_START, 1, 0, 0, 0);
    refer(1, "a");
    note(EVENT_FORK, 2, 0, 1, 0);
    refer(2, "b");
    note(EVENT_START, 2, 0, 0, 0);
    refer(2, "c");
    note(EVENT_REFERENCE, 2, (uint64_t)7 << 32, 0, EVENT_BY_KERNEL);
    assert_true(run(&config));
    assert_int_equal(result.count, 3);
    assert_int_equal(result.members[1].first, 2);
    assert_int_equal(result.members[2].first, 1);
    assert_int_equal(result.members[0].first, 1);
}

/* Intervals begin when policies learn of pages, and end only at faults. */
static void ticks_come_at_faults(void **state)
{
    struct replay_config config = config_of("aging", 8);

    config.known = 2;
    config.tick_us = 4;
    note(EVENT_START, 1, 0, 0, 0);
    refer(1, "ab" /* 2 us: it begins */ "aaaaaaaa"
             "c" /* 11 us: one */ "aa"
             "d"
             "e" /* 15 us: one */);
    assert_true(run(&config));
    assert_int_equal(result.ticks, 2);
    expect_faults(5, 0, 0, 0);
}

static void every_policy_in_little_memory(void **state)
{
    for (size_t i = 0; policy_types[i]; i++) {
        struct replay_config config = config_of(policy_types[i]->name, 2);

        if (policy_types[i]->needs != POLICY_BITS)
            continue;
        begin(NULL);
        note(EVENT_START, 1, 0, 0, 0);
        refer(1, "abCdaBcDabcdef0123abcd0123");
        for (int local = 0; local < 2; local++) {
            config.scope.kind = local ? SCOPE_LOCAL : SCOPE_GLOBAL;
            if (!run(&config))
                fail_msg("%s: %s", policy_types[i]->name, error.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(pages_leave_in_batches, begin),
        cmocka_unit_test_setup(the_order_when_memory_falls_short, begin),
        cmocka_unit_test_setup(pages_that_end, begin),
        cmocka_unit_test_setup(shares_are_kept, begin),
        cmocka_unit_test_setup(a_program_that_ends, begin),
        cmocka_unit_test_setup(members_are_programs, begin),
        cmocka_unit_test_setup(ticks_come_at_faults, begin),
        cmocka_unit_test_setup(every_policy_in_little_memory, begin),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    trace_folder_remove();
    return failed;
}
