/*
 * What the files of src/frame share.
 */
#ifndef QUIRE_FRAME_INTERNAL_H
#define QUIRE_FRAME_INTERNAL_H

#include "base/check.h"
#include "base/list.h"
#include "quire/frame.h"

/* The whole frames of a range, as frame numbers; false when there are none. */
bool memory_map_frames(const struct memory_range *range, uint64_t *start, uint64_t *end);

/* The rare continuation of a hot function: kept out of it, so that the hot part needs few registers. */
#define RARE __attribute__((noinline, cold))

/* ------------------------------------------------------------------ states of a frame */

/* frame->order of a frame that is not the head of a block. */
enum {
    ORDER_POOLED = 0xfd,  /* free: zeroed, in the pool */
    ORDER_CACHED = 0xfe,  /* free: in a CPU's cache */
    ORDER_IN_BLOCK = 0xff /* belongs to the block of a head before it */
};

static inline uint16_t state_of(unsigned use, unsigned order)
{
    return (uint16_t)(use | order << 8);
}

static inline uint64_t header_of(unsigned use, unsigned order, unsigned flags, uint32_t refs)
{
    return use | order << 8 | flags << 16 | (uint64_t)refs << 32;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "state_of() and header_of()");

/* Another CPU's buddy may be looking at our frame while we hand it out, hence atomic. */
static inline uint16_t state_load(const struct frame *frame)
{
    return __atomic_load_n(&frame->state, __ATOMIC_RELAXED);
}

static inline void state_store(struct frame *frame, unsigned use, unsigned order)
{
    __atomic_store_n(&frame->state, state_of(use, order), __ATOMIC_RELAXED);
}

static inline void header_store(struct frame *frame, uint64_t header)
{
    __atomic_store_n(&frame->header, header, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ the buddy (buddy.c) */

struct buddy {
    struct spinlock lock;                    /* RANK_FRAMES; protects the rest */
    uint32_t orders;                         /* bit n: blocks[n] is not empty */
    uint64_t free;                           /* frames in blocks and in the pool (read without the lock) */
    struct list blocks[FRAME_ORDER_MAX + 1]; /* heads of free blocks */
    struct list pool;                        /* single frames, all zeroes */
    uint64_t pooled;                         /* their number (read without the lock) */
    uint64_t pool_limit;                     /* frames_zero_ahead() stops there */
    uint64_t reserve;                        /* only for FRAME_EMERGENCY */
    uint64_t mark;                           /* below it frames_short is set */
    uint64_t managed;                        /* descriptors that are not FRAME_RESERVED at the start */
    uint64_t kernel_at_start;                /* FRAME_KERNEL frames that nobody allocated */
};
extern struct buddy buddy;

/* With the lock held. A block of exactly 2^order frames, whose states are FRAME_FREE/ORDER_IN_BLOCK; NULL. */
struct frame *buddy_take(unsigned order);
/* As large a free block as there is, of at most 2^most frames, lowest orders first; NULL when all are gone.
 */
struct frame *buddy_take_up_to(unsigned most, unsigned *order);
/* Merges with its buddies. The frames' flags stay. */
void buddy_give(struct frame *frame, unsigned order);

/* ------------------------------------------------------------------ the caches (frame_alloc.c) */

enum {
    CACHE_MAX = 31, /* frames of either kind in a CPU's cache: a stack is 256 bytes then */
    CACHE_DIRTY = 0,
    CACHE_ZEROED = 1 /* == FRAME_ZERO: the request selects the stack */
};

struct frame_stack {
    uint32_t count; /* written by the owning CPU, read by all */
    struct frame *frames[CACHE_MAX];
};

/* One a CPU, touched only by it (but for the counters, which others read). */
struct frame_cache {
    struct frame_stack stacks[2];
    uint64_t by_use[FRAME_USES]; /* frames allocated less frames freed by this CPU; wraps */
} __attribute__((aligned(64)));
extern struct frame_cache frame_caches[HOST_MAX_CPUS];
_Static_assert(sizeof(struct frame_stack) == 256, "so that a stack is found by a shift");

/* This CPU's. The compiler shall keep the address in a register: it would rather add it up for each field. */
static inline struct frame_cache *frame_cache_here(void)
{
    struct frame_cache *cache = &frame_caches[host_cpu()];

    __asm__("" : "+r"(cache));
    return cache;
}

void frame_caches_init(void);

/* ------------------------------------------------------------------ small structures (slab.c) */

/* Empty classes; called by frames_init(). */
void slab_init(void);
/* Counts down frames_fail_after(); true when this allocation shall fail. */
bool frames_fail_now(void);
extern uint64_t frames_fail_countdown; /* 0: off */

/* ------------------------------------------------------------------ poison (debug builds) */

#define POISON_WORD ((uint64_t)0xfee1deadfee1dead)

#ifdef QUIRE_DEBUG
/* Fills a freed frame with the pattern. */
void poison_fill(struct frame *frame);
/* Panics when somebody wrote to the frame since it was freed (or zeroed ahead). */
void poison_verify(const struct frame *frame, unsigned flags);
#else
static inline void poison_fill(struct frame *frame)
{
    (void)frame;
}
static inline void poison_verify(const struct frame *frame, unsigned flags)
{
    (void)frame;
    (void)flags;
}
#endif

#endif
