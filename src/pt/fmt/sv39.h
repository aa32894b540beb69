/*
 * The entry format of RISC-V Sv39: 3 levels, 39-bit addresses.
 */
#ifndef QUIRE_PT_FMT_SV39_H
#define QUIRE_PT_FMT_SV39_H

#define PT_RISCV_LEVELS 3
#include "pt/fmt/riscv.h"

#endif
