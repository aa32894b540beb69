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
    movabsq $0x0101010101010101, %r8
    movabsq $0x8080808080808080, %r9
    /* A word at a time, where the buffer has room for one and it does not cross into the next page. */
1:  leaq 8(%rax), %rcx
    cmpq %rdx, %rcx
    ja 4f
    leal (%rsi, %rax), %ecx
    andl $4095, %ecx
    cmpl $4088, %ecx
    ja 4f
2:  movq (%rsi, %rax), %rcx
    movq %rcx, (%rdi, %rax)
    movq %rcx, %r10
    subq %r8, %r10
    notq %rcx
    andq %rcx, %r10
    andq %r9, %r10 /* the lowest bit that is set is in the first byte that is 0 */
    jnz 3f
    addq $8, %rax
    jmp 1b
3:  bsfq %r10, %r10
    shrl $3, %r10d
    addq %r10, %rax
    jmp 7f
    /* A byte. */
4:  cmpq %rdx, %rax
    je 7f
5:  movzbl (%rsi, %rax), %ecx
    movb %cl, (%rdi, %rax)
    testl %ecx, %ecx
    jz 7f
    incq %rax
    jmp 1b
6:  movq $-1, %rax
7:  SMAP_SITE clac
    ret
    ON_FAULT 2b, 6b
    ON_FAULT 5b, 6b

    .section .note.GNU-stack, "", @progbits
