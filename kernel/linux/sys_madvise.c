/*
 * System calls that advise about memory, look at it, write it back.
 */
#include <asm/mman.h>
#include <linux/membarrier.h>
#include <linux/mman.h>
#include <linux/uio.h>

#include "kernel/fs/vfs.h"
#include "kernel/linux/fork_advice.h"
#include "kernel/linux/memory_args.h"
#include "kernel/linux/syscalls.h"
#include "quire/watch.h"

/* ---------------------------------------------------------------- advice */

/* Make every page of the range present: 0, or the first failure. */
static enum status populate(uint64_t start, uint64_t end, enum access access)
{
    for (; start < end; start += PAGE_SIZE) {
        enum status status = space_fault(space_here(), vaddr(start), access);

        if (status != ST_OK)
            return status;
        if (signal_pending())
            return ST_INTERRUPTED;
    }
    return ST_OK;
}

static long advise_populate(uint64_t start, uint64_t bytes, enum access access)
{
    enum status status = populate(start, start + bytes, access);

    space_populated(space_here(), start, start + bytes);
    if (status == ST_BEYOND_END || status == ST_IO_ERROR || status == ST_NO_SPACE)
        return -EFAULT;
    if (status == ST_DENIED)
        return -EINVAL; /* the protection does not allow it */
    return errno_of(status);
}

/* May this be done with the pages of a region? */
typedef bool region_rule(const struct space_region *region);

static bool is_unlocked(const struct space_region *region)
{
    return !(region->flags & SPACE_LOCKED);
}

static bool is_private_anonymous(const struct space_region *region)
{
    return !region->object;
}

static bool can_be_freed(const struct space_region *region)
{
    return is_private_anonymous(region) && is_unlocked(region);
}

/* Where in the range the first region begins that the rule does not allow; the end, when it allows all. */
static uint64_t first_refused(struct space *space, uint64_t start, uint64_t end, region_rule *rule)
{
    struct space_region region;

    while (start < end && space_next_region(space, vaddr(start), &region) && region.start.v < end) {
        if (!rule(&region))
            return region.start.v > start ? region.start.v : start;
        start = region.end.v;
    }
    return end;
}

static long advise(uint64_t start, uint64_t bytes, enum space_advice advice)
{
    enum status status;

    if (advice == ADVICE_DONT_NEED)
        resident_shrinks(process_current(), bytes);
    status = space_advise(space_here(), vaddr(start), bytes, advice);

    return status == ST_DENIED ? -EINVAL : errno_of(status);
}

/* As far as the rule allows; -EINVAL when that is not all. */
static long advise_where(uint64_t start, uint64_t bytes, enum space_advice advice, region_rule *rule)
{
    uint64_t stop = first_refused(space_here(), start, start + bytes, rule);
    long error = stop == start ? 0 : advise(start, stop - start, advice);

    return stop == start + bytes || (error && error != -ENOMEM) ? error : -EINVAL;
}

static long advise_mapped_only(uint64_t start, uint64_t bytes)
{
    return all_mapped(start, start + bytes) ? 0 : -ENOMEM;
}

/* Pages that will not be needed soon count as not used, or go now. */
static long advise_to_go(struct space *space, uint64_t start, uint64_t bytes, bool now)
{
    uint64_t stop = first_refused(space, start, start + bytes, is_unlocked);

    if (now && stop > start)
        space_page_out(space, vaddr(start), stop - start);
    else if (stop > start)
        space_forget_references(space, vaddr(start), vaddr(stop));
    if (stop != start + bytes)
        return -EINVAL;
    return all_mapped_in(space, start, stop) ? 0 : -ENOMEM;
}

static long advise_fork(uint64_t start, uint64_t bytes, enum fork_advice advice)
{
    if (advice == FORK_WIPES &&
        first_refused(space_here(), start, start + bytes, is_private_anonymous) != start + bytes)
        return -EINVAL;
    if (fork_advice_set(process_current(), start, start + bytes, advice) != 0)
        return -ENOMEM;
    return advise_mapped_only(start, bytes);
}

