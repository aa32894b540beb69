/*
 * The entry format of x86-64 long mode, 4 levels.
 *
 * Intel SDM vol. 3A, 4.5 "4-Level Paging and 5-Level Paging", tables 4-15 to 4-20; AMD APM vol. 2, 5.3.
 *
 *   63 62..59 58..52   51..12        11..9  8 7  6 5 4   3   2   1   0
 *   NX pkey   software frame number  soft.  G PS D A PCD PWT U/S R/W P
 *
 * Level 1 is the leaf table. An entry with P clear is empty (0) or a mark: its other 63 bits are ours.
 */
#ifndef QUIRE_PT_FMT_X86_64_H
#define QUIRE_PT_FMT_X86_64_H

#include "quire/types.h"

/* One entry of a table of any level. Read and written whole, with pt_entry_load/store. */
struct pt_entry {
    uint64_t bits;
};

enum { PT_LEVELS = 4, PT_ENTRIES = 512, PT_INDEX_BITS = 9 };

#define PT_PRESENT ((uint64_t)1 << 0)
#define PT_WRITE ((uint64_t)1 << 1)
#define PT_USER ((uint64_t)1 << 2)
#define PT_WRITE_THROUGH ((uint64_t)1 << 3)
#define PT_NO_CACHE ((uint64_t)1 << 4)
#define PT_ACCESSED ((uint64_t)1 << 5)
#define PT_DIRTY ((uint64_t)1 << 6)
#define PT_HUGE ((uint64_t)1 << 7) /* levels 2 and 3: the entry maps a page */
#define PT_GLOBAL ((uint64_t)1 << 8)
#define PT_SOFT_0 ((uint64_t)1 << 9)
#define PT_SOFT_1 ((uint64_t)1 << 10)
#define PT_SOFT_2 ((uint64_t)1 << 11)
#define PT_SOFT_3 ((uint64_t)1 << 52)
#define PT_SOFT_4 ((uint64_t)1 << 53)
#define PT_SOFT_5 ((uint64_t)1 << 54)
#define PT_SOFT_6 ((uint64_t)1 << 55)
#define PT_SOFT_7 ((uint64_t)1 << 56)
#define PT_SOFT_8 ((uint64_t)1 << 57)
#define PT_SOFT_9 ((uint64_t)1 << 58)
#define PT_NO_EXEC ((uint64_t)1 << 63)
#define PT_FRAME_MASK ((uint64_t)0x000ffffffffff000)

static inline struct pt_entry pt_entry(uint64_t bits)
{
    return (struct pt_entry){bits};
}

static inline struct pt_entry pt_entry_load(const struct pt_entry *at)
{
    return pt_entry(__atomic_load_n(&at->bits, __ATOMIC_RELAXED));
}

static inline void pt_entry_store(struct pt_entry *at, struct pt_entry entry)
{
    __atomic_store_n(&at->bits, entry.bits, __ATOMIC_RELEASE);
}

/* Replace an entry that the MMU may be marking accessed or dirty; gives what was there. */
static inline struct pt_entry pt_entry_swap(struct pt_entry *at, struct pt_entry entry)
{
    return pt_entry(__atomic_exchange_n(&at->bits, entry.bits, __ATOMIC_ACQ_REL));
}

static inline bool pt_entry_empty(struct pt_entry entry)
{
    return entry.bits == 0;
}

static inline bool pt_entry_present(struct pt_entry entry)
{
    return (entry.bits & PT_PRESENT) != 0;
}

/* A present entry that ends the walk: any at level 1, one with PS at levels 2 and 3. */
static inline bool pt_entry_is_page(struct pt_entry entry, unsigned level)
{
    return (entry.bits & PT_PRESENT) != 0 && (level == 1 || (entry.bits & PT_HUGE) != 0);
}

static inline bool pt_entry_is_table(struct pt_entry entry, unsigned level)
{
    return level > 1 && (entry.bits & (PT_PRESENT | PT_HUGE)) == PT_PRESENT;
}

static inline struct paddr pt_entry_paddr(struct pt_entry entry)
{
    return paddr(entry.bits & PT_FRAME_MASK);
}

/* An entry that points to a table, with every right: the leaves restrict. */
static inline struct pt_entry pt_entry_table(struct paddr table)
{
    return pt_entry(table.v | PT_PRESENT | PT_WRITE | PT_USER);
}

/* log2 of the bytes that one entry of this level stands for: 12, 21, 30, 39. */
static inline unsigned pt_level_shift(unsigned level)
{
    return PAGE_SHIFT + PT_INDEX_BITS * (level - 1);
}

static inline uint64_t pt_level_span(unsigned level)
{
    return (uint64_t)1 << pt_level_shift(level);
}

static inline unsigned pt_index(struct vaddr address, unsigned level)
{
    return (unsigned)(address.v >> pt_level_shift(level)) & (PT_ENTRIES - 1);
}

/* Bits 63..47 all equal. */
static inline bool pt_canonical(struct vaddr address)
{
    return (uint64_t)((int64_t)(address.v << 16) >> 16) == address.v;
}

#endif
