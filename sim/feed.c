/*
 * One pass for many lanes over several threads: sim/feed.h.
 *
 *     chunks     0 | 1 | 2 | 3 | 4        a ring of CHUNKS
 *     lane a     next ^
 *     lane b             next ^           furthest behind: its next chunk is the oldest that is needed
 *     read so far                ^
 *
 * Invariants: oldest <= lane.next <= chunks_read <= oldest + CHUNKS; a lane is done by one thread at a time,
 * and the trace is read by one thread at a time. Locking: `lock` guards everything but the chunks' content. A
 * chunk is written by who reads the trace, before chunks_read counts it, and not again before every lane has
 * passed it.
 */
#include "sim/feed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sim/stream.h"
#include "sim/team.h"

/* 64 K references at a time: enough to make a lane's tables worth fetching, few enough for a second-level
 * cache. */
enum { CHUNKS = 4, CHUNK = 8 * TRACE_BLOCK, CHUNK_MARKS = 8 * TRACE_MARKS };
#define NO_LANE SIZE_MAX

struct chunk {
    size_t count, mark_count;
    uint32_t pages; /* numbers are below */
    bool timed;
    uint32_t references[CHUNK], distances[CHUNK];
    struct policy_mark marks[CHUNK_MARKS];
};

struct lane {
    uint64_t next; /* chunk */
    size_t thread; /* that had it last */
    bool busy;
};

struct state {
    const struct feed *feed;
    struct stream stream;
    struct chunk *chunks;
    struct lane *lanes;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t chunks_read;
    bool reading, ended, failed;
    struct trace_error error; /* when failed */
};

enum task { TASK_READ, TASK_LANE, TASK_WAIT, TASK_END };

static uint64_t oldest_chunk(const struct state *state)
{
    uint64_t oldest = state->chunks_read;

    for (size_t i = 0; i < state->feed->lanes; i++)
        oldest = state->lanes[i].next < oldest ? state->lanes[i].next : oldest;
    return oldest;
}

/* The lane furthest behind that can go on; among equals one that this thread had before, whose tables may be
 * in its cache. */
static size_t choose_lane(const struct state *state, size_t thread)
{
    size_t best = NO_LANE;

    for (size_t i = 0; i < state->feed->lanes; i++) {
        const struct lane *lane = &state->lanes[i];

        if (lane->busy || lane->next == state->chunks_read)
            continue;
        if (best == NO_LANE || lane->next < state->lanes[best].next ||
            (lane->next == state->lanes[best].next && lane->thread == thread &&
             state->lanes[best].thread != thread))
            best = i;
    }
    return best;
}

static enum task choose(const struct state *state, size_t thread, size_t *lane)
{
    uint64_t oldest = oldest_chunk(state);

    *lane = choose_lane(state, thread);
    if (state->failed || (state->ended && oldest == state->chunks_read))
        return TASK_END;
    if (!state->ended && !state->reading && state->chunks_read < oldest + CHUNKS)
        return TASK_READ;
    return *lane == NO_LANE ? TASK_WAIT : TASK_LANE;
}

static void fail(struct state *state, const struct trace_error *error)
{
    if (!state->failed)
        state->error = *error;
    state->failed = true;
}

/* Without the lock: nobody else has the trace, or this chunk. */
static bool fill_chunk(struct state *state, struct chunk *chunk, struct trace_error *error)
{
    struct policy_block block;

    chunk->count = chunk->mark_count = 0;
    do {
        if (!stream_next(&state->stream, &block, error))
            return false;
        memcpy(chunk->references + chunk->count, block.references, block.count * sizeof(uint32_t));
        if (block.distances)
            memcpy(chunk->distances + chunk->count, block.distances, block.count * sizeof(uint32_t));
        for (size_t i = 0; i < block.mark_count; i++) {
            chunk->marks[chunk->mark_count] = block.marks[i];
            chunk->marks[chunk->mark_count++].at += (uint32_t)chunk->count;
        }
        chunk->count += block.count;
        chunk->timed = block.timed;
    } while (block.count > 0 && chunk->count + TRACE_BLOCK <= CHUNK &&
             chunk->mark_count + TRACE_MARKS <= CHUNK_MARKS);
    chunk->pages = trace_pages(state->stream.trace);
    return true;
}

