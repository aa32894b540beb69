/*
 * x86-64: from PVH's 32-bit entry straight into the library's tables, traps, and the accesses.
 *
 * There are no tables of the guest's own: CR3 gets the library's root while paging is still off, and the next instruction
 * is fetched through them (Intel SDM vol. 3A, 10.8.5 "Initializing IA-32e Mode"). CR4.LA57 can be set only then.
 */
#define SCENE 0x200000
#define SCENE_CONTROL (SCENE + 16)
#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define MSR_EFER 0xc0000080

    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long boot

    .text
    .code32
    .globl boot
boot:
    cli
    cld
1:  pause
    cmpl $1, SCENE /* until the turn is the guest's */
    jne 1b
    movl SCENE_CONTROL + 8, %eax /* CR4: PAE and what the scene asks for */
    movl %eax, %cr4
    movl SCENE_CONTROL, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $(1 << 8 | 1 << 11), %eax /* LME, NXE */
    wrmsr
    movl $(1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1), %eax /* PG, WP, NE, ET, PE */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $0x08, $boot_64

    .code64
boot_64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl $stack_top, %esp
    call guest_start
    ud2

/*
 * void access(uint64_t address, uint64_t value, void (*code)(void)): jumps to `code` with the address in RDI and the value
 * in RSI. Whatever it does, it ends with a trap, and the trap's handler returns from here.
 */
    .globl access_supervisor, access_user
access_supervisor:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, resume_rsp
    jmp *%rdx

access_user:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, resume_rsp
    pushq $0x1b /* SS */
    pushq $0
    pushq $0x2 /* RFLAGS */
    pushq $0x23 /* CS */
    pushq %rdx
    iretq

/* A trap: the stack holds vector, error code, RIP. */
trap:
    movq %rax, trap_rax
    popq trap_vector
    popq trap_code
    popq trap_rip
    movq %cr2, %rax
    movq %rax, trap_cr2
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    xchgq resume_rsp, %rax
    testq %rax, %rax
    jz trap_panic /* nobody was trying anything */
    movq %rax, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .globl trap_panic
trap_panic:
    movl $stack_top, %esp
    call guest_panic

    .macro gate vector, has_code
gate_\vector:
    .if \has_code == 0
    pushq $0
    .endif
    pushq $\vector
    jmp trap
    .endm

    .altmacro
    .macro gate_by_number n
    .if (\n == 8) || ((\n >= 10) && (\n <= 14)) || (\n == 17) || (\n == 21)
    gate %\n, 1
    .else
    gate %\n, 0
    .endif
    .endm
    .set i, 0
    .rept 32
    gate_by_number %i
    .set i, i + 1
    .endr
    gate 128, 0

    .section .rodata
    .balign 8
    .globl gate_addresses
gate_addresses:
    .macro gate_address n
    .quad gate_\n
    .endm
    .set i, 0
    .rept 32
    gate_address %i
    .set i, i + 1
    .endr
    .quad gate_128

    .data
    .balign 8
    .globl gdt
gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 08 code, ring 0 */
    .quad 0x00cf93000000ffff /* 10 data */
    .quad 0x00cff3000000ffff /* 18 data, ring 3 */
    .quad 0x00affb000000ffff /* 20 code, ring 3 */
    .quad 0, 0               /* 28 the TSS */
gdt_pointer:
    .short 55
    .quad gdt

    .bss
    .balign 4096
    .skip 16384
    .globl stack_top
stack_top:
    .skip 4096
    .globl trap_stack_top
trap_stack_top:
    .globl resume_rsp, trap_vector, trap_code, trap_rip, trap_cr2, trap_rax
resume_rsp: .skip 8
trap_vector: .skip 8
trap_code: .skip 8
trap_rip: .skip 8
trap_cr2: .skip 8
trap_rax: .skip 8

/* What each mode runs: SMEP forbids the supervisor to run the user's page. */
    .macro accesses mode
    .globl code_read_\mode, code_write_\mode
code_read_\mode:
    movq (%rdi), %rax
    int $0x80
code_write_\mode:
    movq %rsi, (%rdi)
    int $0x80
    .endm

    .text
    accesses supervisor
    .section .user, "awx"
    accesses user

    .section .note.GNU-stack, "", @progbits
