/* bool trap_try(void (*function)(void *), void *context, struct trap_expect *fault): see test.h. The fault
 * handler jumps to fault->resume with fault->stack as rsp. */
    .text
    .globl trap_try
trap_try:
    pushq %rbp
    movq %rsp, %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    leaq 1f(%rip), %rax
    movq %rax, (%rdx)
    movq %rsp, 8(%rdx)
    movq %rdx, trap_expected
    movq %rdi, %rax
    movq %rsi, %rdi
    call *%rax
    movq $0, trap_expected
    xorl %eax, %eax
    jmp 2f
1:  cld
    movl $1, %eax
2:  addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .section .note.GNU-stack, "", @progbits
