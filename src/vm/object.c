/*
 * Memory objects: their lives, their numbers, their pages as the fault handler and files see them.
 *
 * Invariants: holds is the number of references plus mapped; resident is the number of frames in `pages`; a
 * frame in `pages` has page.object and page.index set to here and holds one reference for it; a frame that is
 * BUSY is mapped nowhere.
 *
 * Locking: object->lock (RANK_OBJECT) for pages, size and the flags of its frames. Tables are locked (by the
 * reverse map) while it is held, so who holds a table may only try it. The directory's lock (RANK_DIRECTORY)
 * for the numbers, the list of all and the dying. What sleeps holds neither.
 */
#include "vm/object_internal.h"

#include <string.h>

#include "quire/slab.h"
#include "vm/pages.h"
#include "vm/space_internal.h"
#include "vm/view.h"

enum { DIRECTORY_BITS = 10, DIRECTORY_SLOTS = 1 << DIRECTORY_BITS };
_Static_assert(2 * DIRECTORY_BITS == OBJECT_ID_BITS, "a two-level table of all numbers");

static struct spinlock directory_lock;
static struct object **directory[DIRECTORY_SLOTS];
static uint32_t lowest_free = 1; /* no number below is free; 0 is no object's number */
static struct list all_objects = LIST_INIT(all_objects);
struct object *objects_dying;

/* A hosted test begins with a new machine, hence everything. */
void objects_init(void)
{
    memset(directory, 0, sizeof directory);
    lowest_free = 1;
    list_init(&all_objects);
    objects_dying = NULL;
    lock_init(&directory_lock, RANK_DIRECTORY);
}

struct object *object_by_id(uint32_t id)
{
    return directory[id >> DIRECTORY_BITS][id & (DIRECTORY_SLOTS - 1)];
}

/* ------------------------------------------------------------------ lives */

/* Takes the lowest free number and makes its place, so that the directory stays as small as the most objects
 * that ever lived at once; 0 when there is none. The directory is locked. */
static uint32_t take_id(struct object *object)
{
    for (uint32_t id = lowest_free; id < 1u << OBJECT_ID_BITS; id++) {
        struct object ***page = &directory[id >> DIRECTORY_BITS];

        if (!*page && !(*page = slab_alloc(DIRECTORY_SLOTS * sizeof **page)))
            return 0;
        if (!(*page)[id & (DIRECTORY_SLOTS - 1)]) {
            (*page)[id & (DIRECTORY_SLOTS - 1)] = object;
            lowest_free = id + 1;
            return id;
        }
    }
    return 0;
}

static void give_id(uint32_t id)
{
    directory[id >> DIRECTORY_BITS][id & (DIRECTORY_SLOTS - 1)] = NULL;
    if (id < lowest_free)
        lowest_free = id;
}

struct object *object_create(const struct pager_ops *pager, void *data, uint64_t size_bytes)
{
    struct object *object = slab_alloc(sizeof *object);

    if (!object)
        return NULL;
    lock_init(&object->lock, RANK_OBJECT);
    object->holds = 1;
    object->size = size_bytes;
    object->pager = pager;
    object->data = data;
    object->window = 1;
    list_init(&object->all);
    lock_take(&directory_lock);
    object->id = take_id(object);
    if (object->id != 0)
        list_push_back(&all_objects, &object->all);
    lock_drop(&directory_lock);
    if (object->id == 0) {
        slab_free(object);
        return NULL;
    }
    return object;
}

void object_ref(struct object *object)
{
    __atomic_fetch_add(&object->holds, 1, __ATOMIC_RELAXED);
}

static void release(struct object *object, uint64_t count)
{
    if (__atomic_sub_fetch(&object->holds, count, __ATOMIC_ACQ_REL) != 0)
        return;
    lock_take(&directory_lock);
    if (!object->queued) {
        object->queued = true;
        object->next_dying = objects_dying;
        __atomic_store_n(&objects_dying, object, __ATOMIC_RELAXED);
    }
    lock_drop(&directory_lock);
}

void object_unref(struct object *object)
{
    release(object, 1);
    objects_reap();
}

void object_release_pages(struct object *object, uint64_t pages)
{
    __atomic_fetch_sub(&object->mapped, pages, __ATOMIC_RELAXED);
    release(object, pages);
}

/* ------------------------------------------------------------------ quotas */

void object_set_quota(struct object *object, struct object_quota *quota)
{
    CHECK_ALWAYS(!object->pager && object->resident + object->swapped == 0);
    object->quota = quota;
}

bool object_charge(struct object *object, uint64_t pages)
{
    struct object_quota *quota = object->quota;

    if (!quota)
        return true;
    if (__atomic_add_fetch(&quota->used, pages, __ATOMIC_RELAXED) <=
        __atomic_load_n(&quota->limit, __ATOMIC_RELAXED))
        return true;
    __atomic_fetch_sub(&quota->used, pages, __ATOMIC_RELAXED);
    return false;
}

