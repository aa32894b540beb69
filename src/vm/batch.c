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

/* A table without entries is all zeroes, which the next one wants. */
static void free_frame(struct frame *frame)
{
    if (frame->use == FRAME_TABLE && frame->table.live == 0)
        frame_free_zeroed(frame);
    else
        frame_free(frame);
}

static void free_frames(struct flush_batch *batch)
{
    while (batch->freed) {
        struct frame *frame = batch->freed;

        batch->freed = (struct frame *)frame->node.next;
        free_frame(frame);
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

static void tell_objects(struct flush_batch *batch)
{
    for (unsigned i = 0; i < batch->objects; i++)
        object_release_pages(object_by_id(batch->object[i].id), batch->object[i].pages);
    batch->objects = 0;
}

void batch_drop_all(struct flush_batch *batch)
{
    batch_flush(batch);
    tell_objects(batch);
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

void batch_drop_other(struct flush_batch *batch, uint32_t object_id, uint64_t pages)
{
    for (unsigned i = 0; i < batch->objects; i++)
        if (batch->object[i].id == object_id) {
            batch->object[i].pages += pages;
            return;
        }
    if (batch->objects == BATCH_OBJECTS)
        batch_drop_all(batch);
    batch->object[batch->objects++] = (struct batch_object){object_id, pages};
}
