/*
 * Splitting huge pages, and what unmap and protect find out before they begin.
 *
 *      level 2:   [      2 MiB page      ]            [  table  ]
 *                                            becomes       |
 *                                                     [4K|4K| ... |4K]
 *
 * A split changes no translation. A range that covers a huge page in part needs one at each edge that lies
 * inside a page, and none in the middle.
 */
#include "pt/pt_internal.h"

uint64_t tables_below(uint64_t start, uint64_t last, unsigned above, unsigned leaf, bool exact)
{
    uint64_t tables = 0;

    for (unsigned level = 1; level < above; level++) {
        unsigned shift = pt_level_shift(level + 1);
        uint64_t mask = ((uint64_t)1 << shift) - 1;
        uint64_t whole = (last >> shift) - (start >> shift) + 1;

        if (level >= leaf) {
            tables += whole; /* every one in the range */
        } else if (!exact) { /* those that an edge of the range cuts */
            uint64_t cut = (uint64_t)((start & mask) != 0) + (uint64_t)(((last + 1) & mask) != 0);

            tables += cut < whole ? cut : whole;
        }
    }
    return tables;
}

uint64_t split_tables(uint64_t start, uint64_t last, unsigned level)
{
    return tables_below(start, last, level, level, false);
}

/* `table` takes the place of the page, whose parts are in it. What the MMU has marked in the page until then
 * is marked in all parts; it may be marking these already. */
static void replace_page(const struct pt *pt, struct pt_path *path, struct vaddr address,
                         struct pt_entry *parts, struct pt_entry table)
{
    struct pt_entry *at = &path->table[path->index], old;
    unsigned level = path->level;

    if (must_break(pt)) {
        break_run(pt, at, 1, align_down(address.v, pt_level_span(level)), level, PT_FLUSH_PAGES);
        run_fill(parts, PT_ENTRIES, pt_entry_first_part(broken_entry(at), level), pt_entry_step(level - 1));
        pt_entry_store(at, table);
        return;
    }
    old = pt_entry_swap(at, table);
    if (old.bits != path->entry.bits) {
        uint32_t marks = pt_entry_flags(old, level).bits & (PT_FLAG_ACCESSED | PT_FLAG_DIRTY);
        struct pt_change change = pt_change_at(pt_change(pt_flags(marks), pt_flags(0)), level - 1);

        for (unsigned i = 0; i < PT_ENTRIES; i++)
            entry_change(&parts[i], change);
    }
}

/* The page (or mark) at `path` becomes a table of parts. */
static void split_once(enum pt_way way, struct pt *pt, struct pt_path *path, struct vaddr address,
                       struct stash *stash)
{
    struct paddr frame = stash_pop(way, stash);
    struct pt_entry *parts = frame_open(way, pt, frame);
    bool page = pt_entry_present(path->entry);
    struct pt_entry first = page ? pt_entry_first_part(path->entry, path->level) : path->entry;
    struct pt_entry table = pt_entry_with_live(pt_entry_table(frame), PT_ENTRIES);

    run_fill(parts, PT_ENTRIES, first, page ? pt_entry_step(path->level - 1) : 0);
    if (page)
        replace_page(pt, path, address, parts, table);
    else
        pt_entry_store(&path->table[path->index], table);
    frame_close(way, pt, parts);
    reach_forget_tables(&pt->reach, address, path->level - 1, path->level);
}

/* No page (nor, with PT_CLEAR_MARKS, mark) reaches over `cut` after this: the one that does is split as often
 * as it takes. */
static void split_at(struct pt *pt, struct vaddr cut, unsigned options, struct stash *stash)
{
    enum pt_way way = pt->reach.way;
    struct pt_path path;

    for (bool again = true; again;) {
        if (path_walk(way, pt, cut, 1, &path) != ST_OK)
            return;
        again = path.level > 1 && !is_aligned(cut.v, pt_level_span(path.level)) &&
                (pt_entry_present(path.entry) || (options & PT_CLEAR_MARKS && !pt_entry_empty(path.entry)));
        if (again)
            split_once(way, pt, &path, cut, stash);
        table_close(way, pt, path.table);
    }
}