void object_uncharge(struct object *object, uint64_t pages)
{
    if (object->quota)
        __atomic_fetch_sub(&object->quota->used, pages, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ the end of pages */

/* A value leaves `pages`: the frame, which is the caller's, or NULL: the page was in swap, and that is done.
 */
static struct frame *take_out(struct object *object, uint64_t index)
{
    void *value = radix_remove(&object->pages, index);
    struct frame *frame = value;

    object_uncharge(object, 1);
    if (tag_slot(value)) {
        object->swapped--;
        swap_put(tag_slot(value));
        return NULL;
    }
    object->resident--;
    pages_remove(frame);
    frame_forget_slot(frame);
    __atomic_store_n(&frame->page.object, NULL, __ATOMIC_RELAXED); /* swap looks before it has the lock */
    return frame;
}

/* The object is dying; whoever has its frames, as reclaim may, has seen it alive and lets it go on. */
static void free_pages(struct object *object)
{
    uint64_t index = 0;

    while (radix_next(&object->pages, &index) != NULL) {
        struct frame *frame = take_out(object, index);

        if (frame)
            frame_unref(frame);
    }
}

static void destroy(struct object *object)
{
    /* A store that fails now has nobody left to tell: the log says it, the data are lost as they are when a
     * file's last user is gone on any system. */
    if (object->pager && object_sync(object, 0, UINT64_MAX) != ST_OK)
        host_log("object %u: its last dirty pages could not be written", object->id);
    if (__atomic_load_n(&object->holds, __ATOMIC_ACQUIRE) != 0)
        return; /* somebody took it up again while its pages were written */
    lock_take(&directory_lock);
    give_id(object->id);
    list_remove(&object->all);
    lock_drop(&directory_lock);
    free_pages(object);
    if (object->pager && object->pager->release)
        object->pager->release(object);
    slab_free(object->label);
    slab_free(object);
}

void objects_reap_now(void)
{
    for (;;) {
        struct object *object;

        lock_take(&directory_lock);
        object = objects_dying;
        if (object) {
            __atomic_store_n(&objects_dying, object->next_dying, __ATOMIC_RELAXED);
            object->queued = false;
        }
        lock_drop(&directory_lock);
        if (!object)
            return;
        if (__atomic_load_n(&object->holds, __ATOMIC_ACQUIRE) == 0)
            destroy(object);
    }
}

void *object_data(const struct object *object)
{
    return object->data;
}

void object_set_label(struct object *object, void *label)
{
    object->label = label;
}

const void *object_label(const struct object *object)
{
    return object->label;
}

void object_set_locked(struct object *object, bool locked)
{
    __atomic_store_n(&object->locked, locked, __ATOMIC_RELAXED);
}

bool object_is_locked(const struct object *object)
{
    return __atomic_load_n(&object->locked, __ATOMIC_RELAXED);
}

uint64_t object_size(const struct object *object)
{
    return __atomic_load_n(&object->size, __ATOMIC_RELAXED);
}

uint64_t object_resident(const struct object *object)
{
    return object->resident;
}

uint64_t object_allocated(const struct object *object)
{
    return object->resident + object->swapped;
}

uint64_t object_mapped(const struct object *object)
{
    return __atomic_load_n(&object->mapped, __ATOMIC_RELAXED);
}

/* `visit` may not sleep, but the objects it wants to sleep for can be kept by a reference. */
void object_for_each(void (*visit)(struct object *object, void *context), void *context)
{
    lock_take(&directory_lock);
    list_for_each(node, &all_objects)
    {
        struct object *object = container_of(node, struct object, all);

        if (__atomic_load_n(&object->holds, __ATOMIC_RELAXED) != 0)
            visit(object, context);
    }
    lock_drop(&directory_lock);
}

struct object *object_next(uint32_t above)
{
    struct object *next = NULL;

    lock_take(&directory_lock);
    do {
        next = NULL;
        list_for_each(node, &all_objects)
        {
            struct object *object = container_of(node, struct object, all);

            if (object->id > above && (!next || object->id < next->id))
                next = object;
        }
        above = next ? next->id : 0;
    } while (next && !object_hold_if_alive(next));
    lock_drop(&directory_lock);
    return next;
}

/* ------------------------------------------------------------------ taking pages from those who map them */

static void unmap_visit(struct frame *frame, struct pt_entry *entry, void *context)
{
    unsigned *entries = context;

    pt_entry_store(entry, page_to_mark(pt_entry_load(entry), frame));
    ++*entries;
}

bool object_unmap_frame(struct frame *frame)
{
    unsigned entries = 0;

    if (!(frame_flags(frame) & FRAME_MAPPED))
        return false;
    view_walk(frame, unmap_visit, &entries);
    frame_clear_flags(frame, FRAME_MAPPED);
    if (entries > 1) {
        STAT(shared_unmaps);
        STAT_ADD(shared_unmap_entries, entries);
    }
    return true;
}

static void protect_visit(struct frame *frame, struct pt_entry *entry, void *context)
{
    __atomic_fetch_and(&entry->bits, ~(PT_WRITE | PT_DIRTY), __ATOMIC_RELAXED);
}

bool object_protect_frame(struct frame *frame)
{
    if (!(frame_flags(frame) & FRAME_MAPPED))
        return false;
    view_walk(frame, protect_visit, NULL);
    return true;
}

/* ------------------------------------------------------------------ growing and shrinking */

/* The first page of [*index, end) that is in memory leaves the object, and those in swap before it; NULL:
 * there is none. Waits while it is in use by a store. */
static struct frame *take_page_of(struct object *object, uint64_t *index, uint64_t end, bool *mapped)
{
    struct frame *frame = NULL;
    void *value;

    lock_take(&object->lock);
    while (!frame && (value = radix_next(&object->pages, index)) != NULL && *index < end) {
        if (tag_slot(value)) {
            take_out(object, *index);
        } else if (frame_flags(value) & (FRAME_BUSY | FRAME_WRITING)) {
            host_sleep(value, &object->lock);
        } else {
            *mapped = object_unmap_frame(value);
            frame = take_out(object, *index);
        }
    }
    lock_drop(&object->lock);
    return frame;
}

static void take_pages(struct object *object, uint64_t first, uint64_t end)
{
    uint64_t index = first;

    for (;;) {
        bool mapped = false;
        struct frame *frame = take_page_of(object, &index, end, &mapped);

        if (!frame)
            return;
        if (mapped) {
            STAT(flush_all);
            host_flush_all();
        }
        frame_unref(frame);
    }
}

void object_punch(struct object *object, uint64_t first, uint64_t count)
{
    CHECK(!object->pager);
    take_pages(object, first, first + count < first ? UINT64_MAX : first + count);
}

static void zero_tail(struct object *object, uint64_t size_bytes)
{
    uint64_t offset = size_bytes & PAGE_MASK;
    struct frame *frame;

    if (offset == 0)
        return;
    lock_take(&object->lock);
    while ((frame = object_find(object, size_bytes >> PAGE_SHIFT)) != NULL &&
           (frame_flags(frame) & FRAME_BUSY))
        host_sleep(frame, &object->lock);
    if (frame) {
        memset((char *)frame_data(frame) + offset, 0, PAGE_SIZE - offset);
        if (!object->pager)
            frame_set_flags(frame, FRAME_DIRTY);
    }
    lock_drop(&object->lock);
}

/* The page that is to be cut comes back from swap, held, before anything changes. */
static enum status bring_tail(struct object *object, uint64_t size_bytes, struct frame **out)
{
    bool in_swap;

    lock_take(&object->lock);
    in_swap = size_bytes < object->size && (size_bytes & PAGE_MASK) != 0 &&
              object_slot(object, size_bytes >> PAGE_SHIFT) != 0;
    lock_drop(&object->lock);
    return in_swap ? object_get_page(object, size_bytes >> PAGE_SHIFT, OBJECT_WRITE, out) : ST_OK;
}

enum status object_resize(struct object *object, uint64_t size_bytes)
{
    uint64_t first_out = (size_bytes + PAGE_MASK) >> PAGE_SHIFT;
    uint64_t old;
    struct frame *tail = NULL;
    enum status status;

    if (first_out >> MARK_INDEX_BITS)
        return ST_LIMIT;
    status = bring_tail(object, size_bytes, &tail);
    if (status != ST_OK)
        return status;
    lock_take(&object->lock);
    old = object->size;
    __atomic_store_n(&object->size, size_bytes, __ATOMIC_RELAXED);
    lock_drop(&object->lock);
    if (size_bytes >= old)
        return ST_OK;
    take_pages(object, first_out, UINT64_MAX);
    object_cut_copies(object, first_out);
    zero_tail(object, size_bytes);
    if (tail)
        frame_unref(tail);
    return ST_OK;
}

/* ------------------------------------------------------------------ the walker */

void object_check(struct object *object)
{
    uint64_t index = 0;
    uint64_t count = 0, swapped = 0;
    void *value;

    lock_take(&object->lock);
    for (; (value = radix_next(&object->pages, &index)) != NULL; index++) {
        const struct frame *frame = value;

        if (tag_slot(value)) {
            CHECK_ALWAYS(!object->pager);
            CHECK_ALWAYS(swap_mark_agrees(tag_slot(value)));
            swapped++;
            continue;
        }
        count++;
        CHECK_ALWAYS(frame->page.object == object && frame->page.index == index);
        CHECK_ALWAYS(frame->use == FRAME_FILE || frame->use == FRAME_SHARED);
        CHECK_ALWAYS((frame->use == FRAME_FILE) == (object->pager != NULL));
        CHECK_ALWAYS(frame_refs(frame) >= 1 && frame_mapcount(frame) == 0);
        CHECK_ALWAYS(!(frame_flags(frame) & FRAME_BUSY) || !(frame_flags(frame) & FRAME_MAPPED));
        CHECK_ALWAYS(frame_flags(frame) & FRAME_MAPPED || !view_is_mapped(value));
        CHECK_ALWAYS(frame_flags(frame) & (FRAME_DIRTY | FRAME_SLOT) || object->pager);
    }
    CHECK_ALWAYS(count == object->resident && swapped == object->swapped);
    CHECK_ALWAYS(object->holds >= object->mapped);
    if (object->quota)
        object->quota->checked += count + swapped;
    lock_drop(&object->lock);
}
