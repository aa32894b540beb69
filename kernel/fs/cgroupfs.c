/*
 * cgroupfs: groups of processes that are charged for memory together (kernel/task/group.h), by the names of
 * Linux's second version of control groups.
 *
 *     /sys/fs/cgroup       cgroup.* and memory.pressure of all; a folder for each group
 *     /sys/fs/cgroup/NAME  cgroup.* and memory.* of the group
 *
 * mkdir makes a group, rmdir removes one that has no processes. Groups are not nested: cgroup.max.depth says
 * 1. memory.class is our own: which of the classes of quire/scope.h the group has. It follows memory.min and
 * memory.low as they are written: who has a minimum is a vvip, who has only a low mark a vip.
 *
 * Vnodes are made when they are looked up, and hold their group; nothing is kept between two looks. Locking:
 * the kernel lock.
 */
#include <linux/errno.h>
#include <linux/magic.h>

#include "kernel/fs/internal.h"
#include "kernel/fs/procfs.h"
#include "kernel/klib.h"
#include "kernel/task/group.h"
#include "quire/slab.h"

enum {
    WRITTEN_BYTES = 128, /* the longest text that is taken */
    COOKIE_GROUPS = 256, /* behind the files: this and the number of the group */
    AT_ROOT = 1,
    IN_GROUP = 2
};

struct control {
    const char *name;
    unsigned where; /* AT_ROOT, IN_GROUP */
    void (*show)(struct text *text, struct group *group);
    /* 0 or -errno; the text has no white space around it. May sleep. */
    int (*take)(struct group *group, const char *text);
};

struct cgroup_node {
    struct vnode vnode;
    struct group *group;           /* with a reference; NULL: the root */
    const struct control *control; /* of a file */
};

static const struct control controls[];
static const struct vnode_ops cgroup_ops;

static struct cgroup_node *node_of(struct vnode *vnode)
{
    return container_of(vnode, struct cgroup_node, vnode);
}

/* ---------------------------------------------------------------- words */

/* Bytes with K, M or G, or "max", as frames. */
static int parse_frames(const char *text, uint64_t *frames)
{
    struct scope_class_word word;
    char whole[WRITTEN_BYTES + sizeof "_=vip:"];

    if (strcmp(text, "max") == 0) {
        *frames = UINT64_MAX;
        return 0;
    }
    snprintf(whole, sizeof whole, "_=vip:%s", text);
    if (scope_parse_class(whole, &word) != ST_OK)
        return -EINVAL;
    *frames = word.bytes >> PAGE_SHIFT;
    return 0;
}

static void show_frames(struct text *text, uint64_t frames)
{
    if (frames == UINT64_MAX)
        text_printf(text, "max\n");
    else
        text_printf(text, "%lu\n", frames << PAGE_SHIFT);
}

static struct member_report look(const struct group *group)
{
    struct member_report report = {0};

    (void)!member_look(group->member, &report);
    return report;
}

/* ---------------------------------------------------------------- cgroup.* */

static void show_controllers(struct text *text, struct group *group)
{
    text_printf(text, "memory\n");
}

/* Groups have memory's files and no others. */
static void show_subtree(struct text *text, struct group *group)
{
    if (!group)
        text_printf(text, "memory\n");
}

static int take_subtree(struct group *group, const char *text)
{
    if (!group && (strcmp(text, "+memory") == 0 || text[0] == '\0'))
        return 0;
    return strcmp(text, "-memory") == 0 ? -EBUSY : -EINVAL;
}

static void show_depth(struct text *text, struct group *group)
{
    text_printf(text, "1\n");
}

static void show_stat(struct text *text, struct group *group)
{
    unsigned count = 0;

    list_for_each(node, &groups)
    {
        count++;
    }
    text_printf(text, "nr_descendants %u\nnr_dying_descendants 0\n", group ? 0 : count);
}

