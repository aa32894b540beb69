/*
 * Between the boot code's files, and what kernel/main.c needs of it beyond boot_info.h.
 */
#ifndef KERNEL_BOOT_BOOT_H
#define KERNEL_BOOT_BOOT_H

#include "kernel/boot/boot_info.h"

/* The TSC at the kernel's first instruction. */
extern uint64_t boot_tsc;

/* What hands out frames until frames_init() takes over. */
extern struct boot_frames boot_frames;

/* Copies the loader's command line where it stays. */
void boot_set_command_line(const char *text);

/* Fill the map, the modules and the command line of `info` from what the loader left at a physical address.
 * ST_INVALID: not what it should be; ST_NO_SPACE: too many ranges. */
MUST_USE enum status boot_parse_pvh(uint32_t at, struct boot_info *info);
MUST_USE enum status boot_parse_multiboot2(uint32_t at, struct boot_info *info);

enum { MULTIBOOT2_MAGIC = 0x36d76289 };

/* A line on COM1 that says why the kernel does not start, and the end. */
_Noreturn void boot_give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
