/*
 * The steps in which pages leave memory: prepare, unmap, (flush), write, release. See swap.h.
 *
 * From prepare to release a slot is LEAVING: entries that map its frame again get no W, so that nobody
 * changes what the store is being given. A page of an object can be written to meanwhile, but that is
 * noticed, because it is clean while it leaves (FRAME_DIRTY comes back with the first write).
 */
#include "vm/object_internal.h"
#include "vm/pages.h"
#include "vm/pool.h"
#include "vm/swap_internal.h"
#include "vm/table.h"
#include "vm/view.h"

/* ------------------------------------------------------------------ prepare */

struct candidate {
    struct frame *frame;
    uint64_t key; /* pages that lie side by side have keys that do: first of places, then slots */
};

static void reverse(struct candidate *list, unsigned count)
{
    for (unsigned i = 0, last = count - 1; i < last; i++, last--) {
        struct candidate moved = list[i];

        list[i] = list[last];
        list[last] = moved;
    }
}

/* Insertion sort: there are few, and mostly they are in order, or in the opposite one (a ring hands places
 * out again in the opposite order of those that went). */
static void sort(struct candidate *list, unsigned count)
{
    if (count > 1 && list[0].key > list[count - 1].key)
        reverse(list, count);
    for (unsigned i = 1; i < count; i++) {
        struct candidate moved = list[i];
        unsigned at = i;

        for (; at > 0 && list[at - 1].key > moved.key; at--)
            list[at] = list[at - 1];
        list[at] = moved;
    }
}

static void dirty_visit(struct frame *frame, struct pt_entry *entry, void *context)
{
    struct pt_entry now = pt_entry_load(entry);

    if (pt_entry_present(now) && now.bits & PT_DIRTY)
        *(bool *)context = true;
}

/* Has the frame been changed since its slot got its contents, as far as can be seen now? */
static bool looks_changed(struct frame *frame)
{
    bool changed = false;

    if (frame->use == FRAME_SHARED)
        return frame_flags(frame) & FRAME_DIRTY;
    if (frame_flags(frame) & FRAME_SLOT)
        rmap_walk(frame, dirty_visit, &changed);
    return changed;
}

/* Where the page lies: the place of an entry, or the index in the object. */
static uint64_t place_key(struct frame *frame)
{
    return frame->use == FRAME_SHARED ? frame->page.index * sizeof(struct pt_entry) : rmap_place(frame);
}

/* Somebody has it, apart from those who hold it for a while: else it is as good as free, and another one who
 * holds it may think that it is still leaving in a slot that it had. */
static bool frame_is_page(const struct frame *frame)
{
    return frame->use == FRAME_SHARED ? __atomic_load_n(&frame->page.object, __ATOMIC_RELAXED) != NULL
                                      : frame_mapcount(frame) > 0;
}

enum has_slot { HAS_NONE, HAS_SLOT, STAYS };

/* The slot that the frame has already is kept when it has the contents; one that only the cache knows is let
 * go when it does not, so that what is written lies together. With the lock. */
static enum has_slot keep_slot(struct frame *frame, bool changed)
{
    uint32_t slot = frame->paging.slot;
    struct swap_slot *s;

    if (!(frame_flags(frame) & FRAME_SLOT))
        return frame_is_page(frame) ? HAS_NONE : STAYS;
    s = slot_at(slot);
    if (s->flags & SLOT_LEAVING) /* by somebody else's hand */
        return STAYS;
    if (s->count == 0 && (changed || s->flags & (SLOT_STALE | SLOT_BAD))) {
        frame_unref(cache_remove(slot));
        slot_free(slot);
        return HAS_NONE;
    }
    if (s->flags & SLOT_BAD)
        return STAYS;
    s->flags |= SLOT_LEAVING;
    return HAS_SLOT;
}

/* With the lock. False: swap is full. */
static bool give_slot(struct frame *frame, unsigned run)
{
    uint32_t slot = slot_take(run), member;
    uint64_t origin;

    if (slot == 0)
        return false;
    frame_clear_flags(frame, FRAME_LAZY); /* that came since the choice: it stays a page with contents */
    origin = frame->use == FRAME_ANON ? frame->page.index : 0;
    member = frame_member(frame) < MEMBERS_MAX ? frame_member(frame) : MEMBER_NOBODY;
    *slot_at(slot) = (struct swap_slot){
        .flags = SLOT_STALE | SLOT_LEAVING,
        .payload = origin & (((uint64_t)1 << SLOT_PAYLOAD_BITS) - 1),
        .of_object = (origin & ORIGIN_OBJECT) != 0,
        .member = member & (MEMBERS_MAX - 1),
    };
    members_swapped_pages(member, 1);
    cache_insert(slot, frame);
    return true;
}

