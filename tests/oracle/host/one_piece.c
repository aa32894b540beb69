/*
 * Machines whose memory is one piece from machine_base on.
 */
#include "machine.h"

bool machine_offset(uint64_t physical, uint64_t size, uint64_t *offset)
{
    *offset = physical - machine_base;
    return physical >= machine_base && *offset < size;
}

uint64_t machine_physical(uint64_t offset, uint64_t size)
{
    (void)size;
    return machine_base + offset;
}
