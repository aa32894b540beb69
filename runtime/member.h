/*
 * Members, budgets and pools: whose frames are whose. What the words mean is in quire/scope.h and
 * docs/GLOSSARY.md, what is decided in src/policy/scope*.c.
 *
 *      region ---- member ---- budget of its own, if it has a bound ---- the pager's budget
 *                         \--- pool: a policy and what it knows pages by
 *
 * A *budget* is a number of frames. A fault takes one from its member's own, if it has one, and one from the
 * pager's; the evicting thread keeps each of them free up to its reserve, so a member at its bound evicts
 * pages of its own only.
 *
 * All members are in one *pool* under global scope, but for those with a maximum; under local scope each has
 * one of its own. Members are charged when their pages come to a pool and go from it, under pager->order: a
 * fault of a member without a bound pays nothing for them.
 *
 * Who protects what: as in pager.h. `own`, `pool` and what a member was created with do not change while it
 * is used.
 */
#ifndef QUIRE_RUNTIME_MEMBER_H
#define QUIRE_RUNTIME_MEMBER_H

#include <stdatomic.h>

#include "policy/names.h"
#include "quire/quire.h"
#include "quire/scope.h"

enum {
    MOST_MEMBERS = 64,
    MEMBER_NAME_BYTES = 32,
    LEAST_BOUND = (int)(QUIRE_LEAST_MEMORY / PAGE_SIZE) /* frames: with fewer, one access may not fit */
};

struct region;
struct place;

struct budget {
    _Alignas(64) _Atomic uint32_t taken; /* a: frames in use; whoever finds no more sleeps on it */
    _Atomic uint32_t frames;             /* a: how many there are; fewer than are taken, for a while */
    _Atomic uint32_t low, high;          /* a: free frames: below, eviction begins; and ends */
    _Atomic uint32_t waiters;            /* a */
    _Atomic uint32_t fruitless;          /* a: rounds in a row that could free none of it */
    _Atomic uint32_t pinned;             /* a: pages with pins */
    /* The evicting thread's. */
    _Alignas(64) bool refills; /* eviction has begun */
    uint32_t freed, refused;   /* in this round: pages that went; that had to stay because of an error */
    uint64_t counted_ns;       /* when `fruitless` was counted last */
};

struct pool {
    struct quire_pager *pager; /* - */
    struct policy *policy;     /* o */
    struct policy_host host;   /* - */
    struct policy_names names; /* o */
    uint64_t *name_of;         /* o: by number; unlike names.name, also while a number is being forgotten */
    uint32_t *forgotten;       /* o: numbers to be forgotten once the victim is known */
    uint32_t forgotten_count;
    uint32_t choice; /* o: counts choices of a victim */
    uint32_t
        *verdicts; /* o: by number: the choice at which it was judged, times two, plus one if it must stay */
    uint32_t scan_interval; /* o: of clock, after which reference bits are stale */
    uint32_t clock;         /* o: pages that came, ever (wraps around) */
    uint32_t ticked;        /* o: clock at the last tick */
    uint32_t advanced;      /* o: clock when policy->now was moved on last */
    int64_t credit;         /* o: its turn comes when it has most (give.c) */
    void *memory;
    size_t bytes;
};

/* For whom victims are sought, and what was found out on the way. */
struct search {
    struct quire_member *own; /* at its bound: only its pages; NULL: whoever is to give */
    uint32_t taker;           /* SCOPE_NOBODY: not known */
    unsigned round;           /* of scope_spares() */
    bool spares;              /* classes protect pages */
    uint64_t empty;           /* a bit for each member of whom no page can go */
};

struct quire_member {
    struct quire_pager *pager;   /* - */
    uint32_t number;             /* - in pager->members, and in the scope */
    struct budget *own;          /* - NULL: none but the pager's */
    struct pool *pool;           /* - where its pages are */
    uint32_t maximum;            /* o: frames; 0: none, as long as it lives */
    _Atomic uint32_t guaranteed; /* a: frames */
    char name[MEMBER_NAME_BYTES];
    bool used; /* r, o, round: it lives; a free place otherwise */
    /* o, since it was created: */
    uint32_t regions;
    uint64_t mapped_pages;
    uint64_t ahead;   /* pages that came without a fault; those with one are scope_member.faults */
    uint64_t evicted; /* victims; */
    uint64_t dirty, lost, lost_protected, given_back; /* of these: include/quire/reclaim.h */
    uint32_t debt;        /* o: pages that came since the round before, for which a victim is sought yet */
    struct budget budget; /* what `own` is of one with a bound */
    struct pool storage;  /* what `pool` is of one with a pool of its own */
};

/* ---- budgets (frame.c) */

