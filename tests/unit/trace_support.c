/*
 * Files for the tests of traces.
 */
#include "trace_support.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[64];

const char *trace_folder(void)
{
    if (!folder[0]) {
        snprintf(folder, sizeof(folder), "/tmp/quire-trace-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    return folder;
}

void trace_folder_remove(void)
{
    char command[100];

    if (!folder[0])
        return;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0); /* NOLINT(bugprone-command-processor) */
    folder[0] = '\0';
}

const char *trace_file(const char *name, const void *bytes, size_t count)
{
    static char path[200];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", trace_folder(), name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
    return path;
}

const char *trace_text_file(const char *text)
{
    return trace_file("text", text, strlen(text));
}

struct whole trace_read_whole(struct trace *trace)
{
    struct whole whole = {0};
    struct policy_block block;

    while ((whole.good = trace_next(trace, &block, &whole.error)) && block.count > 0) {
        assert_true(block.count <= TRACE_BLOCK);
        assert_null(block.distances);
        whole.references = realloc(whole.references, (whole.count + block.count) * sizeof(uint32_t));
        assert_non_null(whole.references);
        memcpy(whole.references + whole.count, block.references, block.count * sizeof(uint32_t));
        for (size_t i = 0; i < block.count; i++)
            assert_true(block.references[i] >> 1 < trace_pages(trace));
        whole.count += block.count;
    }
    return whole;
}

const char *trace_as_text(const char *path, const struct trace_options *options)
{
    static char text[4096];
    static struct trace_error error;
    size_t length = 0;
    struct trace *trace = trace_open(path, options, &error);

    if (!trace)
        return error.text;
    struct whole whole = trace_read_whole(trace);

    text[0] = '\0';
    for (size_t i = 0; i < whole.count && length + 32 < sizeof(text); i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%llu%s", i ? " " : "",
                                   (unsigned long long)trace_page_name(trace, whole.references[i] >> 1),
                                   whole.references[i] & 1 ? "w" : "");
    free(whole.references);
    trace_close(trace);
    if (whole.good)
        return text;
    error = whole.error;
    return error.text;
}

void trace_write(const char *path, const uint32_t *references, size_t count, uint64_t page_bytes,
                 uint64_t (*name_of)(uint32_t number))
{
    struct trace_writer_options options = {.page_bytes = page_bytes};
    struct trace_error error;
    struct trace_writer *writer = writer_create(path, &options, &error);
    uint32_t pages = 0;

    assert_non_null(writer);
    for (size_t i = 0; i < count; i++) {
        if (references[i] >> 1 == pages)
            assert_true(writer_page(writer, name_of(pages++), &error));
        assert_true(writer_put(writer, &references[i], 1, &error));
    }
    assert_true(writer_finish(writer, 0, &error));
}
