/*
 * Unmapping a range, and cleaning up tables that have become empty.
 *
 *   prepare   is every page there that should be? Takes the frames for splits at the edges
 *   commit    splits at the edges, then clears run after run. Cannot fail
 *
 * A table's live count is kept in the entry that points to it, so that an empty one is known without looking
 * into it; only where nobody has counted, it is read. What was taken out travels in the batch until the
 * flush.
 */
#include "pt/flush.h"
#include "pt/pt_internal.h"

/* Takes out of the run of a level-1 table, whose first entry has number `first`, what the options say; gives
 * how many entries became empty. */
PT_INLINE unsigned take_run(struct pt_entry *run, unsigned first, unsigned count, unsigned options,
                            struct pt_batch *batch)
{
    unsigned removed = 0;

    for (unsigned i = 0; i < count; i++) {
        struct pt_entry entry = pt_entry_load(&run[i]);

        if (pt_entry_present(entry)) {
            pt_entry_store(&run[i], pt_entry(0));
            removed++;
            if (batch)
                batch_push(batch, pt_entry_page_at(entry, 1, first + i), 1);
        } else if (options & PT_CLEAR_MARKS && !pt_entry_empty(entry)) {
            pt_entry_store(&run[i], pt_entry(0));
            removed++;
        }
    }
    return removed;
}

/* The same, when all are pages: as many at a time as the batch has room for. */
static void take_pages(struct pt_entry *run, unsigned first, unsigned count, struct pt_batch *batch)
{
    while (count > 0) {
        unsigned room = batch->capacity - batch->count;
        unsigned part = count < room ? count : room;
        uint64_t *to = &batch->frames[batch->count];

#pragma GCC unroll 4
        for (unsigned i = 0; i < part; i++)
            to[i] = pt_entry_page_at(run[i], 1, first + i).v;
        run_clear(run, part);
        batch->count += part;
        run += part;
        first += part;
        count -= part;
        if (batch->count == batch->capacity)
            batch_drain(batch);
    }
}

/* The table of `level` on the way to `address` has no entry any more: take it out, and those above it that
 * become empty by that. */
PT_INLINE void remove_empty(enum pt_way way, const struct pt *pt, const struct pt_path *path, unsigned level,
                            struct vaddr address, struct pt_batch *batch)
{
    for (bool empty = true; empty && level < pt->keep_level && level < PT_LEVELS; level++) {
        unsigned above = level + 1;
        struct pt_path up = *path;
        int live;

        up.level = above;
        up.table = table_open(way, pt, path->frames[above], address, above);
        pt_entry_store(&up.table[pt_index(address, above)], pt_entry(0));
        live = path_add_live(way, pt, &up, address, -1);
        empty = live == 0 || (live == PT_LIVE_UNKNOWN && run_or(up.table, PT_ENTRIES) == 0);
        table_close(way, pt, up.table);
        reach_forget_tables(&pt->reach, address, level, above);
        batch_push(batch, path->frames[level], 0);
    }
}

/* What the table at `path` holds of [at, last]. */
PT_INLINE void unmap_run(enum pt_way way, struct pt *pt, struct pt_path *path, uint64_t at, unsigned count,
                         unsigned options, struct pt_batch *batch)
{
    struct pt_entry *run = &path->table[path->index];
    unsigned removed = count;
    int live;

    if (options != PT_STRICT && !pt_entry_present(pt_entry(run_and(run, count))))
        removed = take_run(run, path->index, count, options, batch);
    else if (batch)
        take_pages(run, path->index, count, batch);
    else
        run_clear(run, count);
    live = path_add_live(way, pt, path, vaddr(at), -(int)removed);
    if (batch && (live == 0 || (live == PT_LIVE_UNKNOWN && run_or(path->table, PT_ENTRIES) == 0))) {
        table_close(way, pt, path->table);
        remove_empty(way, pt, path, path->level, vaddr(at), batch);
    } else {
        table_close(way, pt, path->table);
    }
}

/* A page or mark of a higher level, which lies in the range wholly, or nothing. */
static void unmap_entry(enum pt_way way, struct pt *pt, struct pt_path *path, uint64_t at, unsigned options,
                        struct pt_batch *batch)
{
    struct pt_entry entry = path->entry;
    bool page = pt_entry_present(entry);
    bool remove = page || (options & PT_CLEAR_MARKS && !pt_entry_empty(entry));
    int live = 1;

