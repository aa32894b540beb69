/*
 * N configurations over one stream: sim/engine.h.
 *
 * Each configuration has one mapping of memory: the state bytes, then the policy's own. Fresh mappings are
 * zero, which is what policies expect, and take no memory before they are touched: so an engine can be made
 * before the number of pages is known.
 */
#include "sim/engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    MEMORY_ALIGNMENT = 64,
    LEAST_TICK = 1024,
    HUGE_BYTES = 2 << 20 /* of a huge page: smaller mappings would only waste one */
};
/* An engine that cannot set aside room for so many pages is none. */
#define LEAST_PAGES ((uint32_t)1 << 20)

/* On cache lines of its own, since threads have different lanes. */
struct lane {
    _Alignas(64) struct policy *policy;
    struct policy_host host;
    struct policy_tally tally;
    uint64_t tick, until_tick;
    uint64_t tick_us, next_tick_us; /* where time is microseconds; 0: no tick yet */
    uint32_t ahead;
    bool removes;
    void *memory;
    size_t bytes;
};

struct engine {
    uint32_t pages;
    bool needs_future;
    size_t count;
    struct lane lanes[];
};

uint64_t engine_standard_tick(uint32_t frames)
{
    return frames > LEAST_TICK ? frames : LEAST_TICK;
}

static size_t round_up(size_t bytes)
{
    return (bytes + MEMORY_ALIGNMENT - 1) & ~(size_t)(MEMORY_ALIGNMENT - 1);
}

/* The disk of the simulator is quick: a page that is cleaned ahead of need is clean at once. */
static void lane_clean(void *context, struct policy *policy, uint32_t page)
{
    struct lane *lane = context;

    lane->tally.write_backs += (policy->state[page] & POLICY_DIRTY) != 0;
    policy->state[page] &= (uint8_t)~POLICY_DIRTY;
}

static struct policy_config lane_config(const struct engine_run *run, uint32_t pages)
{
    uint32_t frames = run->frames < pages ? run->frames : pages; /* with as many, no page ever goes */
    struct policy_config config = {
        .pages = pages, .frames = frames, .most_frames = frames, .removes = run->removes, .seed = run->seed};

    for (unsigned i = 0; i < POLICY_OPTIONS; i++)
        config.options[i] = run->options[i];
    return config;
}

