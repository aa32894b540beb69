/*
 * Between the core's swap, which wants slots read and written while it waits, and stores, which tell when
 * they have done so. A thread that waits sleeps; where nobody may sleep (before the scheduler, at the end) it
 * polls.
 *
 *     swap (src/vm)  -->  slots 1 ..  -->  compressed store  -->  disk
 *                                          one of the two may be missing
 *
 * Slot n is page n of the store: page 0 is the header of the disk's file. A disk is not told of slots that
 * are free again: that would be a request for each page, which costs more than it saves, as slots are used
 * again.
 */
#include "kernel/mm/swap_device.h"

#include "kernel/boot/boot.h"
#include "kernel/dev/virtio.h"
#include "kernel/dev/virtio_blk.h"

#define POLL_NS ((uint64_t)1000000000)

struct transfer {
    struct store_request request;
    struct waitq waiters;
    bool ended;
    enum status status;
};

static void ended(struct store_request *request, enum status status)
{
    struct transfer *transfer = container_of(request, struct transfer, request);

    transfer->status = status;
    transfer->ended = true;
    waitq_wake(&transfer->waiters);
}

/* Every request ends: the disk's driver sees to it. */
static enum status wait_for(struct store *store, struct transfer *transfer)
{
    while (!transfer->ended) {
        if (virtio_may_sleep())
            (void)waitq_sleep(&transfer->waiters, UINT64_MAX, false);
        else
            (void)store_poll(store, POLL_NS);
    }
    return transfer->status;
}

static enum status run(struct store *store, enum store_op op, uint32_t slot, struct frame *const *frames,
                       unsigned count)
{
    void *pages[SWAP_CLUSTER];
    struct transfer transfer = {
        .request = {.op = op, .count = count, .first = slot, .pages = pages, .done = ended}};

    for (unsigned i = 0; i < count; i++)
        pages[i] = frame_data(frames[i]);
    waitq_init(&transfer.waiters);
    store_submit(store, &transfer.request);
    return wait_for(store, &transfer);
}

static enum status read_slots(void *context, uint32_t slot, struct frame *const *frames, unsigned count)
{
    return run(context, STORE_READ, slot, frames, count);
}

static enum status write_slots(void *context, uint32_t slot, struct frame *const *frames, unsigned count)
{
    return run(context, STORE_WRITE, slot, frames, count);
}

static struct store *find_disk(uint64_t pages)
{
    struct store *disk = disk_find(0);

    if (disk == NULL)
        boot_give_up("swap: there is no disk");
    if (disk->pages < pages)
        boot_give_up("swap: the disk has %lu KiB, expected %lu KiB", disk->pages << PAGE_SHIFT >> 10,
                     pages << PAGE_SHIFT >> 10);
    return disk;
}

void swap_device_init(void)
{
    uint64_t pages = boot_option_number("swap", 0) >> PAGE_SHIFT;
    struct swap_store store = {.read = read_slots, .write = write_slots};

    if (pages == 0)
        return;
    store.context = find_disk(pages);
    if (swap_on(&store, pages - 1) != ST_OK)
        boot_give_up("swap: too little memory for %lu slots", pages - 1);
    host_log("swap: %lu KiB on the disk", (pages - 1) << PAGE_SHIFT >> 10);
}
