/*
 * What members.c, givers.c and reclaim_report.c share. Everything under pages_lock, but for references.
 */
#ifndef VM_MEMBERS_INTERNAL_H
#define VM_MEMBERS_INTERNAL_H

#include "base/check.h"
#include "vm/members.h"

/* Beside struct scope_member, which has what scope.c must know. */
struct record {
    uint32_t refs;             /* a; 0: free, or dead */
    uint32_t left;             /* frames of a dead one */
    uint32_t pool;             /* 0: the shared one */
    uint32_t used, files_back; /* in this window: pages used; pages of files that came back */
    bool counts_all;
    uint32_t fixed;        /* pages that cannot leave memory; those of the dead, too */
    uint32_t file, shared; /* pages by kind */
    uint32_t swapped;      /* a: slots; those of the dead, too */
    uint64_t high, maximum;
    unsigned patience,
        refusals; /* faults in which it gives nothing; how often in a row it could not give enough */
    uint64_t frames_peak, evicted, dirty, lost, lost_protected, looked_at, refaults[2], swap_outs, above_high,
        above_maximum, starved;
};

extern struct scope members_scope;
extern struct scope_member members_list[MEMBERS_MAX]; /* number 0 is always GONE */
extern struct record members_records[MEMBERS_MAX];
extern uint32_t members_nobodys;               /* frames */
extern uint64_t victims_chosen, victims_dirty; /* ever */
extern uint64_t members_swap_outs, members_swap_ins;

static inline bool scope_is_local(void)
{
    return members_scope.config.kind == SCOPE_LOCAL;
}

static inline bool member_is_alive(uint32_t member)
{
    return member != MEMBER_NOBODY && __atomic_load_n(&members_records[member].refs, __ATOMIC_RELAXED) > 0;
}

/* All that it is charged for. */
static inline uint64_t member_total(uint32_t member)
{
    return (uint64_t)members_list[member].frames + members_records[member].fixed;
}

/* Policies know how many frames there are for their pages. */
void members_fit_pools(void);

#endif
