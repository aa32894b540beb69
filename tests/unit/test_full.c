/*
 * Traces on the core itself (sim/full): walks, hits and faults that can be worked out by hand, and the same
 * faults as the plain simulation where the policy does not look at bits.
 *
 * By hand: the first access of a page walks until an entry is missing, faults, and walks again. In an empty
 * space it reads 3 entries the first time (2 MiB from address 0 the level-2 entry is a mark), 4 the second;
 * another page of the same 2 MiB costs 4 and 4.
 */
#include "trace_support.h"

#include <stdlib.h>

#include "sim/full/full.h"

static struct trace_error error;
static struct full_result result;

static struct full_config config_of(const char *tlb)
{
    struct full_config config = {.quantum = 1};
    const char *expected;
    size_t at, length;

    if (!full_tlb_parse(tlb, &config.tlb, &at, &length, &expected))
        fail_msg("%s: '%.*s': expected %s", tlb, (int)length, tlb + at, expected);
    return config;
}

static struct full_config limited(struct full_config config, const char *policy, uint32_t frames)
{
    struct policy_config standard = {0};

    config.frames = frames;
    config.type = policy_find(policy, strlen(policy));
    assert_non_null(config.type);
    policy_standard(config.type, &standard);
    memcpy(config.options, standard.options, sizeof(config.options));
    return config;
}

static struct full_process process_of(const char *text)
{
    static unsigned files;
    struct full_process process;
    char name[32];

    snprintf(name, sizeof(name), "process-%u", files++ % 8);
    process.trace = trace_open(trace_file(name, text, strlen(text)), &(struct trace_options){0}, &error);
    assert_non_null(process.trace);
    return process;
}

static void run_all(struct full_config config, const char *const *texts, uint32_t count)
{
    struct full_process processes[4];
    bool done;

    for (uint32_t i = 0; i < count; i++)
        processes[i] = process_of(texts[i]);
    done = full_run(&config, processes, count, &result, &error);
    for (uint32_t i = 0; i < count; i++)
        trace_close(processes[i].trace);
    if (!done)
        fail_msg("%s", error.text);
}

static void run(struct full_config config, const char *text)
{
    run_all(config, &text, 1);
}

static void refused(struct full_config config, const char *text, const char *part)
{
    struct full_process process = process_of(text);

    assert_false(full_run(&config, &process, 1, &result, &error));
    if (strstr(error.text, part) == NULL)
        fail_msg("%s", error.text);
    trace_close(process.trace);
}

static void expect(uint64_t faults, uint64_t hits, uint64_t walks, uint64_t reads)
{
    assert_int_equal(result.tally.faults, faults);
    assert_int_equal(result.tlb_hits, hits);
    assert_int_equal(result.walks, walks);
    assert_int_equal(result.walk_reads, reads);
    assert_int_equal(result.tally.references, result.tlb_hits + result.walks - result.tally.faults);
}

/* ------------------------------------------------------------------ by hand */

static void pages_that_fit_the_tlb(void **state)
{
    run(config_of("entries=4"), "0 1 2 3 0 1 2 3");
    expect(4, 4, 8, 3 + 4 + 3 * 8);
    assert_int_equal(result.tables, 4);
    assert_int_equal(result.pages, 4);
}

static void pages_that_do_not(void **state)
{
    run(config_of("entries=2"), "0 1 2 3 0 1 2 3");
    expect(4, 0, 12, 3 + 4 + 3 * 8 + 4 * 4);
    run(config_of("entries=2,second=4"), "0 1 2 3 0 1 2 3");
    expect(4, 4, 8, 3 + 4 + 3 * 8);
    assert_int_equal(result.second_hits, 4);
}

/* A fault drops what the walk caches have, so that the first walk and the one behind each fault read all four
 * levels (and one that faults, up to what is missing); the four misses of the second round read one. */
static void walk_caches(void **state)
{
    run(config_of("entries=2,pde=1"), "0 1 2 3 0 1 2 3");
    expect(4, 0, 12, 3 + 4 + 3 * (1 + 4) + 4 * 1);
    assert_int_equal(result.walk_cache_hits[2], 3 + 4);
}

/* Six pages of two 2 MiB regions: two faults and two entries, three levels to walk. */
static void huge_pages(void **state)
{
    struct full_config config = config_of("entries=1,huge=2");

    config.huge_pages = true;
    run(config, "0 1 2 512 513 514 0 512 1 513");
    expect(2, 8, 4, 3 + 3 + 3 + 3);
    assert_int_equal(result.huge_pages, 2);
    config.huge_pages = false;
    run(config, "0 1 2 512 513 514 0 512 1 513");
    expect(6, 0, 16, 3 + 4 + 2 * 8 + 3 + 4 + 2 * 8 + 4 * 4);
    assert_int_equal(result.huge_pages, 0);
}

