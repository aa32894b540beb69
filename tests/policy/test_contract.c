/*
 * The contract of include/quire/policy.h, for every policy of the registry.
 */
#include <stdlib.h>

#include "base/check.h"
#include "lockstep.h"
#include "naive.h"

enum { PAGES = 24, FRAMES = 6, OPERATIONS = 4000 };

static const struct policy_type *type_of(void **state)
{
    return *state;
}

static struct policy_config config_of(const struct policy_type *type, uint32_t pages, uint32_t frames)
{
    struct policy_config config = {.pages = pages, .frames = frames, .most_frames = frames, .seed = 7};

    policy_standard(type, &config);
    return config;
}

#define assert_right(policy) assert_null(policy_check(policy))

/* The page comes; for OPT, never again. */
static void come(struct policy *policy, uint32_t page)
{
    policy->distance = UINT32_MAX;
    policy_insert(policy, page);
    policy->now++;
    assert_right(policy);
}

static uint32_t go(struct policy *policy)
{
    uint32_t page = policy_victim(policy, POLICY_NO_PAGE);

    assert_right(policy);
    return page;
}

static void describes_itself(void **state)
{
    const struct policy_type *type = type_of(state);
    struct policy_config config;
    const struct policy_type *found;
    struct policy_error error;

    assert_true(type->title && type->source && type->bytes && type->init && type->insert && type->victim);
    assert_true(type->remove && type->check && type->run);
    assert_int_equal(type->needs != POLICY_BITS, type->touch != NULL);
    assert_true(strlen(type->title) > 10 && strlen(type->title) <= 80);
    assert_ptr_equal(policy_find(type->name, strlen(type->name)), type);
    assert_ok(policy_parse(type->name, &found, &config, &error));
    assert_ptr_equal(found, type);
    for (unsigned i = 0; i < POLICY_OPTIONS && type->options[i].name; i++) {
        const struct policy_option *option = &type->options[i];

        assert_true(option->least <= option->standard && option->standard <= option->most);
        assert_true(option->meaning != NULL);
        assert_int_equal(config.options[i], option->standard);
    }
}

static void fills_and_empties(void **state)
{
    struct policy_config config = config_of(type_of(state), PAGES, FRAMES);
    struct policy *policy = lockstep_create(type_of(state), &config);
    bool gone[PAGES] = {false};

    assert_int_equal(policy_victim(policy, POLICY_NO_PAGE), POLICY_NO_PAGE);
    for (uint32_t page = 0; page < FRAMES; page++)
        come(policy, page);
    assert_int_equal(policy->resident, FRAMES);
    for (uint32_t i = 0; i < FRAMES; i++) {
        uint32_t page = go(policy);

        assert_true(page < FRAMES && !gone[page]);
        gone[page] = true;
    }
    assert_int_equal(go(policy), POLICY_NO_PAGE);
    for (uint32_t page = 0; page < FRAMES; page++)
        come(policy, page); /* pages that come back */
    lockstep_destroy(policy);
}

