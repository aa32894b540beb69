/*
 * Entries into the kernel and the ways back (Intel SDM vol. 3A, 6.12 to 6.14; vol. 2B, SYSCALL and SYSRET).
 *
 * Every entry builds struct trap_frame (x86.h). From user mode GS is exchanged, so that it points at the CPU's
 * struct cpu; from kernel mode it points there already. The C code keeps the callee-saved registers, so the
 * fast ways back take only the others from the frame; whoever has changed the frame goes the long way.
 *
 * IRETQ is the one instruction of the kernel that may fault because of what a user's frame says: the fault is
 * then made one of the user's instruction (trap_from_kernel).
 */
#include "kernel/x86/offsets.h"

    .macro PUSH_REGISTERS
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .endm

    .macro POP_REGISTERS
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    .endm

/* CLAC, or a NOP of the same length on a CPU without SMAP (cpu.c patches the places that are listed here). */
    .macro CLAC_SITE
    .pushsection .smap_sites, "a"
    .quad 771f
    .popsection
771: clac
    .endm

    .section .text.hot, "ax"

/* ------------------------------------------------------------------------------- system calls */

    .globl syscall_entry_point
    .balign 16
syscall_entry_point:
    swapgs
    movq %rsp, %gs:CPU_USER_STACK
    movq %gs:CPU_KERNEL_STACK, %rsp
    pushq $SEL_USER_DATA
    pushq %gs:CPU_USER_STACK
    pushq %r11
    pushq $SEL_USER_CODE
    pushq %rcx
    pushq %rax
    pushq $TRAP_SYSCALL
    PUSH_REGISTERS
    movq %r10, %rcx
    cmpq $SYSCALL_LIMIT, %rax
    jae syscall_beyond
    call *syscall_table(, %rax, 8)
syscall_done:
    cmpq $0, %gs:CPU_WORK
    jne syscall_work
    cmpq $TRAP_SYSCALL, FRAME_VECTOR(%rsp)
    jne syscall_full
    /* SYSRET to an address that is not canonical would fault in the kernel, on the user's stack. */
    movq FRAME_RIP(%rsp), %rcx
    movq %rcx, %r11
    shrq $47, %r11
    jnz syscall_full
    movq FRAME_RFLAGS(%rsp), %r11
    movq FRAME_RDI(%rsp), %rdi
    movq FRAME_RSI(%rsp), %rsi
    movq FRAME_RDX(%rsp), %rdx
    movq FRAME_R10(%rsp), %r10
    movq FRAME_R8(%rsp), %r8
    movq FRAME_R9(%rsp), %r9
    movq FRAME_RSP(%rsp), %rsp
    swapgs
    sysretq

syscall_beyond:
    call syscall_unknown
    jmp syscall_done

/* A full return takes rax from the frame, where exec or sigreturn may have put another one. */
syscall_full:
    cmpq $TRAP_SYSCALL, FRAME_VECTOR(%rsp)
    jne return_to_user
    movq %rax, FRAME_RAX(%rsp)
    jmp return_to_user

syscall_work:
    cmpq $TRAP_SYSCALL, FRAME_VECTOR(%rsp)
    jne return_to_user
    movq %rax, FRAME_RAX(%rsp)
    jmp return_to_user

/* ------------------------------------------------------------------------------- page faults */

    .balign 16
    .globl trap_14
trap_14:
    pushq $14
    testb $3, FRAME_CS - FRAME_VECTOR(%rsp)
    jz trap_from_kernel
    swapgs
    PUSH_REGISTERS
    cld
    CLAC_SITE
    movq %rsp, %rdi
    call trap_page_fault_user
    cmpq $0, %gs:CPU_WORK
    jne return_to_user
    /* The callee-saved registers are what they were. */
    movq FRAME_RDI(%rsp), %rdi
    movq FRAME_RSI(%rsp), %rsi
    movq FRAME_RDX(%rsp), %rdx
    movq FRAME_RCX(%rsp), %rcx
    movq FRAME_RAX(%rsp), %rax
    movq FRAME_R8(%rsp), %r8
    movq FRAME_R9(%rsp), %r9
    movq FRAME_R10(%rsp), %r10
    movq FRAME_R11(%rsp), %r11
    addq $FRAME_RIP, %rsp
    swapgs
    .globl trap_iret
trap_iret:
    iretq

