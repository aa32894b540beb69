/*
 * Whose frames are used for what comes in, when several spaces (processes) share a memory.
 *
 * A *member* is a space that competes for frames. Under *global* scope every member's pages are candidates;
 * under *local* scope a member replaces pages of its own, and an *allocation rule* says how many frames it
 * may have (its target). *Classes* decide who gives first: a vvip's minimum is never taken, a vip's only when
 * nobody else has anything left; what they have beyond it is taken like anybody's. *Load control* swaps whole
 * members out while the working sets of those in memory outgrow it.
 *
 * Here it is decided, and nowhere done: the host fills in what it counts, asks, and moves the pages. Nothing
 * is allocated, and nothing takes longer than a few walks over the members.
 *
 * Locking: the caller's. One call at a time for each struct scope, and the members change under the same
 * lock.
 */
#ifndef QUIRE_SCOPE_H
#define QUIRE_SCOPE_H

#include "quire/status.h"
#include "quire/types.h"

#define SCOPE_NOBODY UINT32_MAX

enum scope_kind { SCOPE_GLOBAL, SCOPE_LOCAL };

enum scope_rule {
    SCOPE_EQUAL,        /* the same for everyone */
    SCOPE_PROPORTIONAL, /* by size */
    SCOPE_PFF           /* page-fault frequency: frames move until the fault rates are between two bounds */
};

enum scope_class { CLASS_ORDINARY, CLASS_VIP, CLASS_VVIP };

enum member_place { MEMBER_GONE, MEMBER_IN, MEMBER_OUT }; /* OUT: swapped out as a whole */

struct scope_member {
    /* The host's. Frames are counted also under local scope; a working set by whatever the host has. */
    enum scope_class class;
    uint32_t minimum;     /* frames that its class protects; 0 for an ordinary one */
    uint32_t low;         /* a vvip's: so many frames are protected as a vip's are; below its minimum: none */
    uint32_t pages;       /* its size */
    uint32_t frames;      /* that it has */
    uint32_t working_set; /* pages that it used in the last window of its time; 0: not known */
    uint64_t time;        /* its own: references that it made, or what the host counts for them */
    uint64_t faults;      /* ever */
    uint64_t ran;         /* scope.now when it last had a CPU; set without the lock. For config.idle */

    /* scope.c's; the host reads them. */
    enum member_place place;
    uint32_t target;   /* local scope: frames that it may have */
    uint32_t rate;     /* faults in a million of its time, in the window before this one (PFF) */
    uint64_t since;    /* when it last came in or went out, by scope.now */
    uint64_t window;   /* when its window began, by its time */
    uint64_t measured; /* its faults then */
    uint64_t began;    /* scope.now then */
};

struct scope_config {
    enum scope_kind kind;
    enum scope_rule rule;       /* local scope */
    uint32_t frames;            /* of all */
    uint32_t pff_low, pff_high; /* faults in a million of a member's time: below it gives, above it gets */
    uint64_t pff_window;        /* of a member's time, over which they are counted */
    /* Local scope where frames are lent (not strict): a member that has had no CPU for so long gives before
     * others, whatever its target. 0: none does. */
    uint64_t idle;
    bool strict; /* nobody has more frames than its target, as in textbooks */
    /* Load control: one that waited this long takes the place of one that stayed this long. 0: never. */
    uint64_t turn;
};

struct scope {
    struct scope_config config;
    struct scope_member *members;
    uint32_t count;
    uint64_t now;     /* time of all, the host's: what `turn` is counted in */
    uint64_t moved;   /* frames given from target to target by PFF */
    uint64_t starved; /* how often PFF had nobody to take from */
};

/*
 * All members come in with `count` targets; `members` stays the caller's. ST_INVALID: a bound is out of
 * order; ST_LIMIT: what vvip members are guaranteed and a frame for everybody else is more than there are
 * frames.
 */
MUST_USE enum status scope_init(struct scope *scope, const struct scope_config *config,
                                struct scope_member *members, uint32_t count);

/*
 * For hosts whose members come and go. `members` has room for `member`, which is GONE or new: its fields of
 * the host's are filled in, and it comes in. scope->count grows as far as needed (in between others are
 * GONE). ST_LIMIT: its guaranteed minimum does not fit; nothing has changed.
 */
