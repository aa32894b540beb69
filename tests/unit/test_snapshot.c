/*
 * Snapshots: each shows what the region held at its moment, whatever is written to either later, whatever
 * leaves memory, in whichever order they end; and with threads that write all the while, a moment is one
 * moment. Built under ASan and under TSan.
 */
#include "runtime_support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/linux/memory.h"

#define LENGTH (2 * MIB)
#define PAGES (LENGTH / PAGE_SIZE)
enum { WORDS = LENGTH / sizeof(uint64_t), VIEWS = 4 };

struct view {
    uint64_t *memory, *shadow;
    struct store *store;
};

static uint64_t *shadow_of(const uint64_t *of)
{
    uint64_t *shadow = malloc(LENGTH);

    memcpy(shadow, of, LENGTH);
    return shadow;
}

static struct view snapshot(void *region, const uint64_t *shadow, unsigned flags)
{
    struct view view = {.shadow = shadow_of(shadow), .store = store_memory(PAGES)};
    struct quire_mapping mapping = {.store = view.store, .flags = flags};
    struct quire_error error;

    if (quire_snapshot(region, &mapping, (void **)&view.memory, &error) != ST_OK)
        fail_msg("%s", error.text);
    return view;
}

static void view_end(struct view *view)
{
    assert_ok(quire_discard(view->memory));
    store_close(view->store);
    free(view->shadow);
    *view = (struct view){NULL};
}

static void expect_same(const uint64_t *memory, const uint64_t *shadow)
{
    for (uint64_t i = 0; i < WORDS; i++)
        if (memory[i] != shadow[i])
            fail_msg("word %llu of page %llu is %llu and not %llu", (unsigned long long)(i % 512),
                     (unsigned long long)(i / 512), (unsigned long long)memory[i],
                     (unsigned long long)shadow[i]);
}

/* Random reads and writes of the memory, checked. */
static void churn(uint64_t *memory, uint64_t *shadow, struct random *random, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        uint64_t word = random_below(random, WORDS);

        assert_int_equal(memory[word], shadow[word]);
        if (random_below(random, 3) == 0)
            memory[word] = shadow[word] = random_next(random);
    }
}

/* ------------------------------------------------------------------ one thread */

static void one_view(struct store *store, uint64_t budget, unsigned flags)
{
    struct quire_pager *pager = open_pager(budget, "clock");
    uint64_t *memory = map(pager, store, LENGTH, flags), *shadow = calloc(1, LENGTH);
    struct random random = {7};
    struct view view;

    churn(memory, shadow, &random, 2000);
    view = snapshot(memory, shadow, 0);
    churn(memory, shadow, &random, 2000);
    expect_same(view.memory, view.shadow);
    churn(view.memory, view.shadow, &random, 2000); /* the other side writes too */
    churn(memory, shadow, &random, 2000);
    expect_same(memory, shadow);
    expect_same(view.memory, view.shadow);
    assert_status(quire_unmap(memory), ST_INVALID); /* it has a snapshot */
    view_end(&view);
    expect_same(memory, shadow);
    free(shadow);
    close_all(pager, store);
}

static void test_contents(void **state)
{
    struct store *swap;

    one_view(store_memory(PAGES), 512 * KIB, 0);
    one_view(store_memory(PAGES), 512 * KIB, QUIRE_FRESH);
    one_view(store_memory(PAGES), 8 * MIB, 0); /* nothing leaves */
    one_view(&faulty_store(PAGES, true)->base, QUIRE_LEAST_MEMORY, 0);
    assert_ok(quire_swap("/tmp", LENGTH, &swap, NULL));
    one_view(swap, 512 * KIB, QUIRE_FRESH);
}

/* Several at a time, made, looked at and ended in a random order. */
static void test_several(void **state)
{
    struct quire_pager *pager = open_pager(768 * KIB, "sieve");
    struct store *store = store_memory(PAGES);
    uint64_t *memory = map(pager, store, LENGTH, 0), *shadow = calloc(1, LENGTH);
    struct view views[VIEWS] = {{NULL}};
    struct random random = {11};

    for (unsigned i = 0; i < 40; i++) {
        struct view *view = &views[random_below(&random, VIEWS)];

        churn(memory, shadow, &random, 300);
        if (!view->memory) {
            *view = snapshot(memory, shadow, random_below(&random, 2) ? QUIRE_READ_ONLY : 0);
        } else {
            expect_same(view->memory, view->shadow);
            view_end(view);
        }
    }
    expect_same(memory, shadow);
    free(shadow);
    for (unsigned i = 0; i < VIEWS; i++)
        if (views[i].memory) {
            expect_same(views[i].memory, views[i].shadow);
            view_end(&views[i]);
        }
    close_all(pager, store);
}