static void show_events_of_group(struct text *text, struct group *group)
{
    text_printf(text, "populated %d\n", group_is_populated(group));
}

struct listing {
    struct text *text;
    const struct group *group;
};

static void list_process(struct process *process, void *context)
{
    const struct listing *listing = context;

    if (process->group == listing->group && process->space && !process->zombie)
        text_printf(listing->text, "%d\n", process->pid);
}

static void show_procs(struct text *text, struct group *group)
{
    process_for_each(list_process, &(struct listing){text, group});
}

static int take_procs(struct group *group, const char *text)
{
    struct process *process;
    int64_t pid;

    if (proc_number(text, 0, INT32_MAX, &pid) != 0)
        return -EINVAL;
    process = pid == 0 ? process_current() : process_find((int)pid);
    return process ? group_enter(group, process) : -ESRCH;
}

static void kill_process(struct process *process, void *context)
{
    if (process->group == context && !process->zombie)
        (void)signal_send_process(process, SIGKILL, NULL);
}

static int take_kill(struct group *group, const char *text)
{
    if (strcmp(text, "1") != 0)
        return -EINVAL;
    process_for_each(kill_process, group);
    return 0;
}

/* ---------------------------------------------------------------- memory.*: bounds */

static void show_min(struct text *text, struct group *group)
{
    show_frames(text, group->minimum);
}

static void show_low(struct text *text, struct group *group)
{
    show_frames(text, group->low);
}

static void show_high(struct text *text, struct group *group)
{
    show_frames(text, group->high);
}

static void show_max(struct text *text, struct group *group)
{
    show_frames(text, group->maximum);
}

/* The group is as `wish` says, or as it was. */
static int settle(struct group *group, const struct group *wish)
{
    enum scope_class class = group->class;
    uint64_t minimum = group->minimum, low = group->low;
    int error;

    group->class = wish->class;
    group->minimum = wish->minimum;
    group->low = wish->low;
    error = group_apply(group);
    if (error != 0) {
        group->class = class;
        group->minimum = minimum;
        group->low = low;
    }
    return error;
}

static int take_min(struct group *group, const char *text)
{
    struct group wish = *group;
    int error = parse_frames(text, &wish.minimum);

    wish.class = wish.minimum > 0 ? CLASS_VVIP : wish.low > 0 ? CLASS_VIP : CLASS_ORDINARY;
    return error ? error : settle(group, &wish);
}

static int take_low(struct group *group, const char *text)
{
    struct group wish = *group;
    int error = parse_frames(text, &wish.low);

    if (wish.class != CLASS_VVIP)
        wish.class = wish.low > 0 ? CLASS_VIP : CLASS_ORDINARY;
    return error ? error : settle(group, &wish);
}

static void show_class(struct text *text, struct group *group)
{
    text_printf(text, "%s\n", scope_class_names[group->class]);
}

/* "ordinary", "vip" or "vvip": what was protected is, as the class does it. */
static int take_class(struct group *group, const char *text)
{
    uint64_t most = group->minimum > group->low ? group->minimum : group->low;
    struct group wish = *group;

    for (wish.class = CLASS_ORDINARY; scope_class_names[wish.class]; wish.class ++)
        if (strcmp(scope_class_names[wish.class], text) == 0)
            break;
    if (!scope_class_names[wish.class])
        return -EINVAL;
    wish.minimum = wish.class == CLASS_VVIP ? most : 0;
    wish.low = wish.class == CLASS_VIP ? most : 0;
    return settle(group, &wish);
}

/* What is too much now goes at once, as far as it can. */
static int bound(struct group *group, uint64_t most)
{
    uint64_t has;
    int error = group_apply(group);

    has = look(group).frames;
    if (error == 0 && has > most)
        (void)member_shrink(group->member, has - most);
    return error;
}

static int take_high(struct group *group, const char *text)
{
    int error = parse_frames(text, &group->high);

    return error ? error : bound(group, group->high);
}

