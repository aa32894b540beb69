/*
 * System calls on time: clocks, sleeping, timers, what was used.
 */
#include <asm/signal.h>
#include <linux/resource.h>
#include <linux/times.h>

#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/linux/timespec.h"
#include "kernel/linux/usage.h"
#include "kernel/task/itimer.h"
#include "kernel/task/task_internal.h"

/* ---------------------------------------------------------------- clocks */

/* CPU clocks of one process or thread (clock_getcpuclockid): ~number in the upper bits, then a bit for
 * threads, then what is counted. */
enum { CPU_CLOCK_THREAD = 4, CPU_CLOCK_KIND = 3, CPU_CLOCK_USER = 1, CPU_CLOCK_BOTH = 2 };

static uint64_t task_time(const struct task *task)
{
    return task->user_ns + task->system_ns + (task == task_current() ? host_now_ns() - task->since_ns : 0);
}

static long cpu_clock(int clock, uint64_t *ns)
{
    int number = ~(clock >> 3);
    uint64_t user_ns, system_ns;

    if ((clock & CPU_CLOCK_KIND) == CPU_CLOCK_KIND)
        return -EINVAL;
    if (clock & CPU_CLOCK_THREAD) {
        const struct task *task = number ? task_find(number) : task_current();

        if (!task || task->process != process_current())
            return -EINVAL;
        *ns = task_time(task);
    } else {
        const struct process *process = number ? process_find(number) : process_current();

        if (!process)
            return -EINVAL;
        process_times(process, &user_ns, &system_ns);
        *ns = (clock & CPU_CLOCK_KIND) == CPU_CLOCK_USER ? user_ns : user_ns + system_ns;
    }
    return 0;
}

static long clock_read(int clock, uint64_t *ns)
{
    uint64_t user_ns, system_ns;

    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *ns = time_boot_epoch_ns + host_now_ns();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *ns = host_now_ns();
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        process_times(process_current(), &user_ns, &system_ns);
        *ns = user_ns + system_ns;
        return 0;
    case CLOCK_THREAD_CPUTIME_ID:
        *ns = task_time(task_current());
        return 0;
    default:
        return clock < 0 ? cpu_clock(clock, ns) : -EINVAL;
    }
}

long sys_clock_gettime(long clock, long out)
{
    uint64_t ns;
    long error = clock_read((int)clock, &ns);

    return error ? error : timespec_write((uint64_t)out, ns);
}

long sys_clock_getres(long clock, long out)
{
    uint64_t ns;
    long error = clock_read((int)clock, &ns);

    if (error || !out)
        return error;
    return timespec_write((uint64_t)out, 1);
}

static long set_time(uint64_t ns)
{
    uint64_t now_ns = host_now_ns();

    if (ns < now_ns)
        return -EINVAL; /* before the machine was started */
    time_boot_epoch_ns = ns - now_ns;
    return 0;
}

long sys_clock_settime(long clock, long in)
{
    uint64_t ns;
    long error;

    if ((int)clock != CLOCK_REALTIME)
        return -EINVAL;
    error = timespec_read((uint64_t)in, &ns);
    return error ? error : set_time(ns);
}

static long write_no_zone(long zone)
{
    const int none[2] = {0, 0};

    return user_write((uint64_t)zone, none, sizeof(none)) ? -EFAULT : 0;
}

long sys_gettimeofday(long out, long zone)
{
    uint64_t ns = time_boot_epoch_ns + host_now_ns();
    const uint64_t value[2] = {ns / NS_PER_SECOND, ns % NS_PER_SECOND / NS_PER_US};

    if (out && user_write((uint64_t)out, value, sizeof(value)) != 0)
        return -EFAULT;
    return zone ? write_no_zone(zone) : 0;
}

