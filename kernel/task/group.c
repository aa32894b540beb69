/*
 * Groups of processes. See group.h.
 *
 * Faults are counted by process anyway: a group keeps what those did that are gone, and a process what it had
 * done when it came.
 */
#include "kernel/task/group.h"

#include <asm-generic/errno.h>

#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "kernel/task/member.h"
#include "kernel/task/task_internal.h"
#include "quire/slab.h"

struct list groups = {&groups, &groups};
static uint64_t last_number;

struct group *group_find(const char *name)
{
    list_for_each(node, &groups)
    {
        struct group *group = container_of(node, struct group, node);

        if (strcmp(group->name, name) == 0)
            return group;
    }
    return NULL;
}

struct group *group_of_member(uint32_t member)
{
    list_for_each(node, &groups)
    {
        struct group *group = container_of(node, struct group, node);

        if (group->member == member)
            return group;
    }
    return NULL;
}

int group_create(const char *name, struct group **out)
{
    size_t length = strlen(name);
    struct group *group = fs_alloc(sizeof *group + length + 1);

    if (!group)
        return -ENOMEM;
    group->member = member_create();
    if (group->member == MEMBER_NOBODY || !member_count_all(group->member) || group_find(name)) {
        int error = group_find(name) ? -EEXIST : -ENOMEM;

        member_unref(group->member);
        slab_free(group);
        return error;
    }
    memcpy(group->name, name, length + 1);
    group->refs = 2;
    group->number = ++last_number;
    group->high = group->maximum = UINT64_MAX;
    group->pressure.sampled_ns = host_now_ns();
    list_push_back(&groups, &group->node);
    *out = group;
    return 0;
}

void group_ref(struct group *group)
{
    if (group)
        group->refs++;
}

void group_unref(struct group *group)
{
    if (group && --group->refs == 0)
        slab_free(group);
}

/* ------------------------------------------------------------------ who is in it */

struct inside {
    const struct group *group;
    bool any;
};

static void find_living(struct process *process, void *context)
{
    struct inside *inside = context;

    inside->any |= process->group == inside->group && process->space && !process->zombie;
}

bool group_is_populated(const struct group *group)
{
    struct inside inside = {.group = group};

    process_for_each(find_living, &inside);
    return inside.any;
}

static void leave(struct process *process)
{
    struct group *group = process->group;

    if (!group)
        return;
    group->faults_minor += process->faults_minor - process->group_faults_minor;
    group->faults_major += process->faults_major - process->group_faults_major;
    process->group_faults_minor = process->faults_minor;
    process->group_faults_major = process->faults_major;
}

static void forget_zombie(struct process *process, void *context)
{
    if (process->group == context)
        process->group = NULL;
}

int group_remove(struct group *group)
{
    if (group_is_populated(group))
        return -EBUSY;
    process_for_each(forget_zombie, group);
    list_remove(&group->node);
    group->removed = true;
    member_unref(group->member);
    group_unref(group);
    return 0;
}

int group_enter(struct group *group, struct process *process)
{
    if (!process->space || process->zombie || process->exiting)
        return -ESRCH;
    if (process->group == group)
        return 0;
    leave(process);
    pressure_move(process, group);
    process->group = group;
    process->group_faults_minor = process->faults_minor;
    process->group_faults_major = process->faults_major;
    if (group)
        space_set_member(process->space, group->member);
    else
        member_begin_program(process->space, process->exe_path ? process->exe_path : "");
    member_hold(process);
    return 0;
}

void group_process_ends(struct process *process)
{
    leave(process);
}

void group_note_kill(const struct process *process)
{
    if (process->group)
        process->group->kills++;
}

struct faults {
    const struct group *group;
    uint64_t minor, major;
};

static void add_faults(struct process *process, void *context)
{
    struct faults *faults = context;

    if (process->group != faults->group)
        return;
    faults->minor += process->faults_minor - process->group_faults_minor;
    faults->major += process->faults_major - process->group_faults_major;
}

void group_faults(const struct group *group, uint64_t *all, uint64_t *major)
{
    struct faults faults = {group, group->faults_minor, group->faults_major};

    process_for_each(add_faults, &faults);
    *all = faults.minor + faults.major;
    *major = faults.major;
}

/* ------------------------------------------------------------------ bounds */

int group_apply(struct group *group)
{
    uint64_t sure = group->class == CLASS_VVIP ? group->minimum : group->low;

    if (member_set_class(group->member, group->class, sure) != ST_OK)
        return -ENOMEM;
    member_set_low(group->member, group->low);
    member_set_bounds(group->member, group->high, group->maximum);
    return 0;
}
