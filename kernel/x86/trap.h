/*
 * Traps, between the files of kernel/x86.
 */
#ifndef KERNEL_X86_TRAP_H
#define KERNEL_X86_TRAP_H

#include "kernel/x86/x86.h"

/* Called by entry.S: traps from user mode, from the kernel, and those that end it. */
void trap_page_fault_user(struct trap_frame *frame);
void trap_user(struct trap_frame *frame);
void trap_kernel(struct trap_frame *frame);
_Noreturn void trap_fatal(struct trap_frame *frame);

/* irq.c: calls the handler of a vector from 32 on and ends the interrupt. */
void irq_dispatch(unsigned vector);

/* lapic.c and time.c */
enum {
    VECTOR_FIRST = 32,
    VECTOR_MSI_FIRST = 0x40,
    VECTOR_MSI_END = 0x80,
    VECTOR_TIMER = 0xef,
    VECTOR_SPURIOUS = 0xff
};
void lapic_end_of_interrupt(void);

/* Like int3 in a test: where a kernel fault at an address of the exception table goes on. False: none. */
bool trap_fixup(struct trap_frame *frame);

/* Kernel tests: the next fault in the kernel that would panic jumps to `resume` instead (once). */
struct trap_expect {
    uint64_t resume;
    uint64_t vector, error, address; /* what came */
};
extern struct trap_expect *trap_expected;

#endif
