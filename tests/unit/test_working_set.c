/*
 * Working sets against counting them one by one, and a textbook's example.
 */
#include <math.h>
#include <stdlib.h>

#include "sim/working_set.h"
#include "support.h"

enum { MOST = 6000, PAGES = 300 };

static uint32_t references[MOST];
static size_t length;

static struct working_set *study(const uint64_t *taus, size_t count)
{
    struct working_set *set = working_set_create(taus, count);

    assert_non_null(set);
    for (size_t at = 0; at < length;) {
        size_t piece = at % 97 + 1 < length - at ? at % 97 + 1 : length - at;
        struct policy_block block = {.references = references + at, .count = piece};

        assert_true(working_set_block(set, &block, PAGES));
        at += piece;
    }
    working_set_finish(set);
    return set;
}

/* How many pages came in the last tau references up to time t, from 1. */
static uint32_t naive_size(uint64_t time, uint64_t tau)
{
    bool seen[PAGES] = {false};
    uint32_t size = 0;

    for (uint64_t at = time > tau ? time - tau : 0; at < time; at++)
        if (!seen[references[at] >> 1]) {
            seen[references[at] >> 1] = true;
            size++;
        }
    return size;
}

static uint64_t naive_faults(uint64_t tau)
{
    uint64_t faults = 0;

    for (uint64_t time = 0; time < length; time++) {
        uint64_t back = 1;

        while (back <= tau && back <= time && references[time - back] >> 1 != references[time] >> 1)
            back++;
        faults += back > tau || back > time;
    }
    return faults;
}

static double naive_mean(uint64_t tau)
{
    double sum = 0;

    for (uint64_t time = 1; time <= length; time++)
        sum += naive_size(time, tau);
    return sum / (double)length;
}

static void expect_mean(struct working_set_mean got, uint64_t tau)
{
    assert_int_equal(got.tau, tau);
    assert_int_equal(got.faults, naive_faults(tau));
    assert_true(fabs(got.pages - naive_mean(tau)) < 1e-6);
}

/* A. Silberschatz, P. B. Galvin, G. Gagne, Operating System Concepts, "Working-Set Model": with a window of
 * 10, {1, 2, 5, 6, 7} at t1, behind the first ten references, and {3, 4} at t2, behind 26. */
static void textbook(void **state)
{
    static const uint8_t pages[] = {2, 6, 1, 5, 7, 7, 7, 7, 5, 1, 6, 2, 3, 4, 1, 2, 3, 4, 4,
                                    4, 3, 4, 3, 4, 4, 4, 1, 3, 2, 3, 4, 4, 4, 3, 4, 4, 4};
    const uint64_t tau = 10;
    struct working_set *set;

    length = sizeof(pages);
    for (size_t i = 0; i < length; i++)
        references[i] = (uint32_t)pages[i] << 1;
    set = study(&tau, 1);
    assert_int_equal(working_set_points(set), length);
    assert_int_equal(working_set_point(set, 9)->time, 10);
    assert_int_equal(working_set_point(set, 9)->pages[0], 5);
    assert_int_equal(working_set_point(set, 25)->pages[0], 2);
    working_set_destroy(set);
}

static void make_random(uint64_t seed, size_t count)
{
    struct random random = {seed};

    length = count;
    for (size_t i = 0; i < count; i++)
        references[i] = (uint32_t)(random_below(&random, 4) ? random_below(&random, 12) + i / 700 * 10
                                                            : random_below(&random, PAGES))
                        << 1;
}

static void as_counted(void **state)
{
    static const uint64_t taus[] = {1, 7, 64, 65, 500, 5999, 100000};
    enum { TAUS = sizeof(taus) / sizeof(taus[0]) };

    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct working_set *set;

        make_random(seed, seed * 1000 + 17);
        set = study(taus, TAUS);
        assert_int_equal(working_set_references(set), length);
        for (size_t i = 0; i < TAUS; i++)
            expect_mean(working_set_mean(set, i), taus[i]);
        for (size_t i = 0; i < working_set_means(set); i += 13) {
            struct working_set_mean mean = working_set_mean_at(set, i);

            expect_mean(mean, mean.tau);
        }
        for (size_t i = 0; i < working_set_points(set); i++)
            for (size_t tau = 0; tau < TAUS; tau++) {
                const struct working_set_point *point = working_set_point(set, i);

                assert_int_equal(point->pages[tau], naive_size(point->time, taus[tau]));
            }
        working_set_destroy(set);
    }
}

/* Evenly spaced, whatever the length: no more than there is room for, and no fewer than half of that. */
static void points(void **state)
{
    const uint64_t tau = 10;

    for (size_t count = 1; count <= MOST; count = count * 2 + 3) {
        struct working_set *set;
        size_t made;
        uint64_t every;

        make_random(4, count);
        set = study(&tau, 1);
        made = working_set_points(set);
        assert_true(made <= WORKING_SET_POINTS);
        assert_true(made >= WORKING_SET_POINTS / 2 || made == count);
        every = working_set_point(set, 0)->time;
        for (size_t i = 0; i < made; i++)
            assert_int_equal(working_set_point(set, i)->time, (i + 1) * every);
        working_set_destroy(set);
    }
}

static void window_for_faults(void **state)
{
    const uint64_t tau = 10;
    struct working_set_mean mean, smaller;
    struct working_set *set;

    make_random(9, 4000);
    set = study(&tau, 1);
    assert_true(working_set_for(set, 800, &mean));
    assert_true(mean.faults <= 800);
    for (size_t i = 0; (smaller = working_set_mean_at(set, i)).tau < mean.tau; i++)
        assert_true(smaller.faults > 800);
    assert_false(working_set_for(set, 10, &mean));
    working_set_destroy(set);
}

static void nothing(void **state)
{
    const uint64_t tau = 10;
    struct working_set *set;

    length = 0;
    set = study(&tau, 1);
    assert_int_equal(working_set_points(set) + working_set_means(set), 0);
    assert_true(working_set_mean(set, 0).pages == 0);
    working_set_destroy(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(textbook),          cmocka_unit_test(as_counted), cmocka_unit_test(points),
        cmocka_unit_test(window_for_faults), cmocka_unit_test(nothing),
    };

    return cmocka_run_group_tests_name("working set", tests, NULL, NULL);
}
