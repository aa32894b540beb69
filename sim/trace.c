/*
 * Traces: opens one, finds out its format, and calls the reader of that format.
 */
#include "sim/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/bytes.h"
#include "sim/hash.h"
#include "sim/trace_format.h"
#include "sim/trace_internal.h"

enum { STANDARD_PAGE_BYTES = 4096, LOOK_BYTES = 4096 };

static bool take_options(struct trace *trace, const struct trace_options *options, struct trace_error *error);
static bool open_format(struct trace *trace, struct trace_error *error);
static enum trace_format guess(const struct trace_source *source);

bool trace_fail(struct trace_error *error, const char *path, const char *format, ...)
{
    va_list args;
    int length = snprintf(error->text, sizeof(error->text), "%.150s: ", path);

    va_start(args, format);
    vsnprintf(error->text + length, sizeof(error->text) - (size_t)length, format, args);
    va_end(args);
    return false;
}

bool trace_fail_at(struct trace_error *error, const char *path, uint64_t offset, const char *format, ...)
{
    va_list args;
    int length = snprintf(error->text, sizeof(error->text), "%.150s: at byte %llu: ", path,
                          (unsigned long long)offset);

    va_start(args, format);
    vsnprintf(error->text + length, sizeof(error->text) - (size_t)length, format, args);
    va_end(args);
    return false;
}

int trace_printable(const unsigned char *bytes, size_t count)
{
    int i = 0;

    while ((size_t)i < count && i < 60 && bytes[i] >= ' ' && bytes[i] < 0x7f)
        i++;
    return i;
}

struct trace *trace_open(const char *path, const struct trace_options *options, struct trace_error *error)
{
    struct trace *trace = calloc(1, sizeof(*trace));

    if (!trace) {
        trace_fail(error, path, "not enough memory");
        return NULL;
    }
    trace->line = 1;
    trace->source = source_open(path, error);
    if (trace->source && take_options(trace, options, error) && open_format(trace, error))
        return trace;
    trace_close(trace);
    return NULL;
}

void trace_close(struct trace *trace)
{
    if (!trace)
        return;
    packed_close(trace);
    recording_close(trace);
    source_close(trace->source);
    trace_names_free(&trace->names);
    free(trace);
}

static bool take_options(struct trace *trace, const struct trace_options *options, struct trace_error *error)
{
    if (options)
        trace->options = *options;
    if (trace->options.address_bits == 0)
        trace->options.address_bits = 64;
    uint64_t page_bytes = trace->options.page_bytes ? trace->options.page_bytes : STANDARD_PAGE_BYTES;

    if (trace->options.address_bits > 64)
        return trace_fail(error, trace->source->path, "addresses of %u bits, expected at most 64",
                          trace->options.address_bits);
    if ((page_bytes & (page_bytes - 1)) != 0)
        return trace_fail(error, trace->source->path, "pages of %llu bytes, expected a power of two",
                          (unsigned long long)page_bytes);
    trace->last_page = (UINT64_MAX >> (64 - trace->options.address_bits)) / page_bytes;
    return true;
}

static bool open_format(struct trace *trace, struct trace_error *error)
{
    struct trace_source *source = trace->source;

    if (!source_need(source, LOOK_BYTES, error))
        return false;
    if (source_left(source) == 0)
        return trace_fail_at(error, source->path, 0, "the file is empty, expected a trace");
    trace->format = trace->options.format == TRACE_GUESS ? guess(source) : trace->options.format;
    if (trace->format == TRACE_QUIRE)
        return packed_open(trace, error);
    if (trace->options.page_bytes == 0)
        trace->options.page_bytes = STANDARD_PAGE_BYTES;
    /* Objects may have any number. */
    if (trace->format == TRACE_ORACLE || trace->format == TRACE_CSV || trace->format == TRACE_RECORDING)
        trace->last_page = UINT64_MAX;
    if (trace->format == TRACE_RECORDING)
        return recording_open(trace, error);
    return trace->format != TRACE_CSV || csv_open(trace, error);
}

