/*
 * What fork does not copy: madvise(2)'s MADV_DONTFORK and MADV_WIPEONFORK.
 *
 * A short list of disjoint ranges beside the address space, empty in nearly every process, so that fork need
 * not look for such pages. 0 or -ENOMEM; then nothing has changed.
 */
#ifndef KERNEL_LINUX_FORK_ADVICE_H
#define KERNEL_LINUX_FORK_ADVICE_H

#include "kernel/task/task.h"

enum fork_advice { FORK_COPIES, FORK_DROPS, FORK_WIPES };

/* [start, end) is treated so from now on. FORK_COPIES forgets what was said: also when the range is unmapped
 * or mapped anew. */
long fork_advice_set(struct process *process, uint64_t start, uint64_t end, enum fork_advice advice);
static inline long fork_advice_forget(struct process *process, uint64_t start, uint64_t end)
{
    return list_empty(&process->fork_ranges) ? 0 : fork_advice_set(process, start, end, FORK_COPIES);
}
/* The child's space is a copy of the parent's: take out what was asked for. */
long fork_advice_apply(const struct process *parent, struct process *child);
void fork_advice_clear(struct process *process);

#endif
