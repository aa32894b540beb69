/*
 * struct rusage, for getrusage and the waits.
 */
#ifndef KERNEL_LINUX_USAGE_H
#define KERNEL_LINUX_USAGE_H

#include <linux/resource.h>

#include "quire/types.h"

void usage_fill(struct rusage *out, uint64_t user_ns, uint64_t system_ns, uint64_t faults_minor,
                uint64_t faults_major, uint64_t resident_peak_pages);

#endif
