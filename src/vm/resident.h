/*
 * Pages of objects that are in memory already, and their entries.
 *
 * An entry of an object's page counts in a view of its table whether it is a mark, the page or a private
 * copy, so nothing here changes a view. Locking: the table and the object are locked.
 */
#ifndef VM_RESIDENT_H
#define VM_RESIDENT_H

#include "vm/cursor.h"
#include "vm/object_internal.h"

/* What the entries of a mark's pages have in common. */
struct page_form {
    uint64_t bits;
    bool may_write; /* once nobody waits to hear of the first write */
};

static inline struct page_form page_form(struct pt_entry mark)
{
    bool shared = mark_kind(mark) == MARK_SHARED;

    return (struct page_form){page_make(paddr(0), mark_access(mark), mark_traits(mark), false, shared).bits |
                                  PAGE_OBJECT,
                              shared && mark_access(mark) & ACCESS_WRITE};
}

/* Is it there, and not being read in? */
static inline bool frame_is_resident(const struct frame *frame)
{
    return frame && !(frame_flags(frame) & FRAME_BUSY);
}

/* May an entry of a shared mapping write at once? A page whose store has its contents is watched for its
 * first write. */
static inline bool frame_is_unwatched(const struct frame *frame)
{
    return frame_flags(frame) & FRAME_DIRTY;
}

/* The resident frame takes the place of its mark in the entry. */
static inline void resident_map(struct pt_entry *entry, struct page_form form, struct frame *frame)
{
    uint64_t bits = form.bits | frame_paddr(frame).v;

    if (form.may_write && frame_is_unwatched(frame))
        bits |= PT_WRITE | PT_DIRTY;
    frame_set_flags(frame, FRAME_MAPPED);
    pt_entry_store(entry, pt_entry(bits));
}

/* A private copy of the resident frame takes the place of `mark`, which stands for it in the leaf table; the
 * member is charged for it. */
MUST_USE enum status resident_copy(struct frame *table, struct pt_entry *entry, struct pt_entry mark,
                                   const struct frame *from, uint32_t member);

/* Maps the resident ones of the object's pages that `mark` and its successors stand for, where the `count`
 * entries of a leaf table still say so; without the A bit, which the MMU sets if they are used. Returns how
 * many. */
unsigned resident_map_run(struct object *object, struct pt_entry *entries, unsigned count,
                          struct pt_entry mark);

/* SPACE_AHEAD and SPACE_AHEAD_LAST: the cursor's range was filled with one mark, as the request says. What
 * cannot be done at once is left to faults. */
void resident_map_ahead(struct cursor *cursor, const struct space_map *request);

#endif
