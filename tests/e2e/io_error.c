/*
 * For the tests: preloaded into QEMU, makes reads of the share fail half way. A file whose name begins with
 * "failing" can be read up to 1 MiB; what comes behind gives EIO.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { READABLE = 1 << 20 };

ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t offset);

static bool is_failing(int fd)
{
    char link[64];
    char path[4096];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof(path) - 1);

    path[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr(path, '/');

    return slash && strncmp(slash, "/failing", strlen("/failing")) == 0;
}

ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t offset)
{
    ssize_t (*real)(int, const struct iovec *, int, off_t);

    if (offset >= READABLE && is_failing(fd)) {
        errno = EIO;
        return -1;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "preadv64");
    return real(fd, pieces, count, offset);
}
