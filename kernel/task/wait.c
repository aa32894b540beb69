/*
 * Wait queues and mutexes.
 *
 * An entry is on the sleeper's own stack and is taken off by the sleeper. Nothing is lost between adding an
 * entry and sleeping: waking sets task->woken, and a task that is woken already does not go to sleep.
 */
#include <asm-generic/errno.h>

#include "base/check.h"
#include "kernel/task/task_internal.h"

void waitq_init(struct waitq *queue)
{
    list_init(&queue->waiters);
}

void waitq_add(struct waitq *queue, struct waitq_entry *entry)
{
    entry->task = task_current();
    list_push_back(&queue->waiters, &entry->node);
}

void waitq_remove(struct waitq_entry *entry)
{
    list_remove(&entry->node);
}

int waitq_sleep_added(uint64_t deadline_ns, bool interruptible)
{
    return sched_sleep(deadline_ns, interruptible ? SLEEP_INTERRUPTIBLE : SLEEP_UNTIL_WOKEN);
}

int waitq_sleep(struct waitq *queue, uint64_t deadline_ns, bool interruptible)
{
    struct waitq_entry entry;
    int result;

    waitq_add(queue, &entry);
    entry.task->woken = false; /* nobody can have come between the caller's look and here */
    result = sched_sleep(deadline_ns, interruptible ? SLEEP_INTERRUPTIBLE : SLEEP_UNTIL_WOKEN);
    waitq_remove(&entry);
    return result;
}

void waitq_wake(struct waitq *queue)
{
    list_for_each(node, &queue->waiters) sched_wake(container_of(node, struct waitq_entry, node)->task);
}

void waitq_wake_one(struct waitq *queue)
{
    list_for_each(node, &queue->waiters)
    {
        struct task *task = container_of(node, struct waitq_entry, node)->task;

        if (task->woken)
            continue;
        sched_wake(task);
        return;
    }
}

void mutex_init(struct mutex *mutex)
{
    mutex->owner = NULL;
    waitq_init(&mutex->queue);
}

void mutex_lock(struct mutex *mutex)
{
    struct task *task = task_current();

    CHECK_ALWAYS(mutex->owner != task);
    while (mutex->owner)
        (void)waitq_sleep(&mutex->queue, UINT64_MAX, false);
    mutex->owner = task;
}

void mutex_unlock(struct mutex *mutex)
{
    CHECK_ALWAYS(mutex->owner == task_current());
    mutex->owner = NULL;
    waitq_wake_one(&mutex->queue);
}
