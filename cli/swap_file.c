/*
 * The file behind the machine's swap disk.
 *
 *     page 0        a header, so that a file that is something else is never written over
 *     page n        swap slot n
 *
 * A temporary file has no name, so nothing is left however this ends. It is sparse: it takes as much of the
 * host's disk as the machine has ever swapped out. A FILE that is given stays, and may be used again; what an
 * earlier machine left in it means nothing to the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/swap_file.h"

enum { PAGE = 4096 };
#define SWAP_LEAST ((uint64_t)64 << 10)
#define SWAP_MOST ((uint64_t)1 << 42)       /* slots have 31 bits */
#define COMPRESS_LEAST ((uint64_t)64 << 10) /* a few pages of each size */

static const char header[] = "quire swap 1\n";

/* ------------------------------------------------------------------ options */

/* SIZE, with `end` behind it. */
static bool size_before(const char *text, size_t length, uint64_t *bytes)
{
    char *copy = must_format("%.*s", (int)length, text);
    bool good = parse_size(copy, bytes);

    free(copy);
    return good;
}

static bool check_disk(struct swap_options *options)
{
    const char *text = options->disk;
    size_t length = strcspn(text, ":");

    if (!size_before(text, length, &options->bytes) || (text[length] && !text[length + 1])) {
        say("boot: --swap: expected SIZE or SIZE:FILE, such as 256M, got '%s'", text);
        return false;
    }
    if (options->bytes < SWAP_LEAST || options->bytes > SWAP_MOST) {
        say("boot: --swap: expected %lluK to %lluG, got '%s'", (unsigned long long)(SWAP_LEAST >> 10),
            (unsigned long long)(SWAP_MOST >> 30), text);
        return false;
    }
    options->bytes &= ~(uint64_t)(PAGE - 1);
    options->file = text[length] ? text + length + 1 : NULL;
    return true;
}

static bool check_compress(struct swap_options *options, uint64_t memory_bytes)
{
    const char *text = options->compress;
    size_t length = strcspn(text, ":");
    bool packs = length == 3 && strncmp(text, "lz4", length) == 0;
    uint64_t bytes = memory_bytes / 4;

    if (!packs && (length != 4 || strncmp(text, "none", length) != 0)) {
        say("boot: --swap-compress: expected lz4, lz4:SIZE or none:SIZE, got '%s'", text);
        return false;
    }
    if ((text[length] || !packs) && !(text[length] && parse_size(text + length + 1, &bytes))) {
        say("boot: --swap-compress: expected %.*s:SIZE with a size such as 8M, got '%s'", (int)length, text,
            text);
        return false;
    }
    if (bytes < COMPRESS_LEAST || bytes > memory_bytes) {
        say("boot: --swap-compress: expected %lluK to the machine's memory (%lluK), got '%s'",
            (unsigned long long)(COMPRESS_LEAST >> 10), (unsigned long long)(memory_bytes >> 10), text);
        return false;
    }
    if (!packs && options->disk) {
        say("boot: --swap-compress: expected no --swap with '%s'", text);
        return false;
    }
    *(packs ? &options->compress_bytes : &options->ram_bytes) = bytes;
    return true;
}

bool swap_file_check(struct swap_options *options, uint64_t memory_bytes)
{
    return (!options->disk || check_disk(options)) &&
           (!options->compress || check_compress(options, memory_bytes));
}

/* ------------------------------------------------------------------ files */

/* A file without a name on a disk of the host; memory where there is no such disk. */
static int open_temporary(void)
{
    const char *folder = getenv("TMPDIR");
    int fd;

    if (!folder || !*folder) {
        folder = "/var/tmp";
    }
    fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        char *path = must_format("%s/quire-swap-XXXXXX", folder);

        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0) {
            unlink(path);
        }
        free(path);
    }
    return fd >= 0 ? fd : memfd_create("quire swap", MFD_CLOEXEC);
}

/* Has it nothing but holes, or our header? Anything else is somebody's data. */
static bool may_be_used(int fd, uint64_t length)
{
    char found[sizeof(header)] = "";

    if (length == 0 || (lseek(fd, 0, SEEK_DATA) < 0 && errno == ENXIO)) {
        return true;
    }
    return pread(fd, found, sizeof(found), 0) == (ssize_t)sizeof(found) &&
           memcmp(found, header, sizeof(header)) == 0;
}

static bool prepare(int fd, uint64_t bytes)
{
    struct stat info;

    return fstat(fd, &info) == 0 &&
           (!S_ISREG(info.st_mode) || (uint64_t)info.st_size >= bytes || ftruncate(fd, (off_t)bytes) == 0) &&
           pwrite(fd, header, sizeof(header), 0) == (ssize_t)sizeof(header);
}

/* What is wrong with the file, NULL: nothing. */
static const char *check_file(int fd, uint64_t bytes)
{
    struct stat info;
    off_t length;

    if (fstat(fd, &info) < 0) {
        return strerror(errno);
    }
    if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)) {
        return "expected a file or a block device";
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK ? "another machine uses it" : strerror(errno);
    }
    length = lseek(fd, 0, SEEK_END);
    if (length < 0) {
        return strerror(errno);
    }
    if (!may_be_used(fd, (uint64_t)length)) {
        return "it has other data: expected a new or empty file, or one that quire boot has made";
    }
    if (length > 0 && (uint64_t)length < bytes) {
        return "it is smaller than the size that was given";
    }
    return NULL;
}

static int open_given(const struct swap_options *options)
{
    int fd = open(options->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const char *why = fd < 0 ? strerror(errno) : check_file(fd, options->bytes);

    if (!why && !prepare(fd, options->bytes)) {
        why = strerror(errno);
    }
    if (!why) {
        return fd;
    }
    say("boot: --swap: %s: %s", options->file, why);
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

int swap_file_open(const struct swap_options *options)
{
    int fd;

    if (options->file) {
        return open_given(options);
    }
    fd = open_temporary();
    if (fd >= 0 && prepare(fd, options->bytes)) {
        return fd;
    }
    say("boot: --swap: cannot make a temporary file: %s", strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}
