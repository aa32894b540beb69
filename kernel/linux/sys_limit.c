/*
 * System calls on a process's limits. Those on memory are the space's to keep (kernel/task/limits.c).
 */
#include <asm-generic/resource.h>

#include "kernel/fs/vfs.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/task/task.h"

static long change_limit(struct process *process, unsigned resource, const uint64_t *in, uint64_t *old)
{
    enum { DESCRIPTORS_MOST = 1048576 };
    uint64_t *limit;

    limit = process->limits[resource];
    if (in) {
        if (in[0] > in[1])
            return -EINVAL;
        if (resource == RLIMIT_NOFILE && in[1] > DESCRIPTORS_MOST)
            return -EPERM;
        if (in[1] > limit[1] && !process_may(process_current(), CAP_SYS_RESOURCE))
            return -EPERM;
    }
    if (old)
        memcpy(old, limit, 2 * sizeof(*limit));
    if (in) {
        memcpy(limit, in, 2 * sizeof(*limit));
        limits_apply(process, process->space);
    }
    return 0;
}

long sys_prlimit64(long pid, long resource, long in, long out)
{
    struct process *process = (int)pid ? process_find((int)pid) : process_current();
    uint64_t new[2], old[2];
    long error;

    if ((unsigned)resource >= RLIM_NLIMITS)
        return -EINVAL;
    if (in && user_read(new, (uint64_t)in, sizeof(new)) != 0)
        return -EFAULT;
    if (!process)
        return -ESRCH;
    error = change_limit(process, (unsigned)resource, in ? new : NULL, old);
    if (error || !out)
        return error;
    return user_write((uint64_t)out, old, sizeof(old)) ? -EFAULT : 0;
}

long sys_getrlimit(long resource, long out)
{
    return out ? sys_prlimit64(0, resource, 0, out) : -EFAULT;
}

long sys_setrlimit(long resource, long in)
{
    return in ? sys_prlimit64(0, resource, in, 0) : -EFAULT;
}
