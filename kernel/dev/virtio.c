/*
 * Virtio over PCI: finding the registers, agreeing on features, and split queues.
 *
 * Virtual I/O Device (VIRTIO) Version 1.2: 2.7 (split virtqueues), 3.1 (initialisation), 4.1 (PCI).
 *
 * A queue lies in one piece of memory:
 *
 *     ring[size]        16 bytes each: where a piece is, how long, its successor
 *     available         flags, index, numbers of first descriptors that the device may take
 *     used              flags, index, numbers that it has finished with, and what it wrote
 *
 * With 128 entries that is 3,342 bytes, so no queue takes more than one frame.
 *
 * Invariants: free descriptors are chained through `next` from queue->free_first and counted in queue->free;
 * owners[d] is not NULL exactly while the device has the request that begins at descriptor d.
 *
 * Interrupts are asked for only while somebody sleeps: under emulation most requests are done by the time
 * that the doorbell's write returns, and whoever waits looks first.
 */
#include "kernel/dev/virtio.h"

#include <asm-generic/errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>

#include "kernel/boot/boot_info.h"
#include "quire/slab.h"

enum { DEVICE_MODERN = 0x1040, DEVICE_LAST = 0x107f, DEVICE_LEGACY = 0x1000 };
enum { ENTRY_CONFIG = 0, ENTRY_QUEUES = 1 }; /* of the MSI-X table */
#define LOOK_NS ((uint64_t)10000000)         /* between looks at a device without interrupts */
#define GRACE_NS ((uint64_t)2000000000)
#define RESET_NS ((uint64_t)1000000000) /* for a device to answer a reset */

static unsigned interrupt_depth;

static int find_registers(struct virtio_device *device);
static int negotiate(struct virtio_device *device, uint64_t wanted);
static void start_interrupts(struct virtio_device *device);
static bool reset(struct virtio_device *device);
static void look(struct timer *timer);

/* ---------------------------------------------------------------- devices */

bool virtio_is(const struct pci_device *pci, unsigned type)
{
    if (pci->vendor != VIRTIO_VENDOR)
        return false;
    if (pci->device >= DEVICE_MODERN && pci->device <= DEVICE_LAST)
        return pci->device - DEVICE_MODERN == (int)type;
    /* A transitional device: its type is the subsystem's number. */
    return pci->device >= DEVICE_LEGACY && pci->device < DEVICE_MODERN &&
           pci_read16(pci, PCI_SUBSYSTEM_ID) == type;
}

int virtio_start(struct virtio_device *device, const struct pci_device *pci, const char *name,
                 uint64_t wanted)
{
    int error;

    *device = (struct virtio_device){.pci = *pci, .name = name};
    error = find_registers(device);
    if (error != 0)
        return error;
    if (!reset(device))
        return -EIO;
    device->common->device_status = VIRTIO_CONFIG_S_ACKNOWLEDGE;
    device->common->device_status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
    error = negotiate(device, wanted | (uint64_t)1 << VIRTIO_RING_F_INDIRECT_DESC);
    if (error != 0) {
        device->common->device_status = VIRTIO_CONFIG_S_FAILED;
        return error;
    }
    device->indirect = (device->features >> VIRTIO_RING_F_INDIRECT_DESC & 1) != 0;
    start_interrupts(device);
    return 0;
}

void virtio_ready(struct virtio_device *device)
{
    device->common->device_status |= VIRTIO_CONFIG_S_DRIVER_OK;
    if (!device->interrupts) {
        timer_init(&device->looks, look);
        timer_set(&device->looks, host_now_ns() + LOOK_NS);
    }
}

/* The first capability of a type that we can map is the one that the device prefers (4.1.4). */
static void *map_capability(const struct pci_device *pci, uint8_t type, unsigned *at, uint32_t *bytes)
{
    for (*at = pci_capability(pci, PCI_CAP_ID_VNDR, 0); *at != 0;
         *at = pci_capability(pci, PCI_CAP_ID_VNDR, *at)) {
        void *mapped;

        if (pci_read8(pci, *at + VIRTIO_PCI_CAP_CFG_TYPE) != type)
            continue;
        *bytes = pci_read32(pci, *at + VIRTIO_PCI_CAP_LENGTH);
        mapped = pci_map(pci, pci_read8(pci, *at + VIRTIO_PCI_CAP_BAR),
                         pci_read32(pci, *at + VIRTIO_PCI_CAP_OFFSET), *bytes);
        if (mapped != NULL)
            return mapped;
    }
    return NULL;
}

