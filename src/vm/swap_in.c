/*
 * Pages come back from swap: found in the cache, or read, with some of their neighbours.
 *
 * Who finds a page not in memory puts an empty BUSY frame into the cache for it, with the lock of his table
 * or object, and reads without locks; whoever wants the page meanwhile finds the frame and sleeps on it. Then
 * all look again.
 *
 * Read-ahead. A reader that goes on where one of its streams stopped gets twice as many pages as the time
 * before; any other reads one page, and begins a stream. So pages that nobody wants are read only where a row
 * was read to its end, and reading in no order costs nothing. A stream that goes on although few of the pages
 * read ahead of it were used gets half. (Streams: Linux's mm/readahead.c keeps one a file; windows judged by
 * hits: its mm/swap_state.c.)
 */
#include "vm/object_internal.h"
#include "vm/pages.h"
#include "vm/pool.h"
#include "vm/space_internal.h"
#include "vm/swap_internal.h"
#include "vm/table.h"

enum { STREAM_FIRST = 4 };

/* ------------------------------------------------------------------ what to read */

/* Who reads, for read-ahead and for what it brings. */
struct reader {
    struct swap_streams *streams;
    uint32_t member;
};

/* How many pages to read from the slot on. With the lock. */
static unsigned choose_window(struct swap_streams *streams, uint32_t slot, unsigned *stream)
{
    for (unsigned i = 0; i < SWAP_STREAMS; i++) {
        uint32_t next = streams->stream[i].next, window = streams->stream[i].window;

        if (next == 0 || slot < next || slot > next + window)
            continue;
        *stream = i;
        window = window == 1 ? STREAM_FIRST : 2 * window;
        return window < swap.read_ahead ? window : swap.read_ahead;
    }
    *stream = streams->oldest++ % SWAP_STREAMS;
    return 1;
}

/* A page that can be read for whoever will want it. With the lock. */
static bool is_readable(uint32_t slot)
{
    const struct swap_slot *s;

    if (slot > swap.slots || !slot_is_taken(slot))
        return false;
    s = slot_at(slot);
    return s->count > 0 && s->frame == 0 && !(s->flags & (SLOT_ZERO | SLOT_BAD | SLOT_STALE));
}

/* A BUSY frame for the slot. With the lock. */
static bool join_read(struct swap_read *read, uint32_t slot, uint32_t member)
{
    struct frame *frame = frame_alloc(0, FRAME_ANON, FRAME_ANY);

    if (!frame)
        return false;
    frame->page.object = NULL;
    frame->page.index = slot_at(slot)->origin;
    frame->page.rmap[0] = 0;
    frame->page.rmap[1] = 0;
    frame->paging.member = member;
    frame_set_flags(frame, FRAME_BUSY);
    cache_insert(slot, frame);
    frame_unref(frame); /* the cache's is the only one */
    if (read->count > 0)
        slot_at(slot)->flags |= SLOT_AHEAD;
    read->frames[read->count++] = frame;
    return true;
}

/* The page of the slot is not in memory. With the lock. */
static enum status begin_read(struct swap_read *read, uint32_t slot, const struct reader *reader)
{
    struct swap_streams *streams = reader->streams;

    unsigned stream = 0, window = choose_window(streams, slot, &stream);

    read->first = slot;
    read->count = 0;
    while (read->count < window && (read->count == 0 || is_readable(slot + read->count)))
        if (!join_read(read, slot + read->count, reader->member))
            break;
    if (read->count == 0)
        return ST_NO_MEMORY;
    read->frame = read->frames[0];
    frame_ref(read->frame);
    streams->stream[stream].next = slot + read->count;
    streams->stream[stream].window = window;
    return ST_NEEDS_IO;
}

/* The frame of the slot, for a moment, in *frame: ST_OK. Else as swap_map(). With the lock. */
static enum status find(uint32_t slot, const struct reader *reader, struct swap_read *read,
                        struct frame **frame)
{
    struct swap_slot *s = slot_at(slot);

    *frame = slot_frame(s);
    if (!*frame)
        return begin_read(read, slot, reader);
    frame_ref(*frame);
    if (frame_flags(*frame) & FRAME_BUSY) {
        read->frame = *frame;
        read->count = 0;
        return ST_NEEDS_IO;
    }
    if (s->flags & SLOT_AHEAD) {
        s->flags &= (uint8_t)~SLOT_AHEAD;
        STAT(swap_ahead_hits);
    } else {
        STAT(swap_cache_hits);
    }
    return ST_OK;
}

