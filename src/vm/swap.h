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
 * sole, and the quick paths of fork, faults and unmapping leave it to the slow ones. The slot knows whether
 * it has the frame's contents (SLOT_STALE); for a frame that may be written to (only one entry maps it, and
 * the count is 0) the D bit of that entry says it too. An object's page has FRAME_DIRTY for that, as a file's
 * has.
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

/* A function that is never made part of its caller: what has nothing to do with swap stays as short as it is.
 */
#define SWAP_APART __attribute__((noinline, cold))

/* ------------------------------------------------------------------ a page leaves (evict.c) */

/*
 * All of these are for frames of use FRAME_ANON (order 0) and FRAME_SHARED, each once, to which the caller
 * has a reference; for a frame that is SHARED also one to its object. No locks are held.
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
 * frame is free unless somebody still holds it. False: it stays, and the policy knows it again. */
bool swap_release(struct frame *frame);

/* ------------------------------------------------------------------ a page comes back */

/* Where a reader of swap came last: for read-ahead. Several, because a program reads several things at a
 * time.
 */
enum { SWAP_STREAMS = 4 };
struct swap_streams {
    struct {
        uint32_t next;   /* w: the slot after what was read last */
        uint32_t window; /* w: pages to read the next time it goes on there */
    } stream[SWAP_STREAMS];
    uint32_t oldest; /* w */
};

/* What a page in swap needs before it can be used. `frame` is it, with a reference for the caller, and BUSY.
 */
struct swap_read {
    struct frame *frame;
    uint32_t first; /* slots first .. first + count - 1 are to be read; count 0: somebody else reads it */
    unsigned count, wanted; /* frames[wanted] is `frame` */
    struct frame *frames[SWAP_CLUSTER];
};

/*
 * The page of `mark` (MARK_SWAP, its access allows `access`) is wanted. `table`, a leaf table of the space
 * only, is locked. ST_OK: it is mapped. ST_NEEDS_IO: *read is for swap_read_in(). ST_NO_MEMORY: nothing has
 * changed.
 */
SWAP_APART MUST_USE enum status swap_map(struct frame *table, struct pt_entry *entry, struct pt_entry mark,
                                         enum access access, struct space *space, struct swap_read *read);

/*
 * The same for page `index` of `object` (locked), which is in `slot`. ST_OK: it is resident.
 */
SWAP_APART MUST_USE enum status swap_bring(struct object *object, uint64_t index, uint32_t slot,
                                           struct swap_read *read);

/* Reads, or waits for who does. No locks held; sleeps. read->frame is still the caller's. ST_IO_ERROR: the
 * page could not be read. ST_OK: look again. */
SWAP_APART MUST_USE enum status swap_read_in(struct swap_read *read);

/* ------------------------------------------------------------------ marks */

/* One mark more; one fewer: the slot is freed when it was the last. The lock of the table or object that the
 * mark is in is held. */
SWAP_APART void swap_dup(uint32_t slot);
SWAP_APART void swap_put(uint32_t slot);
/* What the private page is a copy of, as frame->page.index. */
SWAP_APART uint64_t swap_origin(uint32_t slot);

/* ------------------------------------------------------------------ mappings and frames */

/* The entry, whose table is locked, maps the frame: has a page been used that was read ahead? */
SWAP_APART void frame_seen_slowly(struct frame *frame, struct pt_entry entry);
static inline void frame_seen(struct frame *frame, struct pt_entry entry)
{
    if (frame_flags(frame) & FRAME_AHEAD)
        frame_seen_slowly(frame, entry);
}

/* The private frame has lost a mapping, which `was`: its place is gone, the mapping's reference is still held
 * by the caller. After the last one the policy forgets it, and so does the cache when nobody else wants its
 * contents. */
SWAP_APART void frame_unmapped_slowly(struct frame *frame, struct pt_entry was);
static inline void frame_unmapped(struct frame *frame, struct pt_entry was)
{
    if (frame_flags(frame) & (FRAME_LISTED | FRAME_SLOT | FRAME_NAMED))
        frame_unmapped_slowly(frame, was);
}

/* The D bit of an entry of a private frame is about to be lost, and was set. */
SWAP_APART void swap_dirtied(struct frame *frame);
static inline void frame_lost_dirty(struct frame *frame, struct pt_entry was)
{
    if (frame_flags(frame) & (FRAME_SLOT | FRAME_LAZY) && was.bits & PT_DIRTY)
        swap_dirtied(frame);
}

/* May the one entry that maps the private frame, whose table is locked, write to it? If it may, the frame has
 * no slot any more. */
SWAP_APART MUST_USE bool swap_take_over(struct frame *frame);

/* An object's frame goes, and its contents with it; the object is locked, or dies. */
SWAP_APART void swap_forget_frame(struct frame *frame);
static inline void frame_forget_slot(struct frame *frame)
{
    if (frame_flags(frame) & FRAME_SLOT)
        swap_forget_frame(frame);
}

void swap_init(void);
/* Is there any? */
bool swap_is_on(void);

/* ------------------------------------------------------------------ checks */

/* The slot is in use and counts somebody. */
bool swap_mark_agrees(uint32_t slot);
/* The frame of the cache and its slot point to each other; `writable`: the slot counts nobody. */
bool swap_frame_agrees(const struct frame *frame, bool writable);
/* The marks of all spaces and the pages of all objects are what the slots count. As swap_check(). */
void swap_check_marks(void);
/* Frames of the swap cache that are private and mapped nowhere: read ahead, or given up by those who mapped
 * them while others have the slot. */
uint64_t swap_unmapped_frames(void);

#endif
