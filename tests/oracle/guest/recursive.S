/*
 * The recursive way on RISC-V: machine mode builds tables and gives them to supervisor mode, which changes them through
 * themselves. Traps come to machine mode: a fault that supervisor mode expects is noted and stepped over, everything else
 * ends the program.
 */
#include "riscv64_boot.inc"

    .section .boot, "ax"
    .globl boot
boot:
    machine_mode_begin
    call machine_prepare
    csrw satp, a0
    sfence.vma
    li t0, 0x1800
    csrc mstatus, t0
    li t0, 0x800 /* MPP: supervisor mode */
    csrs mstatus, t0
    la t0, supervisor_main
    csrw mepc, t0
    la ra, supervisor_done
    mret

supervisor_done:
    ecall /* a0: the line that was wrong, 0 */

    .balign 4
trap:
    csrw mscratch, t0
    csrr t0, mcause
    addi t0, t0, -9 /* a call by supervisor mode */
    beqz t0, trap_end
    la t0, fault_wanted
    ld t0, 0(t0)
    beqz t0, trap_wrong
    la t0, trap_t1
    sd t1, 0(t0)
    csrr t1, mcause
    la t0, fault_seen
    sd t1, 0(t0)
    csrr t1, mepc
    addi t1, t1, 4
    csrw mepc, t1
    la t0, trap_t1
    ld t1, 0(t0)
    csrr t0, mscratch
    mret

trap_wrong:
    li a0, -1
trap_end:
    la sp, stack_top
    csrr a1, mcause
    csrr a2, mtval
    csrr a3, mepc
    call machine_report
1:  wfi
    j 1b

    .globl try_read, try_write
/* uint64_t try_read(uint64_t address), void try_write(uint64_t address, uint64_t value): one access of four bytes of code. */
    .option push
    .option norvc
try_read:
    ld a0, 0(a0)
    ret
try_write:
    sd a1, 0(a0)
    ret
    .option pop

    .bss
    .balign 16
    .skip 16384
stack_top:
    .globl fault_wanted, fault_seen
fault_wanted: .skip 8
fault_seen: .skip 8
trap_t1: .skip 8
