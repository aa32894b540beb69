/*
 * Looking at a page table without changing it: translating one address, visiting entries.
 */
#include "pt/pt_internal.h"

/* ------------------------------------------------------------------ translate */

enum status pt_translate_end(struct pt_rights rights, struct pt_entry entry, struct vaddr address,
                             unsigned level, struct pt_translation *out)
{
    out->entry = entry;
    out->level = level;
    if (!pt_entry_present(entry))
        return ST_NOT_MAPPED;
    if (!pt_entry_valid(entry, level))
        return ST_INVALID;
    out->paddr = paddr(pt_entry_page_paddr(entry, level).v | (address.v & (pt_entry_span(entry, level) - 1)));
    out->flags = pt_rights_flags(rights, entry, level);
    return ST_OK;
}

enum status pt_translate_slowly(const struct pt *pt, struct vaddr address, struct pt_translation *out)
{
    enum status status = pt_canonical(address) ? reach_check(pt) : ST_NOT_CANONICAL;
    struct pt_rights rights = PT_RIGHTS_ALL;
    struct paddr frame = pt->root;

    if (status != ST_OK)
        return status;
    for (unsigned level = PT_LEVELS;; level--) {
        struct pt_entry *table = table_open(pt->reach.way, pt, frame, address, level);
        struct pt_entry entry = pt_entry_load(&table[pt_index(address, level)]);

        table_close(pt->reach.way, pt, table);
        if (!pt_entry_is_table(entry, level))
            return pt_translate_end(rights, entry, address, level, out);
        pt_rights_add(&rights, entry);
        frame = pt_entry_paddr(entry);
    }
}

/* ------------------------------------------------------------------ visit */

struct tour {
    const struct pt *pt;
    uint64_t start, last;
    unsigned levels;
    unsigned lowest; /* nothing below it was asked for */
    pt_visitor *visitor;
    void *context;
};

/* The part of the table of `level` at `base` that is in the range. False: the visitor has seen enough. */
static bool visit_table(const struct tour *tour, struct paddr frame, uint64_t base, unsigned level)
{
    const struct pt *pt = tour->pt;
    enum pt_way way = pt->reach.way;
    uint64_t span = pt_level_span(level), end = base + (span * PT_ENTRIES - 1);
    unsigned first = tour->start > base ? pt_index(vaddr(tour->start), level) : 0;
    unsigned final = tour->last < end ? pt_index(vaddr(tour->last), level) : PT_ENTRIES - 1;
    struct pt_entry *table = table_open(way, pt, frame, vaddr(base), level);
    bool more = true;

    for (unsigned i = first; i <= final && more; i++) {
        struct pt_visit visit = {
            .start = vaddr(base + i * span), .entry = pt_entry_load(&table[i]), .level = level, .index = i};
        struct paddr below = pt_entry_paddr(visit.entry);

        if (pt_entry_empty(visit.entry) || (level == PT_LEVELS && is_reserved(way, pt, i)))
            continue;
        if (tour->levels & PT_LEVEL(level))
            more = tour->visitor(tour->context, &visit);
        if (more && level > tour->lowest && pt_entry_is_table(visit.entry, level) && below.v != pt->root.v)
            more = visit_table(tour, below, visit.start.v, level - 1);
    }
    table_close(way, pt, table);
    return more;
}

/* The root stands for two halves with the addresses that are not canonical between them. */
static void visit_halves(struct tour *tour)
{
    uint64_t half_bytes = pt_level_span(PT_LEVELS) * (PT_ENTRIES / 2);
    uint64_t start = tour->start, last = tour->last;
    bool more = true;

    if (start < half_bytes) {
        tour->last = last < half_bytes ? last : half_bytes - 1;
        more = visit_table(tour, tour->pt->root, 0, PT_LEVELS);
    }
    if (more && last >= half_bytes) {
        tour->start = start < half_bytes ? 0 - half_bytes : start;
        tour->last = last;
        visit_table(tour, tour->pt->root, 0 - 2 * half_bytes, PT_LEVELS);
    }
}

enum status pt_visit_range(const struct pt *pt, struct vaddr start, struct vaddr last, unsigned levels,
                           pt_visitor *visitor, void *context)
{
    struct tour tour = {.pt = pt, .start = start.v, .last = last.v, .levels = levels, .lowest = 1};
    enum status status = reach_check(pt);

    if (status != ST_OK)
        return status;
    if (!pt_canonical(start) || !pt_canonical(last))
        return ST_NOT_CANONICAL;
    if (last.v < start.v)
        return ST_INVALID;
    while (tour.lowest < PT_LEVELS && !(levels & PT_LEVEL(tour.lowest)))
        tour.lowest++;
    tour.visitor = visitor;
    tour.context = context;
    if (PT_ROOT_HALVES == 2)
        visit_halves(&tour);
    else if ((int64_t)(start.v ^ last.v) < 0)
        return ST_NOT_CANONICAL;
    else
        visit_table(&tour, pt->root, align_down(start.v, pt_level_span(PT_LEVELS) * PT_ENTRIES), PT_LEVELS);
    return ST_OK;
}

enum status pt_visit_all(const struct pt *pt, unsigned levels, pt_visitor *visitor, void *context)
{
    uint64_t last = PT_ROOT_HALVES == 2 ? ~(uint64_t)0 : pt_level_span(PT_LEVELS) * PT_ENTRIES - 1;

    return pt_visit_range(pt, vaddr(0), vaddr(last), levels, visitor, context);
}
