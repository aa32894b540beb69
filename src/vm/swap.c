/*
 * Swap. See swap.h.
 */
#include "vm/swap.h"

#include "vm/pages.h"

void frame_unmapped_slowly(struct frame *frame)
{
    if (frame_mapcount(frame) == 0)
        pages_remove(frame);
}
