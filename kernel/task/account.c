/*
 * User and system time of tasks.
 *
 * How long a task ran is known exactly. How much of that it spent in the kernel is sampled, so that system
 * calls and faults need not read the clock twice each: while a program runs, an interrupt comes every
 * SAMPLE_NS, and the time since the last reckoning goes to where the interrupt was due. The kernel runs with
 * interrupts off, so one that was due there comes before the first instruction of user mode after it: where a
 * system call returned to (SYSRET leaves that address in RCX), or where a page fault did. A switch of tasks
 * happens in the kernel, so a sample that is due then is one of the kernel. Shorter times between are divided
 * as the samples so far were.
 */
#include "kernel/task/task_internal.h"

static const uint64_t SAMPLE_NS = 4 * 1000 * 1000; /* as Linux's tick of 250 Hz */
enum { WHOLE = 256, MEMORY_SHIFT = 3 };            /* of 256 parts; the last few samples count most */

static uint64_t sample_due_ns;
static bool tick_comes; /* the timer is set for sample_due_ns, or for an earlier time */

static void divide(struct task *task, uint64_t now_ns)
{
    uint64_t ran_ns = now_ns - task->since_ns, system_ns = ran_ns * (unsigned)task->system_part / WHOLE;

    task->system_ns += system_ns;
    task->user_ns += ran_ns - system_ns;
    task->since_ns = now_ns;
}

static void sample(struct task *task, uint64_t now_ns, bool in_kernel)
{
    uint64_t ran_ns = now_ns - task->since_ns;
    int target = in_kernel ? WHOLE : 0;

    if (in_kernel)
        task->system_ns += ran_ns;
    else
        task->user_ns += ran_ns;
    task->since_ns = now_ns;
    if (task->sampled)
        task->system_part += (target - task->system_part) / (1 << MEMORY_SHIFT);
    else
        task->system_part = target;
    task->sampled = true;
    sample_due_ns = now_ns + SAMPLE_NS;
}

void account_task(struct task *task)
{
    if (task == task_current())
        divide(task, host_now_ns());
}

/* A sample is due, or no tick is to come. */
static void switch_slowly(struct task *previous, const struct task *next, uint64_t now_ns)
{
    if (now_ns >= sample_due_ns && previous->process)
        sample(previous, now_ns, true);
    else
        divide(previous, now_ns);
    if (!next->process)
        return;
    if (now_ns >= sample_due_ns)
        sample_due_ns = now_ns + SAMPLE_NS;
    tick_comes = true;
    timer_need_tick(sample_due_ns);
}

void account_switch(struct task *previous, struct task *next, uint64_t now_ns)
{
    next->since_ns = now_ns;
    if (now_ns < sample_due_ns && tick_comes)
        divide(previous, now_ns);
    else
        switch_slowly(previous, next, now_ns);
}

uint64_t account_tick(uint64_t now_ns)
{
    struct task *task = task_current();
    struct cpu *cpu = cpu_here();

    tick_comes = task->process != NULL;
    if (!tick_comes)
        return UINT64_MAX;
    if (now_ns >= sample_due_ns) {
        bool after_call = task->frame->rcx == task->frame->rip;
        bool after_fault = task->frame->rip == cpu->fault_rip;

        sample(task, now_ns, after_call || after_fault);
        if (after_fault)
            cpu->fault_rip = 0; /* once: a long instruction that faulted may go on in user mode for long */
    }
    return sample_due_ns;
}
