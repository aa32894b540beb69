/*
 * System calls on processes and threads: making, ending, waiting, numbers, groups, futexes.
 */
#include <asm/signal.h>
#include <linux/futex.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "kernel/fs/vfs.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/linux/timespec.h"
#include "kernel/linux/usage.h"
#include "kernel/task/futex.h"
#include "kernel/task/task_internal.h"

/* ---------------------------------------------------------------- making */

long sys_fork(void)
{
    return process_clone(&(struct clone_request){.exit_signal = SIGCHLD});
}

long sys_vfork(void)
{
    return process_clone(&(struct clone_request){.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD});
}

long sys_clone(long flags, long stack, long parent_tid, long child_tid, long tls)
{
    const struct clone_request request = {
        .flags = (uint64_t)flags & 0xffffffff & ~(uint64_t)CSIGNAL,
        .exit_signal = (int)(flags & CSIGNAL),
        .stack = (uint64_t)stack,
        .parent_tid = (uint64_t)parent_tid,
        .child_tid = (uint64_t)child_tid,
        .tls = (uint64_t)tls,
    };

    return process_clone(&request);
}

/* The rest of a structure that is longer than ours must be zero: nothing is asked for that is not known here.
 */
static long check_zero(uint64_t address, uint64_t end)
{
    while (address < end) {
        char piece[64];
        size_t bytes = end - address < sizeof(piece) ? end - address : sizeof(piece);

        if (user_read(piece, address, bytes) != 0)
            return -EFAULT;
        for (size_t i = 0; i < bytes; i++)
            if (piece[i])
                return -E2BIG;
        address += bytes;
    }
    return 0;
}

