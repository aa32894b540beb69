/*
 * System calls that say what the system and the process are: names, prctl, scheduling.
 */
#include <asm-generic/resource.h>
#include <asm/prctl.h>
#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/personality.h>
#include <linux/prctl.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/sysinfo.h>

#include "kernel/dev/hostlink.h"
#include "kernel/fs/vfs.h"
#include "kernel/klib.h"
#include "kernel/linux/names.h"
#include "kernel/linux/syscalls.h"
#include "kernel/linux/timespec.h"
#include "kernel/task/task_internal.h"
#include "quire/slab.h"
#include "quire/swap.h"

/* ---------------------------------------------------------------- the system */

long sys_uname(long out)
{
    return user_write((uint64_t)out, &system_names, sizeof(system_names)) ? -EFAULT : 0;
}

static long set_name(char *name, long from, long bytes)
{
    char in[__NEW_UTS_LEN + 1] = {0};

    if (bytes < 0 || bytes > __NEW_UTS_LEN)
        return -EINVAL;
    if (user_read(in, (uint64_t)from, (size_t)bytes) != 0)
        return -EFAULT;
    memcpy(name, in, sizeof(in));
    return 0;
}

long sys_sethostname(long name, long bytes)
{
    return set_name(system_names.nodename, name, bytes);
}

long sys_setdomainname(long name, long bytes)
{
    return set_name(system_names.domainname, name, bytes);
}

long sys_sysinfo(long out)
{
    struct frame_counts counts;
    struct swap_counts swap;
    struct sysinfo info;

    memset(&info, 0, sizeof(info));
    frames_count(&counts);
    info.uptime = (__kernel_long_t)(host_now_ns() / NS_PER_SECOND);
    info.totalram = counts.total - counts.by_use[FRAME_RESERVED];
    info.freeram = counts.by_use[FRAME_FREE];
    info.sharedram = counts.by_use[FRAME_SHARED];
    swap_count(&swap);
    info.totalswap = swap.slots;
    info.freeswap = swap.slots - swap.used - swap.bad;
    info.procs = (__u16)process_count();
    info.mem_unit = PAGE_SIZE;
    return user_write((uint64_t)out, &info, sizeof(info)) ? -EFAULT : 0;
}

long sys_syslog(long type, long buffer, long bytes)
{
    enum { READ_ALL = 3, LOG_BYTES = 10 };

    if (type < 0 || type > LOG_BYTES)
        return -EINVAL;
    if (type >= 2 && type <= 4 && (!buffer || bytes < 0))
        return -EINVAL;
    return 0; /* the log is the host's; there is nothing in here */
}

long sys_reboot(long magic1, long magic2, long command, long argument)
{
    if ((unsigned)magic1 != LINUX_REBOOT_MAGIC1 ||
        ((unsigned)magic2 != LINUX_REBOOT_MAGIC2 && (unsigned)magic2 != LINUX_REBOOT_MAGIC2A &&
         (unsigned)magic2 != LINUX_REBOOT_MAGIC2B && (unsigned)magic2 != LINUX_REBOOT_MAGIC2C))
        return -EINVAL;
    switch ((unsigned)command) {
    case LINUX_REBOOT_CMD_CAD_ON:
    case LINUX_REBOOT_CMD_CAD_OFF:
        return 0;
    case LINUX_REBOOT_CMD_RESTART:
    case LINUX_REBOOT_CMD_HALT:
    case LINUX_REBOOT_CMD_POWER_OFF:
        (void)!objects_sync_all();
        hostlink_exit(0);
        machine_exit(MACHINE_DONE);
    default:
        return -EINVAL;
    }
}

/* ---------------------------------------------------------------- prctl */

static long set_task_name(long from)
{
    struct task *task = task_current();
    char name[sizeof(task->name)];
    long length = user_read_string(name, (uint64_t)from, sizeof(name));

    if (length == -EFAULT)
        return -EFAULT;
    name[sizeof(name) - 1] = '\0'; /* a longer one is cut */
    strlcpy(task->name, name, sizeof(task->name));
    return 0;
}