/* One known piece of advice on a range that is not empty. -EINVAL for what cannot be done. */
static long advise_range(uint64_t start, uint64_t bytes, int advice)
{
    switch (advice) {
    case MADV_NORMAL:
        return advise(start, bytes, ADVICE_NORMAL);
    case MADV_RANDOM:
        return advise(start, bytes, ADVICE_RANDOM);
    case MADV_SEQUENTIAL:
        return advise(start, bytes, ADVICE_SEQUENTIAL);
    case MADV_WILLNEED:
        return advise(start, bytes, ADVICE_WILL_NEED);
    case MADV_DONTNEED:
        return advise_where(start, bytes, ADVICE_DONT_NEED, is_unlocked);
    case MADV_DONTNEED_LOCKED:
        return advise(start, bytes, ADVICE_DONT_NEED);
    case MADV_FREE:
        return advise_where(start, bytes, ADVICE_FREE, can_be_freed);
    case MADV_COLD:
    case MADV_PAGEOUT:
        return advise_to_go(space_here(), start, bytes, advice == MADV_PAGEOUT);
    case MADV_HUGEPAGE:
        return advise(start, bytes, ADVICE_HUGE);
    case MADV_NOHUGEPAGE:
        return advise(start, bytes, ADVICE_NO_HUGE);
    case MADV_DONTFORK:
        return advise_fork(start, bytes, FORK_DROPS);
    case MADV_WIPEONFORK:
        return advise_fork(start, bytes, FORK_WIPES);
    case MADV_DOFORK:
    case MADV_KEEPONFORK:
        return advise_fork(start, bytes, FORK_COPIES);
    case MADV_POPULATE_READ:
        return advise_populate(start, bytes, ACCESS_READ);
    case MADV_POPULATE_WRITE:
        return advise_populate(start, bytes, ACCESS_WRITE);
    default: /* MADV_DONTDUMP, MADV_DODUMP: nothing to do */
        return advise_mapped_only(start, bytes);
    }
}

static bool is_known_advice(int advice)
{
    switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return true;
    default:
        return false;
    }
}

long sys_madvise(long address, long length, long advice)
{
    uint64_t start = (uint64_t)address, bytes = pages_of((uint64_t)length);

    if (!is_known_advice((int)advice) || !is_aligned(start, PAGE_SIZE))
        return -EINVAL;
    if ((length && !bytes) || start + bytes < start)
        return -EINVAL;
    if (bytes == 0)
        return 0;
    if (start < SPACE_START || start >= SPACE_END || bytes > SPACE_END - start)
        return -ENOMEM;
    return advise_range(start, bytes, (int)advice);
}

/* ---------------------------------------------------------------- another process's memory */

/* Looking at it is not enough: it is made slower. */
static long may_advise(const struct process *other)
{
    if (other == process_current())
        return 0;
    if (!process_may_reach(process_current(), other) || !process_may(process_current(), CAP_SYS_NICE))
        return -EPERM;
    return 0;
}

static long advise_other(struct space *space, const struct iovec *piece, int advice)
{
    uint64_t start = (uint64_t)piece->iov_base, bytes = pages_of(piece->iov_len);

    if (!is_aligned(start, PAGE_SIZE) || (piece->iov_len && !bytes) || start + bytes < start)
        return -EINVAL;
    if (bytes == 0)
        return 0;
    if (start < SPACE_START || start >= SPACE_END || bytes > SPACE_END - start)
        return -ENOMEM;
    if (advice == MADV_WILLNEED)
        return errno_of(space_advise(space, vaddr(start), bytes, ADVICE_WILL_NEED));
    return advise_to_go(space, start, bytes, advice == MADV_PAGEOUT);
}

