/*
 * A flusher for address spaces that have numbers (PCID, ASID, VMID) and several CPUs.
 *
 * It keeps the promises of one space: on this CPU with what the CPU can do about one page and about a whole
 * space, and on the others through the caller's hook. Up to PT_FLUSH_PAGES_MAX pages are forgotten one by
 * one, more as a whole. quire/pt_tlb_x86_64.h has the instructions of x86-64.
 */
#ifndef QUIRE_PT_TLB_H
#define QUIRE_PT_TLB_H

#include "quire/pt.h"

/* What a CPU is told to forget. */
struct pt_tlb_order {
    unsigned space;
    enum pt_flush_kind kind;
    struct vaddr start;
    uint64_t pages; /* 0: everything of the space that is not global */
};

struct pt_tlb {
    unsigned space; /* its number; 0 where there are none */
    /* This CPU forgets what it holds of a page, or of all pages, of a space that need not be the one it is
     * using. With PT_FLUSH_TABLES entries that pointed to tables as well; with PT_FLUSH_NEW, that there was
     * nothing. */
    void (*forget_page)(void *context, unsigned space, struct vaddr page, enum pt_flush_kind kind);
    void (*forget_space)(void *context, unsigned space, enum pt_flush_kind kind);
    /* Has every other CPU that may hold translations of order->space do pt_tlb_obey(), and returns when they
     * have. A CPU that will flush the space before it uses it next may be left out. NULL: there is no other.
     */
    void (*tell_others)(void *context, const struct pt_tlb_order *order);
    void *context;
};

/* What a CPU does that has been told: the same order twice does no harm. */
static inline void pt_tlb_obey(const struct pt_tlb *tlb, const struct pt_tlb_order *order)
{
    if (order->pages == 0)
        tlb->forget_space(tlb->context, order->space, order->kind);
    for (uint64_t i = 0; i < order->pages; i++)
        tlb->forget_page(tlb->context, order->space, vaddr(order->start.v + i * PAGE_SIZE), order->kind);
}

/* For struct pt_flusher. This CPU forgets last, while the others' answers are in already: after it, nobody
 * holds anything. */
static inline void pt_tlb_flush(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    const struct pt_tlb *tlb = (const struct pt_tlb *)context;
    struct pt_tlb_order order = {
        .space = tlb->space, .kind = kind, .start = start, .pages = pages > PT_FLUSH_PAGES_MAX ? 0 : pages};

    if (tlb->tell_others)
        tlb->tell_others(tlb->context, &order);
    pt_tlb_obey(tlb, &order);
}

/* The flusher for pt_flush_now() and pt_batch_init(). `tlb` must outlive it. */
static inline struct pt_flusher pt_tlb_flusher(struct pt_tlb *tlb)
{
    return (struct pt_flusher){.flush = pt_tlb_flush, .context = tlb};
}

#endif