static int take_max(struct group *group, const char *text)
{
    int error = parse_frames(text, &group->maximum);

    return error ? error : bound(group, group->maximum);
}

static int take_reclaim(struct group *group, const char *text)
{
    uint64_t wanted;
    int error = parse_frames(text, &wanted);

    if (error != 0)
        return error;
    return member_shrink(group->member, wanted) < wanted ? -EAGAIN : 0;
}

/* ---------------------------------------------------------------- memory.*: what there is */

static void show_current(struct text *text, struct group *group)
{
    show_frames(text, look(group).frames);
}

static void show_peak(struct text *text, struct group *group)
{
    show_frames(text, look(group).frames_peak);
}

static void show_swapped(struct text *text, struct group *group)
{
    show_frames(text, look(group).swapped);
}

static void show_memory_stat(struct text *text, struct group *group)
{
    struct member_report report = look(group);
    uint64_t faults, major;

    group_faults(group, &faults, &major);
    text_printf(text, "anon %lu\nfile %lu\nshmem %lu\n",
                (report.frames - report.file - report.shared) << PAGE_SHIFT,
                (report.file + report.shared) << PAGE_SHIFT, report.shared << PAGE_SHIFT);
    text_printf(text, "pgfault %lu\npgmajfault %lu\n", faults, major);
    text_printf(text, "workingset_refault_anon %lu\nworkingset_refault_file %lu\n", report.refaults[0],
                report.refaults[1]);
    text_printf(text, "pgscan %lu\npgsteal %lu\n", report.looked_at, report.evicted);
}

static void show_events(struct text *text, struct group *group)
{
    struct member_report report = look(group);

    text_printf(text, "low %lu\nhigh %lu\nmax %lu\noom %lu\noom_kill %lu\n", report.lost_protected,
                report.above_high, report.above_maximum, report.starved, group->kills);
}

static void show_pressure(struct text *text, struct group *group)
{
    pressure_show(text, group ? &group->pressure : NULL);
}

static const struct control controls[] = {
    {"cgroup.controllers", AT_ROOT | IN_GROUP, show_controllers, NULL},
    {"cgroup.events", IN_GROUP, show_events_of_group, NULL},
    {"cgroup.kill", IN_GROUP, NULL, take_kill},
    {"cgroup.max.depth", AT_ROOT, show_depth, NULL},
    {"cgroup.procs", AT_ROOT | IN_GROUP, show_procs, take_procs},
    {"cgroup.stat", AT_ROOT | IN_GROUP, show_stat, NULL},
    {"cgroup.subtree_control", AT_ROOT | IN_GROUP, show_subtree, take_subtree},
    {"memory.class", IN_GROUP, show_class, take_class},
    {"memory.current", IN_GROUP, show_current, NULL},
    {"memory.events", IN_GROUP, show_events, NULL},
    {"memory.high", IN_GROUP, show_high, take_high},
    {"memory.low", IN_GROUP, show_low, take_low},
    {"memory.max", IN_GROUP, show_max, take_max},
    {"memory.min", IN_GROUP, show_min, take_min},
    {"memory.peak", IN_GROUP, show_peak, NULL},
    {"memory.pressure", AT_ROOT | IN_GROUP, show_pressure, NULL},
    {"memory.reclaim", IN_GROUP, NULL, take_reclaim},
    {"memory.stat", IN_GROUP, show_memory_stat, NULL},
    {"memory.swap.current", IN_GROUP, show_swapped, NULL},
    {NULL, 0, NULL, NULL},
};

static uint32_t control_mode(const struct control *control)
{
    return (control->show ? 0444u : 0u) | (control->take ? 0200u : 0u);
}

/* ---------------------------------------------------------------- nodes */

static int node_create(struct group *group, const struct control *control, struct vnode *parent,
                       struct vnode **out)
{
    struct cgroup_node *node = fs_alloc(sizeof *node);

