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

#include "base/check.h"
#include "kernel/boot/boot.h"
#include "kernel/dev/virtio.h"
#include "kernel/dev/virtio_blk.h"
#include "kernel/mm/swap_lz4.h"
#include "kernel/task/task.h"
#include "quire/slab.h"
#include "quire/store_ram.h"

#define POLL_NS ((uint64_t)1000000000)
enum { SLAB_MOST = 2048 };
/* Without a disk there are as many slots as pages could be in memory if each were packed to a quarter. */
enum { RATIO_MOST = 4 };

struct transfer {
    struct store_request request;
    struct waitq waiters;
    bool ended;
    enum status status;
};

static struct store *compressed; /* NULL: there is none */

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

/*
 * Where instructions are counted, the machine stands still until the disk has written: how far programs get
 * meanwhile, and which of the pages that are leaving they want back, would be the host's doing. It is not
 * their work. Who reads sleeps: he cannot go on in any case.
 */
static enum status wait_still(struct store *store, struct transfer *transfer)
{
    uint64_t began_ns = host_now_ns();

    while (!transfer->ended)
        (void)store_poll(store, POLL_NS);
    sched_not_worked(host_now_ns() - began_ns);
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
    return op == STORE_WRITE && virtio_clock_jumps() ? wait_still(store, &transfer)
                                                     : wait_for(store, &transfer);
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

/* ---------------------------------------------------------------- compressed memory */

static void discard_slots(void *context, uint32_t slot, uint32_t count)
{
    struct transfer transfer = {
        .request = {.op = STORE_DISCARD, .count = count, .first = slot, .done = ended}};

    waitq_init(&transfer.waiters);
    store_submit(context, &transfer.request);
    CHECK(transfer.ended); /* it takes no disk */
}

/* From the last reserve if need be: a few pages here make room for the many that are leaving. */
static void *page_take(void *context)
{
    struct frame *frame = frame_alloc(0, FRAME_KERNEL, FRAME_EMERGENCY);

    (void)context;
    return frame != NULL ? frame_data(frame) : NULL;
}

static void page_give(void *context, void *page)
{
    (void)context;
    frame_free(frame_at(host_paddr(page)));
}

static void *area_take(void *context, size_t bytes)
{
    (void)context;
    return bytes <= SLAB_MOST ? slab_alloc(bytes) : host_area_alloc(bytes);
}

static void area_give(void *context, void *area, size_t bytes)
{
    (void)context;
    if (bytes <= SLAB_MOST)
        slab_free(area);
    else
        host_area_free(area, bytes);
}

static struct store *in_memory(struct store *behind, uint64_t pages, uint64_t bytes)
{
    struct compressed_config config = {.pages = pages,
                                       .memory_pages = bytes >> PAGE_SHIFT,
                                       .behind = behind,
                                       .packer = &swap_lz4,
                                       .memory = {page_take, page_give, area_take, area_give, NULL}};
    struct store *store;

    if (compressed_create(&config, &store) != ST_OK)
        boot_give_up("swap: too little memory for a compressed store of %lu slots", pages);
    return store;
}

/* ---------------------------------------------------------------- starting */

static void copy_page(void *to, const void *from)
{
    host_copy_page(to, from);
}

/* A RAM disk: for figures that are to hold no disk's time. */
static struct store *as_they_are(uint64_t bytes)
{
    static struct store_ram ram;
    void *area = host_area_alloc(bytes);

    if (area == NULL)
        boot_give_up("swap: too little memory for a RAM disk of %lu KiB", bytes >> 10);
    store_ram_init(&ram, bytes >> PAGE_SHIFT, area, copy_page);
    return &ram.store;
}

static void begin(struct swap_store *store, uint64_t pages)
{
    if (swap_on(store, pages - 1) != ST_OK)
        boot_give_up("swap: too little memory for %lu slots", pages - 1);
}

void swap_device_init(void)
{
    uint64_t pages = boot_option_number("swap", 0) >> PAGE_SHIFT;
    uint64_t bytes = boot_option_number("swap-compress", 0);
    uint64_t ram = boot_option_number("swap-ram", 0);
    struct swap_store store = {.read = read_slots, .write = write_slots};

    if (ram != 0) {
        store.context = as_they_are(ram);
        begin(&store, ram >> PAGE_SHIFT);
        host_log("swap: %lu slots in memory", (ram >> PAGE_SHIFT) - 1);
        return;
    }
    if (pages == 0 && bytes == 0)
        return;
    if (pages != 0)
        store.context = find_disk(pages);
    else
        pages = (bytes >> PAGE_SHIFT) * RATIO_MOST;
    if (bytes != 0) {
        compressed = in_memory(store.context, pages, bytes);
        store.context = compressed;
        store.discard = discard_slots;
    }
    begin(&store, pages);
    host_log("swap: %lu slots%s, at most %lu KiB of compressed memory", pages - 1,
             bytes != 0 && disk_find(0) == NULL ? "" : " on the disk", bytes >> 10);
}

const struct store *swap_device_compressed(void)
{
    return compressed;
}
