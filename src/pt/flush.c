/*
 * Keeping the flush promise, and the frames that wait for it.
 *
 * A frame that was taken out of a table may still be reached through a translation that some CPU holds. So it
 * stays in the batch until the flush has returned, and only then goes back to who may hand it out again.
 */
#include "pt/flush.h"

static bool take_none(void *context, struct paddr *out)
{
    (void)context;
    (void)out;
    return false;
}

static void give_none(void *context, struct paddr frame)
{
    (void)context;
    (void)frame;
}

const struct pt_alloc pt_alloc_none = {.take = take_none, .give = give_none};

enum status pt_flush_now(struct pt_flush promise, const struct pt_flusher *flusher)
{
    if (promise.kind != PT_FLUSH_NONE)
        flusher->flush(flusher->context, vaddr(promise.start), promise.pages,
                       (enum pt_flush_kind)promise.kind);
    return (enum status)promise.status;
}

void pt_batch_init(struct pt_batch *batch, const struct pt_alloc *alloc, const struct pt_flusher *flusher,
                   uint64_t *storage, unsigned capacity)
{
    *batch = (struct pt_batch){.alloc = alloc, .flusher = flusher, .frames = storage, .capacity = capacity};
}

void batch_cover(struct pt_batch *batch, uint64_t start, uint64_t bytes, enum pt_flush_kind kind)
{
    uint64_t last = start + bytes - 1;

    if (batch->kind == PT_FLUSH_NONE) {
        batch->start = start;
        batch->last = last;
    } else {
        batch->start = start < batch->start ? start : batch->start;
        batch->last = last > batch->last ? last : batch->last;
    }
    batch->kind = kind > batch->kind ? kind : batch->kind;
}

enum status pt_batch_add(struct pt_batch *batch, struct pt_flush promise)
{
    if (promise.kind != PT_FLUSH_NONE)
        batch_cover(batch, promise.start, (uint64_t)promise.pages << PAGE_SHIFT,
                    (enum pt_flush_kind)promise.kind);
    return (enum status)promise.status;
}

/* Flush; what is covered stays so, because more of it may follow. */
void batch_drain(struct pt_batch *batch)
{
    const struct pt_alloc *alloc = batch->alloc;

    if (batch->kind != PT_FLUSH_NONE && batch->flusher)
        batch->flusher->flush(batch->flusher->context, vaddr(batch->start),
                              (batch->last - batch->start + 1) >> PAGE_SHIFT, batch->kind);
    for (unsigned i = 0; i < batch->count; i++) {
        unsigned level = (unsigned)(batch->frames[i] & PAGE_MASK);
        struct paddr frame = paddr(align_down(batch->frames[i], PAGE_SIZE));

        if (level == 0)
            alloc->give(alloc->context, frame);
        else if (alloc->give_page)
            alloc->give_page(alloc->context, frame, level);
    }
    batch->count = 0;
}

void pt_batch_finish(struct pt_batch *batch)
{
    batch_drain(batch);
    batch->kind = PT_FLUSH_NONE;
}
