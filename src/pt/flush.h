/*
 * The inside of a batch.
 */
#ifndef PT_FLUSH_H
#define PT_FLUSH_H

#include "quire/pt.h"

#include "pt/names_internal.h"

/* The batch promises to flush this range. */
void batch_cover(struct pt_batch *batch, uint64_t start, uint64_t bytes, enum pt_flush_kind kind);
/* Keeps the promise now and gives the frames back. */
void batch_drain(struct pt_batch *batch);

/* What a frame was is noted in its low bits so that a page of 4 KiB is its address and nothing else. */
enum { BATCH_PAGE = 1 };

/* A frame that is in no table any more; level 0: it was a table, else a page of that level. The range that it
 * was mapped in is covered already. */
static inline void batch_push(struct pt_batch *batch, struct paddr frame, unsigned level)
{
    if (__builtin_expect(batch->count == batch->capacity, 0))
        batch_drain(batch);
    batch->frames[batch->count++] = frame.v | (level ^ BATCH_PAGE);
}

#endif