    if (!node)
        return -ENOMEM;
    vnode_init(&node->vnode, &cgroup_ops, control ? S_IFREG : S_IFDIR);
    group_ref(group);
    node->group = group;
    node->control = control;
    if (parent)
        node->vnode.mount = parent->mount;
    if (parent && !control)
        node->vnode.parent = vnode_ref(parent);
    *out = &node->vnode;
    return 0;
}

static void cgroup_release(struct vnode *vnode)
{
    struct cgroup_node *node = node_of(vnode);

    group_unref(node->group);
    vnode_clear(vnode);
    slab_free(node);
}

static unsigned place_of(const struct cgroup_node *node)
{
    return node->group ? IN_GROUP : AT_ROOT;
}

static bool is_gone(const struct cgroup_node *node)
{
    return node->group && node->group->removed;
}

static int cgroup_lookup(struct vnode *vnode, const char *name, struct vnode **out)
{
    struct cgroup_node *dir = node_of(vnode);
    struct group *group;

    if (vnode->type != S_IFDIR)
        return -ENOTDIR;
    if (is_gone(dir))
        return -ENOENT;
    for (const struct control *control = controls; control->name; control++)
        if (control->where & place_of(dir) && strcmp(control->name, name) == 0)
            return node_create(dir->group, control, vnode, out);
    group = dir->group ? NULL : group_find(name);
    return group ? node_create(group, NULL, vnode, out) : -ENOENT;
}

static int cgroup_mkdir(struct vnode *vnode, const char *name, uint32_t mode, struct vnode **out)
{
    struct cgroup_node *dir = node_of(vnode);
    struct group *group;
    int error;

    if (dir->group)
        return is_gone(dir) ? -ENOENT : -EAGAIN;
    if (strchr(name, '\n'))
        return -EINVAL;
    if (cgroup_lookup(vnode, name, out) == 0) {
        vnode_unref(*out);
        return -EEXIST;
    }
    error = group_create(name, &group);
    if (error != 0)
        return error;
    error = node_create(group, NULL, vnode, out);
    if (error != 0)
        (void)group_remove(group);
    group_unref(group);
    return error;
}

static int cgroup_rmdir(struct vnode *vnode, const char *name)
{
    struct cgroup_node *dir = node_of(vnode);
    struct group *group = dir->group ? NULL : group_find(name);

    if (group)
        return group_remove(group);
    for (const struct control *control = controls; control->name; control++)
        if (control->where & place_of(dir) && strcmp(control->name, name) == 0)
            return -ENOTDIR;
    return -ENOENT;
}

/* Cookies: 1 and up behind the files, then COOKIE_GROUPS and a group's number behind the groups. */
static int cgroup_readdir(struct vnode *vnode, uint64_t cookie, vdir_emit *emit, void *context)
{
    const struct cgroup_node *dir = node_of(vnode);
    uint64_t base = dir->group ? (dir->group->number + 1) * COOKIE_GROUPS : 0;

    if (is_gone(dir))
        return -ENOENT;
    for (uint64_t i = cookie; i < COOKIE_GROUPS && controls[i].name; i++)
        if (controls[i].where & place_of(dir) &&
            !emit(context, controls[i].name, strlen(controls[i].name), base + i + 2, S_IFREG >> 12, i + 1))
            return 0;
    if (dir->group)
        return 0;
    list_for_each(node, &groups)
    {
        const struct group *group = container_of(node, struct group, node);

        if (COOKIE_GROUPS + group->number > cookie &&
            !emit(context, group->name, strlen(group->name), (group->number + 1) * COOKIE_GROUPS,
                  S_IFDIR >> 12, COOKIE_GROUPS + group->number))
            return 0;
    }
    return 0;
}