MUST_USE enum status scope_join(struct scope *scope, uint32_t member);
/* Its class and minimum are others from now on. ST_LIMIT as above. */
MUST_USE enum status scope_reclass(struct scope *scope, uint32_t member, enum scope_class class,
                                   uint32_t minimum);
/* There are more frames, or fewer, but not fewer than what is guaranteed (then as few as that). Targets
 * change.
 */
void scope_resize(struct scope *scope, uint32_t frames);

/* The member has ended: it has no frames any more. Others' targets may grow. */
void scope_leave(struct scope *scope, uint32_t member);

/* Global scope, a victim is sought: must the pages of `owner` stay? `round` 0 first; when everybody is
 * spared, 1 (vip members give as well), then 2 (`taker` gives, whose turn it is: all others are at their
 * minimum). */
enum { SCOPE_ROUNDS = 3 };
bool scope_spares(const struct scope *scope, uint32_t owner, uint32_t taker, unsigned round);

/* Local scope, after a fault or when some of the member's time has passed: PFF looks at its rate. True:
 * targets have changed, and who has more frames than his target gives them now. */
bool scope_measure(struct scope *scope, uint32_t member);

/*
 * Local scope, when frames are lent: as long as some are free a member may have more than its target. When
 * one is wanted and none is free, those that are idle give first, then those above their targets, whoever has
 * most too much. So many frames are too much: above its target, and of an idle one all that its class does
 * not protect.
 */
bool scope_is_idle(const struct scope *scope, uint32_t member);
uint32_t scope_excess(const struct scope *scope, uint32_t member);

/*
 * Local scope, a victim is sought for `taker` (SCOPE_NOBODY: for nobody in particular): whose pages shall go?
 * Who is idle; who has most above his target; the taker, if he has more than his class protects; who has most
 * that no class protects; then vips; then the taker. `empty`: a bit for each member of whom no page can go.
 * SCOPE_NOBODY: no one's.
 */
uint32_t scope_giver(const struct scope *scope, uint32_t taker, const uint64_t *empty);

/* How many frames its class protects in any way. */
static inline uint32_t scope_protected(const struct scope_member *member)
{
    return member->class == CLASS_VVIP && member->low > member->minimum ? member->low : member->minimum;
}

/*
 * Load control, now and then: what the host must do next, SCOPE_NOBODY: nothing. It does that, then says so
 * by scope_swapped(), and asks again. A vvip is never swapped out, and of the others one that uses memory is
 * always in, if there is one: whoever waits for another comes in while that one sleeps.
 */
enum scope_swap { SWAP_NOTHING, SWAP_OUT, SWAP_IN };
MUST_USE enum scope_swap scope_balance(const struct scope *scope, uint32_t *member);
/* The member has gone out (and has no frames), or may come in. Targets may change. */
void scope_swapped(struct scope *scope, uint32_t member, enum scope_swap how);

/* Pages that the members in memory use: their working sets. */
uint64_t scope_demand(const struct scope *scope);

/* ------------------------------------------------------------------ words of command lines */

/* By their numbers; NULL at the end. */
extern const char *const scope_kind_names[], *const scope_rule_names[], *const scope_class_names[];

/* What was wrong with a text. */
struct scope_error {
    size_t at, length; /* the part of it */
    const char *expected;
};

/* "global" or "local". ST_INVALID: nothing has changed but *error. */
MUST_USE enum status scope_parse_kind(const char *text, enum scope_kind *kind, struct scope_error *error);
/* "equal", "proportional" or "pff:low=N,high=N,window=N", of which the options may be left out; each with the
 * option "strict", too. Fills in the rule, the bounds and `strict`. Errors as above. */
MUST_USE enum status scope_parse_rule(const char *text, struct scope_config *config,
                                      struct scope_error *error);

/* "NAME=vvip:SIZE", "NAME=vip:SIZE" or "NAME=ordinary"; SIZE is a number of bytes, or one with K, M or G. */
struct scope_class_word {
    size_t name_length; /* NAME is the first so many characters */
    enum scope_class class;
    uint64_t bytes; /* that are protected; 0 for an ordinary one */
};
/* ST_INVALID: it is none of these. */
MUST_USE enum status scope_parse_class(const char *text, struct scope_class_word *out);

/* NULL, or the first invariant that does not hold. */
MUST_USE const char *scope_check(const struct scope *scope);

#endif
