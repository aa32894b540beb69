/*
 * What the tests of traces share: files with given bytes, and traces read whole.
 */
#ifndef TESTS_TRACE_SUPPORT_H
#define TESTS_TRACE_SUPPORT_H

#include "sim/trace.h"
#include "sim/trace_writer.h"
#include "support.h"

/* A file with these bytes in a folder that goes away at the end; the name stays good until the next call. */
const char *trace_file(const char *name, const void *bytes, size_t count);
const char *trace_text_file(const char *text);
/* The folder, made when first asked for. */
const char *trace_folder(void);
void trace_folder_remove(void);

/* A trace that was read to its end. */
struct whole {
    uint32_t *references;
    size_t count;
    struct trace_error error;
    bool good;
};
struct whole trace_read_whole(struct trace *trace);
/* As text: "0 1w 2 0", or the error. Static memory. */
const char *trace_as_text(const char *path, const struct trace_options *options);

/* Writes these references, their pages named by name_of(number). */
void trace_write(const char *path, const uint32_t *references, size_t count, uint64_t page_bytes,
                 uint64_t (*name_of)(uint32_t number));

#endif