/* ------------------------------------------------------------------ reading */

static enum status transfer(uint32_t slot, struct frame *const *frames, unsigned count)
{
    enum status status = swap.store.read(swap.store.context, slot, frames, count);

    STAT(swap_reads);
    if (status == ST_OK)
        host_tell(EVENT_PAGE_IN, EVENT_PAGE_SLOT | slot, count - 1);
    if (status == ST_OK)
        STAT_ADD(swap_ins, count);
    else
        STAT(swap_read_errors);
    return status == ST_OK ? ST_OK : ST_IO_ERROR;
}

/* Frames from `from` on are not BUSY any more; those that could not be read, and those that nobody wants now,
 * go. */
static void end_read(struct swap_read *read, unsigned from, enum status status)
{
    lock_take(&swap.lock);
    for (unsigned i = from; i < read->count; i++) {
        frame_clear_flags(read->frames[i], FRAME_BUSY);
        host_wake(read->frames[i]);
        if (status == ST_OK)
            pages_insert(read->frames[i], NAME_SWAP | (read->first + i));
        else
            frame_unref(cache_remove(read->first + i));
        slot_settle(read->first + i);
    }
    read->count = from;
    lock_drop(&swap.lock);
}

static void wait_for_reader(struct frame *frame)
{
    lock_take(&swap.lock);
    while (frame_flags(frame) & FRAME_BUSY)
        host_sleep(frame, &swap.lock);
    lock_drop(&swap.lock);
}

enum status swap_read_in(struct swap_read *read)
{
    enum status status;

    if (read->count == 0) {
        wait_for_reader(read->frame);
        return ST_OK;
    }
    status = transfer(read->first, read->frames, read->count);
    STAT_ADD(swap_ahead, read->count - 1);
    if (status != ST_OK && read->count > 1) { /* perhaps a page that nobody asked for: read this one alone */
        end_read(read, 1, status);
        status = transfer(read->first, read->frames, 1);
    }
    end_read(read, 0, status);
    return status;
}

/* ------------------------------------------------------------------ into a table */

static bool slot_is_zero(uint32_t slot)
{
    bool zero;

    lock_take(&swap.lock);
    zero = slot_at(slot)->flags & SLOT_ZERO && slot_at(slot)->frame == 0;
    lock_drop(&swap.lock);
    return zero;
}

/* A page of zeroes in the place of the mark: a frame for a write and for what must remember its origin, else
 * the frame of zeroes that all share. */
static enum status map_zero(struct frame *table, struct pt_entry *entry, struct pt_entry mark,
                            enum access access, uint32_t member)
{
    uint32_t slot = entry_slot(mark);
    uint64_t origin = swap_origin(slot);

    if (access != ACCESS_WRITE && origin == 0) {
        pt_entry_store(
            entry, page_make(frame_paddr(zero_frame), mark_access(mark), mark_traits(mark), false, false));
    } else {
        struct frame *frame = frame_alloc(0, FRAME_ANON, FRAME_ZERO);

        if (!frame)
            return ST_NO_MEMORY;
        frame->paging.member = member;
        table_map_private(table, entry, frame, origin, mark);
        if (!(mark_access(mark) & ACCESS_WRITE))
            pt_entry_store(entry, pt_entry(entry->bits & ~PT_WRITE));
    }
    table_count_privates(table, -1);
    swap_put(slot);
    return ST_OK;
}

/* Others want the frame as it is: the mark gets a copy. */
static enum status map_copy(struct frame *table, struct pt_entry *entry, struct pt_entry mark,
                            const struct frame *from, uint32_t member)
{
    enum status status = table_map_copy(table, entry, from, from->page.index, mark, member);

    if (status != ST_OK)
        return status;
    table_count_privates(table, -1); /* the slot that the mark was */
    swap_put(entry_slot(mark));
    return ST_OK;
}

/*
 * The frame takes the place of the mark. `alone`: nobody else wants it; then it gets W, and if it is to be
 * written to, or swap is filling up, its slot is let go. With W but without D in the entry, the MMU says when
 * it has come to differ from its slot.
 */
