/*
 * Every policy against its naive reference over a piece of a real program's life: five stretches of 5,000
 * references of gcc's cc1 while it compiles (instructions and data, pages of 4 KiB, numbered densely), in
 * data/cc1.u16 as little-endian 16-bit numbers.
 */
#include <stdlib.h>

#include "base/check.h"
#include "lockstep.h"

enum { MOST = 25000, TICK = 500 };

static struct op ops[2 * MOST];
static size_t op_count;
static uint32_t pages;

/* The trace does not say which references are writes: those to every third page, now and then, are here. */
static void read_trace(const char *path)
{
    FILE *file = fopen(path, "rb");
    unsigned char bytes[2];

    CHECK_ALWAYS(file != NULL);
    for (unsigned count = 0; count < MOST && fread(bytes, sizeof(bytes), 1, file) == 1; count++) {
        uint32_t page = bytes[0] + (uint32_t)bytes[1] * 256;
        bool write = page % 3 == 0 && count % 7 == 0;

        pages = page >= pages ? page + 1 : pages;
        ops[op_count++] = (struct op){write ? OP_WRITE : OP_READ, page};
        if (count % TICK == TICK - 1)
            ops[op_count++] = (struct op){OP_TICK, 0};
        if (count % (3 * TICK) == 0)
            ops[op_count++] = (struct op){OP_WRITTEN, 0};
    }
    fclose(file);
}

static void same_victims(void **state)
{
    static const uint32_t frames[] = {7, 40, 200};
    const struct policy_type *type = *state;

    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        struct policy_config config = {
            .pages = pages, .frames = frames[i], .most_frames = frames[i], .seed = 3};
        uint64_t faults;

        policy_standard(type, &config);
        faults = lockstep_run(type, &config, ops, op_count, i % 2 ? BITS_WHEN_ASKED : BITS_AT_ONCE);
        assert_true(faults >= pages && faults < op_count);
    }
}

/* Nobody has fewer faults than OPT, and LRU has no more in more memory. */
static uint64_t faults_of(const struct policy_type *type, uint32_t frames)
{
    struct policy_config config = {.pages = pages, .frames = frames, .most_frames = frames};
    struct policy_tally tally = {0};
    struct policy *policy;
    uint32_t *distances = ops_distances(ops, op_count, pages);

    policy_standard(type, &config);
    policy = lockstep_create(type, &config);
    for (size_t i = 0; i < op_count; i++)
        if (ops[i].kind <= OP_WRITE)
            policy_reference(policy, ops[i].page, ops[i].kind == OP_WRITE, distances[i], &tally);
    lockstep_destroy(policy);
    free(distances);
    return tally.faults;
}

static void opt_is_never_beaten(void **state)
{
    for (uint32_t frames = 4; frames <= 256; frames *= 4) {
        uint64_t least = faults_of(policy_find("opt", 3), frames);

        for (const struct policy_type *const *type = policy_types; *type; type++)
            if (faults_of(*type, frames) < least)
                fail_msg("%s beats OPT at %u frames", (*type)->name, frames);
    }
}

static void lru_and_opt_are_monotone(void **state)
{
    static const char *const names[] = {"lru", "opt"};

    for (size_t i = 0; i < 2; i++)
        for (uint32_t frames = 2, last = 0; frames < 300; frames = frames * 3 / 2) {
            uint32_t faults = (uint32_t)faults_of(policy_find(names[i], 3), frames);

            assert_true(last == 0 || faults <= last);
            last = faults;
        }
}

int main(int argc, char **argv)
{
    enum { MOST_TESTS = 64 };
    static struct CMUnitTest tests[MOST_TESTS] = {cmocka_unit_test(opt_is_never_beaten),
                                                  cmocka_unit_test(lru_and_opt_are_monotone)};
    size_t count = 2;

    if (argc != 2) {
        fprintf(stderr, "usage: test-policy-trace FILE\n");
        return 2;
    }
    read_trace(argv[1]);
    for (const struct policy_type *const *type = policy_types; *type && count < MOST_TESTS; type++, count++)
        tests[count] = (struct CMUnitTest){
            .name = (*type)->name, .test_func = same_victims, .initial_state = (void *)(uintptr_t)*type};
    return _cmocka_run_group_tests("trace", tests, count, NULL, NULL);
}
