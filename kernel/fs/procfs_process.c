/*
 * procfs: what is about one process or one thread of it.
 */
#include <linux/errno.h>
#include <linux/resource.h>

#include "kernel/fs/procfs.h"
#include "kernel/klib.h"
#include "kernel/task/group.h"
#include "quire/slab.h"

static uint64_t kib(uint64_t pages)
{
    return pages << (PAGE_SHIFT - 10);
}

static const char *name_of(const struct proc_subject *subject)
{
    const struct process *process = subject->process;

    if (subject->task != NULL)
        return subject->task->name;
    if (process->leader != NULL)
        return process->leader->name;
    return list_empty(&process->threads) ? "-"
                                         : container_of(process->threads.next, struct task, thread)->name;
}

static int id_of(const struct proc_subject *subject)
{
    return subject->task != NULL ? subject->task->tid : subject->process->pid;
}

static void counts_of(const struct proc_subject *subject, struct space_counts *counts)
{
    memset(counts, 0, sizeof *counts);
    if (subject->space != NULL)
        space_count(subject->space, counts);
}

static const char *state_name(char state)
{
    switch (state) {
    case 'R':
        return "running";
    case 'S':
        return "sleeping";
    case 'D':
        return "disk sleep";
    case 'T':
        return "stopped";
    case 'Z':
        return "zombie";
    default:
        return "dead";
    }
}

static int parent_of(const struct process *process)
{
    return process->parent != NULL ? process->parent->pid : 0;
}

/* ---------------------------------------------------------------- stat, statm */

static int foreground_of(const struct process *process)
{
    return process->tty != NULL ? tty_foreground() : -1;
}

static void stat(struct text *text, const struct proc_subject *subject)
{
    const struct process *process = subject->process;
    const sigset_t pending = process->pending.set | (subject->task != NULL ? subject->task->pending.set : 0);
    struct space_counts counts;
    uint64_t user_ns, system_ns;

    counts_of(subject, &counts);
    process_times(process, &user_ns, &system_ns);
    text_printf(text, "%d (%s) %c %d %d %d %d %d 0 ", id_of(subject), name_of(subject),
                process_state(process), parent_of(process), process->pgid, process->sid,
                process->tty != NULL ? (int)dev_make(5, 1) : 0, foreground_of(process));
    text_printf(text, "%lu %lu %lu %lu ", process->faults_minor, process->children_faults_minor,
                process->faults_major, process->children_faults_major);
    text_printf(text, "%lu %lu %lu %lu ", proc_ticks(user_ns), proc_ticks(system_ns),
                proc_ticks(process->children_user_ns), proc_ticks(process->children_system_ns));
    text_printf(text, "%d %d %u 0 %lu ", 20 + process->nice, process->nice, process->thread_count,
                proc_ticks(process->start_ns));
    text_printf(text, "%lu %lu %lu ", counts.mapped_bytes, counts.resident_pages,
                process->limits[RLIMIT_RSS][0]);
    text_printf(text, "0 0 %lu 0 0 %lu %lu %lu %lu ", counts.stack_end, pending & 0x7fffffff,
                subject->task != NULL ? subject->task->blocked & 0x7fffffff : 0,
                process->actions->ignored & 0x7fffffff, process->actions->caught & 0x7fffffff);
    text_printf(text, "0 0 0 %d 0 0 0 0 0 0 0 0 ", process->exit_signal);
    text_printf(text, "%lu %lu %lu %lu %lu %d\n", counts.break_start, process->args_start, process->args_end,
                process->args_end, process->environment_end, process->zombie ? process->exit_code : 0);
}

/* Mapped pages by what they are for, as Linux tells them: private writable memory but for stacks; stacks;
 * code, of the program itself and of libraries. */
struct kinds {
    uint64_t data, stack, program, library;
};

static void kinds_of(const struct proc_subject *subject, struct kinds *out)
{
    const struct vnode *exe = subject->process->exe;
    struct space_region region;

    *out = (struct kinds){0};
    if (subject->space == NULL)
        return;
    for (uint64_t at = 0; space_next_region(subject->space, vaddr(at), &region); at = region.end.v) {
        uint64_t pages = (region.end.v - region.start.v) >> PAGE_SHIFT;
        bool writable = (region.access & ACCESS_WRITE) != 0;

        if ((region.flags & SPACE_GROWS_DOWN) != 0)
            out->stack += pages;
        else if (writable && (region.flags & SPACE_SHARED) == 0)
            out->data += pages;
        else if (!writable && (region.access & ACCESS_EXEC) != 0 && exe != NULL &&
                 region.object == exe->object && region.object != NULL)
            out->program += pages;
        else if (!writable && (region.access & ACCESS_EXEC) != 0)
            out->library += pages;
    }
}

