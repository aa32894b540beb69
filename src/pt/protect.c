/*
 * Changing the flags of the pages in a range. Prepare and commit as in unmap.c.
 *
 * While an MMU uses the table, a write by it may set an entry's dirty bit between our reading and our writing
 * of it. That can happen only to pages that are writable and not dirty yet; where the caller says that the
 * table is live, these are changed by a locked instruction, and all others by plain stores. A lost accessed
 * bit does no harm. What a format wants broken before it is made, is.
 */
#include "pt/pt_internal.h"

PT_INLINE void change_run(const struct pt *pt, struct pt_entry *run, unsigned count, struct pt_change change,
                          unsigned options)
{
    if (!(options & PT_SKIP_HOLES) && !(pt->live && run_may_get_dirty(run, count))) {
        run_change(run, count, change);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        if (pt_entry_present(pt_entry_load(&run[i])))
            entry_change(&run[i], change);
}

PT_INLINE void protect_work(enum pt_way way, struct pt *pt, struct vaddr start, uint64_t last,
                            struct pt_change change, unsigned options)
{
    struct pt_path path;

    for (uint64_t at = start.v, next;; at = next) {
        if (path_walk(way, pt, vaddr(at), 1, &path) != ST_OK)
            __builtin_trap(); /* only the recursive entry, at which preparing has failed */
        if (path.level == 1) {
            unsigned count = path_pages(&path, at, last);

            next = at + ((uint64_t)count << PAGE_SHIFT);
            if (change_must_break(pt, change))
                break_and_change(pt, &path.table[path.index], count, at, 1, change);
            else
                change_run(pt, &path.table[path.index], count, change, options);
        } else {
            next = path_next(vaddr(at), path.level);
            if (change_must_break(pt, change))
                break_and_change(pt, &path.table[path.index], 1, align_down(at, pt_level_span(path.level)),
                                 path.level, change);
            else if (pt_entry_present(path.entry))
                entry_change(&path.table[path.index], pt_change_at(change, path.level));
        }
        table_close(way, pt, path.table);
        if (next - 1 >= last)
            return;
    }
}

static __attribute__((noinline)) void protect_work_slowly(enum pt_way way, struct pt *pt, struct vaddr start,
                                                          uint64_t last, struct pt_change change,
                                                          unsigned options)
{
    protect_work(way, pt, start, last, change, options);
}

static __attribute__((noinline)) enum status protect_range(struct pt *pt, struct vaddr start,
                                                           uint64_t length_bytes, struct pt_change change,
                                                           unsigned options)
{
    uint64_t last, frames_needed;
    enum status status = range_check(start, length_bytes, PAGE_SIZE, &last);

    options &= ~(unsigned)PT_CLEAR_MARKS; /* a mark has no flags */
    if (status == ST_OK && pt_change_breaks(change) && !may_break(pt))
        status = ST_UNSUPPORTED;
    if (status == ST_OK)
        status = reach_check(pt);
    if (status == ST_OK)
        status = range_prepare(pt, start, last, options, &change, &frames_needed);
    if (status == ST_OK)
        status = range_cut(pt, start, last, options, frames_needed);
    if (status != ST_OK)
        return status;
    PT_BY_WAY(pt, protect_work, pt, start, last, change, options);
    return ST_OK;
}

/* Every page of the range is in one level-1 table, and no MMU may mark one dirty just now. */
PT_INLINE bool protect_quickly(struct pt *pt, struct vaddr start, uint64_t length_bytes,
                               struct pt_change change)
{
    unsigned count = quick_count(start, length_bytes);
    struct pt_quick quick;
    struct pt_entry *run;

    if (!quick_run(pt, start, count, &quick, &run) || (pt->live && run_may_get_dirty(run, count)) ||
        change_must_break(pt, change))
        return false;

    struct pt_entry all = pt_entry(run_and(run, count));

    if (!pt_entry_present(all) || !pt_entry_may_change(all, change))
        return false;
    run_change(run, count, change);
    return true;
}

struct pt_flush pt_protect(struct pt *pt, struct vaddr start, uint64_t length_bytes, struct pt_flags set,
                           struct pt_flags clear, unsigned options)
{
    struct pt_change change = pt_change(set, clear);
    enum status status = ST_OK;

    if (!pt_change_fits(set, clear))
        return pt_flush_failed(ST_UNSUPPORTED);
    if (__builtin_expect(!protect_quickly(pt, start, length_bytes, change), 0))
        status = protect_range(pt, start, length_bytes, change, options);
    return status == ST_OK ? flush_promise(start, length_bytes, PT_FLUSH_PAGES) : pt_flush_failed(status);
}
