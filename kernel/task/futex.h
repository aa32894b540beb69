/*
 * Futex operations for the system call. -errno of Linux.
 */
#ifndef KERNEL_FUTEX_H
#define KERNEL_FUTEX_H

#include "quire/types.h"

long futex_wait(uint64_t address, bool private, uint32_t expected, uint64_t deadline_ns, uint32_t bits);
long futex_wake(uint64_t address, bool private, int64_t count, uint32_t bits);
/* `expected` NULL: FUTEX_REQUEUE, whose result counts the woken ones only. */
long futex_requeue(uint64_t address, uint64_t address2, bool private, int64_t wake, int64_t move,
                   const uint32_t *expected);
long futex_wake_op(uint64_t address, uint64_t address2, bool private, int64_t wake, int64_t wake2,
                   uint32_t operation);

#endif
