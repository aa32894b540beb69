/*
 * Swap slots, the swap cache, and the steps in which a page leaves memory.
 *
 * A slot has the contents of one page: of a private page of one or, after fork, several spaces, or of a page
 * of an object without a pager.
 *
 *    entry (MARK_SWAP) --.                        slot -- count: entries (and pages of objects) whose
 * contents entry (MARK_SWAP) ---+--> slot <----> frame            it has, and readers object, page i    --'
 * (swap cache)           -- frame: the same contents in memory, or none
 *                                                        -- origin: what the private page is a copy of
 *
 * The swap cache is the pairs of a slot and a frame: frame->flags has FRAME_SLOT, frame->paging.slot and the
 * slot point to each other, and the cache holds a reference to the frame. So a frame of the cache is never
 * sole, and the quick paths of fork, faults and unmapping leave it to the slow ones. FRAME_DIRTY of a private
 * frame of the cache says that the slot does not have its contents; for a frame that may be written to (only
 * one entry maps it, and the count is 0) the D bit of that entry says it too.
 *
 * While a slot counts marks, no entry that maps its frame has W. Who writes to such a page gets a copy, or
 * the frame itself when it is the last one who wants it or the slot has the contents already.
 *
 * A page leaves in the order of the functions below. Until swap_release() anybody may take it back: the fault
 * finds it in the cache and maps it again; nobody waits for the store.
 *
 * Locking: the swap lock (RANK_SWAP) for slots and the cache; inside the lock of the table or object whose
 * contents come or go, and inside rmap_lock(). docs/LOCKING.md.
 */
#ifndef VM_SWAP_H
#define VM_SWAP_H

#include "quire/swap.h"
#include "vm/entry.h"
#include "vm/rmap.h"

/* ------------------------------------------------------------------ a page leaves (evict.c) */

/*
 * All of these are for frames of use FRAME_ANON (order 0) and FRAME_SHARED to which the caller has a
 * reference; for a frame that is SHARED also one to its object. No locks are held.
 *
 * Gives each frame a slot, consecutive ones in the order of their addresses where it can. Those that got one
 * come first in frames[], sorted by slot; returns how many. The others stay in memory: swap is full, or their
 * slot could not be written and others need it. A frame that has a slot with its contents keeps it.
 */
unsigned swap_prepare(struct frame **frames, unsigned count);

/*
 * Every entry of the frame becomes a mark, unless somebody else holds the frame (an entry that is pinned just
 * now, or is locked in memory by TRAIT_LOCKED, stays). True: the caller flushes all spaces before
 * swap_write().
 */
MUST_USE bool swap_unmap(struct frame *frame);

/* Must it be written before it may go? Not if the slot has its contents, or it is all zeroes. */
bool swap_needs_write(struct frame *frame);

/*
 * Writes the frames of a list as swap_prepare() sorted it that need it; those with consecutive slots in one
 * request. May sleep. ST_IO_ERROR: some could not be written; they stay in memory, and their slots are not
 * used again.
 */
MUST_USE enum status swap_write(struct frame *const *frames, unsigned count);

/* Ends the caller's reference. True: nobody wanted the page meanwhile, its contents are in the slot, and the
 * frame is free unless somebody still holds it. False: it stays, and is to go on as a page of the policy. */
bool swap_release(struct frame *frame);

/* Can the frame be given a slot? False for those whose slot is bad and has other users. */
bool swap_may_leave(const struct frame *frame);

/* ------------------------------------------------------------------ mappings and frames go */

/* The private frame has lost a mapping: its place is gone, the mapping's reference is still held by the
 * caller. After the last one the policy forgets it, and so does the cache when nobody else wants its
 * contents. */
void frame_unmapped_slowly(struct frame *frame);
static inline void frame_unmapped(struct frame *frame)
{
    if (frame_flags(frame) & (FRAME_LISTED | FRAME_SLOT))
        frame_unmapped_slowly(frame);
}

/* ------------------------------------------------------------------ checks */

/* For checks: the marks of all spaces and the pages of all objects are what the slots count. As swap_check().
 */
void swap_check_marks(void);

#endif
