/*
 * What a thread will need next, by the faults that it makes.
 *
 * A stream is a run of faults at the same distance: 1 for a scan, -1 for one downwards, the length of a row
 * for a column. A thread has a few, since it may copy from one place to another; two faults near each other,
 * or three at the same distance, are where one begins. Once a stream has lasted for some faults, pages ahead
 * of it are asked for: 4, and twice as many each time the thread gets there, up to 1 MiB. In ascending order
 * the first of them come with the page that the thread brings in itself, up to SLOT_PAGES. More is asked for
 * while a window is left, so that who reads has always something to do.
 *
 *      touched  touched  here             asked for
 *         o--------o--------o--------.--------.--------.--------.
 *          stride         `last`           `asked` of them
 *
 * It stops when it does not pay: a region trusts read-ahead a little more each time a stream gets to what was
 * asked for, and less each time one ends before it got to half; without trust, a stream must last much longer
 * first.
 *
 * Locking: `busy`, tried only: a thread's own streams are always free, since signals are blocked wherever
 * they change; those that threads of handlers.c look after for others may not be, and then nothing is learnt.
 */
#include "pager.h"

enum {
    NEAR = 64,               /* pages: two faults no further apart may be a stream */
    RUN_TRUSTED = 2,         /* faults at the same distance before anything is asked for */
    RUN_UNTRUSTED = 32,      /* the same without trust */
    TRUST_LEAST = -4,        /* it begins at 0: so many failures are forgiven */
    TRUST_MOST = 4,          /* a long good past does not count for ever */
    WINDOW_FIRST = 4,        /* pages asked for at first */
    WINDOW_MOST = 256,       /* in the end, when neighbours are read together */
    WINDOW_MOST_SINGLE = 32, /* when each page is a read of its own */
    PART_OF_FRAMES = 16      /* never more of the budget than this part of it */
};

THREAD_OWN struct streams of_thread;
THREAD_OWN struct streams *of_other; /* NULL: this thread's own faults */

void stream_is_for(struct streams *streams)
{
    of_other = streams;
}

static void trust_change(struct region *region, int by)
{
    int trust = atomic_load_explicit(&region->trust, memory_order_relaxed);

    if ((by < 0 && trust > TRUST_LEAST) || (by > 0 && trust < TRUST_MOST))
        atomic_store_explicit(&region->trust, trust + by, memory_order_relaxed);
}

static bool is_trusted(const struct region *region)
{
    return atomic_load_explicit(&((struct region *)region)->trust, memory_order_relaxed) > TRUST_LEAST;
}

/* It has not got to half of what was asked for last. */
static bool is_wasted(const struct stream *stream)
{
    return stream->asked * 2 > stream->window;
}

static int64_t distance_to(const struct stream *stream, struct place place)
{
    return (int64_t)(place.page - stream->last);
}

/* Strides from the last fault to `page`, if the stream was to get there next or has asked for it; 0: neither.
 */
static uint32_t steps_to(const struct stream *stream, struct place place)
{
    int64_t distance = distance_to(stream, place), steps;

    if (stream->region != place.region || stream->stride == 0 || distance % stream->stride != 0)
        return 0;
    steps = distance / stream->stride;
    return steps > 0 && steps <= (int64_t)stream->asked + 1 ? (uint32_t)steps : 0;
}

static void stream_moves(struct stream *stream, struct region *region, uint32_t steps)
{
    uint32_t left = steps > stream->asked ? 0 : stream->asked - steps;

    if (is_wasted(stream) && left * 2 <= stream->window)
        trust_change(region, 1);
    stream->asked = left;
    stream->last += (uint64_t)((int64_t)steps * stream->stride);
    stream->run++;
}

static void stream_turns(struct stream *stream, struct place place, uint32_t run)
{
    stream->stride = distance_to(stream, place);
    stream->last = place.page;
    stream->run = run;
}

/* A young stream that was near; NULL: none. */
static struct stream *stream_near(struct streams *streams, struct place place)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        int64_t distance = distance_to(&streams->stream[i], place);

        if (streams->stream[i].region == place.region && streams->stream[i].run < RUN_TRUSTED &&
            distance != 0 && distance <= NEAR && distance >= -NEAR) {
            stream_turns(&streams->stream[i], place, 1);
            return &streams->stream[i];
        }
    }
    return NULL;
}

