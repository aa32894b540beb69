/*
 * Frames taken before a change begins.
 *
 * The first STASH_INLINE sit in the structure. After these, a frame becomes a page of numbers: its word 0 is
 * the page of numbers before it, its words 1 to 511 are frames. So any number of frames can be held without
 * memory of one's own, as long as a frame that is in no table can be reached, which every way can.
 */
#include "pt/pt_internal.h"

enum { PAGE_NUMBERS = PT_ENTRIES - 1 };

static void stash_put(struct stash *stash, struct paddr frame)
{
    enum pt_way way = stash->pt->reach.way;

    if (stash->count < STASH_INLINE) {
        stash->frames[stash->count++] = frame;
    } else if (stash->page.v != 0 && stash->in_page < PAGE_NUMBERS) {
        struct pt_entry *numbers = frame_open(way, stash->pt, stash->page);

        numbers[++stash->in_page].bits = frame.v;
        frame_close(way, stash->pt, numbers);
    } else {
        struct pt_entry *numbers = frame_open(way, stash->pt, frame);

        numbers[0].bits = stash->page.v;
        frame_close(way, stash->pt, numbers);
        stash->page = frame;
        stash->in_page = 0;
    }
}

enum status stash_fill(struct stash *stash, const struct pt *pt, uint64_t count)
{
    stash->pt = pt;
    stash->page = paddr(0);
    stash->in_page = 0;
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

/* The newest page of numbers, which has none left, is a frame like the others. */
static struct paddr pop_page(struct stash *stash)
{
    enum pt_way way = stash->pt->reach.way;
    struct paddr frame = stash->page;
    struct pt_entry *numbers = frame_open(way, stash->pt, frame);

    stash->page = paddr(numbers[0].bits);
    stash->in_page = PAGE_NUMBERS;
    if (stash->pt->alloc->zeroed)
        __builtin_memset(numbers, 0, PAGE_SIZE);
    frame_close(way, stash->pt, numbers);
    return frame;
}

struct paddr stash_pop(struct stash *stash)
{
    enum pt_way way = stash->pt->reach.way;

    if (stash->page.v == 0)
        return stash->frames[--stash->count];
    if (stash->in_page == 0)
        return pop_page(stash);

    struct pt_entry *numbers = frame_open(way, stash->pt, stash->page);
    struct paddr frame = paddr(numbers[stash->in_page--].bits);

    frame_close(way, stash->pt, numbers);
    return frame;
}

void stash_drop(struct stash *stash)
{
    const struct pt_alloc *alloc = stash->pt->alloc;

    while (stash->page.v != 0 || stash->count > 0)
        alloc->give(alloc->context, stash_pop(stash));
}
