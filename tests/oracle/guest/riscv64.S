/*
 * RISC-V: the guest stays in machine mode, where nothing is translated. Loads and stores are made with the privilege of
 * S or U mode by mstatus.MPRV, and what is executed is entered by mret (RISC-V Privileged Architecture, 3.1.6.3 "Memory
 * Privilege in mstatus Register"). All traps come to machine mode.
 */
#include "riscv64_boot.inc"

    .section .boot, "ax"
    .globl boot
boot:
    machine_mode_begin
    call guest_start
1:  wfi
    j 1b

    .macro save_and_resume_later
    addi sp, sp, -112
    sd ra, 0(sp)
    sd s0, 8(sp)
    sd s1, 16(sp)
    sd s2, 24(sp)
    sd s3, 32(sp)
    sd s4, 40(sp)
    sd s5, 48(sp)
    sd s6, 56(sp)
    sd s7, 64(sp)
    sd s8, 72(sp)
    sd s9, 80(sp)
    sd s10, 88(sp)
    sd s11, 96(sp)
    la t0, resume_sp
    sd sp, 0(t0)
    .endm

    .text
/* void access_read(uint64_t address, uint64_t value, uint64_t mode), and the others: `mode` are the bits of mstatus, MPP and
 * for loads and stores MPRV. Each ends with a trap, and the trap's handler returns from here. */
    .globl access_read, access_write, access_exec
access_read:
    save_and_resume_later
    csrs mstatus, a2
    ld a0, 0(a0)
    ebreak
access_write:
    save_and_resume_later
    csrs mstatus, a2
    sd a1, 0(a0)
    ebreak
access_exec:
    save_and_resume_later
    csrs mstatus, a2
    csrw mepc, a0
    mret

    .balign 4
trap:
    li t0, 0x21800 /* MPRV, MPP */
    csrc mstatus, t0
    la t0, trap_a0
    sd a0, 0(t0)
    la t0, resume_sp
    ld t1, 0(t0)
    sd zero, 0(t0)
    beqz t1, trap_panic /* nobody was trying anything */
    mv sp, t1
    ld ra, 0(sp)
    ld s0, 8(sp)
    ld s1, 16(sp)
    ld s2, 24(sp)
    ld s3, 32(sp)
    ld s4, 40(sp)
    ld s5, 48(sp)
    ld s6, 56(sp)
    ld s7, 64(sp)
    ld s8, 72(sp)
    ld s9, 80(sp)
    ld s10, 88(sp)
    ld s11, 96(sp)
    addi sp, sp, 112
    ret

trap_panic:
    la sp, stack_top
    call guest_panic

    .bss
    .balign 16
    .skip 16384
stack_top:
    .globl trap_a0
trap_a0: .skip 8
resume_sp: .skip 8