static void statm(struct text *text, const struct proc_subject *subject)
{
    struct space_counts counts;
    struct kinds kinds;

    counts_of(subject, &counts);
    kinds_of(subject, &kinds);
    text_printf(text, "%lu %lu %lu %lu 0 %lu 0\n", counts.mapped_bytes >> PAGE_SHIFT, counts.resident_pages,
                counts.file_pages, kinds.program, kinds.data + kinds.stack);
}

/* ---------------------------------------------------------------- status */

static void kib_line(struct text *text, const char *name, uint64_t pages)
{
    text_printf(text, "%s\t%8lu kB\n", name, kib(pages));
}

static void status_memory(struct text *text, const struct proc_subject *subject)
{
    struct space_counts counts;
    struct space_usage usage;
    struct kinds kinds;

    if (subject->space == NULL)
        return;
    counts_of(subject, &counts);
    kinds_of(subject, &kinds);
    space_measure(subject->space, vaddr(0), vaddr(SPACE_END), &usage);
    kib_line(text, "VmPeak:", space_mapped_peak(subject->space) >> PAGE_SHIFT);
    kib_line(text, "VmSize:", counts.mapped_bytes >> PAGE_SHIFT);
    kib_line(text, "VmLck:", counts.locked_pages);
    kib_line(text, "VmPin:", 0);
    kib_line(text, "VmHWM:", resident_peak(subject->process));
    kib_line(text, "VmRSS:", counts.resident_pages);
    kib_line(text, "RssAnon:", counts.anon_pages);
    kib_line(text, "RssFile:", counts.file_pages - usage.shared_memory_pages);
    kib_line(text, "RssShmem:", usage.shared_memory_pages);
    kib_line(text, "VmData:", kinds.data);
    kib_line(text, "VmStk:", kinds.stack);
    kib_line(text, "VmExe:", kinds.program);
    kib_line(text, "VmLib:", kinds.library);
    kib_line(text, "VmPTE:", counts.table_frames);
    kib_line(text, "VmSwap:", counts.swap_pages);
    text_printf(text, "HugetlbPages:\t%8lu kB\nCoreDumping:\t0\nTHP_enabled:\t1\n", 0ul);
}

static void status_signals(struct text *text, const struct proc_subject *subject)
{
    const struct process *process = subject->process;
    const struct task *task = subject->task;

    text_printf(text, "SigQ:\t0/1024\nSigPnd:\t%016lx\nShdPnd:\t%016lx\n",
                task != NULL ? task->pending.set : 0, process->pending.set);
    text_printf(text, "SigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n", task != NULL ? task->blocked : 0,
                process->actions->ignored, process->actions->caught);
}

static void status_users(struct text *text, const struct process *process)
{
    const uint32_t *uid = process->uid, *gid = process->gid;

    text_printf(text, "Uid:\t%u\t%u\t%u\t%u\n", uid[CREDENTIAL_REAL], uid[CREDENTIAL_EFFECTIVE],
                uid[CREDENTIAL_SAVED], uid[CREDENTIAL_EFFECTIVE]);
    text_printf(text, "Gid:\t%u\t%u\t%u\t%u\n", gid[CREDENTIAL_REAL], gid[CREDENTIAL_EFFECTIVE],
                gid[CREDENTIAL_SAVED], gid[CREDENTIAL_EFFECTIVE]);
}

