/*
 * System calls on signals.
 */
#include <linux/signal.h>

#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/linux/timespec.h"
#include "kernel/task/task_internal.h"

static bool valid_signal(long signo)
{
    return signo >= 1 && signo < SIGNAL_COUNT;
}

/* ---------------------------------------------------------------- actions and masks */

long sys_rt_sigaction(long signo, long action, long old, long set_bytes)
{
    struct process *process = process_current();
    const struct sigaction before = process->actions->action[valid_signal((int)signo) ? (int)signo : 0];
    struct signal_actions *actions;
    struct sigaction in;

    if (set_bytes != sizeof(sigset_t) || !valid_signal((int)signo))
        return -EINVAL;
    if (action) {
        if (user_read(&in, (uint64_t)action, sizeof(in)) != 0)
            return -EFAULT;
        if ((int)signo == SIGKILL || (int)signo == SIGSTOP)
            return -EINVAL;
        actions = signal_actions_own(process);
        if (!actions)
            return -ENOMEM;
        signal_action_set(actions, (int)signo, &in);
        if (actions->ignored & signal_bit((int)signo))
            signal_discard(process, signal_bit((int)signo));
    }
    if (old && user_write((uint64_t)old, &before, sizeof(before)) != 0)
        return -EFAULT;
    return 0;
}

long sys_rt_sigprocmask(long how, long set, long old, long set_bytes)
{
    sigset_t before = task_current()->blocked, in;

    if (set_bytes != sizeof(sigset_t))
        return -EINVAL;
    if (set) {
        if (user_read(&in, (uint64_t)set, sizeof(in)) != 0)
            return -EFAULT;
        switch ((int)how) {
        case SIG_BLOCK:
            signal_set_blocked(before | in);
            break;
        case SIG_UNBLOCK:
            signal_set_blocked(before & ~in);
            break;
        case SIG_SETMASK:
            signal_set_blocked(in);
            break;
        default:
            return -EINVAL;
        }
    }
    if (old && user_write((uint64_t)old, &before, sizeof(before)) != 0)
        return -EFAULT;
    return 0;
}

long sys_rt_sigpending(long set, long set_bytes)
{
    const struct task *task = task_current();
    sigset_t pending = (task->pending.set | task->process->pending.set) & task->blocked;

    if (set_bytes > (long)sizeof(pending) || set_bytes < 0)
        return -EINVAL;
    return user_write((uint64_t)set, &pending, (size_t)set_bytes) ? -EFAULT : 0;
}

long sys_rt_sigreturn(void)
{
    struct task *task = task_current();

    if (!signal_frame_pop(task->frame)) {
        task->frame->vector = 0;
        signal_bad_stack(task->frame);
    }
    return 0; /* not used: the frame says what rax is */
}

long sys_sigaltstack(long in, long old)
{
    struct task *task = task_current();
    bool on = task->sigalt_bytes && task->frame->rsp > task->sigalt_start &&
              task->frame->rsp - task->sigalt_start <= task->sigalt_bytes;
    struct sigaltstack before = {.ss_sp = (void *)task->sigalt_start, .ss_size = task->sigalt_bytes}, stack;

    before.ss_flags = (task->sigalt_bytes ? 0 : SS_DISABLE) | task->sigalt_flags | (on ? SS_ONSTACK : 0);
    if (in) {
        if (user_read(&stack, (uint64_t)in, sizeof(stack)) != 0)
            return -EFAULT;
        if (on)
            return -EPERM;
        int mode = stack.ss_flags & ~(int)SS_AUTODISARM;
        if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK)
            return -EINVAL;
        if (mode == SS_DISABLE) {
            stack.ss_sp = NULL;
            stack.ss_size = 0;
        } else if (stack.ss_size < MINSIGSTKSZ) {
            return -ENOMEM;
        }
        task->sigalt_start = (uint64_t)stack.ss_sp;
        task->sigalt_bytes = stack.ss_size;
        task->sigalt_flags = stack.ss_flags & (int)SS_AUTODISARM;
    }
    if (old && user_write((uint64_t)old, &before, sizeof(before)) != 0)
        return -EFAULT;
    return 0;
}

/* ---------------------------------------------------------------- waiting */

long sys_pause(void)
{
    (void)sched_sleep(UINT64_MAX, SLEEP_INTERRUPTIBLE);
    return -EINTR;
}

long sys_rt_sigsuspend(long set, long set_bytes)
{
    sigset_t in;

    if (set_bytes != sizeof(sigset_t))
        return -EINVAL;
    if (user_read(&in, (uint64_t)set, sizeof(in)) != 0)
        return -EFAULT;
    signal_mask_for_wait(in);
    while (!signal_pending())
        (void)sched_sleep(UINT64_MAX, SLEEP_INTERRUPTIBLE);
    return -EINTR;
}

