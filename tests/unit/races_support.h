/*
 * What the tests with threads share: a world, CPUs that work in it at the same time, and what went wrong.
 */
#ifndef TESTS_RACES_SUPPORT_H
#define TESTS_RACES_SUPPORT_H

#include <pthread.h>

#include "vm_support.h"

enum { CPUS = 3 };

struct world {
    struct space *space;
    struct object *object;
    uint64_t at; /* a mapping that all use */
    uint64_t pages;
    unsigned failures; /* a */
};

static struct world world;

struct worker {
    pthread_t thread;
    unsigned cpu;
    struct random random;
    void (*body)(struct worker *worker);
};

/* cmocka may only be called by the first thread: workers count what is wrong. */
#define WRONG(condition)                                                                                     \
    do {                                                                                                     \
        if (condition) {                                                                                     \
            __atomic_fetch_add(&world.failures, 1, __ATOMIC_RELAXED);                                        \
            host_log("cpu %u: %s:%d: %s", host_cpu(), __FILE__, __LINE__, #condition);                       \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)

static inline void *start(void *argument)
{
    struct worker *worker = argument;

    sim_become_cpu(worker->cpu);
    worker->body(worker);
    frames_drain();
    return NULL;
}

static inline void run(void (*body)(struct worker *worker))
{
    struct worker workers[CPUS];

    world.failures = 0;
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        workers[cpu] = (struct worker){.cpu = cpu + 1, .random = {cpu + 7}, .body = body};
        assert_int_equal(pthread_create(&workers[cpu].thread, NULL, start, &workers[cpu]), 0);
    }
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        pthread_join(workers[cpu].thread, NULL);
    assert_int_equal(world.failures, 0);
}

static inline bool read_word(struct space *space, uint64_t at, uint64_t *word)
{
    enum status status = sim_read(space, at, word, 8, NULL);

    if (status != ST_OK)
        host_log("cpu %u: read: %s", host_cpu(), status_name(status));
    return status == ST_OK;
}

#endif
