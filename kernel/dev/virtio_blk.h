/*
 * Disks: virtio block devices, each a struct store.
 *
 * Several requests are under way at once; more wait in the order in which they came. They end by the device's
 * interrupt, or by store_poll() where interrupts do not come (before the scheduler, at the end). A disk that
 * breaks or does not answer in time is reset and given up: all its requests, and every later one, end with
 * ST_IO_ERROR.
 *
 * All run under the kernel lock.
 */
#ifndef KERNEL_VIRTIO_BLK_H
#define KERNEL_VIRTIO_BLK_H

#include "kernel/dev/pci.h"
#include "quire/store.h"

struct virtio_device;

/* 0 or -errno; then the device is not used. */
int disk_start(const struct pci_device *pci);

/* The n-th disk from 0, NULL: there is none. */
struct store *disk_find(unsigned index);

struct disk_counts {
    uint64_t requests; /* given to the device */
    uint64_t errors;   /* that it could not do */
    unsigned most;     /* were with the device at once */
};
void disk_count(const struct store *disk, struct disk_counts *out);

/* For tests. */
struct virtio_device *disk_device(struct store *disk);

#endif
