/*
 * Eviction: pages that policies have chosen leave memory, a batch at a time.
 */
#ifndef VM_EVICT_H
#define VM_EVICT_H

#include "vm/members.h"

enum { EVICT_BATCH = 32 };

struct evicted {
    unsigned chosen; /* victims that were found; 0: nobody can go */
    unsigned freed;  /* frames */
};

/* Takes up to `wanted` pages (at most EVICT_BATCH) out of memory. May sleep; no locks held. */
struct evicted evict(unsigned wanted, const struct search *search);
/* Writes what policies have asked for; it stays in memory. May sleep; no locks held. */
void evict_clean(void);

#endif
