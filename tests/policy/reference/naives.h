/*
 * One line for each naive policy.
 */
NAIVE(fifo)
NAIVE(second_chance)
NAIVE(clock)
NAIVE(two_handed_clock)
NAIVE(nru)
NAIVE(nfu)
NAIVE(aging)
NAIVE(random)
NAIVE(working_set)
NAIVE(wsclock)
NAIVE(mglru)
