/*
 * What an MMU makes of one entry: of the format that the test is compiled for, written from its manual and
 * not from src/pt. One file for each architecture: pt_mmu_x86_64.c, pt_mmu_riscv.c, pt_mmu_aarch64.c.
 */
#ifndef TEST_PT_MMU_H
#define TEST_PT_MMU_H

#include "quire/pt.h"

enum mmu_kind { MMU_FAULT, MMU_TABLE, MMU_PAGE };

struct mmu_entry {
    enum mmu_kind kind;
    uint64_t physical; /* of the table, or where the page (or group of pages) begins */
    uint64_t bytes;    /* from there on, to which the offset is added */
    uint64_t group;    /* of what may be one translation: the page, or a group of pages */
    uint32_t flags;    /* of the page, as enum pt_flag */
};

static inline bool mmu_bit(uint64_t entry, unsigned n)
{
    return entry >> n & 1;
}

/* Aborts on an entry that the manual does not allow. */
struct mmu_entry mmu_read(uint64_t entry, unsigned level);
/* May a CPU go on faulting at an entry that was empty when it last looked, until it is told? */
extern const bool mmu_keeps_empty;
/* Are there groups of pages? */
extern const bool mmu_has_groups;
/* Can a page have just these flags? */
bool mmu_can(uint32_t flags);

#endif
