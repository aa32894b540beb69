/*
 * One pass over a trace: sim/pass.h.
 */
#include "sim/pass.h"

#include <stdio.h>

#include "sim/trace_future.h"

enum { BLOCKS_A_STEP = 32 }; /* between two calls of progress() */

bool pass_no_memory(const char *path, struct trace_error *error)
{
    snprintf(error->text, sizeof(error->text), "%s: not enough memory to simulate it", path);
    return false;
}

/* A trace, or one with its future. */
struct source {
    struct trace *trace;
    struct trace_future *future; /* NULL: nobody wants it */
};

static bool source_open(struct source *source, const struct pass *pass, struct trace_error *error)
{
    *source = (struct source){0};
    if (!pass->future) {
        source->trace = trace_open(pass->path, pass->options, error);
        return source->trace != NULL;
    }
    source->future = future_open(pass->path, pass->options, error);
    if (source->future)
        source->trace = future_trace(source->future);
    return source->future != NULL;
}

static void source_close(struct source *source)
{
    if (source->future)
        future_close(source->future);
    else
        trace_close(source->trace);
}

static bool source_next(struct source *source, struct policy_block *block, struct trace_error *error)
{
    return source->future ? future_next(source->future, block, error)
                          : trace_next(source->trace, block, error);
}

static bool pass_blocks(const struct pass *pass, struct source *source, struct trace_error *error)
{
    for (uint64_t blocks = 1;; blocks++) {
        struct policy_block block;

        if (!source_next(source, &block, error))
            return false;
        if (block.count == 0)
            return true;
        if (!pass->block(pass->context, &block, trace_pages(source->trace), error))
            return false;
        if (pass->progress && blocks % BLOCKS_A_STEP == 0)
            pass->progress(pass->context, trace_progress(source->trace));
    }
}

bool pass_run(const struct pass *pass, struct pass_totals *totals, struct trace_error *error)
{
    struct source source;
    struct trace_info info;
    bool done;

    if (!source_open(&source, pass, error))
        return false;
    done = pass_blocks(pass, &source, error);
    trace_get_info(source.trace, &info);
    *totals = (struct pass_totals){info.references, info.writes, info.page_bytes, trace_pages(source.trace)};
    source_close(&source);
    if (done && pass->progress)
        pass->progress(pass->context, 1);
    return done;
}
