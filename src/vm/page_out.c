/*
 * Pages that a program says it will not need soon (MADV_PAGEOUT): they leave memory now, if they can.
 *
 * As Linux does, only pages that nobody else maps go; locked ones stay. What is to go is gathered with the
 * tables locked, a batch at a time, each frame held by a reference; evict_these() does the rest without
 * locks, and what somebody touches meanwhile stays. Huge pages are not split for it.
 */
#include "vm/evict.h"
#include "vm/object_internal.h"
#include "vm/usage.h"
#include "vm/view.h"

struct gather {
    struct victim victims[EVICT_BATCH];
    unsigned count;
    uint64_t next; /* the address behind the last page that was looked at */
};

static bool may_go(const struct frame *frame, struct pt_entry entry)
{
    if (frame == zero_frame || entry_is_locked(entry) || frame_flags(frame) & (FRAME_BUSY | FRAME_WRITING))
        return false;
    if (frame->use == FRAME_ANON)
        return frame_mapcount(frame) == 1;
    return !object_is_locked(frame->page.object) && view_count(frame) == 1;
}

static void gather_frame(struct gather *gather, struct frame *frame)
{
    struct object *object = frame->use == FRAME_ANON ? NULL : frame->page.object;

    frame_ref(frame);
    if (object)
        object_ref(object);
    gather->victims[gather->count++] = (struct victim){.frame = frame, .object = object};
}

static bool gather_visit(struct pt_entry entry, unsigned level, uint64_t start, uint64_t shares,
                         void *context)
{
    struct gather *gather = context;

    if (gather->count == EVICT_BATCH)
        return false;
    gather->next = start + pt_level_span(level);
    if (level == 1 && shares == 1 && pt_entry_present(entry) &&
        may_go(frame_at(pt_entry_paddr(entry)), entry))
        gather_frame(gather, frame_at(pt_entry_paddr(entry)));
    return true;
}

void space_page_out(struct space *space, struct vaddr start, uint64_t length_bytes)
{
    uint64_t end = 0;

    if (space_range(start, length_bytes, &end) != ST_OK)
        return;
    for (uint64_t at = start.v; at < end;) {
        struct gather gather = {.next = at};
        bool all = usage_walk(space, at, end, gather_visit, &gather);

        evict_these(gather.victims, gather.count);
        at = all ? end : gather.next;
    }
}