enum status range_cut(struct pt *pt, struct vaddr start, uint64_t last, unsigned options,
                      uint64_t frames_needed)
{
    struct stash stash;
    enum status status;

    if (frames_needed > 0) {
        status = stash_fill(&stash, pt, frames_needed);
        if (status != ST_OK)
            return status;
    }
    ungroup_edges(pt, start, last);
    if (frames_needed > 0) {
        split_at(pt, start, options, &stash);
        split_at(pt, vaddr(last + 1), options, &stash);
    }
    return ST_OK;
}

/* ------------------------------------------------------------------ before unmap and protect */

/* Can a page be taken out, or take the change? */
PT_INLINE bool may_change(struct pt_entry page, const struct pt_change *change)
{
    return change == NULL || pt_entry_may_change(page, *change);
}

/* A run of a level-1 table: all pages, or what the options let pass. */
static enum status run_is_covered(const struct pt_entry *run, unsigned count, unsigned options,
                                  const struct pt_change *change)
{
    struct pt_entry all = pt_entry(run_and(run, count));

    if ((options & PT_SKIP_HOLES || pt_entry_present(all)) && may_change(all, change))
        return ST_OK;
    for (unsigned i = 0; i < count; i++) {
        struct pt_entry entry = pt_entry_load(&run[i]);

        if (pt_entry_present(entry)) {
            if (!may_change(entry, change))
                return ST_UNSUPPORTED;
        } else if (!(options & PT_SKIP_HOLES) && !(options & PT_CLEAR_MARKS && !pt_entry_empty(entry))) {
            return ST_NOT_MAPPED;
        }
    }
    return ST_OK;
}

/* An entry above level 1 that is no table. */
static enum status entry_is_covered(struct pt_entry entry, unsigned level, uint64_t base, uint64_t start,
                                    uint64_t last, unsigned options, const struct pt_change *change,
                                    uint64_t *frames_needed)
{
    uint64_t end = base + (pt_level_span(level) - 1);
    uint64_t from = start > base ? start : base;
    uint64_t to = last < end ? last : end;

    if (!pt_entry_valid(entry, level))
        return ST_INVALID;
    if (!pt_entry_present(entry) && !(options & PT_CLEAR_MARKS && !pt_entry_empty(entry)))
        return options & PT_SKIP_HOLES ? ST_OK : ST_NOT_MAPPED;
    if (pt_entry_present(entry) && !may_change(entry, change))
        return ST_UNSUPPORTED;
    if (from == base && to == end)
        return ST_OK;
    if (!(options & PT_SPLIT_HUGE))
        return ST_HUGE_PAGE;
    *frames_needed += split_tables(from, to, level);
    return ST_OK;
}

PT_INLINE enum status prepare_work(enum pt_way way, struct pt *pt, struct vaddr start, uint64_t last,
                                   unsigned options, const struct pt_change *change, uint64_t *frames_needed)
{
    /* Where holes may be, and any page can take the change, only the edges can fail. */
    bool edges_only = options & PT_SKIP_HOLES && may_change(pt_entry(0), change);
    struct pt_path path;
    enum status status;

    *frames_needed = 0;
    for (uint64_t at = start.v;;) {
        uint64_t next = 0;

        status = path_walk(way, pt, vaddr(at), 1, &path);
        if (status != ST_OK)
            return status;
        if (path.level == 1) {
            uint64_t left = ((last - at) >> PAGE_SHIFT) + 1;
            unsigned count = PT_ENTRIES - path.index;

            count = left < count ? (unsigned)left : count;
            status = run_is_covered(&path.table[path.index], count, options, change);
            next = at + ((uint64_t)count << PAGE_SHIFT);
        } else {
            uint64_t before = *frames_needed;

            status = entry_is_covered(path.entry, path.level, align_down(at, pt_level_span(path.level)),
                                      start.v, last, options, change, frames_needed);
            if (*frames_needed > before && pt_entry_present(path.entry) && !may_break(pt))
                status = ST_UNSUPPORTED;
            next = path_next(vaddr(at), path.level);
        }
        table_close(way, pt, path.table);
        if (status != ST_OK)
            return status;
        if (next - 1 >= last)
            return ST_OK;
        at = edges_only && align_down(last, PAGE_SIZE) > next ? align_down(last, PAGE_SIZE) : next;
    }
}

