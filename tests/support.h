/*
 * What the hosted test programs share: cmocka, random numbers, a machine for each case.
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/sim/sim.h"

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

/* cmocka setups: a machine of that size; NAMED: its teardown checks the frames and ends it. */
int boot_8m(void **state);
int boot_64m(void **state);
int end_machine(void **state);

/* All frames that a machine has given out go back; what is left in caches is merged. */
void settle(void);

#endif
