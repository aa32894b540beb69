/*
 * The gate's first look, which most calls end with: does an argument lead to paged memory? Only general
 * registers may be used here, since gate.S has not saved the others yet.
 */
#pragma GCC target("general-regs-only")
#include "gate.h"

#include <sys/syscall.h>

extern const uint8_t gate_asks[GATE_CALLS]; /* gate.c */

bool gate_is_for_us(const struct call *call);

bool gate_is_for_us(const struct call *call)
{
    uint8_t asks = gate_asks[call->number];

    if (asks == UINT8_MAX)
        return true;
    for (unsigned i = 0; asks; i++, asks >>= 1)
        if ((asks & 1) && reaches_paged(call->words[i]))
            return true;
    return false;
}
