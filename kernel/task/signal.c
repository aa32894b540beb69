/*
 * Signals: sending, what a process does on them, taking and delivering.
 *
 * A signal is pending in the queue of a process or of one thread: a bit in a set, and an entry with its
 * siginfo when there is more to tell than the number. Standard signals have one entry at most, realtime
 * signals one for each time they were sent (up to SIGNAL_QUEUED_MAX, then only the bit, as Linux at
 * RLIMIT_SIGPENDING).
 *
 * WORK_SIGNAL is set in task->work when something may have to be done before the task returns to user mode: a
 * deliverable signal, a stop, an end. signal_recalculate() decides; it may be set for nothing, never the
 * other way round.
 */
#include <asm-generic/errno.h>

#include "base/check.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/task/task_internal.h"
#include "quire/slab.h"

enum { SIGNAL_QUEUED_MAX = 1024 };
static unsigned queued;

#define BIT(signo) ((sigset_t)1 << ((signo)-1))
static const sigset_t STOP_SIGNALS = BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU);
static const sigset_t IGNORED_BY_DEFAULT = BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH);
static const sigset_t UNBLOCKABLE = BIT(SIGKILL) | BIT(SIGSTOP);
/* Delivered before others, as Linux does: even when sent, they mean that something is wrong here. */
static const sigset_t SYNCHRONOUS =
    BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGFPE) | BIT(SIGSYS);

/* ---------------------------------------------------------------- queues */

void signal_queue_init(struct signal_queue *queue)
{
    queue->set = 0;
    list_init(&queue->entries);
}

static void entry_free(struct signal_entry *entry)
{
    list_remove(&entry->node);
    queued--;
    slab_free(entry);
}

static void queue_remove(struct signal_queue *queue, sigset_t which)
{
    if (!(queue->set & which))
        return;
    queue->set &= ~which;
    list_for_each_safe(node, next, &queue->entries)
    {
        struct signal_entry *entry = container_of(node, struct signal_entry, node);

        if (which & BIT(entry->info.si_signo))
            entry_free(entry);
    }
}

void signal_queue_clear(struct signal_queue *queue)
{
    queue_remove(queue, ~(sigset_t)0);
}

static void queue_add(struct signal_queue *queue, int signo, const siginfo_t *info)
{
    bool again = queue->set & BIT(signo);
    struct signal_entry *entry;

    if (again && signo < SIGRTMIN)
        return;
    queue->set |= BIT(signo);
    if (!info || queued >= SIGNAL_QUEUED_MAX)
        return;
    entry = slab_alloc(sizeof(*entry));
    if (!entry)
        return;
    queued++;
    entry->info = *info;
    entry->info.si_signo = signo;
    list_push_back(&queue->entries, &entry->node);
}

/* Take one of `signo` off the queue. */
static void queue_take(struct signal_queue *queue, int signo, siginfo_t *info)
{
    struct signal_entry *found = NULL;
    bool more = false;

    list_for_each(node, &queue->entries)
    {
        struct signal_entry *entry = container_of(node, struct signal_entry, node);

        if (entry->info.si_signo != signo)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = entry;
    }
    if (!more)
        queue->set &= ~BIT(signo);
    if (found) {
        *info = found->info;
        entry_free(found);
        return;
    }
    memset(info, 0, sizeof(*info));
    info->si_signo = signo;
    info->si_code = SI_KERNEL;
}

static int first_of(sigset_t set)
{
    if (set & SYNCHRONOUS)
        set &= SYNCHRONOUS;
    return set ? __builtin_ctzl(set) + 1 : 0;
}

int signal_take(sigset_t wanted, siginfo_t *info)
{
    struct task *task = task_current();
    struct signal_queue *queue = &task->pending;
    int signo = first_of(queue->set & wanted);

    if (!signo) {
        queue = &task->process->pending;
        signo = first_of(queue->set & wanted);
    }
    if (signo)
        queue_take(queue, signo, info);
    return signo;
}

void signal_discard(struct process *process, sigset_t which)
{
    queue_remove(&process->pending, which);
    list_for_each(node, &process->threads)
        queue_remove(&container_of(node, struct task, thread)->pending, which);
}

/* ---------------------------------------------------------------- actions */

static bool is_ignored(const struct sigaction *action, int signo)
{
    return action->sa_handler == SIG_IGN ||
           (action->sa_handler == SIG_DFL && (IGNORED_BY_DEFAULT & BIT(signo)));
}