/* 0, -EFAULT, -EINVAL */
static long timeval_read(uint64_t from, uint64_t *ns)
{
    int64_t in[2];

    if (user_read(in, from, sizeof(in)) != 0)
        return -EFAULT;
    if (in[0] < 0 || in[1] < 0 || in[1] >= US_PER_SECOND)
        return -EINVAL;
    *ns = time_of((uint64_t)in[0], (uint64_t)in[1] * NS_PER_US);
    return 0;
}

long sys_settimeofday(long in, long zone)
{
    uint64_t ns;
    long error = in ? timeval_read((uint64_t)in, &ns) : 0;

    return error || !in ? error : set_time(ns);
}

long sys_time(long out)
{
    int64_t seconds = (int64_t)((time_boot_epoch_ns + host_now_ns()) / NS_PER_SECOND);

    if (out && user_write((uint64_t)out, &seconds, sizeof(seconds)) != 0)
        return -EFAULT;
    return seconds;
}

/* ---------------------------------------------------------------- sleeping */

/* Until the deadline; an interrupted sleep remembers it, in case the call begins again. */
static long sleep_until(uint64_t deadline_ns, bool relative, long remaining)
{
    struct task *task = task_current();
    uint64_t now_ns;

    if (relative && task->restart_ns)
        deadline_ns = task->restart_ns;
    task->restart_ns = 0;
    while (host_now_ns() < deadline_ns) {
        if (sched_sleep(deadline_ns, SLEEP_INTERRUPTIBLE) != -EINTR)
            continue;
        if (!relative)
            return -EINTR;
        task->restart_ns = deadline_ns;
        now_ns = host_now_ns();
        if (remaining && timespec_write((uint64_t)remaining, deadline_ns > now_ns ? deadline_ns - now_ns : 0))
            return -EFAULT;
        return -EINTR;
    }
    return 0;
}

long sys_nanosleep(long wanted, long remaining)
{
    uint64_t ns;
    long error = timespec_read((uint64_t)wanted, &ns);

    return error ? error : sleep_until(time_add(host_now_ns(), ns), true, remaining);
}

long sys_clock_nanosleep(long clock, long flags, long wanted, long remaining)
{
    uint64_t ns, now_ns;
    long error = clock_read((int)clock, &now_ns);

    if (error)
        return error;
    if ((int)clock == CLOCK_THREAD_CPUTIME_ID || (int)clock == CLOCK_MONOTONIC_RAW ||
        (int)clock == CLOCK_REALTIME_COARSE || (int)clock == CLOCK_MONOTONIC_COARSE)
        return (int)clock == CLOCK_THREAD_CPUTIME_ID ? -EINVAL : -EOPNOTSUPP;
    error = timespec_read((uint64_t)wanted, &ns);
    if (error)
        return error;
    if (!(flags & TIMER_ABSTIME))
        return sleep_until(time_add(host_now_ns(), ns), true, remaining);
    /* What is left on that clock, as real time: CPU clocks run no faster than it. */
    while (now_ns < ns) {
        if (sleep_until(time_add(host_now_ns(), ns - now_ns), false, 0) != 0)
            return -EINTR;
        (void)clock_read((int)clock, &now_ns);
    }
    return 0;
}

/* ---------------------------------------------------------------- alarm, setitimer */

long sys_alarm(long seconds)
{
    struct process *process = process_current();
    struct interval old, in = {(uint64_t)(uint32_t)seconds * NS_PER_SECOND, 0};

    itimer_get(process, ITIMER_REAL, &old);
    itimer_set(process, ITIMER_REAL, &in);
    if (old.value_ns && old.value_ns < NS_PER_SECOND)
        return 1;
    return (long)((old.value_ns + NS_PER_SECOND / 2) / NS_PER_SECOND);
}

static long interval_write(long to, const struct interval *interval)
{
    const uint64_t out[4] = {
        interval->interval_ns / NS_PER_SECOND,
        interval->interval_ns % NS_PER_SECOND / NS_PER_US,
        interval->value_ns / NS_PER_SECOND,
        interval->value_ns % NS_PER_SECOND / NS_PER_US,
    };

    return user_write((uint64_t)to, out, sizeof(out)) ? -EFAULT : 0;
}

