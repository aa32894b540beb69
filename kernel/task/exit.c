/*
 * The end of threads and processes, and waiting for it.
 *
 * A thread that ends leaves its process; the last one ends the process: files, memory and timers go, the
 * children pass to the first process, and a zombie (numbers, times and the exit status) stays until the
 * parent has asked for it, or goes at once when the parent has said that it never will. When the first
 * process ends, the kernel ends (first.c).
 *
 * The order in process_end() matters: everything that may sleep comes before the parent is told, because the
 * parent may reap the process as soon as it runs.
 */
#include <asm-generic/errno.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "base/check.h"
#include "kernel/fs/vfs.h"
#include "kernel/klib.h"
#include "kernel/linux/ranges.h"
#include "kernel/mm/events.h"
#include "kernel/mm/samples.h"
#include "kernel/task/group.h"
#include "kernel/task/task_internal.h"
#include "quire/slab.h"

/* ---------------------------------------------------------------- leaving */

_Noreturn void process_exit(int wait_status)
{
    struct process *process = process_current();

    if (!process->exiting) {
        process->exiting = true;
        process->exit_code = wait_status;
        process_kill_other_threads(process);
    }
    thread_exit();
}

void process_kill_other_threads(struct process *process)
{
    list_for_each(node, &process->threads)
    {
        struct task *task = container_of(node, struct task, thread);

        if (task == task_current())
            continue;
        task->killed = true;
        task_add_work(task, WORK_SIGNAL);
        if (task->state == TASK_STOPPED || (task->state == TASK_SLEEPING && task->sleep != SLEEP_UNTIL_WOKEN))
            sched_interrupt(task);
    }
}

/* A parent that waits in vfork() may go on: its memory is its own again. */
void vfork_end(struct task *task)
{
    struct waitq *done = task->vfork_done;

    if (!done)
        return;
    task->vfork_done = NULL;
    waitq_wake(done);
}

/* The C library is told through memory that the thread's stack is free. Nobody looks when the space dies. */
static void clear_tid(struct task *task, const struct process *process)
{
    const uint32_t zero = 0;

    if (!task->clear_child_tid || (process->thread_count == 1 && !process->keeps_space))
        return;
    if (user_write(task->clear_child_tid, &zero, sizeof(zero)) == 0)
        futex_wake_address(task->clear_child_tid, 1);
}

void thread_leaves_space(struct task *task)
{
    futex_robust_exit(task);
    clear_tid(task, task->process);
    task->clear_child_tid = 0;
    task->robust_list = 0;
}

static void charge_process(struct process *process, struct task *task)
{
    account_task(task);
    process->user_ns += task->user_ns;
    process->system_ns += task->system_ns;
    process->switches += task->switches;
}

static void process_end(struct process *process);

_Noreturn void thread_exit(void)
{
    struct task *task = task_current();
    struct process *process = task->process;

    if (process->space)
        thread_leaves_space(task);
    signal_queue_clear(&task->pending);
    if (process->thread_count == 1)
        process_end(process); /* before the thread leaves: it may sleep, and is found in /proc meanwhile */
    else
        charge_process(process, task);
    vfork_end(task);
    task_unhash(task);
    list_remove(&task->thread);
    process->thread_count--;
    if (process->leader == task)
        process->leader = NULL;
    if (process->thread_count == 0)
        process_announce_end(process);
    else
        waitq_wake(&process->thread_wait);
    sched_exit();
}

/* ---------------------------------------------------------------- the end of a process */

static void give_up_files(struct process *process)
{
    struct files *files = process->files;

    process->files = NULL;
    files_unref(files);
    vnode_unref(process->cwd);
    vnode_unref(process->root);
    if (process->exe)
        vnode_unref(process->exe);
    process->cwd = process->root = process->exe = NULL;
    slab_free(process->cwd_path);
    slab_free(process->exe_path);
    process->cwd_path = process->exe_path = NULL;
}

static void give_up_memory(struct process *process)
{
    struct space *space = process->space;

    if (!space)
        return;
    resident_leaves(process);
    ranges_clear(process);
    if (host_watched)
        record_forget(space);
    process->space = NULL;
    mmu_activate(NULL);
    space_unref(space);
}

struct orphan_search {
    const struct process *without;
    bool anchored, has_stopped;
};

