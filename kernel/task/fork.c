/*
 * Making processes and threads: fork, vfork, clone.
 *
 * Everything that can fail comes before the child can be seen; what is half made is taken back in one place.
 * A child's address space costs a few entries (space_fork); its signal actions are shared until one side
 * changes them; its stack and floating-point area are one allocation.
 */
#include <asm-generic/errno.h>
#include <asm-generic/resource.h>
#include <linux/sched.h>

#include "base/check.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "kernel/linux/commit.h"
#include "kernel/linux/ranges.h"
#include "kernel/mm/events.h"
#include "kernel/task/member.h"
#include "kernel/task/task_internal.h"
#include "quire/slab.h"

static const uint64_t SUPPORTED = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VFORK |
                                  CLONE_PARENT | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                                  CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED |
                                  CLONE_UNTRACED | CLONE_CHILD_SETTID | CLONE_IO | CLONE_CLEAR_SIGHAND;

static int check(const struct clone_request *request)
{
    uint64_t flags = request->flags;

    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
        return -EINVAL;
    if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM))
        return -EINVAL;
    if ((flags & CLONE_SIGHAND) && (flags & CLONE_CLEAR_SIGHAND))
        return -EINVAL;
    if (flags & ~SUPPORTED)
        return -EINVAL; /* name spaces, descriptors of processes */
    if (request->exit_signal < 0 || request->exit_signal >= SIGNAL_COUNT)
        return -EINVAL;
    if ((flags & CLONE_SETTLS) && request->tls >= SPACE_END)
        return -EPERM;
    return 0;
}

/* ---------------------------------------------------------------- a process */

/* Another thread may change the string while this one waits for memory. */
static char *string_copy(char *const *from)
{
    size_t bytes;
    char *copy;

    do {
        bytes = strlen(*from) + 1;
        copy = slab_alloc(bytes);
    } while (!copy && fs_make_room());
    if (copy)
        memcpy(copy, *from, bytes);
    return copy;
}

static bool copy_strings(struct process *child, const struct process *parent)
{
    child->cwd_path = string_copy(&parent->cwd_path);
    if (!child->cwd_path)
        return false;
    return !parent->exe_path || (child->exe_path = string_copy(&parent->exe_path));
}

static void copy_plain(struct process *child, const struct process *parent)
{
    child->pgid = parent->pgid;
    child->sid = parent->sid;
    child->tty = parent->tty;
    child->umask = parent->umask;
    memcpy(child->uid, parent->uid, sizeof(child->uid));
    memcpy(child->gid, parent->gid, sizeof(child->gid));
    child->capabilities = parent->capabilities;
    child->keeps_capabilities = parent->keeps_capabilities;
    memcpy(child->limits, parent->limits, sizeof(child->limits));
    child->aslr = parent->aslr;
    child->personality = parent->personality;
    child->nice = parent->nice;
    child->dumpable = parent->dumpable;
    child->oom_adjust = parent->oom_adjust;
    child->oom_adjust_least = parent->oom_adjust_least;
    resident_inherit(child, parent);
    child->args_start = parent->args_start;
    child->args_end = parent->args_end;
    child->environment_end = parent->environment_end;
    child->start_ns = host_now_ns();
}

/* What a process is before it has anything: also the first one. */
struct process *process_alloc(void)
{
    struct process *process = fs_alloc(sizeof(*process));

    if (!process)
        return NULL;
    list_init(&process->children);
    list_init(&process->sibling);
    list_init(&process->all);
    list_init(&process->hashed);
    list_init(&process->threads);
    signal_queue_init(&process->pending);
    waitq_init(&process->child_wait);
    waitq_init(&process->thread_wait);
    list_init(&process->fork_ranges);
    list_init(&process->attachments);
    process_timers_init(process);
    process->exit_signal = SIGCHLD;
    return process;
}

/* Takes back what copy_process() has made. */
static void process_discard(struct process *process)
{
    ranges_clear(process);
    if (process->space)
        space_unref(process->space);
    if (process->files)
        files_unref(process->files);
    if (process->actions)
        signal_actions_unref(process->actions);
    if (process->cwd)
        vnode_unref(process->cwd);
    if (process->root)
        vnode_unref(process->root);
    if (process->exe)
        vnode_unref(process->exe);
    slab_free(process->cwd_path);
    slab_free(process->exe_path);
    slab_free(process);
}

static bool copy_space(struct process *child, struct process *parent, uint64_t flags)
{
    if (!(flags & CLONE_VM))
        return (overcommit_mode() != COMMIT_NEVER ||
                commit_allows(space_committed_pages(parent->space) << PAGE_SHIFT)) &&
               space_fork(parent->space, &child->space) == ST_OK && ranges_inherit(parent, child) == 0;
    space_ref(parent->space);
    child->space = parent->space;
    child->keeps_space = parent->keeps_space = true;
    return true;
}

static bool copy_actions(struct process *child, struct process *parent, uint64_t flags)
{
    struct signal_actions *actions = parent->actions;

    actions->refs++;
    child->actions = actions;
    if (!(flags & CLONE_CLEAR_SIGHAND) || !actions->caught)
        return true;
    actions = signal_actions_create();
    if (!actions)
        return false;
    signal_actions_exec(child, actions);
    return true;
}

