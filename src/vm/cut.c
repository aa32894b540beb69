/*
 * Taking away the private copies of pages that an object no longer has.
 *
 * When an object shrinks, its own pages are found by the reverse map; a space's private copies of them are
 * not its pages, and know only where they came from. So every space is walked. That costs what all tables
 * together hold, and happens only when a mapped object shrinks.
 *
 * The entries go back to the marks they came from, also in tables that several spaces share: the object is
 * shorter for all of them.
 *
 * Locking: the list of spaces (RANK_SPACES) for the whole walk, so that none ends meanwhile; tables inside.
 */
#include "vm/cursor.h"
#include "vm/object_internal.h"
#include "vm/swap.h"

enum { CUT_HELD = 32 };

struct cut {
    uint32_t object_id;
    uint64_t first;      /* page of the object from which on copies go */
    struct frame *freed; /* whose only holder is this cut, linked by node.next */
    unsigned held;
    struct frame *hold[CUT_HELD];
};

static void let_go(struct cut *cut)
{
    if (!cut->freed && cut->held == 0)
        return;
    STAT(flush_all);
    host_flush_all();
    while (cut->freed) {
        struct frame *frame = cut->freed;

        cut->freed = (struct frame *)frame->node.next;
        frame_free(frame);
    }
    while (cut->held > 0)
        frame_unref(cut->hold[--cut->held]);
}

static void drop(struct cut *cut, struct frame *frame)
{
    if (frame_is_sole(frame)) {
        frame->node.next = (struct list *)cut->freed;
        cut->freed = frame;
        return;
    }
    if (cut->held == CUT_HELD)
        let_go(cut);
    cut->hold[cut->held++] = frame;
}

static bool is_cut(const struct cut *cut, uint64_t origin)
{
    return origin & ORIGIN_OBJECT && origin_object_id(origin) == cut->object_id &&
           origin_index(origin) >= cut->first;
}

static void cut_swapped(const struct cut *cut, struct pt_entry *entry, struct pt_entry mark)
{
    uint64_t origin = swap_origin(entry_slot(mark));

    if (!is_cut(cut, origin))
        return;
    pt_entry_store(entry, mark_make(MARK_PRIVATE, mark_access(mark), mark_traits(mark),
                                    object_payload(cut->object_id, origin_index(origin))));
    entry_count_privates(entry, -1);
    swap_put(entry_slot(mark));
}

static void cut_entry(struct cut *cut, struct pt_entry *entry)
{
    struct pt_entry now = pt_entry_load(entry);
    bool held = mark_is_held(now);
    struct frame *frame;

    if (entry_slot(now))
        cut_swapped(cut, entry, now);
    if (!held && !pt_entry_present(now))
        return;
    frame = frame_at(held ? held_paddr(now) : pt_entry_paddr(now));
    if (frame->use != FRAME_ANON || !is_cut(cut, frame->page.index))
        return;
    pt_entry_store(entry, mark_make(MARK_PRIVATE, held ? (unsigned)ACCESS_NONE : page_access(now),
                                    held ? mark_traits(now) : page_traits(now),
                                    object_payload(cut->object_id, origin_index(frame->page.index))));
    rmap_remove(frame, entry_place(entry));
    frame_unmapped(frame, now);
    entry_count_privates(entry, -1);
    drop(cut, frame);
}

static bool cut_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                      uint64_t start, void *context)
{
    for (unsigned i = 0; level == 1 && i < count; i++)
        cut_entry(context, &entries[i]);
    return true;
}

static void cut_space(struct space *space, void *context)
{
    struct cursor cursor;

    if (cursor_begin(&cursor, space, SPACE_START, SPACE_END, CURSOR_LOOK) != ST_OK)
        return;
    cursor_walk(&cursor, cut_visit, context);
    cursor_end(&cursor);
}

void object_cut_copies(struct object *object, uint64_t first)
{
    struct cut cut = {.object_id = object->id, .first = first};

    if (object_mapped(object) == 0)
        return;
    spaces_for_each(cut_space, &cut);
    let_go(&cut);
}
