/*
 * Pages that are freed lazily. See lazy.h.
 *
 * D is the MMU's: a program that writes to such a page sets it without a fault, since the TLBs have forgotten
 * the translation in which it was set already. So an entry is taken away by a compare-and-exchange that fails
 * when D has come in between. (Linux's folio_mark_lazyfree() and try_to_unmap_one() work by the same bit.)
 */
#include "vm/lazy.h"

#include "vm/pages.h"
#include "vm/swap_internal.h"
#include "vm/table.h"

static bool any; /* a */

bool lazy_any(void)
{
    return __atomic_load_n(&any, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ marking */

/* An evictor that has the frame in hand has a reference: then it is not sole. One that comes later finds the
 * flag, or clears it when he gives the frame a slot. */
static bool set_if_sole(struct frame *frame)
{
    bool sole;

    lock_take(&swap.lock);
    sole = frame_is_sole(frame);
    if (sole)
        frame_set_flags(frame, FRAME_LAZY);
    lock_drop(&swap.lock);
    return sole;
}

bool lazy_mark(struct frame *frame)
{
    if (frame->page.index != 0) /* a copy of a page of an object: that would come back */
        return false;
    if (frame_flags(frame) & FRAME_SLOT && !swap_take_over(frame))
        return false;
    if (!set_if_sole(frame))
        return false;
    __atomic_store_n(&any, true, __ATOMIC_RELAXED);
    STAT_ADD(lazy_frees, frame_flags(frame) & FRAME_HUGE ? level_pages(2) : 1);
    pages_freed_lazily(frame);
    return true;
}

/* ------------------------------------------------------------------ going */

/* References of who maps nothing: the caller's. */
static bool is_held_by_others(const struct frame *frame)
{
    return frame_refs(frame) != frame_mapcount(frame) + 1;
}

static struct pt_entry zeroes_mark(struct pt_entry entry)
{
    return mark_make(MARK_ANON, pt_entry_present(entry) ? page_access(entry) : (unsigned)ACCESS_NONE,
                     entry_traits(entry), 0);
}

/* False: the page has been written to. */
static bool take_entry(struct pt_entry *entry)
{
    struct pt_entry now = pt_entry_load(entry);

    do {
        if (pt_entry_present(now) && now.bits & PT_DIRTY)
            return false;
    } while (!__atomic_compare_exchange_n(&entry->bits, &now.bits, zeroes_mark(now).bits, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return true;
}

/* The entry's table and the reverse map are locked. */
static void unmap_visit(struct frame *frame, struct pt_entry *entry, void *context)
{
    if (!frame_is_lazy(frame) || entry_is_locked(pt_entry_load(entry)) || is_held_by_others(frame))
        return;
    if (!take_entry(entry)) {
        frame_clear_flags(frame, FRAME_LAZY);
        return;
    }
    entry_count_privates(entry, -1);
    rmap_remove_locked(frame, entry_place(entry));
    frame_unref(frame);
    *(bool *)context = true;
}

bool lazy_unmap(struct frame *frame)
{
    bool flush = false;

    rmap_walk(frame, unmap_visit, &flush);
    return flush;
}
