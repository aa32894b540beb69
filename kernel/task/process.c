/*
 * Processes: numbers, finding, and what others ask about them.
 *
 * Threads and processes share one space of numbers: a process has the number of its first thread. Both are
 * found through small hash tables. A number is free again when no process, thread, group or session has it.
 */
#include <asm-generic/errno.h>

#include "base/check.h"
#include "kernel/task/task_internal.h"

enum { NUMBER_MAX = 32768, BUCKETS = 64 };

struct list processes = LIST_INIT(processes);
struct process *first_process;

static struct list process_buckets[BUCKETS];
static struct list task_buckets[BUCKETS];
static int last_number;
static bool wrapped;
static unsigned living;

static struct list *bucket(struct list *buckets, int number)
{
    struct list *head = &buckets[(unsigned)number % BUCKETS];

    if (!head->next)
        list_init(head);
    return head;
}

struct process *process_find(int pid)
{
    struct list *head = bucket(process_buckets, pid);

    list_for_each(node, head)
    {
        struct process *process = container_of(node, struct process, hashed);

        if (process->pid == pid)
            return process;
    }
    return NULL;
}

struct task *task_find(int tid)
{
    struct list *head = bucket(task_buckets, tid);

    list_for_each(node, head)
    {
        struct task *task = container_of(node, struct task, hashed);

        if (task->tid == tid)
            return task;
    }
    return NULL;
}

static bool number_is_taken(int number)
{
    if (process_find(number) || task_find(number))
        return true;
    if (!wrapped) /* no group or session can have a number that was never given */
        return false;
    list_for_each(node, &processes)
    {
        struct process *process = container_of(node, struct process, all);

        if (process->pgid == number || process->sid == number)
            return true;
    }
    return false;
}

int number_take(void)
{
    for (int tries = 0; tries < NUMBER_MAX; tries++) {
        if (++last_number >= NUMBER_MAX) {
            last_number = 300; /* as Linux: low numbers are left to what started early */
            wrapped = true;
        }
        if (!number_is_taken(last_number))
            return last_number;
    }
    return -EAGAIN;
}

void task_hash(struct task *task)
{
    list_push_front(bucket(task_buckets, task->tid), &task->hashed);
}

void task_unhash(struct task *task)
{
    list_remove(&task->hashed);
}

void process_add(struct process *process)
{
    list_push_back(&processes, &process->all);
    list_push_front(bucket(process_buckets, process->pid), &process->hashed);
    living++;
}

void process_remove(struct process *process)
{
    list_remove(&process->all);
    list_remove(&process->hashed);
    living--;
}

unsigned process_count(void)
{
    return living;
}

void process_for_each(void (*visit)(struct process *process, void *context), void *context)
{
    list_for_each_safe(node, next, &processes) visit(container_of(node, struct process, all), context);
}

unsigned process_group_for_each(int pgid, void (*visit)(struct process *process, void *context),
                                void *context)
{
    unsigned members = 0;

    list_for_each_safe(node, next, &processes)
    {
        struct process *process = container_of(node, struct process, all);

        if (process->pgid != pgid)
            continue;
        members++;
        if (visit)
            visit(process, context);
    }
    return members;
}

void process_times(const struct process *process, uint64_t *user_ns, uint64_t *system_ns)
{
    *user_ns = process->user_ns;
    *system_ns = process->system_ns;
    list_for_each(node, &process->threads)
    {
        struct task *task = container_of(node, struct task, thread);

        account_task(task);
        *user_ns += task->user_ns;
        *system_ns += task->system_ns;
    }
}

char process_state(const struct process *process)
{
    bool sleeps_hard = false;

    if (process->zombie)
        return 'Z';
    if (process->stopped)
        return 'T';
    list_for_each(node, &process->threads)
    {
        const struct task *task = container_of(node, struct task, thread);

        if (task->state == TASK_RUNNING)
            return 'R';
        sleeps_hard |= task->sleep != SLEEP_INTERRUPTIBLE;
    }
    return sleeps_hard ? 'D' : 'S';
}

bool process_may_reach(const struct process *process, const struct process *other)
{
    if (process == other || process_may(process, CAP_SYS_PTRACE))
        return true;
    for (unsigned i = 0; i < CREDENTIALS; i++)
        if (other->uid[i] != process->uid[CREDENTIAL_REAL] || other->gid[i] != process->gid[CREDENTIAL_REAL])
            return false;
    return other->dumpable;
}