/* The bytes of the pieces before the first that failed. */
static long advise_pieces(struct space *space, uint64_t from, uint64_t count, int advice)
{
    long done = 0, error = 0;

    for (uint64_t i = 0; i < count && !error; i++) {
        struct iovec piece;

        if (user_read(&piece, from + i * sizeof(piece), sizeof(piece)) != 0)
            error = -EFAULT;
        else
            error = advise_other(space, &piece, advice);
        if (!error)
            done += (long)piece.iov_len;
    }
    return done ? done : error;
}

long sys_process_madvise(long fd, long pieces, long count, long advice, long flags)
{
    enum { PIECES_MOST = 1024 }; /* UIO_MAXIOV */
    struct file *file;
    struct process *process;
    struct space *space;
    long result;

    if ((unsigned)flags || (uint64_t)count > PIECES_MOST)
        return -EINVAL;
    file = file_get((int)fd);
    if (!file)
        return -EBADF;
    result = pidfd_process(file, &process);
    file_unref(file);
    if (result)
        return result;
    if ((int)advice != MADV_COLD && (int)advice != MADV_PAGEOUT && (int)advice != MADV_WILLNEED)
        return -EINVAL;
    result = may_advise(process);
    if (result)
        return result;
    space = process->space;
    space_ref(space);
    result = advise_pieces(space, (uint64_t)pieces, (uint64_t)count, (int)advice);
    space_unref(space);
    return result;
}

long sys_msync(long address, long length, long flags)
{
    uint64_t start = (uint64_t)address, bytes = pages_of((uint64_t)length);

    flags = (int)flags;
    if ((flags & ~(long)(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || !is_aligned(start, PAGE_SIZE) ||
        (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
        return -EINVAL;
    if ((length && !bytes) || start + bytes < start)
        return -ENOMEM;
    if (bytes == 0)
        return 0;
    if (start < SPACE_START || start >= SPACE_END || bytes > SPACE_END - start)
        return -ENOMEM;
    if ((flags & MS_INVALIDATE) &&
        first_refused(space_here(), start, start + bytes, is_unlocked) != start + bytes)
        return -EBUSY;
    return errno_of(space_sync(space_here(), vaddr(start), bytes, flags & MS_SYNC));
}

long sys_mincore(long address, long length, long vector)
{
    enum { PIECE_PAGES = 1024 };
    uint64_t start = (uint64_t)address, bytes = pages_of((uint64_t)length), to = (uint64_t)vector;
    uint8_t piece[PIECE_PAGES];

    if (!is_aligned(start, PAGE_SIZE))
        return -EINVAL;
    if ((length && !bytes) || start > SPACE_END || bytes > SPACE_END - start)
        return -ENOMEM;
    if (to >= SPACE_END || bytes >> PAGE_SHIFT > SPACE_END - to)
        return -EFAULT;
    if (bytes && start < SPACE_START)
        return -ENOMEM;
    while (bytes) {
        uint64_t now = bytes < PIECE_PAGES * PAGE_SIZE ? bytes : PIECE_PAGES * PAGE_SIZE;
        enum status status = space_incore(space_here(), vaddr(start), now, piece);

        if (status != ST_OK)
            return errno_of(status);
        if (user_write(to, piece, now >> PAGE_SHIFT) != 0)
            return -EFAULT;
        start += now;
        to += now >> PAGE_SHIFT;
        bytes -= now;
    }
    return 0;
}

/* One CPU: every thread sees every other one's writes in order. */
long sys_membarrier(long command, long flags, long cpu)
{
    enum {
        COMMANDS = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
                   MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |
                   MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED
    };

    if ((int)flags)
        return -EINVAL;
    if ((int)command == MEMBARRIER_CMD_QUERY)
        return COMMANDS;
    return ((int)command & COMMANDS) && __builtin_popcount((unsigned)command) == 1 ? 0 : -EINVAL;
}
