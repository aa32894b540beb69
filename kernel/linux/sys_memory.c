/*
 * System calls on memory: what mmap(2) and its like check, in Linux's order, before the address space does
 * it.
 */
#include <asm-generic/resource.h>
#include <asm/mman.h>
#include <linux/membarrier.h>
#include <linux/mman.h>

#include "kernel/fs/vfs.h"
#include "kernel/klib.h"
#include "kernel/linux/fork_advice.h"
#include "kernel/linux/syscalls.h"
#include "kernel/task/task_internal.h"

static struct space *space_here(void)
{
    return process_current()->space;
}

static unsigned access_of(long protection)
{
    return ((protection & PROT_READ) ? ACCESS_READ : 0u) | ((protection & PROT_WRITE) ? ACCESS_WRITE : 0u) |
           ((protection & PROT_EXEC) ? ACCESS_EXEC : 0u);
}

/* Lengths are rounded up to pages; 0 when that wraps. */
static uint64_t pages_of(uint64_t length)
{
    return align_up(length, PAGE_SIZE);
}

/* ---------------------------------------------------------------- mmap */

static const unsigned long LEGACY_FLAGS = MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS |
                                          MAP_DENYWRITE | MAP_EXECUTABLE | MAP_GROWSDOWN | MAP_LOCKED |
                                          MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK |
                                          MAP_HUGETLB | MAP_32BIT | MAP_FIXED_NOREPLACE;

struct mapping {
    struct space_map map;
    uint64_t length; /* rounded */
    unsigned long flags;
    struct file *file; /* NULL: anonymous */
};

/* The address: free to choose, or exact and then good. */
static long check_place(struct mapping *mapping, uint64_t address)
{
    if (mapping->flags & MAP_FIXED_NOREPLACE)
        mapping->flags |= MAP_FIXED;
    if (mapping->length > SPACE_END)
        return -ENOMEM;
    if (!(mapping->flags & MAP_FIXED)) {
        address = align_down(address, PAGE_SIZE);
        if (address && address < SPACE_START)
            address = SPACE_START;
        if (address > SPACE_END - mapping->length)
            address = 0;
        mapping->map.hint = vaddr(address);
        return 0;
    }
    if (address > SPACE_END - mapping->length)
        return -ENOMEM;
    if (!is_aligned(address, PAGE_SIZE))
        return -EINVAL;
    if (address < SPACE_START)
        return -EPERM;
    mapping->map.hint = vaddr(address);
    mapping->map.flags |= (mapping->flags & MAP_FIXED_NOREPLACE) ? SPACE_NO_REPLACE : SPACE_FIXED;
    return 0;
}

static bool readable(const struct file *file)
{
    return (file->flags & O_ACCMODE) != O_WRONLY;
}

static bool writable(const struct file *file)
{
    return (file->flags & O_ACCMODE) != O_RDONLY;
}

static long check_file(struct mapping *mapping, long protection)
{
    const uint64_t PAGES_MOST = (uint64_t)INT64_MAX >> PAGE_SHIFT; /* of a file */
    const struct file *file = mapping->file;

    if (mapping->length >> PAGE_SHIFT > PAGES_MOST ||
        mapping->map.first_page > PAGES_MOST - (mapping->length >> PAGE_SHIFT))
        return -EOVERFLOW;
    switch (mapping->flags & MAP_TYPE) {
    case MAP_SHARED_VALIDATE:
        if (mapping->flags & ~(LEGACY_FLAGS | MAP_TYPE))
            return -EOPNOTSUPP;
        __attribute__((fallthrough));
    case MAP_SHARED:
        if ((protection & PROT_WRITE) && !writable(file))
            return -EACCES;
        mapping->map.flags |= SPACE_SHARED | (writable(file) ? 0u : (unsigned)SPACE_NEVER_WRITE);
        __attribute__((fallthrough));
    case MAP_PRIVATE:
        if (!readable(file))
            return -EACCES;
        if (file_is_zero_device(file)) { /* anonymous memory under another name */
            mapping->map.first_page = 0;
            return 0;
        }
        if (!file->vnode || file->vnode->type != S_IFREG || !file->vnode->object)
            return -ENODEV;
        if (mapping->flags & MAP_GROWSDOWN)
            return -EINVAL;
        mapping->map.object = file->vnode->object;
        return 0;
    default:
        return -EINVAL;
    }
}

static long check_anonymous(struct mapping *mapping)
{
    switch (mapping->flags & MAP_TYPE) {
    case MAP_SHARED:
        if (mapping->flags & MAP_GROWSDOWN)
            return -EINVAL;
        mapping->map.flags |= SPACE_SHARED;
        mapping->map.first_page = 0;
        return 0;
    case MAP_PRIVATE:
        mapping->map.first_page = 0;
        return 0;
    default:
        return -EINVAL;
    }
}