/* With the lock. */
static void tell_progress(const struct state *state)
{
    double part = trace_progress(state->stream.trace), passed = 0;

    if (!state->feed->progress || part < 0 || state->chunks_read == 0)
        return;
    for (size_t i = 0; i < state->feed->lanes; i++)
        passed += (double)state->lanes[i].next;
    state->feed->progress(state->feed->context,
                          part * passed / ((double)state->chunks_read * (double)state->feed->lanes));
}

static void do_read(struct state *state)
{
    struct chunk *chunk = &state->chunks[state->chunks_read % CHUNKS];
    struct trace_error error;
    bool done;

    state->reading = true;
    pthread_mutex_unlock(&state->lock);
    done = fill_chunk(state, chunk, &error);
    pthread_mutex_lock(&state->lock);
    state->reading = false;
    if (!done)
        fail(state, &error);
    else if (chunk->count == 0)
        state->ended = true;
    else
        state->chunks_read++;
    tell_progress(state);
}

static void do_lane(struct state *state, size_t index, size_t thread)
{
    struct lane *lane = &state->lanes[index];
    const struct chunk *chunk = &state->chunks[lane->next % CHUNKS];
    struct policy_block block = {.references = chunk->references,
                                 .distances = state->feed->future ? chunk->distances : NULL,
                                 .count = chunk->count,
                                 .marks = chunk->marks,
                                 .mark_count = chunk->mark_count,
                                 .timed = chunk->timed};
    struct trace_error error;
    bool done;

    lane->busy = true;
    lane->thread = thread;
    pthread_mutex_unlock(&state->lock);
    done = state->feed->block(state->feed->context, index, &block, chunk->pages, &error);
    pthread_mutex_lock(&state->lock);
    lane->busy = false;
    lane->next++;
    if (!done)
        fail(state, &error);
}

static bool work(void *context, size_t thread, struct trace_error *error)
{
    struct state *state = context;
    enum task task;
    size_t lane;

    pthread_mutex_lock(&state->lock);
    while ((task = choose(state, thread, &lane)) != TASK_END) {
        if (task == TASK_WAIT) {
            pthread_cond_wait(&state->changed, &state->lock);
            continue;
        }
        if (task == TASK_READ)
            do_read(state);
        else
            do_lane(state, lane, thread);
        pthread_cond_broadcast(&state->changed);
    }
    pthread_mutex_unlock(&state->lock);
    return true;
}

static bool run(struct state *state, struct trace_error *error)
{
    const struct feed *feed = state->feed;
    bool started = team_run(feed->threads, feed->threads, work, state, error);

    if (state->failed)
        *error = state->error;
    else if (feed->progress)
        feed->progress(feed->context, 1);
    return started && !state->failed;
}

bool feed_run(const struct feed *feed, struct pass_totals *totals, struct trace_error *error)
{
    struct state state = {
        .feed = feed, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    bool done = false;

    state.chunks = malloc(CHUNKS * sizeof(*state.chunks));
    state.lanes = calloc(feed->lanes, sizeof(*state.lanes));
    if (!state.chunks || !state.lanes) {
        pass_no_memory(feed->path, error);
    } else if (stream_open(&state.stream, feed->path, feed->options, feed->future, error)) {
        done = run(&state, error);
        *totals = stream_totals(&state.stream);
        stream_close(&state.stream);
    }
    free(state.chunks);
    free(state.lanes);
    pthread_mutex_destroy(&state.lock);
    pthread_cond_destroy(&state.changed);
    return done;
}
