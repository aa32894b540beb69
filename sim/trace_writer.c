/*
 * Writes our own format.
 *
 * Invariants: `waiting` references, at most FORMAT_BLOCK_MOST, and the names from `named` on have not been
 * written; each reference is to a page below names.count.
 */
#include "sim/trace_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/bytes.h"
#include "sim/hash.h"
#include "sim/trace_format.h"
#include "sim/trace_internal.h"
#include "sim/trace_pack.h"

/* Of zstd. Below 0 it leaves out the entropy coding of literals: files are a quarter larger, and are read 1.2
 * to 1.6 times as fast. */
enum { LEVEL = -1 };

_Static_assert(FORMAT_PAYLOAD_MOST >= ZSTD_COMPRESSBOUND(FORMAT_PLAIN_MOST), "zstd always has room");

struct trace_writer {
    int fd;
    bool own_fd;
    char *path;
    char *part;      /* the name until it is complete, NULL: none */
    bool named_part; /* the file has it already */
    uint64_t page_bytes;
    struct trace_names names;
    uint32_t named;
    uint64_t references, writes;
    uint32_t before; /* bytes of the last record */
    struct blake2b hash;
    ZSTD_CCtx *packer;
    struct pack_room room;
    size_t waiting;
    uint32_t block[FORMAT_BLOCK_MOST];
    unsigned char plain[FORMAT_PLAIN_MOST];
    unsigned char packed[FORMAT_BLOCK_BYTES + FORMAT_PAYLOAD_MOST];
};

static struct trace_writer *writer_new(const char *path, struct trace_error *error);
static bool open_file(struct trace_writer *writer, const char *path, struct trace_error *error);
static bool write_head(struct trace_writer *writer, const struct trace_writer_options *options,
                       struct trace_error *error);
static bool write_block(struct trace_writer *writer, struct trace_error *error);
static bool write_trailer(struct trace_writer *writer, uint64_t unfiltered, struct trace_error *error);

struct trace_writer *writer_create(const char *path, const struct trace_writer_options *options,
                                   struct trace_error *error)
{
    struct trace_writer *writer = writer_new(strcmp(path, "-") == 0 ? "standard output" : path, error);

    if (writer && open_file(writer, path, error) && write_head(writer, options, error))
        return writer;
    writer_abandon(writer);
    return NULL;
}

struct trace_writer *writer_create_fd(int fd, const char *name, const struct trace_writer_options *options,
                                      struct trace_error *error)
{
    struct trace_writer *writer = writer_new(name, error);

    if (!writer)
        return NULL;
    writer->fd = fd;
    if (write_head(writer, options, error))
        return writer;
    writer_abandon(writer);
    return NULL;
}

static struct trace_writer *writer_new(const char *path, struct trace_error *error)
{
    struct trace_writer *writer = calloc(1, sizeof(*writer));

    if (writer) {
        writer->fd = -1;
        writer->path = strdup(path);
        writer->packer = ZSTD_createCCtx();
        blake2b_init(&writer->hash);
    }
    if (!writer || !writer->path || !writer->packer ||
        ZSTD_isError(ZSTD_CCtx_setParameter(writer->packer, ZSTD_c_compressionLevel, LEVEL))) {
        trace_fail(error, path, "not enough memory");
        writer_abandon(writer);
        return NULL;
    }
    return writer;
}

/* A file that has no name yet, in the folder of `path`: whatever ends us, nothing is left. -1: not on this
 * file system, or the folder cannot be written. */
static int open_nameless(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = folder ? open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666) : -1;

    free(folder);
    return fd;
}

static bool open_part(struct trace_writer *writer, const char *path, struct trace_error *error)
{
    mode_t mask = umask(0);

    umask(mask);
    if (asprintf(&writer->part, "%s.XXXXXX", path) < 0) {
        writer->part = NULL;
        return trace_fail(error, path, "not enough memory");
    }
    writer->fd = open_nameless(path);
    if (writer->fd >= 0)
        return true;
    writer->fd = mkostemp(writer->part, O_CLOEXEC);
    if (writer->fd < 0)
        return trace_fail(error, path, "cannot be written: %s", strerror(errno));
    writer->named_part = true;
    fchmod(writer->fd, 0666 & ~mask);
    return true;
}

