/*
 * Eviction. See evict.h.
 *
 *   choose -> give slots -> unmap all -> one flush -> write in clusters -> free what nobody wanted
 *                                                                       -> back into the policy what somebody
 * did
 *
 * A batch, so that one flush and one write serve several pages. Marks are left before the flush and frames
 * are freed after it; a page that is touched in between is faulted in again, finds itself in its object or in
 * the swap cache, and is kept. What cannot be written stays in memory, dirty. A page that nobody wants any
 * more (lazy.h) goes like a clean one; what its entries become is memory that was never touched.
 *
 * Locking: a victim is held by a reference from the choice on. For a page of a file, its object's lock for
 * what happens to its entries and its place in the object; swap.h for the others.
 */
#include "vm/evict.h"

#include "vm/lazy.h"
#include "vm/object_internal.h"
#include "vm/pages.h"
#include "vm/space_internal.h"
#include "vm/swap.h"

struct batch {
    unsigned count;
    struct victim victims[EVICT_BATCH]; /* frame NULL: it has been dealt with */
    unsigned swapped;
    struct frame *frames[EVICT_BATCH]; /* of the victims: those that have slots, sorted by them */
    bool flush, unwritten;
    unsigned freed;
};

static bool is_file(const struct victim *victim)
{
    return victim->frame && victim->frame->use == FRAME_FILE;
}

/* ------------------------------------------------------------------ pages of files */

static bool only_we_hold(const struct frame *frame, const struct object *object)
{
    return frame->page.object == object && frame_refs(frame) == 2 &&
           !(frame_flags(frame) & (FRAME_BUSY | FRAME_WRITING));
}

static void unmap_page(struct batch *batch, const struct victim *victim)
{
    lock_take(&victim->object->lock);
    if (only_we_hold(victim->frame, victim->object))
        batch->flush |= object_unmap_frame(victim->frame);
    lock_drop(&victim->object->lock);
}

/* Writes the dirty ones, with their neighbours. A failure leaves them dirty, and so in memory. */
static void write_pages(const struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        const struct victim *victim = &batch->victims[i];

        if (is_file(victim) && frame_flags(victim->frame) & FRAME_DIRTY)
            (void)!object_sync(victim->object, victim->frame->page.index, EVICT_BATCH);
    }
}

/* Frees the page if nobody wanted it meanwhile: only the object and we hold it. */
static bool take_page(const struct victim *victim)
{
    struct object *object = victim->object;
    struct frame *frame = victim->frame;
    bool taken = false;

    lock_take(&object->lock);
    if (only_we_hold(frame, object) && !(frame_flags(frame) & (FRAME_DIRTY | FRAME_MAPPED))) {
        radix_remove(&object->pages, frame->page.index);
        object->resident--;
        pages_remove(frame);
        frame->page.object = NULL;
        taken = true;
    }
    lock_drop(&object->lock);
    if (!taken)
        return false;
    frame_unref(frame); /* the object's */
    frame_unref(frame); /* ours */
    object_unref(object);
    STAT(drops);
    return true;
}

/* ------------------------------------------------------------------ pages that nobody wants */

/* False: it has been written to since it was chosen, or is held or locked. */
static bool take_lazy(const struct victim *victim)
{
    if (frame_mapcount(victim->frame) > 0)
        return false;
    pages_gone(victim);
    pages_remove(victim->frame);
    frame_unref(victim->frame);
    STAT(lazy_freed);
    return true;
}

/* ------------------------------------------------------------------ pages that go to swap */

/* The victim of this frame. */
static struct victim *victim_of(struct batch *batch, const struct frame *frame)
{
    struct victim *victim = batch->victims;

    while (victim->frame != frame)
        victim++;
    return victim;
}

static void let_go(struct victim *victim)
{
    victim->frame = NULL;
    if (victim->object)
        object_unref(victim->object);
}

/* Gives slots to those that go to swap. Those for which there are none are handed to `without`. */
static void prepare(struct batch *batch, void (*without)(const struct victim *victim))
{
    unsigned count = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        struct victim *victim = &batch->victims[i];

        victim->lazy = frame_is_lazy(victim->frame);
        if (!victim->lazy && !is_file(victim))
            batch->frames[count++] = victim->frame;
    }
    if (count == 0)
        return;
    if (swap_is_on())
        batch->swapped = swap_prepare(batch->frames, count);
    if (batch->swapped < count && swap_is_on())
        pages_slots_short();
    for (unsigned i = batch->swapped; i < count; i++) {
        struct victim *victim = victim_of(batch, batch->frames[i]);

        without(victim);
        victim->frame = NULL;
    }
}

