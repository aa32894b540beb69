/*
 * The reverse map of private frames: which entries of which tables map one. (An object's pages have views:
 * view.h.)
 *
 * A place is the physical address of an entry. A frame that one entry maps keeps the place in
 * frame->page.rmap; one that several map keeps a chain of small arrays. A shared table (see table.c) counts
 * as one place, however many spaces reach it.
 *
 * Locking: one of a set of hashed locks (RANK_RMAP) by frame number. Who changes an entry holds its table's
 * lock, then takes this one. Who comes the other way, from the frame to its entries, may only try the table's
 * lock (lock_other() in table.c does).
 */
#ifndef VM_RMAP_H
#define VM_RMAP_H

#include "quire/frame.h"
#include "vm/entry.h"

typedef void view_visit(struct frame *frame, struct pt_entry *entry, void *context);

enum { RMAP_INLINE = 2, RMAP_LOCKS = 64 };
extern struct spinlock rmap_locks[RMAP_LOCKS];

void rmap_init(void);

/* The lock of the frame's places. */
static inline struct spinlock *rmap_lock(const struct frame *frame)
{
    return &rmap_locks[((uintptr_t)frame / sizeof *frame) % RMAP_LOCKS];
}

MUST_USE enum status rmap_add_locked(struct frame *frame, uint64_t place);
void rmap_remove_locked(struct frame *frame, uint64_t place);

/* Counts one mapping more (mapcount and refs). ST_NO_MEMORY, only when a chain must grow: nothing has
 * changed. */
MUST_USE static inline enum status rmap_add(struct frame *frame, uint64_t place)
{
    struct spinlock *lock = rmap_lock(frame);
    enum status status = ST_OK;

    lock_take(lock);
    if (__builtin_expect(frame->mapcount < RMAP_INLINE, 1)) {
        frame->page.rmap[frame->mapcount] = place;
        __atomic_store_n(&frame->mapcount, frame->mapcount + 1, __ATOMIC_RELAXED);
        frame_ref(frame);
    } else {
        status = rmap_add_locked(frame, place);
    }
    lock_drop(lock);
    return status;
}

/* The first mapping of a frame that nobody else can see yet; its mapping takes over the caller's reference.
 */
static inline void rmap_first(struct frame *frame, uint64_t place)
{
    frame->mapcount = 1;
    frame->page.rmap[0] = place;
    frame->page.rmap[1] = 0;
}
/* The second mapping of a plain frame (frame_is_plain) whose only one is in a table that is locked: again
 * that lock keeps everybody else away. The mapping's reference is counted. */
static inline void rmap_second(struct frame *frame, uint64_t place)
{
    __atomic_store_n(&frame->page.rmap[1], place, __ATOMIC_RELAXED);
    __atomic_store_n(&frame->mapcount, 2, __ATOMIC_RELEASE);
    frame_ref(frame);
}
/* The last mapping of a plain frame (frame_is_plain), whose table is locked: that lock alone keeps everybody
 * else away, because a second mapping could come only from a copy of that table, and who comes from the frame
 * needs the lock to touch the entry. */
static inline void rmap_last(struct frame *frame)
{
    __atomic_store_n(&frame->mapcount, 0, __ATOMIC_RELAXED);
    frame->page.rmap[0] = 0;
}
/* Nobody but the one mapping holds this private frame, so it may be written to. A mapping that another CPU
 * has just taken away keeps its reference until no TLB has it any more, hence refs, not mapcount. */
static inline bool frame_is_sole(const struct frame *frame)
{
    return __atomic_load_n(&frame->refs, __ATOMIC_ACQUIRE) == 1;
}
/* frame_is_sole(), and neither a policy nor a recording knows it: who holds the table of its only mapping may
 * do with it what he likes. */
static inline bool frame_is_plain(const struct frame *frame)
{
    return frame_is_sole(frame) && !(frame_flags(frame) & (FRAME_LISTED | FRAME_NAMED));
}
/* Counts one mapping fewer. The reference stays: the caller drops it when no TLB holds the page any more. */
static inline void rmap_remove(struct frame *frame, uint64_t place)
{
    struct spinlock *lock = rmap_lock(frame);

    lock_take(lock);
    if (__builtin_expect(frame->mapcount <= RMAP_INLINE, 1)) {
        if (frame->page.rmap[0] == place)
            frame->page.rmap[0] = frame->page.rmap[1];
        else
            CHECK(frame->page.rmap[1] == place);
        frame->page.rmap[1] = 0;
        __atomic_store_n(&frame->mapcount, frame->mapcount - 1, __ATOMIC_RELEASE); /* for rmap_second() */
    } else {
        rmap_remove_locked(frame, place);
    }
    lock_drop(lock);
}

/* The entry has moved. */
void rmap_move(struct frame *frame, uint64_t from, uint64_t to);

/*
 * Calls visit(frame, entry, context) for every entry that maps the private frame or holds it (MARK_HELD),
 * with the entry's table and rmap_lock(frame) held. The visit may change the entry, and may take the place
 * away by rmap_remove_locked(). An entry can be visited twice, when a table had to be waited for. May spin,
 * never sleeps; no table may be held.
 *
 * The caller holds a reference to the frame, so that it is not plain. Where he cannot know that the frame
 * will not be freed before he counts that, both belong under the lock that pages_remove() takes: it is called
 * before a listed frame is freed.
 */
void rmap_walk(struct frame *frame, view_visit *visit, void *context);
/* The same for who holds a lock of a higher rank. False: a lock is somebody else's just now, and not all
 * entries were visited. */
MUST_USE bool rmap_try_walk(struct frame *frame, view_visit *visit, void *context);

/* One of the frame's places; 0: it has none. */
uint64_t rmap_place(struct frame *frame);
/* True when `place` is one of the frame's places (for checks). */
bool rmap_has(struct frame *frame, uint64_t place);

static inline struct frame *place_table(uint64_t place)
{
    return frame_at(paddr(place));
}

static inline struct pt_entry *place_entry(uint64_t place)
{
    return host_at(paddr(place));
}

#endif
