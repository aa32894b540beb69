/*
 * Giving the guest its turn, and waiting until it is over.
 */
#ifndef TESTS_ORACLE_TURN_H
#define TESTS_ORACLE_TURN_H

#include "tests/oracle/scene.h"

/* The guest begins to work; from here on only the words that both may touch are the host's. */
void turn_begin(struct scene *scene);
/* NULL when the guest has done what it was to do; else what happened instead. */
const char *turn_wait(const struct scene *scene);
/* Sleeps for about a millisecond. */
void turn_pause(void);

#endif
