/*
 * Bringing an object's pages in from its store, and writing them back.
 *
 * A page that is being read is in the object already, BUSY: whoever wants it sleeps on its frame. A page that
 * is being written is WRITING; it stays readable and writable, and a write meanwhile makes it dirty again:
 * through a mapping by a fault, by whoever holds the page when he puts it back (object_put_written()).
 * Reading ahead: a reader that comes where the last one stopped gets twice as many pages as before, up to
 * WINDOW_MAX; any other gets WINDOW_FIRST, and pages in random order one at a time.
 *
 * Locking: the object's lock for the state of pages, never while the store works.
 */
#include <string.h>

#include "quire/watch.h"
#include "vm/object_internal.h"
#include "vm/pages.h"
#include "vm/space_internal.h"
#include "vm/view.h"

enum { WINDOW_FIRST = 4, WINDOW_MAX = 32, WRITE_CLUSTER = 32 };

/* An allocated frame becomes page `index`; its reference is the object's now. Locked. */
static enum status insert_page(struct object *object, uint64_t index, struct frame *frame, uint16_t flags)
{
    enum status status = radix_insert(&object->pages, index, frame);

    if (status != ST_OK)
        return status;
    frame->page.object = object;
    frame->page.index = index;
    frame->paging.member = MEMBER_NOBODY;
    frame->flags |= flags; /* nobody else looks at it yet */
    object->resident++;
    return ST_OK;
}

static enum frame_use page_use(const struct object *object)
{
    return object->pager ? FRAME_FILE : FRAME_SHARED;
}

/* ------------------------------------------------------------------ reading */

struct page_in {
    struct object *object;
    uint64_t first;
    unsigned count;
    struct frame *frames[WINDOW_MAX];
};

/* How many pages to read from `index` on. Locked. */
static unsigned choose_window(struct object *object, uint64_t index, unsigned wanted)
{
    uint64_t left = object_pages(object) - index;
    unsigned window = wanted;

    if (window == 0) {
        if (index == object->next_sequential && index != 0)
            object->window = object->window * 2 > WINDOW_MAX ? WINDOW_MAX : object->window * 2;
        else
            object->window = index == 0 || index == object->next_sequential ? WINDOW_FIRST : 1;
        window = object->window;
    }
    if (window > WINDOW_MAX)
        window = WINDOW_MAX;
    return left < window ? (unsigned)left : window;
}

/* Put BUSY frames where pages are missing, from io->first on, up to the first that is there. At least one, or
 * no memory. Locked. */
static enum status begin_page_in(struct page_in *io, unsigned window)
{
    while (io->count < window && !object_find(io->object, io->first + io->count)) {
        struct frame *frame = frame_alloc(0, FRAME_FILE, FRAME_ANY);

        if (!frame)
            break;
        if (insert_page(io->object, io->first + io->count, frame, FRAME_BUSY) != ST_OK) {
            frame_free(frame);
            break;
        }
        io->frames[io->count++] = frame;
    }
    return io->count > 0 ? ST_OK : ST_NO_MEMORY;
}

static void end_page_in(struct page_in *io, enum status status)
{
    struct object *object = io->object;

    lock_take(&object->lock);
    for (unsigned i = 0; i < io->count; i++) {
        struct frame *frame = io->frames[i];

        frame_clear_flags(frame, FRAME_BUSY);
        if (status != ST_OK) {
            radix_remove(&object->pages, io->first + i);
            object->resident--;
            frame->page.object = NULL;
        } else {
            pages_insert(frame, 0);
        }
    }
    if (status == ST_OK)
        object->next_sequential = io->first + io->count;
    lock_drop(&object->lock);
    for (unsigned i = 0; i < io->count; i++) {
        host_wake(io->frames[i]);
        if (status != ST_OK)
            frame_unref(io->frames[i]);
    }
}

static enum status page_in_alone(struct object *object, uint64_t index);

/* Page `index` is missing: read it, and some behind it. Called and left with the object locked; sleeps. */
static __attribute__((noinline)) enum status page_in(struct object *object, uint64_t index, unsigned wanted)
{
    struct page_in io = {.object = object, .first = index};
    enum status status = begin_page_in(&io, choose_window(object, index, wanted));

    if (status != ST_OK)
        return status;
    lock_drop(&object->lock);
    status = object->pager->read(object, io.first, io.frames, io.count);
    host_tell(EVENT_PAGE_IN, object_payload(object->id, io.first), io.count - 1);
    STAT_ADD(page_ins, io.count);
    STAT(page_in_reads);
    end_page_in(&io, status);
    lock_take(&object->lock);
    if (status != ST_OK && io.count > 1) /* perhaps a page that nobody asked for: read this one alone */
        return page_in_alone(object, index);
    return status;
}