static bool open_file(struct trace_writer *writer, const char *path, struct trace_error *error)
{
    struct stat info;

    if (strcmp(path, "-") == 0) {
        writer->fd = STDOUT_FILENO;
        return true;
    }
    writer->own_fd = true;
    if (stat(path, &info) != 0 || S_ISREG(info.st_mode))
        return open_part(writer, path, error);
    writer->fd = open(path, O_WRONLY | O_CLOEXEC);
    return writer->fd >= 0 || trace_fail(error, path, "cannot be written: %s", strerror(errno));
}

static bool write_bytes(struct trace_writer *writer, const void *bytes, size_t count,
                        struct trace_error *error)
{
    const char *at = bytes;

    writer->before = (uint32_t)count;
    while (count > 0) {
        ssize_t done = write(writer->fd, at, count);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return trace_fail(error, writer->path, "cannot be written: %s", strerror(errno));
        at += done;
        count -= (size_t)done;
    }
    return true;
}

static bool write_head(struct trace_writer *writer, const struct trace_writer_options *options,
                       struct trace_error *error)
{
    unsigned char head[FORMAT_HEAD_BYTES] = {0};

    writer->page_bytes = options->page_bytes;
    memcpy(head, FORMAT_MAGIC, FORMAT_MAGIC_BYTES);
    bytes_put32(head + HEAD_VERSION, FORMAT_VERSION);
    bytes_put32(head + HEAD_BYTES, FORMAT_HEAD_BYTES);
    bytes_put64(head + HEAD_PAGE_BYTES, options->page_bytes);
    bytes_put32(head + HEAD_BLOCK_MOST, FORMAT_BLOCK_MOST);
    bytes_put32(head + HEAD_FILTER, options->filter);
    bytes_put64(head + HEAD_SUM, xxh64(head, HEAD_SUM, 0));
    return write_bytes(writer, head, sizeof(head), error);
}

bool writer_page(struct trace_writer *writer, uint64_t name, struct trace_error *error)
{
    /* A block has room for the names of as many pages as it may have references. */
    if (writer->names.count - writer->named == FORMAT_BLOCK_MOST && !write_block(writer, error))
        return false;
    if (trace_names_append(&writer->names, name))
        return true;
    return trace_fail(error, writer->path, "not enough memory, or more than %u pages", POLICY_MAX_PAGES);
}

bool writer_put(struct trace_writer *writer, const uint32_t *references, size_t count,
                struct trace_error *error)
{
    while (count > 0) {
        size_t room = FORMAT_BLOCK_MOST - writer->waiting, part = count < room ? count : room;

        memcpy(writer->block + writer->waiting, references, part * sizeof(*references));
        writer->waiting += part;
        references += part;
        count -= part;
        if (writer->waiting == FORMAT_BLOCK_MOST && !write_block(writer, error))
            return false;
    }
    return true;
}

bool writer_copy(struct trace_writer *writer, struct trace *trace, void (*tell)(const struct trace *trace),
                 struct trace_error *error)
{
    struct policy_block block;

    while (trace_next(trace, &block, error)) {
        if (block.count == 0)
            return true;
        while (writer->names.count < trace_pages(trace))
            if (!writer_page(writer, trace_page_name(trace, writer->names.count), error))
                return false;
        if (!writer_put(writer, block.references, block.count, error))
            return false;
        if (tell)
            tell(trace);
    }
    return false;
}

static void count_block(struct trace_writer *writer)
{
    uint64_t writes = 0;

    for (size_t i = 0; i < writer->waiting; i++)
        writes += writer->block[i] & 1;
    writer->references += writer->waiting;
    writer->writes += writes;
    blake2b_add(&writer->hash, writer->block, writer->waiting * sizeof(writer->block[0]));
}

