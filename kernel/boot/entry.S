/*
 * The first instructions: from 32-bit protected mode without paging to C in the kernel's half.
 *
 * Two ways in. PVH (the Xen project's "x86/HVM direct boot ABI"): EBX is the physical address of struct
 * hvm_start_info. Multiboot2 (specification 2.0, 3.3): EAX is a magic number, EBX the boot information.
 * Both: flat 32-bit segments, interrupts off, paging off.
 *
 * The boot tables map the first GiB three times: where it is, at PHYS_OFFSET and at KERNEL_BASE. They, the boot
 * stack and the 32-bit code lie below the image proper (kernel.ld) and are ordinary free memory once
 * boot_switch() has loaded the final tables.
 */
#include "kernel/mm/layout.h"

#define PHYSICAL(symbol) ((symbol) - KERNEL_BASE)

#define MULTIBOOT2_HEADER_MAGIC 0xe85250d6
#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define MSR_EFER 0xc0000080
#define EFER_LME_NXE (1 << 8 | 1 << 11)
#define CR4_PAE_PGE (1 << 5 | 1 << 7)
#define CR0_PG_WP_PE (1 << 31 | 1 << 16 | 1)
#define TABLE 0x3 /* present, writable */
#define HUGE_PAGE 0x83

    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long boot_pvh

    .section .boot.header, "a"
    .balign 8
multiboot2_header:
    .long MULTIBOOT2_HEADER_MAGIC, 0, multiboot2_header_end - multiboot2_header
    .long -(MULTIBOOT2_HEADER_MAGIC + multiboot2_header_end - multiboot2_header)
    .balign 8
    .short 1, 0 /* information request: command line, modules, memory map */
    .long 20, 1, 3, 6
    .balign 8
    .short 3, 0 /* entry */
    .long 12, boot_multiboot2
    .balign 8
    .short 0, 0
    .long 8
multiboot2_header_end:

    .section .boot.text, "ax"
    .code32
    .globl boot_pvh
boot_pvh:
    xorl %eax, %eax
boot_multiboot2:
    cli
    cld
    movl %eax, %edi /* 0: PVH, else Multiboot2's magic */
    movl %ebx, %esi
    rdtsc
    movl %eax, PHYSICAL(boot_tsc)
    movl %edx, PHYSICAL(boot_tsc) + 4

    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb boot_too_old
    movl $0x80000001, %eax
    cpuid
    andl $(1 << 29 | 1 << 20), %edx /* long mode, no-execute */
    cmpl $(1 << 29 | 1 << 20), %edx
    jne boot_too_old

    /* level 2: 512 pages of 2 MiB */
    movl $boot_level_2, %ebx
    movl $HUGE_PAGE, %eax
1:  movl %eax, (%ebx)
    addl $8, %ebx
    addl $0x200000, %eax
    cmpl $(0x40000000 + HUGE_PAGE), %eax
    jne 1b
    movl $(boot_level_2 + TABLE), boot_level_3_low
    movl $(boot_level_2 + TABLE), boot_level_3_high + 510 * 8
    movl $(boot_level_3_low + TABLE), boot_level_4
    movl $(boot_level_3_low + TABLE), boot_level_4 + PHYS_SLOT * 8
    movl $(boot_level_3_high + TABLE), boot_level_4 + KERNEL_SLOT * 8

    movl $CR4_PAE_PGE, %eax
    movl %eax, %cr4
    movl $boot_level_4, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME_NXE, %eax
    wrmsr
    movl $CR0_PG_WP_PE, %eax
    movl %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $0x08, $boot_long_mode

/* Nothing works yet but the serial port: say "!" and stop. */
boot_too_old:
    movw $0x3f8, %dx
    movb $'!', %al
    outb %al, %dx
    movl $3, %eax
    outl %eax, $0xf4
1:  hlt
    jmp 1b

    .balign 8
boot_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdt_pointer:
    .short 23
    .long boot_gdt

    .code64
boot_long_mode:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movq $boot_high, %rax
    jmp *%rax

    .text
boot_high:
    movq $(boot_stack_top + KERNEL_BASE), %rsp
    xorl %ebp, %ebp
    call boot_start
    ud2

/* void boot_switch(uint64_t root, uint64_t stack, void (*next)(void)): load the final tables, and call `next`,
 * which does not return, on a new stack. CR4.PGE goes off and on, so that nothing of the boot tables stays. */
    .globl boot_switch
boot_switch:
    movq %cr4, %rax
    movq %rax, %rcx
    andq $~(1 << 7), %rcx
    movq %rcx, %cr4
    movq %rdi, %cr3
    movq %rax, %cr4
    movq %rsi, %rsp
    xorl %ebp, %ebp
    call *%rdx
    ud2

    .section .boot.bss, "aw", @nobits
    .balign 4096
boot_level_4: .skip 4096
boot_level_3_low: .skip 4096
boot_level_3_high: .skip 4096
boot_level_2: .skip 4096
boot_stack: .skip 8192
boot_stack_top:

    .bss
    .balign 8
    .globl boot_tsc
boot_tsc: .skip 8

    .section .note.GNU-stack, "", @progbits
