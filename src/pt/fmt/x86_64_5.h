/*
 * The entry format of x86-64 long mode, 5 levels: 57-bit addresses (Intel SDM vol. 3A, 4.5).
 */
#ifndef QUIRE_PT_FMT_X86_64_5_H
#define QUIRE_PT_FMT_X86_64_5_H

#define PT_X86_64_LEVELS 5
#include "pt/fmt/x86_64.h"

#endif
