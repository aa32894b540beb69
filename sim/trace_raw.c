/*
 * Raw page numbers: 64 bits each, little-endian, nothing else.
 */
#include "sim/bytes.h"
#include "sim/trace_internal.h"

enum { RECORD_BYTES = 8 };

bool raw64_read(struct trace *trace, size_t *count, struct trace_error *error)
{
    struct trace_source *source = trace->source;

    *count = 0;
    if (!source_need(source, (size_t)TRACE_BLOCK * RECORD_BYTES, error))
        return false;
    for (; *count < TRACE_BLOCK && source_left(source) >= RECORD_BYTES; source->at += RECORD_BYTES) {
        uint64_t page = bytes_get64(source->at);

        if (!trace_refer(trace, page, false, &trace->block[*count]))
            return trace_refuse_page(trace, page, source_offset(source), error);
        (*count)++;
    }
    if (*count == 0 && source_left(source) > 0)
        return trace_fail_at(error, source->path, source_offset(source),
                             "the file ends after %zu bytes of a page number, expected %d",
                             source_left(source), RECORD_BYTES);
    return true;
}
