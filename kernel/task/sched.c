/*
 * The scheduler: round robin over one run queue, one CPU.
 *
 * A task is on the run queue exactly when it is TASK_RUNNING and neither the current nor the idle one. The
 * kernel is not preemptive: the CPU changes hands only in sched_block() and sched_yield(). A program that
 * computes is made to yield by the tick at the end of its quantum (timer.c), before it returns to user mode.
 *
 * Making a task is one allocation, its kernel stack:
 *
 *     kstack top  +--------------------------+
 *                 | struct task              |
 *                 | floating-point state     |
 *  kernel_stack ->+--------------------------+
 *                 | trap frame (from ring 3) |  <- task->frame
 *                 | ...                      |
 *                 | what context_switch pops |  <- task->rsp while not running
 *                 |           |              |
 *                 |           v              |
 *                 +--------------------------+
 *                 | guard page               |
 *
 * A task that ends cannot free the stack it stands on: the next one does it (finish_switch).
 *
 * The boot code becomes the idle task. It may sleep too (mounting a share while starting): it then does the
 * idle loop's work inside of sched_block() until it is woken.
 */
#include <asm-generic/errno.h>

#include "base/check.h"
#include "kernel/klib.h"
#include "kernel/task/member.h"
#include "kernel/task/pressure.h"
#include "kernel/task/task_internal.h"

static struct list run_queue = LIST_INIT(run_queue);
static unsigned runnable;
static struct task idle_task;
/* What they had of the CPU until the last switch, and when that was. */
static uint64_t programs_ns, switched_ns;
static struct task *dead; /* its stack is still to be freed */

enum { ZERO_AHEAD_FRAMES = 8 }; /* between two looks at the run queue: about a thousand instructions */

static void timeout_fire(struct timer *timer)
{
    sched_interrupt(container_of(timer, struct task, timeout));
}

static void task_init(struct task *task, const char *name)
{
    task->state = TASK_RUNNING;
    list_init(&task->run);
    list_init(&task->thread);
    list_init(&task->hashed);
    timer_init(&task->timeout, timeout_fire);
    signal_queue_init(&task->pending);
    strlcpy(task->name, name, sizeof(task->name));
}

void sched_init(void)
{
    struct cpu *cpu = cpu_here();

    task_init(&idle_task, "idle");
    idle_task.since_ns = host_now_ns();
    cpu->idle = &idle_task;
    cpu->task = &idle_task;
    timers_init();
}

unsigned sched_runnable(void)
{
    return runnable;
}

/* ---------------------------------------------------------------- making tasks */

struct task *task_alloc(const char *name)
{
    uint64_t top = kstack_alloc(), at;
    struct task *task;

    if (!top)
        return NULL;
    at = align_down(top - sizeof(struct task), 64);
    task = (struct task *)at;
    memset(task, 0, sizeof(*task));
    task->kstack = top;
    at = align_down(at - fpu_bytes(), 64);
    task->fpu = (void *)at;
    task->kernel_stack = at;
    task->frame = (struct trap_frame *)(at - sizeof(struct trap_frame));
    task_init(task, name);
    return task;
}

void task_free(struct task *task)
{
    kstack_free(task->kstack);
}

void task_begin(struct task *task, char *enter)
{
    uint64_t *stack = (uint64_t *)(void *)task->frame;

    *--stack = (uint64_t)enter;
    for (unsigned i = 0; i < 6; i++) /* rbp first: 0 ends a backtrace */
        *--stack = 0;
    task->rsp = (uint64_t)stack;
    task->state = TASK_SLEEPING;
    sched_interrupt(task);
}

struct task *kthread_create(const char *name, void (*function)(void *), void *context)
{
    struct task *task = task_alloc(name);

    if (!task)
        return NULL;
    task->function = function;
    task->context = context;
    task_begin(task, kthread_enter);
    return task;
}

_Noreturn void kthread_main(void)
{
    struct task *task = task_current();

    task->function(task->context);
    sched_exit();
}

/* ---------------------------------------------------------------- switching */

static void finish_switch(void)
{
    struct task *gone = dead;

    if (!gone)
        return;
    dead = NULL;
    task_free(gone);
}

void task_started(void)
{
    struct task *task = task_current();

    finish_switch();
    if (task->set_child_tid)
        (void)!user_write(task->set_child_tid, &task->tid, sizeof(task->tid));
}

/* The user's registers that the kernel itself does not touch. */
static void save_user_state(struct task *task)
{
    fpu_save(task->fpu);
    task->fs_base = fs_base_get();
    task->gs_base = user_gs_base_get();
}

static void load_user_state(struct cpu *cpu, struct task *task)
{
    struct space *space = task->process->space;

    if (space && space_mmu(space) != cpu->mmu)
        mmu_activate(space_mmu(space));
    fpu_restore(task->fpu);
    fs_base_set(task->fs_base);
    user_gs_base_set(task->gs_base);
    cpu_set_kernel_stack(task->kernel_stack);
    if (task->process->counts_cpu)
        timer_need_quantum();
}

static void charge(struct task *previous, struct task *next)
{
    uint64_t now_ns = host_now_ns();

    if (previous->process)
        programs_ns += now_ns - switched_ns;
    switched_ns = now_ns;
    account_switch(previous, next, now_ns);
    previous->switches++;
}