/* Two single faults as far apart as the second is from this one; NULL: there are none such. */
static struct stream *stream_of_three(struct streams *streams, struct place place)
{
    for (unsigned i = 0; i < STREAMS; i++)
        for (unsigned j = 0; j < STREAMS; j++)
            if (i != j && streams->stream[i].run == 0 && streams->stream[j].run == 0 &&
                streams->stream[i].region == place.region && streams->stream[j].region == place.region &&
                streams->stream[i].last != streams->stream[j].last &&
                streams->stream[j].last - streams->stream[i].last == place.page - streams->stream[j].last) {
                stream_turns(&streams->stream[j], place, RUN_TRUSTED);
                return &streams->stream[j];
            }
    return NULL;
}

static struct stream *stream_oldest(struct streams *streams)
{
    struct stream *oldest = &streams->stream[0];

    for (unsigned i = 1; i < STREAMS; i++)
        if (streams->turn - streams->stream[i].used > streams->turn - oldest->used)
            oldest = &streams->stream[i];
    return oldest;
}

/* The stream that the fault belongs to. */
static struct stream *stream_of(struct streams *streams, struct place place)
{
    struct stream *stream;
    uint32_t steps;

    for (unsigned i = 0; i < STREAMS; i++)
        if ((steps = steps_to(&streams->stream[i], place)) > 0) {
            stream_moves(&streams->stream[i], place.region, steps);
            return &streams->stream[i];
        }
    if ((stream = stream_near(streams, place)) || (stream = stream_of_three(streams, place)))
        return stream;
    stream = stream_oldest(streams);
    if (stream->region == place.region && is_wasted(stream))
        trust_change(place.region, -1);
    *stream = (struct stream){.region = place.region, .last = place.page};
    return stream;
}

static uint32_t window_most(const struct stream *stream, const struct quire_member *member)
{
    uint32_t most = stream->stride == 1 || stream->stride == -1 ? WINDOW_MOST : WINDOW_MOST_SINGLE;

    return most < member_frames(member) / PART_OF_FRAMES ? most : member_frames(member) / PART_OF_FRAMES;
}

/* Pages that the thread brings in itself: what was asked for and has not come begins with them. */
static uint32_t own_part(const struct stream *stream, enum stream_use use)
{
    if (use == STREAM_WAITS || stream->stride != 1 || stream->window <= 1)
        return 1;
    return stream->window < SLOT_PAGES ? stream->window : SLOT_PAGES;
}

/* Asks for a window more while no more than the last one is left. How many pages the thread brings in itself.
 */
static uint32_t stream_asks(struct stream *stream, struct place place, enum stream_use use)
{
    uint32_t most = window_most(stream, place.region->member), own;

    if (stream->asked > stream->window)
        return own_part(stream, use);
    stream->window = stream->window == 0 ? WINDOW_FIRST : 2 * stream->window;
    if (stream->window > most)
        stream->window = most;
    own = own_part(stream, use);
    if (stream->asked < own - 1)
        stream->asked = own - 1;
    if (use == STREAM_ZEROES || (own > 1 && own < SLOT_PAGES)) /* the beginning: all of it comes at once */
        return own;
    stream->asked +=
        ahead_ask(place.region, place.page + (uint64_t)((int64_t)(stream->asked + 1) * stream->stride),
                  stream->stride, stream->window);
    return own;
}

static uint32_t streams_fault(struct streams *streams, struct place place, enum stream_use use, int advice)
{
    struct stream *stream = stream_of(streams, place);

    stream->used = streams->turn++;
    if (advice == QUIRE_SEQUENTIAL && stream->run == 0) { /* it is believed at once */
        stream->stride = 1;
        stream->run = RUN_UNTRUSTED;
        stream->window = SLOT_PAGES / 2;
    }
    if (stream->run < (is_trusted(place.region) ? RUN_TRUSTED : RUN_UNTRUSTED))
        return 1;
    return stream_asks(stream, place, use);
}

uint32_t stream_fault(struct place place, enum stream_use use)
{
    int advice = atomic_load_explicit(&place.region->advice, memory_order_relaxed);
    struct streams *streams = of_other ? of_other : &of_thread;
    uint32_t pages = 1;

    if (advice == QUIRE_RANDOM || atomic_exchange(&streams->busy, 1) != 0)
        return 1;
    pages = streams_fault(streams, place, use, advice);
    atomic_store(&streams->busy, 0);
    return pages;
}
