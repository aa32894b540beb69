/*
 * What the system calls on memory share.
 */
#ifndef KERNEL_LINUX_MEMORY_ARGS_H
#define KERNEL_LINUX_MEMORY_ARGS_H

#include <asm-generic/resource.h>

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

/* May the process lock anything at all? */
static inline bool may_lock_memory(void)
{
    const struct process *process = process_current();

    return process->limits[RLIMIT_MEMLOCK][0] != 0 || process_may(process, CAP_IPC_LOCK);
}

/* May so much be mapped, where what is mapped from now on is locked? */
static inline bool may_lock_future(uint64_t bytes)
{
    return space_locks_future(space_here()) == SPACE_LOCKS_NOTHING || space_may_lock(space_here(), bytes);
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
