/*
 * Reclaim: what leaves memory when it runs short, by which policy, and whose pages give first.
 *
 * A policy (quire/policy.h) orders pages, a scope (quire/scope.h) says whose; both are chosen once, when the
 * system starts. docs/RECLAIM.md says what happens from the first shortage on.
 *
 * Time is in microseconds in which a CPU worked: what the simulator counts in references.
 */
#ifndef QUIRE_RECLAIM_H
#define QUIRE_RECLAIM_H

#include "quire/policy.h"
#include "quire/scope.h"
#include "quire/space.h"

/*
 * Once, after vm_init() and before any memory is short. NULL for what is to stay as it is: clock with its
 * standard options, global scope. Of `policy` only options and seed count, of `scope` not the frames.
 * ST_UNSUPPORTED: a policy that needs more than reference bits. ST_INVALID: the scope's bounds are out of
 * order.
 */
MUST_USE enum status reclaim_configure(const struct policy_type *type, const struct policy_config *policy,
                                       const struct scope_config *scope);
/* Load control is done, by whoever calls reclaim_balance(). Before any memory is short. */
void reclaim_control_load(void);
bool reclaim_controls_load(void);

/* ------------------------------------------------------------------ members */

/*
 * A member is charged for the pages that its spaces touch first: a program, or a group of programs. One lives
 * while it has references, of the caller's or of spaces; what it leaves behind (pages of files) is charged to
 * who touches it next. 0 is nobody.
 */
enum { MEMBER_NOBODY = 0, MEMBERS_MAX = 512 };

/* An ordinary one, without bounds, with a reference. MEMBER_NOBODY: there are too many. */
MUST_USE uint32_t member_create(void);
void member_ref(uint32_t member);
void member_unref(uint32_t member);

/* ST_LIMIT: what is guaranteed (a vvip's minimum) is more than there is; nothing has changed. */
MUST_USE enum status member_set_class(uint32_t member, enum scope_class class, uint64_t minimum_frames);
/* Above `high` frames its own pages go, at `maximum` they must. UINT64_MAX: no bound. */
void member_set_bounds(uint32_t member, uint64_t high, uint64_t maximum);
/* A vvip's pages up to so many are protected as a vip's are, beyond its minimum. */
void member_set_low(uint32_t member, uint64_t frames);
/* All its private pages count, also where there is no swap for them to go to. Memory is watched from now on.
 * False: there is no memory for that. */
MUST_USE bool member_count_all(uint32_t member);
/* Evicts up to so many of the member's own pages; returns how many. Sleeps. */
uint64_t member_shrink(uint32_t member, uint64_t frames);

/* What the space touches is charged to the member from now on; it takes a reference of its own. A fork's
 * child has its parent's. */
void space_set_member(struct space *space, uint32_t member);
uint32_t space_member(const struct space *space);

/* The space's program had a CPU until now. Without locks; one look at a flag while memory is plentiful. */
void reclaim_ran(const struct space *space);

struct member_report {
    enum scope_class class;
    enum member_place place;
    uint64_t minimum, low, high, maximum;
    uint64_t frames, frames_peak; /* frames: all that it is charged for, */
    uint64_t file, shared;        /* of these: pages of files; of memory that processes share, and of tmpfs */
    uint64_t swapped;             /* slots */
    uint64_t target;              /* local scope */
    uint64_t working_set;         /* with load control or page-fault frequency */
    uint64_t rate;                /* faults in a second of its time, in the window before this one */
    uint64_t time, faults;        /* faults: pages that came, while memory was short */
    uint64_t evicted, dirty;      /* pages of its that went; those that had to be written */
    uint64_t lost;                /* of these, for somebody else */
    uint64_t lost_protected;      /* of these, though its class protected them */
    uint64_t looked_at;           /* pages whose reference bits were asked for */
    uint64_t refaults[2];         /* pages that came back: of memory, of files */
    uint64_t swap_outs;           /* as a whole */
    uint64_t above_high, above_maximum, starved; /* how often its bounds were met; nothing of its could go */
};
/* False: there is no such member. Numbers are below MEMBERS_MAX. */
bool member_look(uint32_t member, struct member_report *out);

/* ------------------------------------------------------------------ the whole */

enum { REFAULT_BUCKETS = 32, RECLAIM_COUNTERS = 12 };

struct reclaim_report {
    const char *policy;
    enum scope_kind scope;
    enum scope_rule rule;
    bool watched;      /* memory has been short */
    uint64_t frames;   /* that pages can have */
    uint64_t enrolled; /* pages that policies know */
    uint64_t leaving;  /* victims that have neither gone nor come back */
    uint64_t nobodys;  /* of these, charged to nobody */
    uint64_t pools;
    uint64_t low, high; /* the marks of the cleaner */
    uint64_t evicted, dirty, cleaned,
        returned;                /* cleaned: written ahead; returned: wanted before they had gone */
    uint64_t direct, background; /* evictions by who needed a frame, by the cleaner */
    uint64_t waits;              /* for pages that others were evicting */
    uint64_t refaults;           /* pages that came back */
    uint64_t refault_distance[REFAULT_BUCKETS]; /* bucket n: 2^n to 2^(n+1)-1 evictions after they went */
    uint64_t ticks, harvests, flushes;
    uint64_t rounds, room_mean;   /* of the cleaner; pages that policies have when it begins one */
    uint64_t divided_mean;        /* frames that members shared, when one gave what it had too much */
    uint64_t known_first;         /* pages that policies learnt of when memory first fell short */
    uint64_t since_us, time_us;   /* policies' time when memory first fell short, and now (quire/work.h) */
    uint64_t moved, starved;      /* page-fault frequency */
    uint64_t swap_outs, swap_ins; /* load control: members as a whole */
    size_t counters;
    struct policy_counter counter[RECLAIM_COUNTERS]; /* the policy's own, of all pools together */
};
void reclaim_look(struct reclaim_report *out);

/* ------------------------------------------------------------------ threads of the kernel */

/* One round of the cleaner: sleeps while nothing is to be done, then evicts up to the high mark, and writes
 * what policies have asked for. */
void reclaim_background(void);

/*
 * Load control, now and then: what the kernel must do next. SWAP_OUT: stop the member's programs, then call
 * reclaim_swap_out(). SWAP_IN: call reclaim_swap_in(), then let them go on. SWAP_NOTHING: call again later.
 * `idle_us`: so long, since the last call, nobody worked and nobody waited for memory. Turns go by the time
 * that programs work, and by this: else nobody's would end when those who are in wait for one who is out.
 */
MUST_USE enum scope_swap reclaim_balance(uint64_t idle_us, uint32_t *member);
/* Between the two calls, as a whole. */
bool member_is_out(uint32_t member);
void reclaim_swap_out(uint32_t member);
void reclaim_swap_in(uint32_t member);

/* ------------------------------------------------------------------ tests */

/* With no other CPU in src/vm: panics, naming what is wrong, on a broken invariant. */
void reclaim_check(void);
/* No page is known to a policy any more, and the policies' memory is given back. */
void reclaim_forget(void);
/* The cleaner does a round, however much memory is free. */
void reclaim_call_cleaner(void);
/* Enrol all pages now, as if memory were short. False: no memory for it. */
bool reclaim_watch(void);

#endif