static long map(struct mapping *mapping, long address, long length, long protection)
{
    struct vaddr at;
    enum status status;
    long error;

    if (length == 0)
        return -EINVAL;
    mapping->length = pages_of((uint64_t)length);
    if (mapping->length == 0)
        return -ENOMEM;
    if (mapping->map.first_page + (mapping->length >> PAGE_SHIFT) < mapping->map.first_page)
        return -EOVERFLOW;
    error = check_place(mapping, (uint64_t)address);
    if (!error)
        error = mapping->file ? check_file(mapping, protection) : check_anonymous(mapping);
    if (error)
        return error;
    mapping->map.length_bytes = mapping->length;
    mapping->map.access = access_of(protection);
    if ((mapping->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE || (mapping->flags & MAP_LOCKED))
        mapping->map.flags |= SPACE_POPULATE;
    if (mapping->flags & MAP_GROWSDOWN)
        mapping->map.flags |= SPACE_GROWS_DOWN;
    if ((mapping->flags & (MAP_32BIT | MAP_FIXED)) == MAP_32BIT)
        mapping->map.flags |= SPACE_LOW_2G;
    if (mapping->map.flags & SPACE_FIXED)
        error =
            fork_advice_forget(process_current(), mapping->map.hint.v, mapping->map.hint.v + mapping->length);
    if (error)
        return error;
    status = space_map(space_here(), &mapping->map, &at);
    return status == ST_OK ? (long)at.v : errno_of(status);
}

long sys_mmap(long address, long length, long protection, long flags, long fd, long offset)
{
    struct mapping mapping = {.flags = (unsigned long)flags};
    long result;

    if (!is_aligned((uint64_t)offset, PAGE_SIZE))
        return -EINVAL;
    mapping.map.first_page = (uint64_t)offset >> PAGE_SHIFT;
    if (flags & MAP_ANONYMOUS) {
        if (flags & MAP_HUGETLB)
            return -ENOMEM; /* there is no pool of them; large ranges get huge pages by themselves */
        return map(&mapping, address, length, protection);
    }
    mapping.file = file_get((int)fd);
    if (!mapping.file)
        return -EBADF;
    if (mapping.file->flags & O_PATH)
        result = -EBADF;
    else if (flags & MAP_HUGETLB)
        result = -EINVAL;
    else
        result = map(&mapping, address, length, protection);
    file_unref(mapping.file);
    return result;
}

/* ---------------------------------------------------------------- ranges */

/* [*start, *start + *bytes) cut to what a program may have; false: nothing is left. */
static bool clip(uint64_t *start, uint64_t *bytes)
{
    uint64_t end = *start + *bytes;

    if (end > SPACE_END)
        end = SPACE_END;
    if (*start < SPACE_START)
        *start = SPACE_START;
    if (*start >= end)
        return false;
    *bytes = end - *start;
    return true;
}

/* Is every page of [start, end) mapped? */
static bool all_mapped(uint64_t start, uint64_t end)
{
    struct space_region region;

    while (start < end) {
        if (!space_next_region(space_here(), vaddr(start), &region) || region.start.v > start)
            return false;
        start = region.end.v;
    }
    return true;
}

long sys_munmap(long address, long length)
{
    uint64_t start = (uint64_t)address, bytes = pages_of((uint64_t)length);

    if (!is_aligned(start, PAGE_SIZE) || start > SPACE_END || (uint64_t)length > SPACE_END - start ||
        bytes == 0)
        return -EINVAL;
    if (!clip(&start, &bytes))
        return 0;
    if (fork_advice_forget(process_current(), start, start + bytes) != 0)
        return -ENOMEM;
    return errno_of(space_unmap(space_here(), vaddr(start), bytes));
}

/* PROT_GROWSDOWN: from the beginning of the stack-like region. */
static long extend_down(uint64_t *start, uint64_t end)
{
    struct space_region region;
    uint64_t first = *start;

    if (!space_next_region(space_here(), vaddr(first), &region) || region.start.v >= end)
        return -ENOMEM;
    if (!(region.flags & SPACE_GROWS_DOWN))
        return -EINVAL;
    *start = region.start.v;
    return 0;
}

static long protect(uint64_t start, uint64_t length, long protection)
{
    const long grows = protection & (PROT_GROWSDOWN | PROT_GROWSUP);
    uint64_t bytes = pages_of(length);
    long error;

    protection &= ~(long)(PROT_GROWSDOWN | PROT_GROWSUP);
    if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || !is_aligned(start, PAGE_SIZE))
        return -EINVAL;
    if (length == 0)
        return 0;
    if (start + bytes <= start)
        return -ENOMEM;
    if (protection & ~(long)(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM))
        return -EINVAL;
    if (start < SPACE_START || start >= SPACE_END || bytes > SPACE_END - start)
        return -ENOMEM;
    if (grows == PROT_GROWSUP)
        return -EINVAL; /* nothing grows upwards here */
    if (grows) {
        uint64_t end = start + bytes;

        error = extend_down(&start, end);
        if (error)
            return error;
        bytes = end - start;
    }
    return errno_of(space_protect(space_here(), vaddr(start), bytes, access_of(protection)));
}

