/*
 * Read-ahead of the runtime: what it brings in for a thread that goes through memory, that it stops for one
 * that does not, and that neither errors nor closing nor a small budget get in its way. That contents are
 * right is checked on the way: page n begins with n.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "runtime_support.h"

enum { PAGES = 8192 };

static struct {
    struct quire_pager *pager;
    struct faulty *store;
    volatile uint64_t *memory;
} world;

static void write_numbers(struct store *store)
{
    static _Alignas(4096) uint64_t page[PAGE_SIZE / 8];
    void *pages[] = {page};

    for (uint64_t i = 0; i < PAGES; i++) {
        struct store_request request = {.op = STORE_WRITE, .count = 1, .first = i, .pages = pages};

        page[0] = i;
        assert_ok(store->type->transfer(store, &request));
    }
}

static void begin(uint64_t memory_bytes)
{
    world.pager = open_pager(memory_bytes, "car");
    world.store = faulty_store(PAGES, false);
    write_numbers(world.store->below);
    world.memory = map(world.pager, &world.store->base, PAGES * PAGE_SIZE, 0);
}

static void end(void)
{
    close_all(world.pager, &world.store->base);
}

static void touch(uint64_t page)
{
    assert_int_equal(world.memory[page * (PAGE_SIZE / 8)], page);
}

static struct quire_stats stats(void)
{
    struct quire_stats stats;

    quire_stats(world.pager, &stats);
    return stats;
}

/* Until nothing more comes. */
static void settle(void)
{
    uint64_t before;

    do {
        before = stats().read_ahead;
        for (unsigned i = 0; i < 100; i++)
            sched_yield();
        assert_null(quire_check(world.pager)); /* waits for what is being read */
    } while (stats().read_ahead != before);
}

static void scan(uint64_t pages, int64_t stride)
{
    uint64_t at = stride < 0 ? PAGES - 1 : 0;

    for (uint64_t i = 0; i < pages; i++, at += (uint64_t)stride)
        touch(at);
}

/* ------------------------------------------------------------------ it pays */

/* Most pages come before they are asked for (all but one in 32 when the machine has nothing else to do), and
 * in few requests. */
static void a_scan(void **state)
{
    (void)state;
    for (int64_t stride = -1; stride <= 1; stride += 2) {
        begin(8 * MIB);
        scan(PAGES, stride);
        assert_true(stats().read_ahead > PAGES / 2);
        assert_true(atomic_load(&world.store->reads) < PAGES / 2);
        end();
    }
}

/* A page in seven, and one in a hundred, both ways: those are read, and no others. */
static void a_stride(void **state)
{
    static const int64_t strides[] = {7, -7, 100, -100};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t pages = PAGES / (uint64_t)llabs(strides[i]);

        begin(8 * MIB);
        atomic_store(&world.store->delay_ns, 200000); /* or the thread is there before the readers wake */
        scan(pages, strides[i]);
        settle();
        assert_true(stats().read_ahead > pages / 4);
        assert_true(stats().faults + stats().read_ahead <= pages + 64);
        end();
    }
}

/* From one half to the other. */
static void two_at_once(void **state)
{
    (void)state;
    begin(8 * MIB);
    for (uint64_t i = 0; i < PAGES / 2; i++) {
        touch(i);
        touch(PAGES / 2 + i);
    }
    assert_true(stats().read_ahead > PAGES / 2);
    end();
}

static void will_need(void **state)
{
    (void)state;
    begin(8 * MIB);
    assert_ok(quire_advise((void *)world.memory, 4 * MIB, QUIRE_WILL_NEED));
    assert_int_equal(stats().read_ahead, 1024);
    assert_int_equal(atomic_load(&world.store->reads), 1024 / 32);
    scan(1024, 1);
    assert_int_equal(stats().faults, 0);
    end();
}

/* ------------------------------------------------------------------ it does not */

static void no_order(void **state)
{
    struct random random = {7};

    (void)state;
    begin(8 * MIB);
    for (unsigned i = 0; i < 4000; i++)
        touch(random_below(&random, PAGES));
    settle();
    assert_true(stats().read_ahead < 200);
    end();
}

static void advised_random(void **state)
{
    (void)state;
    begin(8 * MIB);
    assert_ok(quire_advise((void *)world.memory, PAGES * PAGE_SIZE, QUIRE_RANDOM));
    scan(1000, 1);
    settle();
    assert_int_equal(stats().read_ahead, 0);
    end();
}

/* Four pages in a row, and then somewhere else, again and again: after some times it is not tried any more;
 * and a scan that lasts has it come back. */
static void short_runs(void **state)
{
    uint64_t early, late;

    (void)state;
    begin(8 * MIB);
    for (uint64_t i = 0; i < 100; i++)
        for (uint64_t page = 0; page < 4; page++)
            touch(i * 2654435761u % (PAGES / 16) * 16 + page);
    settle();
    early = stats().read_ahead;
    for (uint64_t i = 100; i < 400; i++)
        for (uint64_t page = 0; page < 4; page++)
            touch(i * 2654435761u % (PAGES / 16) * 16 + page);
    settle();
    late = stats().read_ahead - early;
    assert_true(early > 0);
    assert_int_equal(late, 0);
    scan(PAGES, 1);
    assert_true(stats().read_ahead - early > PAGES / 2);
    end();
}

/* ------------------------------------------------------------------ what may go wrong */

/* Pages that cannot be read are errors where they are touched, and nowhere else. */
static void errors(void **state)
{
    (void)state;
    begin(8 * MIB);
    atomic_store(&world.store->fail_reads, 100);
    for (uint64_t page = 0; page < 1000; page++)
        if (page % 100 == 0)
            assert_true(read_is_sigbus((const uint8_t *)&world.memory[page * (PAGE_SIZE / 8)]));
        else
            touch(page);
    settle();
    end();
}

/* Closed while much is being read: nothing is left behind (ASan, and quire_check() in close_all()). */
static void closed_on_the_way(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        begin(8 * MIB);
        atomic_store(&world.store->delay_ns, 200000);
        scan(200 + round * 20, 1);
        assert_ok(quire_discard((void *)world.memory));
        end();
    }
}

/* The least there may be: 64 frames. */
static void little_memory(void **state)
{
    (void)state;
    begin(QUIRE_LEAST_MEMORY);
    scan(PAGES, 1);
    assert_true(stats().read_ahead > PAGES / 2);
    end();
}

static void *scan_a_part(void *context)
{
    uint64_t part = (uintptr_t)context;

    for (uint64_t page = part * PAGES / 4; page < (part + 1) * PAGES / 4; page++)
        if (world.memory[page * (PAGE_SIZE / 8)] != page)
            return (void *)1;
    return NULL;
}

static void four_threads(void **state)
{
    pthread_t thread[4];
    void *wrong;

    (void)state;
    begin(4 * MIB);
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, scan_a_part, (void *)i), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(thread[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_true(stats().read_ahead > PAGES / 2);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scan),        cmocka_unit_test(a_stride),     cmocka_unit_test(two_at_once),
        cmocka_unit_test(will_need),     cmocka_unit_test(no_order),     cmocka_unit_test(advised_random),
        cmocka_unit_test(short_runs),    cmocka_unit_test(errors),       cmocka_unit_test(closed_on_the_way),
        cmocka_unit_test(little_memory), cmocka_unit_test(four_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
