/*
 * What every kernel image does first.
 */
#ifndef KERNEL_START_H
#define KERNEL_START_H

#include "kernel/boot/boot_info.h"

/* Memory, time, the scheduler: after it frames and cells can be had, and one can sleep. Ends with a message
 * (boot_give_up) when there is too little memory. */
void kernel_start(const struct boot_info *info);

#endif
