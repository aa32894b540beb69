/*
 * Writes a trace in our own format (docs/TRACE-FORMAT.md), as a stream: memory grows with the pages, not with
 * the references. The file appears under its name when it is complete, and not before.
 */
#ifndef QUIRE_SIM_TRACE_WRITER_H
#define QUIRE_SIM_TRACE_WRITER_H

#include "sim/trace.h"

struct trace_writer;

struct trace_writer_options {
    uint64_t page_bytes;
    uint32_t filter; /* entries of the filter that the references went through; 0: none */
};

/* `path` "-": standard output. An existing file is replaced at the end; what is no plain file (a pipe) is
 * written as we go. NULL with *error. */
struct trace_writer *writer_create(const char *path, const struct trace_writer_options *options,
                                   struct trace_error *error);
/* Into an open file that is the caller's, and stays open; `name` is for errors. */
struct trace_writer *writer_create_fd(int fd, const char *name, const struct trace_writer_options *options,
                                      struct trace_error *error);
/* The page with the next number (from 0) is called `name`. Before its first reference, and only then: pages
 * are numbered in the order in which they come. */
bool writer_page(struct trace_writer *writer, uint64_t name, struct trace_error *error);
bool writer_put(struct trace_writer *writer, const uint32_t *references, size_t count,
                struct trace_error *error);
/* All that is left of a trace, with its pages. `tell` (may be NULL) is called after every block. */
bool writer_copy(struct trace_writer *writer, struct trace *trace, void (*tell)(const struct trace *trace),
                 struct trace_error *error);
/* Writes the trailer, gives the file its name, frees the writer. `unfiltered`: references before the filter,
 * 0: not known. Without a reference it fails: no trace is empty. After an error there is no file. */
bool writer_finish(struct trace_writer *writer, uint64_t unfiltered, struct trace_error *error);
/* Frees the writer, and leaves no file. NULL is nothing. */
void writer_abandon(struct trace_writer *writer);

#endif
