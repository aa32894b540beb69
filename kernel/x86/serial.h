/*
 * COM1, the kernel's log: a 16550 at I/O port 0x3f8. Works from the first instruction on, without interrupts,
 * and gives up on a character when the device does not take it.
 */
#ifndef KERNEL_X86_SERIAL_H
#define KERNEL_X86_SERIAL_H

#include <stddef.h>

void serial_init(void);
void serial_write(const char *text, size_t bytes);

#endif