    if (remove) {
        pt_entry_store(&path->table[path->index], pt_entry(0));
        live = path_add_live(way, pt, path, vaddr(at), -1);
        if (live == PT_LIVE_UNKNOWN && batch)
            live = run_or(path->table, PT_ENTRIES) == 0 ? 0 : 1;
    }
    table_close(way, pt, path->table);
    if (remove && batch) {
        if (page)
            batch_push(batch, pt_entry_page_paddr(entry, path->level), path->level);
        if (live == 0)
            remove_empty(way, pt, path, path->level, vaddr(at), batch);
    }
}

PT_INLINE void unmap_work(enum pt_way way, struct pt *pt, struct vaddr start, uint64_t last, unsigned options,
                          struct pt_batch *batch)
{
    struct pt_path path;

    for (uint64_t at = start.v, next;; at = next) {
        if (path_walk(way, pt, vaddr(at), 1, &path) != ST_OK)
            __builtin_trap(); /* only the recursive entry, at which preparing has failed */
        if (path.level == 1) {
            unsigned count = path_pages(&path, at, last);

            next = at + ((uint64_t)count << PAGE_SHIFT);
            unmap_run(way, pt, &path, at, count, options, batch);
        } else {
            next = path_next(vaddr(at), path.level);
            unmap_entry(way, pt, &path, at, options, batch);
        }
        if (next - 1 >= last)
            return;
    }
}

static __attribute__((noinline)) void unmap_work_slowly(enum pt_way way, struct pt *pt, struct vaddr start,
                                                        uint64_t last, unsigned options,
                                                        struct pt_batch *batch)
{
    unmap_work(way, pt, start, last, options, batch);
}

static __attribute__((noinline)) enum status unmap_range(struct pt *pt, struct vaddr start,
                                                         uint64_t length_bytes, unsigned options,
                                                         struct pt_batch *batch)
{
    uint64_t last, frames_needed;
    enum status status = range_check(start, length_bytes, PAGE_SIZE, &last);

    if (status == ST_OK)
        status = reach_check(pt);
    if (status == ST_OK)
        status = range_prepare(pt, start, last, options, NULL, &frames_needed);
    if (status == ST_OK)
        status = range_cut(pt, start, last, options, frames_needed);
    if (status != ST_OK)
        return status;
    if (batch)
        batch_cover(batch, start.v, length_bytes, PT_FLUSH_TABLES);
    PT_BY_WAY(pt, unmap_work, pt, start, last, options, batch);
    return ST_OK;
}

/* Every page of the range is in one level-1 table. */
PT_INLINE bool unmap_quickly(struct pt *pt, struct vaddr start, uint64_t length_bytes)
{
    unsigned count = quick_count(start, length_bytes);
    struct pt_quick quick;
    struct pt_entry *run;

    if (!quick_run(pt, start, count, &quick, &run) || !pt_entry_present(pt_entry(run_and(run, count))))
        return false;
    run_clear(run, count);
    pt_quick_add_live(quick.parent, quick.entry, -(int)count);
    return true;
}

struct pt_flush pt_unmap(struct pt *pt, struct vaddr start, uint64_t length_bytes, unsigned options)
{
    enum status status = ST_OK;

    if (__builtin_expect(!unmap_quickly(pt, start, length_bytes), 0))
        status = unmap_range(pt, start, length_bytes, options, NULL);
    return status == ST_OK ? flush_promise(start, length_bytes, PT_FLUSH_PAGES) : pt_flush_failed(status);
}

enum status pt_unmap_give(struct pt *pt, struct vaddr start, uint64_t length_bytes, unsigned options,
                          struct pt_batch *batch)
{
    return unmap_range(pt, start, length_bytes, options, batch);
}

/* ------------------------------------------------------------------ cleaning up */

/* One pass over a range: what every table of it needs to know. */
struct clean {
    enum pt_way way;
    const struct pt *pt;
    uint64_t start, last;
    struct pt_batch *batch;
};

PT_INLINE bool table_is_empty(enum pt_way way, const struct pt *pt, struct pt_entry entry,
                              struct vaddr address, unsigned level)
{
    int live = pt_entry_live(entry);