static __attribute__((noinline)) enum status
prepare_work_slowly(enum pt_way way, struct pt *pt, struct vaddr start, uint64_t last, unsigned options,
                    const struct pt_change *change, uint64_t *frames_needed)
{
    return prepare_work(way, pt, start, last, options, change, frames_needed);
}

/* Does the range go over an entry of the root that points to the root? What is behind it is not memory. */
static bool holds_recursive_entry(const struct pt *pt, struct vaddr start, uint64_t last)
{
    enum pt_way way = pt->reach.way;
    struct pt_entry *root = table_open(way, pt, pt->root, start, PT_LEVELS);
    bool found = false;

    for (unsigned i = pt_index(start, PT_LEVELS); i <= pt_index(vaddr(last), PT_LEVELS); i++)
        found |= is_reserved(way, pt, i) ||
                 (pt_entry_is_table(root[i], PT_LEVELS) && pt_entry_paddr(root[i]).v == pt->root.v);
    table_close(way, pt, root);
    return found;
}

enum status range_prepare(struct pt *pt, struct vaddr start, uint64_t last, unsigned options,
                          const struct pt_change *change, uint64_t *frames_needed)
{
    if (options & PT_SKIP_HOLES && holds_recursive_entry(pt, start, last)) /* else every entry is walked to */
        return ST_INVALID;
    if (group_is_cut(pt, start, last)) {
        if (!(options & PT_SPLIT_HUGE))
            return ST_HUGE_PAGE;
        if (!may_break(pt))
            return ST_UNSUPPORTED;
    }
    return PT_BY_WAY(pt, prepare_work, pt, start, last, options, change, frames_needed);
}

/* ------------------------------------------------------------------ splitting by itself */

/* The level of the page at `address`, which may be split, and what it is split with. */
static enum status page_level(enum pt_way way, const struct pt *pt, struct vaddr address, unsigned *level,
                              uint64_t *span)
{
    struct pt_path path;
    struct pt_entry entry;
    enum status status = path_walk(way, pt, address, 1, &path);

    if (status != ST_OK)
        return status;
    entry = pt_entry_load(&path.table[path.index]);
    *level = path.level;
    *span = pt_level_span(path.level) * (pt_entry_is_grouped(entry, path.level) ? PT_GROUP_ENTRIES : 1);
    if (!pt_entry_valid(entry, path.level))
        status = ST_INVALID;
    else if (!pt_entry_present(entry))
        status = ST_NOT_MAPPED;
    table_close(way, pt, path.table);
    return status;
}

/* Frames for the tables below `level` are there. */
static void split_down(struct pt *pt, struct vaddr address, unsigned level, unsigned lowest,
                       struct stash *stash)
{
    enum pt_way way = pt->reach.way;
    struct pt_path path;

    for (; level > lowest; level--) {
        if (path_walk(way, pt, address, lowest, &path) != ST_OK)
            __builtin_trap(); /* it could be walked a moment ago */
        split_once(way, pt, &path, address, stash);
        table_close(way, pt, path.table);
    }
}

struct pt_flush pt_split(struct pt *pt, struct vaddr address, enum pt_size size)
{
    unsigned lowest = (unsigned)size, level = 0;
    uint64_t span;
    struct stash stash;
    enum status status;

    if (lowest < 1 || lowest > PT_PAGE_LEVELS)
        return pt_flush_failed(ST_INVALID);
    if (!pt_canonical(address))
        return pt_flush_failed(ST_NOT_CANONICAL);
    status = reach_check(pt);
    if (status == ST_OK)
        status = page_level(pt->reach.way, pt, address, &level, &span);
    if (status != ST_OK || level < lowest || span <= pt_level_span(lowest))
        return pt_flush_failed(status);
    if (!may_break(pt))
        return pt_flush_failed(ST_UNSUPPORTED);
    status = stash_fill(&stash, pt, level - lowest);
    if (status != ST_OK)
        return pt_flush_failed(status);
    ungroup_page(pt, address);
    split_down(pt, address, level, lowest, &stash);
    return flush_promise(vaddr(align_down(address.v, span)), span, PT_FLUSH_PAGES);
}
