/*
 * Swap. See swap.h.
 */
#include "vm/swap.h"

#include "vm/object_internal.h"

void frame_unmapped_slowly(struct frame *frame)
{
    if (frame_mapcount(frame) == 0)
        reclaim_remove(frame);
}
