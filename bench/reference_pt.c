/*
 * The plain loops of reference_pt.h. Each function walks from the root, tells apart what can be in the way,
 * and does one thing. It is meant to be as quick as that can be.
 */
#include "reference_pt.h"

enum { PRESENT = 1, WRITE = 2, USER = 4, ACCESSED = 0x20, DIRTY = 0x40, HUGE = 0x80 };
#define NO_EXEC ((uint64_t)1 << 63)
#define FRAME ((uint64_t)0x000ffffffffff000)

static uint64_t *table_at(const struct reference *tables, uint64_t frame)
{
    return (uint64_t *)(uintptr_t)(frame + tables->offset);
}

static unsigned index_of(uint64_t address, unsigned level)
{
    return (unsigned)(address >> (12 + 9 * (level - 1))) & 511;
}

static bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static bool is_page(uint64_t address)
{
    return is_canonical(address) && (address & 4095) == 0;
}

/* The entry of level 1 for the address, through tables that are there. */
static inline enum reference_status find_leaf(const struct reference *tables, uint64_t address,
                                              uint64_t **leaf)
{
    uint64_t *table = table_at(tables, tables->root);

    if (!is_page(address))
        return REFERENCE_BAD_ADDRESS;
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
    return **leaf & PRESENT ? REFERENCE_OK : REFERENCE_NOT_MAPPED;
}

static __attribute__((noinline)) bool make_table(const struct reference *tables, uint64_t *entry)
{
    uint64_t made;

    if (!tables->take(0, &made))
        return false;
    *entry = made | PRESENT | WRITE | USER;
    return true;
}

enum reference_status reference_map(const struct reference *tables, uint64_t page, uint64_t frame,
                                    uint64_t flags)
{
    uint64_t *table = table_at(tables, tables->root);

    if (!is_page(page) || (frame & ~FRAME) != 0)
        return REFERENCE_BAD_ADDRESS;
#pragma GCC unroll 3
    for (unsigned level = 4; level > 1; level--) {
        uint64_t *entry = &table[index_of(page, level)];

        if (!(*entry & PRESENT)) {
            if (!make_table(tables, entry))
                return REFERENCE_NO_MEMORY;
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
                                          struct reference_translation *out)
{
    uint64_t *table = table_at(tables, tables->root);
    uint64_t all = ~(uint64_t)0, any = 0;

    if (!is_canonical(address))
        return REFERENCE_BAD_ADDRESS;
#pragma GCC unroll 4
    for (unsigned level = 4; level > 0; level--) {
        uint64_t entry = table[index_of(address, level)];
        uint64_t inside = ((uint64_t)1 << (12 + 9 * (level - 1))) - 1;

        if (!(entry & PRESENT))
            return REFERENCE_NOT_MAPPED;
        all &= entry;
        any |= entry;
        if (level == 1 || entry & HUGE) {
            out->physical = (entry & FRAME & ~inside) | (address & inside);
            out->flags = (entry & ~(FRAME | WRITE | USER)) | (all & (WRITE | USER)) | (any & NO_EXEC);
            out->level = level;
            return REFERENCE_OK;
        }
        table = table_at(tables, entry & FRAME);
    }
    return REFERENCE_NOT_MAPPED;
}

enum reference_status reference_protect(const struct reference *tables, uint64_t page, uint64_t set,
                                        uint64_t clear)
{
    uint64_t *leaf;
    enum reference_status status = find_leaf(tables, page, &leaf);

    if (status == REFERENCE_OK)
        *leaf = (*leaf & ~clear) | set;
    return status;
}

enum reference_status reference_unmap(const struct reference *tables, uint64_t page, uint64_t *frame)
{
    uint64_t *leaf;
    enum reference_status status = find_leaf(tables, page, &leaf);

    if (status != REFERENCE_OK)
        return status;
    *frame = *leaf & FRAME;
    *leaf = 0;
    return REFERENCE_OK;
}

enum reference_status reference_harvest(const struct reference *tables, uint64_t page, uint64_t *old)
{
    uint64_t *leaf;
    enum reference_status status = find_leaf(tables, page, &leaf);

    if (status != REFERENCE_OK)
        return status;
    *old = *leaf;
    if (*old & (ACCESSED | DIRTY))
        *old = __atomic_fetch_and(leaf, ~(uint64_t)(ACCESSED | DIRTY), __ATOMIC_ACQ_REL);
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
