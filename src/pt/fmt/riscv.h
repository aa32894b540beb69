/*
 * The entry format of RISC-V, Sv39, Sv48 and Sv57 (the headers named so say how many levels), with the
 * memory types of Svpbmt and the groups of 16 pages of Svnapot.
 *
 * The RISC-V Instruction Set Manual, Volume II: Privileged Architecture, "Sv39", "Sv48", "Sv57", "Svnapot",
 * "Svpbmt".
 *
 *   63 62..61 60..54   53..10       9..8  7 6 5 4 3 2 1 0
 *   N  PBMT   reserved frame number soft. D A G U X W R V
 *
 * R, W and X all clear: the entry points to a table (at level 1: it is invalid). Else it is a page, of any
 * level. In a table's entry D, A, U, PBMT and N are reserved, so that it restricts no right, and there is no
 * room for a live count.
 *
 * An implementation may keep an invalid entry in its translation caches ("SFENCE.VMA": after any change of an
 * entry), so that a new page has a promise as well.
 */
#ifndef QUIRE_PT_FMT_RISCV_H
#define QUIRE_PT_FMT_RISCV_H

#ifndef PT_RISCV_LEVELS
#error "include pt/fmt/sv39.h, sv48.h or sv57.h"
#endif
enum { PT_LEVELS = PT_RISCV_LEVELS };
enum { PT_PAGE_LEVELS = PT_RISCV_LEVELS };
enum { PT_PHYSICAL_BITS = 56, PT_ROOT_HALVES = 2 };
#define PT_FLUSH_OF_MAP PT_FLUSH_NEW
/* A walk that ends at an entry that points to a table faults; so windows show the tables. */
enum { PT_HAS_RECURSIVE = 1, PT_RECURSIVE_WINDOWS = 1 };
#define PT_WHY_NOT_RECURSIVE ""
#define PT_BREAK_BEFORE_MAKE 0

#include "pt/fmt/common.h"

#define PT_READ ((uint64_t)1 << 1)
#define PT_WRITE ((uint64_t)1 << 2)
#define PT_EXEC ((uint64_t)1 << 3)
#define PT_USER ((uint64_t)1 << 4)
#define PT_GLOBAL ((uint64_t)1 << 5)
#define PT_ACCESSED ((uint64_t)1 << 6)
#define PT_DIRTY ((uint64_t)1 << 7)
#define PT_SOFT_0 ((uint64_t)1 << 8)
#define PT_SOFT_1 ((uint64_t)1 << 9)
#define PT_NUMBER_MASK ((uint64_t)0x003ffffffffffc00) /* the frame number, two bits below its address */
#define PT_RESERVED ((uint64_t)0x7f << 54)
enum { PT_MEMORY_SHIFT = 61 };
#define PT_MEMORY_UNCACHED_BITS ((uint64_t)1 << PT_MEMORY_SHIFT) /* NC */
#define PT_MEMORY_DEVICE_BITS ((uint64_t)2 << PT_MEMORY_SHIFT)   /* IO */
#define PT_MEMORY_BITS ((uint64_t)3 << PT_MEMORY_SHIFT)
#define PT_NAPOT ((uint64_t)1 << 63)
#define PT_RIGHTS_BITS (PT_READ | PT_WRITE | PT_EXEC)

/* Svnapot: 16 neighbours of level 1 that are one translation; the low four bits of the number are 8 then. */
enum { PT_GROUP_ENTRIES = 16, PT_GROUP_LEVELS = 1 };
#define PT_GROUP_SPAN (PT_GROUP_ENTRIES * PAGE_SIZE)
#define PT_GROUP_NUMBER ((uint64_t)8 << 10)
#define PT_GROUP_NUMBER_MASK ((uint64_t)15 << 10)

/* ------------------------------------------------------------------ flags */

#define PT_FLAGS_PAGE                                                                                        \
    ((uint32_t)(PT_FLAG_EXEC | PT_FLAG_WRITE | PT_FLAG_USER | PT_FLAG_WRITE_THROUGH | PT_FLAG_NO_CACHE |     \
                PT_FLAG_ACCESSED | PT_FLAG_DIRTY | PT_FLAG_GLOBAL | PT_FLAG_SOFT_0 | PT_FLAG_SOFT_1 |        \
                PT_FLAG_NO_READ))
