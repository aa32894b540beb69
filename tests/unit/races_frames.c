/*
 * Frames and slabs on several CPUs at once, under TSan: no race, nothing handed out twice, nothing lost.
 */
#include <pthread.h>

#include "support.h"

#include "quire/slab.h"

enum { CPUS = 4, STEPS = 20000, LIVE = 60 };

/* Frames that one CPU allocates and another frees. */
static struct frame *mailbox[CPUS];

static void *churn(void *argument)
{
    unsigned cpu = (unsigned)(uintptr_t)argument;
    struct random random = {cpu + 1};
    struct frame *frames[LIVE] = {0};
    uint64_t *cells[LIVE] = {0};

    sim_become_cpu(cpu);
    for (int step = 0; step < STEPS; step++) {
        unsigned at = (unsigned)random_below(&random, LIVE);

        if (frames[at] != NULL) {
            if (*(uint64_t *)frame_data(frames[at]) != cpu * 1000 + at)
                return (void *)1;
            *(uint64_t *)frame_data(frames[at]) = 0;
            /* Every other one is freed by a neighbour. */
            frames[at] = step % 2 != 0
                             ? __atomic_exchange_n(&mailbox[(cpu + 1) % CPUS], frames[at], __ATOMIC_ACQ_REL)
                             : frames[at];
            if (frames[at] != NULL)
                frame_unref(frames[at]);
            frames[at] = NULL;
        } else {
            unsigned order = random_below(&random, 20) == 0 ? 2 : 0;

            frames[at] = frame_alloc(order, FRAME_ANON, step % 3 == 0 ? FRAME_ZERO : FRAME_ANY);
            if (frames[at] != NULL)
                *(uint64_t *)frame_data(frames[at]) = cpu * 1000 + at;
        }
        if (cells[at] != NULL) {
            if (cells[at][1] != cpu)
                return (void *)2;
            slab_free(cells[at]);
            cells[at] = NULL;
        } else {
            cells[at] = slab_alloc(16 + random_below(&random, 500));
            if (cells[at] != NULL)
                cells[at][1] = cpu;
        }
        if (step % 500 == 0) {
            struct frame_counts counts;

            frames_zero_ahead(8);
            frames_count(&counts);
            (void)frames_free();
        }
    }
    for (unsigned at = 0; at < LIVE; at++) {
        if (frames[at] != NULL)
            frame_free(frames[at]);
        slab_free(cells[at]);
    }
    frames_drain();
    return NULL;
}

static void all_cpus_at_once(void **state)
{
    pthread_t threads[CPUS];
    uint64_t before;

    settle();
    before = frames_free();
    memset(mailbox, 0, sizeof(mailbox));
    for (uintptr_t cpu = 0; cpu < CPUS; cpu++)
        assert_int_equal(pthread_create(&threads[cpu], NULL, churn, (void *)cpu), 0);
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        void *failed;

        pthread_join(threads[cpu], &failed);
        assert_null(failed);
    }
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        if (mailbox[cpu] != NULL)
            frame_free(mailbox[cpu]);
    settle();
    assert_int_equal(frames_free(), before);
    assert_int_equal(slab_live(), 0);
}

static struct spinlock gate;
static bool opened;

static void *opener(void *argument)
{
    lock_take(&gate);
    opened = true;
    lock_drop(&gate);
    host_wake(&opened);
    return NULL;
}

static void no_wakeup_is_lost(void **state)
{
    lock_init(&gate, RANK_OBJECT);
    for (int round = 0; round < 200; round++) {
        pthread_t thread;
        uint64_t start = host_now_ns();

        opened = false;
        assert_int_equal(pthread_create(&thread, NULL, opener, NULL), 0);
        lock_take(&gate);
        while (!opened)
            host_sleep(&opened, &gate);
        lock_drop(&gate);
        pthread_join(thread, NULL);
        assert_true(host_now_ns() - start < 900000000); /* a lost one costs a second */
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_8m, end_machine)
    const struct CMUnitTest tests[] = {
        CASE(all_cpus_at_once),
        CASE(no_wakeup_is_lost),
    };

    return cmocka_run_group_tests_name("frames on several CPUs", tests, NULL, NULL);
}
