/*
 * Counting and checking frames.
 *
 * frames_check() verifies what the other files promise: every frame is in exactly one place (a block, the
 * pool, a cache, or somebody's), blocks are aligned and merged as far as they go, and the counters agree with
 * the table. It reads the caches of all CPUs, so nothing else may run.
 */
#include "frame_internal.h"

struct found {
    uint64_t by_use[FRAME_USES]; /* by the descriptors */
    uint64_t in_blocks, pooled, cached;
};

static _Noreturn void broken(const struct frame *frame, const char *what)
{
    host_panic("frames_check: frame %#llx (use %u, order %u, refs %u): %s",
               (unsigned long long)frame_pfn(frame).v, frame->use, frame->order, frame->refs, what);
}

uint64_t frames_managed(void)
{
    return buddy.managed;
}

uint64_t frames_free(void)
{
    uint64_t free = __atomic_load_n(&buddy.free, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < HOST_MAX_CPUS; i++)
        for (unsigned kind = CACHE_DIRTY; kind <= CACHE_ZEROED; kind++)
            free += __atomic_load_n(&frame_caches[i].stacks[kind].count, __ATOMIC_RELAXED);
    return free;
}

void frames_count(struct frame_counts *out)
{
    *out = (struct frame_counts){.total = frame_table_count, .reserve = buddy.reserve};
    for (unsigned use = FRAME_KERNEL; use < FRAME_USES; use++)
        for (unsigned i = 0; i < HOST_MAX_CPUS; i++)
            out->by_use[use] += __atomic_load_n(&frame_caches[i].by_use[use], __ATOMIC_RELAXED);
    out->by_use[FRAME_KERNEL] += buddy.kernel_at_start;
    out->by_use[FRAME_RESERVED] = frame_table_count - buddy.managed;
    out->by_use[FRAME_FREE] = frames_free();
    out->zeroed = __atomic_load_n(&buddy.pooled, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < HOST_MAX_CPUS; i++)
        out->zeroed += __atomic_load_n(&frame_caches[i].stacks[CACHE_ZEROED].count, __ATOMIC_RELAXED);
}

/* One free block: its head is `frame`. */
static void check_block(const struct frame *frame, unsigned order)
{
    uint64_t number = frame_pfn(frame).v;
    uint64_t frames = (uint64_t)1 << order;
    uint64_t other = number ^ frames;

    if (frame->state != state_of(FRAME_FREE, order))
        broken(frame, "is on a list of free blocks");
    if (!is_aligned(number, frames) || number + frames > frame_table_count)
        broken(frame, "heads a block that is not aligned or leaves the table");
    for (uint64_t i = 1; i < frames; i++)
        if (frame[i].state != state_of(FRAME_FREE, ORDER_IN_BLOCK))
            broken(frame + i, "is inside a free block");
    if (order < FRAME_ORDER_MAX && other + frames <= frame_table_count &&
        frame_table[other].state == state_of(FRAME_FREE, order))
        broken(frame, "could be merged with its buddy");
}

static void check_blocks(struct found *found)
{
    for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++) {
        if (list_empty(&buddy.blocks[order]) != ((buddy.orders >> order & 1) == 0))
            host_panic("frames_check: the bit of order %u is wrong", order);
        list_for_each(node, &buddy.blocks[order])
        {
            check_block(container_of(node, struct frame, node), order);
            found->in_blocks += (uint64_t)1 << order;
        }
    }
    list_for_each(node, &buddy.pool)
    {
        const struct frame *frame = container_of(node, struct frame, node);

        if (frame->state != state_of(FRAME_FREE, ORDER_POOLED) || (frame->flags & FRAME_ZEROED) == 0)
            broken(frame, "is in the pool of zeroed frames");
        poison_verify(frame, frame->flags);
        found->pooled++;
    }
}

static void check_cache(const struct frame_cache *cache, struct found *found)
{
    for (unsigned kind = CACHE_DIRTY; kind <= CACHE_ZEROED; kind++)
        for (uint32_t i = 0; i < cache->stacks[kind].count; i++) {
            const struct frame *frame = cache->stacks[kind].frames[i];

            if (frame->state != state_of(FRAME_FREE, ORDER_CACHED))
                broken(frame, "is in a CPU's cache");
            if (((frame->flags & FRAME_ZEROED) != 0) != (kind == CACHE_ZEROED))
                broken(frame, "is in the wrong stack of a CPU's cache");
            poison_verify(frame, frame->flags);
            found->cached++;
        }
}

static void check_table(struct found *found)
{
    for (uint64_t i = 0; i < frame_table_count; i++) {
        const struct frame *frame = &frame_table[i];

        if (frame->use >= FRAME_USES)
            broken(frame, "has no valid use");
        found->by_use[frame->use]++;
        if (frame->use > FRAME_FREE && frame->order <= FRAME_ORDER_MAX && frame->refs == 0)
            broken(frame, "is in use but nobody holds it");
    }
}

void frames_check(void)
{
    struct found found = {0};
    struct frame_counts counts;

    lock_take(&buddy.lock);
    check_blocks(&found);
    for (unsigned i = 0; i < HOST_MAX_CPUS; i++)
        check_cache(&frame_caches[i], &found);
    check_table(&found);
    frames_count(&counts);
    lock_drop(&buddy.lock);

    if (found.in_blocks + found.pooled != buddy.free || found.pooled != buddy.pooled)
        host_panic("frames_check: %llu frames in blocks and %llu zeroed, but %llu and %llu counted",
                   (unsigned long long)found.in_blocks, (unsigned long long)found.pooled,
                   (unsigned long long)(buddy.free - buddy.pooled), (unsigned long long)buddy.pooled);
    if (found.in_blocks + found.pooled + found.cached != found.by_use[FRAME_FREE])
        host_panic(
            "frames_check: %llu frames are free, but %llu of them are nowhere",
            (unsigned long long)found.by_use[FRAME_FREE],
            (unsigned long long)(found.by_use[FRAME_FREE] - found.in_blocks - found.pooled - found.cached));
    for (unsigned use = 0; use < FRAME_USES; use++)
        if (found.by_use[use] != counts.by_use[use])
            host_panic("frames_check: %llu frames have use %u, but %llu are counted",
                       (unsigned long long)found.by_use[use], use, (unsigned long long)counts.by_use[use]);
}