/* The first write to a page that was only read walks once more, to set the dirty bit. */
static void the_first_write(void **state)
{
    run(config_of("entries=4"), "0 0w 0w 0");
    expect(1, 2, 3, 3 + 4 + 4);
    run(config_of("entries=4"), "0w 0w 0w 0");
    expect(1, 3, 2, 3 + 4);
}

static void processes_and_asids(void **state)
{
    const char *const texts[] = {"0 0 0 0", "0 0 0 0"};

    run_all(config_of("entries=4"), texts, 2);
    expect(2, 6, 4, 2 * (3 + 4));
    assert_int_equal(result.switches, 7);
    run_all(config_of("entries=4,asids=1"), texts, 2);
    expect(2, 0, 10, 2 * (3 + 4) + 6 * 4);
    assert_int_equal(result.lost_spaces, 7);
}

/* ------------------------------------------------------------------ with a limit */

static void belady_on_the_core(void **state)
{
    const char *text = "1 2 3 4 1 2 5 1 2 3 4 5";

    run(limited(config_of("entries=4"), "fifo", 3), text);
    assert_int_equal(result.tally.faults, 9);
    run(limited(config_of("entries=4"), "fifo", 4), text);
    assert_int_equal(result.tally.faults, 10);
    assert_int_equal(result.tally.evictions, 6);
    assert_int_equal(result.tally.write_backs, 0);
}

static void what_was_written_is_counted(void **state)
{
    run(limited(config_of("entries=4"), "fifo", 2), "1w 2 3 1 2w 2 3 4");
    assert_int_equal(result.tally.faults, 8 - 1);
    assert_int_equal(result.tally.write_backs, 2);
}

/* The plain simulation's counts, for random references. */
static struct policy_tally plain(const struct full_config *config, const char *path)
{
    struct trace *trace = trace_open(path, &(struct trace_options){0}, &error);
    struct whole whole = trace_read_whole(trace);
    struct policy_config made = {
        .pages = trace_pages(trace), .frames = config->frames, .most_frames = config->frames};
    struct policy_tally tally = {0};
    size_t bytes = (policy_bytes(config->type, &made) + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    struct policy *policy;

    memcpy(made.options, config->options, sizeof(made.options));
    assert_true(whole.good);
    assert_non_null(memory);
    memset(memory, 0, bytes);
    made.state = calloc(made.pages, 1);
    policy = policy_create(config->type, &made, memory);
    for (size_t i = 0; i < whole.count; i++)
        policy_reference(policy, whole.references[i] >> 1, whole.references[i] & 1, 0, &tally);
    free(made.state);
    free(memory);
    free(whole.references);
    trace_close(trace);
    return tally;
}

static char *random_text(size_t count)
{
    struct random dice = {7};
    char *text = malloc(count * 12 + 1);
    size_t at = 0;

    assert_non_null(text);
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, 12, "%u%s ",
                               (unsigned)(random_below(&dice, 200) * random_below(&dice, 20)),
                               random_below(&dice, 4) == 0 ? "w" : "");
    return text;
}

static void the_same_faults_as_the_plain_simulation(void **state)
{
    struct full_config config =
        limited(config_of("entries=16,ways=4,second=64,second-ways=4,pde=2"), "fifo", 100);
    struct policy_tally expected;
    char *text = random_text(20000);

    expected = plain(&config, trace_file("plain", text, strlen(text)));
    run(config, text);
    assert_int_equal(result.tally.references, 20000);
    assert_int_equal(result.tally.faults, expected.faults);
    assert_int_equal(result.tally.evictions, expected.evictions);
    assert_int_equal(result.tally.write_backs, expected.write_backs);
    free(text);
}

/* Page 0 is used again and again: its bit is set by a walk each time, since the TLB has one entry. */
static void bits_come_from_the_mmu(void **state)
{
    struct full_config config = limited(config_of("entries=1"), "clock", 100);
    struct policy_tally expected;
    char *text = random_text(20000);

    expected = plain(&config, trace_file("plain", text, strlen(text)));
    run(config, text);
    assert_int_equal(result.tally.faults, expected.faults);
    assert_int_equal(result.tally.write_backs, expected.write_backs);
    free(text);
    run(limited(config_of("entries=1"), "clock", 3), "0 1 0 2 0 3 0 4 0 5 0 6 0 7");
    assert_int_equal(result.tally.faults, 9);
}

