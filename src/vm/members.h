/*
 * Members: who is charged for pages, and whose pages go first; and the pools that the pages are in.
 *
 * Under global scope all pages are in pools[0]. Under local scope a member with many pages gets a pool of its
 * own as long as there are any; the others' pages are in pools[0] too, where those of other members are
 * passed over.
 *
 * Locking: everything under pages_lock, but for references.
 */
#ifndef VM_MEMBERS_H
#define VM_MEMBERS_H

#include "quire/reclaim.h"
#include "vm/pool.h"

enum { POOLS = 24, POOL_NONE = UINT16_MAX }; /* POOL_NONE: charged for, and cannot leave memory */

extern struct spinlock pages_lock; /* RANK_RECLAIM */
extern struct pool pools[POOLS];
extern uint32_t pools_made;                 /* l: pools from this number on are not made */
extern const struct policy_host pages_host; /* pages.c */
/* pages.c: no entry of locked memory maps the policy's victim. `*dirty` is set if it is to be written, as far
 * as can be seen. */
MUST_USE bool pages_may_go(struct frame *frame, bool *dirty);

void members_init(void);
/* Makes the first pool. ST_NO_MEMORY: nothing has changed. */
MUST_USE enum status members_start(void);
/* Gives the pools back; nothing is enrolled. */
void members_end(void);

/* Whose pages are sought. */
struct search {
    enum search_for {
        SEARCH_ANYBODY, /* whoever is to give, for `member` (0: for nobody in particular) */
        SEARCH_OWN      /* only pages of `member` */
    } what;
    uint32_t member;
};
void members_begin(const struct search *search);
/* The next victim; NULL: there is none. `*dirty`: it is to be written. */
struct frame *members_victim(bool *dirty);
/* Must the page stay because of whose it is, in this search? */
bool members_spare(const struct frame *frame);
/* Is the page of a file one of the last, of its member or of all (floor.h)? */
bool members_keep_file(const struct frame *frame);

/* The pool that a page goes into. */
uint32_t members_pool(const struct frame *frame);

enum arrival { ARRIVED, FOUND }; /* by a fault; by the sweep, or back from eviction */
/* The page is enrolled, is no more. */
void members_charge(struct frame *frame, enum arrival how);
void members_uncharge(struct frame *frame);
/* Is the member charged for pages that cannot leave memory? */
bool members_counts_all(uint32_t member);
/* The policy has asked for its reference bits; it has come back. */
void members_looked_at(const struct frame *frame);
void members_refault(struct frame *frame);
/* A slot more, or fewer, has a page of the member's. Without lock. */
void members_swapped_pages(uint32_t member, int change);
/* How many slots have pages of the member's. Without lock. */
uint32_t members_in_swap(uint32_t member);
/* Who is charged for a frame is looked at without the lock, too. */
static inline uint32_t frame_member(const struct frame *frame)
{
    return __atomic_load_n(&frame->paging.member, __ATOMIC_RELAXED);
}

static inline void frame_set_member(struct frame *frame, uint32_t member)
{
    __atomic_store_n(&frame->paging.member, member, __ATOMIC_RELAXED);
}

/* Is nobody charged for it, or somebody who is no more? */
bool members_is_free(const struct frame *frame);

/* The page was used since the last look. One that has just come for the first time is not: a program that
 * goes through a file once does not need it all. */
void members_note_use(struct frame *frame);
/* Do working sets matter? */
bool members_measure_use(void);
/* So many pages have come back in a window: is it long enough to say that they were wanted? */
bool members_turned_over(uint64_t refaults);
/* A window has ended: what was used in it is the working sets. */
void members_end_window(void);

/* It is `now` for turns and for who is idle. */
void members_pass(uint64_t now);
/* The member's space has run for `time`, with so many pages mapped. Returns how many frames it must give now.
 */
uint64_t members_run(uint32_t member, uint64_t time, uint64_t pages);
/* The member had a CPU until `now`, as in members_pass(). Without lock. */
void members_ran(uint32_t member, uint64_t now);
/* Of `wanted` frames that the member had to give it has given so many. True: it is at its maximum and gets no
 * more, because it had nothing to give, or again and again too little. Until then it gives nothing for a few
 * faults when that was too little: what can go is what it works with just now, and two pages that an
 * instruction needs at once would be fetched in the place of each other for ever. */
bool members_gave(uint32_t member, uint64_t given, uint64_t wanted);
/* A pool of its own, or a larger one, if the member needs it. */
void members_fit(uint32_t member);
/* There are so many frames that pages can have; how many members share, which follows that roughly. */
void members_resize(uint64_t frames);
uint32_t members_divided(void);

/* scope_balance() and scope_swapped(). */
MUST_USE enum scope_swap members_balance(uint32_t *member);
uint64_t members_turn(void);
void members_swapped(uint32_t member, enum scope_swap how);
uint32_t members_frames(uint32_t member);

const struct policy_type *members_policy(void);
void members_look(struct reclaim_report *out);
/* NULL, or what is wrong. */
MUST_USE const char *members_check(void);

#endif