static enum status page_in_alone(struct object *object, uint64_t index)
{
    if (index >= object_pages(object) || object_find(object, index)) /* meanwhile; the caller looks again */
        return ST_OK;
    return page_in(object, index, 1);
}

/* A missing page of an object without a store, or that is to be overwritten: zeroes. Without a store it is
 * all there is of the page, hence dirty. Locked. */
static enum status page_zero(struct object *object, uint64_t index)
{
    struct frame *frame;
    enum status status;

    if (!object_charge(object, 1))
        return ST_NO_SPACE;
    frame = frame_alloc(0, page_use(object), FRAME_ZERO);
    status = frame ? insert_page(object, index, frame, object->pager ? 0 : FRAME_DIRTY) : ST_NO_MEMORY;
    if (status == ST_OK) {
        pages_insert(frame, 0);
        return ST_OK;
    }
    object_uncharge(object, 1);
    if (frame)
        frame_free(frame);
    return status;
}

/* Page `index` is in swap: one attempt to have it back; ST_RETRY: look. Locked; sleeps. */
static SWAP_APART enum status page_from_swap(struct object *object, uint64_t index, uint32_t slot)
{
    struct swap_read read;
    enum status status = swap_bring(object, index, slot, &read);

    if (status == ST_NEEDS_IO) {
        lock_drop(&object->lock);
        status = swap_read_in(&read);
        frame_unref(read.frame);
        lock_take(&object->lock);
    }
    return status == ST_OK ? ST_RETRY : status;
}

bool object_is_hole(const struct frame *frame)
{
    return frame == zero_frame;
}

static enum status look_at_hole(struct frame **out)
{
    frame_ref(zero_frame);
    *out = zero_frame;
    return ST_OK;
}

/* One attempt; ST_RETRY: something was waited for. Locked. */
static enum status find_or_bring(struct object *object, uint64_t index, enum object_get how,
                                 struct frame **out)
{
    struct frame *frame;
    void *value;

    if (index >= object_pages(object))
        return ST_BEYOND_END;
    value = radix_get(&object->pages, index);
    frame = value;
    if (tag_slot(value))
        return page_from_swap(object, index, tag_slot(value));
    if (!frame && how == OBJECT_LOOK && !object->pager)
        return look_at_hole(out);
    if (!frame) {
        enum status status =
            object->pager && how != OBJECT_OVERWRITE ? page_in(object, index, 0) : page_zero(object, index);

        return status == ST_OK ? ST_RETRY : status;
    }
    if (frame_flags(frame) & FRAME_BUSY) {
        host_sleep(frame, &object->lock);
        return ST_RETRY;
    }
    frame_ref(frame);
    frame_set_flags(frame, how >= OBJECT_WRITE ? FRAME_DIRTY | FRAME_REFERENCED : FRAME_REFERENCED);
    if (__builtin_expect(vm_watching, 0))
        host_tell(EVENT_REFERENCE, watch_object_page(frame), how >= OBJECT_WRITE);
    *out = frame;
    return ST_OK;
}

enum status object_get_page(struct object *object, uint64_t index, enum object_get how, struct frame **out)
{
    enum status status;

    do {
        lock_take(&object->lock);
        do {
            status = find_or_bring(object, index, how, out);
        } while (status == ST_RETRY);
        lock_drop(&object->lock);
    } while (status == ST_NO_MEMORY && vm_make_room());
    if (__builtin_expect(__atomic_load_n(&frames_short, __ATOMIC_RELAXED), 0))
        (void)!reclaim_upkeep(NULL);
    return status;
}

void object_put_written(struct frame *frame)
{
    frame_set_flags(frame, FRAME_DIRTY);
    frame_unref(frame);
}

enum status object_adopt(struct object *object, uint64_t index, struct frame *frame)
{
    enum status status;

