/* The system calls of the C library, wherever in it they are made, go by us: sites.c, gate.S. */
#ifndef QUIRE_PRELOAD_SITES_H
#define QUIRE_PRELOAD_SITES_H

#include <stdbool.h>
#include <stdint.h>

/* How many `syscall` instructions there are, and how many of them go by us now. */
struct sites {
    uint32_t found, changed;
};

/* Those of the C library and of the dynamic linker. False: not on this system; some may be changed, which
 * does no harm. Once, in one thread. */
bool sites_change(struct sites *sites);

#endif
