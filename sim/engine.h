/*
 * N configurations (a policy, its options, a number of frames) over one stream of references.
 *
 * The stream comes in blocks, and every configuration takes a whole block before the next one does: the block
 * and a configuration's state bytes stay in the processor's caches. Configurations share nothing else.
 *
 * A page that a policy cleans ahead of need (policy_host.clean) is written, and counted, at once.
 */
#ifndef QUIRE_SIM_ENGINE_H
#define QUIRE_SIM_ENGINE_H

#include <stddef.h>

#include "quire/policy.h"

enum { ENGINE_COUNTERS = 8 };

struct engine_run {
    const struct policy_type *type;
    uint64_t options[POLICY_OPTIONS];
    uint32_t frames; /* at least 1; any number of them, also more than there are pages */
    uint64_t seed;   /* of what is random */
    uint64_t tick;   /* references (of a timed trace: microseconds) between two calls of policy_tick(); 0:
                        engine_standard_tick() (policy_tick_us()) */
    uint32_t ahead;  /* pages that leave together when no frame is free; 0: one */
    bool removes;    /* the trace has marks of pages that end */
};

struct engine;

/* As many references as there are frames, at least 1024: a tick that looks at every frame then costs a
 * constant part of each reference. */
uint64_t engine_standard_tick(uint32_t frames);

/*
 * `pages`: numbers in the stream are below. 0: not known yet; then address space for engine_pages() of them
 * is set aside, and memory is used as pages come. NULL: not enough memory.
 */
struct engine *engine_create(const struct engine_run *runs, size_t count, uint32_t pages);
void engine_destroy(struct engine *engine);

/* Numbers must be below this. */
uint32_t engine_pages(const struct engine *engine);
/* Whether one of the runs needs block->distances. */
bool engine_needs_future(const struct engine *engine);

void engine_block(struct engine *engine, const struct policy_block *block);
/* For one of the runs. Several threads may do this at the same time, each for another run. */
void engine_run_block(struct engine *engine, size_t run, const struct policy_block *block);

/* By the index of the run. */
const struct policy_tally *engine_tally(const struct engine *engine, size_t run);
size_t engine_counters(const struct engine *engine, size_t run, struct policy_counter out[ENGINE_COUNTERS]);
/* NULL, or what is wrong in the run's policy. */
const char *engine_check(const struct engine *engine, size_t run);

#endif
