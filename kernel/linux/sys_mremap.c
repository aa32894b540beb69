/*
 * mremap(2): growing, shrinking and moving a mapping; keeping the old place; a second view.
 */
#include <linux/mman.h>

#include "kernel/linux/commit.h"
#include "kernel/linux/memory_args.h"
#include "kernel/linux/ranges.h"
#include "kernel/linux/syscalls.h"

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
        .flags = (region->flags & (SPACE_SHARED | SPACE_NEVER_WRITE)) | (fixed ? (unsigned)SPACE_FIXED : 0u),
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
    if (status != ST_OK)
        return errno_of(status);
    (void)shm_copied(process_current(), move->start, move->new_bytes, at.v); /* best effort: it is a count */
    return (long)at.v;
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
    if (status != ST_OK)
        return errno_of_move(status);
    (void)shm_copied(process_current(), move->start, move->old_bytes, at.v);
    return (long)at.v;
}

/* Attached segments are where they were moved to. Without memory a count of attachments is too low: the
 * segment itself is held by what is mapped. */
static void follow_attachments(const struct move *move, uint64_t to)
{
    struct process *process = process_current();
    uint64_t kept = move->new_bytes < move->old_bytes ? move->new_bytes : move->old_bytes;

    if (list_empty(&process->attachments))
        return;
    if (to != move->start)
        (void)shm_copied(process, move->start, kept, to);
    (void)shm_forget(process, to != move->start ? move->start : move->start + kept,
                     move->start + move->old_bytes);
}

/* What a locked mapping grows by is locked too. */
static bool may_grow_locked(const struct move *move)
{
    struct space_region region;

    if (move->new_bytes <= move->old_bytes || !space_has_locks(space_here()) ||
        !space_next_region(space_here(), vaddr(move->start), &region) || region.start.v > move->start ||
        !(region.flags & SPACE_LOCKED))
        return true;
    return space_may_lock(space_here(), move->new_bytes - move->old_bytes);
}

static bool may_promise_growth(const struct move *move)
{
    struct space_region region;
    uint64_t more = move->new_bytes - move->old_bytes;

    if (move->new_bytes <= move->old_bytes || !space_next_region(space_here(), vaddr(move->start), &region) ||
        region.flags & SPACE_SHARED || !(region.access & ACCESS_WRITE))
        return true;
    return may_have_data(more) && commit_allows(more);
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
    struct process *process = process_current();
    struct vaddr at;
    enum status status;
    long error = check_move(&move);

    if (error)
        return error;
    if (move.old_bytes == 0)
        return second_view(&move);
    if (!may_grow_locked(&move))
        return -EAGAIN;
    if (!may_promise_growth(&move))
        return -ENOMEM;
    if (fork_advice_forget(process, move.start, move.start + move.old_bytes) != 0 ||
        ((flags & MREMAP_FIXED) && ranges_forget(process, move.to, move.to + move.new_bytes) != 0))
        return -ENOMEM;
    if (flags & MREMAP_DONTUNMAP)
        return move_and_keep(&move);
    status =
        space_move(space_here(), vaddr(move.start), move.old_bytes, move.new_bytes, how, vaddr(move.to), &at);
    if (status != ST_OK)
        return errno_of_move(status);
    follow_attachments(&move, at.v);
    return (long)at.v;
}
