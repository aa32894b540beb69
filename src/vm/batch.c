/*
 * See batch.h.
 */
#include "vm/batch.h"

#include "vm/object_internal.h"

static void flush_translations(struct flush_batch *batch)
{
    struct space *space = batch->space;

    if (batch->pages > BATCH_PAGES) {
        STAT(flush_spaces);
        host_flush_space(&space->mmu);
    } else {
        STAT_ADD(flush_pages, batch->pages);
        for (unsigned i = 0; i < batch->pages; i++)
            host_flush_page(&space->mmu, vaddr(batch->page[i]));
    }
    batch->pages = 0;
}

static void free_frames(struct flush_batch *batch)
{
    while (batch->freed) {
        struct frame *frame = batch->freed;

        batch->freed = (struct frame *)frame->node.next;
        frame_free(frame);
    }
    for (unsigned i = 0; i < batch->held; i++)
        frame_unref(batch->hold[i]);
    batch->held = 0;
}

void batch_flush(struct flush_batch *batch)
{
    if (batch->pages > 0 && batch->space)
        flush_translations(batch);
    batch->pages = 0;
    free_frames(batch);
}

void batch_drop_all(struct flush_batch *batch)
{
    batch_flush(batch);
    batch_tell_object(batch);
}

void batch_end(struct flush_batch *batch)
{
    batch_drop_all(batch);
    objects_reap();
}

void batch_hold_frame(struct flush_batch *batch, struct frame *frame)
{
    if (batch->held == BATCH_HELD)
        batch_flush(batch);
    batch->hold[batch->held++] = frame;
}

void batch_tell_object(struct flush_batch *batch)
{
    if (batch->object_id != 0)
        object_release_pages(object_by_id(batch->object_id), batch->object_pages);
    batch->object_id = 0;
    batch->object_pages = 0;
}
