/*
 * Demonstrations: `quire boot --demo NAME`, the kernel's command line demo=NAME.
 */
#ifndef KERNEL_DEMO_DEMO_H
#define KERNEL_DEMO_DEMO_H

#include "kernel/boot/boot_info.h"

/* Walks through Philipp Oppermann's article "Paging Implementation" on this machine's MMU and says on the log
 * what it does. Called after kernel_start(); returns. With pause=1 on the command line it says "screenshot
 * now" when its text is on the screen, and waits for a byte on COM1 (ten seconds at most). */
void demo_paging(const struct boot_info *info);

#endif
