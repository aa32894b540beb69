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

/* time.c */
enum {
    VECTOR_FIRST = 32,
    VECTOR_MSI_FIRST = 0x40,
    VECTOR_MSI_END = 0x80,
    VECTOR_TIMER = 0xef,
    VECTOR_SPURIOUS = 0xff
};
void lapic_end_of_interrupt(void);

/* Continue where the exception table says for this instruction of the kernel. False: it says nothing. */
bool trap_fixup(struct trap_frame *frame);

/* Kernel tests: the next fault that would be a panic is noted here, and goes on at `resume` (once). */
struct trap_expect {
    uint64_t resume, stack;          /* offsets 0 and 8: kernel/test/trap_try.S */
    uint64_t vector, error, address; /* what came */
};
extern struct trap_expect *trap_expected;

#endif
