/*
 * The kernel's own half of every address space: which page tables there are, and changing them.
 *
 * The level-3 tables of all regions (layout.h) exist once kernel_map_init() has returned, and every user
 * space's level-4 table copies the kernel's entries, so a mapping made later is in every space at once.
 * Runs under the kernel lock.
 */
#ifndef KERNEL_MM_KERNEL_MAP_H
#define KERNEL_MM_KERNEL_MAP_H

#include "kernel/boot/boot_info.h"
#include "pt/fmt/x86_64.h"
#include "quire/frame.h"

/* A page of data for the kernel, the same in every space. */
#define KERNEL_DATA_BITS (PT_GLOBAL | PT_ACCESSED | PT_DIRTY | PT_NO_EXEC | PT_WRITE)

/* The level-4 table whose kernel half is copied into every space. */
extern struct paddr kernel_root;

/* Builds the final tables with frames from `boot`, as long as the boot tables still map the first GiB: the
 * complete physical memory, the image by its sections, and the first kernel stack. Does not load them. */
MUST_USE enum status kernel_map_init(struct boot_frames *boot, const struct boot_info *info);
/* frames_init() has taken over: further tables come from frame_alloc(). */
void kernel_map_use_frames(void);

/*
 * Map [start, start + bytes) to physical memory from `to` on, with the largest pages that fit. `bits` are
 * those of format x86_64 beside the frame and PT_PRESENT. ST_MAPPED when a page is there already,
 * ST_NO_MEMORY: what lies before has been mapped (and new tables stay, empty).
 */
MUST_USE enum status kernel_map(struct vaddr start, struct paddr to, uint64_t bytes, uint64_t bits);
/* Takes 4 KiB pages out again and flushes them; what is not mapped is passed over. Tables stay. */
void kernel_unmap(struct vaddr start, uint64_t bytes);

/* The frame behind a mapped 4 KiB page. */
struct paddr kernel_translate(struct vaddr at);
/* Is there a 4 KiB page at this address of the kernel's half? */
bool kernel_is_mapped(struct vaddr at);

/* Top of the stack that the boot code goes on with: the idle task's. */
uint64_t kstack_boot(void);
/* Is the address in the unmapped page below a kernel stack? */
bool kstack_is_guard(uint64_t address);
/* Gives the stacks that are kept for reuse back; returns how many frames. */
uint64_t kstack_trim(void);

#endif
