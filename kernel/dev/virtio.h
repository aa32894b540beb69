/*
 * Virtio devices on the PCI bus, of version 1 ("modern"), with split queues.
 *
 * The user of a device fills a struct virtq_request with pieces of physical memory and submits it; the device
 * uses them until the request is done or failed. Completions are found by the device's interrupt or by
 * whoever waits. A device that breaks (it asks for a reset, answers nonsense, or leaves a request unanswered)
 * is reset, after which it touches no memory, and every request fails: nothing waits for ever.
 *
 * All run under the kernel lock.
 */
#ifndef KERNEL_VIRTIO_H
#define KERNEL_VIRTIO_H

#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "kernel/dev/pci.h"
#include "kernel/task/task.h"

enum { VIRTIO_VENDOR = 0x1af4 };

enum virtq_state { VIRTQ_IDLE, VIRTQ_SUBMITTED, VIRTQ_DONE, VIRTQ_FAILED };

struct virtq_request {
    /* Filled with virtq_piece(): what the device reads first, then what it writes. More than one: 16-byte
     * aligned, and in memory that host_paddr() knows and that is contiguous there. */
    struct vring_desc *pieces;
    uint16_t count;
    uint16_t state;       /* enum virtq_state */
    uint32_t written;     /* bytes that the device wrote, when done */
    struct waitq waiters; /* woken when it is done or failed */
};

struct virtq {
    struct virtio_device *device;
    unsigned index, size;
    struct vring_desc *ring;
    struct vring_avail *available;
    struct vring_used *used;
    volatile uint16_t *doorbell;
    struct virtq_request **owners; /* by first descriptor */
    unsigned free, free_first;
    uint16_t next_available, next_used;
    unsigned sleepers; /* interrupts are wanted while not 0 */
    /* Called for each request that is done or failed, maybe inside of an interrupt; may free it. May be NULL.
     */
    void (*completed)(struct virtq *queue, struct virtq_request *request);
    struct virtq *next; /* of the device */
};

struct virtio_device {
    struct pci_device pci;
    const char *name;
    volatile struct virtio_pci_common_cfg *common;
    volatile uint8_t *doorbells;
    uint32_t doorbell_stride, doorbell_bytes;
    volatile uint8_t *config; /* the device's own */
    uint32_t config_bytes;
    struct pci_msix msix;
    bool interrupts; /* else waiting is asking again and again */
    bool indirect;   /* one descriptor can stand for a list */
    bool failed;
    uint64_t features;
    struct virtq *queues;
    struct timer looks;                           /* without interrupts: when the queues are looked at next */
    void (*broken)(struct virtio_device *device); /* after it has failed; may be NULL */
};

/* Is it a virtio device of this type (VIRTIO_ID_*)? */
bool virtio_is(const struct pci_device *pci, unsigned type);

/* Finds the registers, resets the device and agrees on features: of `wanted`, what it offers. 0; -ENODEV,
 * -ENOMEM or -EIO, then the device is left reset. */
int virtio_start(struct virtio_device *device, const struct pci_device *pci, const char *name,
                 uint64_t wanted);
/* Before virtio_ready(). At most `size_max` entries. NULL: no such queue, no memory. */
struct virtq *virtq_create(struct virtio_device *device, unsigned index, unsigned size_max);
/* The queues are there: begin. */
void virtio_ready(struct virtio_device *device);
/* Resets it, fails every request and calls device->broken. Does not sleep. */
void virtio_fail(struct virtio_device *device, const char *why);

static inline void virtq_piece(struct vring_desc *piece, uint64_t physical, uint32_t bytes, uint16_t flags)
{
    piece->addr = physical;
    piece->len = bytes;
    piece->flags = flags; /* VRING_DESC_F_WRITE: for the device to write */
}

/* Gives the request to the device, which may see it only after virtq_notify(). 0; -EAGAIN: the queue is full;
 * -E2BIG: it never fits; -EIO: the device has failed. Does not sleep. */
int virtq_submit(struct virtq *queue, struct virtq_request *request);
void virtq_notify(struct virtq *queue);
/* Ends what the device has done. Does not sleep. */
void virtq_reap(struct virtq *queue);
/* The same, and sees whether the device is broken: without interrupts only its status register tells. */
void virtq_look(struct virtq *queue);
/* How many pieces a request may have. */
unsigned virtq_pieces_max(const struct virtq *queue);

/* Are instructions counted ("icount" on the command line)? Then the clock jumps to the next deadline as soon
 * as the CPU is idle, and a deadline says nothing about a device. */
bool virtio_clock_jumps(void);
/* In so much time; never while the clock jumps. */
uint64_t virtio_deadline(uint64_t ns);
/* Waits until the request is no longer with the device: 0, or -EIO. When nothing comes until `deadline_ns`
 * the device is failed. */
int virtq_wait(struct virtq *queue, struct virtq_request *request, uint64_t deadline_ns);
/* Sleep on `waiters`, which a completion of this queue wakes, or look again after a moment where sleeping is
 * not possible. 0, -ETIMEDOUT, -EINTR; spurious returns are allowed. */
int virtq_wait_on(struct virtq *queue, struct waitq *waiters, uint64_t deadline_ns, bool interruptible);
/* Ask for an interrupt for every completion (queues that the device fills by itself); as often as that, say
 * that it is no longer wanted. */
void virtq_listen(struct virtq *queue);
void virtq_ignore(struct virtq *queue);

/* May the caller sleep? Not in an interrupt, not in the idle task, not before the scheduler. */
bool virtio_may_sleep(void);

#endif
