/*
 * What the boot code hands to the kernel, whichever way it was started (PVH or Multiboot2).
 */
#ifndef KERNEL_BOOT_INFO_H
#define KERNEL_BOOT_INFO_H

#include "quire/frame.h"

struct boot_info {
    struct memory_map map;    /* the firmware's, with the kernel and the modules marked */
    uint64_t physical_offset; /* where physical address 0 can be reached (build option) */
    int recursive_index;      /* level-4 slot that maps the table itself, -1: none (build option) */
    struct paddr root;        /* the active level-4 table, as read from CR3 */
    struct paddr kernel_start, kernel_end;
    struct paddr initramfs_start, initramfs_end; /* a cpio archive, or empty */
    const char *command_line;                    /* reachable, NUL-terminated */
    const char *loader;                          /* "PVH" or "Multiboot2" */
};

/* What an entry function is; KERNEL_ENTRY() checks it when compiling. */
typedef void kernel_entry_fn(const struct boot_info *info);

/* Names the function that the boot code calls. Exactly one in a kernel image: kernel/main.c has the
 * kernel's, kernel/test/main.c the test kernel's. A function of another type does not compile. */
#define KERNEL_ENTRY(function)                                                                               \
    _Static_assert(__builtin_types_compatible_p(__typeof__(function), kernel_entry_fn),                      \
                   "the kernel's entry is: _Noreturn void f(const struct boot_info *)");                     \
    kernel_entry_fn *const kernel_entry = (function)

extern kernel_entry_fn *const kernel_entry;

/* The value of `name=` on the command line copied to `value` (cut to `size`), false when it is not there.
 * `name` alone gives "". */
bool boot_option(const char *name, char *value, size_t size);
/* The same for the n-th word of that name, from 0. */
bool boot_option_nth(const char *name, unsigned n, char *value, size_t size);
uint64_t boot_option_number(const char *name, uint64_t otherwise);

#endif
