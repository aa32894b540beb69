/*
 * What the readers of the formats share. trace.c opens, guesses and chooses; a reader, one a format, turns
 * the source's bytes into references.
 */
#ifndef QUIRE_SIM_TRACE_INTERNAL_H
#define QUIRE_SIM_TRACE_INTERNAL_H

#include "sim/trace.h"
#include "sim/trace_names.h"
#include "sim/trace_source.h"

struct packed_reader;

struct trace {
    enum trace_format format;
    struct trace_options options;
    struct trace_source *source;
    struct trace_names names;
    uint64_t last_page;  /* the highest that the address width allows */
    uint64_t references; /* that have been given */
    uint64_t writes;
    uint64_t line;                /* of text: the one at which the source stands, from 1 */
    struct packed_reader *packed; /* our own format */
    uint32_t block[TRACE_BLOCK];
};

/* *error becomes "PATH: " (in the second: "PATH: at byte OFFSET: ") and the text. Always false. */
bool trace_fail(struct trace_error *error, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool trace_fail_at(struct trace_error *error, const char *path, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Readers. Each fills trace->block with at most TRACE_BLOCK references; *count 0: the end. */
bool text_read(struct trace *trace, size_t *count, struct trace_error *error);
bool raw64_read(struct trace *trace, size_t *count, struct trace_error *error);

/* Our own format: blocks of its own size. */
bool packed_open(struct trace *trace, struct trace_error *error);
void packed_close(struct trace *trace);
bool packed_read(struct trace *trace, size_t *count, struct trace_error *error);
void packed_rewind(struct trace *trace);
void packed_info(const struct trace *trace, struct trace_info *info);
bool packed_hash(const struct trace *trace, unsigned char hash[32], struct trace_error *error);

/* What `page` becomes in trace->block. False: there is no number left, or the page is beyond the address
 * width
 * (`offset` says where in the source). */
bool trace_refuse_page(const struct trace *trace, uint64_t page, uint64_t offset, struct trace_error *error);

static inline bool trace_refer(struct trace *trace, uint64_t page, bool write, uint32_t *reference)
{
    uint32_t number = page <= trace->last_page ? names_number(&trace->names, page) : POLICY_NO_PAGE;

    *reference = number << 1 | write;
    return number != POLICY_NO_PAGE;
}

#endif
