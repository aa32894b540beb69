/*
 * Distances to the next reference of the same page.
 *
 * Our format's records each say how long the one before is, so the blocks are read from the last to the
 * first. next[page] is the place of the page's reference that was seen last, which in time is the next one.
 */
#include "sim/trace_future.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/bytes.h"
#include "sim/trace_format.h"
#include "sim/trace_internal.h"
#include "sim/trace_writer.h"

struct trace_future {
    struct trace *trace;
    int copy;      /* our own copy of the trace, -1: none was needed */
    int distances; /* four bytes a reference, in the order of the trace */
    uint64_t at;   /* the next reference */
    uint32_t block[TRACE_BLOCK];
};

/* Reading backwards. */
struct backwards {
    const struct trace_source *source;
    struct format_trailer trailer;
    uint64_t end;        /* of the record that is to be read */
    uint32_t before;     /* its length */
    uint64_t references; /* before that end */
    uint32_t pages;
    uint64_t *next; /* by page; UINT64_MAX: none */
    ZSTD_DCtx *unpacker;
    unsigned char *record, *plain;
    uint32_t *dictionary, *block;
};

static bool open_trace(struct trace_future *future, const char *path, const struct trace_options *options,
                       struct trace_error *error);
static bool find_distances(struct trace_future *future, struct trace_error *error);

struct trace_future *future_open(const char *path, const struct trace_options *options,
                                 struct trace_error *error)
{
    struct trace_future *future = calloc(1, sizeof(*future));

    if (!future) {
        trace_fail(error, path, "not enough memory");
        return NULL;
    }
    future->copy = future->distances = -1;
    if (open_trace(future, path, options, error) && find_distances(future, error))
        return future;
    future_close(future);
    return NULL;
}

void future_close(struct trace_future *future)
{
    if (!future)
        return;
    trace_close(future->trace);
    if (future->copy >= 0)
        close(future->copy);
    if (future->distances >= 0)
        close(future->distances);
    free(future);
}

struct trace *future_trace(struct trace_future *future)
{
    return future->trace;
}

/* ------------------------------------------------------------------ a trace that can be read backwards */

/* A file without a name, or -1. */
static int temporary_file(struct trace_error *error)
{
    const char *folder = getenv("TMPDIR");
    char path[4096];
    int fd = -1, length;

    if (!folder || !*folder)
        folder = "/tmp";
    length = snprintf(path, sizeof(path), "%s/quire-XXXXXX", folder);
    if (length > 0 && (size_t)length < sizeof(path))
        fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        trace_fail(error, folder, "no temporary file can be made: %s", strerror(errno));
    else
        unlink(path);
    return fd;
}

static bool copy_trace(struct trace_future *future, struct trace_error *error)
{
    struct trace_info info;
    char path[32];

    trace_get_info(future->trace, &info);
    future->copy = temporary_file(error);
    if (future->copy < 0)
        return false;
    const struct trace_writer_options options = {.page_bytes = info.page_bytes, .filter = info.filter};
    struct trace_writer *writer = writer_create_fd(future->copy, "the temporary copy", &options, error);

    if (!writer)
        return false;
    if (!writer_copy(writer, future->trace, NULL, error)) {
        writer_abandon(writer);
        return false;
    }
    if (!writer_finish(writer, info.unfiltered, error))
        return false;
    trace_close(future->trace);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", future->copy);
    future->trace = trace_open(path, NULL, error);
    return future->trace != NULL;
}

static bool open_trace(struct trace_future *future, const char *path, const struct trace_options *options,
                       struct trace_error *error)
{
    future->trace = trace_open(path, options, error);
    if (!future->trace)
        return false;
    return packed_reads_backwards(future->trace) || copy_trace(future, error);
}

/* ------------------------------------------------------------------ distances */

static bool backwards_fail(const struct backwards *back, const char *what, struct trace_error *error)
{
    return trace_fail_at(error, back->source->path, back->end, "%s", what);
}

static bool backwards_init(struct backwards *back, const struct trace *trace, struct trace_error *error)
{
    const struct trace_source *source = trace->source;
    unsigned char bytes[FORMAT_TRAILER_BYTES];

    back->source = source;
    back->end = source->file_bytes - FORMAT_TRAILER_BYTES;
    if (!source_read_at(source, back->end, bytes, sizeof(bytes), error))
        return false;
    const char *wrong = format_trailer(bytes, &back->trailer);

    if (wrong)
        return backwards_fail(back, wrong, error);
    back->before = back->trailer.before;
    back->references = back->trailer.references;
    back->pages = back->trailer.pages;
    back->unpacker = ZSTD_createDCtx();
    back->record = malloc(FORMAT_BLOCK_BYTES + FORMAT_PAYLOAD_MOST);
    back->plain = malloc(FORMAT_PLAIN_MOST);
    back->dictionary = malloc(PACK_DICTIONARY_MOST * sizeof(uint32_t));
    back->block = malloc(FORMAT_BLOCK_MOST * sizeof(uint32_t));
    back->next = malloc(((size_t)back->pages + 1) * sizeof(*back->next));
    if (!back->unpacker || !back->record || !back->plain || !back->dictionary || !back->block || !back->next)
        return backwards_fail(back, "not enough memory", error);
    memset(back->next, 0xff, back->pages * sizeof(*back->next));
    return true;
}

