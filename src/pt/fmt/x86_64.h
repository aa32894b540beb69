/*
 * The entry format of x86-64 long mode, 4 levels (or 5).
 *
 * Intel SDM vol. 3A, 4.5 "4-Level Paging and 5-Level Paging", tables 4-15 to 4-20; AMD APM vol. 2, 5.3.
 *
 *   63 62..59 58..52   51..12        11..9  8 7  6 5 4   3   2   1   0
 *   NX pkey   software frame number  soft.  G PS D A PCD PWT U/S R/W P
 *
 * Level 1 is the leaf table. The memory type is a number of three bits, PAT PCD PWT, that chooses an entry of
 * the PAT MSR; bit PAT is bit 7 of a 4 KiB page, and bit 12 of a larger one, where 7 is PS (SDM 4.9.2).
 */
#ifndef QUIRE_PT_FMT_X86_64_H
#define QUIRE_PT_FMT_X86_64_H

/* fmt/x86_64_5.h says 5; nothing else differs. */
#ifndef PT_X86_64_LEVELS
#define PT_X86_64_LEVELS 4
#endif
enum { PT_LEVELS = PT_X86_64_LEVELS };
enum { PT_PAGE_LEVELS = 3 }; /* entries of level 4 and 5 map no page */
enum { PT_PHYSICAL_BITS = 52, PT_ROOT_HALVES = 2 };
enum { PT_GROUP_ENTRIES = 1, PT_GROUP_LEVELS = 0 }; /* no groups of neighbours that are one translation */
/* An entry that was empty is in no translation cache (SDM 4.10.2.3). */
#define PT_FLUSH_OF_MAP PT_FLUSH_NONE
enum { PT_HAS_RECURSIVE = 1, PT_RECURSIVE_WINDOWS = 0 }; /* a table's entry serves as a page's */
#define PT_WHY_NOT_RECURSIVE ""
#define PT_BREAK_BEFORE_MAKE 0

#include "pt/fmt/common.h"

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
#define PT_ATTRIBUTE ((uint64_t)1 << 7)       /* level 1: PAT */
#define PT_HUGE_ATTRIBUTE ((uint64_t)1 << 12) /* levels 2 and 3: PAT */
/* An entry that points to a table: bits 62..52 are ignored there (SDM tables 4-15, 4-16, 4-18). */
enum { PT_LIVE_SHIFT = 52 };
#define PT_LIVE_MASK ((uint64_t)0x3ff << PT_LIVE_SHIFT)

/* ------------------------------------------------------------------ flags */

/* Those that have the place of their bit at level 1, and those that have it PT_HIGH_SHIFT further up. */
#define PT_FLAGS_LOW                                                                                         \
    ((uint64_t)(PT_FLAG_WRITE | PT_FLAG_USER | PT_MEMORY_MASK | PT_FLAG_ACCESSED | PT_FLAG_DIRTY |           \
                PT_FLAG_GLOBAL | PT_FLAG_SOFT_0 | PT_FLAG_SOFT_1 | PT_FLAG_SOFT_2))
#define PT_FLAGS_HIGH                                                                                        \
    ((uint64_t)(PT_FLAG_SOFT_3 | PT_FLAG_SOFT_4 | PT_FLAG_SOFT_5 | PT_FLAG_SOFT_6 | PT_FLAG_SOFT_7 |         \
                PT_FLAG_SOFT_8 | PT_FLAG_SOFT_9 | PT_FLAG_KEY))
enum { PT_HIGH_SHIFT = 36 };
_Static_assert(PT_FLAG_WRITE == PT_WRITE && PT_FLAG_USER == PT_USER &&
                   PT_FLAG_WRITE_THROUGH == PT_WRITE_THROUGH && PT_FLAG_NO_CACHE == PT_NO_CACHE &&
                   PT_FLAG_ACCESSED == PT_ACCESSED && PT_FLAG_DIRTY == PT_DIRTY &&
                   PT_FLAG_MEMORY_4 == PT_ATTRIBUTE && PT_FLAG_GLOBAL == PT_GLOBAL &&
                   PT_FLAG_SOFT_0 == PT_SOFT_0 && PT_FLAG_SOFT_2 == PT_SOFT_2,
               "a low flag has the place of its bit");
_Static_assert((uint64_t)PT_FLAG_SOFT_3 << PT_HIGH_SHIFT == PT_SOFT_3 &&
                   (uint64_t)PT_FLAG_SOFT_9 << PT_HIGH_SHIFT == PT_SOFT_9 &&
                   (uint64_t)PT_FLAG_KEY << PT_HIGH_SHIFT == (uint64_t)15 << 59,
               "a high flag has it so much further up");
_Static_assert(PT_FLAG_EXEC == 1, "is made of bit 63 by a shift");

