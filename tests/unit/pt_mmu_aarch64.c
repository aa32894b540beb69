/*
 * Arm ARM (DDI 0487), D8.2 "Translation process", D8.3 descriptors of the 4 KiB granule, D8.4 permissions;
 * with FEAT_HAFDBS.
 */
#include "pt_mmu.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t flags_of(uint64_t entry)
{
    uint32_t flags = 0;

    /* AttrIndx */
    flags |= mmu_bit(entry, 2) ? PT_FLAG_WRITE_THROUGH : 0;
    flags |= mmu_bit(entry, 3) ? PT_FLAG_NO_CACHE : 0;
    flags |= mmu_bit(entry, 4) ? PT_FLAG_MEMORY_4 : 0;
    /* AP[1], AP[2], DBM; bit 55 is what the library itself knows to be dirty */
    flags |= mmu_bit(entry, 6) ? PT_FLAG_USER : 0;
    if (!mmu_bit(entry, 7))
        flags |= PT_FLAG_WRITE | PT_FLAG_DIRTY;
    flags |= mmu_bit(entry, 51) ? PT_FLAG_WRITE : 0;
    flags |= mmu_bit(entry, 55) ? PT_FLAG_DIRTY : 0;
    flags |= mmu_bit(entry, 10) ? PT_FLAG_ACCESSED : 0;
    flags |= mmu_bit(entry, 11) ? 0 : PT_FLAG_GLOBAL;
    if (!mmu_bit(entry, 53) && !mmu_bit(entry, 54)) {
        fprintf(stderr, "executed by user and kernel: %#lx\n", entry);
        abort();
    }
    flags |= mmu_bit(entry, mmu_bit(entry, 6) ? 54 : 53) ? 0 : PT_FLAG_EXEC;
    flags |= mmu_bit(entry, 56) ? PT_FLAG_SOFT_0 : 0;
    flags |= mmu_bit(entry, 57) ? PT_FLAG_SOFT_1 : 0;
    flags |= mmu_bit(entry, 58) ? PT_FLAG_SOFT_2 : 0;
    return flags;
}

struct mmu_entry mmu_read(uint64_t entry, unsigned level)
{
    uint64_t bytes = (uint64_t)1 << (12 + 9 * (level - 1));
    struct mmu_entry read = {.kind = MMU_FAULT};

    if (!mmu_bit(entry, 0))
        return read;
    read.physical = entry & 0x0000fffffffff000;
    if (level > 1 && mmu_bit(entry, 1)) {
        read.kind = MMU_TABLE;
        return read;
    }
    if ((level == 1) != mmu_bit(entry, 1) || level > 3 || (entry >> 48 & 3) != 0 ||
        read.physical % bytes != 0 || (entry >> 8 & 3) == 1) {
        fprintf(stderr, "a reserved encoding: %#lx at level %u\n", entry, level);
        abort();
    }
    read.kind = MMU_PAGE;
    read.bytes = bytes;
    read.group = mmu_bit(entry, 52) ? 16 * bytes : bytes;
    read.flags = flags_of(entry);
    return read;
}

const bool mmu_keeps_empty = true;
const bool mmu_has_groups = true;

bool mmu_can(uint32_t flags)
{
    const uint32_t known = PT_FLAG_WRITE | PT_FLAG_EXEC | PT_FLAG_USER | PT_FLAG_GLOBAL | PT_FLAG_ACCESSED |
                           PT_FLAG_DIRTY | PT_FLAG_SOFT_0 | PT_FLAG_SOFT_1 | PT_FLAG_SOFT_2 | PT_MEMORY_MASK;

    return (flags & ~known) == 0;
}