static int find_registers(struct virtio_device *device)
{
    const struct pci_device *pci = &device->pci;
    uint32_t bytes = 0;
    unsigned at;

    device->common = map_capability(pci, VIRTIO_PCI_CAP_COMMON_CFG, &at, &bytes);
    if (device->common == NULL || bytes < sizeof(*device->common))
        return -ENODEV;
    device->doorbells = map_capability(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, &at, &device->doorbell_bytes);
    if (device->doorbells == NULL)
        return -ENODEV;
    device->doorbell_stride = pci_read32(pci, at + VIRTIO_PCI_NOTIFY_CAP_MULT);
    device->config = map_capability(pci, VIRTIO_PCI_CAP_DEVICE_CFG, &at, &device->config_bytes);
    if (device->config == NULL)
        device->config_bytes = 0;
    pci_enable(pci);
    return 0;
}

static int negotiate(struct virtio_device *device, uint64_t wanted)
{
    volatile struct virtio_pci_common_cfg *common = device->common;
    uint64_t offered;

    common->device_feature_select = 0;
    offered = common->device_feature;
    common->device_feature_select = 1;
    offered |= (uint64_t)common->device_feature << 32;
    if ((offered >> VIRTIO_F_VERSION_1 & 1) == 0)
        return -ENODEV;
    device->features = offered & (wanted | (uint64_t)1 << VIRTIO_F_VERSION_1);
    common->guest_feature_select = 0;
    common->guest_feature = (uint32_t)device->features;
    common->guest_feature_select = 1;
    common->guest_feature = (uint32_t)(device->features >> 32);
    common->device_status |= VIRTIO_CONFIG_S_FEATURES_OK;
    return (common->device_status & VIRTIO_CONFIG_S_FEATURES_OK) != 0 ? 0 : -ENODEV;
}

/* True when the device has let go of everything. */
static bool reset(struct virtio_device *device)
{
    uint64_t deadline = host_now_ns() + RESET_NS;

    device->common->device_status = 0;
    while (device->common->device_status != 0) {
        if (host_now_ns() > deadline)
            return false;
        __builtin_ia32_pause();
    }
    return true;
}

void virtio_fail(struct virtio_device *device, const char *why)
{
    if (device->failed)
        return;
    device->failed = true;
    host_log("virtio: %s: %s; the device is given up", device->name, why);
    if (!reset(device))
        host_log("virtio: %s: no answer to a reset", device->name);
    for (struct virtq *queue = device->queues; queue != NULL; queue = queue->next) {
        for (unsigned i = 0; i < queue->size; i++) {
            struct virtq_request *request = queue->owners[i];

            if (request == NULL)
                continue;
            queue->owners[i] = NULL;
            request->state = VIRTQ_FAILED;
            waitq_wake(&request->waiters);
            if (queue->completed != NULL)
                queue->completed(queue, request);
        }
    }
    if (device->broken != NULL)
        device->broken(device);
}

/* ---------------------------------------------------------------- interrupts */

