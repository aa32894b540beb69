/*
 * Pages that can leave memory, as policies see them: enrolled in a pool (pool.h), harvested when a policy
 * asks, and taken when it says so. Which pools there are and who gives is members.h; what happens to a page
 * that goes is evict.h.
 *
 * While memory is plentiful nothing is enrolled, and a page that comes costs one look at pages_watched. When
 * free frames fall under a mark for the first time all pages are enrolled by a walk over objects and spaces,
 * and from then on each as it comes.
 *
 * Locking: pages_lock (RANK_RECLAIM). A policy asks for reference bits while it is held, so objects, reverse
 * maps and tables are only tried then: what somebody else has just now counts as used.
 */
#ifndef VM_PAGES_H
#define VM_PAGES_H

#include "quire/frame.h"
#include "quire/policy.h"
#include "vm/members.h"

extern bool pages_watched; /* a */

void pages_init(void);

void pages_insert_now(struct frame *frame, uint64_t ghost);
void pages_remove_now(struct frame *frame);
void pages_touch_now(struct frame *frame, uint32_t member);

/*
 * The frame can be paged out from now on: a page of an object that has its contents, or a private frame that
 * an entry maps. `ghost`: what the page was called when it left memory (NAME_SWAP | slot); 0: it is new, or
 * its object knows. Its object or a table that maps it is locked, so that it cannot go meanwhile. A frame
 * that is enrolled already stays where it is.
 */
static inline void pages_insert(struct frame *frame, uint64_t ghost)
{
    if (__builtin_expect(__atomic_load_n(&pages_watched, __ATOMIC_RELAXED), 0))
        pages_insert_now(frame, ghost);
}

/* The same for one that was there before. */
void pages_found(struct frame *frame);

/* A space of the member uses the frame, which nobody may be charged for. Locks as for pages_insert(). */
static inline void pages_touch(struct frame *frame, uint32_t member)
{
    uint32_t owner = frame_member(frame);

    if (owner == member)
        return;
    if (__builtin_expect(__atomic_load_n(&pages_watched, __ATOMIC_RELAXED), 0))
        pages_touch_now(frame, member);
    else if (owner == MEMBER_NOBODY)
        frame_set_member(frame, member);
}

/* The private frame's contents are not wanted any more (lazy.h): it counts as not used, and can leave also
 * when there is no swap. The lock of the table that maps it is held. */
void pages_freed_lazily_now(struct frame *frame);
static inline void pages_freed_lazily(struct frame *frame)
{
    if (__atomic_load_n(&pages_watched, __ATOMIC_RELAXED))
        pages_freed_lazily_now(frame);
}

/* The frame's page exists no more, or cannot leave memory. Before a frame is freed. */
static inline void pages_remove(struct frame *frame)
{
    if (frame_flags(frame) & (FRAME_LISTED | FRAME_NAMED))
        pages_remove_now(frame);
}

/* The swap slot is free: its page is remembered no more. */
void pages_forget_slot(uint32_t slot);

/* A page that policies have chosen: held, and enrolled no more. */
struct victim {
    struct frame *frame;
    struct object *object; /* with a reference; NULL: a private page */
    uint64_t name;
    bool lazy; /* evict.c: it goes without being written */
};

/* Up to `most` victims; fewer when no more can go. */
unsigned pages_choose(struct victim *victims, unsigned most, const struct search *search);
/* Up to `most` pages that policies want to be written: held, and still enrolled. */
unsigned pages_choose_unclean(struct victim *victims, unsigned most);
bool pages_has_unclean(void); /* with pages_lock */
/* Swap has no slots for victims: pages without one are spared until one is free. */
void pages_slots_short(void);
/* Pages could not be written to swap. */
void pages_unwritten(void);
/* So many victims have gone or have come back. */
void pages_settled(unsigned count);
/* Waits until some of the victims that others have chosen have gone, or have come back. False: there are
 * none.
 */
bool pages_wait(void);
/* The victim stays in memory after all: it comes back as one that was used, and is held no more. */
void pages_return(const struct victim *victim);
/* The victim has gone, and will not come back. */
void pages_gone(const struct victim *victim);
/* The frames are victims, and have slots from now on: those that are private are remembered by them. */
void pages_rename(struct frame *const *frames, unsigned count);

/* Reference bits were cleared since the last call, and TLBs may still have translations that do not set them:
 * the caller flushes. */
bool pages_must_flush(void);

/* An interval of time has passed; a window of the working sets has. Afterwards: pages_must_flush(). */
void pages_tick(void);
void pages_end_window(void);

struct pages_counts {
    uint64_t cleaned, returned, waits, ticks, harvests, flushes;
    uint64_t leaving; /* victims that have neither gone nor come back */
};
void pages_count(struct pages_counts *out);

/* Enrols what has been missed; returns how many pages that was. May sleep. */
uint64_t pages_sweep(void);

uint64_t pages_enrolled(void);
uint64_t pages_enrolled_locked(void);
/* None is enrolled any more. */
void pages_forget_all(void);
/* Panics, naming what is wrong, when an invariant does not hold. */
void pages_check(void);

#endif
