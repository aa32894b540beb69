/*
 * The system's names; sethostname and setdomainname change two of them.
 */
#ifndef KERNEL_LINUX_NAMES_H
#define KERNEL_LINUX_NAMES_H

#include <linux/utsname.h>

extern struct new_utsname system_names;

#endif
