/*
 * The entry format of AArch64 (VMSAv8-64, stage 1, EL1 and EL0), 4 KiB granule, 48-bit addresses, 4 levels.
 *
 * Arm Architecture Reference Manual for A-profile (DDI 0487), D8.3 "Translation table descriptor formats",
 * D8.4 "Memory access control", D8.16 "TLB maintenance: using break-before-make". Level 1 here, the leaves,
 * is the manual's level 3.
 *
 *   63..59  58..56 55    54  53  52         51  50 49..48 47..12        11 10 9..8 7..6 5  4..2     1    0
 *   0       soft.  dirty UXN PXN contiguous DBM GP 0      frame number  nG AF SH   AP   NS AttrIndx page
 * valid
 *
 * Bit 1 is clear in a page of level 2 or 3 ("block"), and set in one of level 1 and in a table's entry.
 *
 * Dirty, as the hardware of FEAT_HAFDBS does it: a page that may be written (DBM) and has not been is
 * read-only (AP[2]); the first write clears AP[2], or faults where there is no such hardware. What the
 * software knows to be dirty is kept in bit 55 besides, so that a page that may not be written any more stays
 * dirty.
 *
 *                  DBM  AP[2]  bit 55
 *   write, clean    1     1      0
 *   write, dirty    1     0      1       0 as the hardware leaves it
 *   read, clean     0     1      0
 *   read, dirty     0     1      1
 *
 * A page is executed by the user or by the kernel: EXEC is UXN of a user's page, PXN of a kernel's, and the
 * other one is always set.
 *
 * A root stands for one half of the addresses, by the register that it is put into (TTBR0_EL1 or TTBR1_EL1).
 * The addresses of both halves lead to the same entries here; the caller knows which half is meant.
 */
#ifndef QUIRE_PT_FMT_AARCH64_H
#define QUIRE_PT_FMT_AARCH64_H

enum { PT_LEVELS = 4 };
enum { PT_PAGE_LEVELS = 3 };
enum { PT_PHYSICAL_BITS = 48, PT_ROOT_HALVES = 1 };
/* The contiguous bit: each of 16 neighbours keeps its own address. (It is one for pages of level 3, too.) */
enum { PT_GROUP_ENTRIES = 16, PT_GROUP_LEVELS = 2 };
/* Entries that are not valid are in no translation cache (D8.13.1), but the walk must see the new one. */
#define PT_FLUSH_OF_MAP PT_FLUSH_NEW
/* The MMU could end a walk at a table's entry: its bits 1 and 0 are those of a page of level 1, and it
 * ignores the bits that say a page's memory type, rights and access flag. Here these hold the count. */
enum { PT_HAS_RECURSIVE = 0, PT_RECURSIVE_WINDOWS = 0 };
#define PT_WHY_NOT_RECURSIVE                                                                                 \
    "AArch64: an entry that points to a table keeps its live count where a page's has the memory type, and " \
    "has "                                                                                                   \
    "no access flag"
#define PT_BREAK_BEFORE_MAKE 1

#include "pt/fmt/common.h"

#define PT_PAGE ((uint64_t)1 << 1) /* or a table */
enum { PT_MEMORY_SHIFT = 2 };
#define PT_MEMORY_BITS ((uint64_t)7 << PT_MEMORY_SHIFT)
#define PT_USER ((uint64_t)1 << 6)
#define PT_READ_ONLY ((uint64_t)1 << 7)
#define PT_SHAREABLE ((uint64_t)3 << 8) /* inner */
#define PT_ACCESSED ((uint64_t)1 << 10)
#define PT_NOT_GLOBAL ((uint64_t)1 << 11)
#define PT_FRAME_MASK ((uint64_t)0x0000fffffffff000)
#define PT_NOT_TRANSLATED ((uint64_t)1 << 16) /* nT of a block, FEAT_BBM */
#define PT_RESERVED ((uint64_t)3 << 48)
#define PT_WRITE ((uint64_t)1 << 51) /* DBM */
#define PT_CONTIGUOUS ((uint64_t)1 << 52)
#define PT_KERNEL_NO_EXEC ((uint64_t)1 << 53)
#define PT_USER_NO_EXEC ((uint64_t)1 << 54)
#define PT_DIRTY ((uint64_t)1 << 55)
#define PT_SOFT_0 ((uint64_t)1 << 56)
#define PT_SOFT_1 ((uint64_t)1 << 57)
#define PT_SOFT_2 ((uint64_t)1 << 58)

/* An entry that points to a table: what it withholds from all below it. Bits 58 to 51 and 11 to 2 are ignored
 * but for 10 (FEAT_HAFT). */
