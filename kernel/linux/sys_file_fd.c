/*
 * System calls on descriptors: opening, closing, duplicating, fcntl, and files without a name.
 */
#include <linux/close_range.h>
#include <linux/memfd.h>
#include <linux/openat2.h>
#include <linux/resource.h>

#include "kernel/klib.h"
#include "kernel/linux/file_args.h"

enum { MEMFD_NAME_MAX = 249 }; /* memfd_create(2) */

static int install(struct file *file, int flags)
{
    return files_install(process_current()->files, file, 0, (flags & O_CLOEXEC) != 0);
}

/* ---------------------------------------------------------------- open and close */

long sys_openat(int dir, uint64_t path, int flags, unsigned mode)
{
    struct file *file;
    struct at at;
    long result;

    if ((flags & (O_CREAT | O_DIRECTORY | O_PATH)) == (O_CREAT | O_DIRECTORY))
        return -EINVAL; /* a directory is not made this way */
    result = at_begin(&at, dir, path, 0);
    if (result != 0)
        return result;
    if ((flags & O_PATH) == 0)
        flags |= O_LARGEFILE; /* as F_GETFL of a 64-bit Linux shows it */
    result = vfs_open_at(at.from != NULL ? at.from->vnode : NULL, at.from != NULL ? at.from->path : NULL,
                         at.path, (unsigned)flags, mode, &file);
    at_end(&at);
    return result != 0 ? result : install(file, flags);
}

long sys_open(uint64_t path, int flags, unsigned mode)
{
    return sys_openat(AT_FDCWD, path, flags, mode);
}

long sys_creat(uint64_t path, unsigned mode)
{
    return sys_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* Without restrictions on how the path is resolved. */
long sys_openat2(int dir, uint64_t path, uint64_t how, size_t bytes)
{
    struct open_how wanted;

    if (bytes < sizeof wanted)
        return -EINVAL;
    if (bytes > sizeof wanted)
        return -E2BIG;
    if (user_read(&wanted, how, sizeof wanted) != 0)
        return -EFAULT;
    if (wanted.flags > INT32_MAX || (wanted.mode & ~07777ull) != 0 ||
        (wanted.mode != 0 && (wanted.flags & (O_CREAT | __O_TMPFILE)) == 0))
        return -EINVAL;
    if (wanted.resolve != 0)
        return -EINVAL;
    return sys_openat(dir, path, (int)wanted.flags, (unsigned)wanted.mode);
}

long sys_close(int fd)
{
    return files_close(process_current()->files, fd);
}

long sys_close_range(unsigned first, unsigned last, unsigned flags)
{
    struct process *process = process_current();
    struct files *files = process->files;

    if (first > last || (flags & ~(unsigned)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) != 0)
        return -EINVAL;
    if ((flags & CLOSE_RANGE_UNSHARE) != 0) {
        struct files *own = files_copy(files);

        if (own == NULL)
            return -ENOMEM;
        process->files = own;
        files_unref(files);
        files = own;
    }
    if (first > INT32_MAX)
        return 0;
    for (int fd = files_next(files, (int)first); fd >= 0 && (unsigned)fd <= last;
         fd = files_next(files, fd + 1)) {
        if ((flags & CLOSE_RANGE_CLOEXEC) != 0)
            files_set_flag(files, fd, true);
        else
            files_close(files, fd);
    }
    return 0;
}

/* ---------------------------------------------------------------- duplicates */

long sys_dup(int fd)
{
    struct file *file = file_get(fd);

    return file == NULL ? -EBADF : install(file, 0);
}

static long duplicate_at(int fd, int to, int flags)
{
    struct file *file;

    if (to < 0 || (uint64_t)to >= process_current()->limits[RLIMIT_NOFILE][0])
        return -EBADF;
    file = file_get(fd);
    if (file == NULL)
        return -EBADF;
    return files_install_at(process_current()->files, file, to, (flags & O_CLOEXEC) != 0);
}

long sys_dup2(int fd, int to)
{
    struct file *file;

    if (fd != to)
        return duplicate_at(fd, to, 0);
    file = file_get(fd);
    if (file == NULL)
        return -EBADF;
    file_unref(file);
    return to;
}

long sys_dup3(int fd, int to, int flags)
{
    if ((flags & ~O_CLOEXEC) != 0 || fd == to)
        return -EINVAL;
    return duplicate_at(fd, to, flags);
}

/* ---------------------------------------------------------------- fcntl */

static long fcntl_duplicate(struct file *file, uint64_t lowest, bool close_on_exec)
{
    if (lowest >= process_current()->limits[RLIMIT_NOFILE][0] || lowest > INT32_MAX)
        return -EINVAL;
    return files_install(process_current()->files, file_ref(file), (int)lowest, close_on_exec);
}

static long fcntl_set_flags(struct file *file, uint64_t flags)
{
    enum { CHANGEABLE = O_APPEND | O_NONBLOCK | FASYNC | O_DIRECT | O_NOATIME };

    file->flags = (file->flags & ~(unsigned)CHANGEABLE) | ((unsigned)flags & CHANGEABLE);
    return 0;
}

static long fcntl_lock(struct file *file, int command, uint64_t argument)
{
    struct flock lock;
    long result;

    if (user_read(&lock, argument, sizeof lock) != 0)
        return -EFAULT;
    result = locks_fcntl(file, command, &lock);
    if (result == 0 && (command == F_GETLK || command == F_OFD_GETLK))
        result = user_write(argument, &lock, sizeof lock);
    return result;
}

static long fcntl_on(struct file *file, int fd, int command, uint64_t argument)
{
    struct files *files = process_current()->files;

    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return fcntl_duplicate(file, argument, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return files_flag(files, fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
        files_set_flag(files, fd, (argument & FD_CLOEXEC) != 0);
        return 0;
    case F_GETFL:
        return (long)file->flags;
    default:
        break;
    }
    if ((file->flags & O_PATH) != 0)
        return -EBADF;
    switch (command) {
    case F_SETFL:
        return fcntl_set_flags(file, argument);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return fcntl_lock(file, command, argument);
    case F_GETOWN:
    case F_GETSIG:
    case F_SETOWN:
    case F_SETSIG:
        return 0; /* nothing sends SIGIO */
    case F_GETPIPE_SZ:
        return file_is_pipe(file) ? pipe_capacity(file) : -EBADF;
    case F_SETPIPE_SZ:
        return file_is_pipe(file) ? pipe_set_capacity(file, argument) : -EBADF;
    case F_GET_SEALS:
        return seals_get(file);
    case F_ADD_SEALS:
        return seals_add(file, (unsigned)argument);
    case F_GETLEASE:
        return F_UNLCK;
    default:
        return -EINVAL;
    }
}

long sys_fcntl(int fd, int command, uint64_t argument)
{
    struct file *file = file_get(fd);
    long result;

    if (file == NULL)
        return -EBADF;
    result = fcntl_on(file, fd, command, argument);
    file_unref(file);
    return result;
}

long sys_flock(int fd, int operation)
{
    struct file *file = file_get(fd);
    long result;

    if (file == NULL)
        return -EBADF;
    result = (file->flags & O_PATH) != 0 ? -EBADF : locks_flock(file, operation);
    file_unref(file);
    return result;
}

/* ---------------------------------------------------------------- files without a name */

long sys_pipe2(uint64_t fds, int flags)
{
    struct files *files = process_current()->files;
    struct file *reader, *writer;
    int numbers[2];
    long result;

    if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) != 0)
        return -EINVAL;
    result = pipe_create(&reader, &writer, (unsigned)flags);
    if (result != 0)
        return result;
    numbers[0] = install(reader, flags);
    if (numbers[0] < 0) {
        file_unref(writer);
        return numbers[0];
    }
    numbers[1] = install(writer, flags);
    if (numbers[1] < 0) {
        files_close(files, numbers[0]);
        return numbers[1];
    }
    if (user_write(fds, numbers, sizeof numbers) != 0) {
        files_close(files, numbers[0]);
        files_close(files, numbers[1]);
        return -EFAULT;
    }
    return 0;
}

