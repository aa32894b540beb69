/*
 * Timers: one list, soonest first, and the one-shot interrupt of the CPU.
 *
 * Invariant: the interrupt is programmed for no later than the first timer and the end of the quantum, if
 * there is one. It may come too early (a timer was cancelled): the tick then does nothing but look.
 * A quantum runs only while some task waits for the CPU; a program that runs alone is disturbed only by
 * samples of where it spends its time (account.c), an idle machine by nothing.
 *
 * Everything runs under the kernel lock. The list is short (sleepers with a deadline, alarms), so a sorted
 * list with insertion from the back is enough.
 */
#include "kernel/task/task_internal.h"

static struct list timers = LIST_INIT(timers);
static uint64_t programmed_ns = UINT64_MAX;
static uint64_t quantum_end_ns = UINT64_MAX;

static const uint64_t QUANTUM_NS = 10 * 1000 * 1000;

void timers_init(void)
{
    timer_program(UINT64_MAX);
}

static void program(uint64_t when_ns)
{
    if (when_ns >= programmed_ns)
        return;
    programmed_ns = when_ns;
    timer_program(when_ns);
}

void timer_init(struct timer *timer, void (*fire)(struct timer *timer))
{
    list_init(&timer->node);
    timer->fire = fire;
}

void timer_set(struct timer *timer, uint64_t when_ns)
{
    struct list *place;

    list_remove(&timer->node);
    timer->when_ns = when_ns;
    for (place = timers.prev; place != &timers; place = place->prev)
        if (container_of(place, struct timer, node)->when_ns <= when_ns)
            break;
    list_insert_after(place, &timer->node);
    program(when_ns);
}

void timer_cancel(struct timer *timer)
{
    list_remove(&timer->node);
}

void timer_need_quantum(void)
{
    if (quantum_end_ns != UINT64_MAX)
        return;
    quantum_end_ns = host_now_ns() + QUANTUM_NS;
    program(quantum_end_ns);
}

void timer_need_tick(uint64_t when_ns)
{
    program(when_ns);
}

static void fire_due(uint64_t now_ns)
{
    while (!list_empty(&timers)) {
        struct timer *timer = container_of(timers.next, struct timer, node);

        if (timer->when_ns > now_ns)
            return;
        list_remove(&timer->node);
        timer->fire(timer);
    }
}

/* The running program has used its turn when somebody else waits, or when it counts its own time. */
static void end_quantum(uint64_t now_ns)
{
    struct task *task = task_current();
    bool counted;

    if (now_ns < quantum_end_ns)
        return;
    quantum_end_ns = UINT64_MAX;
    counted = task->process && process_cpu_timers(task->process, QUANTUM_NS);
    if (sched_runnable() == 0 && !counted)
        return;
    if (task != cpu_here()->idle)
        cpu_here()->work |= WORK_RESCHED;
    quantum_end_ns = now_ns + QUANTUM_NS;
}

void timer_tick(void)
{
    uint64_t now_ns = host_now_ns(), sample_ns = account_tick(now_ns);

    programmed_ns = UINT64_MAX;
    fire_due(now_ns);
    end_quantum(now_ns);
    program(quantum_end_ns);
    program(sample_ns);
    if (!list_empty(&timers))
        program(container_of(timers.next, struct timer, node)->when_ns);
}