long sys_prctl(long option, long arg2, long arg3, long arg4, long arg5)
{
    struct process *process = process_current();

    switch ((int)option) {
    case PR_SET_NAME:
        return set_task_name(arg2);
    case PR_GET_NAME:
        return user_write((uint64_t)arg2, task_current()->name, sizeof(task_current()->name)) ? -EFAULT : 0;
    case PR_SET_PDEATHSIG:
        if (arg2 < 0 || arg2 >= SIGNAL_COUNT)
            return -EINVAL;
        process->parent_death_signal = (int)arg2;
        return 0;
    case PR_GET_PDEATHSIG:
        return user_write((uint64_t)arg2, &process->parent_death_signal, sizeof(int)) ? -EFAULT : 0;
    case PR_GET_DUMPABLE:
        return process->dumpable;
    case PR_SET_DUMPABLE:
        if (arg2 != 0 && arg2 != 1)
            return -EINVAL;
        process->dumpable = arg2;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return process->no_new_privileges;
    case PR_SET_NO_NEW_PRIVS:
        if (arg2 != 1 || arg3 || arg4 || arg5)
            return -EINVAL;
        process->no_new_privileges = true;
        return 0;
    case PR_CAPBSET_READ:
        return arg2 < 0 || arg2 > CAP_LAST_CAP ? -EINVAL : 1;
    case PR_GET_KEEPCAPS:
        return process->keeps_capabilities;
    case PR_GET_SECCOMP:
    case PR_GET_SECUREBITS:
    case PR_GET_THP_DISABLE:
        return 0;
    case PR_SET_KEEPCAPS:
        if (arg2 != 0 && arg2 != 1)
            return -EINVAL;
        process->keeps_capabilities = arg2;
        return 0;
    case PR_GET_TIMERSLACK:
        return 50000; /* ns; Linux's default, and nothing is that exact here */
    case PR_SET_TIMERSLACK:
        return 0;
    default:
        return -EINVAL;
    }
}

long sys_arch_prctl(long option, long address)
{
    uint64_t base = (uint64_t)address;

    switch ((int)option) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (base >= SPACE_END)
            return -EPERM;
        if ((int)option == ARCH_SET_FS)
            fs_base_set(base);
        else
            user_gs_base_set(base);
        return 0;
    case ARCH_GET_FS:
    case ARCH_GET_GS:
        base = (int)option == ARCH_GET_FS ? fs_base_get() : user_gs_base_get();
        return user_write((uint64_t)address, &base, sizeof(base)) ? -EFAULT : 0;
    default:
        return -EINVAL;
    }
}

long sys_personality(long persona)
{
    struct process *process = process_current();
    long old = process->personality;

    if ((uint32_t)persona != UINT32_MAX)
        process->personality = (uint32_t)persona;
    return old;
}

/* ---------------------------------------------------------------- scheduling: one CPU, everybody in turn */

long sys_sched_yield(void)
{
    sched_yield();
    return 0;
}

static bool task_exists(long pid)
{
    return (int)pid == 0 || task_find((int)pid) || process_find((int)pid);
}

long sys_sched_getaffinity(long pid, long bytes, long mask)
{
    const uint64_t first_cpu = 1;

    if ((unsigned)bytes < sizeof(first_cpu) || (bytes & 7))
        return -EINVAL;
    if (!task_exists(pid))
        return -ESRCH;
    return user_write((uint64_t)mask, &first_cpu, sizeof(first_cpu)) ? -EFAULT : (long)sizeof(first_cpu);
}

long sys_sched_setaffinity(long pid, long bytes, long mask)
{
    uint8_t first = 0;

    if ((unsigned)bytes > 0 && user_read(&first, (uint64_t)mask, 1) != 0)
        return -EFAULT;
    if (!task_exists(pid))
        return -ESRCH;
    return (first & 1) ? 0 : -EINVAL; /* no CPU is left */
}

long sys_sched_getscheduler(long pid)
{
    if ((int)pid < 0)
        return -EINVAL;
    return task_exists(pid) ? SCHED_NORMAL : -ESRCH;
}

