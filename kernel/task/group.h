/*
 * Groups of processes that are charged for memory together: what /sys/fs/cgroup shows (kernel/fs/cgroupfs.c).
 * A group is a member of its own (quire/reclaim.h) for all its processes, whatever programs they run; who is
 * in no group is charged by program (member.h). Groups are not nested.
 *
 * A process that enters a group leaves what it was charged for behind, as in Linux's second version.
 *
 * Locking: the kernel lock. Nothing sleeps but what says so.
 */
#ifndef KERNEL_GROUP_H
#define KERNEL_GROUP_H

#include "kernel/task/pressure.h"
#include "kernel/task/task.h"
#include "quire/reclaim.h"

struct group {
    struct list node; /* of `groups`, until it is removed */
    uint32_t refs;
    bool removed;
    uint32_t member;
    uint64_t number; /* ever higher */
    enum scope_class class;
    uint64_t minimum, low, high, maximum; /* frames; UINT64_MAX: all, no bound */
    /* What processes that have left, or ended, did while they were in it. */
    uint64_t faults_minor, faults_major;
    uint64_t kills;
    struct pressure pressure;
    char name[];
};

extern struct list groups;

/* With a reference of the caller's. -EEXIST, -ENOMEM: there is no memory, or there are too many members. May
 * sleep. */
int group_create(const char *name, struct group **out);
struct group *group_find(const char *name);     /* no reference; NULL */
struct group *group_of_member(uint32_t member); /* the same */
void group_ref(struct group *group);
void group_unref(struct group *group);
/* It is no more, but for those who have references. -EBUSY: there are processes in it. */
int group_remove(struct group *group);
bool group_is_populated(const struct group *group);

/* The process is in the group from now on; NULL: in none. -ESRCH: it has ended. */
int group_enter(struct group *group, struct process *process);
/* Its memory goes. */
void group_process_ends(struct process *process);
/* The process is ended because memory is short. */
void group_note_kill(const struct process *process);

/* What was set by class, minimum, low, high and maximum holds. -ENOMEM: so much cannot be guaranteed; nothing
 * has changed but those. */
int group_apply(struct group *group);

/* Faults of all that are, or were, in it. */
void group_faults(const struct group *group, uint64_t *all, uint64_t *major);

#endif
