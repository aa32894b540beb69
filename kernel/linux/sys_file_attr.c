/*
 * System calls on attributes: stat and its kin, chmod, chown, times, access, statfs.
 */
#include <asm/statfs.h>
#include <linux/magic.h>
#include <linux/time_types.h>
#include <linux/utime.h>

#include "kernel/klib.h"
#include "kernel/linux/file_args.h"

static const int64_t SECOND_NS = 1000000000;

/* Special values of tv_nsec, utimensat(2): the headers for programs have them, those of the kernel have not.
 */
enum { UTIME_NOW = (1 << 30) - 1, UTIME_OMIT = (1 << 30) - 2 };

/* ---------------------------------------------------------------- stat */

static void stat_fill(struct stat *stat, const struct vattr *attr)
{
    memset(stat, 0, sizeof *stat);
    stat->st_dev = attr->dev;
    stat->st_ino = attr->ino;
    stat->st_nlink = attr->nlink;
    stat->st_mode = attr->mode;
    stat->st_uid = attr->uid;
    stat->st_gid = attr->gid;
    stat->st_rdev = attr->rdev;
    stat->st_size = (long)attr->size;
    stat->st_blksize = PAGE_SIZE;
    stat->st_blocks = (long)attr->blocks;
    stat->st_atime = (uint64_t)(attr->atime_ns / SECOND_NS);
    stat->st_atime_nsec = (uint64_t)(attr->atime_ns % SECOND_NS);
    stat->st_mtime = (uint64_t)(attr->mtime_ns / SECOND_NS);
    stat->st_mtime_nsec = (uint64_t)(attr->mtime_ns % SECOND_NS);
    stat->st_ctime = (uint64_t)(attr->ctime_ns / SECOND_NS);
    stat->st_ctime_nsec = (uint64_t)(attr->ctime_ns % SECOND_NS);
}

static long stat_target(struct target *target, uint64_t out)
{
    struct vattr attr;
    struct stat stat;
    long result = target_getattr(target, &attr);

    if (result == 0) {
        stat_fill(&stat, &attr);
        result = user_write(out, &stat, sizeof stat);
    }
    target_end(target);
    return result;
}

long sys_newfstatat(int dir, uint64_t path, uint64_t out, int flags)
{
    struct target target;
    long result;

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    result = target_at(&target, dir, path, flags);
    return result != 0 ? result : stat_target(&target, out);
}

long sys_stat(uint64_t path, uint64_t out)
{
    return sys_newfstatat(AT_FDCWD, path, out, 0);
}

long sys_lstat(uint64_t path, uint64_t out)
{
    return sys_newfstatat(AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW);
}

long sys_fstat(int fd, uint64_t out)
{
    struct target target;
    long result = target_fd(&target, fd);

    return result != 0 ? result : stat_target(&target, out);
}

static struct statx_timestamp statx_time(int64_t ns)
{
    return (struct statx_timestamp){.tv_sec = ns / SECOND_NS, .tv_nsec = (uint32_t)(ns % SECOND_NS)};
}

static uint32_t dev_major(uint64_t dev)
{
    return (uint32_t)(dev >> 8 & 0xfff);
}

static uint32_t dev_minor(uint64_t dev)
{
    return (uint32_t)((dev & 0xff) | (dev >> 12 & 0xfff00));
}

static void statx_fill(struct statx *statx, const struct vattr *attr)
{
    memset(statx, 0, sizeof *statx);
    statx->stx_mask = STATX_BASIC_STATS;
    statx->stx_blksize = PAGE_SIZE;
    statx->stx_nlink = (uint32_t)attr->nlink;
    statx->stx_uid = attr->uid;
    statx->stx_gid = attr->gid;
    statx->stx_mode = (uint16_t)attr->mode;
    statx->stx_ino = attr->ino;
    statx->stx_size = attr->size;
    statx->stx_blocks = attr->blocks;
    statx->stx_atime = statx_time(attr->atime_ns);
    statx->stx_mtime = statx_time(attr->mtime_ns);
    statx->stx_ctime = statx_time(attr->ctime_ns);
    statx->stx_rdev_major = dev_major(attr->rdev);
    statx->stx_rdev_minor = dev_minor(attr->rdev);
    statx->stx_dev_major = dev_major(attr->dev);
    statx->stx_dev_minor = dev_minor(attr->dev);
}

long sys_statx(int dir, uint64_t path, int flags, unsigned mask, uint64_t out)
{
    struct target target;
    struct vattr attr;
    struct statx statx;
    long result;

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)) != 0 ||
        (mask & STATX__RESERVED) != 0 || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
        return -EINVAL;
    result = target_at(&target, dir, path, flags);
    if (result != 0)
        return result;
    result = target_getattr(&target, &attr);
    if (result == 0) {
        statx_fill(&statx, &attr);
        result = user_write(out, &statx, sizeof statx);
    }
    target_end(&target);
    return result;
}

