/*
 * The entry format of RISC-V Sv48: 4 levels, 48-bit addresses.
 */
#ifndef QUIRE_PT_FMT_SV48_H
#define QUIRE_PT_FMT_SV48_H

#define PT_RISCV_LEVELS 4
#include "pt/fmt/riscv.h"

#endif