#define PT_FLAGS_PAGE ((uint32_t)(PT_FLAGS_LOW | PT_FLAGS_HIGH) | PT_FLAG_EXEC)
#define PT_FLAGS_TABLE                                                                                       \
    ((uint32_t)(PT_FLAG_EXEC | PT_FLAG_WRITE | PT_FLAG_USER | PT_FLAG_WRITE_THROUGH | PT_FLAG_NO_CACHE |     \
                PT_FLAG_ACCESSED | PT_FLAG_SOFT_0 | PT_FLAG_SOFT_1 | PT_FLAG_SOFT_2))

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

/* The flags that are bits of an entry of level 1; execution is the absence of NX. */
static inline uint64_t pt_flag_bits(struct pt_flags flags)
{
    return (flags.bits & PT_FLAGS_LOW) | (flags.bits & PT_FLAGS_HIGH) << PT_HIGH_SHIFT;
}

/* ------------------------------------------------------------------ telling what an entry is */

/* A present entry that ends the walk: any at level 1, one with PS at levels 2 and 3. */
static inline bool pt_entry_is_page(struct pt_entry entry, unsigned level)
{
    return (entry.bits & PT_PRESENT) != 0 && (level == 1 || (entry.bits & PT_HUGE) != 0);
}

static inline bool pt_entry_is_table(struct pt_entry entry, unsigned level)
{
    return level > 1 && ((entry.bits - PT_PRESENT) & (PT_PRESENT | PT_HUGE)) == 0; /* both bits at once */
}

/* No reserved bit is set: PS above level 3, address bits below the size of a huge page (bit 12 is PAT there).
 */
static inline bool pt_entry_valid(struct pt_entry entry, unsigned level)
{
    if ((entry.bits & PT_PRESENT) == 0 || level == 1 || (entry.bits & PT_HUGE) == 0)
        return true;
    return level <= PT_PAGE_LEVELS &&
           (entry.bits & PT_FRAME_MASK & (pt_level_span(level) - 1) & ~PT_HUGE_ATTRIBUTE) == 0;
}

static inline bool pt_entry_is_grouped(struct pt_entry entry, unsigned level)
{
    (void)entry;
    (void)level;
    return false;
}

static inline struct pt_entry pt_entry_grouped(struct pt_entry page)
{
    return page;
}

static inline struct pt_entry pt_entry_ungrouped(struct pt_entry page, unsigned index)
{
    (void)index;
    return page;
}

/* What one translation covers. */
static inline uint64_t pt_entry_span(struct pt_entry page, unsigned level)
{
    (void)page;
    return pt_level_span(level);
}

static inline bool pt_canonical(struct vaddr address)
{
    return pt_sign_extended(address);
}

/* ------------------------------------------------------------------ making and reading */

/* Of a table's entry, or of a 4 KiB page. */
static inline struct paddr pt_entry_paddr(struct pt_entry entry)
{
    return paddr(entry.bits & PT_FRAME_MASK);
}

/* Where a present page begins. */
static inline struct paddr pt_entry_page_paddr(struct pt_entry entry, unsigned level)
{
    return paddr(entry.bits & PT_FRAME_MASK & ~(pt_level_span(level) - 1));
}

/* An entry that points to a table, with every right: the leaves restrict. */
static inline struct pt_entry pt_entry_table(struct paddr table)
{
    return pt_entry(table.v | PT_PRESENT | PT_WRITE | PT_USER);
}

/* Bit PAT goes from its place at level 1 to that of a huge page; PS comes. */
static inline uint64_t pt_huge_bits(uint64_t bits)
{
    return (bits & ~PT_ATTRIBUTE) | (bits & PT_ATTRIBUTE) << 5 | PT_HUGE;
}

/* An entry of `level` that maps the page at `page`. */
static inline struct pt_entry pt_entry_page(struct paddr page, struct pt_flags flags, unsigned level)
{
    uint64_t bits = pt_flag_bits(flags) | PT_PRESENT | (flags.bits & PT_FLAG_EXEC ? 0 : PT_NO_EXEC);

    return pt_entry(page.v | (level > 1 ? pt_huge_bits(bits) : bits));
}

static inline uint64_t pt_entry_step(unsigned level)
{
    return pt_level_span(level);
}

/* Of the bits of a page, and of those that can withhold execution. */
static inline struct pt_flags pt_flags_of_bits(uint64_t bits, uint64_t no_exec, unsigned level)
{
    if (level > 1)
        bits = (bits & ~PT_HUGE) | (bits & PT_HUGE_ATTRIBUTE) >> 5;
    return pt_flags((uint32_t)(bits & PT_FLAGS_LOW) | (uint32_t)(bits >> PT_HIGH_SHIFT & PT_FLAGS_HIGH) |
                    (uint32_t)(~no_exec >> 63));
}

static inline struct pt_flags pt_entry_flags(struct pt_entry page, unsigned level)
{
    return pt_flags_of_bits(page.bits, page.bits, level);
}