/* ------------------------------------------------------------------ which format? */

static const char *const format_names[] = {
    [TRACE_GUESS] = "guess", [TRACE_QUIRE] = "quire",        [TRACE_TEXT] = "text",
    [TRACE_RAW64] = "raw64", [TRACE_LACKEY] = "lackey",      [TRACE_ORACLE] = "oracle",
    [TRACE_CSV] = "csv",     [TRACE_RECORDING] = "recording"};
const char trace_formats[] = "quire, text, raw64, lackey, oracle, csv or recording";

const char *trace_format_name(enum trace_format format)
{
    return format_names[format];
}

bool trace_format_find(const char *name, enum trace_format *format)
{
    for (unsigned i = TRACE_QUIRE; i <= TRACE_RECORDING; i++)
        if (strcmp(name, format_names[i]) == 0) {
            *format = (enum trace_format)i;
            return true;
        }
    return false;
}

static bool begins_with(const struct trace_source *source, const void *bytes, size_t count)
{
    return source_left(source) >= count && memcmp(source->at, bytes, count) == 0;
}

static bool is_text(const struct trace_source *source)
{
    size_t left = source_left(source) < LOOK_BYTES ? source_left(source) : LOOK_BYTES;

    for (size_t i = 0; i < left; i++)
        if (source->at[i] >= 0x7f || (source->at[i] < ' ' && (source->at[i] < '\t' || source->at[i] > '\r')))
            return false;
    return true;
}

/* The first line decides: lackey's begin as no other's, and fields have something between them. */
static enum trace_format guess_text(const struct trace_source *source)
{
    const unsigned char *end = memchr(source->at, '\n', source_left(source));
    size_t length = (size_t)((end ? end : source->end) - source->at);

    if (lackey_line(source->at, length))
        return TRACE_LACKEY;
    for (size_t i = 0; i < length; i++)
        if (source->at[i] && strchr(",;|:", source->at[i]))
            return TRACE_CSV;
    return TRACE_TEXT;
}

/* Of what is binary only the name of the file says more: numbers may be anything. */
static enum trace_format guess(const struct trace_source *source)
{
    if (begins_with(source, FORMAT_MAGIC, FORMAT_MAGIC_BYTES))
        return TRACE_QUIRE;
    if (begins_with(source, EVENT_FILE_MAGIC, EVENT_FILE_MAGIC_BYTES))
        return TRACE_RECORDING;
    if (is_text(source))
        return guess_text(source);
    return strstr(source->path, "oracleGeneral") ? TRACE_ORACLE : TRACE_RAW64;
}

/* ------------------------------------------------------------------ reading */

static bool read_block(struct trace *trace, size_t *count, struct trace_error *error)
{
    switch (trace->format) {
    case TRACE_QUIRE:
        return packed_read(trace, count, error);
    case TRACE_TEXT:
        return text_read(trace, count, error);
    case TRACE_RAW64:
        return raw64_read(trace, count, error);
    case TRACE_LACKEY:
        return lackey_read(trace, count, error);
    case TRACE_ORACLE:
        return oracle_read(trace, count, error);
    case TRACE_CSV:
        return csv_read(trace, count, error);
    case TRACE_RECORDING:
        return recording_read(trace, count, error);
    case TRACE_GUESS:
        break;
    }
    return trace_fail(error, trace->source->path, "in a format that is not known");
}

bool trace_next(struct trace *trace, struct policy_block *block, struct trace_error *error)
{
    size_t count = 0;

    *block = (struct policy_block){.references = trace->block, .timed = trace->marked};
    trace->mark_count = 0;
    if (!read_block(trace, &count, error))
        return false;
    if (count == 0 && trace->references == 0)
        return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                             "the file ends without a reference, expected one at least");
    for (size_t i = 0; trace->format != TRACE_QUIRE && i < count; i++)
        trace->writes += trace->block[i] & 1;
    trace->references += count;
    block->count = count;
    if (trace->mark_count > 0) {
        block->marks = trace->marks;
        block->mark_count = trace->mark_count;
    }
    return true;
}