static void config_interrupt(void *context)
{
    struct virtio_device *device = context;

    interrupt_depth++;
    if (!device->failed && (device->common->device_status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
        virtio_fail(device, "it asks for a reset");
    interrupt_depth--;
}

static void queue_interrupt(void *context)
{
    struct virtio_device *device = context;

    interrupt_depth++;
    for (struct virtq *queue = device->queues; queue != NULL; queue = queue->next)
        virtq_reap(queue);
    interrupt_depth--;
}

/* In the place of interrupts. */
static void look(struct timer *timer)
{
    struct virtio_device *device = container_of(timer, struct virtio_device, looks);

    queue_interrupt(device);
    config_interrupt(device);
    if (!device->failed)
        timer_set(timer, host_now_ns() + LOOK_NS);
}

static void start_interrupts(struct virtio_device *device)
{
    device->interrupts = pci_msix_start(&device->pci, &device->msix) &&
                         pci_msix_route(&device->msix, ENTRY_QUEUES, queue_interrupt, device);
    device->common->msix_config = VIRTIO_MSI_NO_VECTOR;
    if (!device->interrupts) {
        host_log("virtio: %s: no interrupt to be had: it is looked at all the time", device->name);
        return;
    }
    if (pci_msix_route(&device->msix, ENTRY_CONFIG, config_interrupt, device))
        device->common->msix_config = ENTRY_CONFIG;
}

/* ---------------------------------------------------------------- queues */

/* A power of two, as the device must have it. */
static unsigned queue_size(unsigned offered, unsigned size_max)
{
    unsigned size = 1;

    while (size * 2 <= offered && size * 2 <= size_max)
        size *= 2;
    return size;
}

/* The parts of a queue in one zeroed cell. False without memory. */
static bool queue_memory(struct virtq *queue)
{
    size_t ring_bytes = queue->size * sizeof(struct vring_desc);
    size_t available_bytes = align_up((queue->size + 3) * sizeof(uint16_t), VRING_USED_ALIGN_SIZE);
    size_t used_bytes = queue->size * sizeof(struct vring_used_elem) + 3 * sizeof(uint16_t);
    uint8_t *cell = slab_alloc(ring_bytes + available_bytes + used_bytes);

    queue->owners = slab_alloc(queue->size * sizeof(*queue->owners));
    if (cell == NULL || queue->owners == NULL) {
        slab_free(cell);
        slab_free(queue->owners);
        return false;
    }
    queue->ring = (struct vring_desc *)(void *)cell;
    queue->available = (struct vring_avail *)(void *)(cell + ring_bytes);
    queue->used = (struct vring_used *)(void *)(cell + ring_bytes + available_bytes);
    queue->free = queue->size;
    for (unsigned i = 0; i < queue->size; i++)
        queue->ring[i].next = (uint16_t)(i + 1);
    return true;
}

static void tell_address(volatile __le32 *low, volatile __le32 *high, const volatile void *at)
{
    uint64_t physical = host_paddr((const void *)at).v;

    *low = (uint32_t)physical;
    *high = (uint32_t)(physical >> 32);
}

static bool queue_announce(struct virtio_device *device, struct virtq *queue)
{
    volatile struct virtio_pci_common_cfg *common = device->common;
    uint32_t doorbell = common->queue_notify_off * device->doorbell_stride;

    if (doorbell + sizeof(uint16_t) > device->doorbell_bytes)
        return false;
    queue->doorbell = (volatile uint16_t *)(volatile void *)(device->doorbells + doorbell);
    common->queue_size = (uint16_t)queue->size;
    common->queue_msix_vector = device->interrupts ? ENTRY_QUEUES : VIRTIO_MSI_NO_VECTOR;
    tell_address(&common->queue_desc_lo, &common->queue_desc_hi, queue->ring);
    tell_address(&common->queue_avail_lo, &common->queue_avail_hi, queue->available);
    tell_address(&common->queue_used_lo, &common->queue_used_hi, queue->used);
    common->queue_enable = 1;
    return true;
}

struct virtq *virtq_create(struct virtio_device *device, unsigned index, unsigned size_max)
{
    struct virtq *queue;
    unsigned offered;

    if (index >= device->common->num_queues)
        return NULL;
    device->common->queue_select = (uint16_t)index;
    offered = device->common->queue_size;
    if (offered == 0)
        return NULL;
    queue = slab_alloc(sizeof(*queue));
    if (queue == NULL)
        return NULL;
    queue->device = device;
    queue->index = index;
    queue->size = queue_size(offered, size_max);
    if (!queue_memory(queue)) {
        slab_free(queue);
        return NULL;
    }
    queue->available->flags = VRING_AVAIL_F_NO_INTERRUPT;
    if (!queue_announce(device, queue)) {
        slab_free(queue->ring);
        slab_free(queue->owners);
        slab_free(queue);
        return NULL;
    }
    queue->next = device->queues;
    device->queues = queue;
    return queue;
}

unsigned virtq_pieces_max(const struct virtq *queue)
{
    return queue->size; /* a list in one descriptor may not be longer either (2.7.5.3.1) */
}

/* One descriptor that stands for the request's own list. */
static void place_list(struct virtq *queue, struct virtq_request *request, unsigned first)
{
    struct vring_desc *descriptor = &queue->ring[first];

    for (unsigned i = 0; i < request->count; i++) {
        struct vring_desc *piece = &request->pieces[i];
        unsigned kept = piece->flags & VRING_DESC_F_WRITE;

        piece->flags = (uint16_t)(i + 1u < request->count ? kept | VRING_DESC_F_NEXT : kept);
        piece->next = (uint16_t)(i + 1);
    }
    queue->free_first = descriptor->next;
    queue->free--;
    descriptor->addr = host_paddr(request->pieces).v;
    descriptor->len = request->count * (uint32_t)sizeof(struct vring_desc);
    descriptor->flags = VRING_DESC_F_INDIRECT;
}

/* A chain of descriptors of the ring. */
static void place_chain(struct virtq *queue, struct virtq_request *request, unsigned first)
{
    unsigned at = first;

    for (unsigned i = 0; i < request->count; i++) {
        struct vring_desc *descriptor = &queue->ring[at];
        const struct vring_desc *piece = &request->pieces[i];
        unsigned kept = piece->flags & VRING_DESC_F_WRITE;

        descriptor->addr = piece->addr;
        descriptor->len = piece->len;
        descriptor->flags = (uint16_t)(i + 1u < request->count ? kept | VRING_DESC_F_NEXT : kept);
        at = descriptor->next;
    }
    queue->free_first = at;
    queue->free -= request->count;
}

int virtq_submit(struct virtq *queue, struct virtq_request *request)
{
    bool list = queue->device->indirect && request->count > 1;
    unsigned first = queue->free_first;

    if (queue->device->failed)
        return -EIO;
    if (request->count > virtq_pieces_max(queue))
        return -E2BIG;
    if (queue->free < (list ? 1u : request->count))
        return -EAGAIN;
    if (list)
        place_list(queue, request, first);
    else
        place_chain(queue, request, first);
    queue->owners[first] = request;
    request->state = VIRTQ_SUBMITTED;
    queue->available->ring[queue->next_available % queue->size] = (uint16_t)first;
    queue->next_available++;
    __atomic_store_n(&queue->available->idx, queue->next_available, __ATOMIC_RELEASE);
    return 0;
}

void virtq_notify(struct virtq *queue)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the index is out before the flag is looked at */
    if ((__atomic_load_n(&queue->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY) == 0 &&
        !queue->device->failed)
        *queue->doorbell = (uint16_t)queue->index;
}

/* Back to the free ones: the chain that begins at `first`. */
static void release_chain(struct virtq *queue, unsigned first)
{
    unsigned last = first;

    queue->free++;
    while ((queue->ring[last].flags & VRING_DESC_F_NEXT) != 0) {
        last = queue->ring[last].next;
        queue->free++;
    }
    queue->ring[last].next = (uint16_t)queue->free_first;
    queue->ring[last].flags = 0;
    queue->free_first = first;
}

void virtq_reap(struct virtq *queue)
{
    while (!queue->device->failed &&
           queue->next_used != __atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE)) {
        const struct vring_used_elem *element = &queue->used->ring[queue->next_used % queue->size];
        struct virtq_request *request = element->id < queue->size ? queue->owners[element->id] : NULL;

        if (request == NULL) {
            virtio_fail(queue->device, "it ended a request that it was not given");
            return;
        }
        queue->next_used++;
        queue->owners[element->id] = NULL;
        request->written = element->len;
        release_chain(queue, element->id);
        request->state = VIRTQ_DONE;
        waitq_wake(&request->waiters);
        if (queue->completed != NULL)
            queue->completed(queue, request);
    }
}

/* ---------------------------------------------------------------- waiting */

bool virtio_may_sleep(void)
{
    const struct task *task = task_current();

    return task != NULL && task != cpu_here()->idle && interrupt_depth == 0;
}

void virtq_listen(struct virtq *queue)
{
    queue->sleepers++;
    queue->available->flags = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* whoever looks at the used index now misses nothing */
}

void virtq_ignore(struct virtq *queue)
{
    if (--queue->sleepers == 0)
        queue->available->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

void virtq_look(struct virtq *queue)
{
    struct virtio_device *device = queue->device;

    if (!device->failed && (device->common->device_status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
        virtio_fail(device, "it asks for a reset");
    virtq_reap(queue);
}

static int look_again(struct virtq *queue, uint64_t deadline_ns)
{
    virtq_look(queue);
    if (virtio_may_sleep())
        sched_yield();
    else
        __builtin_ia32_pause();
    return host_now_ns() > deadline_ns ? -ETIMEDOUT : 0;
}

int virtq_wait_on(struct virtq *queue, struct waitq *waiters, uint64_t deadline_ns, bool interruptible)
{
    uint16_t seen = queue->next_used;
    int result = 0;

    if (!queue->device->interrupts || !virtio_may_sleep())
        return look_again(queue, deadline_ns);
    virtq_listen(queue);
    virtq_reap(queue);
    if (queue->next_used == seen && !queue->device->failed)
        result = waitq_sleep(waiters, deadline_ns, interruptible);
    virtq_ignore(queue);
    return result;
}

bool virtio_clock_jumps(void)
{
    static enum { UNKNOWN, RUNS, JUMPS } clock;

    if (clock == UNKNOWN)
        clock = boot_option("icount", NULL, 0) ? JUMPS : RUNS;
    return clock == JUMPS;
}

uint64_t virtio_deadline(uint64_t ns)
{
    return virtio_clock_jumps() && virtio_may_sleep() ? UINT64_MAX : host_now_ns() + ns;
}

/* Looks on for a moment after the time is up: when the whole machine was stopped, the device was too. */
static void last_chance(struct virtq *queue, const struct virtq_request *request)
{
    uint64_t deadline = host_now_ns() + GRACE_NS;

    while (request->state == VIRTQ_SUBMITTED && host_now_ns() < deadline) {
        virtq_reap(queue);
        __builtin_ia32_pause();
    }
}

int virtq_wait(struct virtq *queue, struct virtq_request *request, uint64_t deadline_ns)
{
    virtq_reap(queue);
    while (request->state == VIRTQ_SUBMITTED) {
        if (virtq_wait_on(queue, &request->waiters, deadline_ns, false) != -ETIMEDOUT)
            continue;
        last_chance(queue, request);
        if (request->state == VIRTQ_SUBMITTED)
            virtio_fail(queue->device, "a request was not answered in time");
    }
    return request->state == VIRTQ_DONE ? 0 : -EIO;
}
