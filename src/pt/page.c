/*
 * One page of 4 KiB at a call.
 *
 * A walk from the root with nothing but what one page needs, where tables are reached by an offset and the
 * level-1 table is there; everything else, and everything that is wrong, is left to the call for ranges.
 */
#include "pt/pt_internal.h"

struct pt_flush pt_map_page_slowly(struct pt *pt, struct vaddr page, struct paddr to, struct pt_flags flags)
{
    struct pt_map request = {
        .start = page, .to = to, .length_bytes = PAGE_SIZE, .flags = flags, .size = PT_SIZE_4K};

    return pt_map(pt, &request);
}

/* The entry for the page. False: it is not so simple. */
PT_INLINE bool find(const struct pt *pt, struct vaddr page, struct quick *quick, struct pt_entry **at)
{
    return is_aligned(page.v, PAGE_SIZE) && quick_walk(pt, page, quick) && quick_leaf(pt, page, quick, at);
}

/* A page that is no part of a group. */
PT_INLINE bool is_single(struct pt_entry entry)
{
    return pt_entry_present(entry) && (PT_GROUP_ENTRIES == 1 || pt_entry_span(entry, 1) == PAGE_SIZE);
}

struct pt_flush pt_put_page(struct pt *pt, struct vaddr page, struct pt_entry entry, struct paddr to,
                            struct pt_flags flags)
{
    struct quick quick;
    struct pt_entry *at;

    if (__builtin_expect(!find(pt, page, &quick, &at) || !pt_entry_empty(pt_entry_load(at)) ||
                             (to.v & ~PT_PHYSICAL_MASK) != 0,
                         0))
        return pt_map_page_slowly(pt, page, to, flags);
    pt_entry_store(at, entry);
    quick_add_live(quick.parent, quick.entry, 1);
    return pt_flush_promise(page, 1, PT_FLUSH_OF_MAP);
}

struct pt_flush pt_unmap_page(struct pt *pt, struct vaddr page)
{
    struct quick quick;
    struct pt_entry *at;

    if (__builtin_expect(!find(pt, page, &quick, &at) || !is_single(pt_entry_load(at)), 0))
        return pt_unmap(pt, page, PAGE_SIZE, PT_STRICT);
    pt_entry_store(at, pt_entry(0));
    quick_add_live(quick.parent, quick.entry, -1);
    return pt_flush_promise(page, 1, PT_FLUSH_PAGES);
}

/* May the entry be changed by a plain store, to something that the format has? */
PT_INLINE bool may_change(const struct pt *pt, struct pt_entry entry, struct pt_change change)
{
    return is_single(entry) && pt_entry_may_change(entry, change) &&
           !(pt->live && pt_entry_may_get_dirty(entry));
}

struct pt_flush pt_change_page(struct pt *pt, struct vaddr page, struct pt_change change, struct pt_flags set,
                               struct pt_flags clear)
{
    struct quick quick;
    struct pt_entry *at;

    if (__builtin_expect(!find(pt, page, &quick, &at) || !may_change(pt, pt_entry_load(at), change) ||
                             change_must_break(pt, change),
                         0))
        return pt_protect(pt, page, PAGE_SIZE, set, clear, PT_STRICT);
    pt_entry_store(at, pt_entry_changed(pt_entry_load(at), change));
    return pt_flush_promise(page, 1, PT_FLUSH_PAGES);
}
