/*
 * Advisory locks: of processes on ranges (fcntl F_SETLK), of open files on ranges (F_OFD_SETLK), and of open
 * files as a whole (flock).
 *
 * A vnode has one list of them. Record locks of one owner never overlap: setting one first cuts the range out
 * of the owner's others. flock's conflict with each other only. Whoever must wait sleeps on one queue for
 * all, and looks again when any lock has gone.
 */
#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/fs/internal.h"
#include "quire/slab.h"

struct file_lock {
    struct file_lock *next;
    const void *owner; /* process, or file */
    int pid;
    bool whole; /* flock(2) */
    bool exclusive;
    uint64_t start, end; /* half-open; end UINT64_MAX: to the end, wherever that will be */
};

static struct waitq locks_gone = WAITQ_INIT(locks_gone);

static bool locks_overlap(const struct file_lock *a, const struct file_lock *b)
{
    return a->whole == b->whole && a->start < b->end && b->start < a->end;
}

static struct file_lock *locks_conflict(struct vnode *node, const struct file_lock *wanted)
{
    for (struct file_lock *lock = node->locks; lock != NULL; lock = lock->next)
        if (lock->owner != wanted->owner && locks_overlap(lock, wanted) &&
            (lock->exclusive || wanted->exclusive))
            return lock;
    return NULL;
}

/* Cuts [range->start, range->end) out of the locks of range->owner. `spare` serves for the one that may
 * become two; NULL when it has been used. */
static void locks_cut(struct vnode *node, const struct file_lock *range, struct file_lock **spare)
{
    for (struct file_lock **place = &node->locks; *place != NULL;) {
        struct file_lock *lock = *place;

        if (lock->owner != range->owner || !locks_overlap(lock, range)) {
            place = &lock->next;
            continue;
        }
        if (lock->start < range->start && lock->end > range->end) {
            struct file_lock *tail = *spare;

            *spare = NULL;
            *tail = *lock;
            tail->start = range->end;
            lock->end = range->start;
            lock->next = tail;
            return;
        }
        if (lock->start < range->start) {
            lock->end = range->start;
        } else if (lock->end > range->end) {
            lock->start = range->end;
        } else {
            *place = lock->next;
            slab_free(lock);
            continue;
        }
        place = &lock->next;
    }
}

/* Takes or (unlock) gives up; `wait` sleeps for others. */
static long locks_set(struct vnode *node, const struct file_lock *wanted, bool unlock, bool wait)
{
    struct file_lock *fresh = fs_alloc(sizeof *fresh), *spare = fs_alloc(sizeof *spare);
    long error = fresh == NULL || spare == NULL ? -ENOLCK : 0;

    while (error == 0 && !unlock && locks_conflict(node, wanted) != NULL) {
        if (!wait)
            error = -EAGAIN;
        else
            error = waitq_sleep(&locks_gone, UINT64_MAX, true);
    }
    if (error == 0) {
        locks_cut(node, wanted, &spare);
        if (!unlock) {
            *fresh = *wanted;
            fresh->next = node->locks;
            node->locks = fresh;
            fresh = NULL;
        }
        waitq_wake(&locks_gone);
    }
    slab_free(fresh);
    slab_free(spare);
    return error;
}

/* ---------------------------------------------------------------- fcntl */

static long flock_range(struct file *file, const struct flock *flock, struct file_lock *out)
{
    int64_t start = flock->l_start, end;
    struct vattr attr;

    switch (flock->l_whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        start += (int64_t)file->offset;
        break;
    case SEEK_END:
        if (file_getattr(file, &attr) != 0)
            return -EINVAL;
        start += (int64_t)attr.size;
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(start, flock->l_len, &end))
        return -EOVERFLOW;
    if (flock->l_len < 0) {
        int64_t swap = start;

        start = end;
        end = swap;
    }
    if (start < 0 || end < 0)
        return -EINVAL;
    out->start = (uint64_t)start;
    out->end = flock->l_len == 0 ? UINT64_MAX : (uint64_t)end;
    return 0;
}

static void flock_describe(struct flock *flock, const struct file_lock *lock)
{
    if (lock == NULL) {
        flock->l_type = F_UNLCK;
        return;
    }
    flock->l_type = lock->exclusive ? F_WRLCK : F_RDLCK;
    flock->l_whence = SEEK_SET;
    flock->l_start = (int64_t)lock->start;
    flock->l_len = lock->end == UINT64_MAX ? 0 : (int64_t)(lock->end - lock->start);
    flock->l_pid = lock->pid;
}

long locks_fcntl(struct file *file, int command, struct flock *flock)
{
    bool of_file = command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    struct file_lock wanted = {.exclusive = flock->l_type == F_WRLCK};
    long error;

    if (flock->l_type != F_RDLCK && flock->l_type != F_WRLCK && flock->l_type != F_UNLCK)
        return -EINVAL;
    if (of_file && flock->l_pid != 0)
        return -EINVAL;
    if (file->vnode == NULL)
        return -EBADF;
    wanted.owner = of_file ? (const void *)file : (const void *)process_current();
    wanted.pid = of_file ? -1 : process_current()->pid;
    error = flock_range(file, flock, &wanted);
    if (error != 0)
        return error;
    if (command == F_GETLK || command == F_OFD_GETLK) {
        flock_describe(flock, locks_conflict(file->vnode, &wanted));
        return 0;
    }
    if ((flock->l_type == F_RDLCK && !file_readable(file)) ||
        (flock->l_type == F_WRLCK && !file_writable(file)))
        return -EBADF;
    return locks_set(file->vnode, &wanted, flock->l_type == F_UNLCK,
                     command == F_SETLKW || command == F_OFD_SETLKW);
}

/* ---------------------------------------------------------------- flock */

long locks_flock(struct file *file, int operation)
{
    struct file_lock wanted = {.owner = file, .whole = true, .start = 0, .end = UINT64_MAX};
    int kind = operation & ~LOCK_NB;

    if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN)
        return -EINVAL;
    if (file->vnode == NULL)
        return kind == LOCK_UN ? 0 : -EBADF;
    wanted.pid = process_current()->pid;
    wanted.exclusive = kind == LOCK_EX;
    return locks_set(file->vnode, &wanted, kind == LOCK_UN, (operation & LOCK_NB) == 0);
}

/* ---------------------------------------------------------------- going away */

static void locks_drop(struct vnode *node, const void *owner)
{
    bool dropped = false;

    for (struct file_lock **place = &node->locks; *place != NULL;) {
        struct file_lock *lock = *place;

        if (lock->owner != owner) {
            place = &lock->next;
            continue;
        }
        *place = lock->next;
        slab_free(lock);
        dropped = true;
    }
    if (dropped)
        waitq_wake(&locks_gone);
}

void locks_process_closed(struct vnode *node)
{
    locks_drop(node, process_current());
}

void locks_file_closed(struct file *file)
{
    locks_drop(file->vnode, file);
}
