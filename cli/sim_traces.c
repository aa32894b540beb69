/*
 * The traces that `quire sim` was given: opened once for a look, and pipes copied where they are read again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/sim.h"

enum { STANDARD_PAGE = 4096 };

static bool is_pipe(const char *path)
{
    struct stat status;

    return strcmp(path, "-") == 0 || (stat(path, &status) == 0 && !S_ISREG(status.st_mode) &&
                                      !S_ISBLK(status.st_mode) && !S_ISDIR(status.st_mode));
}

static bool write_all(int to, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t done = write(to, bytes, count);

        if (done < 0 && errno != EINTR)
            return false;
        bytes += done > 0 ? done : 0;
        count -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

/* A file without a name that has what the pipe gives, to be read as often as need be. */
static bool copy_pipe(struct sim_trace *trace)
{
    const char *folder = getenv("TMPDIR");
    char block[1 << 16], *name = must_format("%s/quire-sim-XXXXXX", folder && *folder ? folder : "/tmp");
    int from = strcmp(trace->name, "-") == 0 ? STDIN_FILENO : open(trace->name, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;

    trace->copy = mkostemp(name, O_CLOEXEC);
    if (trace->copy >= 0)
        unlink(name);
    if (from >= 0 && trace->copy >= 0)
        while ((got = read(from, block, sizeof(block))) > 0 || (got < 0 && errno == EINTR))
            if (got > 0 && !write_all(trace->copy, block, (size_t)got))
                break;
    if (got != 0)
        say("sim: %s: copying it to %s: %s", trace->name, name, strerror(errno));
    if (from > STDIN_FILENO)
        close(from);
    free(name);
    trace->path = must_format("/proc/self/fd/%d", trace->copy);
    return got == 0;
}

/* Does the mode read its traces more than once? */
static bool reads_again(const struct sim_request *request)
{
    return request->curve || request->working_set || request->mix.mix || request->full.tlb;
}

/* Opens each trace, for the size of its pages and so that what is wrong is known at once. */
bool sim_traces_open(struct sim_request *request)
{
    request->traces = must_alloc((request->words.count + 1) * sizeof(*request->traces));
    for (size_t i = 0; i < request->words.count; i++) {
        struct sim_trace *trace = &request->traces[request->trace_count++];
        struct trace_error error;
        struct trace_info info;
        struct trace *reader;

        *trace = (struct sim_trace){.name = request->words.items[i],
                                    .copy = -1,
                                    .page_bytes = request->page_size ? request->page_size : STANDARD_PAGE};
        trace->read_once = is_pipe(trace->name) && !reads_again(request);
        if (is_pipe(trace->name) && !trace->read_once) {
            if (!copy_pipe(trace))
                return false;
        } else {
            trace->path = must_copy(trace->name);
        }
        if (trace->read_once)
            continue;
        reader = trace_open(trace->path, &request->options, &error);
        if (!reader) {
            sim_fail(request, &error);
            return false;
        }
        trace_get_info(reader, &info);
        trace->page_bytes = info.page_bytes ? info.page_bytes : trace->page_bytes;
        trace_close(reader);
    }
    if (request->trace_count == 0)
        say("sim: expected the name of a trace, or - for standard input");
    return request->trace_count > 0;
}

void sim_traces_close(struct sim_request *request)
{
    for (size_t i = 0; i < request->trace_count; i++) {
        free(request->traces[i].path);
        if (request->traces[i].copy >= 0)
            close(request->traces[i].copy);
    }
    free(request->traces);
}

/* A copy's path says nothing to the user. */
int sim_fail(const struct sim_request *request, const struct trace_error *error)
{
    for (size_t i = 0; i < request->trace_count; i++) {
        const struct sim_trace *trace = &request->traces[i];
        size_t length = strlen(trace->path);

        if (trace->copy >= 0 && strncmp(error->text, trace->path, length) == 0) {
            say("sim: %s%s", trace->name, error->text + length);
            return EXIT_USAGE;
        }
    }
    say("sim: %s", error->text);
    return EXIT_USAGE;
}
