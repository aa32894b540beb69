/*
 * Reads our own format, forwards from a file or a pipe. Every number that the file gives is checked before it
 * is used: a damaged or made-up file ends in an error with its place.
 *
 * The pages are numbered already. When larger pages are wanted, trace->names numbers those, and `larger`
 * leads from one number to the other.
 */
#include <stdlib.h>
#include <zstd.h>

#include "sim/bytes.h"
#include "sim/hash.h"
#include "sim/trace_format.h"
#include "sim/trace_internal.h"
#include "sim/trace_pack.h"

struct packed_reader {
    uint64_t page_bytes; /* of the file */
    uint64_t ratio;      /* how many of its pages make one of ours */
    uint32_t filter;
    struct format_trailer trailer; /* as soon as it is known */
    bool known;                    /* it is */
    bool ended;
    uint32_t pages;      /* of the file, up to the block that is being read */
    uint64_t references; /* in the blocks so far, this one too */
    uint32_t *larger;    /* by the file's number, when ratio > 1 */
    uint32_t larger_count, larger_size;
    uint32_t before; /* bytes of the last record */
    ZSTD_DCtx *unpacker;
    struct unpack unpack;
    unsigned char *plain;
    uint32_t dictionary[PACK_DICTIONARY_MOST];
};

static bool read_head(struct trace *trace, struct trace_error *error);
static bool look_at_trailer(struct trace *trace, struct trace_error *error);
static bool read_block(struct trace *trace, struct trace_error *error);
static bool read_end(struct trace *trace, struct trace_error *error);

static bool fail(const struct trace *trace, const char *what, struct trace_error *error)
{
    return trace_fail_at(error, trace->source->path, source_offset(trace->source), "%s", what);
}

bool packed_open(struct trace *trace, struct trace_error *error)
{
    struct packed_reader *packed = calloc(1, sizeof(*packed));

    trace->packed = packed;
    if (packed) {
        packed->unpacker = ZSTD_createDCtx();
        packed->plain = malloc(FORMAT_PLAIN_MOST);
    }
    if (!packed || !packed->unpacker || !packed->plain)
        return trace_fail(error, trace->source->path, "not enough memory");
    packed->unpack.dictionary = packed->dictionary;
    if (!read_head(trace, error))
        return false;
    if (!trace->source->seekable || trace->source->packed)
        return true;
    return look_at_trailer(trace, error);
}

void packed_close(struct trace *trace)
{
    struct packed_reader *packed = trace->packed;

    if (!packed)
        return;
    ZSTD_freeDCtx(packed->unpacker);
    free(packed->plain);
    free(packed->larger);
    free(packed);
    trace->packed = NULL;
}

/* ------------------------------------------------------------------ the head and the trailer */

static bool read_head(struct trace *trace, struct trace_error *error)
{
    struct packed_reader *packed = trace->packed;
    struct trace_source *source = trace->source;
    uint64_t wanted = trace->options.page_bytes;

    if (!source_need(source, FORMAT_HEAD_BYTES, error))
        return false;
    if (source_left(source) < FORMAT_HEAD_BYTES)
        return fail(trace, "the file ends within its head, expected 64 bytes", error);
    const unsigned char *head = source->at;

    if (memcmp(head, FORMAT_MAGIC, FORMAT_MAGIC_BYTES) != 0)
        return fail(trace, "another format, expected the mark of our own", error);
    if (bytes_get64(head + HEAD_SUM) != xxh64(head, HEAD_SUM, 0))
        return fail(trace, "the head is damaged: its sum is wrong", error);
    if (bytes_get32(head + HEAD_VERSION) != FORMAT_VERSION ||
        bytes_get32(head + HEAD_BYTES) != FORMAT_HEAD_BYTES)
        return trace_fail_at(error, source->path, HEAD_VERSION, "version %u of the format, expected %d",
                             bytes_get32(head + HEAD_VERSION), FORMAT_VERSION);
    packed->page_bytes = bytes_get64(head + HEAD_PAGE_BYTES);
    packed->filter = bytes_get32(head + HEAD_FILTER);
    if (packed->page_bytes == 0 || (packed->page_bytes & (packed->page_bytes - 1)) != 0)
        return trace_fail_at(error, source->path, HEAD_PAGE_BYTES,
                             "pages of %llu bytes, expected a power of two",
                             (unsigned long long)packed->page_bytes);
    packed->ratio = wanted ? wanted / packed->page_bytes : 1;
    if (packed->ratio * packed->page_bytes != (wanted ? wanted : packed->page_bytes) || packed->ratio == 0)
        return trace_fail(error, source->path,
                          "pages of %llu bytes, expected a page size that is a multiple of it, not %llu",
                          (unsigned long long)packed->page_bytes, (unsigned long long)wanted);
    source->at += FORMAT_HEAD_BYTES;
    packed->before = FORMAT_HEAD_BYTES;
    return true;
}

