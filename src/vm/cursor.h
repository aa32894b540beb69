/*
 * A cursor: the right to change one range of a space.
 *
 * cursor_begin() goes down from the root, holding each table's lock until it has the next one's, and keeps
 * the lock of the smallest table that covers the range. Everybody who wants something below that table comes
 * through it; those who are below already are waited for by taking a child's lock when it is entered. So
 * cursors on disjoint ranges run in parallel, and code under a cursor is sequential. Nothing sleeps while it
 * has a cursor.
 */
#ifndef VM_CURSOR_H
#define VM_CURSOR_H

#include "vm/table.h"

struct cursor {
    struct space *space;
    uint64_t start, end;
    struct frame *table; /* the smallest that covers the range, locked */
    unsigned level;      /* its */
    struct flush_batch batch;
};

enum cursor_mode {
    CURSOR_LOOK,  /* tables may be shared with others: change nothing */
    CURSOR_CHANGE /* every table on the way is this space's own */
};

/* ST_NO_MEMORY (only CURSOR_CHANGE): no cursor then. */
MUST_USE enum status cursor_begin(struct cursor *cursor, struct space *space, uint64_t start, uint64_t end,
                                  enum cursor_mode mode);
/* Unlocks, flushes once, frees what the change took out, prunes tables that it left empty. May sleep. */
void cursor_end(struct cursor *cursor);

/* Free tables that stand empty on the way to `address` (a failed cursor_cut leaves some). No cursor is held.
 */
void cursor_prune(struct space *space, uint64_t address);

/* Only for a cursor on one page: the entry that decides about it. `*level` above 1: a mark, a huge page or
 * nothing stands for more than the page. */
static inline struct pt_entry *cursor_entry(const struct cursor *cursor)
{
    return &table_entries(cursor->table)[pt_index(vaddr(cursor->start), cursor->level)];
}

/* Only for a cursor on one page: go down to `level`, splitting what stands for more. Errors as
 * table_refine(). */
MUST_USE enum status cursor_to_level(struct cursor *cursor, unsigned level, enum table_create create);

/* Make the edges of the range edges of entries, by splitting; with TABLE_CREATE empty tables are added too.
 * ST_NO_MEMORY: what was split so far means the same as before. */
MUST_USE enum status cursor_cut(struct cursor *cursor, enum table_create create);
/* cursor_cut(), and all tables inside the range are this space's own. */
MUST_USE enum status cursor_own(struct cursor *cursor);

/* Empties the range (after cursor_cut), and frees the tables that become empty inside it. */
void cursor_clear(struct cursor *cursor);
/* The same for a range that is filled at once: partly covered tables stay. */
void cursor_clear_keep(struct cursor *cursor);
/* Is everything in the range empty? */
bool cursor_is_empty(struct cursor *cursor);
/* Fills the range, which is empty, with `mark` (after cursor_cut with TABLE_CREATE, and cursor_view). */
void cursor_fill(struct cursor *cursor, struct pt_entry mark);

/* The table of `level` for `address`, at or below the cursor's; NULL when the way ends before it. */
struct frame *cursor_table(const struct cursor *cursor, uint64_t address, unsigned level);
/* The table's lock; the cursor's own is held already. */
void cursor_lock(const struct cursor *cursor, struct frame *table);
void cursor_unlock(const struct cursor *cursor, struct frame *table);
/* The views of the leaf tables at the range's edges count what `mark` will fill in. ST_NO_MEMORY: nothing has
 * changed. */
MUST_USE enum status cursor_view(struct cursor *cursor, struct pt_entry mark);

/*
 * Calls visit for the entries in the range, from low to high, in runs of one table: entries[0] to
 * entries[count - 1], of `level`, of which the first one's span begins at `start`. None is a table; some may
 * be empty. The table is locked; the visit may replace entries that are not empty by others that are not
 * empty. False: stop.
 */
typedef bool cursor_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                          uint64_t start, void *context);
bool cursor_walk(struct cursor *cursor, cursor_visit *visit, void *context);

/* A cursor on [start, end), all its tables this space's own, walked once. ST_NO_MEMORY, when reclaiming did
 * not help: nothing was visited. No cursor is held; may sleep. */
MUST_USE enum status cursor_change(struct space *space, uint64_t start, uint64_t end, cursor_visit *visit,
                                   void *context);

#endif
