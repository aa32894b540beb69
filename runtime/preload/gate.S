/*
 * The gate: where the stubs of sites.c lead. A call that has nothing to do with paged memory is made by the
 * stub's own instruction, with every register and the stack as they were, so that clone() and its kin work;
 * the others by gate_call() (gate.c), as if the site had called a function.
 *
 * In:   rcx: the stub's `syscall` instruction, with the address where the site goes on in the eight bytes
 *       before; the call's number and arguments as the kernel has them. r11 is free.
 * Out:  behind that instruction, with rax as the kernel would leave it, and nothing else changed but rcx, r11
 *       and the flags. The vector registers count: compilers keep values there across a system call.
 *
 * For unwinders the caller is the site: a thread may be cancelled in a call, or an exception thrown through.
 */
#ifdef __x86_64__

#define CALL_WORDS 8 /* struct call of gate.h */
#define RED_ZONE 128

        .text
        .globl  gate
        .hidden gate
        .type   gate, @function
        .p2align 4
gate:
        .cfi_startproc
        .cfi_def_cfa %rsp, 0
        .cfi_undefined %rip
        cmpq    $512, %rax              /* GATE_CALLS */
        jae     1f
        leaq    gate_asks(%rip), %r11
        cmpb    $0, (%r11, %rax)
        jne     2f
1:      jmp     *%rcx

2:      leaq    -RED_ZONE(%rsp), %rsp
        .cfi_def_cfa_offset RED_ZONE
        pushq   -8(%rcx)
        .cfi_def_cfa_offset RED_ZONE + 8
        .cfi_offset %rip, -(RED_ZONE + 8)
        pushq   %rbp
        .cfi_def_cfa_offset RED_ZONE + 16
        .cfi_offset %rbp, -(RED_ZONE + 16)
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        pushq   %rcx
        pushq   %r9
        pushq   %r8
        pushq   %r10
        pushq   %rdx
        pushq   %rsi
        pushq   %rdi
        pushq   %rax
        movq    %rsp, %rdi
        andq    $-16, %rsp
        call    gate_is_for_us
        testb   %al, %al
        jz      5f

        subq    gate_state_bytes(%rip), %rsp
        andq    $-64, %rsp
        xorl    %eax, %eax              /* the header, which xsave does not clear */
        movq    %rax, 512(%rsp)
        movq    %rax, 520(%rsp)
        movq    %rax, 528(%rsp)
        movq    %rax, 536(%rsp)
        movq    %rax, 544(%rsp)
        movq    %rax, 552(%rsp)
        movq    %rax, 560(%rsp)
        movq    %rax, 568(%rsp)
        movl    $-1, %eax
        movl    $-1, %edx
        cmpb    $0, gate_state_is_compact(%rip)
        je      3f
        xsavec64 (%rsp)
        jmp     4f
3:      xsave64 (%rsp)
4:      leaq    -8*CALL_WORDS(%rbp), %rdi
        call    gate_call
        movq    %rax, -8*CALL_WORDS(%rbp)
        movl    $-1, %eax
        movl    $-1, %edx
        xrstor64 (%rsp)
        addq    $2, -8(%rbp)            /* behind the instruction */

5:      leaq    -8*CALL_WORDS(%rbp), %rsp
        popq    %rax
        popq    %rdi
        popq    %rsi
        popq    %rdx
        popq    %r10
        popq    %r8
        popq    %r9
        popq    %rcx
        popq    %rbp
        .cfi_def_cfa %rsp, RED_ZONE + 8
        .cfi_restore %rbp
        leaq    8 + RED_ZONE(%rsp), %rsp
        .cfi_def_cfa_offset 0
        jmp     *%rcx
        .cfi_endproc
        .size   gate, .-gate

#endif
        .section .note.GNU-stack, "", @progbits
