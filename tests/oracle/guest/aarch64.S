/*
 * AArch64: exception level 1, with the payload mapped at its own address by the library's tables. Accesses of user mode are
 * LDTR and STTR, which have the rights of EL0 (Arm ARM, C3.2.6 "Load/store unprivileged"); what is executed is entered by
 * ERET.
 */
    .section .boot, "ax"
    .globl boot
boot:
    msr daifset, #15
    adrp x0, stack_top
    add x0, x0, :lo12:stack_top
    mov sp, x0
    adrp x0, vectors
    add x0, x0, :lo12:vectors
    msr vbar_el1, x0
    isb
    bl guest_start
1:  wfi
    b 1b

    .macro save_and_resume_later
    sub sp, sp, #96
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    adrp x9, resume_sp
    mov x10, sp
    str x10, [x9, :lo12:resume_sp]
    .endm

    .text
/* void access_read(uint64_t address, uint64_t value), and the others; access_exec() gets SPSR as its second argument. Each
 * ends with an exception, and the exception's handler returns from here. */
    .globl access_read, access_write, access_read_user, access_write_user, access_exec
access_read:
    save_and_resume_later
    ldr x0, [x0]
    svc #0
access_write:
    save_and_resume_later
    str x1, [x0]
    svc #0
access_read_user:
    save_and_resume_later
    ldtr x0, [x0]
    svc #0
access_write_user:
    save_and_resume_later
    sttr x1, [x0]
    svc #0
access_exec:
    save_and_resume_later
    msr elr_el1, x0
    msr spsr_el1, x1
    eret

trap:
    adrp x9, trap_x0
    str x0, [x9, :lo12:trap_x0]
    adrp x9, resume_sp
    ldr x10, [x9, :lo12:resume_sp]
    str xzr, [x9, :lo12:resume_sp]
    cbz x10, trap_panic /* nobody was trying anything */
    mov sp, x10
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    add sp, sp, #96
    ret

trap_panic:
    adrp x0, stack_top
    add x0, x0, :lo12:stack_top
    mov sp, x0
    bl guest_panic

    .balign 2048
vectors:
    .rept 4
    b trap_panic
    .balign 128
    .endr
    b trap /* synchronous, from this level */
    .balign 128
    .rept 3
    b trap_panic
    .balign 128
    .endr
    b trap /* synchronous, from EL0 */
    .balign 128
    .rept 7
    b trap_panic
    .balign 128
    .endr

    .bss
    .balign 16
    .skip 16384
stack_top:
    .globl trap_x0
trap_x0: .skip 8
resume_sp: .skip 8
