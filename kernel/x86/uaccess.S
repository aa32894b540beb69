/*
 * Copies between the kernel and user memory. Every instruction that touches user memory is in .text.uaccess
 * and has an entry in the exception table: a fault that space_fault() cannot serve continues at the fixup
 * (trap.c). SMAP lets the accesses through only between STAC and CLAC.
 *
 * The string instructions keep rcx exact when they fault, so the fixups know what is left; a word that only
 * partly could be read is tried again byte by byte.
 */
    .macro SMAP_SITE instruction
    .pushsection .smap_sites, "a"
    .quad 771f
    .popsection
771: \instruction
    .endm

    .macro ON_FAULT at, fixup
    .pushsection .exception_table, "a"
    .quad \at, \fixup
    .popsection
    .endm

    .section .text.uaccess, "ax"

/* size_t uaccess_copy(void *to, const void *from, size_t bytes): the bytes that were not copied. */
    .globl uaccess_copy
    .balign 16
uaccess_copy:
    SMAP_SITE stac
    movq %rdx, %rcx
    shrq $3, %rcx
    jz 2f
1:  rep movsq
2:  movl %edx, %ecx
    andl $7, %ecx
    jz 4f
3:  rep movsb
4:  SMAP_SITE clac
    movq %rcx, %rax
    ret
5:  andl $7, %edx /* words left in rcx */
    leaq (%rdx, %rcx, 8), %rcx
    jmp 3b
    ON_FAULT 1b, 5b
    ON_FAULT 3b, 4b

/* size_t uaccess_clear(void *to, size_t bytes): the bytes that were not cleared. */
    .globl uaccess_clear
    .balign 16
uaccess_clear:
    SMAP_SITE stac
    xorl %eax, %eax
    movq %rsi, %rcx
    shrq $3, %rcx
1:  rep stosq
    movl %esi, %ecx
    andl $7, %ecx
2:  rep stosb
3:  SMAP_SITE clac
    movq %rcx, %rax
    ret
4:  andl $7, %esi
    leaq (%rsi, %rcx, 8), %rcx
    jmp 2b
    ON_FAULT 1b, 4b
    ON_FAULT 2b, 3b

/* long uaccess_string(char *to, const char *from, size_t size): length, `size` when there is no NUL in so
 * many bytes, -1 on a fault. */
    .globl uaccess_string
    .balign 16
uaccess_string:
    SMAP_SITE stac
    xorl %eax, %eax
1:  cmpq %rdx, %rax
    je 4f
2:  movzbl (%rsi, %rax), %ecx
    movb %cl, (%rdi, %rax)
    incq %rax
    testl %ecx, %ecx
    jnz 1b
    decq %rax
    jmp 4f
3:  movq $-1, %rax
4:  SMAP_SITE clac
    ret
    ON_FAULT 2b, 3b

    .section .note.GNU-stack, "", @progbits