/* Pages that are pinned for writing may be written to without a fault; the view has what they held. */
static void test_pinned(void **state)
{
    struct quire_pager *pager = open_pager(512 * KIB, "clock");
    struct store *store = store_memory(PAGES);
    uint64_t *memory = map(pager, store, LENGTH, 0), *shadow = calloc(1, LENGTH);
    struct view view;

    memory[0] = shadow[0] = 1;
    memory[512] = shadow[512] = 2;
    assert_ok(quire_pin(memory, 2 * PAGE_SIZE, ACCESS_WRITE));
    view = snapshot(memory, shadow, 0);
    memory[0] = 3;
    memory[512] = 4;
    quire_unpin(memory, 2 * PAGE_SIZE);
    expect_same(view.memory, view.shadow);
    view_end(&view);
    /* And a page that is pinned later is opened first. */
    shadow[0] = 3;
    shadow[512] = 4;
    view = snapshot(memory, shadow, 0);
    assert_ok(quire_pin(memory, PAGE_SIZE, ACCESS_WRITE));
    memory[0] = 5;
    quire_unpin(memory, PAGE_SIZE);
    expect_same(view.memory, view.shadow);
    free(shadow);
    view_end(&view);
    close_all(pager, store);
}

/* What cannot be kept for a view is not written over: the write is SIGBUS. And a page whose writing back
 * failed is closed, and still copied before it changes. */
static void test_errors(void **state)
{
    struct quire_pager *pager = open_pager(512 * KIB, "fifo");
    struct faulty *store = faulty_store(PAGES, false);
    uint64_t *memory = map(pager, &store->base, LENGTH, 0), *shadow = calloc(1, LENGTH);
    struct view view;

    memory[0] = shadow[0] = 1;
    view = snapshot(memory, shadow, 0);
    atomic_store(&store->fail_writes, 1);
    assert_status(quire_sync(memory, LENGTH), ST_IO_ERROR);
    atomic_store(&store->fail_writes, 0);
    memory[0] = 2;
    assert_int_equal(view.memory[0], 1);
    atomic_store(&store->fail_reads, 1);
    assert_true(write_is_sigbus((uint8_t *)memory + MIB));
    assert_true(read_is_sigbus((uint8_t *)view.memory + MIB));
    atomic_store(&store->fail_reads, 0);
    assert_false(write_is_sigbus((uint8_t *)memory + MIB));
    assert_int_equal(view.memory[MIB / 8], 0);
    free(shadow);
    view_end(&view);
    assert_ok(quire_sync(memory, LENGTH));
    close_all(pager, &store->base);
}

static void test_refusals(void **state)
{
    struct quire_pager *pager = open_pager(512 * KIB, "clock");
    struct store *store = store_memory(PAGES), *spare = store_memory(PAGES), *small = store_memory(4);
    struct quire_mapping mapping = {.store = spare};
    void *memory = map(pager, store, LENGTH, 0), *view, *second;
    struct quire_error error;

    assert_status(quire_snapshot((char *)memory + PAGE_SIZE, &mapping, &view, &error), ST_INVALID);
    mapping.flags = QUIRE_FRESH;
    assert_status(quire_snapshot(memory, &mapping, &view, &error), ST_INVALID);
    mapping = (struct quire_mapping){.store = small};
    assert_status(quire_snapshot(memory, &mapping, &view, &error), ST_BEYOND_END);
    mapping.store = spare;
    assert_ok(quire_snapshot(memory, &mapping, &view, &error));
    assert_status(quire_snapshot(view, &mapping, &second, &error), ST_UNSUPPORTED);
    assert_status(quire_snapshot(memory, &mapping, &second, &error), ST_MAPPED);
    assert_status(quire_discard(memory), ST_INVALID);
    assert_ok(quire_close(pager)); /* views first */
    store_close(small);
    store_close(spare);
    store_close(store);
}

/* ------------------------------------------------------------------ threads */

enum { WRITERS = 3, COUNTERS = 64 };

struct counting {
    uint64_t *memory;
    _Atomic bool stop;
    unsigned number;
};

