/*
 * One line for each policy: the registry, the contract suite and the command take them from here.
 */
POLICY(fifo)
POLICY(second_chance)
POLICY(clock)
