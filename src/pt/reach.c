/*
 * The ways to reach a table's frame that take more than an addition.
 *
 * Temporary slots. One level-1 table maps itself: its entry `index` points to its own frame, so that the page
 * window + index * 4 KiB is the table. An empty entry is a free slot; pointing it at a frame makes the frame
 * appear in the slot's page; setting it back to unused frees the slot.
 *
 *      window + 0                       + index * 4K                + 511 * 4K
 *      | slot 0 | slot 1 |      ...     | the table  |      ...     | slot 511 |
 *
 * Recursive. Entry r of the root points to the root. A walk of four steps that takes r first has one step
 * fewer for the rest, and ends at the level-1 table as if it were a page; r twice: at the level-2 table; and
 * so on:
 *
 *      table of level 1   r  i4 i3 i2       i4..i1: the indices of the address
 *               level 2   r  r  i4 i3
 *               level 3   r  r  r  i4
 *               level 4   r  r  r  r        the entry for the address: 8 * index behind the table's address
 *
 * These addresses are translations like any other: when an entry that points to a table changes, the CPU must
 * forget what the addresses of the tables below it showed. A frame that is in no table is shown as a child of
 * the root through an empty entry ("parked"), supervisor-only, for as long as it is being filled.
 *
 * Where the MMU does not end a walk at an entry that points to a table (RISC-V), the same walk ends at
 * entries of the root that are pages: r .. r w shows the frame that entry w of the root holds. One of them
 * always holds the root, the others are windows: slots of the root. As entries of the root's level they are
 * pages that are not aligned, at which the MMU faults.
 *
 *      root   | ... | r: the root, as a table | r + 1: the root, as a page | r + 2 .. : windows | ... |
 *
 * Philipp Oppermann, "Paging Implementation", describes both; Intel SDM vol. 3A, 4.10.4.1 says what to
 * forget.
 */
#include "pt/pt_internal.h"

struct pt_reach pt_reach_identity(void)
{
    return pt_reach_offset(0);
}

struct pt_reach pt_reach_offset(uint64_t offset)
{
    return (struct pt_reach){.way = PT_WAY_OFFSET, .offset = offset};
}

struct pt_reach pt_reach_slots(struct vaddr window, unsigned self, void (*forget)(void *, struct vaddr),
                               void *context)
{
    return (struct pt_reach){
        .way = PT_WAY_SLOTS, .window = window, .index = self, .forget = forget, .context = context};
}

struct pt_reach pt_reach_function(void *(*show)(void *, struct paddr), void (*hide)(void *, void *),
                                  void *context)
{
    return (struct pt_reach){.way = PT_WAY_FUNCTION, .show = show, .hide = hide, .context = context};
}

struct pt_reach(pt_reach_recursive)(unsigned index, void (*forget)(void *, struct vaddr), void *context)
{
    return (struct pt_reach){.way = PT_WAY_RECURSIVE, .index = index, .forget = forget, .context = context};
}

/* Copies the highest bit that is translated into those above it. */
static uint64_t sign_extend(uint64_t address)
{
    unsigned spare = 64 - pt_level_shift(PT_LEVELS + 1);

    return (uint64_t)((int64_t)(address << spare) >> spare);
}

struct vaddr pt_recursive_table(unsigned index, struct vaddr address, unsigned level)
{
    uint64_t table = address.v & (((uint64_t)1 << pt_level_shift(PT_LEVELS + 1)) - 1);

    table = align_down(table >> (PT_INDEX_BITS * level), PAGE_SIZE);
    for (unsigned i = 0; i < level; i++)
        table |= (uint64_t)index << pt_level_shift(PT_LEVELS - i);
    return vaddr(sign_extend(table));
}

struct vaddr pt_recursive_window(unsigned index, unsigned window)
{
    struct vaddr first = pt_recursive_table(index, vaddr(0), PT_LEVELS - 1);

    return vaddr(first.v | (uint64_t)window << PAGE_SHIFT);
}

struct vaddr pt_recursive_entry(unsigned index, struct vaddr address, unsigned level)
{
    return vaddr(pt_recursive_table(index, address, level).v +
                 sizeof(struct pt_entry) * pt_index(address, level));
}

static void *reach_at(const struct pt_reach *reach, struct vaddr page)
{
    return reach->resolve ? reach->resolve(reach->context, page) : (void *)(uintptr_t)page.v;
}

static void reach_forget(const struct pt_reach *reach, struct vaddr page)
{
    if (reach->forget)
        reach->forget(reach->context, page);
}