#define PT_FLAGS_TABLE ((uint32_t)(PT_FLAG_GLOBAL | PT_FLAG_SOFT_0 | PT_FLAG_SOFT_1))

/* Svpbmt has no write-through. */
static inline bool pt_memory_fits(struct pt_flags flags)
{
    return (flags.bits & PT_MEMORY_MASK) != PT_MEMORY_WRITE_THROUGH;
}

/* A page can be written only if it can be read, and must allow something. */
static inline bool pt_flags_fit(struct pt_flags flags)
{
    return (flags.bits & ~PT_FLAGS_PAGE) == 0 && pt_memory_fits(flags) &&
           (!(flags.bits & PT_FLAG_NO_READ) || (flags.bits & (PT_FLAG_EXEC | PT_FLAG_WRITE)) == PT_FLAG_EXEC);
}

/* The memory type is changed as a whole (clear PT_MEMORY_MASK), and writing goes with reading: clear
 * PT_FLAG_WRITE, and not PT_FLAG_EXEC, without which nothing would be left. What is not there is cleared
 * already. */
static inline bool pt_change_fits(struct pt_flags set, struct pt_flags clear)
{
    const uint32_t both = PT_FLAG_NO_READ | PT_FLAG_WRITE;
    bool memory = ((set.bits | clear.bits) & PT_MEMORY_MASK) != 0;

    return (set.bits & ~PT_FLAGS_PAGE) == 0 && pt_memory_fits(set) &&
           (!memory || (clear.bits & PT_MEMORY_MASK) == PT_MEMORY_MASK) && (set.bits & both) != both &&
           (!(set.bits & PT_FLAG_NO_READ) ||
            ((clear.bits & PT_FLAG_WRITE) != 0 && ((set.bits | ~clear.bits) & PT_FLAG_EXEC) != 0));
}

/* Where each flag's bit is, but for reading and the memory type. */
static inline uint64_t pt_flag_bits(struct pt_flags flags)
{
    uint64_t bits = flags.bits;

    return (bits & PT_FLAG_EXEC) << 3 | (bits & (PT_FLAG_WRITE | PT_FLAG_ACCESSED | PT_FLAG_DIRTY)) << 1 |
           (bits & PT_FLAG_USER) << 2 | (bits & PT_FLAG_GLOBAL) >> 3 |
           (bits & (PT_FLAG_SOFT_0 | PT_FLAG_SOFT_1)) >> 1;
}
_Static_assert(PT_FLAG_EXEC << 3 == PT_EXEC && PT_FLAG_WRITE << 1 == PT_WRITE &&
                   PT_FLAG_ACCESSED << 1 == PT_ACCESSED && PT_FLAG_DIRTY << 1 == PT_DIRTY &&
                   PT_FLAG_USER << 2 == PT_USER && PT_FLAG_GLOBAL >> 3 == PT_GLOBAL &&
                   PT_FLAG_SOFT_0 >> 1 == PT_SOFT_0 && PT_FLAG_SOFT_1 >> 1 == PT_SOFT_1,
               "flags move to the places of their bits");

/* NO_CACHE is type 1, both bits are type 2. */
static inline uint64_t pt_memory_bits(struct pt_flags flags)
{
    switch (flags.bits & PT_MEMORY_MASK) {
    case PT_MEMORY_UNCACHED:
        return PT_MEMORY_UNCACHED_BITS;
    case PT_MEMORY_DEVICE:
        return PT_MEMORY_DEVICE_BITS;
    default:
        return 0;
    }
}

/* ------------------------------------------------------------------ telling what an entry is */

static inline bool pt_entry_is_page(struct pt_entry entry, unsigned level)
{
    (void)level;
    return (entry.bits & PT_PRESENT) != 0 && (entry.bits & PT_RIGHTS_BITS) != 0;
}

static inline bool pt_entry_is_table(struct pt_entry entry, unsigned level)
{
    return level > 1 && ((entry.bits - PT_PRESENT) & (PT_PRESENT | PT_RIGHTS_BITS)) == 0; /* all at once */
}