long sys_rt_sigtimedwait(long set, long info, long timeout, long set_bytes)
{
    struct task *task = task_current();
    uint64_t deadline_ns = UINT64_MAX, ns;
    siginfo_t taken;
    sigset_t wanted;
    long result;
    int signo;

    if (set_bytes != sizeof(sigset_t))
        return -EINVAL;
    if (user_read(&wanted, (uint64_t)set, sizeof(wanted)) != 0)
        return -EFAULT;
    if (timeout) {
        result = timespec_read((uint64_t)timeout, &ns);
        if (result)
            return result;
        deadline_ns = time_add(host_now_ns(), ns);
    }
    wanted &= ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
    signo = signal_take(wanted, &taken);
    if (!signo) {
        task->awaited = wanted;
        signal_recalculate(task);
        result = sched_sleep(deadline_ns, SLEEP_INTERRUPTIBLE);
        task->awaited = 0;
        signo = signal_take(wanted, &taken);
        signal_recalculate(task);
        if (!signo)
            return result == -ETIMEDOUT ? -EAGAIN : -EINTR;
    } else {
        signal_recalculate(task);
    }
    if (info && user_write((uint64_t)info, &taken, sizeof(taken)) != 0)
        return -EFAULT;
    return signo;
}

/* ---------------------------------------------------------------- sending */

/* Root may send to all, others to processes of the same user; anybody continues his own session. */
static bool may_send(const struct process *to, int signo)
{
    const struct process *self = process_current();
    uint32_t real = self->uid[CREDENTIAL_REAL], effective = self->uid[CREDENTIAL_EFFECTIVE];
    uint32_t to_real = to->uid[CREDENTIAL_REAL], to_saved = to->uid[CREDENTIAL_SAVED];

    return effective == 0 || to == self || effective == to_real || effective == to_saved || real == to_real ||
           real == to_saved || (signo == SIGCONT && to->sid == self->sid);
}

static long send_checked(struct process *process, int signo, const siginfo_t *info)
{
    if (!process)
        return -ESRCH;
    return may_send(process, signo) ? signal_send_process(process, signo, info) : -EPERM;
}

struct broadcast {
    int signo;
    const siginfo_t *info;
    int pgid; /* 0: everybody but the sender and the first process */
    unsigned found, reached;
};

static void send_to_selected(struct process *process, void *context)
{
    struct broadcast *broadcast = context;

    if (broadcast->pgid ? process->pgid != broadcast->pgid
                        : process == process_current() || process == first_process)
        return;
    broadcast->found++;
    if (send_checked(process, broadcast->signo, broadcast->info) == 0)
        broadcast->reached++;
}

static long send_to_many(int pgid, int signo, const siginfo_t *info)
{
    struct broadcast broadcast = {.signo = signo, .info = info, .pgid = pgid};

    process_for_each(send_to_selected, &broadcast);
    if (broadcast.reached)
        return 0;
    return broadcast.found ? -EPERM : -ESRCH;
}

static struct process *process_of_number(int number)
{
    struct process *process = process_find(number);
    const struct task *task;

    if (process)
        return process;
    task = task_find(number);
    return task ? task->process : NULL;
}

long sys_kill(long pid, long signo)
{
    int number = (int)pid;
    siginfo_t info;

    if ((int)signo < 0 || (int)signo >= SIGNAL_COUNT)
        return -EINVAL;
    if (number == (int)0x80000000)
        return -ESRCH;
    siginfo_user(&info, (int)signo, SI_USER);
    if (number > 0)
        return send_checked(process_of_number(number), (int)signo, &info);
    if (number == -1)
        return send_to_many(0, (int)signo, &info);
    return send_to_many(number ? -number : process_current()->pgid, (int)signo, &info);
}

static long send_to_thread(int pid, int tid, int signo, const siginfo_t *info)
{
    struct task *task = task_find(tid);

    if (!task || !task->process || (pid && task->process->pid != pid))
        return -ESRCH;
    return may_send(task->process, signo) ? signal_send_task(task, signo, info) : -EPERM;
}

long sys_tkill(long tid, long signo)
{
    siginfo_t info;

    if ((int)tid <= 0 || (int)signo < 0 || (int)signo >= SIGNAL_COUNT)
        return -EINVAL;
    siginfo_user(&info, (int)signo, SI_TKILL);
    return send_to_thread(0, (int)tid, (int)signo, &info);
}

long sys_tgkill(long pid, long tid, long signo)
{
    siginfo_t info;

    if ((int)pid <= 0 || (int)tid <= 0 || (int)signo < 0 || (int)signo >= SIGNAL_COUNT)
        return -EINVAL;
    siginfo_user(&info, (int)signo, SI_TKILL);
    return send_to_thread((int)pid, (int)tid, (int)signo, &info);
}

/* Only the kernel may say that a signal comes from the kernel or from kill(). */
static long read_siginfo(long from, int signo, int pid, siginfo_t *info)
{
    if (user_read(info, (uint64_t)from, sizeof(*info)) != 0)
        return -EFAULT;
    if ((info->si_code >= 0 || info->si_code == SI_TKILL) && pid != process_current()->pid)
        return -EPERM;
    info->si_signo = signo;
    return 0;
}

long sys_rt_sigqueueinfo(long pid, long signo, long from)
{
    siginfo_t info;
    long error = read_siginfo(from, (int)signo, (int)pid, &info);

    if (error)
        return error;
    return send_checked((int)pid > 0 ? process_of_number((int)pid) : NULL, (int)signo, &info);
}

long sys_rt_tgsigqueueinfo(long pid, long tid, long signo, long from)
{
    siginfo_t info;
    long error;

    if ((int)pid <= 0 || (int)tid <= 0)
        return -EINVAL;
    error = read_siginfo(from, (int)signo, (int)pid, &info);
    return error ? error : send_to_thread((int)pid, (int)tid, (int)signo, &info);
}
