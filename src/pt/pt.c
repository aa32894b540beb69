/*
 * A page table as a whole: made, destroyed, verified.
 */
#include "pt/pt_internal.h"

struct pt pt_at(struct paddr root, struct pt_reach reach, const struct pt_alloc *alloc)
{
    return (struct pt){.root = root, .reach = reach, .alloc = alloc, .keep_level = PT_LEVELS};
}

enum status pt_create(struct pt *pt, struct pt_reach reach, const struct pt_alloc *alloc)
{
    struct paddr root;
    struct pt_entry *table;
    enum status status;

    *pt = pt_at(paddr(0), reach, alloc);
    if (reach.way == PT_WAY_RECURSIVE)
        return ST_UNSUPPORTED;
    status = reach_check(pt);
    if (status != ST_OK)
        return status;
    if (!alloc->take(alloc->context, &root))
        return ST_NO_MEMORY;
    pt->root = root;
    table = frame_open(reach.way, pt, root);
    if (!alloc->zeroed)
        __builtin_memset(table, 0, PAGE_SIZE);
    frame_close(reach.way, pt, table);
    return ST_OK;
}

static void destroy_table(const struct pt *pt, struct paddr frame, unsigned level)
{
    enum pt_way way = pt->reach.way;
    struct pt_entry *table = table_open(way, pt, frame, vaddr(0), level);

    for (unsigned i = 0; i < PT_ENTRIES && level > 1; i++)
        if (pt_entry_is_table(table[i], level) && pt_entry_paddr(table[i]).v != pt->root.v)
            destroy_table(pt, pt_entry_paddr(table[i]), level - 1);
    table_close(way, pt, table);
    pt->alloc->give(pt->alloc->context, frame);
}

void pt_destroy(struct pt *pt)
{
    if (pt->reach.way != PT_WAY_RECURSIVE && reach_check(pt) == ST_OK)
        destroy_table(pt, pt->root, PT_LEVELS);
    *pt = (struct pt){.alloc = &pt_alloc_none};
}

/* ------------------------------------------------------------------ verifying */

struct examination {
    const struct pt *pt;
    struct pt_broken *broken;
    struct pt_counts *counts;
    struct paddr way_down[PT_LEVELS + 1]; /* the tables above the one that is looked at */
};

static bool find_broken(struct examination *exam, const char *what, uint64_t at, struct pt_entry entry,
                        unsigned level)
{
    if (exam->broken)
        *exam->broken = (struct pt_broken){.what = what, .at = vaddr(at), .entry = entry, .level = level};
    return false;
}

static const char *entry_fault(const struct examination *exam, struct pt_entry entry, unsigned level)
{
    struct paddr below = pt_entry_paddr(entry);

    if (!pt_entry_valid(entry, level))
        return "a reserved bit is set";
    if (!pt_entry_is_table(entry, level) || (level == PT_LEVELS && below.v == exam->pt->root.v))
        return NULL;
    for (unsigned above = level; above <= PT_LEVELS; above++)
        if (exam->way_down[above].v == below.v)
            return "a table below itself";
    return NULL;
}

/* The entry agrees with the first one of its group, if it is of one: flags but for marks, and addresses. */
static bool group_is_whole(const struct pt_entry *table, unsigned index, unsigned level)
{
    const uint32_t same = ~(uint32_t)(PT_FLAG_ACCESSED | PT_FLAG_DIRTY);
    unsigned first = index - index % PT_GROUP_ENTRIES;
    struct pt_entry entry = pt_entry_load(&table[index]), head = pt_entry_load(&table[first]);

    if (!pt_entry_is_grouped(entry, level) && !pt_entry_is_grouped(head, level))
        return true;
    return pt_entry_is_grouped(entry, level) && pt_entry_is_grouped(head, level) &&
           ((pt_entry_flags(entry, level).bits ^ pt_entry_flags(head, level).bits) & same) == 0 &&
           pt_entry_page_at(entry, level, index).v ==
               pt_entry_page_at(head, level, first).v + (index - first) * pt_level_span(level);
}

static bool check_table(struct examination *exam, struct paddr frame, uint64_t base, unsigned level, int live)
{
    const struct pt *pt = exam->pt;
    enum pt_way way = pt->reach.way;
    struct pt_entry *table = table_open(way, pt, frame, vaddr(base), level);
    int found = 0;
    bool good = true;

    exam->way_down[level] = frame;
    exam->counts->tables[level]++;
    for (unsigned i = 0; i < PT_ENTRIES && good; i++) {
        struct pt_entry entry = pt_entry_load(&table[i]);
        uint64_t at = base + ((uint64_t)i << pt_level_shift(level));
        const char *what = entry_fault(exam, entry, level);

        if (!what && PT_GROUP_ENTRIES > 1 && !group_is_whole(table, i, level))
            what = "a group of pages that do not belong together";

        if (PT_ROOT_HALVES == 2 && level == PT_LEVELS && i >= PT_ENTRIES / 2)
            at -= pt_level_span(PT_LEVELS) * PT_ENTRIES;
        found += !pt_entry_empty(entry);
        if (level == PT_LEVELS && is_reserved(way, pt, i))
            continue;
        if (what)
            good = find_broken(exam, what, at, entry, level);
        else if (pt_entry_is_page(entry, level))
            exam->counts->pages[level]++;
        else if (pt_entry_is_mark(entry))
            exam->counts->marks++;
        else if (pt_entry_is_table(entry, level) && pt_entry_paddr(entry).v != pt->root.v)
            good = check_table(exam, pt_entry_paddr(entry), at, level - 1, pt_entry_live(entry));
    }
    table_close(way, pt, table);
    if (good && live != PT_LIVE_UNKNOWN && live != found)
        good = find_broken(exam, "a wrong count of live entries", base, pt_entry(frame.v), level);
    return good;
}

enum status pt_check(const struct pt *pt, struct pt_broken *broken, struct pt_counts *counts)
{
    struct pt_counts own = {0};
    struct examination exam = {.pt = pt, .broken = broken, .counts = counts ? counts : &own};
    enum status status = reach_check(pt);

    *exam.counts = own;
    if (status != ST_OK)
        return status;
    return check_table(&exam, pt->root, 0, PT_LEVELS, PT_LIVE_UNKNOWN) ? ST_OK : ST_INVALID;
}
