/*
 * One pass over a trace: sim/pass.h.
 */
#include "sim/pass.h"

#include <stdio.h>

enum { BLOCKS_A_STEP = 32 }; /* between two calls of progress() */

bool pass_no_memory(const char *path, struct trace_error *error)
{
    snprintf(error->text, sizeof(error->text), "%s: not enough memory to simulate it", path);
    return false;
}

static bool pass_blocks(const struct pass *pass, struct trace *trace, struct trace_error *error)
{
    for (uint64_t blocks = 1;; blocks++) {
        struct policy_block block;

        if (!trace_next(trace, &block, error))
            return false;
        if (block.count == 0)
            return true;
        if (!pass->block(pass->context, &block, trace_pages(trace), error))
            return false;
        if (pass->progress && blocks % BLOCKS_A_STEP == 0)
            pass->progress(pass->context, trace_progress(trace));
    }
}

bool pass_run(const struct pass *pass, struct pass_totals *totals, struct trace_error *error)
{
    struct trace *trace = trace_open(pass->path, pass->options, error);
    struct trace_info info;
    bool done;

    if (!trace)
        return false;
    done = pass_blocks(pass, trace, error);
    trace_get_info(trace, &info);
    *totals = (struct pass_totals){info.references, info.writes, info.page_bytes, trace_pages(trace)};
    trace_close(trace);
    if (done && pass->progress)
        pass->progress(pass->context, 1);
    return done;
}
