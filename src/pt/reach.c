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

enum status reach_check_slowly(const struct pt *pt)
{
    const struct pt_reach *reach = &pt->reach;

    if (reach->way == PT_WAY_SLOTS) {
        const struct pt_entry *slots = reach_at(reach, vaddr(reach->window.v + reach->index * PAGE_SIZE));
        unsigned unused = 0;

        for (unsigned i = 0; i < PT_ENTRIES && unused < PT_OPEN_TABLES; i++)
            unused += pt_entry_empty(pt_entry_load(&slots[i]));
        return unused < PT_OPEN_TABLES ? ST_NO_SPACE : ST_OK;
    }
    if (reach->way == PT_WAY_RECURSIVE && !PT_HAS_RECURSIVE)
        return ST_UNSUPPORTED;
    if (reach->way == PT_WAY_RECURSIVE) {
        const struct pt_entry *root = reach_recursive_open(reach, vaddr(0), PT_LEVELS);
        struct pt_entry self = pt_entry_load(&root[reach->index]);

        return pt_entry_is_table(self, PT_LEVELS) && pt_entry_paddr(self).v == pt->root.v ? ST_OK
                                                                                          : ST_INVALID;
    }
    return ST_OK;
}

/* ------------------------------------------------------------------ slots */

/* What an entry is that shows a table to the kernel alone. */
static struct pt_entry window_entry(struct paddr frame)
{
    return pt_entry_page(frame, pt_flags(PT_FLAG_WRITE | PT_FLAG_ACCESSED | PT_FLAG_DIRTY), 1);
}

void *reach_slot_open(const struct pt_reach *reach, struct paddr frame)
{
    struct pt_entry *slots = reach_at(reach, vaddr(reach->window.v + reach->index * PAGE_SIZE));

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        if (pt_entry_empty(pt_entry_load(&slots[i]))) {
            struct vaddr page = vaddr(reach->window.v + i * PAGE_SIZE);

            pt_entry_store(&slots[i], window_entry(frame));
            return reach_at(reach, page);
        }
    }
    __builtin_trap(); /* reach_check() has counted them */
}

/* The entry of `table` that shows the frame at `at`: what `page_of` says of its number. Found by the address;
 * a software MMU's pointers say nothing, so there it is the entry whose page resolves to it. */
static unsigned shown_by(const struct pt_reach *reach, const struct pt_entry *table,
                         struct vaddr (*page_of)(const struct pt_reach *, unsigned), const void *at)
{
    if (!reach->resolve)
        return pt_index(vaddr((uintptr_t)at), 1);
    for (unsigned i = PT_ENTRIES; i > 0; i--)
        if (i - 1 != reach->index && pt_entry_present(pt_entry_load(&table[i - 1])) &&
            reach_at(reach, page_of(reach, i - 1)) == at)
            return i - 1;
    __builtin_trap(); /* it was not opened */
}

static struct vaddr slot_page(const struct pt_reach *reach, unsigned i)
{
    return vaddr(reach->window.v + i * PAGE_SIZE);
}

void reach_slot_close(const struct pt_reach *reach, const void *at)
{
    struct pt_entry *slots = reach_at(reach, slot_page(reach, reach->index));
    unsigned i = shown_by(reach, slots, slot_page, at);

    pt_entry_store(&slots[i], pt_entry(0));
    reach_forget(reach, slot_page(reach, i));
}

/* ------------------------------------------------------------------ recursive */

void *reach_recursive_open(const struct pt_reach *reach, struct vaddr address, unsigned level)
{
    return reach_at(reach, pt_recursive_table(reach->index, address, level));
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
    return reach->way != PT_WAY_RECURSIVE ||
           parking_index(reach_recursive_open(reach, vaddr(0), PT_LEVELS)) > 0;
}

/* What the root's entry `i` points to is shown as if it were a table of the level below. */
static struct vaddr parking_page(const struct pt_reach *reach, unsigned i)
{
    return pt_recursive_table(reach->index, vaddr((uint64_t)i << pt_level_shift(PT_LEVELS)), PT_LEVELS - 1);
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
    unsigned i = shown_by(reach, root, parking_page, at);

    pt_entry_store(&root[i], pt_entry(0));
    reach_forget(reach, parking_page(reach, i));
}

void reach_forget_tables(const struct pt_reach *reach, struct vaddr address, unsigned level, unsigned above)
{
    if (reach->way != PT_WAY_RECURSIVE)
        return;
    for (; level < above; level++)
        reach_forget(reach, pt_recursive_table(reach->index, address, level));
}