long sys_getitimer(long which, long out)
{
    struct interval interval;

    if ((int)which < ITIMER_REAL || (int)which > ITIMER_PROF)
        return -EINVAL;
    itimer_get(process_current(), (int)which, &interval);
    return interval_write(out, &interval);
}

long sys_setitimer(long which, long in, long old)
{
    struct interval new = {0, 0}, before;
    long error = 0;

    if (in) {
        error = timeval_read((uint64_t)in, &new.interval_ns);
        if (!error)
            error = timeval_read((uint64_t)in + 16, &new.value_ns);
    }
    if (error)
        return error;
    if ((int)which < ITIMER_REAL || (int)which > ITIMER_PROF)
        return -EINVAL;
    itimer_get(process_current(), (int)which, &before);
    itimer_set(process_current(), (int)which, &new);
    return old ? interval_write(old, &before) : 0;
}

/* ---------------------------------------------------------------- timer_create */

static long read_event(long from, struct posix_timer_event *event)
{
    struct sigevent in;
    const struct task *task;

    *event = (struct posix_timer_event){.signo = SIGALRM, .value_is_id = true};
    if (!from)
        return 0;
    if (user_read(&in, (uint64_t)from, sizeof(in)) != 0)
        return -EFAULT;
    *event = (struct posix_timer_event){.signo = in.sigev_signo, .value = (uint64_t)in.sigev_value.sival_ptr};
    if (in.sigev_notify == SIGEV_NONE) {
        event->signo = 0;
        return 0;
    }
    if (in.sigev_signo < 1 || in.sigev_signo >= SIGNAL_COUNT)
        return -EINVAL;
    if (in.sigev_notify == SIGEV_SIGNAL)
        return 0;
    if (in.sigev_notify != (SIGEV_SIGNAL | SIGEV_THREAD_ID))
        return -EINVAL;
    task = task_find(in._sigev_un._tid);
    if (!task || task->process != process_current())
        return -EINVAL;
    event->tid = task->tid;
    return 0;
}

static bool clock_has_timers(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
           clock == CLOCK_TAI;
}

long sys_timer_create(long clock, long event, long id)
{
    struct process *process = process_current();
    struct posix_timer_event notice;
    uint64_t ns;
    int number;
    long error = clock_read((int)clock, &ns);

    if (error)
        return error;
    if (!clock_has_timers((int)clock))
        return -EOPNOTSUPP;
    error = read_event(event, &notice);
    if (error)
        return error;
    number = posix_timer_create(process, (int)clock, &notice);
    if (number < 0)
        return number;
    if (user_write((uint64_t)id, &number, sizeof(number)) == 0)
        return 0;
    posix_timer_delete(process, posix_timer_find(process, number));
    return -EFAULT;
}

static long itimerspec_write(long to, const struct posix_timer *timer)
{
    struct interval interval;

    posix_timer_get(timer, &interval);
    if (timespec_write((uint64_t)to, interval.interval_ns) != 0)
        return -EFAULT;
    return timespec_write((uint64_t)to + 16, interval.value_ns);
}

long sys_timer_gettime(long id, long out)
{
    const struct posix_timer *timer = posix_timer_find(process_current(), (int)id);

    return timer ? itimerspec_write(out, timer) : -EINVAL;
}

