/*
 * What every hosted test program begins with: cmocka, statuses compared by name, random numbers.
 */
#ifndef TESTS_CASE_H
#define TESTS_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* Pseudo-random numbers that repeat (xorshift64*, Marsaglia 2003 and Vigna 2016). The seed may not be 0. */
struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * 0x2545f4914f6cdd1du;
}

/* 0 .. below - 1 */
static inline uint64_t random_below(struct random *random, uint64_t below)
{
    return (random_next(random) >> 11) % below;
}

#define assert_status(expression, expected)                                                                  \
    assert_string_equal(status_name(expression), status_name(expected))
#define assert_ok(expression) assert_status(expression, ST_OK)

#endif
