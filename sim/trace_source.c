/*
 * The bytes of a trace file: reading, unpacking, going back to the beginning.
 *
 * Invariant: window <= at <= end <= window + window_size, and window_offset is the place of window[0] in the
 * (unpacked) file. A window grows only when a reader needs more bytes at once than it holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/hash.h"
#include "sim/trace_internal.h"
#include "sim/trace_source.h"

enum { WINDOW_BYTES = 256 << 10, PACKED_BYTES = 128 << 10 };

struct source_unpack {
    ZSTD_DStream *stream;
    ZSTD_inBuffer in;
    size_t unfinished; /* what ZSTD_decompressStream() said last: 0 between frames */
    bool in_ended;
    unsigned char bytes[PACKED_BYTES];
};

static const unsigned char zstd_magic[4] = {0x28, 0xb5, 0x2f, 0xfd}; /* RFC 8878, 3.1.1 */

static bool source_start(struct trace_source *source, struct trace_error *error);
static bool unpack_more(struct trace_source *source, unsigned char *to, size_t room, size_t *got,
                        struct trace_error *error);
static bool read_some(struct trace_source *source, unsigned char *to, size_t room, size_t *got,
                      struct trace_error *error);

struct trace_source *source_open(const char *path, struct trace_error *error)
{
    struct trace_source *source = calloc(1, sizeof(*source));
    struct stat info;

    if (!source) {
        trace_fail(error, path, "not enough memory");
        return NULL;
    }
    source->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    source->path = strdup(strcmp(path, "-") == 0 ? "standard input" : path);
    source->window = malloc(WINDOW_BYTES);
    source->window_size = WINDOW_BYTES;
    source->at = source->end = source->window;
    if (source->fd < 0 || fstat(source->fd, &info) != 0)
        trace_fail(error, path, "%s", strerror(errno));
    else if (!source->path || !source->window)
        trace_fail(error, path, "not enough memory");
    else if (S_ISDIR(info.st_mode))
        trace_fail(error, path, "is a folder, expected a trace");
    else {
        source->seekable = S_ISREG(info.st_mode) && lseek(source->fd, 0, SEEK_CUR) == 0;
        source->file_bytes = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
        if (source_start(source, error))
            return source;
    }
    source_close(source);
    return NULL;
}

void source_close(struct trace_source *source)
{
    if (!source)
        return;
    if (source->unpack)
        ZSTD_freeDStream(source->unpack->stream);
    if (source->fd > STDIN_FILENO)
        close(source->fd);
    free(source->unpack);
    free(source->window);
    free(source->path);
    free(source);
}

/* Looks whether the file is packed; then the bytes that were read are the unpacker's. */
static bool source_start(struct trace_source *source, struct trace_error *error)
{
    if (!source_need(source, sizeof(zstd_magic), error))
        return false;
    source->packed =
        source_left(source) >= sizeof(zstd_magic) && memcmp(source->at, zstd_magic, sizeof(zstd_magic)) == 0;
    if (!source->packed)
        return true;
    struct source_unpack *unpack = calloc(1, sizeof(*unpack));

    source->unpack = unpack;
    if (!unpack || !(unpack->stream = ZSTD_createDStream()))
        return trace_fail(error, source->path, "not enough memory");
    unpack->in = (ZSTD_inBuffer){unpack->bytes, source_left(source), 0};
    memcpy(unpack->bytes, source->at, source_left(source));
    source->at = source->end = source->window;
    unpack->in_ended = source->ended;
    source->ended = false;
    return true;
}

bool source_rewind(struct trace_source *source, struct trace_error *error)
{
    if (!source->seekable)
        return trace_fail(error, source->path, "cannot be read twice, expected a file");
    if (lseek(source->fd, 0, SEEK_SET) != 0)
        return trace_fail(error, source->path, "%s", strerror(errno));
    source->at = source->end = source->window;
    source->window_offset = 0;
    source->file_read = 0;
    source->ended = false;
    if (source->unpack) {
        ZSTD_initDStream(source->unpack->stream);
        source->unpack->in = (ZSTD_inBuffer){source->unpack->bytes, 0, 0};
        source->unpack->unfinished = 0;
        source->unpack->in_ended = false;
    }
    return true;
}

/* What is left goes to the front of the window, which grows to hold `bytes`. */
static bool make_room(struct trace_source *source, size_t bytes, struct trace_error *error)
{
    size_t left = source_left(source);

    source->window_offset = source_offset(source);
    if (bytes > source->window_size) {
        unsigned char *larger = malloc(bytes);

        if (!larger)
            return trace_fail(error, source->path, "not enough memory");
        memcpy(larger, source->at, left);
        free(source->window);
        source->window = larger;
        source->window_size = bytes;
    } else {
        memmove(source->window, source->at, left);
    }
    source->at = source->window;
    source->end = source->window + left;
    return true;
}