    lock_take(&object->lock);
    if (radix_get(&object->pages, index))
        status = ST_MAPPED;
    else
        status = insert_page(object, index, frame, object->pager ? 0 : FRAME_DIRTY);
    if (status == ST_OK) {
        frame_set_use(frame, page_use(object));
        if (object->quota)
            __atomic_fetch_add(&object->quota->used, 1, __ATOMIC_RELAXED);
    }
    lock_drop(&object->lock);
    return status;
}

/* The pages of [first, end) that are neither in memory nor in swap. Locked. */
static uint64_t missing(const struct object *object, uint64_t first, uint64_t end)
{
    uint64_t count = end - first;

    for (uint64_t index = first; radix_next(&object->pages, &index) != NULL && index < end; index++)
        count--;
    return count;
}

enum status object_fill(struct object *object, uint64_t first, uint64_t count)
{
    uint64_t pages, end;
    bool allowed;

    CHECK(!object->pager);
    lock_take(&object->lock);
    pages = object_pages(object);
    end = first + count < first || first + count > pages ? pages : first + count;
    allowed = first >= end || object_charge(object, missing(object, first, end));
    if (allowed && first < end)
        object_uncharge(object, missing(object, first, end)); /* each is charged when it comes */
    lock_drop(&object->lock);
    if (!allowed)
        return ST_NO_SPACE;
    for (uint64_t index = first; index < end; index++) {
        struct frame *frame;
        enum status status = object_get_page(object, index, OBJECT_READ, &frame);

        if (status != ST_OK)
            return status;
        frame_unref(frame);
    }
    return ST_OK;
}

void object_prefetch(struct object *object, uint64_t first, uint64_t count)
{
    uint64_t index = first;

    if (!object->pager)
        return;
    lock_take(&object->lock);
    while (index < first + count && index < object_pages(object)) {
        uint64_t left = first + count - index;

        if (object_find(object, index)) {
            index++;
            continue;
        }
        if (page_in(object, index, left < WINDOW_MAX ? (unsigned)left : WINDOW_MAX) != ST_OK)
            break;
    }
    lock_drop(&object->lock);
}

/* ------------------------------------------------------------------ copying */

enum status object_read(struct object *object, uint64_t offset, void *to, size_t bytes, size_t *done)
{
    uint64_t size = object_size(object);

    *done = 0;
    if (offset >= size)
        return ST_OK;
    if (bytes > size - offset)
        bytes = (size_t)(size - offset);
    while (*done < bytes) {
        size_t part = part_of_page(offset + *done, bytes - *done);
        struct frame *frame = NULL;
        enum status status = object_get_page(object, (offset + *done) >> PAGE_SHIFT, OBJECT_LOOK, &frame);

        if (status != ST_OK)
            return status == ST_BEYOND_END ? ST_OK : status;
        memcpy((char *)to + *done, (char *)frame_data(frame) + ((offset + *done) & PAGE_MASK), part);
        frame_unref(frame);
        *done += part;
    }
    return ST_OK;
}

enum status object_write(struct object *object, uint64_t offset, const void *from, size_t bytes, size_t *done)
{
    uint64_t size = object_size(object);

    *done = 0;
    if (offset > size || bytes > size - offset)
        return ST_BEYOND_END;
    while (*done < bytes) {
        size_t part = part_of_page(offset + *done, bytes - *done);
        struct frame *frame = NULL;
        enum status status = object_get_page(object, (offset + *done) >> PAGE_SHIFT,
                                             part == PAGE_SIZE ? OBJECT_OVERWRITE : OBJECT_WRITE, &frame);

        if (status != ST_OK)
            return status;
        memcpy((char *)frame_data(frame) + ((offset + *done) & PAGE_MASK), (const char *)from + *done, part);
        object_put_written(frame);
        *done += part;
    }
    return ST_OK;
}

/* ------------------------------------------------------------------ writing back */

struct write_back {
    struct object *object;
    uint64_t first;
    uint64_t bytes;
    unsigned count;
    bool mapped;
    struct frame *frames[WRITE_CLUSTER];
};

/* The next run of dirty pages at or above *index, below `end`, clean from now on and WRITING. False: there is
 * none. Locked; may wait. */
