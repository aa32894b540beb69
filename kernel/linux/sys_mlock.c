/*
 * mlock(2) and its family: the checks, in Linux's order, before the address space does it.
 */
#include <asm/mman.h>
#include <linux/mman.h>

#include "kernel/linux/memory_args.h"
#include "kernel/linux/syscalls.h"

/* What is locked already does not count twice. */
static bool within_limit(uint64_t start, uint64_t bytes)
{
    uint64_t again;

    if (space_may_lock(space_here(), bytes))
        return true;
    again = space_locked_pages(space_here(), vaddr(start), bytes) << PAGE_SHIFT;
    return space_may_lock(space_here(), bytes - again);
}

/* What making the range present failed with, as mlock tells it. */
static long populate_errno(enum status status)
{
    switch (status) {
    case ST_NO_MEMORY:
        return -EAGAIN;
    case ST_DENIED:
    case ST_BEYOND_END:
    case ST_IO_ERROR:
        return -ENOMEM;
    default:
        return errno_of(status);
    }
}

/* Rounds a range to pages. False: it wraps; but a length that wraps to nothing is nothing, to Linux. */
static bool round(uint64_t address, uint64_t length, uint64_t *start, uint64_t *bytes)
{
    *start = align_down(address, PAGE_SIZE);
    *bytes = pages_of(length + (address - *start));
    return *start + *bytes >= *start;
}

/* The range cut where user memory ends; what is beyond is a hole. */
static enum status change(uint64_t start, uint64_t bytes, bool lock)
{
    uint64_t room = start < SPACE_END ? SPACE_END - start : 0, cut = bytes < room ? bytes : room;
    enum status status;

    if (start < SPACE_START || cut == 0)
        return ST_NOT_MAPPED;
    status = space_lock(space_here(), vaddr(start), cut, lock);
    return status == ST_OK && cut < bytes ? ST_NOT_MAPPED : status;
}

static long lock(uint64_t address, uint64_t length, bool now)
{
    uint64_t start, bytes;
    enum status status;

    if (!may_lock_memory())
        return -EPERM;
    if (!round(address, length, &start, &bytes))
        return -EINVAL;
    if (bytes == 0)
        return 0;
    if (!within_limit(start, bytes))
        return -ENOMEM;
    status = change(start, bytes, true);
    if (status != ST_OK)
        return errno_of(status);
    return now ? populate_errno(space_populate(space_here(), vaddr(start), bytes)) : 0;
}

long sys_mlock(long address, long length)
{
    return lock((uint64_t)address, (uint64_t)length, true);
}

long sys_mlock2(long address, long length, long flags)
{
    if ((int)flags & ~(int)MLOCK_ONFAULT)
        return -EINVAL;
    return lock((uint64_t)address, (uint64_t)length, !(flags & MLOCK_ONFAULT));
}

long sys_munlock(long address, long length)
{
    uint64_t start, bytes;

    if (!round((uint64_t)address, (uint64_t)length, &start, &bytes))
        return -EINVAL;
    return bytes == 0 ? 0 : errno_of(change(start, bytes, false));
}

/* ---------------------------------------------------------------- all */

/* Every region, as far as it goes. */
static void populate_all(void)
{
    struct space_region region;

    for (uint64_t at = 0; space_next_region(space_here(), vaddr(at), &region); at = region.end.v)
        if (region.access != ACCESS_NONE)
            (void)!space_populate(space_here(), region.start, region.end.v - region.start.v);
}

/* Is all that is mapped few enough? */
static bool all_within_limit(void)
{
    struct space_counts counts;

    if (process_may(process_current(), CAP_IPC_LOCK))
        return true;
    space_count(space_here(), &counts);
    return counts.mapped_bytes <= process_current()->limits[RLIMIT_MEMLOCK][0];
}

long sys_mlockall(long flags)
{
    enum space_locking how = (flags & MCL_ONFAULT) ? SPACE_LOCKS_ON_FAULT : SPACE_LOCKS_NOW;
    enum status status = ST_OK;

    flags = (int)flags;
    if (!flags || (flags & ~(long)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
        return -EINVAL;
    if (!may_lock_memory())
        return -EPERM;
    if ((flags & MCL_CURRENT) && !all_within_limit())
        return -ENOMEM;
    space_lock_future(space_here(), (flags & MCL_FUTURE) ? how : SPACE_LOCKS_NOTHING);
    if (flags & MCL_CURRENT)
        status = space_lock_all(space_here(), true);
    if (status == ST_OK && (flags & MCL_CURRENT) && how == SPACE_LOCKS_NOW)
        populate_all();
    return errno_of(status);
}

long sys_munlockall(void)
{
    space_lock_future(space_here(), SPACE_LOCKS_NOTHING);
    return errno_of(space_lock_all(space_here(), false));
}