/* ------------------------------------------------------------------ slots and windows */

/* What an entry is that shows a table to the kernel alone. */
static struct pt_entry window_entry(struct paddr frame)
{
    return pt_entry_page(frame, pt_flags(PT_FLAG_WRITE | PT_FLAG_ACCESSED | PT_FLAG_DIRTY), 1);
}

/* A table that maps itself: its entries first to end - 1 are slots, entry `self` shows the table. */
struct slots {
    struct vaddr window; /* what entry 0 of the table maps */
    unsigned self, first, end;
};

static struct slots slots_of(const struct pt_reach *reach)
{
    if (reach->way == PT_WAY_SLOTS)
        return (struct slots){reach->window, reach->index, 0, PT_ENTRIES};
    return (struct slots){pt_recursive_window(reach->index, 0), reach->index + 1, reach->index + 2,
                          reach->index + 2 + PT_OPEN_TABLES};
}

static struct vaddr slot_page(struct slots slots, unsigned i)
{
    return vaddr(slots.window.v + i * PAGE_SIZE);
}

static enum status check_slots(const struct pt_reach *reach)
{
    struct slots slots = slots_of(reach);
    const struct pt_entry *table = reach_at(reach, slot_page(slots, slots.self));
    unsigned unused = 0;

    for (unsigned i = slots.first; i < slots.end && unused < PT_OPEN_TABLES; i++)
        unused += pt_entry_empty(pt_entry_load(&table[i]));
    return unused < PT_OPEN_TABLES ? ST_NO_SPACE : ST_OK;
}

void *reach_slot_open(const struct pt_reach *reach, struct paddr frame)
{
    struct slots slots = slots_of(reach);
    struct pt_entry *table = reach_at(reach, slot_page(slots, slots.self));

    for (unsigned i = slots.first; i < slots.end; i++) {
        if (pt_entry_empty(pt_entry_load(&table[i]))) {
            pt_entry_store(&table[i], window_entry(frame));
            if (PT_FLUSH_OF_MAP != PT_FLUSH_NONE) /* the CPU may know it as empty */
                reach_forget(reach, slot_page(slots, i));
            return reach_at(reach, slot_page(slots, i));
        }
    }
    __builtin_trap(); /* reach_check() has counted them */
}

/* The slot whose page is at `at`; slots.end if it is none of them. A software MMU's pointers say nothing, so
 * there it is the slot whose page resolves to it. */
static unsigned slot_at(const struct pt_reach *reach, struct slots slots, const struct pt_entry *table,
                        const void *at)
{
    unsigned i = slots.first;

    if (!reach->resolve)
        i = pt_index(vaddr((uintptr_t)at), 1);
    else
        while (i < slots.end && (i == slots.self || !pt_entry_present(pt_entry_load(&table[i])) ||
                                 reach_at(reach, slot_page(slots, i)) != at))
            i++;
    return i >= slots.first && i < slots.end ? i : slots.end;
}

void reach_slot_close(const struct pt_reach *reach, const void *at)
{
    struct slots slots = slots_of(reach);
    struct pt_entry *table = reach_at(reach, slot_page(slots, slots.self));
    unsigned i = slot_at(reach, slots, table, at);

    if (i == slots.end) { /* the root, which needs no window */
        if (reach->way == PT_WAY_RECURSIVE)
            return;
        __builtin_trap(); /* it was not opened */
    }
    pt_entry_store(&table[i], pt_entry(0));
    reach_forget(reach, slot_page(slots, i));
}

/* ------------------------------------------------------------------ recursive */

void *reach_recursive_open(const struct pt_reach *reach, struct vaddr address, unsigned level)
{
    return reach_at(reach, pt_recursive_table(reach->index, address, level));
}

void *reach_root_open(const struct pt_reach *reach)
{
    return reach_at(reach, pt_recursive_window(reach->index, reach->index + 1));
}

/* Entries of the root, from the recursive one on. */
enum { RESERVED = PT_RECURSIVE_WINDOWS ? 2 + PT_OPEN_TABLES : 1 };

static enum status check_recursive(const struct pt *pt)
{
    const struct pt_reach *reach = &pt->reach;
    const struct pt_entry *root;

