/*
 * What a page table says about a page, in words that every entry format understands.
 *
 * A format that lacks a flag, or cannot say some of them together, refuses them (ST_UNSUPPORTED); none is
 * dropped in silence. docs/PAGE-TABLES.md has the table of formats and flags.
 */
#ifndef QUIRE_PT_FLAGS_H
#define QUIRE_PT_FLAGS_H

#include "quire/types.h"

/*
 * Bits of struct pt_flags. (The places are those of x86-64's 4 KiB page, where that makes the conversion
 * one AND; other formats sort them.)
 *
 * ACCESSED and DIRTY are what the MMU marks, where it does. Where it does not (RISC-V without Svadu, AArch64
 * without FEAT_HAFDBS) the first access to a page that lacks them faults, so that whoever does not want to
 * know maps with both.
 */
enum pt_flag {
    PT_FLAG_EXEC = 1 << 0,
    PT_FLAG_WRITE = 1 << 1,
    PT_FLAG_USER = 1 << 2,
    PT_FLAG_WRITE_THROUGH = 1 << 3, /* bit 0 of the memory type */
    PT_FLAG_NO_CACHE = 1 << 4,      /* bit 1 */
    PT_FLAG_ACCESSED = 1 << 5,
    PT_FLAG_DIRTY = 1 << 6,
    PT_FLAG_MEMORY_4 = 1 << 7, /* bit 2 */
    PT_FLAG_GLOBAL = 1 << 8,   /* the translation is the same in every address space */
    PT_FLAG_SOFT_0 = 1 << 9,   /* the caller's own, as are those up to SOFT_9 */
    PT_FLAG_SOFT_1 = 1 << 10,
    PT_FLAG_SOFT_2 = 1 << 11,
    PT_FLAG_NO_READ = 1 << 12, /* a page can be read but with this: only executed */
    /* Neighbours that may be one translation (RISC-V: Svnapot, 64 KiB; AArch64: the contiguous bit, 16
     * pages). Asked for in pt_map(), where 16 of them fit; seen in the flags of pages that are such. */
    PT_FLAG_GROUP = 1 << 13,
    PT_FLAG_SOFT_3 = 1 << 16,
    PT_FLAG_SOFT_4 = 1 << 17,
    PT_FLAG_SOFT_5 = 1 << 18,
    PT_FLAG_SOFT_6 = 1 << 19,
    PT_FLAG_SOFT_7 = 1 << 20,
    PT_FLAG_SOFT_8 = 1 << 21,
    PT_FLAG_SOFT_9 = 1 << 22,
    PT_FLAG_KEY = 15 << 23 /* a protection key: pt_flags_key() */
};
enum { PT_FLAG_KEY_SHIFT = 23 };

/*
 * The memory type: one number of three bits among the flags. 0 to 3 have one meaning everywhere: on x86-64 as
 * long as entries 0 to 3 of the PAT MSR are as at reset; on AArch64 when MAIR_EL1 is PT_MAIR (its format's
 * header). 4 to 7 are what the caller has put into the PAT or MAIR. RISC-V has (with Svpbmt) 0, 2 and 3.
 */
enum pt_memory {
    PT_MEMORY_NORMAL = 0,                                        /* cached, written back */
    PT_MEMORY_WRITE_THROUGH = PT_FLAG_WRITE_THROUGH,             /* cached, written through */
    PT_MEMORY_UNCACHED = PT_FLAG_NO_CACHE,                       /* memory that caches do not keep */
    PT_MEMORY_DEVICE = PT_FLAG_WRITE_THROUGH | PT_FLAG_NO_CACHE, /* every access, in order */
    PT_MEMORY_4 = PT_FLAG_MEMORY_4,
    PT_MEMORY_5 = PT_FLAG_MEMORY_4 | PT_FLAG_WRITE_THROUGH,
    PT_MEMORY_6 = PT_FLAG_MEMORY_4 | PT_FLAG_NO_CACHE,
    PT_MEMORY_7 = PT_FLAG_MEMORY_4 | PT_FLAG_NO_CACHE | PT_FLAG_WRITE_THROUGH,
    PT_MEMORY_MASK = PT_MEMORY_7
};

struct pt_flags {
    uint32_t bits; /* enum pt_flag, or-ed */
};

static inline struct pt_flags pt_flags(uint32_t bits)
{
    return (struct pt_flags){bits};
}

/* The flags of protection key 0 to 15, and back. */
static inline struct pt_flags pt_flags_key(unsigned key)
{
    return pt_flags((uint32_t)(key & 15) << PT_FLAG_KEY_SHIFT);
}

static inline unsigned pt_key_of(struct pt_flags flags)
{
    return (flags.bits & PT_FLAG_KEY) >> PT_FLAG_KEY_SHIFT;
}

/* What a non-present entry that is not empty holds: 62 bits of the caller's, not 0. */
struct pt_mark {
    uint64_t value;
};
enum { PT_MARK_BITS = 62 };

#endif
