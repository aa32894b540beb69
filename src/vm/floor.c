/*
 * The floor. See floor.h.
 */
#include "vm/floor.h"

#include "vm/swap.h"

enum {
    PART = 32,              /* of memory, of a member's frames */
    MOST = 8192,            /* pages, of all */
    LEAST_OF_MEMBER = 16,   /* pages */
    SLOTS_FOR_BATCHES = 128 /* four batches */
};

static struct {
    uint64_t least;       /* so many pages of files stay */
    uint64_t files;       /* pages of files that are enrolled */
    unsigned slots_short; /* so many slots must come free before swap has room; 0: it has */
} state;

void floor_init(void)
{
    state = (__typeof__(state)){0};
}

void floor_set(uint64_t frames)
{
    state.least = frames / PART < MOST ? frames / PART : MOST;
}

void floor_add(const struct frame *frame)
{
    state.files += frame->use == FRAME_FILE;
}

void floor_take(const struct frame *frame)
{
    state.files -= frame->use == FRAME_FILE;
}

void floor_swap_full(void)
{
    state.slots_short = SLOTS_FOR_BATCHES;
}

void floor_slot_free(void)
{
    state.slots_short -= state.slots_short > 0;
}

bool floor_holds(void)
{
    return state.slots_short > 0 || !swap_is_on();
}

bool floor_keeps(uint64_t files, uint64_t frames)
{
    uint64_t least = frames / PART > LEAST_OF_MEMBER ? frames / PART : LEAST_OF_MEMBER;

    return state.files <= state.least || (files > 0 && files <= least);
}

uint64_t floor_files(void)
{
    return state.files;
}
