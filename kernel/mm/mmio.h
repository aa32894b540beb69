/*
 * Registers of devices, reachable by the kernel.
 */
#ifndef KERNEL_MMIO_H
#define KERNEL_MMIO_H

#include "quire/types.h"

/* The address of the physical bytes [start, start + bytes), mapped uncached, readable and writable, never
 * executable; they need not be aligned. It stays for good; asking twice for a page gives it twice. NULL
 * without memory or room. */
void *mmio_map(struct paddr start, uint64_t bytes);

#endif
