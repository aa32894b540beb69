/*
 * Names of the kernel's functions, for backtraces. The table is made from a first link of the image by
 * tools/symbols.py and linked into the second one.
 */
#ifndef KERNEL_X86_SYMBOLS_H
#define KERNEL_X86_SYMBOLS_H

#include <stdint.h>

/* The function that `address` lies in, and how far in; NULL when it is not the kernel's code. */
const char *symbol_of(uint64_t address, uint64_t *offset);

#endif
