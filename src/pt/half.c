/*
 * One half of a page table, shared by many roots: the kernel's, as a rule.
 *
 *      root A   [ its own | kernel ]        root B   [ its own | kernel ]
 *                             |                                    |
 *                             +-------------> tables <-------------+
 *
 * A live count is kept in the entry that points to the table, so two entries for one table would each know
 * half of it. Tables that are shared are not counted.
 */
#include "pt/pt_internal.h"

static unsigned half_start(enum pt_half half)
{
    return half == PT_HALF_UPPER ? PT_ENTRIES / 2 : 0;
}

/* The half's entries of `root` in the new root, which is zeroes. */
static void share_entries(const struct pt *from, struct pt_entry *root, struct pt_entry *copy,
                          struct paddr self, enum pt_half half)
{
    unsigned start = half_start(half);

    for (unsigned i = start; i < start + PT_ENTRIES / 2; i++) {
        struct pt_entry entry = pt_entry_load(&root[i]);

        if (is_reserved(from->reach.way, from, i)) /* a window may be open */
            continue;
        if (pt_entry_is_table(entry, PT_LEVELS) && pt_entry_paddr(entry).v != from->root.v) {
            entry = pt_entry_with_live(entry, PT_LIVE_UNKNOWN);
            pt_entry_store(&root[i], entry);
        }
        copy[i] = entry;
    }
    /* The recursive entry, and the window for the root, differ in the address only. */
    for (unsigned i = 0; i < PT_ENTRIES; i++)
        if (pt_entry_present(root[i]) && pt_entry_paddr(root[i]).v == from->root.v)
            copy[i] = pt_entry(root[i].bits ^ pt_entry_table(from->root).bits ^ pt_entry_table(self).bits);
}

enum status pt_clone_half(struct pt *pt, struct pt *from, enum pt_half half)
{
    enum pt_way way = from->reach.way;
    enum status status = reach_check(from);
    struct pt_entry *root, *copy;
    struct stash stash;
    struct paddr frame;

    if (PT_ROOT_HALVES == 1) /* each half has a root, and all CPUs may use the same */
        return ST_UNSUPPORTED;
    if (status == ST_OK)
        status = stash_fill(&stash, from, 1);
    if (status != ST_OK)
        return status;
    frame = stash_pop(way, &stash);
    if (from->keep_level > PT_LEVELS - 1)
        from->keep_level = PT_LEVELS - 1;
    root = table_open(way, from, from->root, vaddr(0), PT_LEVELS);
    copy = frame_open(way, from, frame);
    __builtin_memset(copy, 0, PAGE_SIZE);
    share_entries(from, root, copy, frame, half);
    frame_close(way, from, copy);
    table_close(way, from, root);
    *pt = *from;
    pt->root = frame;
    return ST_OK;
}

void pt_forget_half(struct pt *pt, enum pt_half half)
{
    enum pt_way way = pt->reach.way;
    struct pt_entry *root;

    if (way == PT_WAY_RECURSIVE || reach_check(pt) != ST_OK)
        return;
    root = table_open(way, pt, pt->root, vaddr(0), PT_LEVELS);
    run_clear(root + half_start(half), PT_ENTRIES / 2);
    table_close(way, pt, root);
}