    if (!PT_HAS_RECURSIVE)
        return ST_UNSUPPORTED;
    if (reach->index + RESERVED > PT_ENTRIES)
        return ST_INVALID;
    root = PT_RECURSIVE_WINDOWS ? reach_root_open(reach) : reach_recursive_open(reach, vaddr(0), PT_LEVELS);
    for (unsigned i = reach->index; i < reach->index + (PT_RECURSIVE_WINDOWS ? 2 : 1); i++) {
        struct pt_entry entry = pt_entry_load(&root[i]);

        if (pt_entry_is_table(entry, PT_LEVELS) != (i == reach->index) || !pt_entry_present(entry) ||
            pt_entry_paddr(entry).v != pt->root.v)
            return ST_INVALID;
    }
    return PT_RECURSIVE_WINDOWS ? check_slots(reach) : ST_OK;
}

enum status reach_check_slowly(const struct pt *pt)
{
    if (pt->reach.way == PT_WAY_SLOTS)
        return check_slots(&pt->reach);
    return pt->reach.way == PT_WAY_RECURSIVE ? check_recursive(pt) : ST_OK;
}

/* For the kernel alone, where a table's entry can say so. */
static struct pt_entry recursive_entry(struct paddr root)
{
    struct pt_entry entry = pt_entry_table(root);
    struct pt_masks masks;

    if (pt_table_masks(pt_flags(0), pt_flags(PT_FLAG_USER | PT_FLAG_EXEC), &masks))
        entry.bits = (entry.bits & masks.keep) | masks.add;
    return entry;
}

enum status pt_make_recursive(struct pt *pt, unsigned index)
{
    enum status status = PT_HAS_RECURSIVE ? reach_check(pt) : ST_UNSUPPORTED;
    struct pt_entry *root;

    if (status != ST_OK)
        return status;
    if (index >= PT_ENTRIES || index + RESERVED > PT_ENTRIES)
        return ST_INVALID;
    root = table_open(pt->reach.way, pt, pt->root, vaddr(0), PT_LEVELS);
    if (run_or(&root[index], RESERVED) != 0)
        status = ST_MAPPED;
    else {
        pt_entry_store(&root[index], recursive_entry(pt->root));
        if (PT_RECURSIVE_WINDOWS)
            pt_entry_store(&root[index + 1], window_entry(pt->root));
    }
    table_close(pt->reach.way, pt, root);
    return status;
}

static unsigned parking_index(const struct pt_entry *root)
{
    unsigned i = PT_ENTRIES;

    while (i > 0 && !pt_entry_empty(pt_entry_load(&root[i - 1])))
        i--;
    return i;
}

bool reach_can_park(const struct pt_reach *reach)
{
    return reach->way != PT_WAY_RECURSIVE || PT_RECURSIVE_WINDOWS ||
           parking_index(reach_recursive_open(reach, vaddr(0), PT_LEVELS)) > 0;
}

/* What the root's entry `i` points to is shown as if it were a table of the level below. */
static struct vaddr parking_page(const struct pt_reach *reach, unsigned i)
{
    return pt_recursive_table(reach->index, vaddr((uint64_t)i << pt_level_shift(PT_LEVELS)), PT_LEVELS - 1);
}

/* The entry through which a frame is shown at `at`. */
static unsigned parked_at(const struct pt_reach *reach, const struct pt_entry *root, const void *at)
{
    if (!reach->resolve)
        return pt_index(vaddr((uintptr_t)at), 1);
    for (unsigned i = PT_ENTRIES; i > 0; i--)
        if (i - 1 != reach->index && pt_entry_present(pt_entry_load(&root[i - 1])) &&
            reach_at(reach, parking_page(reach, i - 1)) == at)
            return i - 1;
    __builtin_trap(); /* it was not opened */
}

void *reach_park(const struct pt_reach *reach, struct paddr frame)
{
    struct pt_entry *root = reach_recursive_open(reach, vaddr(0), PT_LEVELS);
    unsigned i = parking_index(root);

    if (i == 0)
        __builtin_trap(); /* reach_can_park() was asked */
    pt_entry_store(&root[i - 1], window_entry(frame));
    return reach_at(reach, parking_page(reach, i - 1));
}

void reach_unpark(const struct pt_reach *reach, const void *at)
{
    struct pt_entry *root = reach_recursive_open(reach, vaddr(0), PT_LEVELS);
    unsigned i = parked_at(reach, root, at);

    pt_entry_store(&root[i], pt_entry(0));
    reach_forget(reach, parking_page(reach, i));
}

void reach_forget_tables(const struct pt_reach *reach, struct vaddr address, unsigned level, unsigned above)
{
    if (reach->way != PT_WAY_RECURSIVE || PT_RECURSIVE_WINDOWS)
        return;
    for (; level < above; level++)
        reach_forget(reach, pt_recursive_table(reach->index, address, level));
}