long sys_pipe(uint64_t fds)
{
    return sys_pipe2(fds, 0);
}

long sys_eventfd2(unsigned initial, int flags)
{
    enum { SEMAPHORE = 1 }; /* EFD_SEMAPHORE */
    struct file *file;
    int error;

    if ((flags & ~(SEMAPHORE | O_CLOEXEC | O_NONBLOCK)) != 0)
        return -EINVAL;
    error = eventfd_create(initial, (unsigned)flags, &file);
    return error != 0 ? error : install(file, flags);
}

long sys_eventfd(unsigned initial)
{
    return sys_eventfd2(initial, 0);
}

long sys_memfd_create(uint64_t name, unsigned flags)
{
    const unsigned SEALED_AGAINST_EXECUTION = 8, EXECUTABLE = 16; /* MFD_NOEXEC_SEAL, MFD_EXEC of Linux 6.3 */
    unsigned seals = (flags & MFD_ALLOW_SEALING) != 0 ? 0 : F_SEAL_SEAL;
    uint32_t mode = 0777;
    struct file *file;
    char text[MEMFD_NAME_MAX + 1];
    long result;

    if ((flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | SEALED_AGAINST_EXECUTION | EXECUTABLE)) != 0 ||
        (flags & (SEALED_AGAINST_EXECUTION | EXECUTABLE)) == (SEALED_AGAINST_EXECUTION | EXECUTABLE))
        return -EINVAL;
    if ((flags & SEALED_AGAINST_EXECUTION) != 0) {
        seals = F_SEAL_EXEC;
        mode = 0666;
    }
    result = user_read_string(text, name, sizeof text);
    if (result < 0)
        return result == -ENAMETOOLONG ? -EINVAL : result;
    result = tmpfs_anonymous(text, mode, seals, &file);
    return result != 0 ? result : install(file, (flags & MFD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
}
