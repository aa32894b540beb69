/*
 * Changing flags at one level: of pages and of entries that point to tables.
 *
 * Only flags change. What makes an entry a page or a table, its address and its live count are no flags, so
 * that a table whose level could hold a page stays a table.
 */
#include "pt/pt_internal.h"

/* What is to be done, for entries that are pages and for those that are tables. */
struct level_change {
    unsigned level, options;
    uint64_t start, last;
    struct pt_change page;
    struct pt_masks table;
    bool page_can, table_can; /* these flags are there to be changed; for tables, this way can do without */
    bool commit;
};

/* May this entry be changed? Not `*wanted`: it is passed over. */
static enum status entry_may_change(const struct level_change *change, const struct pt *pt,
                                    struct pt_entry entry, unsigned level, bool *wanted)
{
    *wanted = false;
    if (!pt_entry_valid(entry, level))
        return ST_INVALID;
    if (!pt_entry_present(entry))
        return change->options & PT_SKIP_HOLES ? ST_OK : ST_NOT_MAPPED;
    if (level > change->level)
        return ST_HUGE_PAGE;
    if (pt_entry_is_page(entry, level)) {
        *wanted = true;
        return change->page_can && pt_entry_may_change(entry, change->page) &&
                       (!pt_change_breaks(change->page) || may_break(pt))
                   ? ST_OK
                   : ST_UNSUPPORTED;
    }
    if (level == PT_LEVELS && pt_entry_paddr(entry).v == pt->root.v)
        return ST_INVALID; /* the recursive entry */
    *wanted = true;
    return change->table_can ? ST_OK : ST_UNSUPPORTED;
}

static void change_entry(const struct level_change *change, const struct pt *pt, struct pt_entry *at,
                         uint64_t address, unsigned level)
{
    if (!pt_entry_is_page(pt_entry_load(at), level))
        entry_change_table(at, change->table);
    else if (change_must_break(pt, change->page))
        break_and_change(pt, at, 1, address, level, change->page);
    else
        entry_change(at, pt_change_at(change->page, level));
}

/* Every entry of the range: looked at, or changed. */
static enum status each_entry(const struct level_change *change, struct pt *pt)
{
    enum pt_way way = pt->reach.way;
    struct pt_path path;

    for (uint64_t at = change->start;; at = path_next(vaddr(at), path.level)) {
        bool wanted;
        enum status status = path_walk(way, pt, vaddr(at), change->level, &path);

        if (status != ST_OK)
            return status;
        status = entry_may_change(change, pt, pt_entry_load(&path.table[path.index]), path.level, &wanted);
        if (status == ST_OK && wanted && change->commit)
            change_entry(change, pt, &path.table[path.index], at, path.level);
        table_close(way, pt, path.table);
        if (status != ST_OK || path_next(vaddr(at), path.level) - 1 >= change->last)
            return status;
    }
}

static enum status protect_level(struct pt *pt, struct level_change *change, uint64_t length_bytes)
{
    enum status status;

    if (change->level < 1 || change->level > PT_LEVELS)
        return ST_INVALID;
    status = range_check(vaddr(change->start), length_bytes, pt_level_span(change->level), &change->last);
    if (status == ST_OK)
        status = reach_check(pt);
    if (status == ST_OK && group_is_cut(pt, vaddr(change->start), change->last))
        status = ST_HUGE_PAGE;
    if (status == ST_OK)
        status = each_entry(change, pt);
    if (status != ST_OK)
        return status;
    change->commit = true;
    return each_entry(change, pt);
}

struct pt_flush pt_protect_level(struct pt *pt, struct vaddr start, uint64_t length_bytes, unsigned level,
                                 struct pt_flags set, struct pt_flags clear, unsigned options)
{
    struct level_change change = {.level = level,
                                  .options = options,
                                  .start = start.v,
                                  .page = pt_change(set, clear),
                                  .page_can = pt_change_fits(set, clear)};
    enum status status;

    /* A recursive address goes through the table's entry: the right to write must be there, and what CPUs
     * know of it stay true. */
    change.table_can = pt_table_masks(set, clear, &change.table) &&
                       !(pt->reach.way == PT_WAY_RECURSIVE && (set.bits | clear.bits) & PT_FLAG_WRITE);
    status = protect_level(pt, &change, length_bytes);
    return status == ST_OK ? flush_promise(start, length_bytes, PT_FLUSH_TABLES) : pt_flush_failed(status);
}