void signal_action_set(struct signal_actions *actions, int signo, const struct sigaction *action)
{
    actions->action[signo] = *action;
    actions->action[signo].sa_mask &= ~UNBLOCKABLE;
    actions->ignored &= ~BIT(signo);
    actions->caught &= ~BIT(signo);
    if (is_ignored(action, signo))
        actions->ignored |= BIT(signo);
    else if (action->sa_handler != SIG_DFL)
        actions->caught |= BIT(signo);
}

struct signal_actions *signal_actions_create(void)
{
    struct signal_actions *actions = fs_alloc(sizeof(*actions));

    if (!actions)
        return NULL;
    actions->refs = 1;
    actions->ignored = IGNORED_BY_DEFAULT;
    return actions;
}

void signal_actions_unref(struct signal_actions *actions)
{
    if (--actions->refs == 0)
        slab_free(actions);
}

struct signal_actions *signal_actions_own(struct process *process)
{
    struct signal_actions *shared = process->actions, *own;

    if (shared->refs == 1)
        return shared;
    own = slab_alloc(sizeof(*own));
    if (!own)
        return NULL;
    memcpy(own, shared, sizeof(*own));
    own->refs = 1;
    shared->refs--;
    process->actions = own;
    return own;
}

void signal_actions_exec(struct process *process, struct signal_actions *spare)
{
    struct signal_actions *actions = process->actions;

    if (!actions->caught) {
        if (spare)
            signal_actions_unref(spare);
        return;
    }
    for (int signo = 1; signo < SIGNAL_COUNT; signo++)
        if (actions->action[signo].sa_handler == SIG_IGN)
            signal_action_set(spare, signo, &(struct sigaction){.sa_handler = SIG_IGN});
    process->actions = spare;
    signal_actions_unref(actions);
}

/* ---------------------------------------------------------------- is there something to do? */

static bool has_deliverable(const struct task *task)
{
    sigset_t pending = task->pending.set | task->process->pending.set;

    return (pending & (~task->blocked | task->awaited)) || task->killed || task->process->stopped ||
           task->forced_signo;
}

void signal_recalculate(struct task *task)
{
    if (has_deliverable(task))
        task_add_work(task, WORK_SIGNAL);
    else if (task == task_current() && !task->restore_blocked)
        task_clear_work(WORK_SIGNAL);
}

bool signal_pending(void)
{
    struct task *task = task_current();

    return (task->work & WORK_SIGNAL) && task->process && has_deliverable(task);
}

bool signal_is_blocked_or_ignored(int signo)
{
    struct task *task = task_current();

    return (task->blocked & BIT(signo)) || task->process->actions->action[signo].sa_handler == SIG_IGN;
}

void signal_set_blocked(sigset_t blocked)
{
    struct task *task = task_current();

    task->blocked = blocked & ~UNBLOCKABLE;
    signal_recalculate(task);
}

void signal_mask_for_wait(sigset_t blocked)
{
    struct task *task = task_current();

    task->saved_blocked = task->blocked;
    task->restore_blocked = true;
    signal_set_blocked(blocked);
    task_add_work(task, WORK_SIGNAL); /* puts the mask back when the call was interrupted */
}

void signal_mask_restore(void)
{
    struct task *task = task_current();

    if (!task->restore_blocked)
        return;
    task->restore_blocked = false;
    signal_set_blocked(task->saved_blocked);
}

/* ---------------------------------------------------------------- sending */

void siginfo_user(siginfo_t *info, int signo, int code)
{
    const struct process *sender = process_current();

    memset(info, 0, sizeof(*info));
    info->si_signo = signo;
    info->si_code = code;
    info->si_pid = sender->pid;
    info->si_uid = sender->uid[CREDENTIAL_REAL];
}

/* Makes a thread look at its signals soon. */
static void alert(struct task *task, int signo)
{
    task_add_work(task, WORK_SIGNAL);
    if (task->state == TASK_STOPPED) {
        if (signo == SIGKILL || signo == SIGCONT)
            sched_interrupt(task);
    } else if (task->state == TASK_SLEEPING &&
               (task->sleep == SLEEP_INTERRUPTIBLE || (task->sleep == SLEEP_KILLABLE && signo == SIGKILL))) {
        sched_interrupt(task);
    }
}

