/*
 * Virtio block devices. VIRTIO 1.2, 5.2 "Block Device".
 *
 * A request to the device is a list: a header that says what and where, the pages' memory, a byte for the
 * outcome. A slot has room for one; there are SLOTS of them, made when the disk is found, so that writing
 * pages to make memory free needs no memory. A store_request that does not fit into one list is done in
 * parts, one after the other, in the same slot; different ones are done at once.
 *
 *     submit --> free slot? --> device --> completed: next part, or done and the next that waits
 *                     `--> waiting
 *
 * Invariants: a slot is on `idle`, or has an owner and is with the device; requests wait only while no slot
 * is idle.
 */
#include "kernel/dev/virtio_blk.h"

#include <asm-generic/errno.h>
#include <linux/virtio_blk.h>

#include "kernel/dev/virtio.h"
#include "quire/slab.h"

enum { SLOTS = 16, PIECES_MAX = 34, DISKS_MAX = 4, SECTOR_SHIFT = 9 };
enum { PAGE_SECTORS = 1 << (PAGE_SHIFT - SECTOR_SHIFT) };
enum { NO_STATUS = 0xff };
#define ANSWER_NS ((uint64_t)60 * 1000000000) /* for a host that is busy */
#define FEATURE(bit) ((uint64_t)1 << (bit))

struct disk_slot {
    struct vring_desc pieces[PIECES_MAX] __attribute__((aligned(16)));
    struct virtio_blk_outhdr header;
    struct virtio_blk_discard_write_zeroes range;
    struct virtq_request queued;
    struct store_request *owner;
    uint32_t at, part; /* pages that are done, pages with the device */
    uint8_t status;
    struct list node; /* of disk->idle, or of disk->busy, the one that began first in front */
    uint64_t since_ns;
};

struct disk {
    struct store store;
    struct virtio_device device;
    struct virtq *queue;
    unsigned pieces_max;    /* for pages, in one request */
    uint32_t discard_pages; /* at most in one request; 0: the device does not discard */
    struct list idle, busy;
    struct store_request *first, **last; /* that wait */
    struct timer watch;                  /* set while a slot is busy */
    struct disk_counts counts;
    unsigned with_device;
};

static struct disk *disks[DISKS_MAX];

static const struct store_type disk_type;

static bool has(const struct disk *disk, unsigned feature)
{
    return (disk->device.features & FEATURE(feature)) != 0;
}

static struct disk *disk_of(struct store *store)
{
    return container_of(store, struct disk, store);
}

/* ---------------------------------------------------------------- a request to the device */

static void add_piece(struct disk_slot *slot, const void *at, uint32_t bytes, uint16_t flags)
{
    virtq_piece(&slot->pieces[slot->queued.count++], host_paddr(at).v, bytes, flags);
}

/* As many of the owner's pages as fit; neighbours in memory are one piece. */
static void add_pages(const struct disk *disk, struct disk_slot *slot, uint16_t flags)
{
    const struct store_request *owner = slot->owner;
    unsigned first = slot->queued.count;

    for (slot->part = 0; slot->at + slot->part < owner->count; slot->part++) {
        const void *page = owner->pages[slot->at + slot->part];
        struct vring_desc *last = &slot->pieces[slot->queued.count - 1];

        if (slot->queued.count > first && last->addr + last->len == host_paddr(page).v)
            last->len += (uint32_t)PAGE_SIZE;
        else if (slot->queued.count - first < disk->pieces_max)
            add_piece(slot, page, PAGE_SIZE, flags);
        else
            break;
    }
}

static void add_range(const struct disk *disk, struct disk_slot *slot)
{
    uint32_t left = slot->owner->count - slot->at;

    slot->part = left < disk->discard_pages ? left : disk->discard_pages;
    slot->range = (struct virtio_blk_discard_write_zeroes){
        .sector = (slot->owner->first + slot->at) * PAGE_SECTORS, .num_sectors = slot->part * PAGE_SECTORS};
    add_piece(slot, &slot->range, sizeof(slot->range), 0);
}

static void fill(const struct disk *disk, struct disk_slot *slot)
{
    static const uint32_t types[] = {[STORE_READ] = VIRTIO_BLK_T_IN,
                                     [STORE_WRITE] = VIRTIO_BLK_T_OUT,
                                     [STORE_DISCARD] = VIRTIO_BLK_T_DISCARD,
                                     [STORE_FLUSH] = VIRTIO_BLK_T_FLUSH};
    const struct store_request *owner = slot->owner;
    bool transfers = owner->op == STORE_READ || owner->op == STORE_WRITE;

    slot->header = (struct virtio_blk_outhdr){
        .type = types[owner->op], .sector = transfers ? (owner->first + slot->at) * PAGE_SECTORS : 0};
    slot->status = NO_STATUS;
    slot->part = 0;
    slot->queued.count = 0;
    add_piece(slot, &slot->header, sizeof(slot->header), 0);
    if (transfers)
        add_pages(disk, slot, owner->op == STORE_READ ? VRING_DESC_F_WRITE : 0);
    else if (owner->op == STORE_DISCARD)
        add_range(disk, slot);
    add_piece(slot, &slot->status, sizeof(slot->status), VRING_DESC_F_WRITE);
}

