/*
 * Pages that are freed lazily (MADV_FREE): private anonymous memory whose contents are not wanted any more,
 * and which may be written to again at any time.
 *
 *      FRAME_LAZY set, D clear in every entry      may go, without a write: the memory is zeroes again
 *      FRAME_LAZY set, D set in an entry           written to since then: stays; who sees it clears the flag
 *
 * The frame stays where it is until a policy chooses it, so memory that is used again soon costs no fault. A
 * frame that is lazy has no swap slot. It may be mapped by several entries (after fork): each of them can
 * then see zeroes before the others do. D gets lost from an entry only with the flag (frame_lost_dirty()).
 *
 * Locking: the flag is set under swap.lock and the lock of the only table that maps the frame, and cleared
 * without any: who clears it only says that the page has contents.
 */
#ifndef VM_LAZY_H
#define VM_LAZY_H

#include "vm/rmap.h"

/* Has anything ever been freed so? */
bool lazy_any(void);

static inline bool frame_is_lazy(const struct frame *frame)
{
    return frame_flags(frame) & FRAME_LAZY;
}

/*
 * The page of an entry, whose table is locked and only this space's, is not wanted any more. False: it stays
 * as it is, because others map or hold it. True: the caller clears D and A of the entry, if it is present,
 * and flushes.
 */
MUST_USE bool lazy_mark(struct frame *frame);

/*
 * A victim, held by the caller, leaves its entries, as far as nobody has written to it, holds it or has
 * locked it. True: the caller flushes all spaces before the frame is freed. Until then another CPU may see
 * through its TLB what was there.
 */
MUST_USE bool lazy_unmap(struct frame *frame);

#endif
