/*
 * A cursor: one page after the other, without a walk from the root for each.
 *
 * It remembers the level-1 table that it used last, and works in it as long as the addresses stay there.
 * Every call does what its namesake of pt.h does for one page of 4 KiB, with the same contract. While a
 * cursor remembers a table, nobody else may take that table out (pt_unmap_give(), pt_clean(), pt_destroy());
 * pt_cursor_forget() before. Only tables that are reached by an offset are remembered; for the other ways a
 * cursor works, and is not quicker.
 */
#ifndef QUIRE_PT_CURSOR_H
#define QUIRE_PT_CURSOR_H

#include "quire/pt.h"

struct pt_cursor {
    struct pt *pt;
    uint64_t block; /* the addresses' bits above the table's span */
    struct pt_entry *table;
    struct pt_entry *parent; /* points to the table and counts its entries */
    struct pt_rights rights; /* of the walk to it */
};

/* An address has a block below this. */
#define PT_CURSOR_NOWHERE (~(uint64_t)0)

static inline struct pt_cursor pt_cursor(struct pt *pt)
{
    return (struct pt_cursor){.pt = pt, .block = PT_CURSOR_NOWHERE};
}

static inline void pt_cursor_forget(struct pt_cursor *cursor)
{
    cursor->block = PT_CURSOR_NOWHERE;
}

/* What the functions below call when the page is elsewhere, or something is wrong. */
MUST_USE struct pt_flush pt_cursor_map_slowly(struct pt_cursor *cursor, struct vaddr page, struct paddr to,
                                              struct pt_flags flags);
MUST_USE struct pt_flush pt_cursor_unmap_slowly(struct pt_cursor *cursor, struct vaddr page);
MUST_USE enum status pt_cursor_translate_slowly(struct pt_cursor *cursor, struct vaddr address,
                                                struct pt_translation *out);

/* The entry of the address, NULL when it is not in the table that the cursor remembers. */
static inline struct pt_entry *pt_cursor_entry(const struct pt_cursor *cursor, struct vaddr address)
{
    return __builtin_expect(address.v >> pt_level_shift(2) == cursor->block, 1)
               ? &cursor->table[pt_index(address, 1)]
               : NULL;
}

static inline void pt_cursor_add_live(struct pt_cursor *cursor, int delta)
{
    if (PT_LIVE_IS_COUNTED)
        pt_entry_store(cursor->parent, pt_entry_add_live(pt_entry_load(cursor->parent), delta));
}

MUST_USE static inline struct pt_flush pt_cursor_map(struct pt_cursor *cursor, struct vaddr page,
                                                     struct paddr to, struct pt_flags flags)
{
    struct pt_entry *at = pt_cursor_entry(cursor, page);

    if (!at || !pt_entry_empty(pt_entry_load(at)) || !pt_flags_fit(flags) ||
        ((page.v & PAGE_MASK) | (to.v & ~PT_PHYSICAL_MASK)) != 0)
        return pt_cursor_map_slowly(cursor, page, to, flags);
    pt_entry_store(at, pt_entry_page(to, flags, 1));
    pt_cursor_add_live(cursor, 1);
    return pt_flush_promise(page, 1, PT_FLUSH_OF_MAP);
}

MUST_USE static inline struct pt_flush pt_cursor_unmap(struct pt_cursor *cursor, struct vaddr page)
{
    struct pt_entry *at = pt_cursor_entry(cursor, page);

    if (!at || !pt_entry_present(pt_entry_load(at)) || pt_entry_is_grouped(pt_entry_load(at), 1) ||
        (page.v & PAGE_MASK) != 0)
        return pt_cursor_unmap_slowly(cursor, page);
    pt_entry_store(at, pt_entry(0));
    pt_cursor_add_live(cursor, -1);
    return pt_flush_promise(page, 1, PT_FLUSH_PAGES);
}

MUST_USE static inline enum status pt_cursor_translate(struct pt_cursor *cursor, struct vaddr address,
                                                       struct pt_translation *out)
{
    struct pt_entry *at = pt_cursor_entry(cursor, address);
    struct pt_entry entry;

    if (!at)
        return pt_cursor_translate_slowly(cursor, address, out);
    entry = pt_entry_load(at);
    out->entry = entry;
    out->level = 1;
    if (!pt_entry_present(entry))
        return ST_NOT_MAPPED;
    if (!pt_entry_is_page(entry, 1))
        return ST_INVALID;
    out->paddr = paddr(pt_entry_page_paddr(entry, 1).v | (address.v & (pt_entry_span(entry, 1) - 1)));
    out->flags = pt_rights_flags(cursor->rights, entry, 1);
    return ST_OK;
}

#endif
