/*
 * Groups: 16 neighbours, aligned, that an MMU may hold as one translation.
 *
 *      [ 4K | 4K | ... | 4K ]  16 entries of one table, marked as belonging together
 *
 * The flags of a group are those of all of its entries, and it may be marked accessed or dirty in any of
 * them. So it is changed as a whole; what would change a part of it makes it 16 pages first, each with the
 * marks of all. That needs no frame.
 */
#include "pt/pt_internal.h"

/* The group that reaches over `cut`, next to which the page at `address` is. */
static bool edge_group(enum pt_way way, struct pt *pt, struct vaddr address, uint64_t cut,
                       struct pt_path *path)
{
    struct pt_entry entry;

    if (path_walk(way, pt, address, 1, path) != ST_OK)
        return false;
    entry = pt_entry_load(&path->table[path->index]);
    if (pt_entry_is_grouped(entry, path->level) &&
        !is_aligned(cut, PT_GROUP_ENTRIES * pt_level_span(path->level)))
        return true;
    table_close(way, pt, path->table);
    return false;
}

bool group_is_cut(struct pt *pt, struct vaddr start, uint64_t last)
{
    enum pt_way way = pt->reach.way;
    struct pt_path path;

    if (PT_GROUP_ENTRIES == 1 ||
        (!edge_group(way, pt, start, start.v, &path) && !edge_group(way, pt, vaddr(last), last + 1, &path)))
        return false;
    table_close(way, pt, path.table);
    return true;
}

static uint32_t marks_of(const struct pt_entry *group, unsigned level)
{
    uint32_t marks = 0;

    for (unsigned i = 0; i < PT_GROUP_ENTRIES; i++)
        marks |= pt_entry_flags(pt_entry_load(&group[i]), level).bits & (PT_FLAG_ACCESSED | PT_FLAG_DIRTY);
    return marks;
}

/* What an MMU may mark anywhere in the group until it has heard of the change is marked ahead, in each page.
 */
static uint32_t marks_ahead(const struct pt *pt, struct pt_entry page, unsigned level)
{
    if (!pt->live || must_break(pt))
        return 0;
    return PT_FLAG_ACCESSED | (pt_entry_flags(page, level).bits & PT_FLAG_WRITE ? PT_FLAG_DIRTY : 0);
}

/* The entries from `group` on, of `level`, which show what is at `address`, become single pages. */
static void ungroup(const struct pt *pt, struct pt_entry *group, uint64_t address, unsigned level)
{
    struct pt_change change;
    uint32_t marks;

    if (must_break(pt))
        break_run(pt, group, PT_GROUP_ENTRIES, address, level, PT_FLUSH_PAGES);
    marks = marks_of(group, level) | marks_ahead(pt, pt_entry_load(group), level);
    change = pt_change_at(pt_change(pt_flags(marks), pt_flags(0)), level);
    for (unsigned i = 0; i < PT_GROUP_ENTRIES; i++) {
        struct pt_entry old = pt_entry_load(&group[i]), now;

        do { /* what an MMU marks meanwhile stays */
            now = pt_entry_changed(pt_entry_ungrouped(pt_entry(old.bits | PT_PRESENT), i), change);
        } while (!__atomic_compare_exchange_n(&group[i].bits, &old.bits, now.bits, false, __ATOMIC_ACQ_REL,
                                              __ATOMIC_RELAXED));
    }
}

static void ungroup_edge(struct pt *pt, struct vaddr address, uint64_t cut)
{
    enum pt_way way = pt->reach.way;
    struct pt_path path;

    if (!edge_group(way, pt, address, cut, &path))
        return;
    ungroup(pt, &path.table[align_down(path.index, PT_GROUP_ENTRIES)],
            align_down(address.v, PT_GROUP_ENTRIES * pt_level_span(path.level)), path.level);
    table_close(way, pt, path.table);
}

void ungroup_page(struct pt *pt, struct vaddr address)
{
    if (PT_GROUP_ENTRIES > 1)
        ungroup_edge(pt, address, address.v | 1);
}

void ungroup_edges(struct pt *pt, struct vaddr start, uint64_t last)
{
    if (PT_GROUP_ENTRIES == 1)
        return;
    ungroup_edge(pt, start, start.v);
    ungroup_edge(pt, vaddr(last), last + 1);
}
