#include <stddef.h>

#include "kernel/x86/symbols.h"

/* Sorted by address, which counts from image_start; the name is at symbol_names + name. */
struct symbol {
    uint32_t address;
    uint32_t name;
};

extern const struct symbol symbol_table[];
extern const uint32_t symbol_count;
extern const char symbol_names[];
extern const char image_start[], text_end[];

const char *symbol_of(uint64_t address, uint64_t *offset)
{
    uint64_t at = address - (uint64_t)image_start;
    uint32_t low = 0;
    uint32_t high = symbol_count; /* the answer is in [low, high) */

    if (address < (uint64_t)image_start || address >= (uint64_t)text_end || high == 0 ||
        at < symbol_table[0].address)
        return NULL;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (symbol_table[middle].address <= at)
            low = middle;
        else
            high = middle;
    }
    *offset = at - symbol_table[low].address;
    return symbol_names + symbol_table[low].name;
}
