/*
 * Takes chunks of references out of the shared memory (recording.h), in the order of the queue, numbers their
 * pages, and writes them. The memory is the recorded program's as well, so what it says is not trusted: a
 * number that cannot be is passed over, and nothing beyond the memory is read.
 */
#include "sim/record/drain.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sim/record/recording.h"
#include "sim/trace_internal.h"
#include "sim/trace_names.h"

enum { WAIT_MS = 20 };

struct drain {
    int fd;
    struct recording *recording;
    struct trace_writer *writer;
    struct trace_names names;
    struct drain_totals totals;
    uint32_t page_shift;
    bool failed;
    struct trace_error error; /* why */
};

static bool share_memory(struct drain *drain, uint64_t page_bytes, uint32_t filter)
{
    drain->fd = memfd_create("quire-recording", MFD_CLOEXEC);
    if (drain->fd < 0 || ftruncate(drain->fd, sizeof(*drain->recording)) != 0)
        return false;
    drain->recording =
        mmap(NULL, sizeof(*drain->recording), PROT_READ | PROT_WRITE, MAP_SHARED, drain->fd, 0);
    if (drain->recording == MAP_FAILED) {
        drain->recording = NULL;
        return false;
    }
    drain->page_shift = (uint32_t)__builtin_ctzll(page_bytes);
    drain->recording->version = RECORDING_VERSION;
    drain->recording->page_shift = drain->page_shift;
    drain->recording->filter = filter;
    return true;
}

struct drain *drain_create(const char *path, uint64_t page_bytes, uint32_t filter, struct trace_error *error)
{
    const struct trace_writer_options options = {.page_bytes = page_bytes, .filter = filter};
    struct drain *drain = calloc(1, sizeof(*drain));

    if (!drain) {
        trace_fail(error, path, "not enough memory");
        return NULL;
    }
    drain->fd = -1;
    drain->writer = writer_create(path, &options, error);
    if (drain->writer && share_memory(drain, page_bytes, filter))
        return drain;
    if (drain->writer)
        trace_fail(error, path, "no memory to share with the recorder: %s", strerror(errno));
    drain_abandon(drain);
    return NULL;
}

int drain_fd(const struct drain *drain)
{
    return drain->fd;
}

void drain_abandon(struct drain *drain)
{
    if (!drain)
        return;
    if (drain->recording)
        munmap(drain->recording, sizeof(*drain->recording));
    if (drain->fd >= 0)
        close(drain->fd);
    writer_abandon(drain->writer);
    trace_names_free(&drain->names);
    free(drain);
}

/* ------------------------------------------------------------------ references */

static bool write_references(struct drain *drain, const uint64_t *from, uint32_t count)
{
    uint32_t references[CHUNK_REFERENCES];

    for (uint32_t i = 0; i < count; i++) {
        uint32_t before = drain->names.count, number = trace_names_number(&drain->names, from[i] >> 1);

        if (number == POLICY_NO_PAGE)
            return trace_fail(&drain->error, "the trace", "not enough memory for more than %u pages", before);
        if (number == before && !writer_page(drain->writer, from[i] >> 1, &drain->error))
            return false;
        references[i] = number << 1 | (uint32_t)(from[i] & 1);
    }
    return writer_put(drain->writer, references, count, &drain->error);
}

/* The references of a chunk; the chunk is as it was. */
static void take_references(struct drain *drain, const struct chunk *chunk)
{
    uint32_t count = atomic_load_explicit(&chunk->count, memory_order_acquire);

    if (count > CHUNK_REFERENCES)
        count = CHUNK_REFERENCES;
    if (drain->failed)
        return;
    if (write_references(drain, chunk->references, count)) {
        drain->totals.references += count;
        drain->totals.unfiltered += chunk->unfiltered;
        return;
    }
    drain->failed = true;
    atomic_store_explicit(&drain->recording->stop, 1, memory_order_relaxed);
}

/* False: the queue is empty. */
static bool take_queued(struct drain *drain)
{
    struct recording *recording = drain->recording;
    uint32_t taken = atomic_load_explicit(&recording->taken, memory_order_relaxed);

    if (atomic_load_explicit(&recording->queued, memory_order_acquire) == taken)
        return false;
    struct chunk *chunk = &recording->chunks[recording->queue[taken % CHUNKS] % CHUNKS];

    take_references(drain, chunk);
    atomic_store_explicit(&chunk->state, CHUNK_FREE, memory_order_release);
    atomic_store_explicit(&recording->taken, taken + 1, memory_order_release);
    syscall(SYS_futex, &recording->taken, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    return true;
}

bool drain_some(struct drain *drain, struct trace_error *error)
{
    const struct timespec moment = {.tv_nsec = WAIT_MS * 1000000L};
    struct recording *recording = drain->recording;
    uint32_t some = 0;

    while (some < CHUNKS && take_queued(drain))
        some++;
    if (some == 0)
        syscall(SYS_futex, &recording->queued, FUTEX_WAIT, atomic_load(&recording->taken), &moment, NULL, 0);
    if (drain->failed)
        *error = drain->error;
    return !drain->failed;
}

/* What threads had when the program ended, the oldest chunk first. */
static void take_unfinished(struct drain *drain)
{
    while (true) {
        struct chunk *oldest = NULL;

        for (size_t i = 0; i < CHUNKS; i++) {
            struct chunk *chunk = &drain->recording->chunks[i];

            if (chunk->state != CHUNK_FREE && (!oldest || chunk->since < oldest->since))
                oldest = chunk;
        }
        if (!oldest)
            return;
        take_references(drain, oldest);
        oldest->state = CHUNK_FREE;
    }
}

bool drain_finish(struct drain *drain, struct drain_totals *totals, struct trace_error *error)
{
    struct trace_writer *writer = drain->writer;

    for (uint32_t i = 0; i < CHUNKS && take_queued(drain); i++)
        ;
    take_unfinished(drain);
    drain->totals.pages = drain->names.count;
    drain->totals.lost = drain->recording->lost;
    drain->totals.began = drain->recording->began != 0;
    drain->totals.in_exec = drain->recording->in_exec != 0;
    *totals = drain->totals;
    if (drain->failed) {
        *error = drain->error;
        drain_abandon(drain);
        return false;
    }
    drain->writer = NULL;
    drain_abandon(drain);
    return writer_finish(writer, totals->unfiltered, error);
}
