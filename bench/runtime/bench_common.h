/*
 * What the runtime's benches share.
 */
#ifndef QUIRE_BENCH_COMMON_H
#define QUIRE_BENCH_COMMON_H

#include "quire/store.h"

/* Ends the process, with errno in words. */
void die(const char *what) __attribute__((noreturn));
double seconds_now(void);
/* A store in memory of which every page has contents of its own: one that nobody has written to would be
 * copies of the kernel's one page of zeroes, which is always in the processor's cache, and would be allocated
 * by the first who writes. */
struct store *store_memory_filled(uint64_t pages);

#endif
