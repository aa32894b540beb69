/* The table of a first link, from which the real one is made. */
    .section .symbol_table, "a"
    .balign 8
    .globl symbol_table, symbol_count, symbol_names
symbol_table:
symbol_count:
    .long 0
symbol_names:
    .byte 0
    .section .note.GNU-stack, "", @progbits
