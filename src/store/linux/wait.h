/*
 * Sleeping on a word of memory (futex) and the clock that deadlines are told by. Async-signal-safe.
 */
#ifndef QUIRE_STORE_WAIT_H
#define QUIRE_STORE_WAIT_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Waits while *word is `value`, for at most `wait_ns`. May return early. */
static inline void wait_while(_Atomic uint32_t *word, uint32_t value, uint64_t wait_ns)
{
    struct timespec time = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &time, NULL, 0);
}

static inline void wait_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static inline uint64_t wait_now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

#endif
