/*
 * shmget(2), shmat(2), shmdt(2), shmctl(2): the checks, in Linux's order.
 */
#include <asm/shmbuf.h>
#include <linux/ipc.h>
#include <linux/shm.h>

#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "kernel/linux/commit.h"
#include "kernel/linux/memory_args.h"
#include "kernel/linux/ranges.h"
#include "kernel/linux/segment.h"
#include "kernel/linux/syscalls.h"

static const int64_t SECOND_NS = 1000000000;

/* ---------------------------------------------------------------- shmget */

static long create(int key, uint64_t bytes, unsigned flags)
{
    struct shm_segment *segment;
    struct shm_totals totals;
    long error;

    if (bytes < SHMMIN || bytes > SHM_BYTES_MOST)
        return -EINVAL;
    shm_count(&totals);
    if (totals.pages + (pages_of(bytes) >> PAGE_SHIFT) < totals.pages || pages_of(bytes) == 0)
        return -ENOSPC;
    if (flags & SHM_HUGETLB)
        return -ENOMEM; /* there is no pool of huge pages */
    if (pages_of(bytes) > SPACE_END)
        return -ENOMEM; /* nobody could map it */
    if (!((flags & SHM_NORESERVE) && overcommit_mode() != COMMIT_NEVER) && !commit_allows(pages_of(bytes)))
        return -ENOMEM;
    error = shm_create(key, bytes, flags & 0777, &segment);
    return error ? error : segment->id;
}

long sys_shmget(long key, long bytes, long flags)
{
    const struct shm_segment *found = shm_by_key((int)key);
    unsigned wanted = (unsigned)(flags >> 6 | flags >> 3 | flags) & 7;

    if ((int)key == IPC_PRIVATE)
        return create(IPC_PRIVATE, (uint64_t)bytes, (unsigned)flags);
    if (!found)
        return (flags & IPC_CREAT) ? create((int)key, (uint64_t)bytes, (unsigned)flags) : -ENOENT;
    if ((flags & IPC_CREAT) && (flags & IPC_EXCL))
        return -EEXIST;
    if (found->bytes < (uint64_t)bytes)
        return -EINVAL;
    return shm_permission(found, wanted) ? -EACCES : found->id;
}

/* ---------------------------------------------------------------- shmat, shmdt */

static bool anything_mapped(uint64_t start, uint64_t end)
{
    struct space_region region;

    return space_next_region(space_here(), vaddr(start), &region) && region.start.v < end;
}

/* Where it goes: map->hint and map->flags. */
static long attach_place(struct space_map *map, uint64_t address, long flags)
{
    if (!address)
        return (flags & SHM_REMAP) ? -EINVAL : 0;
    if (!is_aligned(address, PAGE_SIZE)) {
        if (!(flags & SHM_RND))
            return -EINVAL;
        address = align_down(address, PAGE_SIZE);
        if (!address && (flags & SHM_REMAP))
            return -EINVAL;
    }
    map->hint = vaddr(address);
    map->flags |= SPACE_FIXED;
    return 0;
}

static long attach(struct shm_segment *segment, struct space_map *map, long flags)
{
    struct process *process = process_current();
    uint64_t bytes = align_up(segment->bytes, PAGE_SIZE), start = map->hint.v;
    struct vaddr at;
    enum status status;
    long error;

    if (map->flags & SPACE_FIXED) {
        if (start + bytes < start)
            return -EINVAL;
        if (bytes > SPACE_END || start > SPACE_END - bytes)
            return -ENOMEM;
        if (!(flags & SHM_REMAP) && anything_mapped(start, start + bytes))
            return -EINVAL;
        if (start < SPACE_START)
            return -EPERM;
        error = ranges_forget(process, start, start + bytes);
        if (error)
            return error;
    }
    if (!may_lock_future(bytes))
        return -EAGAIN;
    map->length_bytes = bytes;
    map->object = segment->object;
    status = space_map(process->space, map, &at);
    if (status != ST_OK)
        return errno_of(status);
    error = shm_attached(segment, at.v);
    if (error)
        (void)!space_unmap(process->space, at, bytes);
    return error ? error : (long)at.v;
}

long sys_shmat(long id, long address, long flags)
{
    struct space_map map = {.access = ACCESS_READ, .flags = SPACE_SHARED};
    struct shm_segment *segment;
    unsigned wanted = 4;
    long error;

    if ((int)id < 0)
        return -EINVAL;
    error = attach_place(&map, (uint64_t)address, flags);
    if (error)
        return error;
    if (flags & SHM_RDONLY) {
        map.flags |= SPACE_NEVER_WRITE;
    } else {
        map.access |= ACCESS_WRITE;
        wanted |= 2;
    }
    if (flags & SHM_EXEC) {
        map.access |= ACCESS_EXEC;
        wanted |= 1;
    }
    segment = shm_by_id((int)id);
    if (!segment)
        return -EINVAL;
    error = shm_permission(segment, wanted);
    if (error)
        return error;
    segment->attaches++; /* mapping may sleep */
    error = attach(segment, &map, flags);
    segment->attaches--;
    if (error < 0 && (segment->mode & SHM_DEST))
        shm_remove(segment); /* if it was removed meanwhile */
    return error;
}

