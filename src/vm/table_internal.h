/*
 * What the files about tables share: what an entry holds, and runs of like entries.
 */
#ifndef VM_TABLE_INTERNAL_H
#define VM_TABLE_INTERNAL_H

#include "vm/object_internal.h"
#include "vm/table.h"
#include "vm/view.h"

/* A mark that stands for nothing but itself: no frame, no slot. */
static inline bool is_frameless_mark(struct pt_entry entry)
{
    return !pt_entry_present(entry) && mark_kind(entry) < MARK_HELD;
}

/* The origin of the private page that a held or a swap mark is about. */
static inline uint64_t entry_origin(struct pt_entry mark)
{
    return mark_kind(mark) == MARK_SWAP ? swap_origin(entry_slot(mark))
                                        : frame_at(held_paddr(mark))->page.index;
}

/* The page of an object that an entry refers to: what its mark says, shows, or is a private copy of. False:
 * plain anonymous memory. The entry's own hold keeps the object alive. */
static inline bool entry_reference(struct pt_entry entry, struct reference *out)
{
    const struct frame *frame;
    uint64_t origin;

    if (!pt_entry_present(entry)) {
        if (mark_has_object(entry)) {
            *out = (struct reference){mark_object_id(entry), mark_index(entry)};
            return true;
        }
        if (is_frameless_mark(entry))
            return false;
        origin = entry_origin(entry);
    } else {
        frame = frame_at(pt_entry_paddr(entry));
        if (entry.bits & PAGE_OBJECT) {
            *out = (struct reference){frame->page.object->id, frame->page.index};
            return true;
        }
        if (frame == zero_frame)
            return false;
        origin = frame->page.index;
    }
    *out = (struct reference){origin_object_id(origin), origin_index(origin)};
    return (origin & ORIGIN_OBJECT) != 0;
}

/* The object whose page a mark, or an entry above level 1, refers to; 0: none. */
static inline uint32_t mark_object(struct pt_entry entry)
{
    return !pt_entry_present(entry) && mark_has_object(entry) ? mark_object_id(entry) : 0;
}

/* The bit of a mark's kind that says that it may be about a private frame or a slot. */
#define PRIVATE_KIND ((uint64_t)4)
_Static_assert((MARK_HELD & 4) && (MARK_SWAP & 4) && !((MARK_ANON | MARK_PRIVATE | MARK_SHARED) & 4),
               "one bit tells marks about private pages");

/* The private frame that an entry maps or holds, whose places the reverse map knows; NULL: it is about
 * something else. */
static inline struct frame *entry_private(struct pt_entry entry)
{
    if ((entry.bits & (PT_PRESENT | PAGE_OBJECT)) == PT_PRESENT) {
        struct frame *frame = frame_at(pt_entry_paddr(entry));

        return frame == zero_frame ? NULL : frame;
    }
    if ((entry.bits & (PT_PRESENT | MARK_KIND_MASK)) == (uint64_t)MARK_HELD << MARK_KIND_SHIFT)
        return frame_at(held_paddr(entry));
    return NULL;
}

/* The last entry at or below `*at` that can be about a private frame or a slot, and where it is; there is
 * one. What it passes over is told by two bits: pages of objects, and marks of a kind without PRIVATE_KIND.
 */
static inline struct pt_entry table_last_private(struct pt_entry **at)
{
    for (;; --*at) {
        struct pt_entry entry = pt_entry_load(*at);

        if (entry.bits & (PT_PRESENT | PRIVATE_KIND << MARK_KIND_SHIFT) && !entry_is_object_page(entry))
            return entry;
    }
}

/* entry_private() of such an entry. */
static inline struct frame *last_private_frame(struct pt_entry entry)
{
    struct frame *frame;

    if (!pt_entry_present(entry))
        return mark_kind(entry) == MARK_HELD ? frame_at(held_paddr(entry)) : NULL;
    frame = frame_at(pt_entry_paddr(entry));
    return frame == zero_frame ? NULL : frame;
}

/* How many entries from `entries` on, at most `most`, say just the same. */
static inline unsigned equal_run(const struct pt_entry *entries, unsigned most)
{
    uint64_t bits = entries->bits;
    unsigned run = 1;

    for (; run + 8 <= most; run += 8) {
        const struct pt_entry *e = &entries[run];
        uint64_t any =
            e[0].bits | e[1].bits | e[2].bits | e[3].bits | e[4].bits | e[5].bits | e[6].bits | e[7].bits;
        uint64_t all =
            e[0].bits & e[1].bits & e[2].bits & e[3].bits & e[4].bits & e[5].bits & e[6].bits & e[7].bits;

        if ((any ^ bits) | (all ^ bits))
            break;
    }
    while (run < most && entries[run].bits == bits)
        run++;
    return run;
}

/* How many entries from `entries` on, at most `most`, continue the mark that is first of them. */
static inline unsigned mark_run(const struct pt_entry *entries, unsigned most, unsigned level)
{
    uint64_t bits = entries->bits;
    uint64_t step = level_pages(level) << MARK_PAYLOAD_SHIFT;
    unsigned run = 1;

    if (!mark_has_object(*entries))
        return equal_run(entries, most);
    while (run < most && entries[run].bits == (bits -= step))
        run++;
    return run;
}

/* share.c: the table behind an entry without W becomes this space's own. Errors as table_refine(). */
MUST_USE enum status table_own(struct flush_batch *batch, struct pt_entry *entry, uint64_t start,
                               struct frame **out);

#endif
