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

/* RLIMIT_DATA: may the process have so much more private writable memory, stacks apart? */
static inline bool may_have_data(uint64_t more_bytes)
{
    uint64_t limit = process_current()->limits[RLIMIT_DATA][0], bytes = 0;
    struct space_region region;

    if (limit == RLIM_INFINITY)
        return true;
    for (uint64_t at = 0; space_next_region(space_here(), vaddr(at), &region); at = region.end.v)
        if (region.access & ACCESS_WRITE && !(region.flags & (SPACE_SHARED | SPACE_GROWS_DOWN)))
            bytes += region.end.v - region.start.v;
    return (bytes + more_bytes) >> PAGE_SHIFT <= limit >> PAGE_SHIFT;
}

/* Is every page of [start, end) mapped? */
static inline bool all_mapped_in(struct space *space, uint64_t start, uint64_t end)
{
    struct space_region region;

    while (start < end) {
        if (!space_next_region(space, vaddr(start), &region) || region.start.v > start)
            return false;
        start = region.end.v;
    }
    return true;
}

static inline bool all_mapped(uint64_t start, uint64_t end)
{
    return all_mapped_in(space_here(), start, end);
}

#endif
