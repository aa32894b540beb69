/*
 * The table's own parts.
 */
#ifndef KERNEL_LINUX_SYSCALLS_INTERNAL_H
#define KERNEL_LINUX_SYSCALLS_INTERNAL_H

#include "kernel/linux/syscalls.h"

/* Made when building (tools/syscall-names). NULL where Linux has no call. */
extern const char *const syscall_names[SYSCALL_LIMIT];

#endif