bool trace_refuse_page(const struct trace *trace, uint64_t page, uint64_t offset, struct trace_error *error)
{
    if (page > trace->last_page)
        return trace_fail_at(error, trace->source->path, offset,
                             "page %llu, expected one that an address of %u bits can reach",
                             (unsigned long long)page, trace->options.address_bits);
    return trace_fail_at(error, trace->source->path, offset, "not enough memory for more than %u pages",
                         trace->names.count);
}

bool trace_rewind(struct trace *trace, struct trace_error *error)
{
    if (!source_rewind(trace->source, error) || !source_need(trace->source, LOOK_BYTES, error))
        return false;
    trace->references = 0;
    trace->writes = 0;
    trace->line = 1;
    trace->records = trace->furthest = 0;
    trace->last_time = trace->last_billionths = 0;
    trace->left = (struct pages_left){0};
    if (trace->packed)
        packed_rewind(trace);
    return !trace->recorded || recording_rewind(trace, error);
}

uint32_t trace_pages(const struct trace *trace)
{
    return trace->names.count;
}

uint64_t trace_page_name(const struct trace *trace, uint32_t page)
{
    return trace->names.names[page];
}

void trace_get_info(const struct trace *trace, struct trace_info *info)
{
    *info = (struct trace_info){.format = trace->format,
                                .page_bytes = trace->options.page_bytes,
                                .references = trace->references,
                                .writes = trace->writes,
                                .pages = trace->names.count,
                                .marked = trace->marked};
    if (trace->recorded)
        info->filter = recording_window(trace);
    if (trace->packed)
        packed_info(trace, info);
}

bool trace_hash(const struct trace *trace, unsigned char hash[32], struct trace_error *error)
{
    const char *columns = trace->format == TRACE_CSV ? trace->options.csv_columns : NULL;
    unsigned char salt[16] = {0};

    if (trace->packed)
        return packed_hash(trace, hash, error);
    bytes_put32(salt, trace->format);
    bytes_put64(salt + 8, trace->options.page_bytes);
    if (trace->recorded)
        bytes_put32(salt + 4, trace->options.process);
    if (columns)
        bytes_put32(salt + 4, (uint32_t)xxh64(columns, strlen(columns), 0));
    return source_hash(trace->source, salt, sizeof(salt), hash, error);
}

/* What the writer hashes: the references, the names of the pages, the page size. */
static void hash_end(struct blake2b *state, const struct trace *trace, unsigned char hash[32])
{
    unsigned char page_bytes[8];
    struct trace_info info;

    trace_get_info(trace, &info);
    bytes_put64(page_bytes, info.page_bytes);
    blake2b_add(state, trace->names.names, trace->names.count * sizeof(trace->names.names[0]));
    blake2b_add(state, page_bytes, sizeof(page_bytes));
    blake2b_end(state, hash);
}

bool trace_check(struct trace *trace, void (*tell)(const struct trace *trace), struct trace_error *error)
{
    bool hashed = trace->packed && trace->options.page_bytes == 0;
    unsigned char said[32], found[32];
    struct policy_block block;
    struct blake2b state;

    blake2b_init(&state);
    do {
        if (!trace_next(trace, &block, error))
            return false;
        if (hashed)
            blake2b_add(&state, block.references, block.count * sizeof(block.references[0]));
        if (tell)
            tell(trace);
    } while (block.count > 0);
    if (!hashed)
        return true;
    hash_end(&state, trace, found);
    if (!trace_hash(trace, said, error))
        return false;
    return memcmp(said, found, sizeof(said)) == 0 ||
           trace_fail(error, trace->source->path, "its references are not those of its hash");
}

double trace_progress(const struct trace *trace)
{
    return source_progress(trace->source);
}
