/*
 * Slots, as the files of swap see them.
 *
 * Invariants (swap_check() walks them): a slot is in use, which is its bit of `taken`, when it counts marks,
 * has a frame, is bad, or is doomed; a slot that is in use has a descriptor. Frame and slot point to each
 * other. A slot that counts nothing has a frame that an entry maps or an object has, or is bad or doomed.
 *
 * Locking: everything under swap.lock, but what it is a copy of, which does not change while the slot is in
 * use: who has a mark that counts may read it.
 */
#ifndef VM_SWAP_INTERNAL_H
#define VM_SWAP_INTERNAL_H

#include "quire/reclaim.h"
#include "vm/swap.h"

enum slot_flag {
    SLOT_ZERO = 1,  /* a page of zeroes: the store knows nothing of it */
    SLOT_BAD = 2,   /* could not be written */
    SLOT_STALE = 4, /* the store does not have the contents, the frame does */
    SLOT_LEAVING =
        8, /* between swap_prepare() and swap_release(): entries get no W, somebody reads the frame */
    SLOT_WRITING = 16, /* the store is being given the contents */
    SLOT_DOOMED = 32,  /* nobody wants it, but it is WRITING: free after that */
    SLOT_AROUND = 64 /* its frame was read with another one's, out of order, and has not been asked for yet */
};

enum { SLOT_PAYLOAD_BITS = 64 - MARK_PAYLOAD_SHIFT, SLOT_MEMBER_BITS = 11 };

struct swap_slot {
    uint32_t frame;      /* its number; 0: not in memory */
    uint32_t count : 24; /* entries, and 1 for an object whose page is not in memory */
    uint32_t flags : 8;
    uint64_t : 0; /* what follows is read without the lock: it may not be written with what stands before it
                   */
    uint64_t payload : SLOT_PAYLOAD_BITS; /* of what the page is a copy of */
    uint64_t member : SLOT_MEMBER_BITS;   /* who was charged for it when it got the slot */
    uint64_t of_object : 1;               /* it is a copy of an object's page */
};
_Static_assert(sizeof(struct swap_slot) == 16, "256 descriptors a frame");

/* Descriptors come and go by pieces of one frame; the bits of `taken` are there from the beginning. */
enum { PIECE_BITS = 8, PIECE_SLOTS = 1 << PIECE_BITS, WORD_BITS = 6, WORD_SLOTS = 1 << WORD_BITS };

/* What swap_ahead.c has learnt of reads that go on with no stream. */
struct swap_ahead {
    unsigned group;      /* slots: a power of two, 1 to SWAP_CLUSTER */
    unsigned used, lost; /* of the pages read around others, since the group last changed */
    unsigned tried;      /* reads since groups are of one page */
};

struct swap {
    struct spinlock lock; /* RANK_SWAP */
    struct swap_store store;
    uint32_t slots;             /* c: numbers 1 .. slots; 0: there is no swap */
    uint32_t used, bad, cached; /* as in struct swap_counts */
    uint32_t zero;
    uint32_t read_ahead; /* most pages a read */
    struct swap_ahead ahead;
    uint64_t *taken; /* bit s: slot s is in use (or is no slot at all) */
    uint32_t words, empty_words;
    uint32_t hand;             /* the slot that is tried next */
    uint32_t sweep;            /* where the search for slots that only the cache uses goes on */
    struct swap_slot **pieces; /* NULL: no slot of it is in use */
};
extern struct swap swap;

static inline struct swap_slot *slot_at(uint32_t slot)
{
    struct swap_slot *piece = __atomic_load_n(&swap.pieces[slot >> PIECE_BITS], __ATOMIC_RELAXED);

    return &piece[slot & (PIECE_SLOTS - 1)];
}

_Static_assert(MEMBERS_MAX <= 1 << SLOT_MEMBER_BITS, "members have room in a slot");

/* As frame->page.index of a private frame. */
static inline uint64_t slot_origin(const struct swap_slot *s)
{
    return s->of_object ? ORIGIN_OBJECT | s->payload : 0;
}

static inline bool slot_is_taken(uint32_t slot)
{
    return swap.taken[slot / WORD_SLOTS] >> (slot % WORD_SLOTS) & 1;
}

static inline struct frame *slot_frame(const struct swap_slot *s)
{
    return s->frame ? frame_of(pfn(s->frame)) : NULL;
}

/* Is swap so empty that the slot of a page which has come back may be kept for the next time? */
static inline bool swap_is_roomy(void)
{
    return swap.used < swap.slots / 2;
}

/* All below: with the lock. */

/* swap_ahead.c: what to read when the page in the slot is wanted: slots first .. first + count - 1, it among
 * them. `around`: the reader goes on with none of his streams. */
struct ahead_row {
    uint32_t first;
    unsigned count;
    bool around;
};
void ahead_init(void);
void ahead_choose(struct swap_streams *streams, uint32_t slot, struct ahead_row *row);
/* A page read around another one was used, or left memory without. */
void ahead_judge(bool used);

/* swap_slots.c: a free slot, the next one where it can; 0: swap is full, or there is no frame for its
 * descriptor. `begin`: it is the first of `run` that belong together. */
uint32_t slot_take(unsigned begin_run);
/* Nobody counts it, nothing is cached: it is free, or bad, or doomed if the store is at work on it. */
void slot_free(uint32_t slot);

/* swap_cache.c: the frame of ANON or SHARED memory and the slot are a pair from now on; a reference more. */
void cache_insert(uint32_t slot, struct frame *frame);
/* They are no more; the cache's reference is the caller's. */
struct frame *cache_remove(uint32_t slot);
/* Nothing counts the slot any more, or nothing maps its frame: end what nobody needs. */
void slot_settle(uint32_t slot);
/* The frame has come to differ from what the slot has. */
void slot_set_stale(uint32_t slot);
/* Frees up to `wanted` slots that only the cache knows: their frames go on without. */
void cache_sweep(uint32_t wanted);

#endif