void budget_set(struct budget *budget, uint32_t frames);
static inline uint32_t budget_free(const struct budget *budget)
{
    uint32_t taken = atomic_load((_Atomic uint32_t *)&budget->taken),
             frames = atomic_load_explicit((_Atomic uint32_t *)&budget->frames, memory_order_relaxed);

    return taken < frames ? frames - taken : 0;
}

/* What is left for faults when something is not urgent. */
enum reserve { RESERVE_HALF, RESERVE_WHOLE };

/* ST_LIMIT: nothing could leave for a second, or until the deadline. Async-signal-safe, as all of these. */
MUST_USE enum status frame_take(struct quire_member *member);
/* Up to `wanted` without waiting, beyond the reserve. */
uint32_t frames_try_take(struct quire_member *member, uint32_t wanted, enum reserve reserve);
/* Until there are more than the reserve; false: not until then. */
bool frames_wait(struct quire_member *member, enum reserve reserve, uint64_t until);
bool frames_beyond(struct quire_member *member, enum reserve reserve);
void frames_give(struct quire_member *member, uint32_t count);
/* Of the budget that the member feels first. */
uint32_t member_frames(const struct quire_member *member);

/* ---- pools (pool.c); under pager->order */

/* A policy of the pager's kind for so many frames, which may become more: up to the pager's. */
MUST_USE enum status pool_make(struct pool *pool, struct quire_pager *pager, uint32_t frames,
                               struct quire_error *error);
void pool_end(struct pool *pool);
/* Its policy is for so many frames from now on, or as many as it has. */
void pool_fit(struct pool *pool, uint32_t frames);
/* The page is in memory (again). False: it was known to be. */
bool pool_insert(struct pool *pool, struct place place);
/* The page is not to be known any more. True: it was in memory. */
bool pool_remove(struct pool *pool, struct place place);
/* No page of the region is, ghosts neither. Returns how many were in memory. */
uint32_t pool_remove_region(struct pool *pool, const struct region *region);
/* False: no page may go. */
bool pool_victim(struct pool *pool, struct place *victim);
/* A scan saw the page used: `tells`, a policy that needs every reference hears of it. */
void pool_referenced(struct pool *pool, struct place place, bool tells);
/* Time passes for the policy. */
void pool_advance(struct pool *pool);
void pool_tick(struct pool *pool);
/* How many of the member's pages the pool's policy says are in memory. */
uint32_t pool_count(const struct pool *pool, const struct quire_member *member);
/* Pages under this number may be mapped at the same time. */
uint64_t pool_most_pages(const struct policy_type *type);
MUST_USE const char *pool_check(const struct pool *pool);

/* ---- members (member.c) */

/* Reads scope and allocation of the options. */
MUST_USE enum status members_parse(struct quire_pager *pager, const struct quire_options *options,
                                   struct quire_error *error);
/* The first one is there. Errors leave nothing that members_end() does not end. */
MUST_USE enum status members_begin(struct quire_pager *pager, struct quire_error *error);
void members_end(struct quire_pager *pager);
/* In a child of fork(): members like those of the parent's, with the same numbers. */
MUST_USE enum status members_copy(struct quire_pager *pager, const struct quire_pager *parents,
                                  struct quire_error *error);
/* The member has a region more: ST_LIMIT: no frame is left for it. Under regions_lock. */
MUST_USE enum status member_enter(struct quire_member *member, uint64_t pages);
/* ... and one less, none of whose pages is known any more. */
void member_leave(struct quire_member *member, uint64_t pages);
/* A page of it is known to be in memory: it came, or (MEMBER_BACK) could not go. Under pager->order. */
enum member_change { MEMBER_CAME, MEMBER_CAME_AHEAD, MEMBER_BACK };
void member_charge(struct quire_member *member, enum member_change how);
/* Pages are not known any more. */
void member_uncharge(struct quire_member *member, uint32_t pages);
/* Victims have been found for what came. Under pager->order. */
void members_are_even(struct quire_pager *pager);
/* Before victims are sought: page-fault frequencies are looked at, pools follow their targets. Under
 * pager->order. */
void members_upkeep(struct quire_pager *pager);
/* False: there is no such member. Its name is copied: it may end meanwhile. */
bool member_look(struct quire_pager *pager, uint32_t number, struct quire_member_stats *stats,
                 char name[MEMBER_NAME_BYTES]);
/* NULL, or what is wrong. Under pager->order, with `resident` pages in memory of each. */
MUST_USE const char *members_check(struct quire_pager *pager, const uint64_t resident[MOST_MEMBERS]);

/* ---- whose page goes (give.c); under pager->order */

/* A search for pages of whoever is to give, or (`own`) of one member. */
void give_begin(struct quire_pager *pager, struct quire_member *own);
/* False: no page may go. */
bool give_victim(struct quire_pager *pager, struct place *victim);
/* Must the page stay because of whose it is, in this search? */
bool give_spares(const struct quire_pager *pager, const struct quire_member *owner);

#endif
