#include "arena.h"

bool arena_take(void *context, struct paddr *out)
{
    struct arena *arena = context;

    if (arena->used == ARENA_FRAMES)
        return false;
    *out = paddr(ARENA_BASE + arena->used++ * PAGE_SIZE);
    return true;
}

/* Frames do not come back one by one: the arena goes as a whole. */
void arena_give(void *context, struct paddr frame)
{
    (void)context;
    (void)frame;
}

uint64_t arena_offset(const struct arena *arena)
{
    return (uint64_t)(uintptr_t)arena->memory - ARENA_BASE;
}
