/*
 * The quick way, for what is most frequent: one page of 4 KiB, tables that are reached by an offset, and a
 * level-1 table that is there. A walk from the root with nothing but what one page needs. Where it ends, or
 * something is wrong, the call begins at the beginning, out of line.
 *
 * This is the end of quire/pt.h, which has the contracts. Inline, so that what the caller knows (flags) or
 * does not ask for (parts of a translation) costs nothing.
 */
#ifndef QUIRE_PT_QUICK_H
#define QUIRE_PT_QUICK_H

/* Where a walk is. */
struct pt_quick {
    struct pt_entry *above;  /* of level 3: counts the table that `parent` is in */
    struct pt_entry *parent; /* of level 2 */
    struct pt_entry entry;   /* what the last one read holds */
};

/* An entry on the way. GCC gives the address of an atomic load an instruction of its own; so there it is a
 * plain load, of which the compiler makes one because an asm takes the register. */
PT_INLINE struct pt_entry pt_quick_load(const struct pt_entry *at)
{
#if defined __GNUC__ && !defined __clang__ && defined __LP64__ && !defined __SANITIZE_THREAD__
    uint64_t bits = at->bits;

    __asm__("" : "+r"(bits));
    return pt_entry(bits);
#else
    return pt_entry_load(at);
#endif
}

/* Canonical, and aligned to a page: both with one comparison where the addresses have two halves. */
PT_INLINE bool pt_quick_page(struct vaddr address)
{
    enum { BITS = PAGE_SHIFT + PT_INDEX_BITS * PT_LEVELS };
    uint64_t from_lowest = address.v + ((uint64_t)1 << (BITS - 1));

    if (PT_ROOT_HALVES == 2)
        return (from_lowest >> PAGE_SHIFT | from_lowest << (64 - PAGE_SHIFT)) >> (BITS - PAGE_SHIFT) == 0;
    return pt_canonical(address) && is_aligned(address.v, PAGE_SIZE);
}

/* The entry for the address in the table of `level` that is at `frame`. */
PT_INLINE struct pt_entry *pt_quick_entry(const struct pt *pt, struct paddr frame, struct vaddr address,
                                          unsigned level)
{
    return &((struct pt_entry *)(uintptr_t)(frame.v + pt->reach.offset))[pt_index(address, level)];
}

/* From quick->entry, of `level`, to the entry below it, which is read if it is not the last. */
PT_INLINE bool pt_quick_step(const struct pt *pt, struct vaddr address, unsigned level,
                             struct pt_quick *quick, struct pt_entry **at)
{
    if (!pt_entry_is_table(quick->entry, level))
        return false;
    *at = pt_quick_entry(pt, pt_entry_paddr(quick->entry), address, level - 1);
    if (level > 2)
        quick->entry = pt_quick_load(*at);
    return true;
}

/* Down to quick->parent. False when the walk ends above. Not through an entry of the root that points to the
 * root. The address is canonical. */
PT_INLINE bool pt_quick_walk(const struct pt *pt, struct vaddr address, struct pt_quick *quick)
{
    __asm__ volatile("" ::: "memory"); /* a caller that waits for a change reads the entries every time */
    if (pt->reach.way != PT_WAY_OFFSET)
        return false;
    quick->above = pt_quick_entry(pt, pt->root, address, PT_LEVELS);
    quick->entry = pt_quick_load(quick->above);
    return pt_entry_paddr(quick->entry).v != pt->root.v &&
           (PT_LEVELS < 5 || pt_quick_step(pt, address, 5, quick, &quick->above)) &&
           (PT_LEVELS < 4 || pt_quick_step(pt, address, 4, quick, &quick->above)) &&
           pt_quick_step(pt, address, 3, quick, &quick->parent);
}

/* The entry of level 1 below quick->parent. False when that is no table. */
PT_INLINE bool pt_quick_leaf(const struct pt *pt, struct vaddr address, struct pt_quick *quick,
                             struct pt_entry **leaf)
{
    return pt_quick_step(pt, address, 2, quick, leaf);
}

/* The table that the entry points to, which was `entry` a moment ago, got `delta` more entries that are not
 * empty. */
PT_INLINE void pt_quick_add_live(struct pt_entry *at, struct pt_entry entry, int delta)
{
    if (PT_LIVE_IS_COUNTED)
        pt_entry_store(at, pt_entry_add_live(entry, delta));
}

/* The entry for one page. False: it is not so simple. */
PT_INLINE bool pt_quick_find(const struct pt *pt, struct vaddr page, struct pt_quick *quick,
                             struct pt_entry **at)
{
    return pt_quick_page(page) && pt_quick_walk(pt, page, quick) && pt_quick_leaf(pt, page, quick, at);
}

/* ------------------------------------------------------------------ single pages */

MUST_USE struct pt_flush pt_map_page_slowly(struct pt *pt, struct vaddr page, struct paddr to,
                                            struct pt_flags flags);

PT_INLINE struct pt_flush pt_map_page(struct pt *pt, struct vaddr page, struct paddr to,
                                      struct pt_flags flags)
{
    struct pt_quick quick;
    struct pt_entry *at;

