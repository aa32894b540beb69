/*
 * A place in a trace, for who takes its references a few at a time.
 */
#ifndef QUIRE_SIM_TRACE_CURSOR_H
#define QUIRE_SIM_TRACE_CURSOR_H

#include "sim/trace.h"

struct trace_cursor {
    struct trace *trace;
    struct policy_block block; /* that of trace_next() */
    size_t at;                 /* references of it that have been taken */
};

/* How many references can be taken from cursor_references() on, at most `wanted`: 0 at the end. False: an
 * error. */
static inline bool cursor_fill(struct trace_cursor *cursor, uint64_t wanted, size_t *count,
                               struct trace_error *error)
{
    if (cursor->at == cursor->block.count) {
        cursor->at = 0;
        cursor->block.count = 0;
        if (!trace_next(cursor->trace, &cursor->block, error))
            return false;
    }
    *count = cursor->block.count - cursor->at;
    if (*count > wanted)
        *count = (size_t)wanted;
    return true;
}

/* What part of the trace has been read, 0 … 1. */
static inline double cursor_progress(const struct trace_cursor *cursor)
{
    double part = trace_progress(cursor->trace);

    return part < 0 ? 0 : part;
}

static inline const uint32_t *cursor_references(const struct trace_cursor *cursor)
{
    return cursor->block.references + cursor->at;
}

static inline void cursor_take(struct trace_cursor *cursor, size_t count)
{
    cursor->at += count;
}

#endif