static void orphan_visit(struct process *process, void *context)
{
    struct orphan_search *search = context;
    const struct process *parent = process->parent;

    if (process == search->without || process->zombie)
        return;
    search->has_stopped |= process->stopped;
    if (parent && parent->pgid != process->pgid && parent->sid == process->sid)
        search->anchored = true;
}

/* No member has a parent in another group of the session: nobody would continue a stopped member. */
bool process_group_is_orphaned(int pgid, const struct process *without)
{
    struct orphan_search search = {.without = without};

    process_group_for_each(pgid, orphan_visit, &search);
    return !search.anchored;
}

/* POSIX: a group that becomes orphaned with a stopped member gets SIGHUP and SIGCONT. */
static void wake_orphaned_group(const struct process *member, const struct process *parent)
{
    struct orphan_search search = {.without = NULL};
    int pgid = member->pgid;

    if (!parent || parent->pgid == pgid || parent->sid != member->sid)
        return; /* the parent was no anchor, so nothing changes */
    process_group_for_each(pgid, orphan_visit, &search);
    if (!search.anchored && search.has_stopped) {
        signal_send_group(pgid, SIGHUP, NULL);
        signal_send_group(pgid, SIGCONT, NULL);
    }
}

static void give_children_away(struct process *process)
{
    struct list *node;

    while ((node = list_pop_front(&process->children)) != NULL) {
        struct process *child = container_of(node, struct process, sibling);

        if (child->parent_death_signal)
            (void)signal_send_process(child, child->parent_death_signal, NULL);
        child->parent = first_process;
        child->exit_signal = SIGCHLD;
        list_push_back(&first_process->children, &child->sibling);
        if (child->zombie)
            process_notify_parent(child, CLD_EXITED);
        else
            wake_orphaned_group(child, process);
    }
}

void process_release(struct process *process)
{
    group_process_ends(process);
    process_timers_end(process);
    give_up_files(process);
    give_up_memory(process);
    signal_queue_clear(&process->pending);
}

static void process_end(struct process *process)
{
    struct task *task = task_current();

    process->exiting = true;
    samples_process_ends(process);
    if (host_watched)
        events_note(EVENT_EXIT, process, 0, (uint64_t)process->exit_code, 0);
    if (process == first_process)
        first_process_end(); /* never returns */
    process_release(process);
    vfork_end(task);
    charge_process(process, task);
    task->user_ns = task->system_ns = task->switches = 0;
}

void process_announce_end(struct process *process)
{
    struct process *parent = process->parent;

    if (process->sid == process->pid && process->tty)
        tty_session_end(process);
    process->zombie = true;
    process->stopped = false;
    give_children_away(process);
    wake_orphaned_group(process, parent);
    process_notify_parent(process, CLD_EXITED);
}

/* ---------------------------------------------------------------- telling the parent */

static void describe_end(const struct process *process, siginfo_t *info)
{
    int status = process->exit_code;

    if ((status & 0x7f) == 0) {
        info->si_code = CLD_EXITED;
        info->si_status = (status >> 8) & 0xff;
    } else {
        info->si_code = (status & 0x80) ? CLD_DUMPED : CLD_KILLED;
        info->si_status = status & 0x7f;
    }
}

enum { CLOCK_TICK_NS = 10 * 1000 * 1000 }; /* USER_HZ is 100 */

static void child_info(const struct process *process, int code, siginfo_t *info)
{
    uint64_t user_ns, system_ns;

    memset(info, 0, sizeof(*info));
    process_times(process, &user_ns, &system_ns);
    info->si_signo = SIGCHLD;
    info->si_pid = process->pid;
    info->si_uid = process->uid[CREDENTIAL_REAL];
    info->si_utime = (__kernel_clock_t)(user_ns / CLOCK_TICK_NS);
    info->si_stime = (__kernel_clock_t)(system_ns / CLOCK_TICK_NS);
    info->si_code = code;
    if (code == CLD_STOPPED)
        info->si_status = process->stop_signal;
    else if (code == CLD_CONTINUED)
        info->si_status = SIGCONT;
    else
        describe_end(process, info);
}

