/*
 * What the readers of the formats share. trace.c opens, guesses and chooses; a reader, one a format, turns
 * the source's bytes into references.
 */
#ifndef QUIRE_SIM_TRACE_INTERNAL_H
#define QUIRE_SIM_TRACE_INTERNAL_H

#include "quire/event.h"
#include "sim/trace.h"
#include "sim/trace_names.h"
#include "sim/trace_source.h"

struct packed_reader;

/* What is left of an access that goes over several pages. */
struct pages_left {
    uint64_t next, end; /* pages, half-open */
    bool write;
};

/* Which columns of a CSV mean what: from 1, 0: there is none. */
struct csv_columns {
    bool known;
    unsigned time, object, size, operation;
    char delimiter;
    enum { HEADER_UNKNOWN, HEADER_THERE, HEADER_NONE } header;
    bool words; /* objects are any words, not numbers */
};

struct trace {
    enum trace_format format;
    struct trace_options options;
    struct trace_source *source;
    struct trace_names names;
    uint64_t last_page;  /* the highest that the address width allows */
    uint64_t references; /* that have been given */
    uint64_t writes;
    uint64_t line;      /* of text: the one at which the source stands, from 1 */
    uint64_t records;   /* of oracleGeneral, so far */
    uint64_t furthest;  /* and the last of which one says that it is there */
    uint64_t last_time; /* of a record, and its billionths */
    uint32_t last_billionths;
    struct pages_left left;       /* of lackey */
    struct csv_columns columns;   /* of CSV */
    struct packed_reader *packed; /* our own format */
    struct recorded *recorded;    /* of a kernel */
    bool marked;                  /* it has marks, and time passes by them */
    size_t mark_count;            /* of the block */
    uint32_t block[TRACE_BLOCK];
    struct policy_mark marks[TRACE_MARKS];
};

/* *error becomes "PATH: " (in the second: "PATH: at byte OFFSET: ") and the text. Always false. */
bool trace_fail(struct trace_error *error, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool trace_fail_at(struct trace_error *error, const char *path, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* How many of these bytes an error may show: up to the first that is not printable, and not too many. */
int trace_printable(const unsigned char *bytes, size_t count);

/* Readers. Each fills trace->block with at most TRACE_BLOCK references; *count 0: the end. */
bool text_read(struct trace *trace, size_t *count, struct trace_error *error);
bool raw64_read(struct trace *trace, size_t *count, struct trace_error *error);
bool oracle_read(struct trace *trace, size_t *count, struct trace_error *error);
bool lackey_read(struct trace *trace, size_t *count, struct trace_error *error);
bool csv_read(struct trace *trace, size_t *count, struct trace_error *error);
/* Does the line look as if lackey (or valgrind) had written it? */
bool lackey_line(const unsigned char *line, size_t length);
/* Understands options.csv_columns. */
bool csv_open(struct trace *trace, struct trace_error *error);

/* Our own format: blocks of its own size. */
bool packed_open(struct trace *trace, struct trace_error *error);
void packed_close(struct trace *trace);
bool packed_read(struct trace *trace, size_t *count, struct trace_error *error);
void packed_rewind(struct trace *trace);
/* The file has a trailer that was looked at, and its own page size is the one wanted. */
bool packed_reads_backwards(const struct trace *trace);
void packed_info(const struct trace *trace, struct trace_info *info);
bool packed_hash(const struct trace *trace, unsigned char hash[32], struct trace_error *error);

/* Recordings (trace_recording.c). */
bool recording_open(struct trace *trace, struct trace_error *error);
void recording_close(struct trace *trace);
bool recording_read(struct trace *trace, size_t *count, struct trace_error *error);
bool recording_rewind(struct trace *trace, struct trace_error *error);
uint32_t recording_window(const struct trace *trace);

/* What `page` becomes in trace->block. False: there is no number left, or the page is beyond the address
 * width
 * (`offset` says where in the source). */
bool trace_refuse_page(const struct trace *trace, uint64_t page, uint64_t offset, struct trace_error *error);

static inline bool trace_refer(struct trace *trace, uint64_t page, bool write, uint32_t *reference)
{
    uint32_t number = page <= trace->last_page ? trace_names_number(&trace->names, page) : POLICY_NO_PAGE;

    *reference = number << 1 | write;
    return number != POLICY_NO_PAGE;
}

#endif
