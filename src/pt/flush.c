/*
 * Keeping the flush promise, and the frames that wait for it.
 *
 * A frame that was taken out of a table may still be reached through a translation that some CPU holds. So it
 * stays in the batch until the flush has returned, and only then goes back to who may hand it out again.
 */
#include "pt/flush.h"

#include "pt/run.h"

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

static enum pt_flush_kind flush_kind(struct pt_flush promise)
{
    return (enum pt_flush_kind)(promise.what >> PT_FLUSH_KIND_SHIFT);
}

static uint64_t flush_pages(struct pt_flush promise)
{
    return promise.what & (((uint64_t)1 << PT_FLUSH_STATUS_SHIFT) - 1);
}

enum status pt_flush_now(struct pt_flush promise, const struct pt_flusher *flusher)
{
    enum pt_flush_kind kind = flush_kind(promise);

    if (kind != PT_FLUSH_NONE)
        flusher->flush(flusher->context, vaddr(promise.start), flush_pages(promise), kind);
    return pt_flush_status(promise);
}

void pt_batch_init(struct pt_batch *batch, const struct pt_alloc *alloc, const struct pt_flusher *flusher,
                   uint64_t *storage, unsigned capacity)
{
    batch->alloc = alloc;
    batch->flusher = flusher;
    batch->frames = storage;
    batch->capacity = capacity;
    batch->count = 0;
    batch->kind = PT_FLUSH_NONE;
}

/* One more range to be flushed by itself, unless there are too many pages already. */
static void note_range(struct pt_batch *batch, uint64_t start, uint64_t pages)
{
    unsigned last = batch->ranges - 1;

    if (batch->pages > PT_FLUSH_PAGES_MAX)
        return;
    batch->pages = pages < PT_FLUSH_PAGES_MAX ? batch->pages + pages : PT_FLUSH_PAGES_MAX + 1;
    if (batch->pages > PT_FLUSH_PAGES_MAX)
        return;
    if (batch->ranges > 0 && batch->range[last].start + (batch->range[last].pages << PAGE_SHIFT) == start) {
        batch->range[last].pages += pages;
        return;
    }
    batch->range[batch->ranges].start = start;
    batch->range[batch->ranges++].pages = pages;
}

void batch_cover(struct pt_batch *batch, uint64_t start, uint64_t bytes, enum pt_flush_kind kind)
{
    uint64_t last = start + bytes - 1;

    if (batch->kind == PT_FLUSH_NONE) {
        batch->start = start;
        batch->last = last;
        batch->ranges = 0;
        batch->pages = 0;
    } else {
        batch->start = start < batch->start ? start : batch->start;
        batch->last = last > batch->last ? last : batch->last;
    }
    batch->kind = kind > batch->kind ? kind : batch->kind;
    note_range(batch, start, bytes >> PAGE_SHIFT);
}

enum status pt_batch_add(struct pt_batch *batch, struct pt_flush promise)
{
    enum pt_flush_kind kind = flush_kind(promise);

    if (kind != PT_FLUSH_NONE)
        batch_cover(batch, promise.start, flush_pages(promise) << PAGE_SHIFT, kind);
    return pt_flush_status(promise);
}

static void flush_ranges(const struct pt_batch *batch)
{
    const struct pt_flusher *flusher = batch->flusher;

    if (batch->pages > PT_FLUSH_PAGES_MAX) {
        flusher->flush(flusher->context, vaddr(batch->start), (batch->last - batch->start + 1) >> PAGE_SHIFT,
                       batch->kind);
        return;
    }
    for (unsigned i = 0; i < batch->ranges; i++)
        flusher->flush(flusher->context, vaddr(batch->range[i].start), batch->range[i].pages, batch->kind);
}

/* Are all of them pages of 4 KiB? Words that are only read may be read as entries. */
static bool all_pages(const uint64_t *frames, unsigned count)
{
    return (run_or((const struct pt_entry *)(const void *)frames, count) & PAGE_MASK) == 0;
}

static void give_one(const struct pt_alloc *alloc, uint64_t tagged)
{
    unsigned tag = (unsigned)(tagged & PAGE_MASK), level = tag ^ BATCH_PAGE;
    struct paddr frame = paddr(tagged - tag);

    if (level == 0)
        alloc->give(alloc->context, frame);
    else if (level == 1 && alloc->give_pages)
        alloc->give_pages(alloc->context, &frame, 1);
    else if (alloc->give_page)
        alloc->give_page(alloc->context, frame, level);
}

/* Frames that nobody holds any more: stretches of pages at one go, where somebody wants them so. */
static void give_back(const struct pt_alloc *alloc, const uint64_t *frames, unsigned count)
{
    enum { STRETCH = 64 };

    for (unsigned part; count > 0; frames += part, count -= part) {
        part = count < STRETCH ? count : STRETCH;
        if (alloc->give_pages && all_pages(frames, part)) {
            alloc->give_pages(alloc->context, (const struct paddr *)(const void *)frames, part);
            continue;
        }
        for (unsigned i = 0; i < part; i++)
            give_one(alloc, frames[i]);
    }
}
_Static_assert(sizeof(struct paddr) == sizeof(uint64_t), "pages are addresses");

/* Flush; what is covered stays so, because more of it may follow. */
void batch_drain(struct pt_batch *batch)
{
    if (batch->kind != PT_FLUSH_NONE && batch->flusher)
        flush_ranges(batch);
    give_back(batch->alloc, batch->frames, batch->count);
    batch->count = 0;
}

void pt_batch_finish(struct pt_batch *batch)
{
    batch_drain(batch);
    batch->kind = PT_FLUSH_NONE;
}
