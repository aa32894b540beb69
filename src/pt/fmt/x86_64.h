/*
 * The entry format of x86-64 long mode, 4 levels (or 5).
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

#include "quire/pt_flags.h"
#include "quire/types.h"

/* One entry of a table of any level. Read and written whole, with pt_entry_load/store. */
struct pt_entry {
    uint64_t bits;
};

/* fmt/x86_64_5.h says 5; nothing else differs. */
#ifndef PT_X86_64_LEVELS
#define PT_X86_64_LEVELS 4
#endif
enum { PT_LEVELS = PT_X86_64_LEVELS, PT_ENTRIES = 512, PT_INDEX_BITS = 9 };
enum { PT_PAGE_LEVELS = 3 }; /* entries of level 4 and 5 map no page */

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
#define PT_ATTRIBUTE ((uint64_t)1 << 7)       /* level 1: PAT */
#define PT_HUGE_ATTRIBUTE ((uint64_t)1 << 12) /* levels 2 and 3: PAT */
/* An entry that points to a table: bits 62..52 are ignored there (SDM tables 4-15, 4-16, 4-18). */
enum { PT_LIVE_SHIFT = 52 };
#define PT_LIVE_MASK ((uint64_t)0x3ff << PT_LIVE_SHIFT)

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

/* log2 of the bytes that one entry of this level stands for: 12, 21, 30, 39, 48. */
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

/* A non-present entry that is not empty. */
static inline bool pt_entry_is_mark(struct pt_entry entry)
{
    return (entry.bits & PT_PRESENT) == 0 && entry.bits != 0;
}

static inline struct pt_mark pt_entry_mark(struct pt_entry entry)
{
    return (struct pt_mark){entry.bits >> 1};
}

static inline struct pt_entry pt_entry_from_mark(struct pt_mark mark)
{
    return pt_entry(mark.value << 1);
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

/* Where a present page begins. */
static inline struct paddr pt_entry_page_paddr(struct pt_entry entry, unsigned level)
{
    return paddr(entry.bits & PT_FRAME_MASK & ~(pt_level_span(level) - 1));
}

/* The flags that are bits of an entry; execution is the absence of NX. */
static inline uint64_t pt_flag_bits(struct pt_flags flags)
{
    return (uint64_t)flags.bits & PT_FLAG_ALL & ~(uint64_t)PT_FLAG_EXEC;
}
_Static_assert(PT_FLAG_WRITE == PT_WRITE && PT_FLAG_USER == PT_USER &&
                   PT_FLAG_WRITE_THROUGH == PT_WRITE_THROUGH && PT_FLAG_NO_CACHE == PT_NO_CACHE &&
                   PT_FLAG_ACCESSED == PT_ACCESSED && PT_FLAG_DIRTY == PT_DIRTY &&
                   PT_FLAG_GLOBAL == PT_GLOBAL && PT_FLAG_SOFT == PT_SOFT_0,
               "a flag has the place of its bit");

/* An entry of `level` that maps the page at `page`. */
static inline struct pt_entry pt_entry_page(struct paddr page, struct pt_flags flags, unsigned level)
{
    return pt_entry(page.v | pt_flag_bits(flags) | PT_PRESENT | (flags.bits & PT_FLAG_EXEC ? 0 : PT_NO_EXEC) |
                    (level > 1 ? PT_HUGE : 0));
}

static inline struct pt_flags pt_entry_flags(struct pt_entry entry)
{
    return pt_flags((uint32_t)(entry.bits & PT_FLAG_ALL & ~PT_HUGE & ~PT_PRESENT) |
                    (entry.bits & PT_NO_EXEC ? 0 : PT_FLAG_EXEC));
}

/* The rights of a walk: one that a single level withholds is not there. Begins as PT_RIGHTS_ALL; add the
 * tables' entries on the way, then read the page's flags with it. */
struct pt_rights {
    uint64_t all, any; /* AND and OR of the entries */
};
#define PT_RIGHTS_ALL                                                                                        \
    (struct pt_rights)                                                                                       \
    {                                                                                                        \
        ~(uint64_t)0, 0                                                                                      \
    }

static inline void pt_rights_add(struct pt_rights *rights, struct pt_entry table)
{
    rights->all &= table.bits;
    rights->any |= table.bits;
}

static inline struct pt_flags pt_rights_flags(struct pt_rights rights, struct pt_entry page)
{
    uint64_t given = page.bits & (rights.all | ~(PT_WRITE | PT_USER));

    return pt_entry_flags(pt_entry(given | (rights.any & PT_NO_EXEC)));
}

/* Changing flags of present entries: new = (old & keep) | add. */
struct pt_masks {
    uint64_t keep, add;
};
static inline struct pt_masks pt_change_masks(struct pt_flags set, struct pt_flags clear)
{
    return (struct pt_masks){
        .keep = ~(pt_flag_bits(clear) | (set.bits & PT_FLAG_EXEC ? PT_NO_EXEC : 0)),
        .add = pt_flag_bits(set) | (clear.bits & PT_FLAG_EXEC ? PT_NO_EXEC : 0),
    };
}

/* The same for entries that point to tables. False: their format has no such flag (SDM tables 4-15, 4-16,
 * 4-18). */
static inline bool pt_table_masks(struct pt_flags set, struct pt_flags clear, struct pt_masks *masks)
{
    *masks = pt_change_masks(set, clear);
    return ((set.bits | clear.bits) &
            ~(uint32_t)(PT_FLAG_EXEC | PT_FLAG_WRITE | PT_FLAG_USER | PT_FLAG_WRITE_THROUGH |
                        PT_FLAG_NO_CACHE | PT_FLAG_ACCESSED | PT_FLAG_SOFT)) == 0;
}

/* Present entries that the MMU may still mark dirty, so that a plain store could lose the mark. */
static inline bool pt_entry_may_get_dirty(struct pt_entry entry)
{
    return (entry.bits & (PT_PRESENT | PT_WRITE | PT_DIRTY)) == (PT_PRESENT | PT_WRITE);
}

/* The huge page of `level` becomes PT_ENTRIES pages of the level below: the first of them. The others follow
 * at distances of pt_level_span(level - 1). The attribute bit moves when the parts are 4 KiB pages. */
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

/*
 * The number of entries that are not empty in the table that this entry points to, kept in the entry's
 * ignored bits, plus one; 0 there means that nobody has counted: whoever made the table knows nothing of
 * this.
 */
enum { PT_LIVE_UNKNOWN = -1 };
static inline int pt_entry_live(struct pt_entry table)
{
    return (int)((table.bits & PT_LIVE_MASK) >> PT_LIVE_SHIFT) - 1;
}

static inline struct pt_entry pt_entry_with_live(struct pt_entry table, int live)
{
    return pt_entry((table.bits & ~PT_LIVE_MASK) | (uint64_t)(live + 1) << PT_LIVE_SHIFT);
}

/* Bits 63..47 (5 levels: 63..56) all equal. */
static inline bool pt_canonical(struct vaddr address)
{
    enum { UNUSED = 64 - PAGE_SHIFT - PT_INDEX_BITS * PT_LEVELS };

    return (uint64_t)((int64_t)(address.v << UNUSED) >> UNUSED) == address.v;
}

#endif