/* Of a file: says at once what the trace holds, and whether it is complete. */
static bool look_at_trailer(struct trace *trace, struct trace_error *error)
{
    const struct trace_source *source = trace->source;
    unsigned char bytes[FORMAT_TRAILER_BYTES];
    uint64_t least = FORMAT_HEAD_BYTES + FORMAT_TRAILER_BYTES;

    if (source->file_bytes < least)
        return trace_fail_at(error, source->path, source->file_bytes,
                             "the file ends, expected %llu bytes more at least",
                             (unsigned long long)(least - source->file_bytes));
    uint64_t offset = source->file_bytes - FORMAT_TRAILER_BYTES;

    if (!source_read_at(source, offset, bytes, sizeof(bytes), error))
        return false;
    const char *wrong = format_trailer(bytes, &trace->packed->trailer);

    if (wrong)
        return trace_fail_at(error, source->path, offset, "%s", wrong);
    trace->packed->known = true;
    return true;
}

/* ------------------------------------------------------------------ references */

bool packed_read(struct trace *trace, size_t *count, struct trace_error *error)
{
    struct packed_reader *packed = trace->packed;

    *count = 0;
    while (packed->unpack.left == 0 && !packed->ended)
        if (!read_block(trace, error))
            return false;
    *count = packed->unpack.left < TRACE_BLOCK ? packed->unpack.left : TRACE_BLOCK;
    if (*count > 0 && !unpack_next(&packed->unpack, trace->block, *count))
        return fail(trace, "the block before has a reference to a page that is not there", error);
    for (size_t i = 0; packed->larger && i < *count; i++)
        trace->block[i] = packed->larger[trace->block[i] >> 1] << 1 | (trace->block[i] & 1);
    return true;
}

/* The number of the larger page in which the next page of the file lies. */
static bool take_larger(struct packed_reader *packed, uint32_t number)
{
    if (packed->larger_count == packed->larger_size) {
        uint32_t size = packed->larger_size ? packed->larger_size * 2 : 1024;
        uint32_t *larger = realloc(packed->larger, size * sizeof(*larger));

        if (!larger)
            return false;
        packed->larger = larger;
        packed->larger_size = size;
    }
    packed->larger[packed->larger_count++] = number;
    return number != POLICY_NO_PAGE;
}

/* The pages that come for the first time, unless they are known from an earlier pass. */
static bool take_names(struct trace *trace, uint32_t pages, struct trace_error *error)
{
    struct packed_reader *packed = trace->packed;

    for (uint32_t i = 0; i < pages; i++) {
        uint64_t name = bytes_get64(packed->plain + (size_t)i * FORMAT_NAME_BYTES) / packed->ratio;
        bool known = packed->pages < (packed->ratio > 1 ? packed->larger_count : trace->names.count);
        bool good = name <= trace->last_page;

        if (good && !known)
            good = packed->ratio > 1 ? take_larger(packed, trace_names_number(&trace->names, name))
                                     : trace_names_append(&trace->names, name);
        if (!good)
            return trace_refuse_page(trace, name, source_offset(trace->source), error);
        packed->pages++;
    }
    return true;
}

static bool start_block(struct trace *trace, const struct format_block *block, struct trace_error *error)
{
    struct packed_reader *packed = trace->packed;
    size_t names_bytes = (size_t)block->pages * FORMAT_NAME_BYTES;

    if (!take_names(trace, block->pages, error))
        return false;
    if (!unpack_start(&packed->unpack, block->encoding, packed->plain + names_bytes,
                      block->plain - names_bytes, block->references, packed->pages * 2))
        return fail(trace, "a block whose references cannot be unpacked", error);
    packed->references += block->references;
    return true;
}

