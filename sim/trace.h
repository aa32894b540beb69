/*
 * Traces of page references, read as a stream of blocks whatever their format.
 *
 * A reader numbers the pages densely from 0 in the order in which they first come (a trace in our own format
 * is numbered already, when it is made), so the whole of the simulator works with such numbers. Memory use
 * grows with the pages of a trace, never with its length.
 *
 * Errors: every function that may fail returns false (or NULL) and has filled in the caller's struct
 * trace_error with the file, the place in it and what was expected. Nothing is printed here.
 */
#ifndef QUIRE_SIM_TRACE_H
#define QUIRE_SIM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quire/policy.h"

enum { TRACE_BLOCK = 8192, TRACE_MARKS = 2 * TRACE_BLOCK }; /* references and marks of a block, at most */

/* Marks of a recording besides time and the ends of pages, when they were asked for: `page` is one of these,
 * and now_us the number of a member, from 1 on (a program with the children that it forks), in its low half.
 */
#define TRACE_MARK_MEMBER                                                                                    \
    (POLICY_NO_PAGE - 1) /* references are its from here on; 0: system calls'. High half: its process */
#define TRACE_MARK_MEMBER_ENDS (POLICY_NO_PAGE - 2)

enum trace_format {
    TRACE_GUESS, /* by the first bytes and the name */
    TRACE_QUIRE,
    TRACE_TEXT,     /* page numbers in white space, `w` after one marks a write */
    TRACE_RAW64,    /* little-endian 64-bit page numbers */
    TRACE_LACKEY,   /* valgrind --tool=lackey --trace-mem=yes */
    TRACE_ORACLE,   /* libCacheSim's oracleGeneral */
    TRACE_CSV,      /* libCacheSim's CSV */
    TRACE_RECORDING /* quire boot --record */
};

/* How the bytes of a trace are to be understood, where its format leaves that open. */
struct trace_options {
    enum trace_format format;
    uint64_t page_bytes; /* addresses become pages of this size; 0: 4096. Of our own format: a multiple of the
                            one that it was made with */
    unsigned address_bits;   /* addresses (or pages times page_bytes) must be below; 0: 64 */
    uint32_t process;        /* of a recording: only this process's references; 0: all */
    bool members;            /* of a recording: with marks that say whose the references are */
    const char *csv_columns; /* NULL: the standard of the format */
};

struct trace_error {
    char text[400]; /* "FILE: at byte OFFSET: ..., expected ..." */
};

struct trace_info {
    enum trace_format format;
    uint64_t page_bytes;
    uint64_t references, writes, pages; /* known before the end only for our own format: else what was seen */
    uint32_t filter;                    /* entries of the filter that a recorder put before; 0: none */
    uint64_t unfiltered;                /* references before that filter; 0: not known */
    bool marked; /* says when references were made, and which pages end (struct policy_mark) */
};

struct trace;

/* "quire", "text", "raw64", "lackey", "oracle", "csv", "recording": how --format calls them. */
const char *trace_format_name(enum trace_format format);
/* False: no such format; trace_formats says which there are. */
bool trace_format_find(const char *name, enum trace_format *format);
extern const char trace_formats[];

/* `path` "-": standard input. .zst is unpacked on the way. NULL with *error. */
struct trace *trace_open(const char *path, const struct trace_options *options, struct trace_error *error);
void trace_close(struct trace *trace);

/*
 * The next references, at most TRACE_BLOCK: block->references stays good until the next call;
 * block->distances is NULL; so are the marks. block->count 0: the end, everything was right. False: an error.
 */
bool trace_next(struct trace *trace, struct policy_block *block, struct trace_error *error);
/* From the beginning again. False when the source cannot be read twice (a pipe). */
bool trace_rewind(struct trace *trace, struct trace_error *error);

/* How many pages have been seen so far (all numbers are below), and the page that a number stands for: the
 * address divided by page_bytes. */
uint32_t trace_pages(const struct trace *trace);
uint64_t trace_page_name(const struct trace *trace, uint32_t page);
void trace_get_info(const struct trace *trace, struct trace_info *info);
/* What tells this stream of references, read with these options, from all others: BLAKE2b of 32 bytes. Our
 * own format has it at hand; of any other the file is read once for it. False for a pipe (of our own format:
 * before its end). */
bool trace_hash(const struct trace *trace, unsigned char hash[32], struct trace_error *error);
/* Reads what is left of the trace, which must be at its beginning. Of our own format it also compares the
 * hash of what was read with the one that was written. `tell` (may be NULL) is called after every block. */
bool trace_check(struct trace *trace, void (*tell)(const struct trace *trace), struct trace_error *error);
/* 0 … 1, for a progress bar; negative when it is not known. */
double trace_progress(const struct trace *trace);

#endif
