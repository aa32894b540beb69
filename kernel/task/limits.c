/*
 * What a process's limits say about its memory, told to its space: the space checks them where it grows.
 *
 * A space that a vfork shares goes by what was said last.
 */
#include <asm-generic/resource.h>

#include "kernel/task/task.h"

void limits_apply(const struct process *process, struct space *space)
{
    if (!space)
        return;
    space_set_limit(space, process->limits[RLIMIT_AS][0]);
    space_set_stack_limit(space, process->limits[RLIMIT_STACK][0]);
    space_set_lock_limit(space, process_may(process, CAP_IPC_LOCK) ? RLIM_INFINITY
                                                                   : process->limits[RLIMIT_MEMLOCK][0]);
}