long sys_timer_settime(long id, long flags, long in, long old)
{
    struct posix_timer *timer = posix_timer_find(process_current(), (int)id);
    uint64_t interval_ns, value_ns, first_ns = 0;
    long error;

    if (!in)
        return -EINVAL;
    error = timespec_read((uint64_t)in, &interval_ns);
    if (!error)
        error = timespec_read((uint64_t)in + 16, &value_ns);
    if (error)
        return error;
    if (!timer)
        return -EINVAL;
    if (old && itimerspec_write(old, timer) != 0)
        return -EFAULT;
    if (value_ns && !(flags & TIMER_ABSTIME))
        first_ns = time_add(host_now_ns(), value_ns);
    else if (value_ns)
        first_ns = posix_timer_clock(timer) == CLOCK_REALTIME || posix_timer_clock(timer) == CLOCK_TAI
                       ? time_from_epoch(value_ns)
                       : value_ns;
    posix_timer_set(timer, value_ns && !first_ns ? 1 : first_ns, interval_ns);
    return 0;
}

long sys_timer_getoverrun(long id)
{
    const struct posix_timer *timer = posix_timer_find(process_current(), (int)id);

    return timer ? posix_timer_overrun(timer) : -EINVAL;
}

long sys_timer_delete(long id)
{
    struct posix_timer *timer = posix_timer_find(process_current(), (int)id);

    if (!timer)
        return -EINVAL;
    posix_timer_delete(process_current(), timer);
    return 0;
}

/* ---------------------------------------------------------------- what was used */

enum { TICK_NS = 10 * 1000 * 1000 }; /* of times(2): USER_HZ is 100 */

long sys_times(long out)
{
    const struct process *process = process_current();
    uint64_t user_ns, system_ns;
    struct tms times;

    process_times(process, &user_ns, &system_ns);
    times.tms_utime = (__kernel_clock_t)(user_ns / TICK_NS);
    times.tms_stime = (__kernel_clock_t)(system_ns / TICK_NS);
    times.tms_cutime = (__kernel_clock_t)(process->children_user_ns / TICK_NS);
    times.tms_cstime = (__kernel_clock_t)(process->children_system_ns / TICK_NS);
    if (out && user_write((uint64_t)out, &times, sizeof(times)) != 0)
        return -EFAULT;
    return (long)(host_now_ns() / TICK_NS);
}

static void set_timeval(struct __kernel_old_timeval *to, uint64_t ns)
{
    to->tv_sec = (__kernel_long_t)(ns / NS_PER_SECOND);
    to->tv_usec = (__kernel_long_t)(ns % NS_PER_SECOND / NS_PER_US);
}

void usage_fill(struct rusage *out, uint64_t user_ns, uint64_t system_ns, uint64_t faults_minor,
                uint64_t faults_major, uint64_t resident_peak_pages)
{
    enum { KIB_PER_PAGE = 4 };

    memset(out, 0, sizeof(*out));
    set_timeval((void *)&out->ru_utime, user_ns);
    set_timeval((void *)&out->ru_stime, system_ns);
    out->ru_minflt = (__kernel_long_t)faults_minor;
    out->ru_majflt = (__kernel_long_t)faults_major;
    out->ru_maxrss = (__kernel_long_t)(resident_peak_pages * KIB_PER_PAGE);
}

long sys_getrusage(long who, long out)
{
    struct process *process = process_current();
    struct rusage usage;
    uint64_t user_ns, system_ns;

    switch ((int)who) {
    case RUSAGE_SELF:
    case RUSAGE_THREAD:
        process_times(process, &user_ns, &system_ns);
        if ((int)who == RUSAGE_THREAD) {
            account_task(task_current());
            user_ns = task_current()->user_ns;
            system_ns = task_current()->system_ns;
        }
        usage_fill(&usage, user_ns, system_ns, process->faults_minor, process->faults_major,
                   resident_peak(process));
        usage.ru_nvcsw = (__kernel_long_t)(process->switches + task_current()->switches);
        break;
    case RUSAGE_CHILDREN:
        usage_fill(&usage, process->children_user_ns, process->children_system_ns,
                   process->children_faults_minor, process->children_faults_major,
                   process->children_resident_peak);
        break;
    default:
        return -EINVAL;
    }
    return user_write((uint64_t)out, &usage, sizeof(usage)) ? -EFAULT : 0;
}
