/*
 * One line for each policy: the registry, the contract suite and the command take them from here.
 */
POLICY(fifo)
POLICY(second_chance)
POLICY(clock)
POLICY(two_handed_clock)
POLICY(nru)
POLICY(nfu)
POLICY(aging)
POLICY(random)
POLICY(working_set)
POLICY(wsclock)
POLICY(mglru)