    if (live == PT_LIVE_UNKNOWN) {
        struct pt_entry *table = table_open(way, pt, pt_entry_paddr(entry), address, level);

        live = run_or(table, PT_ENTRIES) == 0 ? 0 : 1;
        table_close(way, pt, table);
    }
    return live == 0;
}

/* Takes the table that the entry `at` of `level` points to out, if it is empty. */
PT_INLINE bool clean_entry(enum pt_way way, const struct clean *clean, struct pt_entry *at,
                           struct pt_entry entry, struct vaddr address, unsigned level)
{
    if (!table_is_empty(way, clean->pt, entry, address, level - 1))
        return false;
    pt_entry_store(at, pt_entry(0));
    if (way == PT_WAY_RECURSIVE)
        reach_forget_tables(&clean->pt->reach, address, level - 1, level);
    batch_push(clean->batch, pt_entry_paddr(entry), 0);
    return true;
}

/* The same for the tables of level 1 below the first to the last of a run; gives how many. */
PT_INLINE int clean_leaf_tables(enum pt_way way, const struct clean *clean, struct pt_entry *run,
                                const struct pt_entry *last, uint64_t address)
{
    int removed = 0;

    for (; run <= last; run++, address += pt_level_span(2)) {
        struct pt_entry entry = pt_entry_load(run);

        if (!pt_entry_empty(entry) && pt_entry_is_table(entry, 2))
            removed += clean_entry(way, clean, run, entry, vaddr(address), 2);
    }
    return removed;
}

static __attribute__((noinline)) int clean_leaf_tables_slowly(enum pt_way way, const struct clean *clean,
                                                              struct pt_entry *run,
                                                              const struct pt_entry *last, uint64_t address)
{
    return clean_leaf_tables(way, clean, run, last, address);
}

/* Takes the empty tables out of the open table of `level` that begins at `base`; gives how many. */
static int clean_table(const struct clean *clean, struct pt_entry *table, uint64_t base, unsigned level)
{
    const struct pt *pt = clean->pt;
    uint64_t span = pt_level_span(level), end = base + (span * PT_ENTRIES - 1);
    unsigned first = clean->start > base ? pt_index(vaddr(clean->start), level) : 0;
    unsigned final = clean->last < end ? pt_index(vaddr(clean->last), level) : PT_ENTRIES - 1;
    int removed = 0;

    if (level == 2 && pt->keep_level > 1)
        return PT_BY_WAY(pt, clean_leaf_tables, clean, &table[first], &table[final], base + first * span);
    for (unsigned i = first; i <= final && level > 2; i++) {
        struct pt_entry entry = pt_entry_load(&table[i]);
        uint64_t at = base + i * span;

        if (!pt_entry_is_table(entry, level) || pt_entry_paddr(entry).v == pt->root.v)
            continue;

        if (i < final)
            table_prefetch(pt, pt_entry_load(&table[i + 1]), level);

        struct pt_entry *child = table_open(clean->way, pt, pt_entry_paddr(entry), vaddr(at), level - 1);
        int gone = clean_table(clean, child, at, level - 1);

        table_close(clean->way, pt, child);
        if (pt_entry_live(entry) != PT_LIVE_UNKNOWN && gone > 0) {
            entry = pt_entry_with_live(pt_entry_load(&table[i]), pt_entry_live(entry) - gone);
            pt_entry_store(&table[i], entry);
        }
        if (level - 1 < pt->keep_level)
            removed += clean_entry(clean->way, clean, &table[i], entry, vaddr(at), level);
    }
    return removed;
}

enum status pt_clean(struct pt *pt, struct vaddr start, uint64_t length_bytes, struct pt_batch *batch)
{
    struct clean clean = {.way = pt->reach.way, .pt = pt, .start = start.v, .batch = batch};
    uint64_t half = start.v & ~(pt_level_span(PT_LEVELS) * PT_ENTRIES - 1);
    enum status status = range_check(start, length_bytes, PAGE_SIZE, &clean.last);
    struct pt_entry *root;

    if (status == ST_OK)
        status = reach_check(pt);
    if (status != ST_OK)
        return status;
    batch_cover(batch, start.v, length_bytes, PT_FLUSH_TABLES);
    root = table_open(clean.way, pt, pt->root, start, PT_LEVELS);
    clean_table(&clean, root, half, PT_LEVELS);
    table_close(clean.way, pt, root);
    return ST_OK;
}
