/*
 * Calls that change files, as programs make them: the file's mapped pages are looked after (files.c). Each is
 * one load more than it was as long as no file is mapped shared.
 *
 * The C library's own calls (stdio) do not come by here: who maps a file and writes to it by stdio sees the
 * change when its pages come in anew.
 */
#include "preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define EVERYTHING (UINT64_MAX >> 1)

/* The function of that name behind ours; found once. */
#define NEXT(name)                                                                                           \
    ({                                                                                                       \
        static __typeof__(name) *_Atomic found;                                                              \
        __typeof__(name) *next = atomic_load_explicit(&found, memory_order_relaxed);                         \
        if (!next) {                                                                                         \
            next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);                                              \
            atomic_store_explicit(&found, next, memory_order_relaxed);                                       \
        }                                                                                                    \
        next;                                                                                                \
    })

static bool any(void)
{
    return atomic_load_explicit(&files_count, memory_order_relaxed) > 0;
}

/* Of a call that writes where the descriptor stands. */
static ssize_t wrote(int fd, ssize_t bytes)
{
    int error = errno;
    off_t end;

    if (bytes > 0 && any() && (end = lseek(fd, 0, SEEK_CUR)) >= bytes)
        files_changed(fd, (uint64_t)(end - bytes), (uint64_t)bytes);
    errno = error;
    return bytes;
}

static ssize_t wrote_at(int fd, ssize_t bytes, off_t offset)
{
    if (bytes > 0 && any())
        files_changed(fd, (uint64_t)offset, (uint64_t)bytes);
    return bytes;
}

static int changed(int fd, int failed)
{
    if (!failed && any())
        files_changed(fd, 0, EVERYTHING);
    return failed;
}

EXPORT ssize_t write(int fd, const void *from, size_t bytes)
{
    return wrote(fd, NEXT(write)(fd, from, bytes));
}

EXPORT ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    return wrote(fd, NEXT(writev)(fd, pieces, count));
}

EXPORT ssize_t pwrite(int fd, const void *from, size_t bytes, off_t offset)
{
    return wrote_at(fd, NEXT(pwrite64)(fd, from, bytes, offset), offset);
}

EXPORT ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t offset)
{
    return wrote_at(fd, NEXT(pwrite64)(fd, from, bytes, offset), offset);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    return wrote_at(fd, NEXT(pwritev64)(fd, pieces, count, offset), offset);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset)
{
    return wrote_at(fd, NEXT(pwritev64)(fd, pieces, count, offset), offset);
}

EXPORT int ftruncate(int fd, off_t length)
{
    return changed(fd, NEXT(ftruncate64)(fd, length));
}

EXPORT int ftruncate64(int fd, off64_t length)
{
    return changed(fd, NEXT(ftruncate64)(fd, length));
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return changed(fd, NEXT(fallocate64)(fd, mode, offset, length));
}

EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    return changed(fd, NEXT(fallocate64)(fd, mode, offset, length));
}

EXPORT ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t length,
                               unsigned flags)
{
    ssize_t moved = NEXT(copy_file_range)(from, from_offset, to, to_offset, length, flags);

    changed(to, moved <= 0);
    return moved;
}

EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t bytes)
{
    return wrote(to, NEXT(sendfile64)(to, from, offset, bytes));
}

EXPORT ssize_t sendfile64(int to, int from, off64_t *offset, size_t bytes)
{
    return wrote(to, NEXT(sendfile64)(to, from, offset, bytes));
}

static int locked(int fd, int command, void *argument, int result)
{
    const struct flock *lock = argument;

    if (result == 0 && any() &&
        (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW) &&
        lock->l_type != F_UNLCK)
        files_locked(fd);
    return result;
}

EXPORT int fcntl(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return locked(fd, command, argument, NEXT(fcntl64)(fd, command, argument));
}

EXPORT int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
