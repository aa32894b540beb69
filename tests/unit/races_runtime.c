/*
 * The runtime under TSan: threads that fault, pin, synchronise and give advice at the same time, beside
 * eviction.
 */
#include "runtime_support.h"

#include <pthread.h>
#include <stdlib.h>

#include "store/linux/memory.h"

#define LENGTH (2 * MIB)

struct meddler {
    uint8_t *memory;
    _Atomic bool *stop;
    uint64_t seed;
};

/* Calls that change no contents. */
static void *meddle(void *context)
{
    struct meddler *meddler = context;
    struct random random = {meddler->seed};

    while (!atomic_load(meddler->stop)) {
        uint8_t *at = meddler->memory + random_below(&random, LENGTH / PAGE_SIZE - 4) * PAGE_SIZE;

        switch (random_below(&random, 4)) {
        case 0:
            assert_ok(quire_sync(at, 4 * PAGE_SIZE));
            break;
        case 1:
            assert_ok(quire_advise(at, 4 * PAGE_SIZE, QUIRE_DONE_WITH));
            break;
        case 2:
            assert_ok(quire_advise(at, 4 * PAGE_SIZE, QUIRE_WILL_NEED));
            break;
        default:
            assert_ok(quire_pin(at, 4 * PAGE_SIZE, random_below(&random, 2) ? ACCESS_WRITE : ACCESS_READ));
            quire_unpin(at, 4 * PAGE_SIZE);
        }
    }
    return NULL;
}

static void work_beside_calls(const char *policy, struct store *store, unsigned flags)
{
    struct quire_pager *pager = open_pager(512 * KIB, policy);
    uint64_t *memory = map(pager, store, LENGTH, flags), *shadow = calloc(1, LENGTH);
    _Atomic bool stop = false;
    pthread_t threads[2];
    struct meddler meddlers[2];

    for (unsigned i = 0; i < 2; i++) {
        meddlers[i] = (struct meddler){(uint8_t *)memory, &stop, i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, meddle, &meddlers[i]), 0);
    }
    work_on(memory, shadow, LENGTH, 4, 4000, 5);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    free(shadow);
    close_all(pager, store);
}

static void test_memory(void **state)
{
    work_beside_calls("clock", store_memory(LENGTH / PAGE_SIZE), 0);
    work_beside_calls("arc", store_memory(LENGTH / PAGE_SIZE), QUIRE_FRESH);
    work_beside_calls("wsclock", store_memory(LENGTH / PAGE_SIZE), 0);
}

static void test_requests(void **state)
{
    work_beside_calls("sieve", &faulty_store(LENGTH / PAGE_SIZE, true)->base, 0);
}

static void test_swap(void **state)
{
    struct store *store;

    assert_ok(quire_swap("/tmp", LENGTH, &store, NULL));
    work_beside_calls("clock-pro", store, QUIRE_FRESH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_swap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
