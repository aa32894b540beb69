/*
 * RISC-V privileged architecture, "Virtual Address Translation Process", with "Svnapot" and "Svpbmt".
 */
#include "pt_mmu.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t flags_of(uint64_t entry)
{
    static const struct {
        unsigned bit;
        uint32_t flag;
    } bits[] = {{2, PT_FLAG_WRITE},    {3, PT_FLAG_EXEC},  {4, PT_FLAG_USER},   {5, PT_FLAG_GLOBAL},
                {6, PT_FLAG_ACCESSED}, {7, PT_FLAG_DIRTY}, {8, PT_FLAG_SOFT_0}, {9, PT_FLAG_SOFT_1}};
    static const uint32_t types[] = {PT_MEMORY_NORMAL, PT_MEMORY_UNCACHED, PT_MEMORY_DEVICE};
    uint32_t flags = mmu_bit(entry, 1) ? 0 : PT_FLAG_NO_READ;

    for (unsigned i = 0; i < sizeof bits / sizeof *bits; i++)
        flags |= mmu_bit(entry, bits[i].bit) ? bits[i].flag : 0;
    return flags | types[entry >> 61 & 3];
}

static _Noreturn void reserved(uint64_t entry, unsigned level)
{
    fprintf(stderr, "a reserved encoding: %#lx at level %u\n", entry, level);
    abort();
}

struct mmu_entry mmu_read(uint64_t entry, unsigned level)
{
    uint64_t number = entry << 10 >> 20;
    struct mmu_entry read = {.kind = MMU_FAULT, .bytes = (uint64_t)1 << (12 + 9 * (level - 1))};

    if (!mmu_bit(entry, 0))
        return read;
    if ((entry >> 54 & 0x7f) != 0 || (entry >> 61 & 3) == 3)
        reserved(entry, level);
    read.physical = number << 12;
    if (!mmu_bit(entry, 1) && !mmu_bit(entry, 2) && !mmu_bit(entry, 3)) {
        if (level == 1 || (entry & 0xd0) != 0 || entry >> 61 != 0) /* D, A, U, PBMT, N */
            reserved(entry, level);
        read.kind = MMU_TABLE;
        return read;
    }
    if (mmu_bit(entry, 2) && !mmu_bit(entry, 1)) /* W without R */
        reserved(entry, level);
    read.kind = MMU_PAGE;
    if (mmu_bit(entry, 63)) {
        if (level != 1 || (number & 15) != 8)
            reserved(entry, level);
        read.bytes = 16 * 4096;
        read.physical = number >> 4 << 16;
    }
    read.group = read.bytes;
    if (read.physical % read.bytes != 0)
        reserved(entry, level);
    read.flags = flags_of(entry);
    return read;
}

const bool mmu_keeps_empty = true;
const bool mmu_has_groups = true;

bool mmu_can(uint32_t flags)
{
    const uint32_t known = PT_FLAG_WRITE | PT_FLAG_EXEC | PT_FLAG_USER | PT_FLAG_GLOBAL | PT_FLAG_ACCESSED |
                           PT_FLAG_DIRTY | PT_FLAG_SOFT_0 | PT_FLAG_SOFT_1 | PT_FLAG_NO_READ |
                           PT_MEMORY_UNCACHED | PT_MEMORY_DEVICE;

    if ((flags & ~known) != 0 || (flags & PT_MEMORY_MASK) == PT_MEMORY_WRITE_THROUGH)
        return false;
    return !(flags & PT_FLAG_NO_READ) || (flags & (PT_FLAG_WRITE | PT_FLAG_EXEC)) == PT_FLAG_EXEC;
}