/* ------------------------------------------------------------------ the stages */

static void unmap(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        if (is_file(&batch->victims[i]))
            unmap_page(batch, &batch->victims[i]);
        else if (batch->victims[i].frame && batch->victims[i].lazy)
            batch->flush |= lazy_unmap(batch->victims[i].frame);
    for (unsigned i = 0; i < batch->swapped; i++)
        batch->flush |= swap_unmap(batch->frames[i]);
    if (pages_must_flush() || batch->flush) {
        STAT(flush_all);
        host_flush_all();
    }
}

/* What could not be written is not released. */
static void write(struct batch *batch)
{
    write_pages(batch);
    if (batch->swapped > 0)
        batch->unwritten = swap_write(batch->frames, batch->swapped) != ST_OK;
}

static void release(struct batch *batch, void (*keep)(const struct victim *victim))
{
    for (unsigned i = 0; i < batch->swapped; i++) {
        struct victim *victim = victim_of(batch, batch->frames[i]);

        batch->freed += swap_release(batch->frames[i]);
        let_go(victim);
    }
    for (unsigned i = 0; i < batch->count; i++) {
        const struct victim *victim = &batch->victims[i];

        if (!victim->frame)
            continue;
        if (victim->lazy ? take_lazy(victim) : take_page(victim)) {
            batch->freed++;
        } else {
            keep(victim);
        }
    }
    if (batch->unwritten)
        pages_unwritten(); /* after the slots of these have come free */
}

struct evicted evict(unsigned wanted, const struct search *search)
{
    struct batch batch = {0};

    batch.count = pages_choose(batch.victims, wanted < EVICT_BATCH ? wanted : EVICT_BATCH, search);
    if (batch.count == 0)
        return (struct evicted){0};
    prepare(&batch, pages_return);
    pages_rename(batch.frames, batch.swapped);
    unmap(&batch);
    write(&batch);
    release(&batch, pages_return);
    pages_settled(batch.count);
    return (struct evicted){batch.count, batch.freed};
}

/* ------------------------------------------------------------------ what somebody else has chosen */

static void forget(const struct victim *victim)
{
    frame_unref(victim->frame);
    if (victim->object)
        object_unref(victim->object);
}

/* It stays: the policy, if there is one yet, knows it again. */
static void enrol_again(const struct victim *victim)
{
    if (__atomic_load_n(&pages_watched, __ATOMIC_RELAXED))
        pages_return(victim);
    else
        forget(victim);
}

void evict_these(const struct victim *victims, unsigned count)
{
    struct batch batch = {.count = count};

    if (count == 0)
        return;
    for (unsigned i = 0; i < count; i++) {
        batch.victims[i] = victims[i];
        pages_remove(victims[i].frame);
    }
    prepare(&batch, enrol_again);
    unmap(&batch);
    write(&batch);
    release(&batch, enrol_again);
}

/* ------------------------------------------------------------------ cleaning */

/*
 * A page of a file is written as it is. Others leave their entries, so that who writes to them is noticed,
 * and stay in the swap cache with what their slots have; one more reference keeps them from being freed.
 */
void evict_clean(void)
{
    struct batch batch = {0};

    batch.count = pages_choose_unclean(batch.victims, EVICT_BATCH);
    prepare(&batch, forget);
    for (unsigned i = 0; i < batch.swapped; i++) {
        batch.flush |= swap_unmap(batch.frames[i]);
        frame_ref(batch.frames[i]);
    }
    if (batch.flush) {
        STAT(flush_all);
        host_flush_all();
    }
    write(&batch);
    for (unsigned i = 0; i < batch.swapped; i++) {
        (void)!swap_release(batch.frames[i]);
        frame_unref(batch.frames[i]);
        let_go(victim_of(&batch, batch.frames[i]));
    }
    for (unsigned i = 0; i < batch.count; i++)
        if (batch.victims[i].frame)
            forget(&batch.victims[i]);
}
