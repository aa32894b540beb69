/*
 * The entry format of RISC-V Sv57: 5 levels, 57-bit addresses.
 */
#ifndef QUIRE_PT_FMT_SV57_H
#define QUIRE_PT_FMT_SV57_H

#define PT_RISCV_LEVELS 5
#include "pt/fmt/riscv.h"

#endif
