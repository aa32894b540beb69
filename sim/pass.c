/*
 * One pass over a trace: sim/pass.h.
 */
#include "sim/pass.h"

#include <stdio.h>

#include "sim/stream.h"

enum { BLOCKS_A_STEP = 32 }; /* between two calls of progress() */

bool pass_no_memory(const char *path, struct trace_error *error)
{
    snprintf(error->text, sizeof(error->text), "%s: not enough memory to simulate it", path);
    return false;
}

static bool pass_blocks(const struct pass *pass, struct stream *stream, struct trace_error *error)
{
    for (uint64_t blocks = 1;; blocks++) {
        struct policy_block block;

        if (!stream_next(stream, &block, error))
            return false;
        if (block.count == 0)
            return true;
        if (!pass->block(pass->context, &block, trace_pages(stream->trace), error))
            return false;
        if (pass->progress && blocks % BLOCKS_A_STEP == 0)
            pass->progress(pass->context, trace_progress(stream->trace));
    }
}

bool pass_run(const struct pass *pass, struct pass_totals *totals, struct trace_error *error)
{
    struct stream stream;
    bool done;

    if (!stream_open(&stream, pass->path, pass->options, pass->future, error))
        return false;
    done = pass_blocks(pass, &stream, error);
    *totals = stream_totals(&stream);
    stream_close(&stream);
    if (done && pass->progress)
        pass->progress(pass->context, 1);
    return done;
}
