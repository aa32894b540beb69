/*
 * The translation caches of one CPU of the software MMU, in the shape that sim_tlb_configure() asked for.
 *
 *   first level    banks for 4 KiB pages and for larger ones
 *   second level   one bank for 4 KiB and 2 MiB pages together, or none
 *   walk caches    entries of levels 2, 3 and 4 that point to a table: a walk begins below the lowest found
 *                  ("paging-structure caches", Intel SDM vol. 3A, 4.10.3)
 *
 * A translation goes into both levels when it has been walked for, and into the first again when it is found
 * in the second. Within a set the least recently used goes. Entries carry the tag (the number of the space);
 * at most `asids` spaces have entries at a time, and the one that ran least recently loses all of its own.
 *
 * Locking: everything under the CPU's hardware lock (no rank: it is the hardware's, not the core's).
 */
#ifndef QUIRE_HOST_SIM_TLB_H
#define QUIRE_HOST_SIM_TLB_H

#include "host/sim/sim.h"
#include "pt/fmt/x86_64.h"

struct tlb_entry {
    uint64_t key; /* virtual address of the page's first byte, or-ed with its level; 0: empty */
    uint64_t to;
    uint64_t rights; /* PT_WRITE, PT_USER, PT_NO_EXEC of the walk, PT_DIRTY of the leaf */
    uint64_t used;   /* when, by the TLB's clock */
    uint32_t tag;
};

struct tlb_bank {
    struct tlb_entry *entries; /* set after set */
    uint32_t set_mask, ways;   /* ways 0: there is no such bank */
};

struct walk_entry {
    uint64_t key; /* virtual address of what the entry stands for, or-ed with its level; 0: empty */
    uint64_t table;
    uint64_t rights;
    uint64_t used;
    uint32_t tag;
};

struct sim_tlb {
    uint32_t taken;
    uint32_t current; /* tag of the space whose access was the last; 0: none */
    uint64_t clock;
    unsigned levels; /* bit n: pages of level n may be in the banks */
    struct tlb_bank small, huge, second;
    struct walk_entry *walks[PT_LEVELS + 1];
    uint32_t *asids; /* tags of the spaces that have entries, the one that ran last first */
    struct sim_mmu_counts counts;
};

extern struct sim_tlb sim_tlbs[HOST_MAX_CPUS];
extern struct sim_mmu_counts sim_flushes; /* only the counts of flushes; the others are each CPU's */
_Static_assert((int)PT_LEVELS < (int)SIM_WALK_LEVELS, "a walk cache for each level of tables");

void tlb_lock(struct sim_tlb *tlb);
void tlb_unlock(struct sim_tlb *tlb);

/* The CPU runs the space `tag` now. */
void tlb_enter(struct sim_tlb *tlb, uint32_t tag);
/* The translation of the current space's page, NULL: walk. It is in the first level then. */
struct tlb_entry *tlb_find(struct sim_tlb *tlb, struct vaddr address);
void tlb_insert(struct sim_tlb *tlb, struct vaddr address, unsigned level, uint64_t to, uint64_t rights);
/* The entry of the lowest level on the way to `address` that is cached, and that level; NULL: begin at the
 * root. */
const struct walk_entry *tlb_find_walk(struct sim_tlb *tlb, struct vaddr address, unsigned *level);
void tlb_insert_walk(struct sim_tlb *tlb, struct vaddr address, unsigned level, uint64_t table,
                     uint64_t rights);

/* One page of a space, with its walk caches. */
void tlb_drop(struct sim_tlb *tlb, uint32_t tag, struct vaddr address);
void tlb_drop_space(struct sim_tlb *tlb, uint32_t tag);
void tlb_drop_all(struct sim_tlb *tlb);

#endif
