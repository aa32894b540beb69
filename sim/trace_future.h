/*
 * A trace whose future is known: each reference comes with the number of references until its page comes
 * again. OPT needs it.
 *
 * The distances are found by reading the trace backwards once, and are kept in a temporary file ($TMPDIR or
 * /tmp, four bytes a reference) that has no name and goes away with the process. Memory grows with the pages
 * only.
 */
#ifndef QUIRE_SIM_TRACE_FUTURE_H
#define QUIRE_SIM_TRACE_FUTURE_H

#include "sim/trace.h"

struct trace_future;

/* As trace_open(), and reads the whole trace before it returns. A trace that cannot be read backwards (every
 * format but ours; packed files; standard input; larger pages) is first copied to a temporary file in our
 * format. NULL with *error. */
struct trace_future *future_open(const char *path, const struct trace_options *options,
                                 struct trace_error *error);
void future_close(struct trace_future *future);

/* As trace_next(), and block->distances is there: UINT32_MAX when the page never comes again, and
 * UINT32_MAX - 1 for all distances that are larger. */
bool future_next(struct trace_future *future, struct policy_block *block, struct trace_error *error);
bool future_rewind(struct trace_future *future, struct trace_error *error);

/* The trace that is read, for trace_page_name(), trace_get_info(), trace_hash(), trace_progress(). It is
 * always one in our own format, of which trace_get_info() knows all counts from the beginning. */
struct trace *future_trace(struct trace_future *future);

#endif