long sys_clone3(long arguments, long bytes)
{
    struct clone_args args;
    struct clone_request request;
    size_t known = (size_t)bytes < sizeof(args) ? (size_t)bytes : sizeof(args);
    long error;

    if (bytes < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (bytes > (long)PAGE_SIZE)
        return -E2BIG;
    memset(&args, 0, sizeof(args));
    if (user_read(&args, (uint64_t)arguments, known) != 0)
        return -EFAULT;
    error = check_zero((uint64_t)arguments + known, (uint64_t)arguments + (uint64_t)bytes);
    if (error)
        return error;
    if ((args.flags & (CSIGNAL | CLONE_DETACHED)) || args.exit_signal > CSIGNAL || args.set_tid_size ||
        !args.stack != !args.stack_size)
        return -EINVAL;
    if ((args.flags & (CLONE_THREAD | CLONE_PARENT)) && args.exit_signal)
        return -EINVAL;
    request = (struct clone_request){
        .flags = args.flags,
        .exit_signal = (int)args.exit_signal,
        .stack = args.stack + args.stack_size,
        .parent_tid = args.parent_tid,
        .child_tid = args.child_tid,
        .tls = args.tls,
    };
    return process_clone(&request);
}

/* ---------------------------------------------------------------- a new program */

static long exec_at(struct exec_request *request, long path)
{
    char *buffer = path_buffer();
    long result;

    if (!buffer)
        return -ENOMEM;
    result = user_read_string(buffer, (uint64_t)path, PATH_BYTES);
    request->path = buffer;
    if (result == 0 && !request->node)
        result = -ENOENT;
    if (result >= 0)
        result = process_exec(request);
    path_buffer_free(buffer);
    return result;
}

long sys_execve(long path, long argv, long envp)
{
    return exec_at(&(struct exec_request){.argv = (uint64_t)argv, .envp = (uint64_t)envp}, path);
}

/* An empty path means the file that the descriptor refers to. */
static long exec_descriptor(struct exec_request *request, struct file *file, long path, long flags)
{
    char first;

    if (user_read(&first, (uint64_t)path, 1) != 0)
        return -EFAULT;
    if (first)
        return exec_at(request, path);
    if (!(flags & AT_EMPTY_PATH))
        return -ENOENT;
    request->node = file->vnode;
    request->path = file->path ? file->path : "";
    return request->node ? process_exec(request) : -EACCES;
}

long sys_execveat(long fd, long path, long argv, long envp, long flags)
{
    struct exec_request request = {.argv = (uint64_t)argv, .envp = (uint64_t)envp};
    struct file *file;
    long result;

    if ((int)flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    request.no_follow = flags & AT_SYMLINK_NOFOLLOW;
    if ((int)fd == AT_FDCWD)
        return exec_at(&request, path);
    file = file_get((int)fd);
    if (!file)
        return -EBADF;
    request.base = file->vnode;
    request.base_path = file->path;
    result = exec_descriptor(&request, file, path, flags);
    file_unref(file);
    return result;
}

/* ---------------------------------------------------------------- ending and waiting */

_Noreturn long sys_exit(long code)
{
    struct process *process = process_current();

    if (process->thread_count == 1)
        process_exit((int)(code & 0xff) << 8);
    if (!process->exiting) /* what the last thread leaves with counts */
        process->exit_code = (int)(code & 0xff) << 8;
    thread_exit();
}

_Noreturn long sys_exit_group(long code)
{
    process_exit((int)(code & 0xff) << 8);
}

static long write_usage(const struct wait_result *result, long usage)
{
    struct rusage out;

    if (!usage)
        return 0;
    usage_fill(&out, result->user_ns, result->system_ns, result->faults_minor, result->faults_major,
               result->resident_peak);
    return user_write((uint64_t)usage, &out, sizeof(out));
}

static struct wait_request request_by_pid(int pid, unsigned options)
{
    if (pid > 0)
        return (struct wait_request){P_PID, pid, options};
    if (pid == -1)
        return (struct wait_request){P_ALL, 0, options};
    return (struct wait_request){P_PGID, pid ? -pid : process_current()->pgid, options};
}

long sys_wait4(long pid, long status, long options, long usage)
{
    const unsigned allowed = WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL;
    struct wait_request request;
    struct wait_result result;
    long reaped;

    if ((unsigned)options & ~allowed)
        return -EINVAL;
    if ((int)pid == (int)0x80000000)
        return -ESRCH;
    request = request_by_pid((int)pid, (unsigned)options | WEXITED);
    reaped = process_wait(&request, &result);
    if (reaped <= 0)
        return reaped;
    if (status && user_write((uint64_t)status, &result.status, sizeof(result.status)) != 0)
        return -EFAULT;
    return write_usage(&result, usage) ? -EFAULT : reaped;
}

static int siginfo_status(const struct wait_result *result)
{
    switch (result->code) {
    case CLD_EXITED:
        return (result->status >> 8) & 0xff;
    case CLD_STOPPED:
        return (result->status >> 8) & 0xff;
    case CLD_CONTINUED:
        return SIGCONT;
    default:
        return result->status & 0x7f;
    }
}

long sys_waitid(long which, long id, long info, long options, long usage)
{
    const unsigned allowed =
        WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL;
    struct wait_request request = {(int)which, (int)id, (unsigned)options};
    struct wait_result result;
    siginfo_t out;
    long reaped;

    if (((unsigned)options & ~allowed) || !(options & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    which = (int)which;
    if ((which != P_ALL && which != P_PID && which != P_PGID) || (which == P_PID && (int)id <= 0) ||
        (which == P_PGID && (int)id < 0))
        return -EINVAL;
    if (which == P_PGID && (int)id == 0)
        request.id = process_current()->pgid;
    reaped = process_wait(&request, &result);
    if (reaped < 0)
        return reaped;
    memset(&out, 0, sizeof(out));
    if (reaped > 0) {
        out.si_signo = SIGCHLD;
        out.si_code = result.code;
        out.si_pid = result.pid;
        out.si_uid = result.uid;
        out.si_status = siginfo_status(&result);
        if (write_usage(&result, usage))
            return -EFAULT;
    }
    /* The kernel of Linux writes these fields only. */
    if (info && user_write((uint64_t)info, &out, offsetof(siginfo_t, si_status) + sizeof(int)) != 0)
        return -EFAULT;
    return 0;
}

/* ---------------------------------------------------------------- numbers, groups, sessions */

long sys_getpid(void)
{
    return process_current()->pid;
}

long sys_gettid(void)
{
    return task_current()->tid;
}

long sys_getppid(void)
{
    const struct process *parent = process_current()->parent;

    return parent ? parent->pid : 0;
}

static struct process *process_or_self(long pid)
{
    return (int)pid ? process_find((int)pid) : process_current();
}

static bool group_is_in_session(int pgid, int sid)
{
    list_for_each(node, &processes)
    {
        const struct process *process = container_of(node, struct process, all);

        if (process->pgid == pgid && process->sid == sid)
            return true;
    }
    return false;
}

long sys_setpgid(long pid, long pgid)
{
    struct process *self = process_current(), *process = process_or_self(pid);
    int group = (int)pgid;

    if (group < 0)
        return -EINVAL;
    if (!process || (process != self && process->parent != self) || process->zombie)
        return -ESRCH;
    if (process != self && process->sid != self->sid)
        return -EPERM;
    if (process != self && process->execed)
        return -EACCES;
    if (process->sid == process->pid)
        return -EPERM;
    if (group == 0)
        group = process->pid;
    if (group != process->pid && !group_is_in_session(group, self->sid))
        return -EPERM;
    process->pgid = group;
    return 0;
}

long sys_getpgid(long pid)
{
    const struct process *process = process_or_self(pid);

    return process ? process->pgid : -ESRCH;
}

long sys_getpgrp(void)
{
    return process_current()->pgid;
}

long sys_setsid(void)
{
    struct process *self = process_current();

    if (process_group_for_each(self->pid, NULL, NULL) > 0)
        return -EPERM; /* it leads a group, or another process is in a group of its number */
    self->sid = self->pgid = self->pid;
    self->tty = NULL;
    return self->sid;
}

long sys_getsid(long pid)
{
    const struct process *process = process_or_self(pid);

    return process ? process->sid : -ESRCH;
}

/* ---------------------------------------------------------------- threads */

long sys_set_tid_address(long address)
{
    task_current()->clear_child_tid = (uint64_t)address;
    return task_current()->tid;
}

long sys_set_robust_list(long head, long bytes)
{
    if (bytes != sizeof(struct robust_list_head))
        return -EINVAL;
    task_current()->robust_list = (uint64_t)head;
    return 0;
}

long sys_get_robust_list(long pid, long head, long bytes)
{
    const struct task *task = (int)pid ? task_find((int)pid) : task_current();
    const uint64_t size = sizeof(struct robust_list_head);

    if (!task)
        return -ESRCH;
    if (user_write((uint64_t)bytes, &size, sizeof(size)) != 0 ||
        user_write((uint64_t)head, &task->robust_list, sizeof(task->robust_list)) != 0)
        return -EFAULT;
    return 0;
}

/* FUTEX_WAIT's timeout is relative, that of the others absolute. */
static long futex_deadline(long timeout, int command, bool realtime, uint64_t *deadline_ns)
{
    uint64_t ns;
    long error;

    *deadline_ns = UINT64_MAX;
    if (!timeout)
        return 0;
    error = timespec_read((uint64_t)timeout, &ns);
    if (error)
        return error;
    if (command == FUTEX_WAIT)
        ns = time_add(host_now_ns(), ns);
    else if (realtime)
        ns = time_from_epoch(ns);
    *deadline_ns = ns;
    return 0;
}

long sys_futex(long address, long operation, long value, long timeout, long address2, long value3)
{
    int command = (int)operation & FUTEX_CMD_MASK;
    bool private = operation & FUTEX_PRIVATE_FLAG;
    uint32_t expected = (uint32_t)value3;
    uint64_t deadline_ns;
    long error;

    switch (command) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        error = futex_deadline(timeout, command, operation & FUTEX_CLOCK_REALTIME, &deadline_ns);
        if (error)
            return error;
        return futex_wait((uint64_t)address, private, (uint32_t)value, deadline_ns,
                          command == FUTEX_WAIT ? FUTEX_BITSET_MATCH_ANY : (uint32_t)value3);
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
        return futex_wake((uint64_t)address, private, (int)value,
                          command == FUTEX_WAKE ? FUTEX_BITSET_MATCH_ANY : (uint32_t)value3);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        return futex_requeue((uint64_t)address, (uint64_t)address2, private, (int)value, (int)timeout,
                             command == FUTEX_CMP_REQUEUE ? &expected : NULL);
    case FUTEX_WAKE_OP:
        return futex_wake_op((uint64_t)address, (uint64_t)address2, private, (int)value, (int)timeout,
                             (uint32_t)value3);
    default:
        return -ENOSYS;
    }
}

/* ---------------------------------------------------------------- files that stand for processes */

long sys_pidfd_open(long pid, long flags)
{
    const struct process *process = process_find((int)pid);
    struct file *file;
    int error;

    if (((unsigned)flags & ~(unsigned)O_NONBLOCK) || (int)pid <= 0)
        return -EINVAL;
    if (!process)
        return task_find((int)pid) ? -EINVAL : -ESRCH; /* a thread has none of its own */
    error = pidfd_create(process, (unsigned)flags, &file);
    return error ? error : files_install(process_current()->files, file, 0, true);
}

long sys_pidfd_send_signal(long fd, long signo, long info, long flags)
{
    struct file *file = (unsigned)flags ? NULL : file_get((int)fd);
    struct process *process;
    long error;

    if (!file)
        return (unsigned)flags ? -EINVAL : -EBADF;
    error = pidfd_process(file, &process);
    file_unref(file);
    if (error)
        return error;
    return info ? sys_rt_sigqueueinfo(process->pid, signo, info) : sys_kill(process->pid, signo);
}
