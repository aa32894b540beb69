/*
 * What the system calls on memory share.
 */
#ifndef KERNEL_LINUX_MEMORY_ARGS_H
#define KERNEL_LINUX_MEMORY_ARGS_H

#include "kernel/task/task.h"

static inline struct space *space_here(void)
{
    return process_current()->space;
}

/* Lengths are rounded up to pages; 0 when that wraps. */
static inline uint64_t pages_of(uint64_t length)
{
    return align_up(length, PAGE_SIZE);
}

/* Is every page of [start, end) mapped? */
static inline bool all_mapped(uint64_t start, uint64_t end)
{
    struct space_region region;

    while (start < end) {
        if (!space_next_region(space_here(), vaddr(start), &region) || region.start.v > start)
            return false;
        start = region.end.v;
    }
    return true;
}

#endif
