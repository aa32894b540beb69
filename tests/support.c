/*
 * Setting up machines for the hosted tests.
 */
#include "support.h"

#include "quire/slab.h"

int boot_8m(void **state)
{
    (void)state;
    sim_boot(8 * MIB);
    return 0;
}

int end_machine(void **state)
{
    (void)state;
    frames_fail_after(0);
    slab_check();
    frames_check();
    sim_shutdown();
    return 0;
}

void settle(void)
{
    slab_trim();
    frames_drain();
}
