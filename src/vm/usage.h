/*
 * Looking at every entry of a range of a space, knowing how many spaces have it.
 */
#ifndef VM_USAGE_H
#define VM_USAGE_H

#include "vm/space_internal.h"

/* An entry that is not empty and no table, whose span begins at `start`; `shares` spaces have it. Its table
 * is locked, and all tables above. False: stop. */
typedef bool usage_visit(struct pt_entry entry, unsigned level, uint64_t start, uint64_t shares,
                         void *context);

/* The entries of [start, end), in order. False: a visit stopped it. */
bool usage_walk(struct space *space, uint64_t start, uint64_t end, usage_visit *visit, void *context);

#endif