/* The frames of the list get slots, as far as there are any; returns how many did. With the lock. */
static unsigned give_slots(const struct candidate *list, unsigned count)
{
    unsigned given = 0;

    if (swap.slots - swap.used < count)
        cache_sweep(count);
    while (given < count && give_slot(list[given].frame, given == 0 ? count : 1))
        given++;
    return given;
}

unsigned swap_prepare(struct frame **frames, unsigned count)
{
    struct candidate list[SWAP_CLUSTER], kept[SWAP_CLUSTER];
    struct frame *stay[SWAP_CLUSTER];
    uint64_t places[SWAP_CLUSTER];
    bool changed[SWAP_CLUSTER];
    unsigned wanting = 0, having = 0, staying = 0, given;

    CHECK_ALWAYS(count <= SWAP_CLUSTER);
    for (unsigned i = 0; i < count; i++) {
        changed[i] = looks_changed(frames[i]);
        places[i] = place_key(frames[i]);
    }
    lock_take(&swap.lock);
    for (unsigned i = 0; i < count; i++) {
        switch (keep_slot(frames[i], changed[i])) {
        case HAS_NONE:
            list[wanting++] = (struct candidate){frames[i], places[i]};
            break;
        case HAS_SLOT:
            kept[having++] = (struct candidate){frames[i], frames[i]->paging.slot};
            break;
        case STAYS:
            stay[staying++] = frames[i];
            break;
        }
    }
    sort(list, wanting);
    given = give_slots(list, wanting);
    for (unsigned i = 0; i < given; i++)
        kept[having++] = (struct candidate){list[i].frame, list[i].frame->paging.slot};
    lock_drop(&swap.lock);
    sort(kept, having);
    for (unsigned i = 0; i < having; i++)
        frames[i] = kept[i].frame;
    for (unsigned i = given; i < wanting; i++)
        stay[staying++] = list[i].frame;
    for (unsigned i = 0; i < staying; i++)
        frames[having + i] = stay[i];
    return having;
}

/* ------------------------------------------------------------------ unmap */

struct unmap {
    uint32_t slot;
    bool flush;
};

/* References of one who maps nothing: the cache's and the caller's. */
static bool is_held_by_others(const struct frame *frame)
{
    return frame_refs(frame) != frame_mapcount(frame) + 2;
}

/* The entry becomes a mark. Its table and the reverse map are locked. */
static void unmap_visit(struct frame *frame, struct pt_entry *entry, void *context)
{
    struct unmap *unmap = context;
    struct pt_entry now = pt_entry_load(entry);
    bool held = !pt_entry_present(now);

    if (entry_traits(now) & TRAIT_LOCKED || is_held_by_others(frame))
        return;
    now = pt_entry_swap(entry, mark_make(MARK_SWAP, held ? (unsigned)ACCESS_NONE : page_access(now),
                                         entry_traits(now), unmap->slot));
    frame_seen(frame, now);
    lock_take(&swap.lock);
    slot_at(unmap->slot)->count++;
    if (!held && now.bits & PT_DIRTY)
        slot_set_stale(unmap->slot);
    lock_drop(&swap.lock);
    rmap_remove_locked(frame, entry_place(entry));
    frame_unref(frame);
    unmap->flush |= !held;
}

static bool unmap_private(struct frame *frame)
{
    struct unmap unmap = {.slot = frame->paging.slot};

    rmap_walk(frame, unmap_visit, &unmap);
    return unmap.flush;
}

/* The object that has the page, locked; NULL: the page has left it. The caller's reference keeps it alive. */
static struct object *lock_owner(const struct frame *frame)
{
    struct object *object = __atomic_load_n(&frame->page.object, __ATOMIC_RELAXED);

    if (!object)
        return NULL;
    lock_take(&object->lock);
    if (frame->page.object == object)
        return object;
    lock_drop(&object->lock);
    return NULL;
}