/* May free the process: when it is a zombie whose parent does not want to know. */
void process_notify_parent(struct process *process, int code)
{
    struct process *parent = process->parent;
    const struct sigaction *action;
    bool ends = code == CLD_EXITED, unwanted;
    int signo = ends ? process->exit_signal : SIGCHLD;
    siginfo_t info;

    if (!parent || parent->exiting)
        return;
    action = &parent->actions->action[SIGCHLD];
    unwanted =
        ends && signo == SIGCHLD && (action->sa_handler == SIG_IGN || (action->sa_flags & SA_NOCLDWAIT));
    if (signo && !(!ends && (action->sa_flags & SA_NOCLDSTOP)) &&
        !(signo == SIGCHLD && action->sa_handler == SIG_IGN)) {
        child_info(process, code, &info);
        info.si_signo = signo;
        signal_send_process(parent, signo, &info);
    }
    waitq_wake(&parent->child_wait);
    waitq_wake(&process_ends);
    if (unwanted)
        process_reap(process);
}

/* The most pages that it, or a child that it waited for, had in memory. */
static uint64_t family_peak(const struct process *process)
{
    return process->resident_peak > process->children_resident_peak ? process->resident_peak
                                                                    : process->children_resident_peak;
}

/* The last of a zombie. */
void process_reap(struct process *process)
{
    struct process *parent = process->parent;

    CHECK_ALWAYS(process->zombie && process->thread_count == 0);
    if (parent) {
        parent->children_user_ns += process->user_ns + process->children_user_ns;
        parent->children_system_ns += process->system_ns + process->children_system_ns;
        parent->children_faults_minor += process->faults_minor + process->children_faults_minor;
        parent->children_faults_major += process->faults_major + process->children_faults_major;
        if (family_peak(process) > parent->children_resident_peak)
            parent->children_resident_peak = family_peak(process);
    }
    list_remove(&process->sibling);
    process_remove(process);
    signal_actions_unref(process->actions);
    slab_free(process);
}

/* ---------------------------------------------------------------- waiting for children */

static bool is_meant(const struct process *child, const struct wait_request *request)
{
    bool clone = child->exit_signal != SIGCHLD;

    if (!(request->options & __WALL) && clone != !!(request->options & __WCLONE))
        return false;
    switch (request->kind) {
    case P_PID:
        return child->pid == request->id;
    case P_PGID:
        return child->pgid == request->id;
    default:
        return true;
    }
}

static void fill_result(const struct process *child, struct wait_result *result)
{
    uint64_t user_ns, system_ns;

    process_times(child, &user_ns, &system_ns);
    result->pid = child->pid;
    result->uid = child->uid[CREDENTIAL_REAL];
    result->user_ns = user_ns + child->children_user_ns;
    result->system_ns = system_ns + child->children_system_ns;
    result->faults_minor = child->faults_minor + child->children_faults_minor;
    result->faults_major = child->faults_major + child->children_faults_major;
    result->resident_peak = family_peak(child);
}

/* Has this child something to tell? Takes it, unless WNOWAIT. */
static bool take_news(struct process *child, const struct wait_request *request, struct wait_result *result)
{
    bool keep = request->options & WNOWAIT;
    siginfo_t info;

    if (child->zombie && (request->options & WEXITED)) {
        fill_result(child, result);
        describe_end(child, &info);
        result->status = child->exit_code;
        result->code = info.si_code;
        if (!keep)
            process_reap(child);
        return true;
    }
    if (child->stopped && !child->stop_reported && (request->options & WUNTRACED)) {
        fill_result(child, result);
        result->status = (child->stop_signal << 8) | 0x7f;
        result->code = CLD_STOPPED;
        child->stop_reported = !keep;
        return true;
    }
    if (child->continued && (request->options & WCONTINUED)) {
        fill_result(child, result);
        result->status = 0xffff;
        result->code = CLD_CONTINUED;
        child->continued = keep;
        return true;
    }
    return false;
}

long process_wait(const struct wait_request *request, struct wait_result *result)
{
    struct process *process = process_current();

    for (;;) {
        bool any = false;

        list_for_each(node, &process->children)
        {
            struct process *child = container_of(node, struct process, sibling);

            if (!is_meant(child, request))
                continue;
            any = true;
            if (take_news(child, request, result))
                return result->pid;
        }
        if (!any)
            return -ECHILD;
        if (request->options & WNOHANG)
            return 0;
        if (waitq_sleep(&process->child_wait, UINT64_MAX, true) == -EINTR)
            return -EINTR;
    }
}
