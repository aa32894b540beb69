/*
 * Merging: a table full of parts becomes one page, or one mark, of the level above. Undoes split.c.
 *
 *      level 2:   [  table  ]                         [      2 MiB page      ]
 *                      |            becomes
 *                 [4K|4K| ... |4K]                    and the table goes to the batch
 *
 *   prepare   can every table of the range be merged? Nothing has to be taken for it
 *   commit    one store for each table
 *
 * An MMU that holds the old entries goes on marking those, until the flush, in a table that the batch still
 * has: what it marks there nobody reads. So where one may be at work, the page is marked ahead.
 */
#include "pt/flush.h"
#include "pt/pt_internal.h"

/* The entries of a table, OR-ed and AND-ed as far as they must agree. */
struct parts {
    struct pt_entry first;
    uint32_t marks; /* accessed and dirty, of any of them */
};

/* Entry i of the parts, without what the MMU marks, and as if it were the first. */
static uint64_t comparable(struct pt_entry entry, unsigned i, unsigned level)
{
    struct pt_change marked = pt_change(pt_flags(PT_FLAG_ACCESSED | PT_FLAG_DIRTY), pt_flags(0));

    if (pt_entry_is_grouped(entry, level - 1))
        entry = pt_entry_ungrouped(entry, i);
    return pt_entry_changed(entry, pt_change_at(marked, level - 1)).bits - i * pt_entry_step(level - 1);
}

/* Are these the parts of one page, or mark, of `level`? */
static enum status parts_agree(const struct pt *pt, const struct pt_entry *table, unsigned level,
                               struct parts *parts)
{
    struct pt_entry first = pt_entry_load(&table[0]);
    bool page = pt_entry_present(first);

    parts->first = first;
    parts->marks = 0;
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        struct pt_entry entry = pt_entry_load(&table[i]);

        if (pt_entry_empty(entry))
            return ST_NOT_MAPPED;
        if (!page && entry.bits != first.bits)
            return ST_DIFFERENT;
        if (!page)
            continue;
        if (!pt_entry_is_page(entry, level - 1) || comparable(entry, i, level) != comparable(first, 0, level))
            return ST_DIFFERENT;
        parts->marks |= pt_entry_flags(entry, level - 1).bits & (PT_FLAG_ACCESSED | PT_FLAG_DIRTY);
    }
    if (page && !is_aligned(pt_entry_page_paddr(first, level - 1).v, pt_level_span(level)))
        return ST_NOT_ALIGNED;
    return page && !may_break(pt) ? ST_UNSUPPORTED : ST_OK;
}

/* Can the entry at `path`, of `level` or above, become a page of `level`, or is it one? `*table` says whether
 * there is something to be done. */
static enum status can_merge(enum pt_way way, const struct pt *pt, const struct pt_path *path,
                             struct vaddr at, unsigned level, struct parts *parts, bool *table)
{
    struct pt_entry entry = pt_entry_load(&path->table[path->index]);
    enum status status;

    *table = false;
    if (!pt_entry_valid(entry, path->level))
        return ST_INVALID;
    if (pt_entry_empty(entry))
        return ST_NOT_MAPPED;
    if (path->level > level)
        return ST_HUGE_PAGE;
    if (!pt_entry_is_table(entry, level))
        return ST_OK;
    if (level - 1 >= pt->keep_level)
        return ST_DENIED;
    *table = true;

    struct pt_entry *below = table_open(way, pt, pt_entry_paddr(entry), at, level - 1);

    status = parts_agree(pt, below, level, parts);
    table_close(way, pt, below);
    return status;
}

static struct pt_entry merged_entry(const struct pt *pt, const struct parts *parts, unsigned level)
{
    struct pt_entry first = parts->first;
    uint32_t marks = parts->marks;
    struct pt_change set;

    if (!pt_entry_present(first))
        return first;
    if (pt->live)
        marks |= PT_FLAG_ACCESSED;
    if (pt->live && pt_entry_flags(first, level - 1).bits & PT_FLAG_WRITE)
        marks |= PT_FLAG_DIRTY;
    set = pt_change_at(pt_change(pt_flags(marks), pt_flags(0)), level - 1);
    if (pt_entry_is_grouped(first, level - 1))
        first = pt_entry_ungrouped(first, 0);
    return pt_entry_whole(pt_entry_changed(first, set), level);
}

struct merger {
    struct pt *pt;
    uint64_t start, last;
    unsigned level, options;
    struct pt_batch *batch; /* NULL while preparing */
};

/* One page of the level, which begins at `at`. */
static enum status merge_one(const struct merger *merger, uint64_t at, unsigned *level)
{
    struct pt *pt = merger->pt;
    enum pt_way way = pt->reach.way;
    struct parts parts;
    struct pt_path path;
    bool table;
    enum status status = path_walk(way, pt, vaddr(at), merger->level, &path);

    if (status != ST_OK)
        return status;
    *level = path.level;
    status = can_merge(way, pt, &path, vaddr(at), merger->level, &parts, &table);
    if (status == ST_OK && table && merger->batch) {
        struct paddr frame = pt_entry_paddr(pt_entry_load(&path.table[path.index]));

        if (must_break(pt) && pt_entry_present(parts.first))
            break_run(pt, &path.table[path.index], 1, at, merger->level, PT_FLUSH_TABLES);
        pt_entry_store(&path.table[path.index], merged_entry(pt, &parts, merger->level));
        reach_forget_tables(&pt->reach, vaddr(at), merger->level - 1, merger->level);
        batch_cover(merger->batch, at, pt_level_span(merger->level), PT_FLUSH_TABLES);
        batch_push(merger->batch, frame, 0);
    }
    table_close(way, pt, path.table);
    return status != ST_INVALID && merger->options & PT_SKIP_HOLES ? ST_OK : status;
}

static enum status merge_each(const struct merger *merger)
{
    unsigned level;

    for (uint64_t at = merger->start;; at = path_next(vaddr(at), level)) {
        enum status status = merge_one(merger, at, &level);

        if (status != ST_OK || path_next(vaddr(at), level) - 1 >= merger->last)
            return status;
    }
}

enum status pt_merge(struct pt *pt, struct vaddr start, uint64_t length_bytes, enum pt_size size,
                     unsigned options, struct pt_batch *batch)
{
    struct merger merger = {.pt = pt, .start = start.v, .level = (unsigned)size, .options = options};
    enum status status;

    if (merger.level < 2 || merger.level > PT_PAGE_LEVELS)
        return ST_INVALID;
    status = range_check(start, length_bytes, pt_level_span(merger.level), &merger.last);
    if (status == ST_OK)
        status = reach_check(pt);
    if (status == ST_OK)
        status = merge_each(&merger);
    if (status != ST_OK)
        return status;
    merger.batch = batch;
    return merge_each(&merger);
}
