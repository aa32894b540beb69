/*
 * The plain loops of reference_pt.h. Each function walks from the root, tells apart what can be in the way,
 * and does one thing. It is meant to be as quick as that can be.
 */
#include "reference_pt.h"

enum { PRESENT = 1, WRITE = 2, USER = 4, HUGE = 0x80 };
#define FRAME ((uint64_t)0x000ffffffffff000)

static uint64_t *table_at(const struct reference *tables, uint64_t frame)
{
    return (uint64_t *)(uintptr_t)(frame + tables->offset);
}

static unsigned index_of(uint64_t address, unsigned level)
{
    return (unsigned)(address >> (12 + 9 * (level - 1))) & 511;
}

/* The entry of level 1 for the address, through tables that are there. */
static inline enum reference_status find_leaf(const struct reference *tables, uint64_t address,
                                              uint64_t **leaf)
{
    uint64_t *table = table_at(tables, tables->root);

#pragma GCC unroll 3
    for (unsigned level = 4; level > 1; level--) {
        uint64_t entry = table[index_of(address, level)];

        if (!(entry & PRESENT))
            return REFERENCE_NOT_MAPPED;
        if (entry & HUGE)
            return REFERENCE_HUGE;
        table = table_at(tables, entry & FRAME);
    }
    *leaf = &table[index_of(address, 1)];
    return REFERENCE_OK;
}

enum reference_status reference_map(const struct reference *tables, uint64_t page, uint64_t frame,
                                    uint64_t flags)
{
    uint64_t *table = table_at(tables, tables->root);

#pragma GCC unroll 3
    for (unsigned level = 4; level > 1; level--) {
        uint64_t *entry = &table[index_of(page, level)];

        if (!(*entry & PRESENT)) {
            uint64_t made;

            if (!tables->take(0, &made))
                return REFERENCE_NO_MEMORY;
            *entry = made | PRESENT | WRITE | USER;
        } else if (*entry & HUGE) {
            return REFERENCE_HUGE;
        }
        table = table_at(tables, *entry & FRAME);
    }
    if (table[index_of(page, 1)] != 0)
        return REFERENCE_MAPPED;
    table[index_of(page, 1)] = frame | flags;
    return REFERENCE_OK;
}

enum reference_status reference_translate(const struct reference *tables, uint64_t address,
                                          uint64_t *physical, uint64_t *flags)
{
    uint64_t *leaf;
    enum reference_status status = find_leaf(tables, address, &leaf);

    if (status != REFERENCE_OK)
        return status;
    if (!(*leaf & PRESENT))
        return REFERENCE_NOT_MAPPED;
    *physical = (*leaf & FRAME) | (address & 4095);
    *flags = *leaf & ~FRAME;
    return REFERENCE_OK;
}

enum reference_status reference_protect(const struct reference *tables, uint64_t page, uint64_t flags)
{
    uint64_t *leaf;
    enum reference_status status = find_leaf(tables, page, &leaf);

    if (status != REFERENCE_OK)
        return status;
    if (!(*leaf & PRESENT))
        return REFERENCE_NOT_MAPPED;
    *leaf = (*leaf & FRAME) | flags;
    return REFERENCE_OK;
}

enum reference_status reference_unmap(const struct reference *tables, uint64_t page, uint64_t *frame)
{
    uint64_t *leaf;
    enum reference_status status = find_leaf(tables, page, &leaf);

    if (status != REFERENCE_OK)
        return status;
    if (!(*leaf & PRESENT))
        return REFERENCE_NOT_MAPPED;
    *frame = *leaf & FRAME;
    *leaf = 0;
    return REFERENCE_OK;
}

static bool is_empty(const uint64_t *table)
{
    for (unsigned i = 0; i < 512; i++)
        if (table[i] != 0)
            return false;
    return true;
}

uint64_t reference_clean(const struct reference *tables, uint64_t start, uint64_t bytes)
{
    uint64_t cleaned = 0;

    for (uint64_t at = start; at < start + bytes; at += (uint64_t)1 << 21) {
        uint64_t *table = table_at(tables, tables->root);
        unsigned level = 4;

        for (; level > 2 && table[index_of(at, level)] & PRESENT; level--)
            table = table_at(tables, table[index_of(at, level)] & FRAME);

        uint64_t *entry = &table[index_of(at, level)];

        if (level == 2 && (*entry & (PRESENT | HUGE)) == PRESENT &&
            is_empty(table_at(tables, *entry & FRAME))) {
            *entry = 0;
            cleaned++;
        }
    }
    return cleaned;
}
