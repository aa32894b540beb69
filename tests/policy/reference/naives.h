/*
 * One line for each naive policy.
 */
NAIVE(fifo)
NAIVE(second_chance)
NAIVE(clock)
