/*
 * The bytes of a trace file, through a window that slides over them. A file that zstd has packed is unpacked
 * on the way, and all offsets are then those of the unpacked bytes.
 */
#ifndef QUIRE_SIM_TRACE_SOURCE_H
#define QUIRE_SIM_TRACE_SOURCE_H

#include "sim/trace.h"

struct trace_source {
    const unsigned char *at, *end; /* what can be read now; the reader moves `at` on */
    uint64_t window_offset;        /* of the first byte of the window */
    unsigned char *window;
    size_t window_size;
    bool ended;    /* nothing comes behind `end` */
    bool packed;   /* by zstd */
    bool seekable; /* can be read again, and from any place */
    int fd;
    char *path;
    uint64_t file_bytes; /* 0: not known */
    uint64_t file_read;
    struct source_unpack *unpack; /* NULL: not packed */
};

/* Opens `path` ("-": standard input). NULL with *error. The caller closes it by source_close(). */
struct trace_source *source_open(const char *path, struct trace_error *error);
void source_close(struct trace_source *source);
/* The slow half of source_need(). */
bool source_fill(struct trace_source *source, size_t bytes, struct trace_error *error);
/* From the first byte again. False when the source is a pipe. */
bool source_rewind(struct trace_source *source, struct trace_error *error);
/* Exactly `bytes` from `offset` of a file that is seekable and not packed; the window stays as it is. */
bool source_read_at(const struct trace_source *source, uint64_t offset, void *buffer, size_t bytes,
                    struct trace_error *error);
/* The file's bytes as they lie there, packed or not, put through BLAKE2b behind the bytes of `salt`. False
 * for a pipe. */
bool source_hash(const struct trace_source *source, const void *salt, size_t salt_bytes,
                 unsigned char hash[32], struct trace_error *error);
/* 0 ... 1, or -1 when the length is not known. */
double source_progress(const struct trace_source *source);

static inline size_t source_left(const struct trace_source *source)
{
    return (size_t)(source->end - source->at);
}

/* Where `at` stands. */
static inline uint64_t source_offset(const struct trace_source *source)
{
    return source->window_offset + (uint64_t)(source->at - source->window);
}

/* Makes `bytes` readable at `at`, or all that there is when the file ends before: source_left() says how
 * much. False when reading has failed. Pointers into the window are void afterwards. */
static inline bool source_need(struct trace_source *source, size_t bytes, struct trace_error *error)
{
    return source_left(source) >= bytes || source->ended || source_fill(source, bytes, error);
}

enum { SOURCE_LINE_MOST = 16384 };

/* The line at `at`, without its end; it is good until the next call. *line NULL: there is none any more.
 * `cut`: the file ends without a line feed. The source stays where it is: the reader adds `whole` to `at`.
 * False: reading has failed, or the line is longer than SOURCE_LINE_MOST. */
struct source_text {
    const unsigned char *line;
    size_t length; /* without CR LF */
    size_t whole;  /* with them */
    bool cut;
};
bool source_line(struct trace_source *source, struct source_text *text, struct trace_error *error);

#endif