#define PT_TABLE_KERNEL_NO_EXEC ((uint64_t)1 << 59)
#define PT_TABLE_USER_NO_EXEC ((uint64_t)1 << 60)
#define PT_TABLE_NO_USER ((uint64_t)1 << 61)
#define PT_TABLE_READ_ONLY ((uint64_t)1 << 62)

/* What MAIR_EL1 must be for memory types 0 to 3 (D8.6): write-back, write-through, not cacheable,
 * Device-nGnRnE. Types 4 to 7 are the caller's, in the upper half. */
#define PT_MAIR ((uint64_t)0x0044bbff)

/* ------------------------------------------------------------------ flags */

#define PT_FLAGS_PAGE                                                                                        \
    ((uint32_t)(PT_FLAG_EXEC | PT_FLAG_WRITE | PT_FLAG_USER | PT_MEMORY_MASK | PT_FLAG_ACCESSED |            \
                PT_FLAG_DIRTY | PT_FLAG_GLOBAL | PT_FLAG_SOFT_0 | PT_FLAG_SOFT_1 | PT_FLAG_SOFT_2))
#define PT_FLAGS_TABLE ((uint32_t)(PT_FLAG_EXEC | PT_FLAG_WRITE))

/* Every combination of the flags that there are can be said. */
static inline bool pt_flags_fit(struct pt_flags flags)
{
    return (flags.bits & ~PT_FLAGS_PAGE) == 0;
}

/* What is not there is cleared already. */
static inline bool pt_change_fits(struct pt_flags set, struct pt_flags clear)
{
    (void)clear;
    return pt_flags_fit(set);
}

/* The bits that say the flags. */
#define PT_FLAG_BITS                                                                                         \
    (PT_MEMORY_BITS | PT_USER | PT_READ_ONLY | PT_ACCESSED | PT_NOT_GLOBAL | PT_WRITE | PT_KERNEL_NO_EXEC |  \
     PT_USER_NO_EXEC | PT_DIRTY | PT_SOFT_0 | PT_SOFT_1 | PT_SOFT_2)

static inline uint64_t pt_flag_bits(struct pt_flags flags)
{
    uint64_t bits = flags.bits;
    uint64_t no_exec = PT_KERNEL_NO_EXEC | PT_USER_NO_EXEC;

    if (bits & PT_FLAG_EXEC)
        no_exec = bits & PT_FLAG_USER ? PT_KERNEL_NO_EXEC : PT_USER_NO_EXEC;
    return (bits & (PT_FLAG_WRITE_THROUGH | PT_FLAG_NO_CACHE)) >> 1 | (bits & PT_FLAG_MEMORY_4) >> 3 |
           (bits & PT_FLAG_USER) << 4 | (bits & PT_FLAG_ACCESSED) << 5 | (bits & PT_FLAG_WRITE) << 50 |
           (bits & PT_FLAG_DIRTY) << 49 | (bits & (PT_FLAG_SOFT_0 | PT_FLAG_SOFT_1 | PT_FLAG_SOFT_2)) << 47 |
           (bits & PT_FLAG_GLOBAL ? 0 : PT_NOT_GLOBAL) |
           (bits & PT_FLAG_WRITE && bits & PT_FLAG_DIRTY ? 0 : PT_READ_ONLY) | no_exec;
}
_Static_assert(PT_FLAG_WRITE_THROUGH >> 1 == 1 << PT_MEMORY_SHIFT &&
                   PT_FLAG_MEMORY_4 >> 3 == 4 << PT_MEMORY_SHIFT && PT_FLAG_USER << 4 == PT_USER &&
                   PT_FLAG_ACCESSED << 5 == PT_ACCESSED && (uint64_t)PT_FLAG_WRITE << 50 == PT_WRITE &&
                   (uint64_t)PT_FLAG_DIRTY << 49 == PT_DIRTY && (uint64_t)PT_FLAG_SOFT_0 << 47 == PT_SOFT_0 &&
                   (uint64_t)PT_FLAG_SOFT_2 << 47 == PT_SOFT_2,
               "flags move to the places of their bits");

/* ------------------------------------------------------------------ telling what an entry is */

static inline bool pt_entry_is_page(struct pt_entry entry, unsigned level)
{
    return (entry.bits & (PT_PRESENT | PT_PAGE)) == (level == 1 ? PT_PRESENT | PT_PAGE : PT_PRESENT);
}

static inline bool pt_entry_is_table(struct pt_entry entry, unsigned level)
{
    return level > 1 && (entry.bits & (PT_PRESENT | PT_PAGE)) == (PT_PRESENT | PT_PAGE);
}

