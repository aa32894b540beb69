/*
 * The flush promise of src/vm: translations that must leave the TLBs, and the frames that may only be freed
 * after that.
 *
 * A change collects into one batch and ends it once, at the end of the cursor. Up to BATCH_PAGES single pages
 * are flushed one by one, more of them by flushing the space.
 */
#ifndef VM_BATCH_H
#define VM_BATCH_H

#include "quire/object.h"
#include "vm/space_internal.h"

enum { BATCH_PAGES = 32, BATCH_HELD = 32, BATCH_OBJECTS = 4 };

/* Pages of an object that entries no longer refer to. */
struct batch_object {
    uint32_t id;
    uint64_t pages;
};

struct flush_batch {
    struct space *space; /* NULL: nobody can have translations (the space is dying and not active) */
    struct frame *freed; /* frames whose only holder is this batch, linked by node.next */
    unsigned pages;      /* above BATCH_PAGES: flush all of the space */
    unsigned held;
    unsigned objects;
    struct batch_object object[BATCH_OBJECTS];
    uint64_t page[BATCH_PAGES];
    struct frame *hold[BATCH_HELD]; /* frames that have other holders too: one reference each */
};

static inline void batch_init(struct flush_batch *batch, struct space *space)
{
    batch->space = space;
    batch->freed = NULL;
    batch->objects = 0;
    batch->pages = 0;
    batch->held = 0;
}

static inline bool batch_is_empty(const struct flush_batch *batch)
{
    return (batch->pages | batch->held | batch->objects) == 0 && !batch->freed;
}

static inline void batch_page(struct flush_batch *batch, uint64_t address)
{
    if (batch->pages < BATCH_PAGES)
        batch->page[batch->pages] = address;
    batch->pages++;
}

static inline void batch_space(struct flush_batch *batch)
{
    batch->pages = BATCH_PAGES + 1;
}

/* Flush what was collected and let go of the frames. Any locks may be held. */
void batch_flush(struct flush_batch *batch);
/* batch_flush(), and let go of the objects. Any locks may be held; objects_reap() is the caller's. */
void batch_drop_all(struct flush_batch *batch);
/* batch_drop_all(), and objects that nobody refers to any more die. No locks held; may sleep. */
void batch_end(struct flush_batch *batch);

static inline void batch_free_frame(struct flush_batch *batch, struct frame *frame)
{
    frame->node.next = (struct list *)batch->freed;
    batch->freed = frame;
}
void batch_hold_frame(struct flush_batch *batch, struct frame *frame);
/* A mapping's reference to `frame` ends after the flush, at once when there is none to be made. */
static inline void batch_drop_frame(struct flush_batch *batch, struct frame *frame)
{
    if (__atomic_load_n(&frame->refs, __ATOMIC_ACQUIRE) == 1)
        batch_free_frame(batch, frame);
    else if (!batch->space)
        frame_unref(frame);
    else
        batch_hold_frame(batch, frame);
}
void batch_drop_other(struct flush_batch *batch, uint32_t object_id, uint64_t pages);
/* `pages` pages of the object are no longer referred to by entries. The object is told after the flush,
 * because its frames may go with it. */
static inline void batch_drop_object(struct flush_batch *batch, uint32_t object_id, uint64_t pages)
{
    if (batch->objects > 0 && batch->object[batch->objects - 1].id == object_id)
        batch->object[batch->objects - 1].pages += pages;
    else
        batch_drop_other(batch, object_id, pages);
}

#endif
