/*
 * Where things are in the kernel's half of every address space. Usable from assembly.
 *
 *   PHYS_OFFSET          the complete physical memory (build option physical_memory_offset)
 *   KSTACK_REGION        kernel stacks, an unmapped page below each
 *   AREA_REGION          large memory of the kernel's own, made of single frames; in the same level-4 slot
 *   MMIO_REGION          device registers, uncached; in the same level-4 slot
 *   KERNEL_BASE          the image: its physical address is its address - KERNEL_BASE
 */
#ifndef KERNEL_MM_LAYOUT_H
#define KERNEL_MM_LAYOUT_H

#define KERNEL_BASE 0xffffffff80000000
#define KSTACK_REGION 0xffffc90000000000
#define AREA_REGION 0xffffc92000000000
#define MMIO_REGION 0xffffc94000000000
#ifndef PHYS_OFFSET
#define PHYS_OFFSET 0xffff888000000000
#endif

/* Slots of the level-4 table. */
#define KERNEL_SLOT 511
#define VMAP_SLOT ((KSTACK_REGION >> 39) & 511)
#define PHYS_SLOT ((PHYS_OFFSET >> 39) & 511)

#endif
