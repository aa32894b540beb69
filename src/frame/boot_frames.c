/*
 * The boot allocator: a cursor over the usable ranges of the memory map.
 *
 *   floor          next
 *     |--handed out--|------still to come------|
 *           |..|  skipped by a run (alignment, or too short); frames_init() frees it
 *
 * Only whole frames of usable ranges count, so a frame that a range covers in part is never given out.
 * Invariant: every frame given out lies in [first, next), and next only grows. One CPU, no lock.
 */
#include "base/check.h"
#include "frame_internal.h"

void boot_frames_init(struct boot_frames *boot, const struct memory_map *map, struct pfn floor)
{
    *boot = (struct boot_frames){.map = map, .first = floor.v, .next = floor.v};
    if (boot->first == 0) /* physical address 0 stands for "none" in many places */
        boot->first = boot->next = 1;
}

bool memory_map_frames(const struct memory_range *range, uint64_t *start, uint64_t *end)
{
    *start = (range->start.v >> PAGE_SHIFT) + ((range->start.v & PAGE_MASK) != 0);
    *end = range->end.v >> PAGE_SHIFT;
    return *start < *end;
}

/* Remembers usable frames that a run has passed over. When the list is full the shortest is given up. */
static void skip(struct boot_frames *boot, uint64_t start, uint64_t end)
{
    enum { SLOTS = sizeof(boot->skipped) / sizeof(boot->skipped[0]) };
    unsigned slot = boot->skipped_count;

    if (start >= end)
        return;
    if (slot < SLOTS) {
        boot->skipped_count++;
    } else {
        slot = 0;
        for (unsigned i = 1; i < SLOTS; i++)
            if (boot->skipped[i].end - boot->skipped[i].start <
                boot->skipped[slot].end - boot->skipped[slot].start)
                slot = i;
        if (boot->skipped[slot].end - boot->skipped[slot].start >= end - start)
            return;
    }
    boot->skipped[slot].start = start;
    boot->skipped[slot].end = end;
}

/* Finds where the run would lie; with `record` also notes what is passed over. UINT64_MAX: nowhere. */
static uint64_t find_run(struct boot_frames *boot, uint64_t count, uint64_t align, bool record)
{
    for (unsigned i = 0; i < boot->map->count; i++) {
        uint64_t start, end, run;

        if (boot->map->ranges[i].kind != MEMORY_USABLE ||
            !memory_map_frames(&boot->map->ranges[i], &start, &end) || end <= boot->next)
            continue;
        if (start < boot->next)
            start = boot->next;
        run = align_up(start, align);
        if (run >= start && run < end && end - run >= count) {
            if (record)
                skip(boot, start, run);
            return run;
        }
        if (record)
            skip(boot, start, end);
    }
    return UINT64_MAX;
}

enum status boot_frames_take_run(struct boot_frames *boot, uint64_t count, uint64_t align, struct pfn *out)
{
    uint64_t run;

    if (count == 0 || align == 0 || (align & (align - 1)) != 0)
        return ST_INVALID;
    if (find_run(boot, count, align, false) == UINT64_MAX)
        return ST_NO_MEMORY;
    run = find_run(boot, count, align, true);
    boot->next = run + count;
    boot->handed_out += count;
    *out = pfn(run);
    return ST_OK;
}

enum status boot_frames_take(struct boot_frames *boot, struct pfn *out)
{
    return boot_frames_take_run(boot, 1, 1, out);
}
