/*
 * What assembly knows of x86.h; kernel/x86/cpu.c checks that they agree.
 */
#ifndef KERNEL_X86_OFFSETS_H
#define KERNEL_X86_OFFSETS_H

/* struct cpu */
#define CPU_KERNEL_STACK 8
#define CPU_USER_STACK 16
#define CPU_TASK 24
#define CPU_WORK 32
#define CPU_NUMBER 40
#define CPU_FAULT_RIP 72

/* struct trap_frame */
#define FRAME_R11 (6 * 8)
#define FRAME_R10 (7 * 8)
#define FRAME_R9 (8 * 8)
#define FRAME_R8 (9 * 8)
#define FRAME_RAX (10 * 8)
#define FRAME_RCX (11 * 8)
#define FRAME_RDX (12 * 8)
#define FRAME_RSI (13 * 8)
#define FRAME_RDI (14 * 8)
#define FRAME_VECTOR (15 * 8)
#define FRAME_RIP (17 * 8)
#define FRAME_CS (18 * 8)
#define FRAME_RFLAGS (19 * 8)
#define FRAME_RSP (20 * 8)

#define IRQ_STUB_BYTES 10
#define IST_STACK_BYTES 4096
#define MSR_GS_BASE 0xc0000101

#ifdef __ASSEMBLER__
#define SEL_USER_DATA (0x20 | 3)
#define SEL_USER_CODE (0x28 | 3)
#define TRAP_SYSCALL 256
#define SYSCALL_LIMIT 512
#endif

#endif
