/*
 * Eviction. See evict.h.
 *
 *   choose -> unmap all -> one flush -> write in clusters -> free what nobody wanted
 *                                                         -> back into the policy what somebody did
 *
 * A batch, so that one flush and one write serve several pages. Marks are left before the flush and frames
 * are freed after it; a page that is touched in between is faulted in again, finds itself in its object, and
 * is kept. What cannot be written stays in memory, dirty.
 *
 * Locking: a victim is held by a reference from the choice on. Its object's lock for what happens to its
 * entries and its place in the object.
 */
#include "vm/evict.h"

#include "vm/object_internal.h"
#include "vm/pages.h"
#include "vm/space_internal.h"

struct batch {
    unsigned count;
    struct victim victims[EVICT_BATCH];
    bool flush;
    bool dirty; /* pages of files that are to be written */
    unsigned freed;
};

/* ------------------------------------------------------------------ pages of files */

static bool only_we_hold(const struct frame *frame, const struct object *object)
{
    return frame->page.object == object && frame_refs(frame) == 2 &&
           !(frame_flags(frame) & (FRAME_BUSY | FRAME_WRITING));
}

static void unmap_page(struct batch *batch, const struct victim *victim)
{
    lock_take(&victim->object->lock);
    if (only_we_hold(victim->frame, victim->object)) {
        batch->flush |= object_unmap_frame(victim->frame);
        batch->dirty |= (frame_flags(victim->frame) & FRAME_DIRTY) != 0;
    }
    lock_drop(&victim->object->lock);
}

/* Writes the dirty ones, with their neighbours. A failure leaves them dirty, and so in memory. */
static void write_pages(const struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        const struct victim *victim = &batch->victims[i];

        if (victim->frame->use == FRAME_FILE && frame_flags(victim->frame) & FRAME_DIRTY)
            (void)!object_sync(victim->object, victim->frame->page.index, EVICT_BATCH);
    }
}

/* Frees the page if nobody wanted it meanwhile: only the object and we hold it. */
static bool take_page(const struct victim *victim)
{
    struct object *object = victim->object;
    struct frame *frame = victim->frame;
    bool taken = false;

    lock_take(&object->lock);
    if (only_we_hold(frame, object) && !(frame_flags(frame) & (FRAME_DIRTY | FRAME_MAPPED))) {
        radix_remove(&object->pages, frame->page.index);
        object->resident--;
        frame->page.object = NULL;
        taken = true;
    }
    lock_drop(&object->lock);
    if (!taken)
        return false;
    pages_remove(frame);
    frame_unref(frame); /* the object's */
    frame_unref(frame); /* ours */
    object_unref(object);
    return true;
}

/* ------------------------------------------------------------------ the stages */

static void unmap(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        unmap_page(batch, &batch->victims[i]);
    if (pages_must_flush() || batch->flush) {
        STAT(flush_all);
        host_flush_all();
    }
}

static void free_or_return(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        if (take_page(&batch->victims[i]))
            batch->freed++;
        else
            pages_return(&batch->victims[i]);
    }
    STAT_ADD(drops, batch->freed);
}

struct evicted evict(unsigned wanted, uint32_t taker)
{
    struct batch batch = {0};

    batch.count = pages_choose(batch.victims, wanted < EVICT_BATCH ? wanted : EVICT_BATCH, taker);
    if (batch.count == 0)
        return (struct evicted){0};
    unmap(&batch);
    if (batch.dirty)
        write_pages(&batch);
    free_or_return(&batch);
    pages_settled(batch.count);
    return (struct evicted){batch.count, batch.freed};
}
