/*
 * Shared by the halves of the link: sending (hostlink.c), receiving (hostlink_receive.c), and the worker that
 * answers what takes longer (hostlink_worker.c).
 */
#ifndef KERNEL_HOSTLINK_INTERNAL_H
#define KERNEL_HOSTLINK_INTERNAL_H

#include "kernel/dev/hostlink.h"
#include "kernel/dev/serialport.h"
#include "quire/link.h"

extern struct serialport link_port;

/* Starts the link on this device, once. 0 or -errno. */
int hostlink_start(const struct pci_device *pci);

/* One frame, of any length up to LINK_MAX, all or -errno; as hostlink_write(). `stream` is the frame's. */
long link_send(enum link_kind kind, unsigned stream, const void *bytes, size_t count);

/* Nobody reads stream 1 or 2 on the host any more. */
void link_output_closed(unsigned stream);

/* ---- hostlink_receive.c */
/* Gives the buffers to the device and listens. */
int link_receive_start(void);

/* ---- hostlink_worker.c: called inside of interrupts; the answer comes from a kernel thread */
void link_ask_dump(unsigned number, const char *what);
void link_ask_report(void);

/* ---- space_dump.c: the user half of the page table, a line an entry or run of entries. Does not sleep. */
MUST_USE enum status space_dump(struct space *space, void (*emit)(void *context, const char *line),
                                void *context);

#endif