/* ------------------------------------------------------------------------------- the long way back */

    .globl trap_return, task_enter_user, kthread_enter
trap_return:
    movq %rdi, %rsp
    jmp return_to_user

task_enter_user:
    call task_started
    .balign 16
return_to_user:
    cmpq $0, %gs:CPU_WORK
    jne 2f
1:  POP_REGISTERS
    addq $16, %rsp
    swapgs
    jmp trap_iret
2:  movq %rsp, %rdi
    call work_pending
    cmpq $0, %gs:CPU_WORK
    jne 2b
    jmp 1b

kthread_enter:
    call task_started
    call kthread_main
    ud2

/* ------------------------------------------------------------------------------- all other traps */

    .balign 16
trap_common: /* vector and error are on the stack */
    testb $3, FRAME_CS - FRAME_VECTOR(%rsp)
    jz trap_from_kernel
    swapgs
trap_from_user:
    PUSH_REGISTERS
    cld
    CLAC_SITE
    movq %rsp, %rdi
    call trap_user
    jmp return_to_user

trap_from_kernel:
    cmpq $trap_iret, FRAME_RIP - FRAME_VECTOR(%rsp)
    je trap_in_iret
    PUSH_REGISTERS
    cld
    CLAC_SITE
    movq %rsp, %rdi
    call trap_kernel
    POP_REGISTERS
    addq $16, %rsp
    iretq

/* The interrupted stack is at the user's rip, cs, rflags, rsp, ss; every other register is the user's. */
trap_in_iret:
    swapgs
    movq FRAME_RSP - FRAME_VECTOR(%rsp), %rsp
    pushq $0
    pushq $13
    jmp trap_from_user

/* Double fault, NMI, machine check: on stacks of their own (IST), from anywhere, GS in any state. The top word
 * of such a stack is the address of the CPU's struct cpu. They do not return. */
trap_paranoid:
    PUSH_REGISTERS
    cld
    CLAC_SITE
    movq %rsp, %rbx
    movq %rsp, %rax
    orq $(IST_STACK_BYTES - 1), %rax
    movq -7(%rax), %rax
    movq %rax, %rdx
    shrq $32, %rdx
    movl $MSR_GS_BASE, %ecx
    wrmsr
    movq %rbx, %rdi
    call trap_fatal
    ud2

/* ------------------------------------------------------------------------------- stubs */

/* The CPU pushes an error code for these. */
    .macro STUB_WITH_ERROR vector, target=trap_common
trap_\vector:
    pushq $\vector
    jmp \target
    .endm
    .macro STUB vector, target=trap_common
trap_\vector:
    pushq $0
    pushq $\vector
    jmp \target
    .endm

    .text
    STUB 0
    STUB 1
    STUB 2, trap_paranoid
    STUB 3
    STUB 4
    STUB 5
    STUB 6
    STUB 7
    STUB_WITH_ERROR 8, trap_paranoid
    STUB 9
    STUB_WITH_ERROR 10
    STUB_WITH_ERROR 11
    STUB_WITH_ERROR 12
    STUB_WITH_ERROR 13
    STUB 15
    STUB 16
    STUB_WITH_ERROR 17
    STUB 18, trap_paranoid
    STUB 19
    STUB 20
    STUB_WITH_ERROR 21
    STUB 22
    STUB 23
    STUB 24
    STUB 25
    STUB 26
    STUB 27
    STUB 28
    STUB_WITH_ERROR 29
    STUB_WITH_ERROR 30
    STUB 31

/* Interrupts: IRQ_STUB_BYTES each, in order; push the vector (a 32-bit immediate), jump. */
    .globl trap_irq_stubs
    .balign 16
trap_irq_stubs:
    .set vector, 32
    .rept 224
    .byte 0x68
    .long vector
    .byte 0xe9
    .long trap_irq - . - 4
    .set vector, vector + 1
    .endr
trap_irq:
    pushq (%rsp)
    jmp trap_common

    .section .rodata
    .balign 8
    .globl trap_stubs
trap_stubs:
    .irp vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    .quad trap_\vector
    .endr

/* ------------------------------------------------------------------------------- switching tasks */

    .section .text.hot, "ax"
    .globl context_switch
    .balign 16
context_switch: /* rdi: where to save rsp, rsi: the next task's rsp */
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret

    .section .note.GNU-stack, "", @progbits