/* What an entry that points to a table says, and allows the pages below it. */
static inline struct pt_flags pt_table_flags(struct pt_entry table)
{
    return pt_flags(((uint32_t)table.bits & PT_FLAGS_TABLE & ~(uint32_t)PT_FLAG_EXEC) |
                    (table.bits & PT_NO_EXEC ? 0 : PT_FLAG_EXEC));
}

/* The huge page of `level` becomes PT_ENTRIES pages of the level below: the first of them. The others follow
 * at distances of pt_entry_step(level - 1). The attribute bit moves when the parts are 4 KiB pages. */
static inline struct pt_entry pt_entry_first_part(struct pt_entry huge, unsigned level)
{
    uint64_t bits = huge.bits;

    if (level == 2) {
        bits &= ~(PT_HUGE | PT_HUGE_ATTRIBUTE);
        bits |= (huge.bits & PT_HUGE_ATTRIBUTE) >> 5;
    }
    return pt_entry(bits);
}

/* And back: the first of the parts as the page of `level`. */
static inline struct pt_entry pt_entry_whole(struct pt_entry part, unsigned level)
{
    uint64_t bits = part.bits;

    if (level == 2) {
        bits &= ~PT_ATTRIBUTE;
        bits |= PT_HUGE | (part.bits & PT_ATTRIBUTE) << 5;
    }
    return pt_entry(bits);
}

/* ------------------------------------------------------------------ rights of a walk */

/* A right that a single level withholds is not there. */
static inline struct pt_flags pt_rights_flags(struct pt_rights rights, struct pt_entry page, unsigned level)
{
    uint64_t given = page.bits & (rights.all | ~(PT_WRITE | PT_USER));

    return pt_flags_of_bits(given, page.bits | rights.any, level);
}

/* ------------------------------------------------------------------ changing flags */

/* Of present pages: new = (old & keep) | add. */
#define PT_CHANGE_IS_MASKS 1
struct pt_change {
    uint64_t keep, add;
};

/* For pages of level 1. What is in both is set. */
static inline struct pt_change pt_change(struct pt_flags set, struct pt_flags clear)
{
    return (struct pt_change){
        .keep = ~(pt_flag_bits(clear) | (set.bits & PT_FLAG_EXEC ? PT_NO_EXEC : 0)),
        .add = pt_flag_bits(set) | (clear.bits & ~set.bits & PT_FLAG_EXEC ? PT_NO_EXEC : 0),
    };
}

/* The same for pages of `level`. */
static inline struct pt_change pt_change_at(struct pt_change change, unsigned level)
{
    if (level == 1)
        return change;
    return (struct pt_change){.keep = ~(pt_huge_bits(~change.keep) & ~PT_HUGE),
                              .add = pt_huge_bits(change.add) & ~PT_HUGE};
}

static inline struct pt_entry pt_entry_changed(struct pt_entry page, struct pt_change change)
{
    return pt_entry((page.bits & change.keep) | change.add);
}

/* Can what the entries (one, or the AND of several) say be said after the change? */
static inline bool pt_entry_may_change(struct pt_entry page, struct pt_change change)
{
    (void)page;
    (void)change;
    return true;
}

/* Must be asked of formats with PT_BREAK_BEFORE_MAKE. */
static inline bool pt_change_breaks(struct pt_change change)
{
    (void)change;
    return false;
}

/* Of entries that point to tables (SDM tables 4-15, 4-16, 4-18). False: they have no such flag. */
static inline bool pt_table_masks(struct pt_flags set, struct pt_flags clear, struct pt_masks *masks)
{
    struct pt_change change = pt_change(set, clear);

    *masks = (struct pt_masks){.keep = change.keep, .add = change.add};
    return ((set.bits | clear.bits) & ~PT_FLAGS_TABLE) == 0;
}

/* Present entries that the MMU may still mark dirty, so that a plain store could lose the mark. */
static inline bool pt_entry_may_get_dirty(struct pt_entry entry)
{
    return (entry.bits & (PT_PRESENT | PT_WRITE | PT_DIRTY)) == (PT_PRESENT | PT_WRITE);
}

/* ------------------------------------------------------------------ live counts */

/*
 * The number of entries that are not empty in the table that this entry points to, kept in the entry's
 * ignored bits, plus one; 0 there means that nobody has counted: whoever made the table knows nothing of
 * this.
 */
static inline int pt_entry_live(struct pt_entry table)
{
    return (int)((table.bits & PT_LIVE_MASK) >> PT_LIVE_SHIFT) - 1;
}

enum { PT_LIVE_IS_COUNTED = 1 };

/* `delta` more are not empty. */
static inline struct pt_entry pt_entry_add_live(struct pt_entry table, int delta)
{
    return pt_entry(table.bits & PT_LIVE_MASK ? table.bits + ((uint64_t)(int64_t)delta << PT_LIVE_SHIFT)
                                              : table.bits);
}

static inline struct pt_entry pt_entry_with_live(struct pt_entry table, int live)
{
    return pt_entry((table.bits & ~PT_LIVE_MASK) | (uint64_t)(live + 1) << PT_LIVE_SHIFT);
}

#endif