long sys_shmdt(long address)
{
    struct process *process = process_current();
    uint64_t start, end;
    bool any = false;

    if (!is_aligned((uint64_t)address, PAGE_SIZE))
        return -EINVAL;
    while (shm_find_attached(process, (uint64_t)address, &start, &end)) {
        enum status status = space_unmap(process->space, vaddr(start), end - start);

        if (status != ST_OK)
            return errno_of(status);
        (void)ranges_forget(process, start, end); /* a whole one: needs no memory */
        any = true;
    }
    return any ? 0 : -EINVAL;
}

/* ---------------------------------------------------------------- shmctl */

static long put(uint64_t to, const void *from, size_t bytes)
{
    return user_write(to, from, bytes) ? -EFAULT : 0;
}

static long limits(uint64_t to)
{
    const struct shminfo64 info = {.shmmax = SHM_BYTES_MOST,
                                   .shmmin = SHMMIN,
                                   .shmmni = SHM_SEGMENTS_MOST,
                                   .shmseg = SHM_SEGMENTS_MOST,
                                   .shmall = SHM_BYTES_MOST};
    int highest = shm_index_highest();

    return put(to, &info, sizeof(info)) ? -EFAULT : highest < 0 ? 0 : highest;
}

static long usage(uint64_t to)
{
    struct shm_totals totals;
    struct shm_info info = {0};
    int highest = shm_index_highest();

    shm_count(&totals);
    info.used_ids = (int)totals.segments;
    info.shm_tot = totals.pages;
    info.shm_rss = totals.resident_pages;
    return put(to, &info, sizeof(info)) ? -EFAULT : highest < 0 ? 0 : highest;
}

static long describe(const struct shm_segment *segment, uint64_t to)
{
    const struct shmid64_ds out = {
        .shm_perm = {.key = segment->key,
                     .uid = segment->uid,
                     .gid = segment->gid,
                     .cuid = segment->creator_uid,
                     .cgid = segment->creator_gid,
                     .mode = segment->mode,
                     .seq = (unsigned short)(segment->id >> SHM_INDEX_BITS)},
        .shm_segsz = segment->bytes,
        .shm_atime = segment->attach_ns / SECOND_NS,
        .shm_dtime = segment->detach_ns / SECOND_NS,
        .shm_ctime = segment->change_ns / SECOND_NS,
        .shm_cpid = segment->creator_pid,
        .shm_lpid = segment->last_pid,
        .shm_nattch = segment->attaches,
    };

    return put(to, &out, sizeof(out));
}

static bool may_control(const struct shm_segment *segment)
{
    const struct process *process = process_current();
    uint32_t uid = process->uid[CREDENTIAL_EFFECTIVE];

    return uid == segment->uid || uid == segment->creator_uid || process_may(process, CAP_SYS_ADMIN);
}

static long change(struct shm_segment *segment, uint64_t from)
{
    struct shmid64_ds in;

    if (user_read(&in, from, sizeof(in)) != 0)
        return -EFAULT;
    if (!may_control(segment))
        return -EPERM;
    segment->uid = in.shm_perm.uid;
    segment->gid = in.shm_perm.gid;
    segment->mode = (segment->mode & ~0777u) | (in.shm_perm.mode & 0777);
    segment->change_ns = fs_now_ns();
    return 0;
}

static long lock_segment(struct shm_segment *segment, bool lock)
{
    const struct process *process = process_current();
    uint32_t uid = process->uid[CREDENTIAL_EFFECTIVE];

    if (!process_may(process, CAP_IPC_LOCK)) {
        if (uid != segment->uid && uid != segment->creator_uid)
            return -EPERM;
        if (lock && !process->limits[RLIMIT_MEMLOCK][0])
            return -EPERM;
    }
    object_set_locked(segment->object, lock);
    segment->mode = lock ? segment->mode | SHM_LOCKED : segment->mode & ~(unsigned)SHM_LOCKED;
    return 0;
}

long sys_shmctl(long id, long command, long argument)
{
    struct shm_segment *segment;
    uint64_t buffer = (uint64_t)argument;

    if ((int)command < 0 || (int)id < 0)
        return -EINVAL;
    switch ((int)command) {
    case IPC_INFO:
        return limits(buffer);
    case SHM_INFO:
        return usage(buffer);
    case SHM_STAT:
    case SHM_STAT_ANY:
        segment = shm_by_index((int)id & ((1 << SHM_INDEX_BITS) - 1));
        break;
    default:
        segment = shm_by_id((int)id);
    }
    if (!segment)
        return -EINVAL;
    switch ((int)command) {
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY:
        if ((int)command != SHM_STAT_ANY && shm_permission(segment, 4))
            return -EACCES;
        if (describe(segment, buffer))
            return -EFAULT;
        return (int)command == IPC_STAT ? 0 : segment->id;
    case IPC_SET:
        return change(segment, buffer);
    case IPC_RMID:
        if (!may_control(segment))
            return -EPERM;
        shm_remove(segment);
        return 0;
    case SHM_LOCK:
        return lock_segment(segment, true);
    case SHM_UNLOCK:
        return lock_segment(segment, false);
    default:
        return -EINVAL;
    }
}