long sys_sched_getparam(long pid, long parameter)
{
    const int priority = 0;

    if ((int)pid < 0 || !parameter)
        return -EINVAL;
    if (!task_exists(pid))
        return -ESRCH;
    return user_write((uint64_t)parameter, &priority, sizeof(priority)) ? -EFAULT : 0;
}

long sys_sched_setparam(long pid, long parameter)
{
    int priority;

    if ((int)pid < 0 || !parameter)
        return -EINVAL;
    if (user_read(&priority, (uint64_t)parameter, sizeof(priority)) != 0)
        return -EFAULT;
    if (!task_exists(pid))
        return -ESRCH;
    return priority == 0 ? 0 : -EINVAL;
}

long sys_sched_setscheduler(long pid, long policy, long parameter)
{
    if ((int)policy != SCHED_NORMAL && (int)policy != SCHED_BATCH && (int)policy != SCHED_IDLE)
        return (int)policy == SCHED_FIFO || (int)policy == SCHED_RR ? -EPERM : -EINVAL;
    return sys_sched_setparam(pid, parameter);
}

static long priority_limit(long policy, long realtime)
{
    switch ((int)policy) {
    case SCHED_FIFO:
    case SCHED_RR:
        return realtime;
    case SCHED_NORMAL:
    case SCHED_BATCH:
    case SCHED_IDLE:
    case SCHED_DEADLINE:
        return 0;
    default:
        return -EINVAL;
    }
}

long sys_sched_get_priority_max(long policy)
{
    return priority_limit(policy, 99);
}

long sys_sched_get_priority_min(long policy)
{
    return priority_limit(policy, 1);
}

long sys_sched_rr_get_interval(long pid, long out)
{
    const uint64_t QUANTUM_NS = 10 * 1000 * 1000;

    if ((int)pid < 0)
        return -EINVAL;
    return task_exists(pid) ? timespec_write((uint64_t)out, QUANTUM_NS) : -ESRCH;
}

long sys_getcpu(long cpu, long node, long unused)
{
    const uint32_t zero = 0, number = cpu_here()->number;

    if ((cpu && user_write((uint64_t)cpu, &number, sizeof(number)) != 0) ||
        (node && user_write((uint64_t)node, &zero, sizeof(zero)) != 0))
        return -EFAULT;
    return 0;
}

/* ---------------------------------------------------------------- nice values: kept, and of no effect */

enum { PRIORITY_PROCESS, PRIORITY_GROUP, PRIORITY_USER, NICE_LEAST = -20, NICE_MOST = 19, NICE_NONE = 20 };

struct priority_request {
    int which, who, nice;
    bool set;
    unsigned found;
    int least;
};

static bool is_selected(const struct process *process, const struct priority_request *request)
{
    const struct process *self = process_current();

    switch (request->which) {
    case PRIORITY_PROCESS:
        return process->pid == (request->who ? request->who : self->pid);
    case PRIORITY_GROUP:
        return process->pgid == (request->who ? request->who : self->pgid);
    default:
        return process->uid[CREDENTIAL_REAL] ==
               (request->who ? (uint32_t)request->who : self->uid[CREDENTIAL_REAL]);
    }
}

static void visit_priority(struct process *process, void *context)
{
    struct priority_request *request = context;

    if (process->zombie || !is_selected(process, request))
        return;
    request->found++;
    if (request->set)
        process->nice = request->nice;
    else if (process->nice < request->least)
        request->least = process->nice;
}

long sys_getpriority(long which, long who)
{
    struct priority_request request = {.which = (int)which, .who = (int)who, .least = NICE_NONE};

    if ((unsigned)which > PRIORITY_USER)
        return -EINVAL;
    process_for_each(visit_priority, &request);
    return request.found ? NICE_NONE - request.least : -ESRCH;
}

long sys_setpriority(long which, long who, long nice)
{
    struct priority_request request = {.which = (int)which, .who = (int)who, .set = true};

    if ((unsigned)which > PRIORITY_USER)
        return -EINVAL;
    request.nice = (int)nice < NICE_LEAST ? NICE_LEAST : (int)nice > NICE_MOST ? NICE_MOST : (int)nice;
    process_for_each(visit_priority, &request);
    return request.found ? 0 : -ESRCH;
}
