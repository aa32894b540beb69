/*
 * Marks: reading them, putting them in the place of pages, and pages in their place.
 *
 * What stood in an entry is taken by one exchange where an MMU may be marking it (pt->live): what it had
 * marked until then is what `replaced` is told, and from then on it finds no page.
 */
#include "pt/pt_internal.h"

/* Has the entry that holds it room for all of it? */
static bool mark_fits(struct pt_mark mark)
{
    return mark.value != 0 && mark.value >> PT_MARK_BITS == 0;
}

enum status pt_get_mark(const struct pt *pt, struct vaddr address, struct pt_mark *mark, unsigned *level)
{
    struct pt_translation found;
    enum status status = pt_translate(pt, address, &found);

    if (status == ST_OK)
        return ST_MAPPED;
    if (status != ST_NOT_MAPPED || !pt_entry_is_mark(found.entry))
        return status;
    if (mark)
        *mark = pt_entry_mark(found.entry);
    if (level)
        *level = found.level;
    return ST_OK;
}

/* ------------------------------------------------------------------ put */

struct marking {
    struct pt *pt;
    uint64_t last;
    struct pt_entry mark;
    pt_replaced *replaced;
    void *context;
};

static void mark_entry(const struct marking *marking, struct pt_entry *at, unsigned level, uint64_t start)
{
    struct pt_visit was = {.start = vaddr(start), .level = level, .index = pt_index(vaddr(start), level)};

    was.entry = pt_entry_load(at);
    if (pt_entry_empty(was.entry))
        return;
    if (marking->pt->live && pt_entry_present(was.entry))
        was.entry = pt_entry_swap(at, marking->mark);
    else
        pt_entry_store(at, marking->mark);
    if (marking->replaced)
        marking->replaced(marking->context, &was);
}

static void mark_range(const struct marking *marking, uint64_t start)
{
    enum pt_way way = marking->pt->reach.way;
    struct pt_path path;

    for (uint64_t at = start, next;; at = next) {
        if (path_walk(way, marking->pt, vaddr(at), 1, &path) != ST_OK)
            __builtin_trap(); /* only the recursive entry, at which preparing has failed */
        next = path_next(vaddr(at), path.level);
        if (path.level > 1) {
            mark_entry(marking, &path.table[path.index], path.level, at);
        } else {
            uint64_t left = ((marking->last - at) >> PAGE_SHIFT) + 1;
            unsigned room = PT_ENTRIES - path.index, count = left < room ? (unsigned)left : room;

            next = at + (uint64_t)count * PAGE_SIZE;
            for (unsigned i = 0; i < count; i++)
                mark_entry(marking, &path.table[path.index + i], 1, at + i * PAGE_SIZE);
        }
        table_close(way, marking->pt, path.table);
        if (next - 1 >= marking->last)
            return;
    }
}

struct pt_flush pt_put_mark(struct pt *pt, struct vaddr start, uint64_t length_bytes, struct pt_mark mark,
                            unsigned options, pt_replaced *replaced, void *context)
{
    struct marking marking = {
        .pt = pt, .mark = pt_entry_from_mark(mark), .replaced = replaced, .context = context};
    enum status status = range_check(start, length_bytes, PAGE_SIZE, &marking.last);
    uint64_t frames_needed;

    options |= PT_CLEAR_MARKS; /* a mark is no hole, and is split like a page */
    if (status == ST_OK && !mark_fits(mark))
        status = ST_INVALID;
    if (status == ST_OK)
        status = reach_check(pt);
    if (status == ST_OK)
        status = range_prepare(pt, start, marking.last, options, NULL, &frames_needed);
    if (status == ST_OK)
        status = range_cut(pt, start, marking.last, options, frames_needed);
    if (status != ST_OK)
        return pt_flush_failed(status);
    mark_range(&marking, start.v);
    return flush_promise(start, length_bytes, PT_FLUSH_PAGES);
}

/* ------------------------------------------------------------------ fill */

/* Is the mark there? */
static enum status find_mark(const struct pt *pt, struct vaddr page, struct pt_mark mark,
                             struct pt_translation *found)
{
    enum status status = pt_translate(pt, page, found);

    if (status == ST_OK)
        return ST_MAPPED;
    if (status != ST_NOT_MAPPED || !pt_entry_is_mark(found->entry))
        return status;
    return pt_entry_mark(found->entry).value == mark.value ? ST_OK : ST_RETRY;
}

static enum status fill_mark(struct pt *pt, struct vaddr page, struct pt_mark mark, struct pt_entry entry,
                             struct pt_entry *found)
{
    enum pt_way way = pt->reach.way;
    struct pt_translation there = {.entry = pt_entry(0)};
    struct pt_path path;
    uint64_t last;
    enum status status = range_check(page, PAGE_SIZE, PAGE_SIZE, &last);

    if (status == ST_OK)
        status = find_mark(pt, page, mark, &there);
    if (found)
        *found = there.entry;
    if (status == ST_OK)
        status = range_cut(pt, page, last, PT_CLEAR_MARKS, split_tables(page.v, last, there.level));
    if (status != ST_OK)
        return status;
    if (path_walk(way, pt, page, 1, &path) != ST_OK)
        __builtin_trap(); /* the mark was found below */
    pt_entry_store(&path.table[path.index], entry);
    table_close(way, pt, path.table);
    return ST_OK;
}

struct pt_flush pt_fill_mark(struct pt *pt, struct vaddr page, struct pt_mark mark, struct paddr to,
                             struct pt_flags flags, struct pt_entry *found)
{
    enum status status = ST_OK;

    if (!is_aligned(to.v, PAGE_SIZE))
        status = ST_NOT_ALIGNED;
    else if ((to.v & ~PT_PHYSICAL_MASK) != 0)
        status = ST_INVALID;
    else if (!pt_flags_fit(flags))
        status = ST_UNSUPPORTED;
    if (status == ST_OK)
        status = fill_mark(pt, page, mark, pt_entry_page(to, flags, 1), found);
    return status == ST_OK ? flush_promise(page, PAGE_SIZE, PT_FLUSH_OF_MAP) : pt_flush_failed(status);
}