static bool begin_write_back(struct write_back *io, uint64_t *index, uint64_t end)
{
    struct object *object = io->object;

    io->count = 0;
    io->mapped = false;
    while (io->count < WRITE_CLUSTER) {
        uint64_t at = *index;
        struct frame *frame = radix_next(&object->pages, &at);

        if (!frame || at >= end || (io->count > 0 && at != *index))
            break;
        if (frame_flags(frame) & FRAME_WRITING) {
            if (io->count > 0)
                break;
            host_sleep(frame, &object->lock);
            continue;
        }
        *index = at + 1;
        if (!(frame_flags(frame) & FRAME_DIRTY) || (frame_flags(frame) & FRAME_BUSY)) {
            if (io->count > 0)
                break;
            continue;
        }
        if (io->count == 0)
            io->first = at;
        frame_ref(frame);
        frame_clear_flags(frame, FRAME_DIRTY);
        frame_set_flags(frame, FRAME_WRITING);
        io->mapped |= object_protect_frame(frame);
        io->frames[io->count++] = frame;
    }
    io->bytes = object->size > io->first << PAGE_SHIFT ? object->size - (io->first << PAGE_SHIFT) : 0;
    if (io->bytes > io->count * PAGE_SIZE)
        io->bytes = io->count * PAGE_SIZE;
    return io->count > 0;
}

static void end_write_back(struct write_back *io, enum status status)
{
    lock_take(&io->object->lock);
    for (unsigned i = 0; i < io->count; i++) {
        frame_clear_flags(io->frames[i], FRAME_WRITING);
        if (status != ST_OK)
            frame_set_flags(io->frames[i], FRAME_DIRTY);
    }
    lock_drop(&io->object->lock);
    for (unsigned i = 0; i < io->count; i++) {
        host_wake(io->frames[i]);
        frame_unref(io->frames[i]);
    }
}

static enum status write_back(struct write_back *io)
{
    enum status status = ST_OK;

    if (io->mapped) {
        STAT(flush_all);
        host_flush_all();
    }
    if (io->bytes > 0)
        status = io->object->pager->write(io->object, io->first, io->frames, io->count, io->bytes);
    if (status == ST_OK) {
        host_tell(EVENT_PAGE_OUT, object_payload(io->object->id, io->first), io->count - 1);
        STAT_ADD(write_backs, io->count);
    }
    STAT(write_back_writes);
    end_write_back(io, status);
    return status;
}

enum status object_sync(struct object *object, uint64_t first, uint64_t count)
{
    struct write_back io = {.object = object};
    uint64_t end = first + count < first ? UINT64_MAX : first + count;
    uint64_t index = first;
    enum status status = ST_OK;

    if (!object->pager)
        return ST_OK;
    for (;;) {
        bool more;
        enum status one;

        lock_take(&object->lock);
        more = begin_write_back(&io, &index, end);
        lock_drop(&object->lock);
        if (!more)
            return status;
        one = write_back(&io);
        if (status == ST_OK)
            status = one;
    }
}

enum status objects_sync_all(void)
{
    enum status status = ST_OK;
    struct object *object;

    for (uint32_t above = 0; (object = object_next(above)) != NULL; object_unref(object)) {
        enum status one = object_sync(object, 0, UINT64_MAX);

        above = object->id;
        if (status == ST_OK)
            status = one;
    }
    return status;
}

/* ------------------------------------------------------------------ dropping */

uint64_t object_drop(struct object *object, uint64_t first, uint64_t count)
{
    uint64_t end = first + count < first ? UINT64_MAX : first + count;
    uint64_t index = first;
    uint64_t dropped = 0;
    struct frame *frame;

    if (!object->pager)
        return 0;
    lock_take(&object->lock);
    for (; (frame = radix_next(&object->pages, &index)) != NULL && index < end; index++) {
        if (frame_refs(frame) != 1 || frame_flags(frame) & (FRAME_BUSY | FRAME_WRITING | FRAME_DIRTY) ||
            view_is_mapped(frame))
            continue;
        if (object_unmap_frame(frame)) {
            STAT(flush_all);
            host_flush_all();
        }
        radix_remove(&object->pages, index);
        object->resident--;
        pages_remove(frame);
        frame->page.object = NULL;
        frame_unref(frame);
        dropped++;
    }
    lock_drop(&object->lock);
    return dropped;
}

uint64_t objects_drop_all(void)
{
    uint64_t dropped = 0;
    struct object *object;

    for (uint32_t above = 0; (object = object_next(above)) != NULL; object_unref(object)) {
        dropped += object_drop(object, 0, UINT64_MAX);
        above = object->id;
    }
    return dropped;
}
