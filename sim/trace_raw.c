/*
 * Records of a fixed length: raw page numbers, 64 bits each, little-endian and nothing else; and
 * libCacheSim's oracleGeneral (its traceReader/customizedReader/oracle), 24 bytes: time (32 bits), object
 * (64), size (32), and as which record the object comes next, counted from 1 (64; -1 or the largest number:
 * never). As there, a record of size 0 is no reference, and an object is a page whatever its size.
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

/* ------------------------------------------------------------------ libCacheSim's oracleGeneral */

enum { ORACLE_BYTES = 24, ORACLE_TIME = 0, ORACLE_OBJECT = 4, ORACLE_SIZE = 12, ORACLE_NEXT = 16 };

/* Is this what a record may say? `number` counts from 0, `next` from 1. */
static bool oracle_check(struct trace *trace, const unsigned char *record, struct trace_error *error)
{
    uint64_t time = bytes_get32(record + ORACLE_TIME), next = bytes_get64(record + ORACLE_NEXT);
    uint64_t offset = source_offset(trace->source);

    if (time < trace->last_time)
        return trace_fail_at(error, trace->source->path, offset,
                             "time %llu behind %llu, expected records in the order of time",
                             (unsigned long long)time, (unsigned long long)trace->last_time);
    trace->last_time = time;
    if (next == UINT64_MAX || next == INT64_MAX)
        return true;
    if (next > INT64_MAX || next <= trace->records)
        return trace_fail_at(error, trace->source->path, offset + ORACLE_NEXT,
                             "the object of record %llu comes again as record %llu, expected a later one",
                             (unsigned long long)trace->records + 1, (unsigned long long)next);
    if (next > trace->furthest)
        trace->furthest = next;
    return true;
}

/* A file that was cut between two records shows it: an object that is to come again does not. */
static bool oracle_end(const struct trace *trace, struct trace_error *error)
{
    const struct trace_source *source = trace->source;

    if (source_left(source) > 0)
        return trace_fail_at(error, source->path, source_offset(source),
                             "the file ends after %zu bytes of a record, expected %d", source_left(source),
                             ORACLE_BYTES);
    if (trace->furthest > trace->records)
        return trace_fail_at(error, source->path, source_offset(source),
                             "the file ends after %llu records, expected %llu at least: an object comes "
                             "again there",
                             (unsigned long long)trace->records, (unsigned long long)trace->furthest);
    return true;
}

bool oracle_read(struct trace *trace, size_t *count, struct trace_error *error)
{
    struct trace_source *source = trace->source;

    *count = 0;
    while (*count < TRACE_BLOCK) {
        if (!source_need(source, ORACLE_BYTES, error))
            return false;
        if (source_left(source) < ORACLE_BYTES)
            return *count > 0 || oracle_end(trace, error);
        uint64_t object = bytes_get64(source->at + ORACLE_OBJECT);

        if (!oracle_check(trace, source->at, error))
            return false;
        if (bytes_get32(source->at + ORACLE_SIZE) > 0) {
            if (!trace_refer(trace, object, false, &trace->block[*count]))
                return trace_refuse_page(trace, object, source_offset(source) + ORACLE_OBJECT, error);
            (*count)++;
        }
        source->at += ORACLE_BYTES;
        trace->records++;
    }
    return true;
}