static inline bool pt_entry_is_grouped(struct pt_entry entry, unsigned level)
{
    return pt_entry_is_page(entry, level) && (entry.bits & PT_CONTIGUOUS) != 0;
}

static inline struct pt_entry pt_entry_grouped(struct pt_entry page)
{
    return pt_entry(page.bits | PT_CONTIGUOUS);
}

static inline struct pt_entry pt_entry_ungrouped(struct pt_entry page, unsigned index)
{
    (void)index;
    return pt_entry(page.bits & ~PT_CONTIGUOUS);
}

/* What one entry translates. */
static inline uint64_t pt_entry_span(struct pt_entry page, unsigned level)
{
    (void)page;
    return pt_level_span(level);
}

/* No reserved bit is set, no reserved kind. */
static inline bool pt_entry_valid(struct pt_entry entry, unsigned level)
{
    if (!(entry.bits & PT_PRESENT))
        return true;
    if (entry.bits & PT_RESERVED)
        return false;
    if (entry.bits & PT_PAGE)
        return true;
    return level > 1 && level <= PT_PAGE_LEVELS &&
           (entry.bits & PT_FRAME_MASK & (pt_level_span(level) - 1) & ~PT_NOT_TRANSLATED) == 0;
}

/* The upper 16 bits are all equal, whatever bit 47 is. */
static inline bool pt_canonical(struct vaddr address)
{
    return address.v >> 48 == 0 || address.v >> 48 == 0xffff;
}

/* ------------------------------------------------------------------ making and reading */

static inline struct paddr pt_entry_paddr(struct pt_entry entry)
{
    return paddr(entry.bits & PT_FRAME_MASK);
}

static inline struct paddr pt_entry_page_paddr(struct pt_entry entry, unsigned level)
{
    return paddr(entry.bits & PT_FRAME_MASK & ~(pt_level_span(level) - 1));
}

/* An entry that points to a table, and withholds nothing. */
static inline struct pt_entry pt_entry_table(struct paddr table)
{
    return pt_entry(table.v | PT_PRESENT | PT_PAGE);
}

static inline struct pt_entry pt_entry_page(struct paddr page, struct pt_flags flags, unsigned level)
{
    return pt_entry(page.v | pt_flag_bits(flags) | PT_SHAREABLE | PT_PRESENT | (level == 1 ? PT_PAGE : 0));
}

static inline uint64_t pt_entry_step(unsigned level)
{
    return pt_level_span(level);
}

static inline struct pt_flags pt_entry_flags(struct pt_entry page, unsigned level)
{
    uint64_t bits = page.bits;
    bool written = !(bits & PT_READ_ONLY); /* without DBM: by somebody else's rules */
    uint64_t no_exec = bits & PT_USER ? PT_USER_NO_EXEC : PT_KERNEL_NO_EXEC;
    uint64_t moved = (bits & (uint64_t)3 << PT_MEMORY_SHIFT) << 1 |
                     (bits & (uint64_t)4 << PT_MEMORY_SHIFT) << 3 | (bits & PT_USER) >> 4 |
                     (bits & PT_ACCESSED) >> 5 | (bits & (PT_SOFT_0 | PT_SOFT_1 | PT_SOFT_2)) >> 47;

    (void)level;
    return pt_flags((uint32_t)moved | (written || bits & PT_DIRTY ? PT_FLAG_DIRTY : 0) |
                    (written || bits & PT_WRITE ? PT_FLAG_WRITE : 0) |
                    (bits & PT_NOT_GLOBAL ? 0 : PT_FLAG_GLOBAL) | (bits & no_exec ? 0 : PT_FLAG_EXEC) |
                    (bits & PT_CONTIGUOUS ? PT_FLAG_GROUP : 0));
}

/* What an entry that points to a table allows the pages below it. */
static inline struct pt_flags pt_table_flags(struct pt_entry table)
{
    const uint64_t no_exec = PT_TABLE_KERNEL_NO_EXEC | PT_TABLE_USER_NO_EXEC;

    return pt_flags((table.bits & PT_TABLE_READ_ONLY ? 0 : PT_FLAG_WRITE) |
                    (table.bits & PT_TABLE_NO_USER ? 0 : PT_FLAG_USER) |
                    ((table.bits & no_exec) == no_exec ? 0 : PT_FLAG_EXEC));
}

/* The huge page of `level` becomes PT_ENTRIES pages of the level below: the first of them; and back. */
static inline struct pt_entry pt_entry_first_part(struct pt_entry huge, unsigned level)
{
    return pt_entry((level == 2 ? huge.bits | PT_PAGE : huge.bits) & ~PT_CONTIGUOUS);
}