static void backwards_free(struct backwards *back)
{
    ZSTD_freeDCtx(back->unpacker);
    free(back->record);
    free(back->plain);
    free(back->dictionary);
    free(back->block);
    free(back->next);
}

/* The block that ends at back->end; its references go to back->block. */
static bool read_backwards(struct backwards *back, struct format_block *block, struct trace_error *error)
{
    struct unpack unpack = {.dictionary = back->dictionary};

    if (back->before < FORMAT_BLOCK_BYTES || back->before > FORMAT_BLOCK_BYTES + FORMAT_PAYLOAD_MOST ||
        back->before > back->end - FORMAT_HEAD_BYTES)
        return backwards_fail(back, "the length of the record before is not possible", error);
    back->end -= back->before;
    if (!source_read_at(back->source, back->end, back->record, back->before, error))
        return false;
    const char *wrong = format_block(back->record, block);

    if (!wrong && block->payload + FORMAT_BLOCK_BYTES != back->before)
        wrong = "a block of another length than the record behind it says";
    if (!wrong && (block->references > back->references || block->pages > back->pages))
        wrong = "a block with more references or pages than the trailer counts";
    if (!wrong)
        wrong = format_payload(back->unpacker, back->record, block, back->plain);
    if (wrong)
        return backwards_fail(back, wrong, error);
    size_t names_bytes = (size_t)block->pages * FORMAT_NAME_BYTES;

    if (!unpack_start(&unpack, block->encoding, back->plain + names_bytes, block->plain - names_bytes,
                      block->references, back->pages * 2) ||
        !unpack_next(&unpack, back->block, block->references))
        return backwards_fail(back, "a block whose references cannot be unpacked", error);
    back->before = block->before;
    back->references -= block->references;
    back->pages -= block->pages;
    return true;
}

/* References become distances, in place. */
static void measure(const struct backwards *back, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        uint64_t *next = &back->next[back->block[i] >> 1], place = back->references + i;
        uint64_t distance = *next - place;

        if (*next == UINT64_MAX)
            distance = UINT32_MAX;
        else if (distance >= UINT32_MAX)
            distance = UINT32_MAX - 1;
        *next = place;
        back->block[i] = (uint32_t)distance;
    }
}

static bool write_at(int fd, uint64_t offset, const void *bytes, size_t count, struct trace_error *error)
{
    const char *at = bytes;

    while (count > 0) {
        ssize_t done = pwrite(fd, at, count, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return trace_fail(error, "the temporary file of distances", "cannot be written: %s",
                              strerror(errno));
        at += done;
        offset += (uint64_t)done;
        count -= (size_t)done;
    }
    return true;
}

static bool find_all(struct backwards *back, int fd, struct trace_error *error)
{
    struct format_block block;

    while (back->end > FORMAT_HEAD_BYTES) {
        if (!read_backwards(back, &block, error))
            return false;
        measure(back, block.references);
        if (!write_at(fd, back->references * 4, back->block, block.references * 4ul, error))
            return false;
    }
    if (back->references != 0 || back->pages != 0)
        return backwards_fail(back, "fewer references or pages than the trailer counts", error);
    return true;
}

static bool find_distances(struct trace_future *future, struct trace_error *error)
{
    struct backwards back = {0};
    bool good = false;

    future->distances = temporary_file(error);
    if (future->distances >= 0)
        good = backwards_init(&back, future->trace, error) && find_all(&back, future->distances, error);
    backwards_free(&back);
    return good;
}

/* ------------------------------------------------------------------ forwards */

bool future_next(struct trace_future *future, struct policy_block *block, struct trace_error *error)
{
    if (!trace_next(future->trace, block, error))
        return false;
    unsigned char *to = (unsigned char *)future->block;
    size_t left = block->count * sizeof(future->block[0]);
    uint64_t offset = future->at * sizeof(future->block[0]);

    while (left > 0) {
        ssize_t count = pread(future->distances, to, left, (off_t)offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return trace_fail(error, "the temporary file of distances", "cannot be read: %s",
                              count < 0 ? strerror(errno) : "it is too short");
        to += count;
        offset += (uint64_t)count;
        left -= (size_t)count;
    }
    future->at += block->count;
    block->distances = future->block;
    return true;
}

bool future_rewind(struct trace_future *future, struct trace_error *error)
{
    future->at = 0;
    return trace_rewind(future->trace, error);
}
