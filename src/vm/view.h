/*
 * Views: what one leaf table shows of one object.
 *
 * Pages of objects are mapped many at a time, copied by fork and taken out at exit by whole tables, so
 * nothing is kept for each of them. A view is the record of all of a table's entries that refer to an object
 * at one distance: marks, pages of the object, and private copies of its pages.
 *
 *      entries of a leaf table   | . | 7 | 8 | . |10 | . | . |      one view: object o, base 6 (entry 1 shows
 * page 7), 0   1   2   3   4                3 pages
 *
 * So a fault changes no view, and a table that goes as a whole tells its objects by its views, not by its
 * entries.
 *
 * From a frame to the entries that map it: the object's views whose base is at most 511 below the page's
 * index; the entry is the difference. They are found by a hash of the object and the base.
 *
 * Entries that map a page of an object (PAGE_OBJECT) hold no reference to the frame: it stays because its
 * object has it, and who takes it from the object takes it from all tables first. FRAME_MAPPED says that it
 * was mapped since that was done last, and so that TLBs must be flushed before the frame is used for
 * something else, even if no entry is left.
 *
 * Locking: a table's views and their counts, its lock. The hash's lists: locks of RANK_RMAP. Who comes the
 * other way, from the frame to its entries, may only try the table's lock.
 */
#ifndef VM_VIEW_H
#define VM_VIEW_H

#include "vm/object_internal.h"
#include "vm/rmap.h"

struct view {
    struct list node;    /* of the hash */
    struct view *next;   /* of the table */
    struct frame *table; /* c */
    uint32_t object_id;  /* c */
    uint32_t pages;      /* entries that refer to the object: the table's lock */
    int64_t base;        /* c: the index of the page that entry 0 would show */
};

void views_init(void);
/* Is there any view? For checks, without locks. */
bool views_any(void);

/* The first view of a leaf table. */
static inline struct view *view_first(const struct frame *table)
{
    return table->table.views;
}

/* What an entry of a leaf table refers to. */
struct reference {
    uint32_t object_id;
    uint64_t index;
};

/* The table's view of what its entry number `entry` refers to; NULL: there is none. */
static inline struct view *view_find(const struct frame *table, unsigned entry, struct reference reference)
{
    int64_t base = (int64_t)reference.index - (int64_t)entry;
    struct view *view = view_first(table);

    while (view && (view->object_id != reference.object_id || view->base != base))
        view = view->next;
    return view;
}

/* view_find(), and where there is none a new one without pages. NULL without memory. */
struct view *view_open(struct frame *table, unsigned entry, struct reference reference);
/* Fewer entries refer to the object; the last ones end the view. */
void view_shrink(struct view *view, unsigned pages);
/* Ends the views of a leaf table that count nothing. */
void views_trim(struct frame *table);
/* All of a table's views end, with all their entries. */
void views_end(struct frame *table);

/*
 * Views for a copy of a table, made before its entries and linked after them, so that whoever looks for a
 * page's entries meanwhile waits for the original's lock, and then finds both. ST_NO_MEMORY: nothing has
 * changed. Linking counts what the copy refers to in the objects.
 */
MUST_USE enum status views_prepare(const struct frame *from, struct frame *to);
void views_link(struct frame *to);

/*
 * Calls visit(frame, entry, context) for every entry that maps the object's page, with the table's lock held;
 * the visit may replace the entry by the mark it came from. An entry can be visited twice, when a lock had to
 * be waited for. The object's lock is held. May spin for a table, never sleeps.
 */
void view_walk(struct frame *frame, view_visit *visit, void *context);
/* The same for who holds a lock of a higher rank. False: a lock is somebody else's just now, and not all
 * entries were visited. */
MUST_USE bool view_try_walk(struct frame *frame, view_visit *visit, void *context);
/* How many entries map the object's page; tables that change meanwhile may be counted or not. */
unsigned view_count(const struct frame *frame);
/* Does an entry map the object's page? (TLBs may still know it when none does.) */
bool view_is_mapped(struct frame *frame);

#endif