static bool write_block(struct trace_writer *writer, struct trace_error *error)
{
    unsigned char *head = writer->packed, *payload = head + FORMAT_BLOCK_BYTES;
    uint32_t pages = writer->names.count - writer->named;
    size_t names_bytes = (size_t)pages * FORMAT_NAME_BYTES;
    enum pack_encoding encoding;

    if (pages > 0)
        memcpy(writer->plain, writer->names.names + writer->named, names_bytes);
    size_t plain = pack_references(&writer->room, writer->block, writer->waiting, writer->names.count * 2,
                                   writer->plain + names_bytes, &encoding);
    size_t packed = ZSTD_compress2(writer->packer, payload, sizeof(writer->packed) - FORMAT_BLOCK_BYTES,
                                   writer->plain, names_bytes + plain);

    if ((plain == 0 && writer->waiting > 0) || ZSTD_isError(packed))
        return trace_fail(error, writer->path, "not enough memory");
    count_block(writer);
    memset(head, 0, FORMAT_BLOCK_BYTES);
    bytes_put32(head, FORMAT_BLOCK_MARK);
    bytes_put32(head + BLOCK_PAYLOAD, (uint32_t)packed);
    bytes_put32(head + BLOCK_PLAIN, (uint32_t)(names_bytes + plain));
    bytes_put32(head + BLOCK_REFERENCES, (uint32_t)writer->waiting);
    bytes_put32(head + BLOCK_PAGES, pages);
    bytes_put32(head + BLOCK_ENCODING, encoding);
    bytes_put32(head + BLOCK_BEFORE, writer->before);
    bytes_put64(head + BLOCK_SUM, xxh64(payload, packed, xxh64(head, BLOCK_SUM, 0)));
    writer->waiting = 0;
    writer->named = writer->names.count;
    return write_bytes(writer, head, FORMAT_BLOCK_BYTES + packed, error);
}

static bool write_trailer(struct trace_writer *writer, uint64_t unfiltered, struct trace_error *error)
{
    unsigned char trailer[FORMAT_TRAILER_BYTES] = {0}, page_bytes[8];

    bytes_put64(page_bytes, writer->page_bytes);
    blake2b_add(&writer->hash, writer->names.names, (size_t)writer->names.count * FORMAT_NAME_BYTES);
    blake2b_add(&writer->hash, page_bytes, sizeof(page_bytes));
    bytes_put32(trailer, FORMAT_TRAILER_MARK);
    bytes_put32(trailer + TRAILER_BEFORE, writer->before);
    bytes_put64(trailer + TRAILER_REFERENCES, writer->references);
    bytes_put64(trailer + TRAILER_WRITES, writer->writes);
    bytes_put64(trailer + TRAILER_UNFILTERED, unfiltered);
    bytes_put32(trailer + TRAILER_PAGES, writer->names.count);
    blake2b_end(&writer->hash, trailer + TRAILER_HASH);
    bytes_put64(trailer + TRAILER_SUM, xxh64(trailer, TRAILER_SUM, 0));
    return write_bytes(writer, trailer, sizeof(trailer), error);
}

static int close_file(struct trace_writer *writer)
{
    int fd = writer->fd;

    writer->fd = -1;
    return close(fd);
}

/* The file takes the place of what had its name before. False: errno. */
static bool give_name(struct trace_writer *writer)
{
    char self[32];

    if (!writer->part)
        return true;
    if (!writer->named_part) {
        /* linkat() replaces nothing: the file gets a name of nobody else's first. */
        int fd = mkostemp(writer->part, O_CLOEXEC);

        if (fd < 0)
            return false;
        close(fd);
        unlink(writer->part);
        snprintf(self, sizeof(self), "/proc/self/fd/%d", writer->fd);
        if (linkat(AT_FDCWD, self, AT_FDCWD, writer->part, AT_SYMLINK_FOLLOW) != 0)
            return false;
        writer->named_part = true;
    }
    if (rename(writer->part, writer->path) != 0)
        return false;
    writer->named_part = false;
    return true;
}

static bool finish(struct trace_writer *writer, uint64_t unfiltered, struct trace_error *error)
{
    if (writer->references + writer->waiting == 0)
        return trace_fail(error, writer->path, "not written: there is no reference, expected one at least");
    if (writer->waiting > 0 && !write_block(writer, error))
        return false;
    if (!write_trailer(writer, unfiltered, error))
        return false;
    if (!writer->own_fd)
        return true;
    if (!give_name(writer) || close_file(writer) != 0)
        return trace_fail(error, writer->path, "cannot be written: %s", strerror(errno));
    return true;
}

bool writer_finish(struct trace_writer *writer, uint64_t unfiltered, struct trace_error *error)
{
    bool good = finish(writer, unfiltered, error);

    writer_abandon(writer);
    return good;
}

void writer_abandon(struct trace_writer *writer)
{
    if (!writer)
        return;
    if (writer->own_fd && writer->fd >= 0)
        close(writer->fd);
    if (writer->named_part)
        unlink(writer->part);
    ZSTD_freeCCtx(writer->packer);
    pack_room_free(&writer->room);
    trace_names_free(&writer->names);
    free(writer->part);
    free(writer->path);
    free(writer);
}
