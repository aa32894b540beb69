/*
 * Reclaim: frames of files leave memory, so that others can come in.
 *
 * Mechanism: the list of resident file pages, oldest first, walked as second chance does: a page that was
 * used since we came by goes to the end; one that was not is unmapped from every table that has it (its marks
 * stay behind), flushed from the TLBs, written if it is dirty, and freed. Pages that somebody holds (a copy
 * in progress, I/O) are passed over.
 *
 * A round takes a batch of victims, so that one flush and one write serve several. Marks are left before the
 * flush and frames are freed after it; a page that is touched in between is faulted in again, finds itself in
 * the object, and is kept.
 *
 * Locking: list_lock (RANK_RECLAIM) for the list only; a victim is judged under its object's lock, which is
 * tried, since it comes first in the order.
 */
#include "quire/slab.h"
#include "vm/object_internal.h"
#include "vm/space_internal.h"
#include "vm/view.h"

enum { RECLAIM_BATCH = 32 };

static struct spinlock list_lock;
static struct list pages = LIST_INIT(pages);
static uint64_t page_count;

void reclaim_init(void)
{
    list_init(&pages);
    page_count = 0;
    lock_init(&list_lock, RANK_RECLAIM);
}

void reclaim_insert(struct frame *frame)
{
    lock_take(&list_lock);
    list_push_back(&pages, &frame->node);
    frame_set_flags(frame, FRAME_LISTED);
    page_count++;
    lock_drop(&list_lock);
}

void reclaim_remove(struct frame *frame)
{
    lock_take(&list_lock);
    if (frame_flags(frame) & FRAME_LISTED) {
        list_remove(&frame->node);
        frame_clear_flags(frame, FRAME_LISTED);
        page_count--;
    }
    lock_drop(&list_lock);
}

/* ------------------------------------------------------------------ judging */

static void harvest_visit(struct frame *frame, struct pt_entry *entry, void *context)
{
    bool *used = context;

    if (__atomic_fetch_and(&entry->bits, ~PT_ACCESSED, __ATOMIC_RELAXED) & PT_ACCESSED)
        *used = true;
}

/* Was the page used since the last look? Its marks of use are taken away. TLBs may go on without setting A
 * again until they forget the page: a page in constant use can be taken for an unused one once, and then
 * comes back by a minor fault or a read. */
static bool test_and_clear_used(struct frame *frame)
{
    bool used = frame_clear_flags(frame, FRAME_REFERENCED) != 0;

    if (frame_flags(frame) & FRAME_MAPPED)
        view_walk(frame, harvest_visit, &used);
    return used;
}

struct victims {
    unsigned count;
    struct frame *frames[RECLAIM_BATCH];
    struct object *objects[RECLAIM_BATCH]; /* theirs, with a reference each */
    bool unmapped;                         /* some were mapped: flush */
    bool dirty;                            /* some are dirty: write */
};

static bool may_leave(const struct frame *frame)
{
    return !(frame_flags(frame) & (FRAME_BUSY | FRAME_WRITING)) && frame_refs(frame) == 1;
}

/* Take the page from its tables and hold it; its object is locked, and its reference becomes the victims'. */
static void choose(struct victims *victims, struct frame *frame, struct object *object)
{
    unsigned n = victims->count;

    frame_ref(frame);
    victims->unmapped |= object_unmap_frame(frame);
    victims->dirty |= (frame_flags(frame) & FRAME_DIRTY) != 0;
    victims->frames[n] = frame;
    victims->objects[n] = object;
    victims->count++;
}

