/*
 * The tables of user spaces: making, sharing, refining them.
 *
 * Sharing. fork does not copy tables: both roots point to the same level-3 tables, with W clear in the entry
 * that points there, so that the MMU lets nobody write below. table->shares counts the entries that point to
 * a table. A space that wants to change something below such an entry first makes the table its own
 * (table_own): the last sharer sets W again; otherwise it gets a copy, whose private pages lose W in both and
 * are counted as mapped twice, and whose child tables are shared in turn. So a fork costs the non-empty
 * entries of the root, and each table is copied at most once, when it is touched. (On-demand-fork, EuroSys
 * 2021, shares leaf tables; here every level does.) Upper tables with a few entries, as small programs have,
 * are copied at once: the way down to any page that is written first would copy all of them.
 *
 * Refining. Owning a table, splitting a mark or a huge page, and adding an empty table do not change what the
 * space means. Operations do all of it first (it can fail); what is left then is only stores, and cannot
 * fail.
 */
#ifndef VM_TABLE_H
#define VM_TABLE_H

#include "vm/batch.h"
#include "vm/pages.h"
#include "vm/rmap.h"
#include "vm/space_internal.h"

static inline struct pt_entry *table_entries(const struct frame *table)
{
    return frame_data(table);
}

static inline struct frame *entry_table(struct pt_entry entry)
{
    return frame_at(pt_entry_paddr(entry));
}

static inline uint64_t entry_place(const struct pt_entry *entry)
{
    return host_paddr(entry).v;
}

/* An entry that was empty is being filled. */
static inline void table_count_in(struct frame *table, unsigned index)
{
    table->table.live++;
    if (index < table->table.low)
        table->table.low = (uint16_t)index;
    if (index > table->table.high)
        table->table.high = (uint16_t)index;
}

/* Entries of a leaf table have come to be about private frames, or ceased to. */
static inline void table_count_privates(struct frame *table, int change)
{
    table->privates = (uint32_t)((int)table->privates + change);
}

/* A private frame that nobody else can see yet, filled, takes an entry of a leaf table. `origin`: what it is
 * a copy of, 0: nothing. Its reference is the mapping's. frame->paging.member is set: who is charged. */
static inline void table_map_private(struct frame *table, struct pt_entry *entry, struct frame *frame,
                                     uint64_t origin, struct pt_entry mark)
{
    frame->page.object = NULL;
    frame->page.index = origin;
    rmap_first(frame, entry_place(entry));
    table_count_privates(table, 1);
    pt_entry_store(entry, page_make(frame_paddr(frame), mark_access(mark), mark_traits(mark), true, false));
    pages_insert(frame, 0);
}

/* An entry gets a private frame with a copy of `from`, charged to `member`. ST_NO_MEMORY: nothing has
 * changed. */
MUST_USE static inline enum status table_map_copy(struct frame *table, struct pt_entry *entry,
                                                  const struct frame *from, uint64_t origin,
                                                  struct pt_entry mark, uint32_t member)
{
    struct frame *copy = frame_alloc(0, FRAME_ANON, FRAME_ANY);

    if (!copy)
        return ST_NO_MEMORY;
    host_copy_page(frame_data(copy), frame_data(from));
    copy->paging.member = member;
    table_map_private(table, entry, copy, origin, mark);
    STAT(fault_copy);
    return ST_OK;
}

/* table_count_privates() for the table of an entry, at any level. */
static inline void entry_count_privates(const struct pt_entry *entry, int change)
{
    struct frame *table = frame_at(paddr(entry_place(entry)));

    if (table->table.level == 1)
        table_count_privates(table, change);
}

/* `count` entries have become empty. */
static inline void table_count_out(struct frame *table, unsigned count)
{
    table->table.live = (uint16_t)(table->table.live - count);
    if (table->table.live == 0) {
        table->table.low = PT_ENTRIES;
        table->table.high = 0;
    }
}

/* The entries first..last, which table_part() gave, have become empty: if they were at an end of what is in
 * use, that end is further in now. After table_count_out(). */
static inline void table_narrow(struct frame *table, unsigned first, unsigned last)
{
    if (table->table.live == 0)
        return;
    if (last == table->table.high)
        table->table.high = (uint16_t)(first - 1);
    else if (first == table->table.low)
        table->table.low = (uint16_t)(last + 1);
}

