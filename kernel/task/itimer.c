/*
 * Timers of processes that end in signals.
 *
 * Those of real time are struct timer. Those of CPU time (ITIMER_VIRTUAL, ITIMER_PROF) are charged one
 * quantum at each tick that finds the process running, and keep the tick going meanwhile: exact to 10 ms, as
 * on a Linux with HZ=100.
 */
#include <asm-generic/errno.h>
#include <linux/time.h>

#include "kernel/klib.h"
#include "kernel/task/itimer.h"
#include "kernel/task/task_internal.h"
#include "quire/slab.h"

static void alarm_fire(struct timer *timer)
{
    struct process *process = container_of(timer, struct process, alarm);

    if (process->alarm_interval_ns)
        timer_set(timer, timer->when_ns + process->alarm_interval_ns);
    (void)signal_send_process(process, SIGALRM, NULL);
}

void process_timers_init(struct process *process)
{
    timer_init(&process->alarm, alarm_fire);
}

static uint64_t left(const struct timer *timer)
{
    uint64_t now_ns = host_now_ns();

    if (!timer_is_set(timer))
        return 0;
    return timer->when_ns > now_ns ? timer->when_ns - now_ns : 1;
}

void itimer_get(const struct process *process, int which, struct interval *out)
{
    if (which == ITIMER_REAL) {
        *out = (struct interval){left(&process->alarm), process->alarm_interval_ns};
        return;
    }
    *out = (struct interval){process->cpu_timer_left_ns[which - ITIMER_VIRTUAL],
                             process->cpu_timer_interval_ns[which - ITIMER_VIRTUAL]};
}

void itimer_set(struct process *process, int which, const struct interval *in)
{
    if (which == ITIMER_REAL) {
        timer_cancel(&process->alarm);
        process->alarm_interval_ns = in->interval_ns;
        if (in->value_ns)
            timer_set(&process->alarm, host_now_ns() + in->value_ns);
        return;
    }
    process->cpu_timer_left_ns[which - ITIMER_VIRTUAL] = in->value_ns;
    process->cpu_timer_interval_ns[which - ITIMER_VIRTUAL] = in->interval_ns;
    process->counts_cpu = process->cpu_timer_left_ns[0] || process->cpu_timer_left_ns[1];
    if (process->counts_cpu)
        timer_need_quantum();
}

bool process_cpu_timers(struct process *process, uint64_t ran_ns)
{
    static const int signals[2] = {SIGVTALRM, SIGPROF};

    if (!process->counts_cpu)
        return false;
    process->counts_cpu = false;
    for (int i = 0; i < 2; i++) {
        uint64_t *left_ns = &process->cpu_timer_left_ns[i];

        if (!*left_ns)
            continue;
        if (*left_ns <= ran_ns) {
            *left_ns = process->cpu_timer_interval_ns[i];
            (void)signal_send_process(process, signals[i], NULL);
        } else {
            *left_ns -= ran_ns;
        }
        process->counts_cpu |= *left_ns != 0;
    }
    return process->counts_cpu;
}

/* ---------------------------------------------------------------- timer_create and its like */

struct posix_timer {
    struct posix_timer *next; /* of the process */
    struct process *process;
    int id, clock;
    struct posix_timer_event event;
    struct timer timer;
    uint64_t interval_ns;
    int overrun;
};

enum { OVERRUN_MAX = 0x7fffffff };

static bool is_pending(const struct posix_timer *timer)
{
    const struct process *process = timer->process;
    const struct task *task = timer->event.tid ? task_find(timer->event.tid) : NULL;
    const struct signal_queue *queue = task ? &task->pending : &process->pending;

    list_for_each(node, &queue->entries)
    {
        const siginfo_t *info = &container_of(node, struct signal_entry, node)->info;

        if (info->si_code == SI_TIMER && info->si_tid == timer->id)
            return true;
    }
    return false;
}

static void send_expiry(struct posix_timer *timer, int overrun)
{
    const struct posix_timer_event *event = &timer->event;
    struct task *task = event->tid ? task_find(event->tid) : NULL;
    siginfo_t info;

    timer->overrun = overrun;
    memset(&info, 0, sizeof(info));
    info.si_signo = event->signo;
    info.si_code = SI_TIMER;
    info.si_tid = timer->id;
    info.si_overrun = overrun;
    info.si_ptr = (void *)(event->value_is_id ? (uint64_t)timer->id : event->value);
    if (task && task->process == timer->process)
        (void)signal_send_task(task, event->signo, &info);
    else if (!event->tid)
        (void)signal_send_process(timer->process, event->signo, &info);
}

static void posix_timer_fire(struct timer *fired)
{
    struct posix_timer *timer = container_of(fired, struct posix_timer, timer);
    uint64_t now_ns = host_now_ns(), missed = 0;

    if (timer->interval_ns) {
        missed = (now_ns - fired->when_ns) / timer->interval_ns;
        timer_set(fired, fired->when_ns + (missed + 1) * timer->interval_ns);
    }
    if (!timer->event.signo)
        return;
    if (missed > OVERRUN_MAX)
        missed = OVERRUN_MAX;
    if (!is_pending(timer))
        send_expiry(timer, (int)missed);
    else if (timer->overrun < OVERRUN_MAX - (int)missed - 1)
        timer->overrun += (int)missed + 1;
}

struct posix_timer *posix_timer_find(const struct process *process, int id)
{
    struct posix_timer *timer = process->timers;

    while (timer && timer->id != id)
        timer = timer->next;
    return timer;
}

int posix_timer_create(struct process *process, int clock, const struct posix_timer_event *event)
{
    struct posix_timer *timer = slab_alloc(sizeof(*timer));

    if (!timer)
        return -EAGAIN;
    while (posix_timer_find(process, timer->id))
        timer->id++;
    timer->process = process;
    timer->clock = clock;
    timer->event = *event;
    timer_init(&timer->timer, posix_timer_fire);
    timer->next = process->timers;
    process->timers = timer;
    return timer->id;
}

int posix_timer_clock(const struct posix_timer *timer)
{
    return timer->clock;
}

void posix_timer_get(const struct posix_timer *timer, struct interval *out)
{
    *out = (struct interval){left(&timer->timer), timer->interval_ns};
}

void posix_timer_set(struct posix_timer *timer, uint64_t first_ns, uint64_t interval_ns)
{
    timer_cancel(&timer->timer);
    timer->interval_ns = interval_ns;
    timer->overrun = 0;
    if (first_ns)
        timer_set(&timer->timer, first_ns);
}

int posix_timer_overrun(const struct posix_timer *timer)
{
    return timer->overrun;
}

void posix_timer_delete(struct process *process, struct posix_timer *timer)
{
    struct posix_timer **link = &process->timers;

    while (*link != timer)
        link = &(*link)->next;
    *link = timer->next;
    timer_cancel(&timer->timer);
    slab_free(timer);
}

void process_timers_exec(struct process *process)
{
    while (process->timers)
        posix_timer_delete(process, process->timers);
}

void process_timers_end(struct process *process)
{
    timer_cancel(&process->alarm);
    process->counts_cpu = false;
    process_timers_exec(process);
}
