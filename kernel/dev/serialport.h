/*
 * One port of a virtio serial device: two queues that carry bytes.
 */
#ifndef KERNEL_SERIALPORT_H
#define KERNEL_SERIALPORT_H

#include "kernel/dev/virtio.h"

struct serialport {
    struct virtio_device device;
    struct virtq *receive, *send;
    struct virtq *control_receive, *control_send; /* NULL: a device with a single port */
    uint32_t number;
    /* The host's side was opened or closed; inside of an interrupt. May be NULL. */
    void (*opened)(bool open);
};

/* Starts the device and takes the port named `name`; without such a name, the first one. 0 or -errno. */
int serialport_start(struct serialport *port, const struct pci_device *pci, const char *name);

#endif