/* One more reference, unless the object is dying: its pages go without us. */
static bool hold_if_alive(struct object *object)
{
    uint64_t holds = __atomic_load_n(&object->holds, __ATOMIC_RELAXED);

    while (holds != 0)
        if (__atomic_compare_exchange_n(&object->holds, &holds, holds + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

enum candidate { CANDIDATE_READY, CANDIDATE_NONE, CANDIDATE_IN_USE };

/* The oldest page, moved to the end of the list, with its object locked and held. A listed page's object is
 * there as long as the list is locked, because an object that ends takes its pages off first. */
static enum candidate next_candidate(struct frame **out, struct object **object)
{
    enum candidate result = CANDIDATE_NONE;

    lock_take(&list_lock);
    if (!list_empty(&pages)) {
        struct list *node = pages.next;

        list_remove(node);
        list_push_back(&pages, node);
        *out = container_of(node, struct frame, node);
        *object = (*out)->page.object;
        if (!lock_try(&(*object)->lock)) {
            result = CANDIDATE_IN_USE;
        } else if (hold_if_alive(*object)) {
            result = CANDIDATE_READY;
        } else {
            lock_drop(&(*object)->lock);
        }
    }
    lock_drop(&list_lock);
    return result;
}

/* An object whose lock another CPU has just now does not count as looked at: it would look as if nothing
 * could leave. */
static void choose_victims(struct victims *victims, uint64_t wanted, uint64_t *scans)
{
    while (victims->count < wanted && victims->count<RECLAIM_BATCH && * scans> 0) {
        struct object *object = NULL;
        struct frame *frame = NULL;
        enum candidate candidate = next_candidate(&frame, &object);

        if (candidate == CANDIDATE_IN_USE) {
            host_relax();
            continue;
        }
        (*scans)--;
        STAT(reclaim_scans);
        if (candidate == CANDIDATE_NONE)
            continue;
        if (may_leave(frame) && !test_and_clear_used(frame)) {
            choose(victims, frame, object);
            lock_drop(&object->lock);
        } else {
            lock_drop(&object->lock);
            object_unref(object);
        }
    }
}

/* ------------------------------------------------------------------ taking */

/* Write the dirty ones, with their neighbours. A failure leaves them dirty, and so in memory. */
static void write_victims(const struct victims *victims)
{
    for (unsigned i = 0; i < victims->count; i++)
        if (frame_flags(victims->frames[i]) & FRAME_DIRTY)
            (void)!object_sync(victims->objects[i], victims->frames[i]->page.index, RECLAIM_BATCH);
}

/* Free the page if nobody wanted it meanwhile: only the object and we hold it. */
static bool take(struct frame *frame, struct object *object)
{
    bool taken = false;

    lock_take(&object->lock);
    if (frame->page.object == object && frame_refs(frame) == 2 &&
        !(frame_flags(frame) & (FRAME_DIRTY | FRAME_WRITING | FRAME_BUSY | FRAME_MAPPED))) {
        radix_remove(&object->pages, frame->page.index);
        object->resident--;
        reclaim_remove(frame);
        frame->page.object = NULL;
        taken = true;
    }
    lock_drop(&object->lock);
    if (taken)
        frame_unref(frame); /* the object's */
    frame_unref(frame);     /* ours */
    object_unref(object);
    return taken;
}

static uint64_t take_victims(struct victims *victims)
{
    uint64_t freed = 0;

    if (victims->unmapped) {
        STAT(flush_all);
        host_flush_all();
    }
    if (victims->dirty)
        write_victims(victims);
    for (unsigned i = 0; i < victims->count; i++)
        freed += take(victims->frames[i], victims->objects[i]);
    STAT_ADD(drops, freed);
    return freed;
}

/* Each page's mark of use is cleared at most once, then it is taken. */
static uint64_t scans_needed(void)
{
    uint64_t count;

    lock_take(&list_lock);
    count = page_count;
    lock_drop(&list_lock);
    return 2 * count + 1;
}

uint64_t reclaim(uint64_t wanted)
{
    uint64_t freed = 0;
    uint64_t scans = scans_needed();

    while (freed < wanted && scans > 0) {
        struct victims victims = {0};

        choose_victims(&victims, wanted - freed, &scans);
        if (victims.count == 0)
            break;
        freed += take_victims(&victims);
    }
    if (freed == 0)
        freed = slab_trim();
    return freed;
}

bool vm_make_room(void)
{
    return reclaim(RECLAIM_BATCH) > 0;
}