static struct process *copy_process(struct process *parent, uint64_t flags)
{
    struct process *child = process_alloc();

    if (!child)
        return NULL;
    copy_plain(child, parent);
    child->cwd = vnode_ref(parent->cwd);
    child->root = vnode_ref(parent->root);
    child->exe = parent->exe ? vnode_ref(parent->exe) : NULL;
    child->files = (flags & CLONE_FILES) ? files_ref(parent->files) : files_copy(parent->files);
    if (child->files && copy_strings(child, parent) && copy_actions(child, parent, flags) &&
        copy_space(child, parent, flags))
        return child;
    process_discard(child);
    return NULL;
}

/* ---------------------------------------------------------------- a thread */

static struct task *copy_task(const struct task *parent, const struct clone_request *request)
{
    struct task *child = task_alloc(parent->name);

    while (!child && !kstack_all_used() && fs_make_room())
        child = task_alloc(parent->name);
    if (!child)
        return NULL;
    *child->frame = *parent->frame;
    child->frame->rax = 0;
    child->frame->vector = 0; /* it is in no system call */
    if (request->stack)
        child->frame->rsp = request->stack;
    fpu_init_area(child->fpu);
    fpu_save(child->fpu);
    child->fs_base = (request->flags & CLONE_SETTLS) ? request->tls : fs_base_get();
    child->gs_base = user_gs_base_get();
    child->blocked = parent->blocked;
    child->system_part = parent->system_part;
    if (!(request->flags & CLONE_VM) || (request->flags & CLONE_VFORK)) {
        child->sigalt_start = parent->sigalt_start;
        child->sigalt_bytes = parent->sigalt_bytes;
        child->sigalt_flags = parent->sigalt_flags;
    }
    if (request->flags & CLONE_CHILD_CLEARTID)
        child->clear_child_tid = request->child_tid;
    if (request->flags & CLONE_CHILD_SETTID)
        child->set_child_tid = request->child_tid;
    return child;
}

void task_attach(struct task *task, struct process *process, int tid)
{
    task->tid = tid;
    task->process = process;
    list_push_back(&process->threads, &task->thread);
    process->thread_count++;
    task_hash(task);
}

static void adopt(struct process *child, struct process *parent, const struct clone_request *request, int pid)
{
    child->pid = pid;
    if (request->flags & CLONE_PARENT) {
        child->exit_signal = parent->exit_signal;
        parent = parent->parent ? parent->parent : parent;
    } else {
        child->exit_signal = request->exit_signal;
    }
    child->parent = parent;
    list_push_back(&parent->children, &child->sibling);
    process_add(child);
}

/* ---------------------------------------------------------------- vfork */

/* Until the child has left the parent's memory, or the parent is killed. */
static void wait_for_vfork(int tid, struct waitq *done)
{
    struct task *child;

    while ((child = task_find(tid)) != NULL && child->vfork_done == done) {
        struct waitq_entry entry;
        int result;

        waitq_add(done, &entry);
        result = sched_sleep(UINT64_MAX, SLEEP_KILLABLE);
        waitq_remove(&entry);
        if (result != -EINTR)
            continue;
        child = task_find(tid);
        if (child && child->vfork_done == done)
            child->vfork_done = NULL;
        return;
    }
}

/* ---------------------------------------------------------------- clone */

static bool too_many(const struct process *process)
{
    return process_count() >= process->limits[RLIMIT_NPROC][0];
}

long process_clone(const struct clone_request *request)
{
    struct task *current = task_current(), *task;
    struct process *parent = current->process, *process = parent;
    bool thread = request->flags & CLONE_THREAD;
    struct waitq vfork_done = WAITQ_INIT(vfork_done);
    int tid, error = check(request);

    if (error)
        return error;
    if (parent->exiting || too_many(parent))
        return -EAGAIN;
    task = copy_task(current, request);
    if (!task)
        return -ENOMEM;
    if (!thread) {
        process = copy_process(parent, request->flags); /* may sleep */
        if (!process) {
            task_free(task);
            return -ENOMEM;
        }
    }
    tid = number_take();
    if (tid < 0) {
        task_free(task);
        if (!thread)
            process_discard(process);
        return tid;
    }
    if (!thread) {
        process->group = parent->group;
        adopt(process, parent, request, tid);
        process->leader = task;
    }
    task_attach(task, process, tid);
    member_hold(process);
    if (host_watched && !thread)
        events_note(EVENT_FORK, process, 0, (uint64_t)parent->pid, (request->flags & CLONE_VM) != 0);
    if (request->flags & CLONE_PARENT_SETTID)
        (void)!user_write(request->parent_tid, &tid, sizeof(tid));
    if (request->flags & CLONE_VFORK)
        task->vfork_done = &vfork_done;
    task_begin(task, task_enter_user);
    if (request->flags & CLONE_VFORK)
        wait_for_vfork(tid, &vfork_done);
    return tid;
}
