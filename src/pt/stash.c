/*
 * Frames taken before a change begins.
 *
 * The first STASH_INLINE sit in the structure. Those that come after are chained through their own first
 * words. So any number of frames can be held without memory of one's own, as long as a frame that is in no
 * table can be reached, which every way can.
 */
#include "pt/pt_internal.h"

static void stash_put(struct stash *stash, struct paddr frame)
{
    enum pt_way way = stash->pt->reach.way;
    struct pt_entry *word;

    if (stash->count++ < STASH_INLINE) {
        stash->frames[stash->count - 1] = frame;
        return;
    }
    word = frame_open(way, stash->pt, frame);
    word->bits = stash->chain.v;
    frame_close(way, stash->pt, word);
    stash->chain = frame;
}

enum status stash_fill(struct stash *stash, const struct pt *pt, uint64_t count)
{
    stash->pt = pt;
    stash->chain = paddr(0);
    stash->count = 0;
    if (count > 0 && !reach_can_park(&pt->reach))
        return ST_NO_SPACE;
    for (; count > 0; count--) {
        struct paddr frame;

        if (!pt->alloc->take(pt->alloc->context, &frame)) {
            stash_drop(stash);
            return ST_NO_MEMORY;
        }
        stash_put(stash, frame);
    }
    return ST_OK;
}

void stash_drop(struct stash *stash)
{
    const struct pt_alloc *alloc = stash->pt->alloc;

    while (stash->count > 0)
        alloc->give(alloc->context, stash_pop(stash->pt->reach.way, stash));
}