static bool wants(const struct task *task, int signo)
{
    return signo == SIGKILL || !(task->blocked & ~task->awaited & BIT(signo));
}

/* The thread that takes a signal of the process: the running one, else the first that does not block it. */
static void alert_one(struct process *process, int signo)
{
    struct task *current = task_current(), *chosen = NULL;

    list_for_each(node, &process->threads)
    {
        struct task *task = container_of(node, struct task, thread);

        if (!wants(task, signo))
            continue;
        if (!chosen || task == current)
            chosen = task;
    }
    if (chosen)
        alert(chosen, signo);
}

static void continue_process(struct process *process)
{
    signal_discard(process, STOP_SIGNALS);
    if (!process->stopped)
        return;
    process->stopped = false;
    process->continued = true;
    list_for_each(node, &process->threads)
    {
        struct task *task = container_of(node, struct task, thread);

        if (task->state == TASK_STOPPED)
            sched_interrupt(task);
    }
    process_notify_parent(process, CLD_CONTINUED);
}

/* What happens at once, whether or not the signal is delivered later. */
static void send_side_effects(struct process *process, int signo)
{
    if (signo == SIGCONT)
        continue_process(process);
    else if (BIT(signo) & STOP_SIGNALS)
        signal_discard(process, BIT(SIGCONT));
    else if (signo == SIGKILL)
        process->stopped = false; /* its threads must run to die */
}

static bool anyone_blocks(const struct process *process, int signo)
{
    list_for_each(node, &process->threads)
    {
        const struct task *task = container_of(node, struct task, thread);

        if ((task->blocked | task->awaited) & BIT(signo))
            return true;
    }
    return false;
}

int signal_send_process(struct process *process, int signo, const siginfo_t *info)
{
    if (signo < 0 || signo >= SIGNAL_COUNT)
        return -EINVAL;
    if (signo == 0 || process->zombie)
        return 0;
    send_side_effects(process, signo);
    if ((process->actions->ignored & BIT(signo)) && !anyone_blocks(process, signo))
        return 0;
    queue_add(&process->pending, signo, info);
    if (signo == SIGKILL) {
        list_for_each(node, &process->threads) alert(container_of(node, struct task, thread), signo);
        return 0;
    }
    alert_one(process, signo);
    return 0;
}

int signal_send_task(struct task *task, int signo, const siginfo_t *info)
{
    struct process *process = task->process;

    if (signo < 0 || signo >= SIGNAL_COUNT)
        return -EINVAL;
    if (!process || process->zombie)
        return -ESRCH;
    if (signo == 0)
        return 0;
    if (signo == SIGKILL)
        return signal_send_process(process, signo, info);
    send_side_effects(process, signo);
    if ((process->actions->ignored & BIT(signo)) && !((task->blocked | task->awaited) & BIT(signo)))
        return 0;
    queue_add(&task->pending, signo, info);
    if (wants(task, signo))
        alert(task, signo);
    return 0;
}

struct group_signal {
    int signo;
    const siginfo_t *info;
};

static void send_to_member(struct process *process, void *context)
{
    const struct group_signal *signal = context;

    (void)signal_send_process(process, signal->signo, signal->info);
}

int signal_send_group(int pgid, int signo, const siginfo_t *info)
{
    struct group_signal signal = {signo, info};

    if (signo < 0 || signo >= SIGNAL_COUNT)
        return -EINVAL;
    return process_group_for_each(pgid, send_to_member, &signal) ? 0 : -ESRCH;
}

/* Blocked or ignored, it cannot be waited for: it then ends the process. */
static void make_inescapable(struct task *task, int signo)
{
    struct signal_actions *actions = signal_actions_own(task->process);

    if (!actions)
        process_exit(signo);
    signal_action_set(actions, signo, &(struct sigaction){.sa_handler = SIG_DFL});
    task->blocked &= ~BIT(signo);
}

void signal_fault(int signo, int code, uint64_t address, const struct trap_frame *frame)
{
    struct task *task = task_current();

    task->fault_address = address;
    task->fault_error = frame->error;
    task->fault_vector = frame->vector;
    task->forced.si_signo = signo;
    task->forced.si_errno = 0;
    task->forced.si_code = code;
    task->forced.si_addr = (void *)address;
    task->forced_signo = signo;
    if ((task->blocked & BIT(signo)) || task->process->actions->action[signo].sa_handler == SIG_IGN)
        make_inescapable(task, signo);
    task_add_work(task, WORK_SIGNAL);
}