static enum status map_cached(struct pt_entry *entry, struct pt_entry mark, struct frame *frame, bool alone,
                              enum access access)
{
    uint32_t slot = entry_slot(mark);
    bool writable = alone && mark_access(mark) & ACCESS_WRITE;
    struct pt_entry page =
        page_make(frame_paddr(frame), mark_access(mark), mark_traits(mark), writable, false);
    enum status status = rmap_add(frame, entry_place(entry));

    if (status != ST_OK)
        return status;
    lock_take(&swap.lock);
    slot_at(slot)->count--;
    if (slot_at(slot)->flags & SLOT_LEAVING) {
        alone = false;
        page.bits &= ~PT_WRITE;
    }
    if (alone && access == ACCESS_WRITE) {
        frame_unref(cache_remove(slot));
        slot_free(slot);
    } else {
        slot_settle(slot);
    }
    if (frame_flags(frame) & FRAME_SLOT)
        page.bits &= ~PT_DIRTY;
    lock_drop(&swap.lock);
    pt_entry_store(entry, page);
    pages_insert(frame, 0);
    return ST_OK;
}

/* A write to a page that others want, or that is just leaving, is to a copy. */
enum status swap_map(struct frame *table, struct pt_entry *entry, struct pt_entry mark, enum access access,
                     struct space *space, struct swap_read *read)
{
    struct reader reader = {&space->streams, space_member(space)};
    uint32_t slot = entry_slot(mark);
    struct frame *frame;
    enum status status;
    bool alone = false;

    if (slot_is_zero(slot))
        return map_zero(table, entry, mark, access, reader.member);
    lock_take(&swap.lock);
    status = find(slot, &reader, read, &frame);
    if (status == ST_OK)
        alone =
            slot_at(slot)->count == 1 && frame_mapcount(frame) == 0 && !(slot_at(slot)->flags & SLOT_LEAVING);
    lock_drop(&swap.lock);
    if (status != ST_OK)
        return status;
    if (access == ACCESS_WRITE && !alone)
        status = map_copy(table, entry, mark, frame, reader.member);
    else
        status = map_cached(entry, mark, frame, alone, access);
    if (status == ST_OK)
        pages_touch(frame, reader.member);
    frame_unref(frame);
    return status;
}

/* ------------------------------------------------------------------ into an object */

/* A frame that nobody knows yet becomes page `index`, which was in the slot. */
static void object_gets(struct object *object, uint64_t index, struct frame *frame)
{
    frame->page.object = object;
    frame->page.index = index;
    radix_replace(&object->pages, index, frame);
    object->resident++;
    object->swapped--;
}

static enum status bring_copy(struct object *object, uint64_t index, uint32_t slot, const struct frame *from)
{
    struct frame *copy = frame_alloc(0, FRAME_SHARED, from ? FRAME_ANY : FRAME_ZERO);

    if (!copy)
        return ST_NO_MEMORY;
    if (from)
        host_copy_page(frame_data(copy), frame_data(from));
    frame_set_flags(copy, FRAME_DIRTY);
    copy->paging.member = MEMBER_NOBODY;
    object_gets(object, index, copy);
    pages_insert(copy, 0);
    swap_put(slot);
    return ST_OK;
}

/* The cache's frame becomes the object's, if nobody but the cache and the caller holds it: to anybody else it
 * is a private one. */
static bool bring_cached(struct object *object, uint64_t index, uint32_t slot, struct frame *frame)
{
    bool alone;

    lock_take(&swap.lock);
    pages_remove(frame); /* nobody can come to hold it by the policy after this */
    alone = frame_refs(frame) == 2;
    if (alone) {
        frame_set_use(frame, FRAME_SHARED);
        frame_ref(frame); /* the object's */
        object_gets(object, index, frame);
        slot_at(slot)->count = 0;
        slot_settle(slot);
    }
    lock_drop(&swap.lock);
    pages_insert(frame, 0);
    return alone;
}

enum status swap_bring(struct object *object, uint64_t index, uint32_t slot, struct swap_read *read)
{
    struct reader reader = {&object->streams, MEMBER_NOBODY};
    struct frame *frame;
    enum status status;

    if (slot_is_zero(slot))
        return bring_copy(object, index, slot, NULL);
    lock_take(&swap.lock);
    status = find(slot, &reader, read, &frame);
    lock_drop(&swap.lock);
    if (status != ST_OK)
        return status;
    if (!bring_cached(object, index, slot, frame))
        status = bring_copy(object, index, slot, frame);
    frame_unref(frame);
    return status;
}
