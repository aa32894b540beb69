/*
 * Calls whose subject this kernel does not have: sockets, extended attributes, watches, mounts at run time.
 * Programs ask for them and go on without, if they are told as Linux tells them; ENOSYS some take for a
 * fault.
 */
#include <linux/errno.h>

#include "kernel/fs/internal.h"
#include "kernel/linux/file_args.h"
#include "kernel/linux/syscalls_file.h"

/* What is mounted is decided at the start. */
long sys_mount(uint64_t source, uint64_t target, uint64_t type, uint64_t flags, uint64_t data)
{
    return -EPERM;
}

long sys_umount2(uint64_t target, int flags)
{
    return -EPERM;
}

/* So is what memory is swapped to. */
long sys_swapon(uint64_t path, int flags)
{
    return -EPERM;
}

long sys_swapoff(uint64_t path)
{
    return -EPERM;
}

long sys_inotify_init(void)
{
    return -ENOSYS;
}

long sys_inotify_init1(int flags)
{
    return -ENOSYS;
}

/* ---------------------------------------------------------------- sockets */

long sys_socket(int family, int type, int protocol)
{
    return -EAFNOSUPPORT;
}

long sys_socketpair(int family, int type, int protocol, uint64_t pair)
{
    return -EAFNOSUPPORT;
}

/* An open file is never a socket. */
static long no_socket(int fd)
{
    struct file *file = file_get(fd);

    if (file == NULL)
        return -EBADF;
    file_unref(file);
    return -ENOTSOCK;
}

long sys_on_socket(int fd)
{
    return no_socket(fd);
}

/* ---------------------------------------------------------------- extended attributes */

/* The file must be there, even so. */
static long no_attributes(uint64_t path, int flags)
{
    struct target target;
    int error = target_at(&target, AT_FDCWD, path, flags);

    if (error != 0)
        return error;
    target_end(&target);
    return -EOPNOTSUPP;
}

long sys_xattr_of_path(uint64_t path)
{
    return no_attributes(path, 0);
}

long sys_xattr_of_link(uint64_t path)
{
    return no_attributes(path, AT_SYMLINK_NOFOLLOW);
}

long sys_xattr_of_file(int fd)
{
    struct file *file = file_get(fd);

    if (file == NULL)
        return -EBADF;
    file_unref(file);
    return -EOPNOTSUPP;
}
