/*
 * What the hosted test programs of the core share: a machine for each case.
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <stdio.h>
#include <string.h>

#include "host/sim/sim.h"
#include "tests/case.h"

/* cmocka setups: a machine of that size; NAMED: its teardown checks the frames and ends it. */
int boot_8m(void **state);
int end_machine(void **state);

/* All frames that a machine has given out go back; what is left in caches is merged. */
void settle(void);

#endif
