/*
 * Frames for tables: a piece of memory that is given out from its beginning. Its first byte has the physical
 * address ARENA_BASE.
 */
#ifndef ARENA_H
#define ARENA_H

#include "quire/types.h"

enum { ARENA_FRAMES = 64 };
#define ARENA_BASE ((uint64_t)0x80000000)

struct arena {
    unsigned used;
    _Alignas(4096) unsigned char memory[ARENA_FRAMES * 4096];
};

/* For struct pt_alloc; the context is the arena. */
bool arena_take(void *context, struct paddr *out);
void arena_give(void *context, struct paddr frame);
/* For pt_reach_offset(): where physical address 0 would be. */
uint64_t arena_offset(const struct arena *arena);

#endif
