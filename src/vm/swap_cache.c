/*
 * The swap cache: who counts a slot, who has its frame, and what ends when nobody does.
 *
 * Locking: swap.lock in every public function; inside the lock of a table or an object, or rmap_lock().
 */
#include "vm/object_internal.h"
#include "vm/pages.h"
#include "vm/swap_internal.h"

/* ------------------------------------------------------------------ pairs */

void cache_insert(uint32_t slot, struct frame *frame)
{
    CHECK_ALWAYS(!(frame_flags(frame) & FRAME_SLOT));
    slot_at(slot)->frame = (uint32_t)frame_pfn(frame).v;
    frame->paging.slot = slot;
    frame_set_flags(frame, FRAME_SLOT);
    frame_ref(frame);
    swap.cached++;
}

struct frame *cache_remove(uint32_t slot)
{
    struct frame *frame = slot_frame(slot_at(slot));

    slot_at(slot)->frame = 0;
    slot_at(slot)->flags &= (uint8_t)~SLOT_AROUND;
    frame_clear_flags(frame, FRAME_SLOT);
    swap.cached--;
    return frame;
}

/* The frame leaves the cache; what is in it is only in it from now on, if it goes on at all. */
static void cache_drop(uint32_t slot)
{
    struct frame *frame = cache_remove(slot);

    if (frame->use == FRAME_SHARED)
        frame_set_flags(frame, FRAME_DIRTY);
    else if (frame_mapcount(frame) == 0)
        pages_remove(frame);
    frame_unref(frame);
}

void slot_settle(uint32_t slot)
{
    struct swap_slot *s = slot_at(slot);
    const struct frame *frame = slot_frame(s);

    if (s->count > 0 || (frame && frame_flags(frame) & FRAME_BUSY))
        return;
    if (frame) {
        bool wanted = frame->use == FRAME_SHARED || frame_mapcount(frame) > 0;

        if (wanted && s->flags & SLOT_LEAVING)
            return; /* swap_release() settles it */
        if (wanted && !(s->flags & (SLOT_BAD | SLOT_STALE)) && swap_is_roomy())
            return;
        cache_drop(slot);
    }
    slot_free(slot);
}

void cache_sweep(uint32_t wanted)
{
    uint32_t cached = swap.cached;

    for (uint32_t left = swap.slots; left > 0 && cached > 0 && wanted > 0; left--) {
        uint32_t slot = swap.sweep = swap.sweep % swap.slots + 1;
        const struct swap_slot *s;

        if (!slot_is_taken(slot) || !(s = slot_at(slot))->frame)
            continue;
        cached--;
        if (s->count > 0 || s->flags & SLOT_LEAVING || frame_flags(slot_frame(s)) & FRAME_BUSY)
            continue;
        cache_drop(slot);
        slot_free(slot);
        wanted--;
    }
}

/* ------------------------------------------------------------------ marks come and go */

void swap_dup(uint32_t slot)
{
    lock_take(&swap.lock);
    slot_at(slot)->count++;
    CHECK_ALWAYS(slot_at(slot)->count != 0);
    lock_drop(&swap.lock);
}

void swap_put(uint32_t slot)
{
    lock_take(&swap.lock);
    CHECK_ALWAYS(slot_at(slot)->count > 0);
    slot_at(slot)->count--;
    slot_settle(slot);
    lock_drop(&swap.lock);
}

uint64_t swap_origin(uint32_t slot)
{
    return slot_origin(slot_at(slot));
}

/* ------------------------------------------------------------------ mappings come and go */

static void cached_unmapped(struct frame *frame)
{
    lock_take(&swap.lock);
    if (frame_flags(frame) & FRAME_SLOT)
        slot_settle(frame->paging.slot);
    lock_drop(&swap.lock);
}

void frame_unmapped_slowly(struct frame *frame, struct pt_entry was)
{
    frame_seen(frame, was);
    if (frame_mapcount(frame) > 0)
        return;
    if (frame_flags(frame) & FRAME_SLOT)
        cached_unmapped(frame);
    if (!(frame_flags(frame) & FRAME_SLOT))
        pages_remove(frame);
}

void slot_set_stale(uint32_t slot)
{
    struct swap_slot *s = slot_at(slot);

    swap.zero -= (s->flags & SLOT_ZERO) != 0;
    s->flags = (uint8_t)((s->flags & ~SLOT_ZERO) | SLOT_STALE);
}

void swap_dirtied(struct frame *frame)
{
    lock_take(&swap.lock);
    if (frame_flags(frame) & FRAME_SLOT)
        slot_set_stale(frame->paging.slot);
    frame_clear_flags(frame, FRAME_LAZY);
    lock_drop(&swap.lock);
}

/* Alone with its contents: nobody else maps it or holds it, and the marks of others, if there are any, find
 * them in the store. */
static bool may_take_over(const struct frame *frame)
{
    const struct swap_slot *s = slot_at(frame->paging.slot);

    return frame_refs(frame) == 2 && frame_mapcount(frame) == 1 &&
           (s->count == 0 || !(s->flags & (SLOT_STALE | SLOT_LEAVING | SLOT_WRITING)));
}

bool swap_take_over(struct frame *frame)
{
    bool alone;

    lock_take(&swap.lock);
    if (frame_flags(frame) & FRAME_SLOT) {
        alone = may_take_over(frame);
        if (alone) {
            uint32_t slot = frame->paging.slot;

            frame_unref(cache_remove(slot));
            if (slot_at(slot)->count == 0)
                slot_free(slot);
        }
    } else {
        alone = frame_is_sole(frame);
    }
    lock_drop(&swap.lock);
    return alone;
}

void swap_forget_frame(struct frame *frame)
{
    lock_take(&swap.lock);
    if (frame_flags(frame) & FRAME_SLOT) {
        uint32_t slot = frame->paging.slot;

        frame_unref(cache_remove(slot));
        slot_free(slot);
    }
    lock_drop(&swap.lock);
}