static void status(struct text *text, const struct proc_subject *subject)
{
    const struct process *process = subject->process;
    char state = process_state(process);
    const struct capabilities *held = &process->capabilities;

    text_printf(text, "Name:\t%s\nUmask:\t%04o\nState:\t%c (%s)\n", name_of(subject), process->umask, state,
                state_name(state));
    text_printf(text, "Tgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n", process->pid,
                id_of(subject), parent_of(process));
    status_users(text, process);
    text_printf(text, "FDSize:\t%u\nGroups:\t \n",
                process->files != NULL ? files_capacity(process->files) : 0);
    text_printf(text, "NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", process->pid, id_of(subject),
                process->pgid, process->sid);
    status_memory(text, subject);
    text_printf(text, "Threads:\t%u\n", process->thread_count);
    status_signals(text, subject);
    text_printf(text,
                "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t000001ffffffffff\n"
                "CapAmb:\t0000000000000000\n",
                held->inheritable, held->permitted, held->effective);
    text_printf(text, "NoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n");
    text_printf(text, "Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
    text_printf(text, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t0\n", process->switches);
}

/* ---------------------------------------------------------------- strings of the process */

/* Bytes of the process's own memory; what cannot be read is left out. */
static void add_memory(struct text *text, const struct proc_subject *subject, uint64_t start, uint64_t end)
{
    char *page = subject->space != NULL && start < end ? path_buffer() : NULL;

    while (page != NULL && start < end) {
        size_t done, chunk = end - start < PAGE_SIZE ? end - start : PAGE_SIZE;
        enum status result = space_read(subject->space, vaddr(start), page, chunk, &done);

        text_add(text, page, done);
        start += done;
        if (result != ST_OK || done == 0)
            break;
    }
    path_buffer_free(page);
}

static void cgroup(struct text *text, const struct proc_subject *subject)
{
    const struct group *group = subject->process->group;

    text_printf(text, "0::/%s\n", group ? group->name : "");
}

static void cmdline(struct text *text, const struct proc_subject *subject)
{
    add_memory(text, subject, subject->process->args_start, subject->process->args_end);
}

static void environ(struct text *text, const struct proc_subject *subject)
{
    add_memory(text, subject, subject->process->args_end, subject->process->environment_end);
}

static void comm(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%s\n", name_of(subject));
}

/* ---------------------------------------------------------------- limits */

static const struct {
    const char *name, *unit;
} limits_names[] = {
    [RLIMIT_CPU] = {"Max cpu time", "seconds"},
    [RLIMIT_FSIZE] = {"Max file size", "bytes"},
    [RLIMIT_DATA] = {"Max data size", "bytes"},
    [RLIMIT_STACK] = {"Max stack size", "bytes"},
    [RLIMIT_CORE] = {"Max core file size", "bytes"},
    [RLIMIT_RSS] = {"Max resident set", "bytes"},
    [RLIMIT_NPROC] = {"Max processes", "processes"},
    [RLIMIT_NOFILE] = {"Max open files", "files"},
    [RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
    [RLIMIT_AS] = {"Max address space", "bytes"},
    [RLIMIT_LOCKS] = {"Max file locks", "locks"},
    [RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
    [RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
    [RLIMIT_NICE] = {"Max nice priority", ""},
    [RLIMIT_RTPRIO] = {"Max realtime priority", ""},
    [RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
};

static void limit_print(struct text *text, uint64_t limit)
{
    if (limit == UINT64_MAX)
        text_printf(text, "%-20s ", "unlimited");
    else
        text_printf(text, "%-20lu ", limit);
}

static void limits(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (size_t i = 0; i < sizeof limits_names / sizeof limits_names[0]; i++) {
        text_printf(text, "%-25s ", limits_names[i].name);
        limit_print(text, subject->process->limits[i][0]);
        limit_print(text, subject->process->limits[i][1]);
        text_printf(text, "%-10s\n", limits_names[i].unit);
    }
}

/* ---------------------------------------------------------------- small ones */

static void zero(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "0\n");
}

static void io(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "read_bytes: %lu\nwrite_bytes: 0\n", subject->process->faults_major << PAGE_SHIFT);
}

/* ---------------------------------------------------------------- out of memory */

/* From 0 to 2000, as Linux scales it: 667 for whoever holds nothing. */
static void oom_score(struct text *text, const struct proc_subject *subject)
{
    struct frame_counts counts;
    int64_t total, points;

    frames_count(&counts);
    total = (int64_t)(counts.total - counts.by_use[FRAME_RESERVED]);
    points = (1000 + oom_points(subject->process, (uint64_t)total) * 1000 / total) * 2 / 3;
    text_printf(text, "%ld\n", points > 0 ? (long)points : 0l);
}

static void oom_score_adj(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%d\n", subject->process->oom_adjust);
}

/* Raising it is for everybody, lowering it below what it was for CAP_SYS_RESOURCE. */
static long take_oom_score_adj(const char *written, const struct proc_subject *subject)
{
    int64_t wanted;
    long error = proc_number(written, OOM_ADJUST_LEAST, OOM_ADJUST_MOST, &wanted);

    if (error == 0 && wanted < subject->process->oom_adjust_least &&
        !process_may(process_current(), CAP_SYS_RESOURCE))
        error = -EACCES;
    if (error != 0)
        return error;
    subject->process->oom_adjust = (int)wanted;
    if (process_may(process_current(), CAP_SYS_RESOURCE))
        subject->process->oom_adjust_least = (int)wanted;
    return 0;
}

/* ---------------------------------------------------------------- links */

static long exe_link(char *to, size_t size, const struct proc_subject *subject)
{
    const struct process *process = subject->process;
    size_t length;

    if (process->exe_path == NULL || process->exe == NULL)
        return -ENOENT;
    length = strlcpy(to, process->exe_path, size);
    if (process->exe->removed && length < size)
        length += strlcpy(to + length, " (deleted)", size - length);
    return (long)length;
}

static long cwd_link(char *to, size_t size, const struct proc_subject *subject)
{
    const char *path = subject->process->cwd_path;

    return subject->process->zombie ? -ENOENT : (long)strlcpy(to, path != NULL ? path : "/", size);
}

static long root_link(char *to, size_t size, const struct proc_subject *subject)
{
    return subject->process->zombie ? -ENOENT : (long)strlcpy(to, "/", size);
}

/* Where the links lead, whatever the files' names are by now. */
static int jump_to(struct vnode_jump *to, struct vnode *node, const char *path)
{
    if (node == NULL)
        return -ENOENT;
    *to = (struct vnode_jump){.node = vnode_ref(node), .path = path};
    return 0;
}

static int exe_jump(struct vnode_jump *to, const struct proc_subject *subject)
{
    return jump_to(to, subject->process->exe, subject->process->exe_path);
}

static int cwd_jump(struct vnode_jump *to, const struct proc_subject *subject)
{
    return jump_to(to, subject->process->cwd, subject->process->cwd_path);
}

static int root_jump(struct vnode_jump *to, const struct proc_subject *subject)
{
    return jump_to(to, subject->process->root, "/");
}

#define PROC_PRIVATE(name_, text_)                                                                           \
    {                                                                                                        \
        .name = (name_), .mode = S_IFREG | 0400, .text = (text_)                                             \
    }

#define PROC_OF_TASKS                                                                                        \
    PROC_TEXT("cgroup", cgroup), PROC_TEXT("cmdline", cmdline), PROC_TEXT("comm", comm),                     \
        PROC_JUMP("cwd", cwd_link, cwd_jump), PROC_PRIVATE("environ", environ),                              \
        PROC_JUMP("exe", exe_link, exe_jump), {.name = "fd", .mode = S_IFDIR | 0500, .folder = PROC_FDS},    \
        PROC_PRIVATE("io", io), PROC_TEXT("limits", limits), PROC_TEXT("maps", proc_maps),                   \
        PROC_TEXT("mountinfo", proc_mountinfo), PROC_TEXT("mounts", proc_mounts),                            \
        PROC_TEXT("oom_score", oom_score), PROC_SETTING("oom_score_adj", oom_score_adj, take_oom_score_adj), \
        {.name = "pagemap", .mode = S_IFREG | 0400, .read = proc_pagemap},                                   \
        {.name = "clear_refs", .mode = S_IFREG | 0200, .take = proc_clear_refs},                             \
        PROC_TEXT("smaps_rollup", proc_smaps_rollup), PROC_JUMP("root", root_link, root_jump),               \
        PROC_TEXT("smaps", proc_smaps), PROC_TEXT("stat", stat), PROC_TEXT("statm", statm),                  \
        PROC_TEXT("status", status), PROC_TEXT("wchan", zero)

const struct proc_entry proc_task_entries[] = {PROC_OF_TASKS, {.name = NULL}};

const struct proc_entry proc_process_entries[] = {
    PROC_OF_TASKS,
    {.name = "task", .mode = S_IFDIR | 0555, .folder = PROC_TASKS},
    {.name = NULL},
};
