/*
 * What a page table says about a page, in words that every entry format understands.
 */
#ifndef QUIRE_PT_FLAGS_H
#define QUIRE_PT_FLAGS_H

#include "quire/types.h"

/* Bits of struct pt_flags. A page can always be read. (The places are x86-64's, where that makes the
 * conversion one AND; other formats sort them.) */
enum pt_flag {
    PT_FLAG_EXEC = 1 << 0,
    PT_FLAG_WRITE = 1 << 1,
    PT_FLAG_USER = 1 << 2,
    PT_FLAG_WRITE_THROUGH = 1 << 3,
    PT_FLAG_NO_CACHE = 1 << 4,
    PT_FLAG_ACCESSED = 1 << 5,
    PT_FLAG_DIRTY = 1 << 6,
    PT_FLAG_GLOBAL = 1 << 8, /* the translation is the same in every address space */
    PT_FLAG_SOFT = 1 << 9,   /* the caller's own */
    PT_FLAG_ALL = 0x37f
};

struct pt_flags {
    uint32_t bits; /* enum pt_flag, or-ed */
};

static inline struct pt_flags pt_flags(uint32_t bits)
{
    return (struct pt_flags){bits};
}

/* What a non-present entry that is not empty holds: 63 bits of the caller's, not 0. */
struct pt_mark {
    uint64_t value;
};

#endif