void signal_bad_stack(const struct trap_frame *frame)
{
    if (task_current()->forced_signo != SIGBUS)
        signal_fault(SIGSEGV, SI_KERNEL, 0, frame);
}

/* ---------------------------------------------------------------- delivering */

static void stop_here(struct process *process)
{
    struct task *task = task_current();

    while (process->stopped && !task->killed && !(process->pending.set & BIT(SIGKILL))) {
        task->state = TASK_STOPPED;
        sched_block();
    }
}

static void stop_process(struct process *process, int signo)
{
    if (signo != SIGSTOP && process_group_is_orphaned(process->pgid, NULL))
        return;
    process->stopped = true;
    process->stop_reported = false;
    process->continued = false;
    process->stop_signal = signo;
    list_for_each(node, &process->threads)
    {
        struct task *task = container_of(node, struct task, thread);

        if (task != task_current())
            alert(task, signo);
    }
    process_notify_parent(process, CLD_STOPPED);
}

static void default_action(struct process *process, int signo)
{
    if (BIT(signo) & IGNORED_BY_DEFAULT)
        return;
    if (BIT(signo) & STOP_SIGNALS)
        stop_process(process, signo);
    else
        process_exit(signo); /* no core files, so never with the bit that says that there is one */
}

/* A system call that gave -EINTR begins again, depending on what it is and on what runs before. */
static void restart_or_not(struct trap_frame *frame, const struct sigaction *handler)
{
    enum restart restart;

    if (frame->vector != TRAP_SYSCALL)
        return;
    frame->vector = 0; /* once: the next signal finds no call to begin again */
    if (frame->rax != (uint64_t)-EINTR)
        return;
    restart = restart_of(frame);
    if (restart == RESTART_NEVER ||
        (handler && !(restart == RESTART_SA_RESTART && (handler->sa_flags & SA_RESTART)))) {
        task_current()->restart_ns = 0;
        return;
    }
    frame->rax = frame->error;
    frame->rip -= 2; /* the length of SYSCALL */
}

/* The state for the handler; false when the stack has no room. */
static bool enter_handler(struct trap_frame *frame, int signo, const siginfo_t *info)
{
    struct task *task = task_current();
    struct process *process = task->process;
    struct sigaction action = process->actions->action[signo];
    sigset_t mask = task->restore_blocked ? task->saved_blocked : task->blocked;
    sigset_t blocked;

    restart_or_not(frame, &action);
    if (!signal_frame_push(frame, signo, info, &action, mask))
        return false;
    task->restore_blocked = false;
    if (action.sa_flags & SA_RESETHAND) {
        struct signal_actions *own = signal_actions_own(process);

        if (own)
            signal_action_set(own, signo, &(struct sigaction){.sa_handler = SIG_DFL});
    }
    blocked = task->blocked | action.sa_mask;
    if (!(action.sa_flags & SA_NODEFER))
        blocked |= BIT(signo);
    signal_set_blocked(blocked);
    return true;
}

/* The next signal to deliver; 0: none. */
static int next_signal(struct task *task, siginfo_t *room, const siginfo_t **info)
{
    int signo = task->forced_signo;

    task->forced_signo = 0;
    *info = signo ? &task->forced : room;
    return signo ? signo : signal_take(~task->blocked, room);
}

void signal_deliver(struct trap_frame *frame)
{
    struct task *task = task_current();
    struct process *process = task->process;
    const siginfo_t *info;
    siginfo_t room;
    int signo;

    task_clear_work(WORK_SIGNAL);
    for (;;) {
        if (task->killed)
            thread_exit();
        if (process->pending.set & BIT(SIGKILL))
            process_exit(SIGKILL);
        if (process->stopped) {
            stop_here(process);
            continue;
        }
        signo = next_signal(task, &room, &info);
        if (!signo)
            break;
        if (process->actions->caught & BIT(signo)) {
            if (enter_handler(frame, signo, info))
                return; /* signal_set_blocked() has looked for more */
            signal_bad_stack(frame);
            if (signo == task->forced_signo)
                process_exit(signo);
        } else if (!(process->actions->ignored & BIT(signo))) {
            default_action(process, signo);
        }
    }
    restart_or_not(frame, NULL);
    signal_mask_restore();
    task_clear_work(WORK_SIGNAL);
    signal_recalculate(task);
}
