/*
 * Read-ahead from swap: which neighbours to read with a page that is wanted.
 *
 * A reader that goes on where one of its streams stopped gets twice as many pages as the time before, from
 * there on: a row is read in few requests, and its pages are mapped before anybody touches them.
 *
 *      slots  ...|  read last  | next: wanted, and more |        a stream
 *      slots  ...|    . . wanted . . .    |                      around: a group of slots, aligned
 *
 * Any other read takes the group of slots that the wanted one is in, as far as it is in swap in one piece.
 * How large groups are is learnt, for all readers together, from what becomes of the pages that nobody had
 * asked for: when hardly one leaves memory unused they become larger, else smaller, down to the page that is
 * wanted alone. Now and then a small group is tried then, to see whether it would pay again. While memory
 * holds what is read nothing is lost by it, so the first groups are not small.
 *
 * (Streams: Linux's mm/readahead.c keeps one a file. Windows by hits: its mm/swap_state.c, which counts hits
 * since the last read; here what is counted is whether a page was used before it went.)
 *
 * Locking: swap.lock, but for frame_seen_slowly().
 */
#include "vm/space_internal.h"
#include "vm/swap_internal.h"

enum {
    STREAM_FIRST = 4,
    GROUP_FIRST = 8,
    GROUP_TRIED = 4, /* once in so many reads when reading around does not pay: */
    TRY_EVERY = 32,
    JUDGED = 64,        /* after so many fates */
    LOST_FEW_PART = 16, /* fewer lost than one in so many: larger */
    LOST_MANY_PART = 5  /* more than one in so many: smaller */
};

void ahead_init(void)
{
    swap.ahead = (struct swap_ahead){.group = GROUP_FIRST};
}

/* A page that can be read for whoever will want it. */
static bool is_readable(uint32_t slot)
{
    const struct swap_slot *s;

    if (slot > swap.slots || !slot_is_taken(slot))
        return false;
    s = slot_at(slot);
    return s->count > 0 && s->frame == 0 && !(s->flags & (SLOT_ZERO | SLOT_BAD | SLOT_STALE));
}

static unsigned at_most(unsigned pages)
{
    return pages < swap.read_ahead ? pages : swap.read_ahead;
}

/* The stream that goes on with the slot, or SWAP_STREAMS. */
static unsigned stream_find(const struct swap_streams *streams, uint32_t slot)
{
    unsigned i = 0;

    for (; i < SWAP_STREAMS; i++) {
        uint32_t next = streams->stream[i].next;

        if (next != 0 && slot >= next && slot <= next + streams->stream[i].window)
            break;
    }
    return i;
}

static void go_on(struct swap_streams *streams, unsigned stream, uint32_t slot, struct ahead_row *row)
{
    unsigned window = streams->stream[stream].window;

    window = at_most(window < STREAM_FIRST ? STREAM_FIRST : 2 * window);
    *row = (struct ahead_row){.first = slot, .count = 1};
    while (row->count < window && is_readable(slot + row->count))
        row->count++;
    streams->stream[stream].next = slot + row->count;
    streams->stream[stream].window = window;
}

/* A power of two. */
static unsigned group_size(void)
{
    unsigned most = swap.ahead.group;

    if (most == 1 && ++swap.ahead.tried % TRY_EVERY == 0)
        most = GROUP_TRIED;
    while (most > at_most(most))
        most /= 2;
    return most;
}

static void look_around(struct swap_streams *streams, uint32_t slot, struct ahead_row *row)
{
    unsigned size = group_size();
    uint32_t begin = slot & ~(size - 1), first = slot, end = slot + 1;
    unsigned stream = streams->oldest++ % SWAP_STREAMS;

    while (first > begin && first > 1 && is_readable(first - 1))
        first--;
    while (end < begin + size && is_readable(end))
        end++;
    *row = (struct ahead_row){.first = first, .count = end - first, .around = true};
    streams->stream[stream].next = end;
    streams->stream[stream].window = 1;
}

void ahead_choose(struct swap_streams *streams, uint32_t slot, struct ahead_row *row)
{
    unsigned stream = stream_find(streams, slot);

    if (stream < SWAP_STREAMS)
        go_on(streams, stream, slot, row);
    else
        look_around(streams, slot, row);
}

void ahead_judge(bool used)
{
    struct swap_ahead *ahead = &swap.ahead;

    if (used)
        ahead->used++;
    else
        ahead->lost++;
    if (ahead->used + ahead->lost < JUDGED)
        return;
    if (ahead->lost * LOST_FEW_PART < JUDGED && ahead->group < SWAP_CLUSTER)
        ahead->group *= 2;
    else if (ahead->lost * LOST_MANY_PART > JUDGED && ahead->group > 1)
        ahead->group /= 2;
    ahead->used = ahead->lost = 0;
}

void frame_seen_slowly(struct frame *frame, struct pt_entry entry)
{
    if (pt_entry_present(entry) && entry.bits & PT_ACCESSED && frame_clear_flags(frame, FRAME_AHEAD))
        STAT(swap_ahead_hits);
}
