/*
 * What the formats have in common: tables of 512 entries of 8 bytes, present entries have bit 0.
 *
 * Included by a format's header after its constants. Bit 0 clear: the entry is empty (all of it is 0) or a
 * mark, whose other bits no MMU looks at (Intel SDM vol. 3A, 4.5; RISC-V privileged, "Addressing and Memory
 * Protection"; Arm ARM, D8.3). A mark's 62 bits are bits 62 to 1 of the entry.
 */
#ifndef QUIRE_PT_FMT_COMMON_H
#define QUIRE_PT_FMT_COMMON_H

#include "quire/pt_flags.h"
#include "quire/types.h"

#define PT_INLINE static inline __attribute__((always_inline))

/* One entry of a table of any level. Read and written whole, with pt_entry_load/store. */
struct pt_entry {
    uint64_t bits;
};

enum { PT_ENTRIES = 512, PT_INDEX_BITS = 9 };

#define PT_PRESENT ((uint64_t)1 << 0)

/* The bits that the address of a frame may have. */
#define PT_PHYSICAL_MASK ((((uint64_t)1 << PT_PHYSICAL_BITS) - 1) & ~PAGE_MASK)

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

/* The bits above the highest that is translated are all equal to it. */
static inline bool pt_sign_extended(struct vaddr address)
{
    enum { UNUSED = 64 - PAGE_SHIFT - PT_INDEX_BITS * PT_LEVELS };

    return (uint64_t)((int64_t)(address.v << UNUSED) >> UNUSED) == address.v;
}

/* ------------------------------------------------------------------ rights of a walk */

/* AND and OR of the entries that point to tables on the way to a page: a format says (pt_rights_flags) which
 * bits give when all have them, and which when one has. */
struct pt_rights {
    uint64_t all, any;
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

/* A change of an entry: new = (old & keep) | add. */
struct pt_masks {
    uint64_t keep, add;
};

/* A table's count of entries that are not empty, when nobody has counted them. */
enum { PT_LIVE_UNKNOWN = -1 };

#endif
