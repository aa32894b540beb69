/*
 * Intel SDM vol. 3A, 4.5.4: linear-address translation; table 4-20 for bits, 4.9.2 for the memory type.
 */
#include "pt_mmu.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t flags_of(uint64_t entry, unsigned level)
{
    static const struct {
        unsigned bit;
        uint32_t flag;
    } bits[] = {{1, PT_FLAG_WRITE},         {2, PT_FLAG_USER},     {5, PT_FLAG_ACCESSED},
                {6, PT_FLAG_DIRTY},         {8, PT_FLAG_GLOBAL},   {9, PT_FLAG_SOFT_0},
                {10, PT_FLAG_SOFT_1},       {11, PT_FLAG_SOFT_2},  {52, PT_FLAG_SOFT_3},
                {53, PT_FLAG_SOFT_4},       {54, PT_FLAG_SOFT_5},  {55, PT_FLAG_SOFT_6},
                {56, PT_FLAG_SOFT_7},       {57, PT_FLAG_SOFT_8},  {58, PT_FLAG_SOFT_9},
                {3, PT_FLAG_WRITE_THROUGH}, {4, PT_FLAG_NO_CACHE}, {0, 0}};
    uint32_t flags = mmu_bit(entry, 63) ? 0 : PT_FLAG_EXEC;

    for (unsigned i = 0; i < sizeof bits / sizeof *bits; i++)
        flags |= mmu_bit(entry, bits[i].bit) ? bits[i].flag : 0;
    flags |= mmu_bit(entry, level == 1 ? 7 : 12) ? PT_FLAG_MEMORY_4 : 0;
    return flags | pt_flags_key(entry >> 59 & 15).bits;
}

struct mmu_entry mmu_read(uint64_t entry, unsigned level)
{
    uint64_t address = entry & 0x000ffffffffff000, bytes = (uint64_t)1 << (12 + 9 * (level - 1));
    struct mmu_entry read = {.kind = MMU_FAULT};

    if (!mmu_bit(entry, 0))
        return read;
    read.kind = level == 1 || mmu_bit(entry, 7) ? MMU_PAGE : MMU_TABLE;
    read.physical = address;
    if (read.kind == MMU_TABLE)
        return read;
    if (level > 3 || (level > 1 && address % bytes & ~(uint64_t)0x1000)) {
        fprintf(stderr, "a reserved bit is set: %#lx at level %u\n", entry, level);
        abort();
    }
    read.bytes = read.group = bytes;
    read.physical -= read.physical % bytes;
    read.flags = flags_of(entry, level);
    return read;
}

const bool mmu_keeps_empty = false;
const bool mmu_has_groups = false;

bool mmu_can(uint32_t flags)
{
    return (flags & PT_FLAG_NO_READ) == 0 && flags >> 27 == 0 && (flags >> 13 & 7) == 0;
}
