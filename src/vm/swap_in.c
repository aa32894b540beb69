/*
 * Pages come back from swap: found in the cache, or read, with some of their neighbours.
 *
 * Who finds a page not in memory puts an empty BUSY frame into the cache for it, with the lock of his table
 * or object, and reads without locks; whoever wants the page meanwhile finds the frame and sleeps on it. Then
 * all look again.
 *
 * Pages that are read ahead (swap_ahead.c) are in the cache only, and taken for not used, until somebody
 * touches them. Those that a stream brought are mapped when its next fault is over, without the A bit, as far
 * as they stand side by side in the table: the MMU says which were used, without a fault for each.
 */
#include <string.h>

#include "vm/object_internal.h"
#include "vm/pages.h"
#include "vm/pool.h"
#include "vm/space_internal.h"
#include "vm/swap_internal.h"
#include "vm/table.h"

/* ------------------------------------------------------------------ what to read */

/* Who reads, for read-ahead and for what it brings. */
struct reader {
    struct swap_streams *streams;
    uint32_t member;
};

/* A BUSY frame for the slot, which only the cache has; NULL: no memory. With the lock. */
static struct frame *begin_page(uint32_t slot, uint32_t member)
{
    struct frame *frame = frame_alloc(0, FRAME_ANON, FRAME_ANY);

    if (!frame)
        return NULL;
    frame->page.object = NULL;
    frame->page.index = slot_origin(slot_at(slot));
    frame->page.rmap[0] = 0;
    frame->page.rmap[1] = 0;
    frame->paging.member = member;
    frame_set_flags(frame, FRAME_BUSY);
    cache_insert(slot, frame);
    frame_unref(frame);
    return frame;
}

/* A page that is read with the wanted one. With the lock. */
static struct frame *begin_ahead(uint32_t slot, const struct ahead_row *row, uint32_t member)
{
    struct frame *frame = begin_page(slot, member);

    if (!frame)
        return NULL;
    frame_set_flags(frame, FRAME_AHEAD);
    if (row->around)
        slot_at(slot)->flags |= SLOT_AROUND;
    return frame;
}

/* The page of the slot is not in memory. Where memory ends the row does. With the lock. */
static enum status begin_read(struct swap_read *read, uint32_t slot, const struct reader *reader)
{
    uint32_t first = slot, end = slot + 1;
    struct ahead_row row;
    struct frame **frames = read->frames; /* by slot, from row.first on */

    ahead_choose(reader->streams, slot, &row);
    read->frame = begin_page(slot, reader->member);
    if (!read->frame)
        return ST_NO_MEMORY;
    frame_ref(read->frame);
    frames[slot - row.first] = read->frame;
    for (; end < row.first + row.count; end++)
        if (!(frames[end - row.first] = begin_ahead(end, &row, reader->member)))
            break;
    for (; first > row.first; first--)
        if (!(frames[first - 1 - row.first] = begin_ahead(first - 1, &row, reader->member)))
            break;
    read->first = first;
    read->count = end - first;
    read->wanted = slot - first;
    if (first != row.first)
        memmove(frames, &frames[first - row.first], read->count * sizeof(struct frame *));
    return ST_NEEDS_IO;
}

/* Somebody asked for a page that is in memory. With the lock. */
static void count_found(struct swap_slot *s, struct frame *frame)
{
    if (!frame_clear_flags(frame, FRAME_AHEAD)) {
        STAT(swap_cache_hits);
        return;
    }
    STAT(swap_ahead_hits);
    if (s->flags & SLOT_AROUND)
        ahead_judge(true);
    s->flags &= (uint8_t)~SLOT_AROUND;
}

/* The frame of the slot, for a moment, in *frame: ST_OK; NULL: a page of zeroes, which stays one as long as
 * the caller's mark does. Else as swap_map(). With the lock. */
static enum status find(uint32_t slot, const struct reader *reader, struct swap_read *read,
                        struct frame **frame)
{
    struct swap_slot *s = slot_at(slot);