bool source_fill(struct trace_source *source, size_t bytes, struct trace_error *error)
{
    if (!make_room(source, bytes, error))
        return false;
    while (source_left(source) < bytes && !source->ended) {
        unsigned char *to = source->window + source_left(source);
        size_t room = source->window_size - source_left(source), got = 0;
        bool good = source->unpack ? unpack_more(source, to, room, &got, error)
                                   : read_some(source, to, room, &got, error);

        if (!good)
            return false;
        source->ended = got == 0;
        source->end += got;
    }
    return true;
}

/* *got is 0 at the end of the file only. */
static bool read_some(struct trace_source *source, unsigned char *to, size_t room, size_t *got,
                      struct trace_error *error)
{
    ssize_t count;

    /* What is looked at first must fit the unpacker's buffer. */
    if (room > PACKED_BYTES)
        room = PACKED_BYTES;
    do {
        count = read(source->fd, to, room);
    } while (count < 0 && errno == EINTR);
    if (count < 0)
        return trace_fail_at(error, source->path, source->file_read, "%s", strerror(errno));
    source->file_read += (uint64_t)count;
    *got = (size_t)count;
    return true;
}

static bool unpack_more(struct trace_source *source, unsigned char *to, size_t room, size_t *got,
                        struct trace_error *error)
{
    struct source_unpack *unpack = source->unpack;
    ZSTD_outBuffer out = {to, room, 0};

    while (out.pos == 0) {
        if (unpack->in.pos == unpack->in.size && !unpack->in_ended) {
            size_t count;

            if (!read_some(source, unpack->bytes, sizeof(unpack->bytes), &count, error))
                return false;
            unpack->in = (ZSTD_inBuffer){unpack->bytes, count, 0};
            unpack->in_ended = count == 0;
        }
        if (unpack->in_ended && unpack->in.pos == unpack->in.size && unpack->unfinished == 0)
            break;
        size_t taken = unpack->in.pos;

        unpack->unfinished = ZSTD_decompressStream(unpack->stream, &out, &unpack->in);
        if (ZSTD_isError(unpack->unfinished))
            return trace_fail_at(error, source->path, source->file_read - (unpack->in.size - unpack->in.pos),
                                 "not what zstd has packed: %s", ZSTD_getErrorName(unpack->unfinished));
        if (unpack->in_ended && out.pos == 0 && unpack->in.pos == taken && unpack->unfinished > 0)
            return trace_fail_at(error, source->path, source->file_read,
                                 "the file ends within what zstd has packed, expected the rest of it");
    }
    *got = out.pos;
    return true;
}

bool source_line(struct trace_source *source, struct source_text *text, struct trace_error *error)
{
    *text = (struct source_text){0};
    if (!source_need(source, SOURCE_LINE_MOST, error))
        return false;
    if (source_left(source) == 0)
        return true;
    const unsigned char *end = memchr(source->at, '\n', source_left(source));

    text->line = source->at;
    text->cut = end == NULL;
    text->length = (size_t)((end ? end : source->end) - source->at);
    text->whole = text->length + (end != NULL);
    if (text->length >= SOURCE_LINE_MOST)
        return trace_fail_at(error, source->path, source_offset(source),
                             "a line of more than %d bytes, expected a text of lines", SOURCE_LINE_MOST);
    if (text->length > 0 && text->line[text->length - 1] == '\r')
        text->length--;
    return true;
}

bool source_read_at(const struct trace_source *source, uint64_t offset, void *buffer, size_t bytes,
                    struct trace_error *error)
{
    unsigned char *to = buffer;

    while (bytes > 0) {
        ssize_t count = pread(source->fd, to, bytes, (off_t)offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return trace_fail_at(error, source->path, offset, "%s", strerror(errno));
        if (count == 0)
            return trace_fail_at(error, source->path, offset, "the file ends, expected %zu bytes more",
                                 bytes);
        to += count;
        offset += (uint64_t)count;
        bytes -= (size_t)count;
    }
    return true;
}

bool source_hash(const struct trace_source *source, const void *salt, size_t salt_bytes,
                 unsigned char hash[32], struct trace_error *error)
{
    unsigned char bytes[16384];
    struct blake2b state;

    if (!source->seekable)
        return trace_fail(error, source->path, "cannot be read twice, expected a file");
    blake2b_init(&state);
    blake2b_add(&state, salt, salt_bytes);
    for (uint64_t at = 0; at < source->file_bytes;) {
        uint64_t left = source->file_bytes - at;
        size_t count = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);

        if (!source_read_at(source, at, bytes, count, error))
            return false;
        blake2b_add(&state, bytes, count);
        at += count;
    }
    blake2b_end(&state, hash);
    return true;
}

double source_progress(const struct trace_source *source)
{
    if (source->file_bytes == 0)
        return -1;
    uint64_t waiting =
        source->unpack ? source->unpack->in.size - source->unpack->in.pos : (uint64_t)source_left(source);

    return (double)(source->file_read - waiting) / (double)source->file_bytes;
}