/* With room for its translation nobody walks for page 0 again, and it looks unused, as on a machine. */
static void bits_are_stale_while_translations_stay(void **state)
{
    run(limited(config_of("entries=4"), "clock", 3), "0 1 0 2 0 3 0 4 0 5 0 6 0 7");
    assert_true(result.tally.faults > 9);
}

/* ------------------------------------------------------------------ what cannot be */

static void errors(void **state)
{
    struct full_config config = config_of("entries=4");

    refused(config, "1 2 3 x", "at byte 6");
    refused(config, "1 34359738368", "47 bits");
    config.quantum = 0;
    refused(config, "1", "quantum");
    config = limited(config_of("entries=4"), "clock", 10);
    config.huge_pages = true;
    refused(config, "1", "huge pages");
}

static void shapes(void **state)
{
    static const struct {
        const char *text, *wrong;
    } cases[] = {
        {"entries=", "entries="},
        {"entries", "entries"},
        {"entries=x", "entries=x"},
        {"entries=4,", ""},
        {"", ""},
        {"entries=4,size=3", "size=3"},
        {"ways=4,skylake", "skylake"},
        {"entries=65537", "entries=65537"},
        {"entries=12,ways=5", "entries=12,ways=5"},
        {"entries=12,ways=4", "entries=12,ways=4"},
        {"entries=0", "entries=0"},
        {"second=12,second-ways=4", "second=12,second-ways=4"},
    };
    struct full_tlb tlb;
    const char *expected;
    size_t at, length;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_false(full_tlb_parse(cases[i].text, &tlb, &at, &length, &expected));
        assert_int_equal(length, strlen(cases[i].wrong));
        assert_memory_equal(cases[i].text + at, cases[i].wrong, length);
        assert_non_null(expected);
    }
    assert_true(full_tlb_parse("skylake,asids=1", &tlb, &at, &length, &expected));
    assert_int_equal(tlb.second_entries, 1536);
    assert_int_equal(tlb.asids, 1);
    assert_true(full_tlb_parse("entries=8,pml4e=2", &tlb, &at, &length, &expected));
    assert_int_equal(tlb.ways, 8);
    assert_int_equal(tlb.walk[4], 2);
    assert_int_equal(tlb.second_entries, 0);
}

/* Whatever the text, the part that is said to be wrong is a part of it, and what is taken can be built. */
static void shapes_of_any_text(void **state)
{
    static const char *const words[] = {"entries",  "ways",  "huge", "huge-ways", "second", "second-ways",
                                        "pde",      "asids", "=",    "=",         "=",      ",",
                                        ",",        "4",     "16",   "65537",     "0",      "skylake",
                                        "skylake,", "-1",    ""};
    struct random dice = {11};

    for (unsigned round = 0; round < 20000; round++) {
        char text[200] = "";
        struct full_tlb tlb;
        const char *expected;
        size_t at, length;

        for (uint64_t left = random_below(&dice, 12); left > 0; left--)
            strcat(text, words[random_below(&dice, sizeof(words) / sizeof(words[0]))]);
        if (!full_tlb_parse(text, &tlb, &at, &length, &expected)) {
            assert_true(at + length <= strlen(text));
            assert_non_null(expected);
        } else {
            assert_true(sim_tlb_possible(&(struct sim_tlb_config){
                .small = {tlb.entries, tlb.ways},
                .huge = {tlb.huge_entries, tlb.huge_ways},
                .second = {tlb.second_entries, tlb.second_ways},
                .asids = tlb.asids,
            }));
        }
    }
}

static int clean_up(void **state)
{
    trace_folder_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_that_fit_the_tlb),
        cmocka_unit_test(pages_that_do_not),
        cmocka_unit_test(walk_caches),
        cmocka_unit_test(huge_pages),
        cmocka_unit_test(the_first_write),
        cmocka_unit_test(processes_and_asids),
        cmocka_unit_test(belady_on_the_core),
        cmocka_unit_test(what_was_written_is_counted),
        cmocka_unit_test(the_same_faults_as_the_plain_simulation),
        cmocka_unit_test(bits_come_from_the_mmu),
        cmocka_unit_test(bits_are_stale_while_translations_stay),
        cmocka_unit_test(errors),
        cmocka_unit_test(shapes),
        cmocka_unit_test(shapes_of_any_text),
    };

    return cmocka_run_group_tests_name("full", tests, NULL, clean_up);
}
