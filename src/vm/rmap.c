/*
 * The reverse map. See rmap.h.
 *
 * Invariant: the number of places is frame->mapcount; FRAME_RMAP_CHAIN is set exactly when page.rmap
 * points to a chain.
 */
#include "vm/rmap.h"

#include "quire/slab.h"

enum { NODE_PLACES = 6 };

struct rmap_node {
    struct rmap_node *next;
    uint64_t used;
    uint64_t places[NODE_PLACES];
};
_Static_assert(sizeof(struct rmap_node) == 64, "one cache line a node");

struct spinlock rmap_locks[RMAP_LOCKS];

void rmap_init(void)
{
    for (unsigned i = 0; i < RMAP_LOCKS; i++)
        lock_init(&rmap_locks[i], RANK_RMAP);
}

static struct rmap_node *chain_of(const struct frame *frame)
{
    return (struct rmap_node *)frame->page.rmap[0];
}

/* A third place makes a chain of the two inline ones. */
static enum status chain_push(struct frame *frame, uint64_t place)
{
    struct rmap_node *node = frame_flags(frame) & FRAME_RMAP_CHAIN ? chain_of(frame) : NULL;

    if (!node || node->used == NODE_PLACES) {
        struct rmap_node *fresh = slab_alloc(sizeof *fresh);

        if (!fresh)
            return ST_NO_MEMORY;
        fresh->next = node;
        if (!node) {
            fresh->places[fresh->used++] = frame->page.rmap[0];
            fresh->places[fresh->used++] = frame->page.rmap[1];
            frame_set_flags(frame, FRAME_RMAP_CHAIN);
        }
        frame->page.rmap[0] = (uint64_t)fresh;
        frame->page.rmap[1] = 0;
        node = fresh;
    }
    node->places[node->used++] = place;
    return ST_OK;
}

enum status rmap_add_locked(struct frame *frame, uint64_t place)
{
    enum status status = chain_push(frame, place);

    if (status == ST_OK) {
        __atomic_store_n(&frame->mapcount, frame->mapcount + 1, __ATOMIC_RELAXED);
        frame_ref(frame);
    }
    return status;
}

/* Where in the chain `place` is; NULL when it is not there. */
static uint64_t *chain_find(struct frame *frame, uint64_t place)
{
    for (struct rmap_node *node = chain_of(frame); node; node = node->next)
        for (uint64_t i = 0; i < node->used; i++)
            if (node->places[i] == place)
                return &node->places[i];
    return NULL;
}

/* Fill the gap with the newest place; a chain of two places becomes inline again. */
static void chain_remove(struct frame *frame, uint64_t *gap)
{
    struct rmap_node *node = chain_of(frame);

    *gap = node->places[--node->used];
    if (node->used == 0) {
        frame->page.rmap[0] = (uint64_t)node->next;
        slab_free(node);
        node = chain_of(frame);
    }
    if (node->used == RMAP_INLINE && !node->next) {
        frame->page.rmap[0] = node->places[0];
        frame->page.rmap[1] = node->places[1];
        frame_clear_flags(frame, FRAME_RMAP_CHAIN);
        slab_free(node);
    }
}

/* The inline slot that holds `place`. */
static unsigned inline_slot(const struct frame *frame, uint64_t place)
{
    unsigned slot = frame->page.rmap[0] == place ? 0 : 1;

    CHECK(frame->page.rmap[slot] == place);
    return slot;
}

void rmap_remove_locked(struct frame *frame, uint64_t place)
{
    if (frame_flags(frame) & FRAME_RMAP_CHAIN) {
        uint64_t *gap = chain_find(frame, place);

        CHECK_ALWAYS(gap != NULL);
        chain_remove(frame, gap);
    } else {
        if (inline_slot(frame, place) == 0)
            frame->page.rmap[0] = frame->page.rmap[1];
        frame->page.rmap[1] = 0;
    }
    __atomic_store_n(&frame->mapcount, frame->mapcount - 1, __ATOMIC_RELEASE); /* for rmap_second() */
}

void rmap_move(struct frame *frame, uint64_t from, uint64_t to)
{
    struct spinlock *lock = rmap_lock(frame);

    lock_take(lock);
    if (frame_flags(frame) & FRAME_RMAP_CHAIN) {
        uint64_t *place = chain_find(frame, from);

        CHECK_ALWAYS(place != NULL);
        *place = to;
    } else {
        frame->page.rmap[inline_slot(frame, from)] = to;
    }
    lock_drop(lock);
}

bool rmap_has(struct frame *frame, uint64_t place)
{
    struct spinlock *lock = rmap_lock(frame);
    bool found;

    lock_take(lock);
    found = frame_flags(frame) & FRAME_RMAP_CHAIN
                ? chain_find(frame, place) != NULL
                : frame->mapcount > 0 && (frame->page.rmap[0] == place || frame->page.rmap[1] == place);
    lock_drop(lock);
    return found;
}

/* ------------------------------------------------------------------ from a frame to its entries */

/* The place number `at`, counted from the newest. */
static uint64_t place_at(const struct frame *frame, uint32_t at)
{
    const struct rmap_node *node;

    if (!(frame_flags(frame) & FRAME_RMAP_CHAIN))
        return __atomic_load_n(&frame->page.rmap[frame_mapcount(frame) - 1 - at], __ATOMIC_RELAXED);
    for (node = chain_of(frame); at >= node->used; node = node->next)
        at -= (uint32_t)node->used;
    return node->places[node->used - 1 - at];
}

/* From the newest place on, because the newest fills the gap of one that is taken away. False: a table is
 * somebody else's just now. */
static bool walk_places(struct frame *frame, view_visit *visit, void *context)
{
    for (uint32_t at = 0, count = frame_mapcount(frame); at < count; count = frame_mapcount(frame)) {
        uint64_t place = place_at(frame, at);
        struct spinlock *table_lock = &place_table(place)->table.lock;

        if (!lock_try(table_lock))
            return false;
        visit(frame, place_entry(place), context);
        lock_drop(table_lock);
        at += frame_mapcount(frame) == count;
    }
    return true;
}

void rmap_walk(struct frame *frame, view_visit *visit, void *context)
{
    bool done;

    do {
        lock_take(rmap_lock(frame));
        done = walk_places(frame, visit, context);
        lock_drop(rmap_lock(frame));
        if (!done)
            host_relax();
    } while (!done);
}

bool rmap_try_walk(struct frame *frame, view_visit *visit, void *context)
{
    bool done = lock_try(rmap_lock(frame));

    if (!done)
        return false;
    done = walk_places(frame, visit, context);
    lock_drop(rmap_lock(frame));
    return done;
}

uint64_t rmap_place(struct frame *frame)
{
    uint64_t place;

    lock_take(rmap_lock(frame));
    place = frame_mapcount(frame) > 0 ? place_at(frame, 0) : 0;
    lock_drop(rmap_lock(frame));
    return place;
}