    *frame = slot_frame(s);
    if (!*frame)
        return s->flags & SLOT_ZERO ? ST_OK : begin_read(read, slot, reader);
    frame_ref(*frame);
    if (frame_flags(*frame) & FRAME_BUSY) {
        read->frame = *frame;
        read->count = 0;
        return ST_NEEDS_IO;
    }
    count_found(s, *frame);
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

/* The frame is not BUSY any more; if it could not be read, or nobody wants it now, it goes. With the lock. */
static void end_page(uint32_t slot, struct frame *frame, enum status status)
{
    frame_clear_flags(frame, FRAME_BUSY);
    host_wake(frame);
    if (status == ST_OK)
        pages_insert(frame, NAME_SWAP | slot);
    else
        frame_unref(cache_remove(slot));
    slot_settle(slot);
}

static void end_read(const struct swap_read *read, enum status status)
{
    lock_take(&swap.lock);
    for (unsigned i = 0; i < read->count; i++)
        end_page(read->first + i, read->frames[i], status);
    lock_drop(&swap.lock);
}

/* Those that nobody asked for have not been read: only the wanted one is left. */
static void end_others(struct swap_read *read)
{
    lock_take(&swap.lock);
    for (unsigned i = 0; i < read->count; i++)
        if (i != read->wanted)
            end_page(read->first + i, read->frames[i], ST_IO_ERROR);
    lock_drop(&swap.lock);
    read->first += read->wanted;
    read->frames[0] = read->frame;
    read->wanted = 0;
    read->count = 1;
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
    if (status != ST_OK && read->count > 1) { /* perhaps a page that nobody asked for */
        end_others(read);
        status = transfer(read->first, read->frames, 1);
    }
    end_read(read, status);
    return status;
}

/* ------------------------------------------------------------------ into a table */

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

enum map { MAP_READ, MAP_WRITE, MAP_AHEAD };

/*
 * The frame takes the place of the mark. `alone`: nobody else wants it; then it gets W, and if it is to be
 * written to, or swap is filling up, its slot is let go. With W but without D in the entry, the MMU says when
 * it has come to differ from its slot; without A, for a page that nobody asked for yet, when it is used.
 */
static enum status map_cached(struct pt_entry *entry, struct pt_entry mark, struct frame *frame, bool alone,
                              enum map how)
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
    if (alone && how == MAP_WRITE) {
        frame_unref(cache_remove(slot));
        slot_free(slot);
    } else {
        slot_settle(slot);
    }
    if (frame_flags(frame) & FRAME_SLOT)
        page.bits &= ~PT_DIRTY;
    lock_drop(&swap.lock);
    if (how == MAP_AHEAD)
        page.bits &= ~PT_ACCESSED;
    pt_entry_store(entry, page);
    if (!(frame_flags(frame) & FRAME_LISTED)) /* else it is, or who takes it from the list puts it back */
        pages_insert(frame, 0);
    return ST_OK;
}

/* The page of the slot, held, if it was read ahead for a stream and nobody but the mark wants it. */
static struct frame *take_ahead(uint32_t slot)
{
    struct frame *frame = NULL;
    const struct swap_slot *s;

    lock_take(&swap.lock);
    s = slot_at(slot);
    if (s->frame != 0 && s->count == 1 && !(s->flags & (SLOT_AROUND | SLOT_LEAVING)))
        frame = slot_frame(s);
    if (frame && frame_mapcount(frame) == 0 &&
        (frame_flags(frame) & (FRAME_AHEAD | FRAME_BUSY)) == FRAME_AHEAD)
        frame_ref(frame);
    else
        frame = NULL;
    lock_drop(&swap.lock);
    return frame;
}

/* Maps the page of a mark beside one that has been mapped, if it is there. */
static bool map_ahead(struct pt_entry *entry)
{
    struct pt_entry mark = pt_entry_load(entry);
    struct frame *frame;
    enum status status;

    if (entry_slot(mark) == 0 || mark_access(mark) == ACCESS_NONE)
        return false;
    frame = take_ahead(entry_slot(mark));
    if (!frame)
        return false;
    status = map_cached(entry, mark, frame, true, MAP_AHEAD);
    frame_unref(frame);
    return status == ST_OK;
}

static void map_row(const struct frame *table, struct pt_entry *entry)
{
    struct pt_entry *last = &table_entries(table)[PT_ENTRIES - 1];
    unsigned left = SWAP_CLUSTER;

    while (entry < last && left-- > 0 && map_ahead(++entry))
        continue;
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

    lock_take(&swap.lock);
    status = find(slot, &reader, read, &frame);
    if (status == ST_OK && frame)
        alone =
            slot_at(slot)->count == 1 && frame_mapcount(frame) == 0 && !(slot_at(slot)->flags & SLOT_LEAVING);
    lock_drop(&swap.lock);
    if (status != ST_OK)
        return status;
    if (!frame)
        return map_zero(table, entry, mark, access, reader.member);
    if (access == ACCESS_WRITE && !alone)
        status = map_copy(table, entry, mark, frame, reader.member);
    else
        status = map_cached(entry, mark, frame, alone, access == ACCESS_WRITE ? MAP_WRITE : MAP_READ);
    if (status == ST_OK) {
        pages_touch(frame, reader.member);
        map_row(table, entry);
    }
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

    lock_take(&swap.lock);
    status = find(slot, &reader, read, &frame);
    lock_drop(&swap.lock);
    if (status != ST_OK)
        return status;
    if (!frame)
        return bring_copy(object, index, slot, NULL);
    if (!bring_cached(object, index, slot, frame))
        status = bring_copy(object, index, slot, frame);
    frame_unref(frame);
    return status;
}