static inline bool pt_entry_is_grouped(struct pt_entry entry, unsigned level)
{
    return level == 1 && (entry.bits & (PT_PRESENT | PT_NAPOT)) == (PT_PRESENT | PT_NAPOT);
}

/* All pages of a group have the same entry. */
static inline struct pt_entry pt_entry_grouped(struct pt_entry page)
{
    return pt_entry((page.bits & ~PT_GROUP_NUMBER_MASK) | PT_GROUP_NUMBER | PT_NAPOT);
}

/* What entry number `index` of the table is by itself. */
static inline struct pt_entry pt_entry_ungrouped(struct pt_entry page, unsigned index)
{
    return pt_entry((page.bits & ~(PT_GROUP_NUMBER_MASK | PT_NAPOT)) | (uint64_t)(index % PT_GROUP_ENTRIES)
                                                                           << 10);
}

/* What one translation covers. */
static inline uint64_t pt_entry_span(struct pt_entry page, unsigned level)
{
    return pt_entry_is_grouped(page, level) ? PT_GROUP_SPAN : pt_level_span(level);
}

static inline bool pt_page_valid(struct pt_entry page, unsigned level)
{
    uint64_t below = pt_entry_span(page, level) - 1;
    uint64_t low = page.bits & PT_NUMBER_MASK & below >> 2;

    return (page.bits & PT_RIGHTS_BITS & ~PT_EXEC) != PT_WRITE &&
           (page.bits & PT_MEMORY_BITS) != PT_MEMORY_BITS &&
           (page.bits & PT_NAPOT ? level == 1 && low == PT_GROUP_NUMBER : low == 0);
}

/* No reserved bit is set, no reserved combination. */
static inline bool pt_entry_valid(struct pt_entry entry, unsigned level)
{
    const uint64_t not_in_tables = PT_DIRTY | PT_ACCESSED | PT_USER | PT_MEMORY_BITS | PT_NAPOT;

    if (!(entry.bits & PT_PRESENT))
        return true;
    if (entry.bits & PT_RESERVED)
        return false;
    if (entry.bits & PT_RIGHTS_BITS)
        return pt_page_valid(entry, level);
    return level > 1 && (entry.bits & not_in_tables) == 0;
}

static inline bool pt_canonical(struct vaddr address)
{
    return pt_sign_extended(address);
}

/* ------------------------------------------------------------------ making and reading */

static inline uint64_t pt_number_bits(struct paddr frame)
{
    return frame.v >> 2;
}

static inline struct paddr pt_entry_paddr(struct pt_entry entry)
{
    return paddr((entry.bits & PT_NUMBER_MASK) << 2);
}

/* Where a present page (a group: the first of its pages) begins. */
static inline struct paddr pt_entry_page_paddr(struct pt_entry entry, unsigned level)
{
    return paddr(pt_entry_paddr(entry).v & ~(pt_entry_span(entry, level) - 1));
}

static inline struct pt_entry pt_entry_table(struct paddr table)
{
    return pt_entry(pt_number_bits(table) | PT_PRESENT);
}

static inline struct pt_entry pt_entry_page(struct paddr page, struct pt_flags flags, unsigned level)
{
    (void)level;
    return pt_entry(pt_number_bits(page) | pt_flag_bits(flags) | pt_memory_bits(flags) | PT_PRESENT |
                    (flags.bits & PT_FLAG_NO_READ ? 0 : PT_READ));
}

static inline uint64_t pt_entry_step(unsigned level)
{
    return pt_level_span(level) >> 2;
}

static inline struct pt_flags pt_entry_flags(struct pt_entry page, unsigned level)
{
    uint64_t bits = page.bits;
    uint64_t type = (bits & PT_MEMORY_BITS) >> PT_MEMORY_SHIFT; /* 0, 1, 2 are 0, NO_CACHE, both */

    (void)level;
    return pt_flags((uint32_t)((bits & PT_EXEC) >> 3 | (bits & (PT_WRITE | PT_ACCESSED | PT_DIRTY)) >> 1 |
                               (bits & PT_USER) >> 2 | (bits & PT_GLOBAL) << 3 |
                               (bits & (PT_SOFT_0 | PT_SOFT_1)) << 1 |
                               (type == 0   ? 0
                                : type == 1 ? PT_MEMORY_UNCACHED
                                            : PT_MEMORY_DEVICE)) |
                    (bits & PT_READ ? 0 : PT_FLAG_NO_READ) | (bits & PT_NAPOT ? PT_FLAG_GROUP : 0));
}

