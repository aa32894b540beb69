/*
 * What the library is measured against: x86-64 tables handled a page at a time, from the root to the leaf, as
 * a page-table interface for single pages does it. It checks what the library checks of a page (canonical,
 * aligned, not more bits than an address has, nothing in the way) and gives the same answers; it knows no
 * ranges, no counts, no formats, and remembers nothing. The tables' frames are at a fixed distance.
 */
#ifndef BENCH_REFERENCE_PT_H
#define BENCH_REFERENCE_PT_H

#include <stdbool.h>
#include <stdint.h>

struct reference {
    uint64_t root, offset;                        /* physical address; where physical address 0 is */
    bool (*take)(void *context, uint64_t *frame); /* gives zeroes */
};

struct reference_translation {
    uint64_t physical;
    uint64_t flags; /* bits of the entry; write, user and no-execute of the whole walk */
    unsigned level;
};

enum reference_status {
    REFERENCE_OK,
    REFERENCE_NO_MEMORY,
    REFERENCE_MAPPED,
    REFERENCE_NOT_MAPPED,
    REFERENCE_HUGE,
    REFERENCE_BAD_ADDRESS
};

enum reference_status reference_map(const struct reference *tables, uint64_t page, uint64_t frame,
                                    uint64_t flags);
enum reference_status reference_translate(const struct reference *tables, uint64_t address,
                                          struct reference_translation *out);
enum reference_status reference_protect(const struct reference *tables, uint64_t page, uint64_t set,
                                        uint64_t clear);
enum reference_status reference_unmap(const struct reference *tables, uint64_t page, uint64_t *frame);
/* Clears the accessed and the dirty bit, which the MMU may be setting; gives the entry as it was. */
enum reference_status reference_harvest(const struct reference *tables, uint64_t page, uint64_t *old);
/* Takes out every level-1 table in the range that is empty, by looking at its entries; how many. */
uint64_t reference_clean(const struct reference *tables, uint64_t start, uint64_t bytes);

#endif
