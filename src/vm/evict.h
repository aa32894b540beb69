/*
 * Eviction: pages that policies have chosen leave memory, a batch at a time.
 */
#ifndef VM_EVICT_H
#define VM_EVICT_H

#include "vm/pages.h"

enum { EVICT_BATCH = 32 };

struct evicted {
    unsigned chosen; /* victims that were found; 0: nobody can go */
    unsigned freed;  /* frames */
};

/* Takes up to `wanted` pages (at most EVICT_BATCH) out of memory. May sleep; no locks held. */
struct evicted evict(unsigned wanted, const struct search *search);
/* The same with these pages, which nobody has chosen: each is held by a reference, its object by another, and
 * this ends both. Those that do not go are pages of the policy as before. May sleep; no locks held. */
void evict_these(const struct victim *victims, unsigned count);
/* Writes what policies have asked for; it stays in memory. May sleep; no locks held. */
void evict_clean(void);

#endif