static void switch_to(struct task *next)
{
    struct cpu *cpu = cpu_here();
    struct task *previous = cpu->task;

    if (next == previous)
        return;
    if (__builtin_expect(pressure_stalled > 0, 0))
        pressure_account();
    charge(previous, next);
    if (previous->process && previous->process->space)
        reclaim_ran(previous->process->space);
    if (previous->process)
        save_user_state(previous);
    if (next->process)
        load_user_state(cpu, next);
    cpu->task = next;
    cpu->work = next->work;
    context_switch(&previous->rsp, next->rsp);
    finish_switch();
}

uint64_t host_worked_ns(void)
{
    return programs_ns + (process_current() ? host_now_ns() - switched_ns : 0);
}

void sched_not_worked(uint64_t ns)
{
    if (process_current())
        switched_ns += ns;
}

static void enqueue(struct task *task)
{
    list_push_back(&run_queue, &task->run);
    runnable++;
    timer_need_quantum();
}

static struct task *dequeue(void)
{
    struct list *node = list_pop_front(&run_queue);

    if (!node)
        return cpu_here()->idle;
    runnable--;
    return container_of(node, struct task, run);
}

void sched_yield(void)
{
    struct task *task = task_current();

    if (runnable == 0)
        return;
    if (task != cpu_here()->idle)
        enqueue(task);
    switch_to(dequeue());
}

/* One round of the idle loop: run somebody, else prepare memory, else halt until an interrupt. */
static void idle_round(void)
{
    if (runnable > 0)
        switch_to(dequeue());
    else if (frames_zero_ahead(ZERO_AHEAD_FRAMES) > 0)
        __asm__ volatile("sti; nop; cli" ::: "memory");
    else
        __asm__ volatile("sti; hlt; cli" ::: "memory");
}

void sched_block(void)
{
    struct cpu *cpu = cpu_here();

    CHECK(cpu->task->state != TASK_RUNNING);
    if (cpu->task != cpu->idle) {
        switch_to(dequeue());
        return;
    }
    while (cpu->idle->state != TASK_RUNNING)
        idle_round();
}

_Noreturn void sched_idle(void)
{
    CHECK_ALWAYS(task_current() == cpu_here()->idle);
    for (;;)
        idle_round();
}

_Noreturn void sched_exit(void)
{
    struct task *task = task_current();

    CHECK_ALWAYS(task != cpu_here()->idle && !dead);
    timer_cancel(&task->timeout);
    task->process = NULL;
    task->state = TASK_DEAD;
    dead = task;
    switch_to(dequeue());
    __builtin_unreachable();
}

/* ---------------------------------------------------------------- sleeping and waking */

void sched_interrupt(struct task *task)
{
    if (task->state != TASK_SLEEPING && task->state != TASK_STOPPED)
        return;
    task->state = TASK_RUNNING;
    if (task != cpu_here()->idle)
        enqueue(task);
}

void sched_wake(struct task *task)
{
    task->woken = true;
    if (task->state == TASK_SLEEPING)
        sched_interrupt(task);
}

static bool sleep_must_end(const struct task *task, enum sleep_kind kind)
{
    if (kind == SLEEP_UNTIL_WOKEN || !task->work)
        return false;
    return kind == SLEEP_KILLABLE ? task->killed || (task->process && task->process->exiting)
                                  : signal_pending();
}

static bool take_woken(struct task *task)
{
    bool woken = task->woken;

    task->woken = false;
    return woken;
}

int sched_sleep(uint64_t deadline_ns, enum sleep_kind kind)
{
    struct task *task = task_current();

    if (take_woken(task))
        return 0;
    if (sleep_must_end(task, kind))
        return -EINTR;
    if (deadline_ns != UINT64_MAX) {
        if (deadline_ns <= host_now_ns())
            return -ETIMEDOUT;
        timer_set(&task->timeout, deadline_ns);
    }
    task->sleep = (uint8_t)kind;
    task->state = TASK_SLEEPING;
    sched_block();
    if (deadline_ns != UINT64_MAX && timer_is_set(&task->timeout)) {
        timer_cancel(&task->timeout);
        deadline_ns = UINT64_MAX; /* it was not the timeout that ended the sleep */
    }
    if (take_woken(task))
        return 0;
    if (sleep_must_end(task, kind))
        return -EINTR;
    return deadline_ns != UINT64_MAX ? -ETIMEDOUT : 0;
}

/* ---------------------------------------------------------------- work before the return to user mode */

void task_add_work(struct task *task, unsigned work)
{
    task->work |= work;
    if (task == task_current())
        cpu_here()->work |= work;
}

void task_clear_work(unsigned work)
{
    task_current()->work &= ~work;
    cpu_here()->work &= ~(uint64_t)work;
}

void work_pending(struct trap_frame *frame)
{
    struct cpu *cpu = cpu_here();

    if (cpu->work & WORK_RESCHED) {
        task_clear_work(WORK_RESCHED); /* also the task's own: host_wake_soon() sets it */
        sched_yield();
    }
    if (cpu->work & WORK_HOLD)
        member_hold_here();
    if (cpu->work & WORK_SIGNAL)
        signal_deliver(frame);
}
