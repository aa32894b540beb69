/*
 * A buffer manager by hand, as a reference: what paging costs when every access asks for its page.
 *
 * In the style of vmcache (Leis, Alhomssi, Ziegler, Loeck, Dietrich: Virtual-Memory Assisted Buffer
 * Management, SIGMOD 2023): addresses for all pages, one word of state a page, CLOCK with a bit set at each
 * fix, pages given back by madvise() many at a time. Its own thread evicts, with the same reserve as
 * libquire's.
 */
#ifndef QUIRE_BENCH_EXPLICIT_H
#define QUIRE_BENCH_EXPLICIT_H

#include "quire/store.h"

struct manager;

struct manager *manager_create(struct store *store, uint64_t pages, uint64_t frames);
/* The page is in memory until manager_unfix(). */
void *manager_fix(struct manager *manager, uint64_t page, bool write);
void manager_unfix(struct manager *manager, uint64_t page, bool write);
uint64_t manager_misses(struct manager *manager);

#endif
