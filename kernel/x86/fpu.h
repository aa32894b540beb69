/*
 * Setting up the FPU; the rest of its interface is in x86.h.
 */
#ifndef KERNEL_X86_FPU_H
#define KERNEL_X86_FPU_H

void fpu_init(void);

#endif