/* False: the device has failed (the queue has room for all slots). */
static bool begin_part(struct disk *disk, struct disk_slot *slot)
{
    fill(disk, slot);
    if (virtq_submit(disk->queue, &slot->queued) != 0)
        return false;
    slot->since_ns = host_now_ns();
    list_remove(&slot->node);
    list_push_back(&disk->busy, &slot->node);
    if (!timer_is_set(&disk->watch) && !virtio_clock_jumps())
        timer_set(&disk->watch, slot->since_ns + ANSWER_NS);
    disk->counts.requests++;
    disk->with_device++;
    if (disk->with_device > disk->counts.most)
        disk->counts.most = disk->with_device;
    virtq_notify(disk->queue);
    return true;
}

static struct store_request *next_waiting(struct disk *disk)
{
    struct store_request *request = disk->first;

    if (request != NULL) {
        disk->first = request->next;
        if (disk->first == NULL)
            disk->last = &disk->first;
    }
    return request;
}

static void end_request(struct disk *disk, struct store_request *request, enum status status)
{
    if (status != ST_OK)
        disk->counts.errors++;
    request->done(request, status);
}

/* The slot is idle. */
static void begin(struct disk *disk, struct disk_slot *slot, struct store_request *request)
{
    slot->owner = request;
    slot->at = 0;
    if (begin_part(disk, slot))
        return;
    slot->owner = NULL;
    end_request(disk, request, ST_IO_ERROR);
}

static void begin_waiting(struct disk *disk)
{
    while (!list_empty(&disk->idle) && disk->first != NULL)
        begin(disk, container_of(disk->idle.next, struct disk_slot, node), next_waiting(disk));
}

/* ---------------------------------------------------------------- its end */

static bool succeeded(const struct disk_slot *slot)
{
    return slot->queued.state == VIRTQ_DONE && slot->queued.written > 0 && slot->status == VIRTIO_BLK_S_OK;
}

static void completed(struct virtq *queue, struct virtq_request *queued)
{
    struct disk *disk = container_of(queue->device, struct disk, device);
    struct disk_slot *slot = container_of(queued, struct disk_slot, queued);
    struct store_request *owner = slot->owner;
    enum status status = succeeded(slot) ? ST_OK : ST_IO_ERROR;

    disk->with_device--;
    list_remove(&slot->node);
    list_push_back(&disk->idle, &slot->node);
    slot->at += slot->part;
    if (status == ST_OK && slot->part != 0 && slot->at < owner->count) {
        if (begin_part(disk, slot))
            return;
        status = ST_IO_ERROR;
    }
    slot->owner = NULL;
    end_request(disk, owner, status);
    begin_waiting(disk);
}

/* When the request that has been with the device for longest must be answered. */
static uint64_t answer_due(const struct disk *disk)
{
    return container_of(disk->busy.next, const struct disk_slot, node)->since_ns + ANSWER_NS;
}

static void give_up_late(struct disk *disk)
{
    if (!list_empty(&disk->busy) && host_now_ns() >= answer_due(disk))
        virtio_fail(&disk->device, "a request was not answered in time");
}

static void look_after(struct timer *timer)
{
    struct disk *disk = container_of(timer, struct disk, watch);

    virtq_reap(disk->queue);
    give_up_late(disk);
    if (!list_empty(&disk->busy))
        timer_set(timer, answer_due(disk));
}

/* ---------------------------------------------------------------- the store */

/* What needs no device: the outcome, or ST_NEEDS_IO. */
static enum status without_device(const struct disk *disk, const struct store_request *request)
{
    if (!store_request_fits(&disk->store, request))
        return ST_INVALID;
    if (disk->device.failed || (request->op == STORE_WRITE && has(disk, VIRTIO_BLK_F_RO)))
        return ST_IO_ERROR;
    if ((request->op == STORE_FLUSH && !has(disk, VIRTIO_BLK_F_FLUSH)) ||
        (request->op == STORE_DISCARD && disk->discard_pages == 0))
        return ST_OK; /* without a cache there is nothing to flush */
    return ST_NEEDS_IO;
}

static void disk_submit(struct store *store, struct store_request *request)
{
    struct disk *disk = disk_of(store);
    enum status status = without_device(disk, request);

    if (status != ST_NEEDS_IO) {
        end_request(disk, request, status);
    } else if (list_empty(&disk->idle)) {
        request->next = NULL;
        *disk->last = request;
        disk->last = &request->next;
    } else {
        begin(disk, container_of(disk->idle.next, struct disk_slot, node), request);
    }
}

