/*
 * Where a pass has its references from: a trace, or one whose future is known.
 */
#ifndef QUIRE_SIM_STREAM_H
#define QUIRE_SIM_STREAM_H

#include "sim/pass.h"
#include "sim/trace_future.h"

struct stream {
    struct trace *trace;
    struct trace_future *future; /* NULL: nobody wants it */
};

bool stream_open(struct stream *stream, const char *path, const struct trace_options *options, bool future,
                 struct trace_error *error);
void stream_close(struct stream *stream);
/* As trace_next(), with block->distances if the future was wanted. */
bool stream_next(struct stream *stream, struct policy_block *block, struct trace_error *error);
/* Of what has been read. */
struct pass_totals stream_totals(const struct stream *stream);

#endif
