/*
 * What the system calls itself: uname(2) and /proc/sys/kernel.
 *
 * The release is the Linux whose interface this is: the C library refuses to run on one that is too old.
 */
#include "kernel/linux/names.h"

struct new_utsname system_names = {
    .sysname = "Linux",
    .nodename = "quire",
    .release = "6.1.0-quire",
    .version = "#1 Quire 0.1.0",
    .machine = "x86_64",
    .domainname = "(none)",
};