/* The entries first..last of `table` in which [start, end) lies; false when it does not lie in the table. */
static inline bool table_span(const struct frame *table, uint64_t start, uint64_t end, unsigned *first,
                              unsigned *last)
{
    unsigned level = table->table.level;
    uint64_t table_start = table->table.start;
    uint64_t table_last = table_start + (pt_level_span(level) << PT_INDEX_BITS) - 1;

    if (start > table_last || end - 1 < table_start)
        return false;
    *first = start > table_start ? pt_index(vaddr(start), level) : 0;
    *last = end - 1 < table_last ? pt_index(vaddr(end - 1), level) : PT_ENTRIES - 1;
    return true;
}

/* The same, cut to the entries that can be in use. */
static inline bool table_part(const struct frame *table, uint64_t start, uint64_t end, unsigned *first,
                              unsigned *last)
{
    if (!table_span(table, start, end, first, last))
        return false;
    if (*first < table->table.low)
        *first = table->table.low;
    if (*last > table->table.high)
        *last = table->table.high;
    return *first <= *last;
}

/* The first entry of `table` at or above `i` that is in use; `left` of them are, at least one. Eight at a
 * time where it can; the last one mostly stands where the table says that they end. */
static inline unsigned table_next_live(const struct frame *table, unsigned i, unsigned left)
{
    const struct pt_entry *entries = table_entries(table);
    const struct pt_entry *e = &entries[i];

    if (left == 1 && entries[table->table.high].bits != 0)
        return table->table.high;
    while (e->bits == 0) {
        if (((e - entries) & 7) == 0)
            while ((e[0].bits | e[1].bits | e[2].bits | e[3].bits | e[4].bits | e[5].bits | e[6].bits |
                    e[7].bits) == 0)
                e += 8;
        if (e->bits != 0)
            break;
        e++;
    }
    return (unsigned)(e - entries);
}

/* Pages that one entry of this level stands for. */
static inline uint64_t level_pages(unsigned level)
{
    return (uint64_t)1 << (PT_INDEX_BITS * (level - 1));
}

enum table_zero { TABLE_EMPTY, TABLE_UNDEFINED };
/* NULL without memory. */
struct frame *table_create(unsigned level, uint64_t start, enum table_zero contents);
/* At once: nobody ever translated through it. */
void table_free(struct frame *table);
/* After the batch's flush. If it counts no entry, it must be all zeroes. */
void table_retire(struct flush_batch *batch, struct frame *table);

/*
 * `entry` of `parent` (locked, level `level`, its span begins at `start`) points to a table, is empty, a mark
 * or a huge page. Make it point to a table that only this space reaches, whose lock is free. ST_NO_MEMORY:
 * nothing has changed. ST_NOT_MAPPED: it is empty and `create` is false.
 */
enum table_create { TABLE_KEEP_EMPTY, TABLE_CREATE };
MUST_USE enum status table_refine(struct flush_batch *batch, struct frame *parent, struct pt_entry *entry,
                                  unsigned level, uint64_t start, enum table_create create,
                                  struct frame **out);

/* All huge pages of the space are split, as far as there is memory for their tables, so that their pages can
 * leave memory. No locks held; may sleep. Returns how many were. */
uint64_t space_split_huge(struct space *space);

/* One more space reaches what is below `from`, an entry of `parent` that points to a table: `to`, which is
 * empty, points there too, and W is cleared in both; or to a copy. Both parents are locked. The caller
 * flushes. */
void table_share(const struct frame *parent, struct pt_entry *from, struct pt_entry *to);

/* Take everything out of `entry` (of level `level`, above 1; span from `start`): what it was about is
 * released through the batch, and the entry is empty. Returns how many pages of the space that were. The
 * parent's counts are the caller's. */
uint64_t table_zap(struct flush_batch *batch, struct pt_entry *entry, unsigned level, uint64_t start);

/* Take everything out of the entries first..last of a leaf table (locked); returns how many were in use. The
 * counts are the caller's. */
unsigned table_zap_leaves(struct flush_batch *batch, struct frame *table, unsigned first, unsigned last);

/* Everything in `table` (locked) is released through the batch, because the table goes: the entries of a leaf
 * table stay as they are, and counted. Returns as table_zap(). */
uint64_t table_go(struct flush_batch *batch, struct frame *table);

/* What a mark of `pages` pages holds of an object, once more. */
void mark_hold(struct pt_entry mark, uint64_t pages);

#endif
