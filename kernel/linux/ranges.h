/*
 * What a process keeps of ranges of its memory beside the address space: advice on fork, attached segments.
 *
 * Nearly every process has neither: then each of these is a look at empty lists. 0 or -ENOMEM.
 */
#ifndef KERNEL_LINUX_RANGES_H
#define KERNEL_LINUX_RANGES_H

#include "kernel/linux/fork_advice.h"
#include "kernel/linux/segment.h"

/* [start, end) is unmapped, or mapped anew. -ENOMEM: it is still as it was. */
static inline long ranges_forget(struct process *process, uint64_t start, uint64_t end)
{
    long error = fork_advice_forget(process, start, end);

    return error || list_empty(&process->attachments) ? error : shm_forget(process, start, end);
}

/* The child's space is a copy of the parent's. -ENOMEM: it must end. */
static inline long ranges_inherit(const struct process *parent, struct process *child)
{
    long error = list_empty(&parent->attachments) ? 0 : shm_inherit(parent, child);

    return error || list_empty(&parent->fork_ranges) ? error : fork_advice_apply(parent, child);
}

/* The process leaves its memory. */
static inline void ranges_clear(struct process *process)
{
    fork_advice_clear(process);
    shm_clear(process);
}

#endif
