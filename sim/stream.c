/*
 * A trace with or without its future: sim/stream.h.
 */
#include "sim/stream.h"

bool stream_open(struct stream *stream, const char *path, const struct trace_options *options, bool future,
                 struct trace_error *error)
{
    *stream = (struct stream){0};
    if (!future) {
        stream->trace = trace_open(path, options, error);
        return stream->trace != NULL;
    }
    stream->future = future_open(path, options, error);
    if (stream->future)
        stream->trace = future_trace(stream->future);
    return stream->future != NULL;
}

void stream_close(struct stream *stream)
{
    if (stream->future)
        future_close(stream->future);
    else
        trace_close(stream->trace);
}

bool stream_next(struct stream *stream, struct policy_block *block, struct trace_error *error)
{
    return stream->future ? future_next(stream->future, block, error)
                          : trace_next(stream->trace, block, error);
}

struct pass_totals stream_totals(const struct stream *stream)
{
    struct trace_info info;

    trace_get_info(stream->trace, &info);
    return (struct pass_totals){info.references, info.writes, info.page_bytes, trace_pages(stream->trace)};
}