long sys_mprotect(long address, long length, long protection)
{
    return protect((uint64_t)address, (uint64_t)length, protection);
}

long sys_pkey_mprotect(long address, long length, long protection, long key)
{
    return (int)key == -1 ? protect((uint64_t)address, (uint64_t)length, protection) : -EINVAL;
}

/* RLIMIT_DATA counts the heap. */
static bool beyond_data_limit(uint64_t wanted)
{
    uint64_t limit = process_current()->limits[RLIMIT_DATA][0];
    struct space_counts counts;

    if (limit == RLIM_INFINITY)
        return false;
    space_count(space_here(), &counts);
    return wanted > counts.break_start && wanted - counts.break_start > limit;
}

long sys_brk(long wanted)
{
    if (beyond_data_limit((uint64_t)wanted))
        wanted = 0;
    return (long)space_set_break(space_here(), vaddr((uint64_t)wanted)).v;
}

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

    if (status == ST_BEYOND_END || status == ST_IO_ERROR)
        return -EFAULT;
    if (status == ST_DENIED)
        return -EINVAL; /* the protection does not allow it */
    return errno_of(status);
}

static bool only_anonymous(uint64_t start, uint64_t end)
{
    struct space_region region;

    while (start < end && space_next_region(space_here(), vaddr(start), &region)) {
        if (region.start.v >= end)
            break;
        if (region.object)
            return false;
        start = region.end.v;
    }
    return true;
}

static long advise(uint64_t start, uint64_t bytes, enum space_advice advice)
{
    enum status status = space_advise(space_here(), vaddr(start), bytes, advice);

    return status == ST_DENIED ? -EINVAL : errno_of(status);
}

static long advise_mapped_only(uint64_t start, uint64_t bytes)
{
    return all_mapped(start, start + bytes) ? 0 : -ENOMEM;
}