static inline struct pt_entry pt_entry_whole(struct pt_entry part, unsigned level)
{
    return pt_entry((level == 2 ? part.bits & ~PT_PAGE : part.bits) & ~PT_CONTIGUOUS);
}

/* ------------------------------------------------------------------ rights of a walk */

/* What any table withholds is not there. */
static inline struct pt_flags pt_rights_flags(struct pt_rights rights, struct pt_entry page, unsigned level)
{
    struct pt_flags flags = pt_entry_flags(page, level);
    uint64_t no_exec = flags.bits & PT_FLAG_USER ? PT_TABLE_USER_NO_EXEC : PT_TABLE_KERNEL_NO_EXEC;
    uint32_t withheld = (rights.any & PT_TABLE_READ_ONLY ? PT_FLAG_WRITE : 0) |
                        (rights.any & no_exec ? PT_FLAG_EXEC : 0) |
                        (rights.any & PT_TABLE_NO_USER ? PT_FLAG_USER : 0);

    return pt_flags(flags.bits & ~withheld);
}

/* ------------------------------------------------------------------ changing flags */

/* What one flag's bits become depends on other flags, so that entries are taken to flags and back. */
#define PT_CHANGE_IS_MASKS 0
struct pt_change {
    uint32_t keep, add; /* flags */
};

static inline struct pt_change pt_change(struct pt_flags set, struct pt_flags clear)
{
    return (struct pt_change){.keep = ~clear.bits, .add = set.bits};
}

static inline struct pt_change pt_change_at(struct pt_change change, unsigned level)
{
    (void)level;
    return change;
}

static inline struct pt_entry pt_entry_changed(struct pt_entry page, struct pt_change change)
{
    struct pt_flags flags = pt_flags((pt_entry_flags(page, 1).bits & change.keep) | change.add);

    return pt_entry((page.bits & ~PT_FLAG_BITS) | pt_flag_bits(flags));
}

static inline bool pt_entry_may_change(struct pt_entry page, struct pt_change change)
{
    (void)page;
    (void)change;
    return true;
}

/* D8.16.1: a change of the memory type, or between global and not. Rights and marks may change in place. */
static inline bool pt_change_breaks(struct pt_change change)
{
    return ((change.add | ~change.keep) & (PT_MEMORY_MASK | PT_FLAG_GLOBAL)) != 0;
}

static inline bool pt_table_masks(struct pt_flags set, struct pt_flags clear, struct pt_masks *masks)
{
    const uint64_t no_exec = PT_TABLE_KERNEL_NO_EXEC | PT_TABLE_USER_NO_EXEC;
    struct pt_flags cleared = pt_flags(clear.bits & ~set.bits);

    masks->keep =
        ~((set.bits & PT_FLAG_WRITE ? PT_TABLE_READ_ONLY : 0) | (set.bits & PT_FLAG_EXEC ? no_exec : 0));
    masks->add =
        (cleared.bits & PT_FLAG_WRITE ? PT_TABLE_READ_ONLY : 0) | (cleared.bits & PT_FLAG_EXEC ? no_exec : 0);
    return ((set.bits | clear.bits) & ~PT_FLAGS_TABLE) == 0;
}

static inline bool pt_entry_may_get_dirty(struct pt_entry entry)
{
    const uint64_t bits = PT_PRESENT | PT_WRITE | PT_READ_ONLY;

    return (entry.bits & bits) == bits;
}

/* ------------------------------------------------------------------ live counts */

/* The count plus one, ten bits: eight in bits 9 to 2, two in 58 and 57. 0: nobody has counted. */
#define PT_LIVE_LOW ((uint64_t)0xff << 2)
#define PT_LIVE_HIGH ((uint64_t)3 << 57)

static inline int pt_entry_live(struct pt_entry table)
{
    return (int)((table.bits & PT_LIVE_LOW) >> 2 | (table.bits & PT_LIVE_HIGH) >> 49) - 1;
}

static inline struct pt_entry pt_entry_with_live(struct pt_entry table, int live)
{
    uint64_t count = (uint64_t)(live + 1);

    return pt_entry((table.bits & ~(PT_LIVE_LOW | PT_LIVE_HIGH)) | (count & 0xff) << 2 | count >> 8 << 57);
}

enum { PT_LIVE_IS_COUNTED = 1 };

/* `delta` more are not empty. */
static inline struct pt_entry pt_entry_add_live(struct pt_entry table, int delta)
{
    int live = pt_entry_live(table);

    return live == PT_LIVE_UNKNOWN ? table : pt_entry_with_live(table, live + delta);
}

#endif