/* A table withholds nothing. */
static inline struct pt_flags pt_table_flags(struct pt_entry table)
{
    return pt_flags(PT_FLAG_EXEC | PT_FLAG_WRITE | PT_FLAG_USER |
                    (uint32_t)((table.bits & PT_GLOBAL) << 3 | (table.bits & (PT_SOFT_0 | PT_SOFT_1)) << 1));
}

static inline struct pt_entry pt_entry_first_part(struct pt_entry huge, unsigned level)
{
    (void)level;
    return huge;
}

static inline struct pt_entry pt_entry_whole(struct pt_entry part, unsigned level)
{
    (void)level;
    return part;
}

/* ------------------------------------------------------------------ rights of a walk */

/* A table that is global makes all below it global; nothing else is inherited. */
static inline struct pt_flags pt_rights_flags(struct pt_rights rights, struct pt_entry page, unsigned level)
{
    return pt_entry_flags(pt_entry(page.bits | (rights.any & PT_GLOBAL)), level);
}

/* ------------------------------------------------------------------ changing flags */

#define PT_CHANGE_IS_MASKS 1
struct pt_change {
    uint64_t keep, add;
    uint64_t need; /* what a page must have, or it would be left with a combination that there is not */
};

static inline struct pt_change pt_change(struct pt_flags set, struct pt_flags clear)
{
    struct pt_flags cleared = pt_flags(clear.bits & ~set.bits);
    bool readable = (cleared.bits & PT_FLAG_NO_READ) != 0;
    bool memory = ((set.bits | clear.bits) & PT_MEMORY_MASK) != 0;

    return (struct pt_change){
        .keep = ~(pt_flag_bits(clear) | (set.bits & PT_FLAG_NO_READ ? PT_READ : 0) |
                  (memory ? PT_MEMORY_BITS : 0)),
        .add = pt_flag_bits(set) | (readable ? PT_READ : 0) | pt_memory_bits(set),
        .need = (!readable && (set.bits & PT_FLAG_WRITE || cleared.bits & PT_FLAG_EXEC) ? PT_READ : 0) |
                ((set.bits & (PT_FLAG_NO_READ | PT_FLAG_EXEC)) == PT_FLAG_NO_READ ? PT_EXEC : 0),
    };
}

static inline struct pt_change pt_change_at(struct pt_change change, unsigned level)
{
    (void)level;
    return change;
}

static inline struct pt_entry pt_entry_changed(struct pt_entry page, struct pt_change change)
{
    return pt_entry((page.bits & change.keep) | change.add);
}

/* Of one entry, or of the AND of several. */
static inline bool pt_entry_may_change(struct pt_entry page, struct pt_change change)
{
    return (page.bits & change.need) == change.need;
}

static inline bool pt_change_breaks(struct pt_change change)
{
    (void)change;
    return false;
}

static inline bool pt_table_masks(struct pt_flags set, struct pt_flags clear, struct pt_masks *masks)
{
    *masks = (struct pt_masks){.keep = ~pt_flag_bits(clear), .add = pt_flag_bits(set)};
    return ((set.bits | clear.bits) & ~PT_FLAGS_TABLE) == 0;
}

static inline bool pt_entry_may_get_dirty(struct pt_entry entry)
{
    return (entry.bits & (PT_PRESENT | PT_WRITE | PT_DIRTY)) == (PT_PRESENT | PT_WRITE);
}

/* ------------------------------------------------------------------ live counts: no room */

static inline int pt_entry_live(struct pt_entry table)
{
    (void)table;
    return PT_LIVE_UNKNOWN;
}

enum { PT_LIVE_IS_COUNTED = 0 };

static inline struct pt_entry pt_entry_add_live(struct pt_entry table, int delta)
{
    (void)delta;
    return table;
}

static inline struct pt_entry pt_entry_with_live(struct pt_entry table, int live)
{
    (void)live;
    return table;
}

#endif
