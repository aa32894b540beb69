/*
 * What the recorded program's QEMU (sim/record/plugin.c) and `quire trace record` (sim/record/recording.c)
 * share: a piece of memory with chunks of references. Each thread of the program fills a chunk of its own;
 * full ones queue up, in the order in which they became full. The memory outlives the program however it
 * ends, so nothing that was recorded is lost; and it is no descriptor, which programs close or use for
 * something else.
 *
 * A chunk is FREE (the plugin may take it), FILLING (a thread's) or FULL (in the queue; quire's). The
 * plugin's threads take and queue chunks under a lock of their own. Who must wait sleeps on `queued` (quire)
 * or on `taken` (the plugin), which are futexes.
 */
#ifndef QUIRE_SIM_RECORD_RECORDING_H
#define QUIRE_SIM_RECORD_RECORDING_H

#include <stdatomic.h>
#include <stdint.h>

/* Threads' references keep their order within a chunk only: small ones keep threads together in time. */
enum { CHUNK_REFERENCES = 1024, CHUNKS = 1024 };
enum { RECORDING_VERSION = 1, FILTER_MOST = 4096 };

enum chunk_state { CHUNK_FREE, CHUNK_FILLING, CHUNK_FULL };

struct chunk {
    _Atomic uint32_t state;
    _Atomic uint32_t count;
    uint64_t since;                        /* which chunk it is, counted as threads take them */
    uint64_t unfiltered;                   /* references before the filter */
    uint64_t references[CHUNK_REFERENCES]; /* a page times two, plus one when it is a write */
};

struct recording {
    uint32_t version;
    uint32_t page_shift;
    uint32_t filter;          /* entries of each thread's filter, a power of two; 0: none */
    _Atomic uint32_t began;   /* the plugin is at work */
    _Atomic uint32_t stop;    /* quire wants no more */
    _Atomic uint32_t in_exec; /* the program is replacing itself by another one */
    _Atomic uint32_t lost;    /* references of threads that there was no room for */
    uint64_t chunks_taken;
    _Atomic uint32_t queued; /* chunks so far: futex */
    _Atomic uint32_t taken;  /* of these by quire: futex */
    uint32_t queue[CHUNKS];
    struct chunk chunks[CHUNKS];
};

#endif