static bool read_block(struct trace *trace, struct trace_error *error)
{
    struct packed_reader *packed = trace->packed;
    struct trace_source *source = trace->source;
    struct format_block block;

    if (!source_need(source, FORMAT_BLOCK_BYTES, error))
        return false;
    if (source_left(source) >= 4 && bytes_get32(source->at) == FORMAT_TRAILER_MARK)
        return read_end(trace, error);
    if (source_left(source) < FORMAT_BLOCK_BYTES)
        return fail(trace, "the file ends, expected a block or the trailer", error);
    const char *wrong = format_block(source->at, &block);

    if (wrong)
        return fail(trace, wrong, error);
    if (block.before != packed->before)
        return fail(trace, "a block that does not fit to the one before it", error);
    packed->before = FORMAT_BLOCK_BYTES + block.payload;
    if (!source_need(source, packed->before, error))
        return false;
    if (source_left(source) < packed->before)
        return trace_fail_at(error, source->path, source_offset(source) + source_left(source),
                             "the file ends within a block, expected %zu bytes more",
                             packed->before - source_left(source));
    wrong = format_payload(packed->unpacker, source->at, &block, packed->plain);
    if (wrong)
        return fail(trace, wrong, error);
    if (!start_block(trace, &block, error))
        return false;
    source->at += packed->before;
    return true;
}

static bool read_end(struct trace *trace, struct trace_error *error)
{
    struct packed_reader *packed = trace->packed;
    struct trace_source *source = trace->source;

    if (!source_need(source, FORMAT_TRAILER_BYTES + 1, error))
        return false;
    if (source_left(source) < FORMAT_TRAILER_BYTES)
        return fail(trace, "the file ends within its trailer", error);
    const char *wrong = format_trailer(source->at, &packed->trailer);

    if (wrong)
        return fail(trace, wrong, error);
    if (packed->trailer.references != packed->references || packed->trailer.pages != packed->pages ||
        packed->trailer.before != packed->before)
        return fail(trace, "the trailer counts other references or pages than the blocks have", error);
    if (source_left(source) > FORMAT_TRAILER_BYTES) {
        source->at += FORMAT_TRAILER_BYTES;
        return fail(trace, "bytes behind the trailer, expected the end of the file", error);
    }
    packed->known = true;
    packed->ended = true;
    return true;
}

void packed_rewind(struct trace *trace)
{
    struct packed_reader *packed = trace->packed;

    trace->source->at += FORMAT_HEAD_BYTES; /* it was looked at when the file was opened */
    packed->before = FORMAT_HEAD_BYTES;
    packed->pages = 0;
    packed->references = 0;
    packed->unpack.left = 0;
    packed->ended = false;
}

/* ------------------------------------------------------------------ what is known */

bool packed_reads_backwards(const struct trace *trace)
{
    return trace->packed && trace->source->seekable && !trace->source->packed && trace->packed->ratio == 1;
}

void packed_info(const struct trace *trace, struct trace_info *info)
{
    const struct packed_reader *packed = trace->packed;

    info->page_bytes = packed->page_bytes * packed->ratio;
    info->filter = packed->filter;
    if (!packed->known)
        return;
    info->references = packed->trailer.references;
    info->writes = packed->trailer.writes;
    info->unfiltered = packed->trailer.unfiltered;
    if (packed->ratio == 1)
        info->pages = packed->trailer.pages;
}

bool packed_hash(const struct trace *trace, unsigned char hash[32], struct trace_error *error)
{
    const struct packed_reader *packed = trace->packed;
    struct blake2b state;
    unsigned char page_bytes[8];

    if (!packed->known)
        return trace_fail(error, trace->source->path, "has no hash before its end was read, expected a file");
    memcpy(hash, packed->trailer.hash, 32);
    if (packed->ratio == 1)
        return true;
    bytes_put64(page_bytes, packed->page_bytes * packed->ratio);
    blake2b_init(&state);
    blake2b_add(&state, hash, 32);
    blake2b_add(&state, page_bytes, sizeof(page_bytes));
    blake2b_end(&state, hash);
    return true;
}
