/*
 * Zeroing and copying a page. Kernel code does not use vector registers otherwise, so they hold the user's
 * state: what is used here is saved on the stack and put back. AVX counts 128 stores for a page, SSE 256.
 */
    .section .text.hot, "ax"

    .globl page_zero_avx
    .balign 16
page_zero_avx: /* rdi: page */
    pushq %rbp
    movq %rsp, %rbp
    subq $32, %rsp
    vmovdqu %ymm0, (%rsp)
    vpxor %xmm0, %xmm0, %xmm0
    .set offset, 0
    .rept 128
    vmovdqa %ymm0, offset(%rdi)
    .set offset, offset + 32
    .endr
    vmovdqu (%rsp), %ymm0
    leave
    ret

    .globl page_zero_sse
    .balign 16
page_zero_sse:
    pushq %rbp
    movq %rsp, %rbp
    subq $16, %rsp
    movups %xmm0, (%rsp)
    pxor %xmm0, %xmm0
    movl $8, %eax
1:  .set offset, 0
    .rept 32
    movaps %xmm0, offset(%rdi)
    .set offset, offset + 16
    .endr
    addq $512, %rdi
    decl %eax
    jnz 1b
    movups (%rsp), %xmm0
    leave
    ret

    .globl page_copy_avx
    .balign 16
page_copy_avx: /* rdi: to, rsi: from */
    pushq %rbp
    movq %rsp, %rbp
    subq $64, %rsp
    vmovdqu %ymm0, (%rsp)
    vmovdqu %ymm1, 32(%rsp)
    movl $4, %eax
1:  .set offset, 0
    .rept 16
    vmovdqa offset(%rsi), %ymm0
    vmovdqa offset + 32(%rsi), %ymm1
    vmovdqa %ymm0, offset(%rdi)
    vmovdqa %ymm1, offset + 32(%rdi)
    .set offset, offset + 64
    .endr
    addq $1024, %rsi
    addq $1024, %rdi
    decl %eax
    jnz 1b
    vmovdqu (%rsp), %ymm0
    vmovdqu 32(%rsp), %ymm1
    leave
    ret

    .globl page_copy_sse
    .balign 16
page_copy_sse:
    pushq %rbp
    movq %rsp, %rbp
    subq $32, %rsp
    movups %xmm0, (%rsp)
    movups %xmm1, 16(%rsp)
    movl $8, %eax
1:  .set offset, 0
    .rept 16
    movaps offset(%rsi), %xmm0
    movaps offset + 16(%rsi), %xmm1
    movaps %xmm0, offset(%rdi)
    movaps %xmm1, offset + 16(%rdi)
    .set offset, offset + 32
    .endr
    addq $512, %rsi
    addq $512, %rdi
    decl %eax
    jnz 1b
    movups (%rsp), %xmm0
    movups 16(%rsp), %xmm1
    leave
    ret

    .section .note.GNU-stack, "", @progbits