static unsigned disk_poll(struct store *store, uint64_t wait_ns)
{
    struct disk *disk = disk_of(store);
    uint16_t seen = disk->queue->next_used;
    uint64_t deadline = host_now_ns() + wait_ns;

    virtq_reap(disk->queue);
    while (disk->queue->next_used == seen && !list_empty(&disk->busy) && host_now_ns() < deadline) {
        virtq_look(disk->queue);
        __builtin_ia32_pause();
        if (!virtio_may_sleep()) /* no timer runs then */
            give_up_late(disk);
    }
    return (uint16_t)(disk->queue->next_used - seen);
}

/* A disk stays as long as the kernel runs. */
static void disk_close(struct store *store)
{
    (void)store;
}

static const struct store_type disk_type = {
    .name = "disk", .submit = disk_submit, .poll = disk_poll, .close = disk_close};

/* ---------------------------------------------------------------- starting */

/* A field of the device's configuration, which may be shorter than it is now; 0: not there. */
static uint64_t config_read(const struct disk *disk, unsigned offset, unsigned bytes)
{
    uint64_t value = 0;

    if (offset + bytes > disk->device.config_bytes)
        return 0;
    for (unsigned at = 0; at < bytes; at += 4)
        value |= (uint64_t) * (volatile uint32_t *)(volatile void *)(disk->device.config + offset + at)
                 << 8 * at;
    return value;
}
#define CONFIG_READ(disk, field)                                                                             \
    config_read(disk, offsetof(struct virtio_blk_config, field),                                             \
                sizeof(((struct virtio_blk_config *)0)->field))

static void read_limits(struct disk *disk)
{
    unsigned most = virtq_pieces_max(disk->queue) - 2;
    uint64_t pages;

    disk->store = (struct store){&disk_type, CONFIG_READ(disk, capacity) / PAGE_SECTORS};
    disk->pieces_max = most < PIECES_MAX - 2 ? most : PIECES_MAX - 2;
    if (has(disk, VIRTIO_BLK_F_SEG_MAX) && CONFIG_READ(disk, seg_max) < disk->pieces_max)
        disk->pieces_max = (unsigned)CONFIG_READ(disk, seg_max);
    if (has(disk, VIRTIO_BLK_F_DISCARD)) {
        pages = CONFIG_READ(disk, max_discard_sectors) / PAGE_SECTORS;
        disk->discard_pages = (uint32_t)pages;
    }
}

static bool make_slots(struct disk *disk)
{
    struct disk_slot *slots = slab_alloc(SLOTS * sizeof(*slots));

    for (unsigned i = 0; slots != NULL && i < SLOTS; i++) {
        slots[i].queued.pieces = slots[i].pieces;
        waitq_init(&slots[i].queued.waiters);
        list_push_back(&disk->idle, &slots[i].node);
    }
    return slots != NULL;
}

static int start(struct disk *disk, const struct pci_device *pci)
{
    int error = virtio_start(&disk->device, pci, "disk",
                             FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_RO) |
                                 FEATURE(VIRTIO_BLK_F_FLUSH) | FEATURE(VIRTIO_BLK_F_DISCARD));

    if (error != 0)
        return error;
    disk->queue = virtq_create(&disk->device, 0, SLOTS * 4);
    if (disk->queue == NULL || !make_slots(disk))
        return -ENOMEM;
    read_limits(disk);
    /* Each slot takes one place in the queue when lists have places of their own. */
    if (disk->pieces_max == 0 || disk->queue->size < SLOTS || !disk->device.indirect)
        return -EOPNOTSUPP;
    disk->queue->completed = completed;
    virtq_listen(disk->queue);
    virtio_ready(&disk->device);
    return 0;
}

int disk_start(const struct pci_device *pci)
{
    unsigned index = 0;
    struct disk *disk;
    int error;

    while (index < DISKS_MAX && disks[index] != NULL)
        index++;
    if (index == DISKS_MAX)
        return -ENOSPC;
    disk = slab_alloc(sizeof(*disk));
    if (disk == NULL)
        return -ENOMEM;
    list_init(&disk->idle);
    list_init(&disk->busy);
    disk->last = &disk->first;
    timer_init(&disk->watch, look_after);
    error = start(disk, pci);
    if (error == 0)
        disks[index] = disk; /* otherwise its memory stays the device's, which may have been told of it */
    return error;
}

struct store *disk_find(unsigned index)
{
    return index < DISKS_MAX && disks[index] != NULL ? &disks[index]->store : NULL;
}

void disk_count(const struct store *store, struct disk_counts *out)
{
    *out = container_of(store, const struct disk, store)->counts;
}

struct virtio_device *disk_device(struct store *store)
{
    return &disk_of(store)->device;
}