static void spares_the_pinned(void **state)
{
    struct policy_config config = config_of(type_of(state), PAGES, FRAMES);
    struct policy *policy = lockstep_create(type_of(state), &config);

    for (uint32_t page = 0; page < FRAMES; page++) {
        come(policy, page);
        policy->state[page] |= POLICY_PINNED;
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(go(policy), POLICY_NO_PAGE);
    assert_int_equal(policy->resident, FRAMES);
    for (uint32_t page = FRAMES; page-- > 0;) {
        policy->state[page] &= (uint8_t)~POLICY_PINNED;
        assert_int_equal(go(policy), page);
    }
    lockstep_destroy(policy);
}

static void forgets_the_removed(void **state)
{
    struct policy_config config = config_of(type_of(state), PAGES, FRAMES);
    struct policy *policy;

    config.removes = true;
    policy = lockstep_create(type_of(state), &config);
    for (uint32_t page = 0; page < FRAMES; page++)
        come(policy, page);
    policy->state[2] |= POLICY_DIRTY | POLICY_PINNED;
    policy_remove(policy, 2); /* resident */
    assert_right(policy);
    assert_int_equal(policy->state[2], 0);
    assert_int_equal(policy->resident, FRAMES - 1);
    policy_remove(policy, PAGES - 1); /* never seen */
    assert_right(policy);
    policy_remove(policy, go(policy)); /* gone, perhaps remembered */
    assert_right(policy);
    come(policy, 2);
    for (uint32_t i = 0; i < FRAMES - 1; i++)
        assert_int_not_equal(go(policy), POLICY_NO_PAGE);
    assert_int_equal(policy->resident, 0);
    for (uint32_t page = 0; page < PAGES; page++)
        policy_remove(policy, page);
    assert_right(policy);
    lockstep_destroy(policy);
}

static void changes_its_size(void **state)
{
    struct policy_config config = config_of(type_of(state), PAGES, 2);
    struct policy *policy;
    struct policy_tally tally = {0};
    static const uint32_t sizes[] = {2, FRAMES, 5, 1, 3, 3, 1, FRAMES};

    config.most_frames = FRAMES;
    policy = lockstep_create(type_of(state), &config);
    for (size_t size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++) {
        uint32_t frames = sizes[size];

        policy_resize(policy, frames);
        assert_right(policy);
        while (policy->resident > frames)
            assert_int_not_equal(go(policy), POLICY_NO_PAGE);
        for (uint32_t i = 0; i < 3 * PAGES; i++) {
            policy_reference(policy, i * 5 % PAGES, i % 3 == 0, UINT32_MAX, &tally);
            assert_right(policy);
        }
        assert_int_equal(policy->resident, frames);
    }
    lockstep_destroy(policy);
}

/* A host that finds every page referenced whenever it is asked. */
static void always_referenced(void *context, struct policy *policy, uint32_t page)
{
    uint64_t *asked = context;

    ++*asked;
    policy->state[page] |= POLICY_REFERENCED | POLICY_DIRTY;
}

static void ends_when_all_are_in_use(void **state)
{
    enum { MANY = 200 };
    uint64_t asked = 0;
    const struct policy_host host = {.harvest = always_referenced, .context = &asked};
    struct policy_config config = config_of(type_of(state), MANY, MANY);
    struct policy *policy;

    config.host = &host;
    policy = lockstep_create(type_of(state), &config);
    for (uint32_t page = 0; page < MANY; page++)
        come(policy, page);
    for (uint32_t i = 0; i < MANY; i++) {
        asked = 0;
        if (i % 3 == 0)
            policy_tick(policy);
        assert_int_not_equal(go(policy), POLICY_NO_PAGE);
        assert_true(asked <= 8 * MANY);
    }
    lockstep_destroy(policy);
}

/* A host that spares what it was asked about before: a page that somebody takes into his hands meanwhile. */
static bool spares_later(void *context, const struct policy *policy, uint32_t page)
{
    uint8_t *asked = context;

    return asked[page]++ > 0;
}

static void bears_answers_that_change(void **state)
{
    uint8_t asked[PAGES] = {0};
    const struct policy_host host = {.spares = spares_later, .context = asked};
    struct policy_config config = config_of(type_of(state), PAGES, FRAMES);
    struct policy *policy;
    uint32_t gone = 0;

    config.host = &host;
    policy = lockstep_create(type_of(state), &config);
    for (uint32_t page = 0; page < FRAMES; page++)
        come(policy, page);
    for (uint32_t i = 0; i < FRAMES; i++) {
        memset(asked, 0, sizeof asked);
        gone += go(policy) != POLICY_NO_PAGE;
    }
    assert_int_equal(policy->resident, FRAMES - gone);
    lockstep_destroy(policy);
}

static void prefers_the_clean(void **state)
{
    const struct policy_type *type = type_of(state);
    struct policy_config config = config_of(type, PAGES, FRAMES);
    struct policy *policy = lockstep_create(type, &config);

    for (uint32_t page = 0; page < FRAMES; page++)
        come(policy, page);
    for (int i = 0; i < 3; i++) /* the bits of loading have been seen */
        policy_tick(policy);
    policy->now += (uint64_t)1 << 30; /* nor is any in use */
    for (uint32_t page = 0; page < FRAMES; page++) {
        policy->state[page] &= (uint8_t)~POLICY_REFERENCED;
        policy->state[page] |= page % 2 ? 0 : POLICY_DIRTY;
    }
    for (uint32_t i = 0; i < FRAMES / 2 && type->prefers_clean; i++)
        assert_int_equal(go(policy) % 2, 1);
    lockstep_destroy(policy);
}

/* ------------------------------------------------------------------ random sequences */

static struct op *random_ops(struct random *random, uint32_t pages, uint32_t most_frames, bool mixed)
{
    struct op *ops = malloc(OPERATIONS * sizeof(*ops));

    CHECK_ALWAYS(ops);
    ops_random(random, ops, OPERATIONS, pages, most_frames, mixed);
    return ops;
}

/* Each option at its least, its most, and between. */
static void vary_options(const struct policy_type *type, struct policy_config *config, struct random *random)
{
    policy_standard(type, config);
    for (unsigned i = 0; i < POLICY_OPTIONS && type->options[i].name; i++) {
        const struct policy_option *option = &type->options[i];
        uint64_t span = option->most - option->least;

        switch (random_below(random, 6)) {
        case 0:
            config->options[i] = option->least;
            break;
        case 1:
            config->options[i] = option->most;
            break;
        case 2:
            config->options[i] = option->least + random_below(random, (span < 64 ? span : 64) + 1);
            break;
        default:
            break;
        }
    }
}

static void agrees_with_the_naive(void **state)
{
    const struct policy_type *type = type_of(state);
    struct random random = {1234567};

    for (uint32_t round = 0; round < 24; round++) {
        uint32_t frames = 1 + (uint32_t)random_below(&random, 12);
        struct policy_config config = config_of(type, PAGES, frames);
        struct op *ops;

        config.most_frames = frames + (uint32_t)random_below(&random, 5);
        config.seed = round;
        if (round > 4)
            vary_options(type, &config, &random);
        ops = random_ops(&random, PAGES, config.most_frames, round % 4 != 0);
        lockstep_run(type, &config, ops, OPERATIONS, round % 2 ? BITS_WHEN_ASKED : BITS_AT_ONCE);
        free(ops);
    }
}

/* Everything that two policies of one type say of themselves. */
static void assert_same(const struct policy *a, const struct policy *b)
{
    struct policy_counter left[16], right[16];
    size_t count = policy_counters(a, left, 16);

    assert_int_equal(policy_counters(b, right, 16), count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(left[i].name, right[i].name);
        assert_int_equal(left[i].value, right[i].value);
    }
    assert_memory_equal(a->state, b->state, a->pages);
    assert_int_equal(a->resident, b->resident);
    assert_int_equal(a->now, b->now);
    assert_right(a);
    assert_right(b);
}

static void run_in_blocks(struct policy *policy, const struct op *ops, const uint32_t *distances,
                          struct random *random, struct policy_tally *tally)
{
    uint32_t references[256];

    for (size_t at = 0; at < OPERATIONS;) {
        size_t count = 1 + random_below(random, 256);
        struct policy_block block = {.references = references, .distances = distances + at};

        for (; block.count < count && at + block.count < OPERATIONS; block.count++) {
            const struct op *op = &ops[at + block.count];

            references[block.count] = op->page * 2 + (op->kind == OP_WRITE);
        }
        policy->type->run(policy, &block, tally);
        policy_tick(policy);
        at += block.count;
    }
}

static void runs_blocks_as_single_references(void **state)
{
    const struct policy_type *type = type_of(state);
    struct random random = {42};

    for (int round = 0; round < 12; round++) {
        uint32_t frames = 1 + (uint32_t)random_below(&random, 16);
        struct policy_config config = config_of(type, PAGES, frames), other;
        struct op *ops = random_ops(&random, PAGES, frames, false);
        uint32_t *distances = ops_distances(ops, OPERATIONS, PAGES);
        struct random lengths = {99 + (uint64_t)round}, again = lengths;
        struct policy_tally blocks = {0}, singles = {0};
        struct policy *a, *b;

        if (round > 1)
            vary_options(type, &config, &random);
        other = config;
        a = lockstep_create(type, &config);
        b = lockstep_create(type, &other);
        run_in_blocks(a, ops, distances, &lengths, &blocks);
        for (size_t at = 0; at < OPERATIONS; policy_tick(b)) {
            size_t end = at + 1 + random_below(&again, 256);

            for (; at < end && at < OPERATIONS; at++)
                policy_reference(b, ops[at].page, ops[at].kind == OP_WRITE, distances[at], &singles);
        }
        assert_memory_equal(&blocks, &singles, sizeof(blocks));
        assert_int_equal(blocks.references, OPERATIONS);
        assert_same(a, b);
        lockstep_destroy(a);
        lockstep_destroy(b);
        free(distances);
        free(ops);
    }
}

/* What the tables say of memory is true, and within what a page may cost. */
static void costs_what_it_says(void **state)
{
    enum { FIXED = 4096 };
    const struct policy_type *type = type_of(state);
    uint64_t most = type->needs == POLICY_BITS ? 8 : 24;

    assert_true(type->page_bytes + type->frame_bytes <= most);
    for (uint32_t pages = 1000; pages <= 1000000; pages *= 10)
        for (uint32_t part = 1; part <= 100; part *= 10) {
            struct policy_config config = config_of(type, pages, pages / part);
            size_t bytes = policy_bytes(type, &config);

            assert_true(bytes <= (uint64_t)pages * type->page_bytes +
                                     (uint64_t)config.frames * type->frame_bytes + FIXED);
        }
}

/* The last case: see main(). */
static void has_a_naive_reference(void **state)
{
    const struct policy_type *type = type_of(state);

    assert_non_null(naive_find(type->name));
}

#define CASES(X)                                                                                             \
    X(describes_itself)                                                                                      \
    X(fills_and_empties)                                                                                     \
    X(spares_the_pinned)                                                                                     \
    X(forgets_the_removed)                                                                                   \
    X(changes_its_size)                                                                                      \
    X(ends_when_all_are_in_use)                                                                              \
    X(bears_answers_that_change)                                                                             \
    X(prefers_the_clean)                                                                                     \
    X(agrees_with_the_naive)                                                                                 \
    X(runs_blocks_as_single_references)                                                                      \
    X(costs_what_it_says)                                                                                    \
    X(has_a_naive_reference)

static const struct {
    const char *name;
    CMUnitTestFunction function;
} cases[] = {
#define CASE(function) {#function, function},
    CASES(CASE)
#undef CASE
};

enum { CASE_COUNT = sizeof(cases) / sizeof(cases[0]), MOST_TESTS = 64 * CASE_COUNT };

/* usage: test-policy-contract [PATTERN [--without-naive]]; PATTERN as "clock *" */
int main(int argc, char **argv)
{
    static struct CMUnitTest tests[MOST_TESTS];
    static char names[MOST_TESTS][80];
    size_t count = 0, each = argc > 2 ? CASE_COUNT - 1 : CASE_COUNT;

    for (const struct policy_type *const *type = policy_types; *type; type++)
        for (size_t i = 0; i < each && count < MOST_TESTS; i++, count++) {
            snprintf(names[count], sizeof(names[count]), "%s %s", (*type)->name, cases[i].name);
            tests[count] = (struct CMUnitTest){.name = names[count],
                                               .test_func = cases[i].function,
                                               .initial_state = (void *)(uintptr_t)*type};
        }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return _cmocka_run_group_tests("contract", tests, count, NULL, NULL);
}
