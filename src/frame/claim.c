/*
 * Taking over memory that the boot code kept: the modules' frames, which frames_init() made FRAME_KERNEL.
 *
 * Only before other CPUs run, by whoever knows what lies there (the initramfs).
 */
#include "frame_internal.h"

static void count_change(unsigned from, unsigned to)
{
    struct frame_cache *cache = &frame_caches[host_cpu()];

    __atomic_store_n(&cache->by_use[from], cache->by_use[from] - 1, __ATOMIC_RELAXED);
    __atomic_store_n(&cache->by_use[to], cache->by_use[to] + 1, __ATOMIC_RELAXED);
}

static bool is_kept(struct pfn number)
{
    return number.v < frame_table_count && state_load(frame_of(number)) == state_of(FRAME_KERNEL, 0) &&
           frame_of(number)->refs == 1;
}

struct frame *frame_claim(struct pfn number, enum frame_use use)
{
    struct frame *frame = frame_of(number);

    CHECK(use > FRAME_FREE && use < FRAME_USES);
    if (!is_kept(number))
        return NULL;
    header_store(frame, header_of(use, 0, 0, 1));
    count_change(FRAME_KERNEL, use);
    return frame;
}

uint64_t frames_release_kept(struct pfn start, struct pfn end)
{
    uint64_t released = 0;

    for (struct pfn number = start; number.v < end.v; number.v++) {
        if (!is_kept(number))
            continue;
        frame_free(frame_of(number));
        released++;
    }
    return released;
}
