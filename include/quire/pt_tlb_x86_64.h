/*
 * How an x86-64 CPU forgets: what struct pt_tlb asks for, in instructions. For supervisor mode.
 *
 * Intel SDM vol. 3A, 4.10.4 "Invalidation of TLBs and Paging-Structure Caches"; vol. 2A, INVLPG, INVPCID.
 * INVLPG reaches the space that is in CR3 and global pages of every one, and with them what all
 * paging-structure caches hold of that space, so that PT_FLUSH_TABLES needs nothing more. Other spaces are
 * reached by INVPCID; where the CPU has none, the caller must see to it that a space that is not loaded is
 * flushed when it is (a load of CR3 with bit 63 clear).
 */
#ifndef QUIRE_PT_TLB_X86_64_H
#define QUIRE_PT_TLB_X86_64_H

#include "quire/pt_tlb.h"

enum pt_x86_64_invpcid {
    PT_INVPCID_PAGE = 0,
    PT_INVPCID_SPACE = 1,
    PT_INVPCID_ALL = 2,
    PT_INVPCID_ALL_LOCAL = 3
};

static inline void pt_x86_64_invlpg(struct vaddr page)
{
    __asm__ volatile("invlpg (%0)" : : "r"(page.v) : "memory");
}

static inline void pt_x86_64_invpcid(enum pt_x86_64_invpcid type, unsigned space, struct vaddr page)
{
    const struct {
        uint64_t pcid, address;
    } descriptor = {space, page.v};

    __asm__ volatile("invpcid %0, %1" : : "m"(descriptor), "r"((uint64_t)type) : "memory");
}

static inline uint64_t pt_x86_64_cr3(void)
{
    uint64_t cr3;

    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3;
}

/* CR3's low 12 bits are the PCID when CR4.PCIDE is set, and flags that are 0 otherwise, as the space's number
 * is. */
static inline bool pt_x86_64_is_loaded(unsigned space)
{
    return (pt_x86_64_cr3() & PAGE_MASK) == space;
}

static inline void pt_x86_64_forget_page(void *context, unsigned space, struct vaddr page,
                                         enum pt_flush_kind kind)
{
    (void)context;
    (void)kind;
    if (pt_x86_64_is_loaded(space))
        pt_x86_64_invlpg(page);
    else
        pt_x86_64_invpcid(PT_INVPCID_PAGE, space, page);
}

/* A load of CR3 keeps global pages and other spaces. */
static inline void pt_x86_64_forget_space(void *context, unsigned space, enum pt_flush_kind kind)
{
    (void)context;
    (void)kind;
    if (pt_x86_64_is_loaded(space))
        __asm__ volatile("mov %0, %%cr3" : : "r"(pt_x86_64_cr3()) : "memory");
    else
        pt_x86_64_invpcid(PT_INVPCID_SPACE, space, vaddr(0));
}

#endif
