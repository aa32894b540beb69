/*
 * The inside of src/pt: reaching tables, and walking down to one.
 *
 * Everything here takes the way of reaching tables as an argument of its own. The entry points call their
 * work once with the constant PT_WAY_OFFSET, where reaching a table is an addition and half of what is here
 * vanishes, and once with the way that they were given. So there is one source and no indirect call.
 *
 * A change has at most four tables open: the one that is worked on, its parent while a live count changes, a
 * new table while it is filled, and the stash. What walks the whole tree has one of each level.
 */
#ifndef PT_INTERNAL_H
#define PT_INTERNAL_H

#include "quire/pt.h"

#include "pt/names_internal.h"
#include "pt/run.h"

/* Run `work` for the way of this page table; as a constant for the one that has to be fast. */
#define PT_BY_WAY(pt, work, ...)                                                                             \
    ((pt)->reach.way == PT_WAY_OFFSET ? work(PT_WAY_OFFSET, __VA_ARGS__)                                     \
                                      : work##_slowly((pt)->reach.way, __VA_ARGS__))

/* ------------------------------------------------------------------ reach.c */

/* Ready for a change or a walk: slots are free, the recursive entry is what it should be. */
enum status reach_check_slowly(const struct pt *pt);
PT_INLINE enum status reach_check(const struct pt *pt)
{
    return pt->reach.way == PT_WAY_OFFSET ? ST_OK : reach_check_slowly(pt);
}
/* In a slot or a window. */
void *reach_slot_open(const struct pt_reach *reach, struct paddr frame);
void reach_slot_close(const struct pt_reach *reach, const void *at);
void *reach_recursive_open(const struct pt_reach *reach, struct vaddr address, unsigned level);
/* The root, where the recursive way has windows. Needs none. */
void *reach_root_open(const struct pt_reach *reach);
/* A frame that no table points to yet, through an empty entry of the root. */
bool reach_can_park(const struct pt_reach *reach);
void *reach_park(const struct pt_reach *reach, struct paddr frame);
void reach_unpark(const struct pt_reach *reach, const void *at);
/* The recursive addresses of the tables below level `above`, down to `level`, around `address` show something
 * else now. */
void reach_forget_tables(const struct pt_reach *reach, struct vaddr address, unsigned level, unsigned above);

/* Frames are shown in slots or windows, which are all equal. */
PT_INLINE bool way_has_slots(enum pt_way way)
{
    return way == PT_WAY_SLOTS || (PT_RECURSIVE_WINDOWS && way == PT_WAY_RECURSIVE);
}

/* Is entry `index` of the root the recursive entry, or one of the windows behind it? */
PT_INLINE bool is_reserved(enum pt_way way, const struct pt *pt, unsigned index)
{
    return PT_RECURSIVE_WINDOWS && way == PT_WAY_RECURSIVE && index - pt->reach.index < 2 + PT_OPEN_TABLES;
}

/* ------------------------------------------------------------------ tables */

/* The table of `level` on the way to `address`, whose frame is `frame`. */
PT_INLINE struct pt_entry *table_open(enum pt_way way, const struct pt *pt, struct paddr frame,
                                      struct vaddr address, unsigned level)
{
    if (way == PT_WAY_OFFSET)
        return (struct pt_entry *)(uintptr_t)(frame.v + pt->reach.offset);
    if (way_has_slots(way))
        return way == PT_WAY_RECURSIVE && level == PT_LEVELS ? reach_root_open(&pt->reach)
                                                             : reach_slot_open(&pt->reach, frame);
    if (way == PT_WAY_FUNCTION)
        return pt->reach.show(pt->reach.context, frame);
    return reach_recursive_open(&pt->reach, address, level);
}

PT_INLINE void table_close(enum pt_way way, const struct pt *pt, struct pt_entry *table)
{
    if (way_has_slots(way))
        reach_slot_close(&pt->reach, table);
    else if (way == PT_WAY_FUNCTION && pt->reach.hide)
        pt->reach.hide(pt->reach.context, table);
}

/* The table that the entry of `level` points to, if it does, will be read soon. (What a CPU fetches ahead by
 * itself ends with the frame.) */
PT_INLINE void table_prefetch(const struct pt *pt, struct pt_entry entry, unsigned level)
{
    if (pt->reach.way == PT_WAY_OFFSET && pt_entry_is_table(entry, level))
        __builtin_prefetch(table_open(PT_WAY_OFFSET, pt, pt_entry_paddr(entry), vaddr(0), level - 1));
}

/* A frame that no table points to. */
PT_INLINE struct pt_entry *frame_open(enum pt_way way, const struct pt *pt, struct paddr frame)
{
    if (way == PT_WAY_OFFSET)
        return (struct pt_entry *)(uintptr_t)(frame.v + pt->reach.offset);
    if (way_has_slots(way))
        return reach_slot_open(&pt->reach, frame);
    if (way == PT_WAY_FUNCTION)
        return pt->reach.show(pt->reach.context, frame);
    return reach_park(&pt->reach, frame);
}

PT_INLINE void frame_close(enum pt_way way, const struct pt *pt, struct pt_entry *at)
{
    if (way == PT_WAY_RECURSIVE && !way_has_slots(way))
        reach_unpark(&pt->reach, at);
    else
        table_close(way, pt, at);
}

/* ------------------------------------------------------------------ walking */

/* Where a walk ended: in `table` (open) of `level`, at the entry for the address. */
struct pt_path {
    struct pt_entry *table;
    struct pt_entry entry; /* what it held; at the lowest level that was asked for, not read */
    unsigned level;
    unsigned index;
    struct paddr frames[PT_LEVELS + 1]; /* of the tables on the way, by level */
};

/* One step of a walk: opens the table of `level` and looks at the entry for the address. True: it is a table,
 * whose frame is path->frames[level - 1] now. Called with constant levels, so that shifts are constants, too.
 */
PT_INLINE bool path_step(enum pt_way way, const struct pt *pt, struct vaddr address, unsigned lowest,
                         unsigned level, struct pt_path *path)
{
    path->level = level;
    path->table = table_open(way, pt, path->frames[level], address, level);
    path->index = pt_index(address, level);
    if (level == lowest)
        return false;
    path->entry = pt_entry_load(&path->table[path->index]);
    if (!pt_entry_is_table(path->entry, level))
        return false;
    table_close(way, pt, path->table);
    path->frames[level - 1] = pt_entry_paddr(path->entry);
    return true;
}

/* Down to the table of level `lowest`, or to an entry above it that is no table. Refuses to go through an
 * entry of the root that points to the root, or a window: what is behind it is not memory but the tables. */
PT_INLINE enum status path_walk(enum pt_way way, const struct pt *pt, struct vaddr address, unsigned lowest,
                                struct pt_path *path)
{
    path->entry = pt_entry(0);
    path->frames[PT_LEVELS] = pt->root;
    if (is_reserved(way, pt, pt_index(address, PT_LEVELS)))
        return ST_INVALID;
    if (!path_step(way, pt, address, lowest, PT_LEVELS, path))
        return ST_OK;
    if (path->frames[PT_LEVELS - 1].v == pt->root.v)
        return ST_INVALID;
    (void)((PT_LEVELS < 5 || path_step(way, pt, address, lowest, 4, path)) &&
           (PT_LEVELS < 4 || path_step(way, pt, address, lowest, 3, path)) &&
           path_step(way, pt, address, lowest, 2, path) && path_step(way, pt, address, lowest, 1, path));
    return ST_OK;
}

/* The table at `path` got `delta` more entries that are not empty: its parent's entry counts them. Gives the
 * new count, or PT_LIVE_UNKNOWN. */
PT_INLINE int path_add_live(enum pt_way way, const struct pt *pt, const struct pt_path *path,
                            struct vaddr address, int delta)
{
    unsigned above = path->level + 1;
    struct pt_entry *parent, *at, entry;

    if (!PT_LIVE_IS_COUNTED || above > PT_LEVELS)
        return PT_LIVE_UNKNOWN;
    parent = table_open(way, pt, path->frames[above], address, above);
    at = &parent[pt_index(address, above)];
    entry = pt_entry_add_live(pt_entry_load(at), delta);
    pt_entry_store(at, entry);
    table_close(way, pt, parent);
    return pt_entry_live(entry);
}

/* The first address that the entry at `path` does not stand for; 0 at the end of memory. */
PT_INLINE uint64_t path_next(struct vaddr address, unsigned level)
{
    return align_down(address.v, pt_level_span(level)) + pt_level_span(level);
}

/* Pages from `at` to `last` whose entries are in the level-1 table that the path ends in. */
PT_INLINE unsigned path_pages(const struct pt_path *path, uint64_t at, uint64_t last)
{
    uint64_t left = ((last - at) >> PAGE_SHIFT) + 1;
    unsigned here = PT_ENTRIES - path->index;

    return left < here ? (unsigned)left : here;
}

/* ------------------------------------------------------------------ ranges */

/* Validate [start, start + length) for pages of `align` bytes; gives the last byte. */
PT_INLINE enum status range_check(struct vaddr start, uint64_t length_bytes, uint64_t align, uint64_t *last)
{
    *last = start.v + length_bytes - 1;
    if (length_bytes == 0)
        return ST_INVALID;
    if (!is_aligned(start.v | length_bytes, align))
        return ST_NOT_ALIGNED;
    if (*last < start.v || !pt_canonical(start) || !pt_canonical(vaddr(*last)) ||
        (int64_t)(start.v ^ *last) < 0)
        return ST_NOT_CANONICAL;
    return ST_OK;
}

/* Does a group of level 1 reach over an end of the run, whose first entry has number `index`? */
PT_INLINE bool run_cuts_group(const struct pt_entry *run, unsigned index, unsigned count)
{
    return PT_GROUP_ENTRIES > 1 &&
           ((index % PT_GROUP_ENTRIES != 0 && pt_entry_is_grouped(pt_entry_load(run), 1)) ||
            ((index + count) % PT_GROUP_ENTRIES != 0 &&
             pt_entry_is_grouped(pt_entry_load(&run[count - 1]), 1)));
}

/* Whole pages inside one level-1 table's span: how many; 0 when it is not so. */
PT_INLINE unsigned quick_count(struct vaddr start, uint64_t length_bytes)
{
    if (!is_aligned(start.v | length_bytes, PAGE_SIZE) ||
        length_bytes - 1 >= pt_level_span(2) - (start.v & (pt_level_span(2) - 1)))
        return 0;
    return (unsigned)(length_bytes >> PAGE_SHIFT);
}

/* The run of level 1 for `count` pages inside one table that is there. */
PT_INLINE bool quick_run(const struct pt *pt, struct vaddr start, unsigned count, struct pt_quick *quick,
                         struct pt_entry **run)
{
    return count != 0 && pt_canonical(start) && pt_quick_walk(pt, start, quick) &&
           pt_quick_leaf(pt, start, quick, run) && !run_cuts_group(*run, pt_index(start, 1), count);
}

PT_INLINE struct pt_flush flush_promise(struct vaddr start, uint64_t length_bytes, enum pt_flush_kind kind)
{
    return pt_flush_promise(start, length_bytes >> PAGE_SHIFT, kind);
}

/*
 * How many tables of the levels below `above` a range [start, last] inside one entry of level `above` needs,
 * when nothing is below that entry, and its leaves are of level `leaf` in the middle and smaller only at the
 * edges
 * (`exact`: all of level `leaf`).
 */
uint64_t tables_below(uint64_t start, uint64_t last, unsigned above, unsigned leaf, bool exact);

/* ------------------------------------------------------------------ break before make */

/* May a page be replaced by something that no MMU must hold beside it? */
PT_INLINE bool may_break(const struct pt *pt)
{
    return !PT_BREAK_BEFORE_MAKE || !pt->live || pt->flusher != NULL;
}

PT_INLINE bool must_break(const struct pt *pt)
{
    return PT_BREAK_BEFORE_MAKE && pt->live;
}

/* Takes `count` present entries of `level` from `address` on out, in a way that keeps their bits: no MMU
 * holds or marks them any more. */
PT_INLINE void break_run(const struct pt *pt, struct pt_entry *run, unsigned count, uint64_t address,
                         unsigned level, enum pt_flush_kind kind)
{
    for (unsigned i = 0; i < count; i++)
        __atomic_fetch_and(&run[i].bits, ~PT_PRESENT, __ATOMIC_ACQ_REL);
    pt->flusher->flush(pt->flusher->context, vaddr(address),
                       (uint64_t)count << (pt_level_shift(level) - PAGE_SHIFT), kind);
}

PT_INLINE bool change_must_break(const struct pt *pt, struct pt_change change)
{
    return must_break(pt) && pt_change_breaks(change);
}

/* What a broken entry was. */
PT_INLINE struct pt_entry broken_entry(const struct pt_entry *at)
{
    return pt_entry(pt_entry_load(at).bits | PT_PRESENT);
}

/* ------------------------------------------------------------------ stash.c */

/* The frames that a change will need, taken before its first entry is written. Those that do not fit here are
 * a chain: the first word of each is the one before it. */
enum { STASH_INLINE = 24 };
struct stash {
    const struct pt *pt;
    struct paddr chain; /* the newest that did not fit */
    uint64_t count;     /* of all of them */
    struct paddr frames[STASH_INLINE];
};

MUST_USE enum status stash_fill(struct stash *stash, const struct pt *pt, uint64_t count);
void stash_drop(struct stash *stash);

/* The newest frame of the chain. */
PT_INLINE struct paddr stash_unchain(enum pt_way way, struct stash *stash)
{
    struct paddr frame = stash->chain;
    struct pt_entry *word = frame_open(way, stash->pt, frame);

    stash->chain = paddr(word->bits);
    word->bits = 0; /* it may have been zeroes */
    frame_close(way, stash->pt, word);
    return frame;
}

/* One of them; there must be one. */
PT_INLINE struct paddr stash_pop(enum pt_way way, struct stash *stash)
{
    uint64_t left = --stash->count;

    return left >= STASH_INLINE ? stash_unchain(way, stash) : stash->frames[left];
}

/* ------------------------------------------------------------------ break.c */

/* Changes the pages of a run of `level`, which begins at `at`: broken before they are made. */
void break_and_change(const struct pt *pt, struct pt_entry *run, unsigned count, uint64_t at, unsigned level,
                      struct pt_change change);

/* ------------------------------------------------------------------ split.c */

/* The frames that cutting the range [start, last] out of the huge page of `level` needs. */
uint64_t split_tables(uint64_t start, uint64_t last, unsigned level);
/* Splits at both ends of the range, so that no page or group (nor, with PT_CLEAR_MARKS, mark) reaches over
 * them. It needs as many frames as range_prepare() said. ST_NO_MEMORY, ST_NO_SPACE. */
MUST_USE enum status range_cut(struct pt *pt, struct vaddr start, uint64_t last, unsigned options,
                               uint64_t frames_needed);
/* The pages of a group that reaches over an edge of the range become single ones. */
void ungroup_edges(struct pt *pt, struct vaddr start, uint64_t last);
/* The page at `address`, if it is of a group, becomes a single one, and so do the others. */
void ungroup_page(struct pt *pt, struct vaddr address);
/* Does a group reach over an edge of the range? */
bool group_is_cut(struct pt *pt, struct vaddr start, uint64_t last);

/* What unmap and protect do first: is every page there that should be, can it take the change (NULL: it is
 * taken out), and how many frames do splits take? */
MUST_USE enum status range_prepare(struct pt *pt, struct vaddr start, uint64_t last, unsigned options,
                                   const struct pt_change *change, uint64_t *frames_needed);

#endif