/* ---------------------------------------------------------------- access */

long sys_faccessat2(int dir, uint64_t path, int mode, int flags)
{
    struct target target;
    long result;

    if ((mode & ~7) != 0 || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    result = target_at(&target, dir, path, flags);
    if (result != 0)
        return result;
    if (mode != 0 && target.node != NULL)
        result = (flags & AT_EACCESS) != 0 ? vnode_permission(target.node, (unsigned)mode)
                                           : vnode_permission_real(target.node, (unsigned)mode);
    target_end(&target);
    return result;
}

long sys_faccessat(int dir, uint64_t path, int mode)
{
    return sys_faccessat2(dir, path, mode, 0);
}

long sys_access(uint64_t path, int mode)
{
    return sys_faccessat2(AT_FDCWD, path, mode, 0);
}

/* ---------------------------------------------------------------- changing */

static long change(struct target *target, const struct vattr *attr, unsigned which)
{
    long result = -EINVAL;

    if (target->file != NULL && (target->file->flags & O_PATH) != 0)
        result = -EBADF;
    else if (target->node != NULL)
        result = vnode_setattr(target->node, attr, which);
    target_end(target);
    return result;
}

static long change_mode(struct target *target, unsigned mode)
{
    struct vattr attr = {.mode = mode & 07777};
    long result = target->node != NULL ? vnode_owned(target->node) : 0;

    if (result == 0 && target->node != NULL && target->node->type == S_IFLNK)
        result = -EOPNOTSUPP;
    if (result != 0) {
        target_end(target);
        return result;
    }
    return change(target, &attr, VATTR_MODE);
}

long sys_fchmodat(int dir, uint64_t path, unsigned mode)
{
    struct target target;
    long result = target_at(&target, dir, path, 0);

    return result != 0 ? result : change_mode(&target, mode);
}

long sys_chmod(uint64_t path, unsigned mode)
{
    return sys_fchmodat(AT_FDCWD, path, mode);
}

long sys_fchmod(int fd, unsigned mode)
{
    struct target target;
    long result = target_fd(&target, fd);

    return result != 0 ? result : change_mode(&target, mode);
}

static long change_owner(struct target *target, unsigned uid, unsigned gid)
{
    struct vattr attr = {.uid = uid, .gid = gid}, old;
    unsigned which = (uid != UINT32_MAX ? VATTR_UID : 0u) | (gid != UINT32_MAX ? VATTR_GID : 0u);
    long result = process_is_root() ? 0 : -EPERM;

    if (result == 0)
        result = target_getattr(target, &old);
    if (result != 0) {
        target_end(target);
        return result;
    }
    if ((old.mode & S_IFMT) == S_IFREG &&
        (old.mode & (S_ISUID | S_ISGID)) != 0) { /* chown(2) takes them off */
        attr.mode = old.mode & ~(unsigned)(S_ISUID | ((old.mode & S_IXGRP) != 0 ? S_ISGID : 0));
        which |= VATTR_MODE;
    }
    return change(target, &attr, which);
}

long sys_fchownat(int dir, uint64_t path, unsigned uid, unsigned gid, int flags)
{
    struct target target;
    long result;

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    result = target_at(&target, dir, path, flags);
    return result != 0 ? result : change_owner(&target, uid, gid);
}

long sys_chown(uint64_t path, unsigned uid, unsigned gid)
{
    return sys_fchownat(AT_FDCWD, path, uid, gid, 0);
}

long sys_lchown(uint64_t path, unsigned uid, unsigned gid)
{
    return sys_fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

long sys_fchown(int fd, unsigned uid, unsigned gid)
{
    struct target target;
    long result = target_fd(&target, fd);

    return result != 0 ? result : change_owner(&target, uid, gid);
}

/* ---------------------------------------------------------------- times */

/* What the times shall be: nanoseconds, or one of utimensat's special values in `special`. */
struct times {
    int64_t ns[2]; /* access, modification */
    bool omit[2];
};

static void times_now(struct times *times)
{
    times->ns[0] = times->ns[1] = fs_now_ns();
    times->omit[0] = times->omit[1] = false;
}

static int times_from_timespec(struct times *times, uint64_t argument)
{
    struct __kernel_timespec specs[2];

    times_now(times);
    if (argument == 0)
        return 0;
    if (user_read(specs, argument, sizeof specs) != 0)
        return -EFAULT;
    for (int i = 0; i < 2; i++) {
        times->omit[i] = specs[i].tv_nsec == UTIME_OMIT;
        if (specs[i].tv_nsec == UTIME_NOW || specs[i].tv_nsec == UTIME_OMIT)
            continue;
        if (specs[i].tv_nsec < 0 || specs[i].tv_nsec >= SECOND_NS)
            return -EINVAL;
        times->ns[i] = specs[i].tv_sec * SECOND_NS + specs[i].tv_nsec;
    }
    return 0;
}

static int times_from_timeval(struct times *times, uint64_t argument)
{
    struct __kernel_old_timeval values[2];

    times_now(times);
    if (argument == 0)
        return 0;
    if (user_read(values, argument, sizeof values) != 0)
        return -EFAULT;
    for (int i = 0; i < 2; i++) {
        if (values[i].tv_usec < 0 || values[i].tv_usec >= 1000000)
            return -EINVAL;
        times->ns[i] = values[i].tv_sec * SECOND_NS + values[i].tv_usec * 1000;
    }
    return 0;
}

static long change_times(int dir, uint64_t path, const struct times *times, int flags)
{
    struct vattr attr = {.atime_ns = times->ns[0], .mtime_ns = times->ns[1]};
    unsigned which = (times->omit[0] ? 0u : VATTR_ATIME) | (times->omit[1] ? 0u : VATTR_MTIME);
    struct target target;
    long result;

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    result = path == 0 && dir != AT_FDCWD ? target_fd(&target, dir) : target_at(&target, dir, path, flags);
    if (result != 0)
        return result;
    if (which != 0 && target.node != NULL)
        result = vnode_owned(target.node);
    if (result == 0 && which != 0)
        return change(&target, &attr, which);
    target_end(&target);
    return result;
}

long sys_utimensat(int dir, uint64_t path, uint64_t argument, int flags)
{
    struct times times;
    long result = times_from_timespec(&times, argument);

    return result != 0 ? result : change_times(dir, path, &times, flags);
}

long sys_futimesat(int dir, uint64_t path, uint64_t argument)
{
    struct times times;
    long result = times_from_timeval(&times, argument);

    return result != 0 ? result : change_times(dir, path, &times, 0);
}

long sys_utimes(uint64_t path, uint64_t argument)
{
    return sys_futimesat(AT_FDCWD, path, argument);
}

long sys_utime(uint64_t path, uint64_t argument)
{
    struct utimbuf seconds;
    struct times times;

    times_now(&times);
    if (argument != 0) {
        if (user_read(&seconds, argument, sizeof seconds) != 0)
            return -EFAULT;
        times.ns[0] = seconds.actime * SECOND_NS;
        times.ns[1] = seconds.modtime * SECOND_NS;
    }
    return change_times(AT_FDCWD, path, &times, 0);
}

long sys_umask(unsigned mask)
{
    struct process *process = process_current();
    long old = (long)process->umask;

    process->umask = mask & 0777;
    return old;
}

/* ---------------------------------------------------------------- file systems */

static int statfs_of(struct vnode *node, struct statfs64_info *info)
{
    memset(info, 0, sizeof *info);
    info->block_size = PAGE_SIZE;
    info->name_max = NAME_BYTES - 1;
    if (node != NULL && node->ops->statfs != NULL)
        return node->ops->statfs(node, info);
    info->type = PIPEFS_MAGIC;
    return 0;
}

static long statfs_target(struct target *target, uint64_t out)
{
    struct statfs64_info info;
    struct statfs statfs;
    long result = statfs_of(target->node, &info);

    if (result == 0) {
        memset(&statfs, 0, sizeof statfs);
        statfs.f_type = (__statfs_word)info.type;
        statfs.f_bsize = statfs.f_frsize = (__statfs_word)info.block_size;
        statfs.f_blocks = (__statfs_word)info.blocks;
        statfs.f_bfree = statfs.f_bavail = (__statfs_word)info.free;
        statfs.f_files = (__statfs_word)info.files;
        statfs.f_ffree = (__statfs_word)info.files_free;
        statfs.f_namelen = (__statfs_word)info.name_max;
        result = user_write(out, &statfs, sizeof statfs);
    }
    target_end(target);
    return result;
}

long sys_statfs(uint64_t path, uint64_t out)
{
    struct target target;
    long result = target_at(&target, AT_FDCWD, path, 0);

    return result != 0 ? result : statfs_target(&target, out);
}

long sys_fstatfs(int fd, uint64_t out)
{
    struct target target;
    long result = target_fd(&target, fd);

    return result != 0 ? result : statfs_target(&target, out);
}