static long advise_fork(uint64_t start, uint64_t bytes, enum fork_advice advice)
{
    if (advice == FORK_WIPES && !only_anonymous(start, start + bytes))
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
    case MADV_DONTNEED_LOCKED:
        return advise(start, bytes, ADVICE_DONT_NEED);
    case MADV_FREE: /* the pages may go at any time: they go now */
        return only_anonymous(start, start + bytes) ? advise(start, bytes, ADVICE_DONT_NEED) : -EINVAL;
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
    default: /* MADV_DONTDUMP, MADV_DODUMP, MADV_COLD, MADV_PAGEOUT: nothing to do */
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

/* ---------------------------------------------------------------- mremap */

static long errno_of_move(enum status status)
{
    switch (status) {
    case ST_NOT_MAPPED:
    case ST_DENIED:
        return -EFAULT;
    case ST_MAPPED:
        return -ENOMEM; /* something is in the way, and it may not move */
    default:
        return errno_of(status);
    }
}

/* The same pages a second time: of `region` from `start` on. `fixed`: at `to`. */
static enum status map_again(const struct space_region *region, uint64_t start, uint64_t bytes, uint64_t to,
                             bool fixed, struct vaddr *at)
{
    const struct space_map map = {
        .hint = vaddr(to),
        .length_bytes = bytes,
        .access = region->access,
        .flags = (region->flags & SPACE_SHARED) | (fixed ? (unsigned)SPACE_FIXED : 0u),
        .object = region->object,
        .first_page = region->object ? region->first_page + ((start - region->start.v) >> PAGE_SHIFT) : 0,
    };

    return space_map(space_here(), &map, at);
}

/* The region that holds all of [start, start + bytes), with a reference to its object. */
static bool hold_region(uint64_t start, uint64_t bytes, struct space_region *region)
{
    if (!space_next_region(space_here(), vaddr(start), region) || region->start.v > start ||
        region->end.v - start < bytes)
        return false;
    if (region->object)
        object_ref(region->object);
    return true;
}

static void drop_region(const struct space_region *region)
{
    if (region->object)
        object_unref(region->object);
}

struct move {
    uint64_t start, old_bytes, new_bytes, to;
    unsigned flags; /* MREMAP_* */
};

/* An old length of 0: a second view of a shared mapping. */
static long second_view(const struct move *move)
{
    struct space_region region;
    struct vaddr at;
    enum status status;

    if (!hold_region(move->start, PAGE_SIZE, &region))
        return -EFAULT;
    if (!(region.flags & SPACE_SHARED))
        status = ST_INVALID;
    else if (!(move->flags & MREMAP_MAYMOVE))
        status = ST_NO_MEMORY;
    else
        status = map_again(&region, move->start, move->new_bytes, move->to, move->flags & MREMAP_FIXED, &at);
    drop_region(&region);
    return status == ST_OK ? (long)at.v : errno_of(status);
}

/* The pages move; what was there before is as if it had just been mapped. */
static long move_and_keep(const struct move *move)
{
    struct space_region region;
    struct vaddr at = vaddr(move->to), old;
    enum status status = ST_OK;

    if (!hold_region(move->start, move->old_bytes, &region))
        return -EFAULT;
    if (!(move->flags & MREMAP_FIXED)) {
        const struct space_map place = {.length_bytes = move->new_bytes, .access = ACCESS_NONE};

        status = space_map(space_here(), &place, &at);
    }
    if (status == ST_OK)
        status = space_move(space_here(), vaddr(move->start), move->old_bytes, move->new_bytes,
                            SPACE_MAY_MOVE | SPACE_MOVE_FIXED, at, &at);
    if (status == ST_OK)
        status = map_again(&region, move->start, move->old_bytes, move->start, true, &old);
    drop_region(&region);
    return status == ST_OK ? (long)at.v : errno_of_move(status);
}

static long check_move(const struct move *move)
{
    const unsigned known = MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP;

    if ((move->flags & ~known) || !is_aligned(move->start, PAGE_SIZE) || move->new_bytes == 0)
        return -EINVAL;
    if ((move->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(move->flags & MREMAP_MAYMOVE))
        return -EINVAL;
    if ((move->flags & MREMAP_DONTUNMAP) && move->old_bytes != move->new_bytes)
        return -EINVAL;
    if (move->flags & MREMAP_FIXED) {
        if (!is_aligned(move->to, PAGE_SIZE) || move->new_bytes > SPACE_END ||
            move->to > SPACE_END - move->new_bytes ||
            (move->to < move->start + move->old_bytes && move->start < move->to + move->new_bytes))
            return -EINVAL;
        if (move->to < SPACE_START)
            return -EPERM;
    }
    if (move->start < SPACE_START || move->start >= SPACE_END || move->old_bytes > SPACE_END - move->start)
        return -EFAULT;
    return move->new_bytes > SPACE_END ? -ENOMEM : 0;
}

long sys_mremap(long old, long old_length, long new_length, long flags, long wanted)
{
    const struct move move = {(uint64_t)old, pages_of((uint64_t)old_length), pages_of((uint64_t)new_length),
                              (uint64_t)wanted, (unsigned)flags};
    unsigned how =
        ((flags & MREMAP_MAYMOVE) ? SPACE_MAY_MOVE : 0u) | ((flags & MREMAP_FIXED) ? SPACE_MOVE_FIXED : 0u);
    struct vaddr at;
    enum status status;
    long error = check_move(&move);

    if (error)
        return error;
    if (move.old_bytes == 0)
        return second_view(&move);
    if (fork_advice_forget(process_current(), move.start, move.start + move.old_bytes) != 0)
        return -ENOMEM;
    if (flags & MREMAP_DONTUNMAP)
        return move_and_keep(&move);
    status =
        space_move(space_here(), vaddr(move.start), move.old_bytes, move.new_bytes, how, vaddr(move.to), &at);
    return status == ST_OK ? (long)at.v : errno_of_move(status);
}

/* ---------------------------------------------------------------- locking: nothing is swapped yet */

static long lock_range(uint64_t address, uint64_t length, bool now)
{
    uint64_t start = align_down(address, PAGE_SIZE), end = pages_of(address + length);

    if (address + length < address || end < start)
        return -EINVAL;
    if (start == end)
        return 0;
    if (start < SPACE_START || end > SPACE_END || !all_mapped(start, end))
        return -ENOMEM;
    /* As far as the protection allows; what cannot be touched is locked all the same. */
    return now && populate(start, end, ACCESS_READ) == ST_NO_MEMORY ? -EAGAIN : 0;
}

long sys_mlock(long address, long length)
{
    return lock_range((uint64_t)address, (uint64_t)length, true);
}

long sys_mlock2(long address, long length, long flags)
{
    flags = (int)flags;
    if (flags & ~(long)MLOCK_ONFAULT)
        return -EINVAL;
    return lock_range((uint64_t)address, (uint64_t)length, !(flags & MLOCK_ONFAULT));
}

long sys_munlock(long address, long length)
{
    return lock_range((uint64_t)address, (uint64_t)length, false);
}

long sys_mlockall(long flags)
{
    flags = (int)flags;
    if (!flags || (flags & ~(long)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
        return -EINVAL;
    return 0;
}

long sys_munlockall(void)
{
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