    if (__builtin_expect(!pt_flags_fit(flags) || (to.v & ~PT_PHYSICAL_MASK) != 0 ||
                             !pt_quick_find(pt, page, &quick, &at) || !pt_entry_empty(pt_quick_load(at)),
                         0))
        return pt_map_page_slowly(pt, page, to, flags);
    pt_entry_store(at, pt_entry_page(to, flags, 1));
    pt_quick_add_live(quick.parent, quick.entry, 1);
    return pt_flush_promise(page, 1, PT_FLUSH_OF_MAP);
}

/* A page that is no part of a group. */
PT_INLINE bool pt_quick_is_single(struct pt_entry entry)
{
    return pt_entry_present(entry) && (PT_GROUP_ENTRIES == 1 || !pt_entry_is_grouped(entry, 1));
}

PT_INLINE struct pt_flush pt_unmap_page(struct pt *pt, struct vaddr page)
{
    struct pt_quick quick;
    struct pt_entry *at;

    if (__builtin_expect(!pt_quick_find(pt, page, &quick, &at) || !pt_quick_is_single(pt_quick_load(at)), 0))
        return pt_unmap(pt, page, PAGE_SIZE, PT_STRICT);
    pt_entry_store(at, pt_entry(0));
    pt_quick_add_live(quick.parent, quick.entry, -1);
    return pt_flush_promise(page, 1, PT_FLUSH_PAGES);
}

/* May the entry be changed by a plain store, to something that the format has? */
PT_INLINE bool pt_quick_may_change(const struct pt *pt, struct pt_entry entry, struct pt_change change)
{
    return pt_quick_is_single(entry) && pt_entry_may_change(entry, change) &&
           !(pt->live && (pt_entry_may_get_dirty(entry) || pt_change_breaks(change)));
}

PT_INLINE struct pt_flush pt_protect_page(struct pt *pt, struct vaddr page, struct pt_flags set,
                                          struct pt_flags clear)
{
    struct pt_change change = pt_change(set, clear);
    struct pt_quick quick;
    struct pt_entry *at, entry;

    if (__builtin_expect(!pt_change_fits(set, clear) || !pt_quick_find(pt, page, &quick, &at), 0))
        return pt_protect(pt, page, PAGE_SIZE, set, clear, PT_STRICT);
    entry = pt_quick_load(at);
    if (__builtin_expect(!pt_quick_may_change(pt, entry, change), 0))
        return pt_protect(pt, page, PAGE_SIZE, set, clear, PT_STRICT);
    pt_entry_store(at, pt_entry_changed(entry, change));
    return pt_flush_promise(page, 1, PT_FLUSH_PAGES);
}

/* ------------------------------------------------------------------ translating */

/* The walk has ended at an entry of `level`, with the rights of those above it. */
MUST_USE enum status pt_translate_end(struct pt_rights rights, struct pt_entry entry, struct vaddr address,
                                      unsigned level, struct pt_translation *out);
MUST_USE enum status pt_translate_slowly(const struct pt *pt, struct vaddr address,
                                         struct pt_translation *out);

/* One step: `*entry`, of `level`, is that for the address. True: it is a table, whose frame is `*frame`. */
PT_INLINE bool pt_quick_down(const struct pt *pt, struct vaddr address, unsigned level, struct paddr *frame,
                             struct pt_entry *entry, struct pt_rights *rights)
{
    *entry = pt_quick_load(pt_quick_entry(pt, *frame, address, level));
    if (!pt_entry_is_table(*entry, level))
        return false;
    pt_rights_add(rights, *entry);
    *frame = pt_entry_paddr(*entry);
    return true;
}

PT_INLINE enum status pt_translate(const struct pt *pt, struct vaddr address, struct pt_translation *out)
{
    struct pt_rights rights = PT_RIGHTS_ALL;
    struct paddr frame = pt->root;
    struct pt_entry entry;

    __asm__ volatile("" ::: "memory"); /* as in pt_quick_walk() */
    if (__builtin_expect(pt->reach.way != PT_WAY_OFFSET || !pt_canonical(address), 0))
        return pt_translate_slowly(pt, address, out);
    if (PT_LEVELS >= 5 && __builtin_expect(!pt_quick_down(pt, address, 5, &frame, &entry, &rights), 0))
        return pt_translate_end(rights, entry, address, 5, out);
    if (PT_LEVELS >= 4 && __builtin_expect(!pt_quick_down(pt, address, 4, &frame, &entry, &rights), 0))
        return pt_translate_end(rights, entry, address, 4, out);
    if (__builtin_expect(!pt_quick_down(pt, address, 3, &frame, &entry, &rights), 0))
        return pt_translate_end(rights, entry, address, 3, out);
    if (__builtin_expect(!pt_quick_down(pt, address, 2, &frame, &entry, &rights), 0))
        return pt_translate_end(rights, entry, address, 2, out);
    entry = pt_quick_load(pt_quick_entry(pt, frame, address, 1));
    if (__builtin_expect(!pt_entry_present(entry) || !pt_entry_valid(entry, 1), 0))
        return pt_translate_end(rights, entry, address, 1, out);
    out->entry = entry;
    out->level = 1;
    out->paddr = paddr(pt_entry_page_paddr(entry, 1).v | (address.v & (pt_entry_span(entry, 1) - 1)));
    out->flags = pt_rights_flags(rights, entry, 1);
    return ST_OK;
}

#endif