static bool lane_create(struct lane *lane, const struct engine_run *run, uint32_t pages, bool known)
{
    struct policy_config config = lane_config(run, pages);
    size_t states = round_up(pages);

    lane->bytes = states + policy_bytes(run->type, &config);
    lane->memory =
        mmap(NULL, lane->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (lane->memory == MAP_FAILED)
        return false;
    if (known && lane->bytes >= HUGE_BYTES)
        madvise(lane->memory, lane->bytes, MADV_HUGEPAGE); /* fewer TLB misses; without it, as right */
    lane->host = (struct policy_host){.clean = lane_clean, .context = lane};
    config.host = &lane->host;
    config.state = lane->memory;
    lane->policy = policy_create(run->type, &config, config.state + states);
    lane->tally = (struct policy_tally){0};
    lane->tick = !run->type->tick ? 0 : run->tick ? run->tick : engine_standard_tick(run->frames);
    lane->until_tick = lane->tick;
    lane->tick_us = !run->type->tick ? 0 : run->tick ? run->tick : policy_tick_us(run->frames);
    lane->ahead = run->ahead;
    lane->removes = run->removes;
    return true;
}

static void lanes_destroy(struct engine *engine)
{
    while (engine->count > 0) {
        struct lane *lane = &engine->lanes[--engine->count];

        munmap(lane->memory, lane->bytes);
    }
}

static bool lanes_create(struct engine *engine, const struct engine_run *runs, size_t count, bool known)
{
    for (; engine->count < count; engine->count++)
        if (!lane_create(&engine->lanes[engine->count], &runs[engine->count], engine->pages, known)) {
            lanes_destroy(engine);
            return false;
        }
    return true;
}

struct engine *engine_create(const struct engine_run *runs, size_t count, uint32_t pages)
{
    size_t bytes = sizeof(struct engine) + count * sizeof(struct lane);
    struct engine *engine = aligned_alloc(_Alignof(struct engine), bytes);
    bool made;

    if (!engine)
        return NULL;
    memset(engine, 0, bytes);
    for (size_t i = 0; i < count; i++)
        engine->needs_future |= runs[i].type->needs == POLICY_FUTURE;
    engine->pages = pages ? pages : POLICY_MAX_PAGES;
    while (!(made = lanes_create(engine, runs, count, pages != 0)) && !pages && engine->pages > LEAST_PAGES)
        engine->pages /= 2;
    if (made)
        return engine;
    free(engine);
    return NULL;
}

void engine_destroy(struct engine *engine)
{
    if (!engine)
        return;
    lanes_destroy(engine);
    free(engine);
}

uint32_t engine_pages(const struct engine *engine)
{
    return engine->pages;
}

bool engine_needs_future(const struct engine *engine)
{
    return engine->needs_future;
}

/* Pages leave before they must, several at once, as a cleaner does it. */
static void lane_make_room(struct lane *lane)
{
    struct policy *policy = lane->policy;

    for (uint32_t left = lane->ahead; left > 0 && policy->resident > 0; left--) {
        uint32_t page = policy_victim(policy, POLICY_NO_PAGE);

        if (page == POLICY_NO_PAGE)
            return;
        lane->tally.evictions++;
        lane->tally.write_backs += (policy->state[page] & POLICY_DIRTY) != 0;
        policy->state[page] &= (uint8_t)~POLICY_DIRTY;
    }
}

static void lane_run_ahead(struct lane *lane, const struct policy_block *block)
{
    struct policy *policy = lane->policy;

    for (size_t i = 0; i < block->count; i++) {
        uint32_t page = block->references[i] >> 1;
        uint64_t now = policy->now;

        if (!(policy->state[page] & POLICY_RESIDENT) && policy->resident >= policy->frames)
            lane_make_room(lane);
        policy_reference(policy, page, block->references[i] & 1,
                         block->distances ? block->distances[i] : UINT32_MAX, &lane->tally);
        if (block->timed)
            policy->now = now;
    }
}

static void lane_run(struct lane *lane, const struct policy_block *block)
{
    if (lane->ahead > 1)
        lane_run_ahead(lane, block);
    else
        lane->policy->type->run(lane->policy, block, &lane->tally);
}

/* The first `count` references of what is left. */
static struct policy_block cut_piece(struct policy_block *left, size_t count)
{
    struct policy_block piece = *left;

    piece.count = count;
    piece.mark_count = 0;
    left->references += count;
    left->distances += left->distances ? count : 0;
    left->count -= count;
    return piece;
}

/* A block, in pieces that end where an interval does. */
static void lane_run_with_ticks(struct lane *lane, struct policy_block block)
{
    while (block.count > 0) {
        struct policy_block piece =
            cut_piece(&block, block.count < lane->until_tick ? block.count : lane->until_tick);

        lane_run(lane, &piece);
        lane->until_tick -= piece.count;
        if (lane->until_tick == 0) {
            policy_tick(lane->policy);
            lane->until_tick = lane->tick;
        }
    }
}

/* As in the kernel, policies have no intervals before memory is nearly full, nor does it matter. */
static void lane_pass_time(struct lane *lane, uint64_t now_us)
{
    struct policy *policy = lane->policy;

    policy->now = now_us;
    if (lane->tick_us == 0 || now_us < lane->next_tick_us ||
        policy->resident < policy->frames - policy->frames / 8)
        return;
    if (lane->next_tick_us != 0)
        policy_tick(policy);
    lane->next_tick_us = now_us + lane->tick_us;
}

static void lane_take_mark(struct lane *lane, const struct policy_mark *mark)
{
    if (mark->page == POLICY_NO_PAGE)
        lane_pass_time(lane, mark->now_us);
    else if (lane->removes)
        policy_remove(lane->policy, mark->page);
}

/* A block, in pieces between its marks. */
static void lane_run_with_marks(struct lane *lane, struct policy_block block)
{
    uint32_t at = 0;

    for (size_t i = 0; i < block.mark_count; i++) {
        const struct policy_mark *mark = &block.marks[i];

        if (mark->at > at) {
            struct policy_block piece = cut_piece(&block, mark->at - at);

            lane_run(lane, &piece);
            at = mark->at;
        }
        lane_take_mark(lane, mark);
    }
    if (block.count > 0)
        lane_run(lane, &block);
}

void engine_run_block(struct engine *engine, size_t run, const struct policy_block *block)
{
    struct lane *lane = &engine->lanes[run];

    if (block->timed)
        lane_run_with_marks(lane, *block);
    else if (lane->tick)
        lane_run_with_ticks(lane, *block);
    else
        lane_run(lane, block);
}

void engine_block(struct engine *engine, const struct policy_block *block)
{
    for (size_t i = 0; i < engine->count; i++)
        engine_run_block(engine, i, block);
}

const struct policy_tally *engine_tally(const struct engine *engine, size_t run)
{
    return &engine->lanes[run].tally;
}

size_t engine_counters(const struct engine *engine, size_t run, struct policy_counter out[ENGINE_COUNTERS])
{
    return policy_counters(engine->lanes[run].policy, out, ENGINE_COUNTERS);
}

const char *engine_check(const struct engine *engine, size_t run)
{
    return policy_check(engine->lanes[run].policy);
}
