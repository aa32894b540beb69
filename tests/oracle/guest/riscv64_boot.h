/*
 * How a RISC-V guest begins, in machine mode: a stack, `trap` for every trap, and all of memory open to all modes.
 */
    .macro machine_mode_begin
    la sp, stack_top
    la t0, trap
    csrw mtvec, t0
    csrw medeleg, zero
    csrw mideleg, zero
    csrw mie, zero
    li t0, -1
    csrw pmpaddr0, t0
    li t0, 0x1f /* all of memory, for all modes: NAPOT, R, W, X */
    csrw pmpcfg0, t0
    .endm
