/*
 * OPT and LRU against all policies: OPT is never beaten, and a larger memory under LRU or OPT holds all that
 * a smaller one does (Mattson and others, 1970). The textbooks' figures for both.
 */
#include <stdlib.h>

#include "base/check.h"
#include "lockstep.h"
#include "naive.h"

enum { PAGES = 200, REFERENCES = 6000 };

struct sequence {
    uint32_t pages[REFERENCES], distances[REFERENCES];
    size_t count;
};

static void find_distances(struct sequence *sequence)
{
    struct op *ops = calloc(sequence->count, sizeof(*ops));
    uint32_t *distances;

    CHECK_ALWAYS(ops);
    for (size_t i = 0; i < sequence->count; i++)
        ops[i] = (struct op){OP_READ, sequence->pages[i]};
    distances = ops_distances(ops, sequence->count, PAGES);
    memcpy(sequence->distances, distances, sequence->count * sizeof(uint32_t));
    free(distances);
    free(ops);
}

/* Loops, scans and favourites of ops_random(). */
static void make_random(struct sequence *sequence, uint64_t seed)
{
    struct random random = {seed};
    struct op *ops = malloc(REFERENCES * sizeof(*ops));

    CHECK_ALWAYS(ops);
    ops_random(&random, ops, REFERENCES, PAGES, PAGES, false);
    for (size_t i = 0; i < REFERENCES; i++)
        sequence->pages[i] = ops[i].page;
    sequence->count = REFERENCES;
    find_distances(sequence);
    free(ops);
}

static void make_from(struct sequence *sequence, const uint32_t *pages, size_t count)
{
    memcpy(sequence->pages, pages, count * sizeof(*pages));
    sequence->count = count;
    find_distances(sequence);
}

static struct policy *make(const struct policy_type *type, uint32_t frames)
{
    struct policy_config config = {.pages = PAGES, .frames = frames, .most_frames = frames, .seed = 3};

    policy_standard(type, &config);
    return lockstep_create(type, &config);
}

static uint64_t faults(const char *name, uint32_t frames, const struct sequence *sequence)
{
    const struct policy_type *type = policy_find(name, strlen(name));
    struct policy_tally tally = {0};
    struct policy *policy;

    assert_non_null(type);
    policy = make(type, frames);
    for (size_t i = 0; i < sequence->count; i++)
        policy_reference(policy, sequence->pages[i], false, sequence->distances[i], &tally);
    lockstep_destroy(policy);
    return tally.faults;
}

static void opt_is_never_beaten(void **state)
{
    static struct sequence sequence;

    for (uint64_t seed = 1; seed <= 6; seed++) {
        make_random(&sequence, seed);
        for (uint32_t frames = 1; frames <= PAGES; frames = frames * 3 / 2 + 1) {
            uint64_t least = faults("opt", frames, &sequence);

            for (const struct policy_type *const *type = policy_types; *type; type++)
                assert_true(faults((*type)->name, frames, &sequence) >= least);
        }
    }
}

/* After every reference, what is resident in the smaller memory is in the larger. */
static void assert_included(const char *name, uint32_t frames, const struct sequence *sequence)
{
    const struct policy_type *type = policy_find(name, strlen(name));
    struct policy *small = make(type, frames), *large = make(type, frames + 1);
    struct policy_tally tally = {0};

    for (size_t i = 0; i < sequence->count; i++) {
        policy_reference(small, sequence->pages[i], false, sequence->distances[i], &tally);
        policy_reference(large, sequence->pages[i], false, sequence->distances[i], &tally);
        for (uint32_t page = 0; page < PAGES; page++)
            assert_true(!(small->state[page] & POLICY_RESIDENT) || (large->state[page] & POLICY_RESIDENT));
    }
    lockstep_destroy(small);
    lockstep_destroy(large);
}

static void a_larger_memory_holds_what_a_smaller_does(void **state)
{
    static struct sequence sequence;

    make_random(&sequence, 77);
    sequence.count = 2000;
    for (uint32_t frames = 1; frames < PAGES; frames = frames * 2 + 1)
        assert_included("lru", frames, &sequence);
}

static void curves_never_rise(void **state)
{
    static const char *const stacks[] = {"lru", "opt"};
    static struct sequence sequence;

    make_random(&sequence, 5);
    for (size_t i = 0; i < 2; i++) {
        uint64_t before = UINT64_MAX;

        for (uint32_t frames = 1; frames <= PAGES; frames++) {
            uint64_t now = faults(stacks[i], frames, &sequence);

            assert_true(now <= before);
            before = now;
        }
    }
}

/* A. Silberschatz and others, Operating System Concepts, section "Page Replacement". */
static void silberschatz(void **state)
{
    static const uint32_t pages[] = {7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1};
    static struct sequence sequence;

    make_from(&sequence, pages, sizeof(pages) / sizeof(pages[0]));
    assert_int_equal(faults("opt", 3, &sequence), 9);
    assert_int_equal(faults("lru", 3, &sequence), 12);
}

/* Belady's string, on which FIFO does worse with more memory: LRU and OPT do not. */
static void belady(void **state)
{
    static const uint32_t pages[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};
    static struct sequence sequence;

    make_from(&sequence, pages, sizeof(pages) / sizeof(pages[0]));
    assert_int_equal(faults("lru", 3, &sequence), 10);
    assert_int_equal(faults("lru", 4, &sequence), 8);
    assert_int_equal(faults("opt", 3, &sequence), 7);
    assert_int_equal(faults("opt", 4, &sequence), 6);
}

/* A loop of one page more than memory: LRU misses always, MRU once in so many as there are frames. */
static void a_loop_is_the_worst_for_lru(void **state)
{
    static struct sequence sequence;

    sequence.count = 1000;
    for (uint32_t i = 0; i < sequence.count; i++)
        sequence.pages[i] = i % 11;
    find_distances(&sequence);
    assert_int_equal(faults("lru", 10, &sequence), 1000);
    assert_int_equal(faults("mru", 10, &sequence), faults("opt", 10, &sequence));
    assert_true(faults("opt", 10, &sequence) <= 11 + 1000 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opt_is_never_beaten),
        cmocka_unit_test(a_larger_memory_holds_what_a_smaller_does),
        cmocka_unit_test(curves_never_rise),
        cmocka_unit_test(silberschatz),
        cmocka_unit_test(belady),
        cmocka_unit_test(a_loop_is_the_worst_for_lru),
    };

    return cmocka_run_group_tests_name("optimal", tests, NULL, NULL);
}