static int cgroup_getattr(struct vnode *vnode, struct vattr *out)
{
    const struct cgroup_node *node = node_of(vnode);

    out->mode = node->control ? control_mode(node->control) : 0755;
    out->ino = node->group ? (node->group->number + 1) * COOKIE_GROUPS : 1;
    if (node->control)
        out->ino += (uint64_t)(node->control - controls) + 2 - (node->group ? 0 : 1);
    out->nlink = node->control ? 1 : 2;
    out->atime_ns = out->mtime_ns = out->ctime_ns = fs_now_ns();
    return 0;
}

/* A file may be opened with O_TRUNC, as a shell does. */
static int cgroup_setattr(struct vnode *vnode, const struct vattr *attr, unsigned which)
{
    const struct control *control = node_of(vnode)->control;

    return which == VATTR_SIZE && control && control->take ? 0 : -EPERM;
}

static int cgroup_statfs(struct vnode *vnode, struct statfs64_info *out)
{
    out->type = CGROUP2_SUPER_MAGIC;
    return 0;
}

/* ---------------------------------------------------------------- texts */

static long cgroup_read(struct file *file, struct uio *uio, uint64_t offset)
{
    const struct cgroup_node *node = node_of(file->vnode);
    struct text *text = file->data;
    size_t rest, put;

    if (is_gone(node))
        return -ENODEV;
    if (!node->control->show)
        return -EINVAL;
    if (offset == 0) {
        text_free(text);
        node->control->show(text, node->group);
        if (text->failed)
            return -ENOMEM;
    }
    if (offset >= text->length)
        return 0;
    rest = text->length - offset;
    put = uio_put(uio, text->data + offset, rest < uio->left ? rest : uio->left);
    return put == 0 && uio->left != 0 ? -EFAULT : (long)put;
}

/* Without white space around it. */
static const char *trimmed(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\n' || text[length - 1] == '\t'))
        text[--length] = '\0';
    while (*text == ' ' || *text == '\t' || *text == '\n')
        text++;
    return text;
}

/* All comes in one write. */
static long cgroup_write(struct file *file, struct uio *uio, uint64_t offset)
{
    const struct cgroup_node *node = node_of(file->vnode);
    char text[WRITTEN_BYTES];
    size_t bytes = uio->left;
    int error;

    if (!node->control->take || bytes >= sizeof text)
        return -EINVAL;
    if (uio_get(uio, text, bytes) != bytes)
        return -EFAULT;
    text[bytes] = '\0';
    if (is_gone(node))
        return -ENODEV;
    error = node->control->take(node->group, trimmed(text));
    return error != 0 ? error : (long)bytes;
}

static void cgroup_file_release(struct file *file)
{
    text_free(file->data);
    slab_free(file->data);
}

static const struct file_ops cgroup_file_ops = {
    .read = cgroup_read,
    .write = cgroup_write,
    .seek = object_file_seek,
    .release = cgroup_file_release,
};

static int cgroup_open(struct vnode *vnode, struct file *file)
{
    const struct control *control = node_of(vnode)->control;

    if (!control)
        return 0;
    if ((file->flags & O_ACCMODE) != O_RDONLY && !control->take)
        return -EACCES;
    if ((file->flags & O_ACCMODE) != O_WRONLY && !control->show)
        return -EACCES;
    file->data = fs_alloc(sizeof(struct text));
    if (!file->data)
        return -ENOMEM;
    file->ops = &cgroup_file_ops;
    return 0;
}

static const struct vnode_ops cgroup_ops = {
    .lookup = cgroup_lookup,
    .mkdir = cgroup_mkdir,
    .rmdir = cgroup_rmdir,
    .readdir = cgroup_readdir,
    .getattr = cgroup_getattr,
    .setattr = cgroup_setattr,
    .open = cgroup_open,
    .statfs = cgroup_statfs,
    .release = cgroup_release,
};

int cgroupfs_create(struct vnode **root)
{
    return node_create(NULL, NULL, NULL, root);
}