/* A page of an object: its entries become marks of the object; it is clean until somebody writes to it. */
static bool unmap_shared(struct frame *frame)
{
    struct object *object = lock_owner(frame);
    bool flush = false;

    if (!object)
        return false;
    if (frame_flags(frame) & FRAME_SLOT && frame_refs(frame) == 3) {
        if (frame_clear_flags(frame, FRAME_DIRTY))
            swap_dirtied(frame);
        flush = object_unmap_frame(frame);
    }
    lock_drop(&object->lock);
    return flush;
}

bool swap_unmap(struct frame *frame)
{
    return frame->use == FRAME_SHARED ? unmap_shared(frame) : unmap_private(frame);
}

/* ------------------------------------------------------------------ write */

/* A word that a program may be writing to just now: the page of an object. */
static inline uint64_t word_at(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static bool is_zero(const struct frame *frame)
{
    const uint64_t *w = frame_data(frame);

    for (const uint64_t *end = w + PAGE_SIZE / sizeof *w; w < end; w += 8)
        if (word_at(&w[0]) | word_at(&w[1]) | word_at(&w[2]) | word_at(&w[3]) | word_at(&w[4]) |
            word_at(&w[5]) | word_at(&w[6]) | word_at(&w[7]))
            return false;
    return true;
}

/* The slot's contents are only in the frame, and nothing maps that with W. With the lock. */
static bool is_stale(const struct frame *frame)
{
    return frame_flags(frame) & FRAME_SLOT && slot_at(frame->paging.slot)->flags & SLOT_STALE;
}

bool swap_needs_write(struct frame *frame)
{
    bool stale, zero;

    lock_take(&swap.lock);
    stale = is_stale(frame);
    lock_drop(&swap.lock);
    zero = stale && is_zero(frame);
    if (!zero)
        return stale;
    lock_take(&swap.lock);
    stale = is_stale(frame);
    if (stale) {
        slot_at(frame->paging.slot)->flags |= SLOT_ZERO;
        slot_at(frame->paging.slot)->flags &= (uint8_t)~SLOT_STALE;
        swap.zero++;
        stale = false;
    }
    lock_drop(&swap.lock);
    return stale;
}

struct write {
    uint32_t slot; /* the first */
    unsigned count;
    struct frame *frames[SWAP_CLUSTER];
};

/* The frame's contents go to the store if it still is to leave, and follows the others. With the lock. */
static bool join_write(struct write *write, struct frame *frame)
{
    uint32_t slot = frame->paging.slot;

    if (!is_stale(frame) || (write->count > 0 && slot != write->slot + write->count))
        return false;
    if (write->count == 0)
        write->slot = slot;
    slot_at(slot)->flags |= SLOT_WRITING;
    write->frames[write->count++] = frame;
    return true;
}

/* With the lock. */
static void slot_written(uint32_t slot, enum status status)
{
    struct swap_slot *s = slot_at(slot);

    s->flags &= (uint8_t)~SLOT_WRITING;
    if (status == ST_OK) {
        s->flags &= (uint8_t)~SLOT_STALE;
    } else if (status != ST_NO_SPACE) { /* the store is full: the slot is as good as any, and stays stale */
        s->flags |= SLOT_BAD;
        swap.bad++;
    }
    if (s->flags & SLOT_DOOMED) {
        s->flags &= (uint8_t)~SLOT_DOOMED;
        slot_free(slot);
    }
}

static enum status transfer(const struct write *write, unsigned first, unsigned count)
{
    enum status status =
        swap.store.write(swap.store.context, write->slot + first, write->frames + first, count);

    STAT(swap_writes);
    if (status == ST_OK)
        host_tell(EVENT_PAGE_OUT, EVENT_PAGE_SLOT | (write->slot + first), count - 1);
    if (status == ST_OK)
        STAT_ADD(swap_outs, count);
    else
        STAT(swap_write_errors);
    return status;
}

static void conclude(const struct write *write, unsigned first, unsigned count, enum status status)
{
    lock_take(&swap.lock);
    for (unsigned i = first; i < first + count; i++)
        slot_written(write->slot + i, status);
    lock_drop(&swap.lock);
}

/* A request that failed says nothing of single pages: each once more. */
static enum status write_run(const struct write *write)
{
    enum status status = transfer(write, 0, write->count);

    if (status == ST_OK || write->count == 1) {
        conclude(write, 0, write->count, status);
        return status;
    }
    status = ST_OK;
    for (unsigned i = 0; i < write->count; i++) {
        enum status one = transfer(write, i, 1);

        conclude(write, i, 1, one);
        if (one != ST_OK)
            status = one;
    }
    return status;
}

/* The first run of the list that needs it; returns how many frames were looked at. */
static unsigned write_some(struct frame *const *frames, unsigned count, enum status *status)
{
    struct write write = {0};
    unsigned i = 0;

    lock_take(&swap.lock);
    while (i < count && (join_write(&write, frames[i]) || write.count == 0))
        i++;
    lock_drop(&swap.lock);
    if (write.count > 0 && write_run(&write) != ST_OK)
        *status = ST_IO_ERROR;
    return i;
}

enum status swap_write(struct frame *const *frames, unsigned count)
{
    enum status status = ST_OK;

    for (unsigned i = 0; i < count; i++)
        (void)swap_needs_write(frames[i]);
    for (unsigned done = 0; done < count;)
        done += write_some(frames + done, count - done, &status);
    return status;
}

/* ------------------------------------------------------------------ release */

/* What the slot has is what the frame has, and of the frame's references the cache, the caller and `owners`
 * have all. With the lock. */
static bool may_go(const struct frame *frame, uint32_t owners)
{
    return !(slot_at(frame->paging.slot)->flags & SLOT_STALE) && frame_refs(frame) == owners + 2;
}

static void end_leaving(const struct frame *frame)
{
    slot_at(frame->paging.slot)->flags &= (uint8_t)~SLOT_LEAVING;
}

static bool release_private(struct frame *frame)
{
    bool gone;

    lock_take(rmap_lock(frame)); /* nobody can take the last mapping before the frame is enrolled again */
    lock_take(&swap.lock);
    if (frame_flags(frame) & FRAME_SLOT) {
        uint32_t slot = frame->paging.slot;

        end_leaving(frame);
        gone = frame_mapcount(frame) == 0 && slot_at(slot)->count > 0 && may_go(frame, 0);
        if (gone) {
            if (slot_at(slot)->flags & SLOT_AROUND)
                ahead_judge(false);
            pages_remove(frame);
            frame_unref(cache_remove(slot));
        } else {
            slot_settle(slot);
        }
    }
    gone = !(frame_flags(frame) & FRAME_SLOT) && frame_mapcount(frame) == 0;
    if (!gone)
        pages_insert(frame, frame_flags(frame) & FRAME_SLOT ? NAME_SWAP | frame->paging.slot : 0);
    lock_drop(&swap.lock);
    lock_drop(rmap_lock(frame));
    frame_unref(frame);
    return gone;
}

/* The object has the slot now instead of the frame. Both are locked. */
static void object_gives_up(struct object *object, struct frame *frame)
{
    uint32_t slot = frame->paging.slot;

    slot_at(slot)->count = 1;
    radix_replace(&object->pages, frame->page.index, slot_tag(slot));
    object->resident--;
    object->swapped++;
    pages_remove(frame);
    __atomic_store_n(&frame->page.object, NULL, __ATOMIC_RELAXED);
    frame_unref(cache_remove(slot));
    frame_unref(frame);
}

static bool release_owned(struct object *object, struct frame *frame)
{
    bool gone = false;

    lock_take(&swap.lock);
    if (frame_flags(frame) & FRAME_SLOT) {
        end_leaving(frame);
        gone = !(frame_flags(frame) & (FRAME_DIRTY | FRAME_MAPPED)) && may_go(frame, 1);
        if (gone)
            object_gives_up(object, frame);
        else
            slot_settle(frame->paging.slot);
    }
    if (!gone)
        pages_insert(frame, 0);
    lock_drop(&swap.lock);
    lock_drop(&object->lock);
    return gone;
}

static bool release_shared(struct frame *frame)
{
    struct object *object = lock_owner(frame);
    bool gone = true;

    if (object)
        gone = release_owned(object, frame);
    else
        swap_forget_frame(frame);
    frame_unref(frame);
    return gone;
}

bool swap_release(struct frame *frame)
{
    return frame->use == FRAME_SHARED ? release_shared(frame) : release_private(frame);
}