static _Atomic uint64_t *counter(uint64_t *memory, unsigned writer, unsigned i)
{
    return (_Atomic uint64_t *)&memory[((uint64_t)i * WRITERS + writer) * (WORDS / (WRITERS * COUNTERS))];
}

/* Round after round, every counter becomes the round, in order: at any moment they are r, r, r, r-1, r-1. */
static void *count_up(void *context)
{
    struct counting *counting = context;

    for (uint64_t round = 1; !atomic_load(&counting->stop); round++)
        for (unsigned i = 0; i < COUNTERS; i++)
            atomic_store(counter(counting->memory, counting->number, i), round);
    return NULL;
}

static void start_counting(struct counting counting[WRITERS], pthread_t threads[WRITERS], uint64_t *memory)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        counting[i].memory = memory;
        counting[i].number = i;
        atomic_init(&counting[i].stop, false);
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &counting[i]), 0);
    }
}

static void stop_counting(struct counting counting[WRITERS], pthread_t threads[WRITERS])
{
    for (unsigned i = 0; i < WRITERS; i++) {
        atomic_store(&counting[i].stop, true);
        pthread_join(threads[i], NULL);
    }
}

static void expect_one_moment(uint64_t *view)
{
    for (unsigned writer = 0; writer < WRITERS; writer++) {
        uint64_t first = atomic_load(counter(view, writer, 0)), last = first;

        for (unsigned i = 1; i < COUNTERS; i++) {
            uint64_t value = atomic_load(counter(view, writer, i));

            if (value > last || value + 1 < first)
                fail_msg("counter %u of writer %u is %llu after %llu, the first %llu", i, writer,
                         (unsigned long long)value, (unsigned long long)last, (unsigned long long)first);
            last = value;
        }
    }
}

static void beside_writers(struct store *store, uint64_t budget)
{
    struct quire_pager *pager = open_pager(budget, "clock");
    uint64_t *memory = map(pager, store, LENGTH, 0);
    struct counting counting[WRITERS];
    pthread_t threads[WRITERS];

    start_counting(counting, threads, memory);
    for (unsigned i = 0; i < 20; i++) {
        struct store *kept = store_memory(PAGES);
        struct quire_mapping mapping = {.store = kept};
        uint64_t *view;

        assert_ok(quire_snapshot(memory, &mapping, (void **)&view, NULL));
        expect_one_moment(view);
        expect_one_moment(view);
        assert_ok(quire_discard(view));
        store_close(kept);
    }
    stop_counting(counting, threads);
    close_all(pager, store);
}

static void test_one_moment(void **state)
{
    beside_writers(store_memory(PAGES), 4 * MIB);
    beside_writers(store_memory(PAGES), 512 * KIB);
    beside_writers(&faulty_store(PAGES, true)->base, 512 * KIB);
}

/* While a fork is prepared, whoever is in a write section of the region must be able to end it: he may have
 * to give the view, which comes before the region in the table, its page. */
static void test_fork_beside_view(void **state)
{
    struct quire_pager *pager =
        open_pager_with(&(struct quire_options){.memory_bytes = MIB,
                                                .policy = "clock",
                                                .deadline_ms = 3000,
                                                .way = QUIRE_WAY_USERFAULTFD}); /* that a child can read */
    struct store *first = store_memory(1), *store = store_memory(PAGES), *kept = store_memory(PAGES);
    struct quire_mapping mapping = {.store = kept};
    void *place = map(pager, first, PAGE_SIZE, 0);
    uint64_t *memory = map(pager, store, LENGTH, 0);
    struct counting counting[WRITERS];
    pthread_t threads[WRITERS];
    uint64_t *view;

    assert_ok(quire_discard(place));
    start_counting(counting, threads, memory);
    for (unsigned i = 0; i < 60; i++) {
        assert_ok(quire_snapshot(memory, &mapping, (void **)&view, NULL));
        assert_ok(quire_fork_begin(pager));
        quire_fork_end(pager);
        assert_ok(quire_discard(view));
    }
    stop_counting(counting, threads);
    store_close(kept);
    store_close(first);
    close_all(pager, store);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),         cmocka_unit_test(test_several),
        cmocka_unit_test(test_pinned),           cmocka_unit_test(test_errors),
        cmocka_unit_test(test_refusals),         cmocka_unit_test(test_one_moment),
        cmocka_unit_test(test_fork_beside_view),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
