/*
 * Code of others that uses SSE registers, inside of the kernel, which does not.
 *
 * Between simd_begin() and simd_end() such code may use xmm0 to xmm15 (no other part of the floating-point
 * state) and a stack protector's word at FS; afterwards the user's are as they were. The kernel's interrupts
 * are off, and what comes all the same has a stack of its own, so a red zone is safe too. Nothing between may
 * sleep, touch user memory or return to user mode.
 */
#ifndef KERNEL_X86_SIMD_H
#define KERNEL_X86_SIMD_H

#include "quire/types.h"

enum { SIMD_REGISTERS = 16 };

struct simd_guard {
    uint8_t xmm[SIMD_REGISTERS][16];
    uint64_t fs_base;
};

void simd_begin(struct simd_guard *guard);
void simd_end(const struct simd_guard *guard);

#endif
