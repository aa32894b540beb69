/*
 * Watching a space's references: pages that are mapped and yet fault, one reference at a time. For recording
 * (kernel/mm/record.c); nothing else of the core knows of it.
 */
#ifndef QUIRE_WATCH_H
#define QUIRE_WATCH_H

#include "quire/event.h"
#include "quire/frame.h"
#include "quire/space.h"

/* References will be watched: set before there is a space. */
extern bool vm_watching;

struct page_seen {
    uint64_t name; /* as struct event has it; 0: the page of zeroes, which is nobody's */
};

/* The access is about to be made, or made again: if the page is mapped by a small page that allows it, it is
 * no longer hidden from such accesses (what allows writing allows all), *seen says what it is, and the answer
 * is true. False: it is space_fault()'s affair. */
bool space_see(struct space *space, struct vaddr page, enum access access, struct page_seen *seen);

/* The page of an object, which is locked, is being used by the kernel: its name. */
uint64_t watch_object_page(struct frame *frame);

/* Hides the page, and returns when no CPU can reach it without a fault. Nothing, when it is not mapped. */
void space_hide(struct space *space, struct vaddr page);

/* Hides the pages in [start, end) for which `keep` says false (it must not sleep, nor use the space); NULL:
 * all. */
void space_hide_others(struct space *space, struct vaddr start, struct vaddr end,
                       bool (*keep)(struct space *space, struct vaddr page, void *context), void *context);

/* Pages were mapped other than by a fault of their own. */
static inline void space_populated(struct space *space, uint64_t start, uint64_t end)
{
    if (__builtin_expect(vm_watching, 0))
        space_hide_others(space, vaddr(start), vaddr(end), NULL, NULL);
}

#endif
