/*
 * Pools: a policy with the pages that it orders, their names and their frames.
 *
 * Under global scope there is one pool. Under local scope a member that has many frames has one of its own,
 * and the others share the first. A pool's memory is an area of the host (host_area_alloc): a pool that is
 * too small is made anew, larger, with the same pages.
 *
 *      frame --paging.number--> number --pool->frames[]--> frame        a ghost's number has frame 0
 *                               number <--pool->names--> name
 *
 * Names: a page of an object is its object's number and its index; a private page is its swap slot while it
 * has one, else its frame. A page keeps its number when its name changes (pool_rename).
 *
 * Invariants (pool_check): a number whose page is resident in the policy has a frame, and that frame is
 * FRAME_LISTED and knows pool (paging.spare) and number; a ghost has a name and no frame.
 *
 * Locking: the caller's (RANK_RECLAIM).
 */
#ifndef VM_POOL_H
#define VM_POOL_H

#include "policy/names.h"
#include "quire/frame.h"

#define NAME_SWAP ((uint64_t)1 << 62)
#define NAME_ANON ((uint64_t)1 << 63)

/* What policies take for the time, in microseconds worked: they are told when they are asked. */
extern uint64_t pool_now;

struct pool {
    struct policy *policy; /* NULL: not made */
    struct policy_host host;
    struct policy_names names;
    uint32_t *frames; /* by number */
    void *area;
    size_t area_bytes;
    bool pinned;     /* some pages are POLICY_PINNED */
    uint32_t member; /* whose; 0: everybody's */
};

/* What all pools are made of. */
struct pool_kind {
    const struct policy_type *type;
    uint64_t options[POLICY_OPTIONS];
    uint64_t seed;
    struct policy_host host; /* `context` will be the pool's address, `forget` is the pool's own */
};

/* For up to `most_frames` pages. ST_NO_MEMORY: nothing has changed. */
MUST_USE enum status pool_make(struct pool *pool, const struct pool_kind *kind, uint32_t most_frames);
/* No page is in it any more; or the machine is forgotten. */
void pool_end(struct pool *pool);
/* The same pages, in the order of their numbers, in a pool for more. Ghosts are forgotten. Errors as
 * pool_make(). */
MUST_USE enum status pool_grow(struct pool *pool, const struct pool_kind *kind, uint32_t most_frames);

/* The page has come, as the one that was called `ghost` (0: nothing) and is called `name` from now on. False:
 * the pool is full. */
MUST_USE bool pool_insert(struct pool *pool, struct frame *frame, uint64_t ghost, uint64_t name);
/* The page goes as if it had never been. */
void pool_remove(struct pool *pool, struct frame *frame);
/* The victim's frame, which the pool knows no more; its number may stay as a ghost's. `*dirty`: as far as was
 * seen it is to be written. NULL: there is none. */
MUST_USE struct frame *pool_victim(struct pool *pool, bool *dirty);
/* A victim that may not go after all: it comes back, and is spared until pool_unpin(). */
void pool_pin(struct pool *pool, struct frame *frame);
void pool_unpin(struct pool *pool);
/* What was called `from`, if it is a ghost, is called `to`. The pool may have ended meanwhile. */
void pool_rename(struct pool *pool, uint64_t from, uint64_t to);
/* The ghost of that name is no more. */
void pool_forget(struct pool *pool, uint64_t name);

/* An interval of time has passed. */
void pool_tick(struct pool *pool);

/* policy.frames: as many as there are, or could be without taking anything from anybody. */
void pool_fit(struct pool *pool, uint64_t frames);

static inline struct frame *pool_frame(const struct pool *pool, uint32_t number)
{
    return pool->frames[number] ? frame_of(pfn(pool->frames[number])) : NULL;
}

/* Can pages that are not in memory have numbers? */
static inline bool pool_has_ghosts(const struct pool *pool)
{
    return pool->policy && pool->policy->type->ghosts > 0;
}

static inline uint32_t pool_resident(const struct pool *pool)
{
    return pool->policy ? pool->policy->resident : 0;
}

/* What the page is called while it is in memory. */
uint64_t pool_name(const struct frame *frame);

/* NULL, or what is wrong. */
MUST_USE const char *pool_check(const struct pool *pool);

#endif
