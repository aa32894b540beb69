/*
 * Linux's time structures in user memory, and nanoseconds.
 */
#ifndef KERNEL_LINUX_TIMESPEC_H
#define KERNEL_LINUX_TIMESPEC_H

#include <asm-generic/errno.h>
#include <linux/time.h>

#include "host/host.h"
#include "kernel/x86/x86.h"

enum { NS_PER_US = 1000, US_PER_SECOND = 1000000 };
#define NS_PER_SECOND ((uint64_t)1000000000)

/* Sums and products of times stop at the end of time instead of wrapping. */
static inline uint64_t time_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - 1 - b ? UINT64_MAX - 1 : a + b;
}

static inline uint64_t time_of(uint64_t seconds, uint64_t ns)
{
    return seconds >= UINT64_MAX / NS_PER_SECOND - 1 ? UINT64_MAX - 1 : seconds * NS_PER_SECOND + ns;
}

/* The host_now_ns() moment of a time since 1970. */
static inline uint64_t time_from_epoch(uint64_t ns)
{
    return ns > time_boot_epoch_ns ? ns - time_boot_epoch_ns : 0;
}

/* 0, -EFAULT, -EINVAL. */
static inline long timespec_read(uint64_t from, uint64_t *ns)
{
    struct {
        int64_t seconds, ns;
    } in;

    if (user_read(&in, from, sizeof(in)) != 0)
        return -EFAULT;
    if (in.seconds < 0 || in.ns < 0 || (uint64_t)in.ns >= NS_PER_SECOND)
        return -EINVAL;
    *ns = time_of((uint64_t)in.seconds, (uint64_t)in.ns);
    return 0;
}

static inline long timespec_write(uint64_t to, uint64_t ns)
{
    const uint64_t out[2] = {ns / NS_PER_SECOND, ns % NS_PER_SECOND};

    return user_write(to, out, sizeof(out)) ? -EFAULT : 0;
}

#endif
