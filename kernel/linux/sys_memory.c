/*
 * System calls on memory: what mmap(2) and its like check, in Linux's order, before the address space does
 * it.
 */
#include <asm-generic/resource.h>
#include <asm/mman.h>
#include <linux/mman.h>

#include "kernel/fs/vfs.h"
#include "kernel/klib.h"
#include "kernel/linux/commit.h"
#include "kernel/linux/memory_args.h"
#include "kernel/linux/ranges.h"
#include "kernel/linux/syscalls.h"
#include "kernel/task/task_internal.h"

static unsigned access_of(long protection)
{
    return ((protection & PROT_READ) ? ACCESS_READ : 0u) | ((protection & PROT_WRITE) ? ACCESS_WRITE : 0u) |
           ((protection & PROT_EXEC) ? ACCESS_EXEC : 0u);
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

/* MAP_LOCKED, and what mlockall has said of future mappings. */
static long check_locks(const struct mapping *mapping)
{
    if (!(mapping->flags & MAP_LOCKED))
        return may_lock_future(mapping->length) ? 0 : -EAGAIN;
    if (!may_lock_memory())
        return -EPERM;
    return space_may_lock(space_here(), mapping->length) ? 0 : -EAGAIN;
}

static bool readable(const struct file *file)
{
    return (file->flags & O_ACCMODE) != O_WRONLY;
}

static bool writable(const struct file *file)
{
    return (file->flags & O_ACCMODE) != O_RDONLY;
}

/* Against writing. */
static bool is_sealed(const struct file *file)
{
    return file->vnode && file->vnode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
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
        if ((protection & PROT_WRITE) && is_sealed(file))
            return -EPERM;
        mapping->map.flags |=
            SPACE_SHARED | (writable(file) && !is_sealed(file) ? 0u : (unsigned)SPACE_NEVER_WRITE);
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

/* RLIMIT_DATA and overcommit: private memory that may be written, and shared memory of no file. */
static bool may_promise(const struct mapping *mapping)
{
    bool shared = mapping->map.flags & SPACE_SHARED, writable = mapping->map.access & ACCESS_WRITE;

    if (shared ? mapping->map.object != NULL : !writable)
        return true;
    if (!shared && !(mapping->map.flags & SPACE_GROWS_DOWN) && !may_have_data(mapping->length))
        return false;
    return ((mapping->flags & MAP_NORESERVE) && overcommit_mode() != COMMIT_NEVER) ||
           commit_allows(mapping->length);
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
        error = check_locks(mapping);
    if (!error)
        error = mapping->file ? check_file(mapping, protection) : check_anonymous(mapping);
    if (error)
        return error;
    mapping->map.length_bytes = mapping->length;
    mapping->map.access = access_of(protection);
    if ((mapping->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE)
        mapping->map.flags |= SPACE_POPULATE;
    if (mapping->flags & MAP_LOCKED)
        mapping->map.flags |= SPACE_LOCKED | SPACE_POPULATE;
    if (mapping->flags & MAP_GROWSDOWN)
        mapping->map.flags |= SPACE_GROWS_DOWN;
    if ((mapping->flags & (MAP_32BIT | MAP_FIXED)) == MAP_32BIT)
        mapping->map.flags |= SPACE_LOW_2G;
    if (!may_promise(mapping))
        return -ENOMEM;
    if (mapping->map.flags & SPACE_FIXED)
        error = ranges_forget(process_current(), mapping->map.hint.v, mapping->map.hint.v + mapping->length);
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

long sys_munmap(long address, long length)
{
    uint64_t start = (uint64_t)address, bytes = pages_of((uint64_t)length);

    if (!is_aligned(start, PAGE_SIZE) || start > SPACE_END || (uint64_t)length > SPACE_END - start ||
        bytes == 0)
        return -EINVAL;
    if (!clip(&start, &bytes))
        return 0;
    if (ranges_forget(process_current(), start, start + bytes) != 0)
        return -ENOMEM;
    resident_shrinks(process_current(), bytes);
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

/* Private memory that becomes writable is data from now on, and promised. What was mapped without a
 * reservation is not known to be so any more: only COMMIT_NEVER asks. */
static bool may_become_data(uint64_t start, uint64_t end)
{
    bool limited = process_current()->limits[RLIMIT_DATA][0] != RLIM_INFINITY;
    struct space_region region;
    uint64_t bytes = 0;

    if (!limited && overcommit_mode() != COMMIT_NEVER)
        return true;
    for (uint64_t at = start; at < end && space_next_region(space_here(), vaddr(at), &region);
         at = region.end.v) {
        uint64_t from = region.start.v > at ? region.start.v : at,
                 stop = region.end.v < end ? region.end.v : end;

        if (!(region.flags & SPACE_SHARED) && !(region.access & ACCESS_WRITE) && from < stop)
            bytes += stop - from;
    }
    return !bytes || (may_have_data(bytes) && (overcommit_mode() != COMMIT_NEVER || commit_allows(bytes)));
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
    if ((protection & PROT_WRITE) && !may_become_data(start, start + bytes))
        return -ENOMEM;
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

/* RLIMIT_DATA counts the heap alone too. */
static bool beyond_data_limit(uint64_t wanted)
{
    uint64_t limit = process_current()->limits[RLIMIT_DATA][0];
    struct space_counts counts;

    if (limit == RLIM_INFINITY)
        return false;
    space_count(space_here(), &counts);
    return wanted > counts.break_start && wanted - counts.break_start > limit;
}

/* Where what is mapped from now on is locked, the heap is too. */
static bool beyond_lock_limit(uint64_t wanted)
{
    uint64_t now;

    if (space_locks_future(space_here()) == SPACE_LOCKS_NOTHING)
        return false;
    now = space_set_break(space_here(), vaddr(0)).v;
    return wanted > now && !may_lock_future(align_up(wanted, PAGE_SIZE) - align_up(now, PAGE_SIZE));
}

/* What the heap would grow by is data, and promised. */
static bool may_grow_heap(uint64_t now, uint64_t wanted)
{
    uint64_t end = align_up(now, PAGE_SIZE), bytes = align_up(wanted, PAGE_SIZE) - end;

    return wanted <= end || (may_have_data(bytes) && commit_allows(bytes));
}

long sys_brk(long wanted)
{
    uint64_t now = space_set_break(space_here(), vaddr(0)).v;

    if (wanted == 0 || beyond_data_limit((uint64_t)wanted) || beyond_lock_limit((uint64_t)wanted) ||
        !may_grow_heap(now, (uint64_t)wanted))
        return (long)now;
    if ((uint64_t)wanted < now)
        resident_shrinks(process_current(), now - (uint64_t)wanted);
    return (long)space_set_break(space_here(), vaddr((uint64_t)wanted)).v;
}
