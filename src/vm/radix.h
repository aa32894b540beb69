/*
 * A sparse array of pointers by 64-bit index: a tree of 64-way nodes, as deep as the highest index needs.
 *
 * Locking is the owner's.
 */
#ifndef VM_RADIX_H
#define VM_RADIX_H

#include "quire/status.h"
#include "quire/types.h"

enum { RADIX_BITS = 6, RADIX_SLOTS = 1 << RADIX_BITS };

struct radix_node {
    void *slots[RADIX_SLOTS];
};

struct radix {
    struct radix_node *root;
    unsigned height; /* levels of nodes; 0: empty */
};

/* The pointer at `index`, or NULL. */
void *radix_get(const struct radix *tree, uint64_t index);
/* The slots first..first+RADIX_SLOTS-1 (first a multiple of RADIX_SLOTS), or NULL when none of them was ever
 * set. */
void **radix_slots(const struct radix *tree, uint64_t first);
/* `value` is not NULL, and the slot is empty. ST_NO_MEMORY: nothing has changed. */
MUST_USE enum status radix_insert(struct radix *tree, uint64_t index, void *value);
/* Another value where one is. */
void radix_replace(struct radix *tree, uint64_t index, void *value);
/* What was there, or NULL. Nodes that become empty are freed. */
void *radix_remove(struct radix *tree, uint64_t index);
/* The first value at or above `*index`, whose place is put there; NULL when there is none. */
void *radix_next(const struct radix *tree, uint64_t *index);

#endif
