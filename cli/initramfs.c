/*
 * cpio "newc": for each file a header of 110 characters (magic, then 13 numbers of 8 hexadecimal digits), the
 * name with its NUL, padding to 4, the data, padding to 4. The entry TRAILER!!! ends it. (The format: Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst.)
 *
 *   | header 110 | name NUL NUL NUL ... | data            | header ...
 *                                       ^ a multiple of 4096
 *
 * The name's size counts the NULs that push the data to a page boundary; readers see the name end at the
 * first one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/initramfs.h"

enum { CPIO_HEADER = 110, CPIO_ALIGN = 4, PAGE = 4096 };

struct initramfs {
    FILE *out;
    uint64_t at;
    unsigned last_inode;
};

static void cpio_entry(struct initramfs *archive, const char *path, unsigned mode, uint64_t size);
static void cpio_put(struct initramfs *archive, const void *bytes, size_t count);
static void cpio_pad(struct initramfs *archive, size_t align);

struct initramfs *initramfs_create(void)
{
    int fd = memfd_create("quire-initramfs", MFD_CLOEXEC);

    if (fd < 0) {
        return NULL;
    }
    struct initramfs *archive = must_alloc(sizeof(*archive));

    *archive = (struct initramfs){.out = fdopen(fd, "wb")};
    if (!archive->out) {
        free(archive);
        close(fd);
        return NULL;
    }
    return archive;
}

void initramfs_directory(struct initramfs *archive, const char *path, unsigned mode)
{
    cpio_entry(archive, path, S_IFDIR | mode, 0);
}

void initramfs_symlink(struct initramfs *archive, const char *path, const char *target)
{
    cpio_entry(archive, path, S_IFLNK | 0777, strlen(target));
    cpio_put(archive, target, strlen(target));
    cpio_pad(archive, CPIO_ALIGN);
}

void initramfs_bytes(struct initramfs *archive, const char *path, unsigned mode, const void *bytes,
                     size_t count)
{
    cpio_entry(archive, path, S_IFREG | mode, count);
    cpio_put(archive, bytes, count);
    cpio_pad(archive, CPIO_ALIGN);
}

bool initramfs_copy(struct initramfs *archive, const char *path, unsigned mode, const char *host_path)
{
    char block[65536];
    struct stat info;
    int fd = open(host_path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode)) {
        errno = EINVAL;
        close(fd);
        return false;
    }
    uint64_t left = (uint64_t)info.st_size;

    cpio_entry(archive, path, S_IFREG | mode, left);
    while (left > 0) {
        ssize_t got = read(fd, block, left < sizeof(block) ? (size_t)left : sizeof(block));

        if (got <= 0) {
            errno = got < 0 ? errno : EIO; /* it became shorter */
            close(fd);
            return false;
        }
        cpio_put(archive, block, (size_t)got);
        left -= (uint64_t)got;
    }
    cpio_pad(archive, CPIO_ALIGN);
    close(fd);
    return true;
}

int initramfs_finish(struct initramfs *archive, uint64_t *bytes)
{
    cpio_entry(archive, "TRAILER!!!", 0, 0);
    cpio_pad(archive, PAGE);
    bool failed = fflush(archive->out) != 0 || ferror(archive->out) != 0;
    int fd = failed ? -1 : fcntl(fileno(archive->out), F_DUPFD, 3);

    *bytes = archive->at;
    fclose(archive->out);
    free(archive);
    return fd;
}

/* The header and the name. Regular files with data get NULs behind the name until the data is on a page. */
static void cpio_entry(struct initramfs *archive, const char *path, unsigned mode, uint64_t size)
{
    static const char zeroes[PAGE];
    char header[CPIO_HEADER + 1];
    size_t length = strlen(path);
    size_t name_size = length + 1;
    size_t align = S_ISREG(mode) && size > 0 ? PAGE : CPIO_ALIGN;
    size_t over = (size_t)((archive->at + CPIO_HEADER + name_size) % align);

    if (align == PAGE && over > 0) {
        name_size += PAGE - over;
    }
    snprintf(header, sizeof(header), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
             ++archive->last_inode, mode, 0U, 0U, S_ISDIR(mode) ? 2U : 1U, 0U, (unsigned)size, 0U, 0U, 0U, 0U,
             (unsigned)name_size, 0U);
    cpio_put(archive, header, CPIO_HEADER);
    cpio_put(archive, path, length);
    cpio_put(archive, zeroes, name_size - length);
    cpio_pad(archive, CPIO_ALIGN);
}

static void cpio_put(struct initramfs *archive, const void *bytes, size_t count)
{
    fwrite(bytes, 1, count, archive->out);
    archive->at += count;
}

static void cpio_pad(struct initramfs *archive, size_t align)
{
    static const char zeroes[PAGE];
    size_t over = (size_t)(archive->at % align);

    if (over > 0) {
        cpio_put(archive, zeroes, align - over);
    }
}
