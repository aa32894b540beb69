/*
 * Eviction: pages that policies have chosen leave memory, a batch at a time.
 */
#ifndef VM_EVICT_H
#define VM_EVICT_H

#include "quire/types.h"

enum { EVICT_BATCH = 32 };

struct evicted {
    unsigned chosen; /* victims that were found; 0: nobody can go */
    unsigned freed;  /* frames */
};

/* Takes up to `wanted` pages (at most EVICT_BATCH) out of memory for the member `taker` (0: for nobody in
 * particular). May sleep; no locks held. */
struct evicted evict(unsigned wanted, uint32_t taker);

#endif
