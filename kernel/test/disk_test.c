/*
 * Disks in the booted kernel: the machine's swap disk (`quire boot --swap`), as a store. Only with swap=SIZE
 * on the command line; the disk's contents are the tests'.
 *
 * They run before there is a task that could sleep: waiting is store_poll(), but for the one test that lets
 * the device interrupt.
 */
#include <linux/virtio_blk.h>

#include "kernel/dev/virtio.h"
#include "kernel/dev/virtio_blk.h"
#include "kernel/klib.h"
#include "kernel/test/test.h"

enum { PAGES = 96, REQUESTS = 40 };
#define PATIENCE_NS ((uint64_t)10000000000)

static struct store *disk;
static struct frame *frames[PAGES];
static void *pages[PAGES];

struct attempt {
    struct store_request request;
    enum status status;
    unsigned ended;
};

static void ended(struct store_request *request, enum status status)
{
    struct attempt *attempt = container_of(request, struct attempt, request);

    attempt->status = status;
    attempt->ended++;
}

static void begin(struct attempt *attempt, enum store_op op, uint64_t first, unsigned page, uint32_t count)
{
    *attempt = (struct attempt){.request = {op, count, first, pages + page, ended, NULL, NULL, NULL}};
    store_submit(disk, &attempt->request);
}

static bool finish(struct attempt *attempt)
{
    uint64_t deadline = host_now_ns() + PATIENCE_NS;

    while (attempt->ended == 0 && host_now_ns() < deadline)
        (void)store_poll(disk, PATIENCE_NS);
    return attempt->ended == 1;
}

static enum status run(enum store_op op, uint64_t first, unsigned page, uint32_t count)
{
    static struct attempt attempt;

    begin(&attempt, op, first, page, count);
    return finish(&attempt) ? attempt.status : ST_RETRY;
}

/* Every eight bytes of a page say which it is and where they are. */
static void fill(unsigned page, uint64_t seed)
{
    uint64_t *words = pages[page];

    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*words); i++)
        words[i] = seed * 1000003 + i;
}

static bool is(unsigned page, uint64_t seed)
{
    const uint64_t *words = pages[page];

    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*words); i++)
        if (words[i] != seed * 1000003 + i)
            return false;
    return true;
}

static void wipe(void)
{
    for (unsigned i = 0; i < PAGES; i++)
        memset(pages[i], 0xee, PAGE_SIZE);
}

/* ---------------------------------------------------------------- tests */

static void test_found(void)
{
    disk = disk_find(0);
    EXPECT(disk != NULL && disk_find(1) == NULL);
    EXPECT(disk->pages == boot_option_number("swap", 0) / PAGE_SIZE && disk->pages >= 4 * REQUESTS);
    for (unsigned i = 0; i < PAGES; i++) {
        frames[i] = frame_alloc(0, FRAME_KERNEL, FRAME_ANY);
        EXPECT(frames[i] != NULL);
        pages[i] = frame_data(frames[i]);
    }
}

static void test_one(void)
{
    fill(0, 1);
    EXPECT(run(STORE_WRITE, disk->pages - 1, 0, 1) == ST_OK);
    wipe();
    EXPECT(run(STORE_READ, disk->pages - 1, 0, 1) == ST_OK && is(0, 1));
}

/* Neighbours in memory and others; more than fit into one request to the device. */
static void test_long(void)
{
    struct disk_counts before, after;

    for (unsigned i = 0; i + 1 < PAGES; i += 2) {
        void *page = pages[i];

        pages[i] = pages[PAGES - 1 - i];
        pages[PAGES - 1 - i] = page;
    }
    for (unsigned i = 0; i < PAGES; i++)
        fill(i, 100 + i);
    disk_count(disk, &before);
    EXPECT(run(STORE_WRITE, 5, 0, PAGES) == ST_OK);
    disk_count(disk, &after);
    EXPECT(after.requests - before.requests > 1 && after.requests - before.requests < 6);
    wipe();
    EXPECT(run(STORE_READ, 5, 0, PAGES) == ST_OK);
    for (unsigned i = 0; i < PAGES; i++)
        EXPECT(is(i, 100 + i));
    EXPECT(run(STORE_READ, 5 + 17, 3, 1) == ST_OK && is(3, 117));
}

/* More at once than the driver has places for. */
static void test_many(void)
{
    static struct attempt attempts[REQUESTS];
    struct disk_counts counts;

    for (unsigned i = 0; i < REQUESTS; i++)
        fill(i, 500 + i);
    for (unsigned i = 0; i < REQUESTS; i++)
        begin(&attempts[i], STORE_WRITE, 4 * (uint64_t)(REQUESTS - i), i, 1);
    for (unsigned i = 0; i < REQUESTS; i++)
        EXPECT(finish(&attempts[i]) && attempts[i].status == ST_OK);
    wipe();
    for (unsigned i = 0; i < REQUESTS; i++)
        begin(&attempts[i], STORE_READ, 4 * (uint64_t)(REQUESTS - i), i, 1);
    for (unsigned i = 0; i < REQUESTS; i++)
        EXPECT(finish(&attempts[i]) && attempts[i].status == ST_OK && is(i, 500 + i));
    disk_count(disk, &counts);
    EXPECT(counts.most > 1 && counts.errors == 0);
}

static void test_interrupt(void)
{
    static struct attempt attempt;
    uint64_t deadline = host_now_ns() + PATIENCE_NS;

    EXPECT(disk_device(disk)->interrupts);
    fill(0, 7);
    begin(&attempt, STORE_WRITE, 9, 0, 1);
    while (((volatile struct attempt *)&attempt)->ended == 0 && host_now_ns() < deadline)
        __asm__ volatile("sti\n nop\n cli" ::: "memory");
    EXPECT(attempt.ended == 1 && attempt.status == ST_OK);
}

static void test_other_requests(void)
{
    EXPECT(run(STORE_FLUSH, 0, 0, 0) == ST_OK);
    EXPECT(run(STORE_DISCARD, 20, 0, 30) == ST_OK);
    EXPECT((disk_device(disk)->features >> VIRTIO_BLK_F_DISCARD & 1) != 0);
    wipe();
    EXPECT(run(STORE_READ, 25, 0, 1) == ST_OK);
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        EXPECT(((uint8_t *)pages[0])[i] == 0); /* so it is with files of the host */
}

static void test_outside(void)
{
    EXPECT(run(STORE_READ, disk->pages, 0, 1) == ST_INVALID);
    EXPECT(run(STORE_WRITE, disk->pages - 1, 0, 2) == ST_INVALID);
    EXPECT(run(STORE_WRITE, UINT64_MAX, 0, 2) == ST_INVALID);
    EXPECT(run(STORE_DISCARD, 3, 0, 0) == ST_INVALID);
}

/* Requests with the device, and behind them some that wait: each ends once, with an error. */
static void test_fails(void)
{
    static struct attempt attempts[REQUESTS];

    for (unsigned i = 0; i < REQUESTS; i++)
        begin(&attempts[i], STORE_READ, i, i, 1);
    virtio_fail(disk_device(disk), "a test wants it so");
    for (unsigned i = 0; i < REQUESTS; i++)
        EXPECT(attempts[i].ended == 1 && (attempts[i].status == ST_IO_ERROR || attempts[i].status == ST_OK));
    EXPECT(attempts[REQUESTS - 1].status == ST_IO_ERROR);
    EXPECT(run(STORE_READ, 0, 0, 1) == ST_IO_ERROR && run(STORE_FLUSH, 0, 0, 0) == ST_IO_ERROR);
    for (unsigned i = 0; i < PAGES; i++)
        frame_unref(frames[i]);
}

const struct kernel_test disk_tests[] = {
    {"the swap disk is found", test_found},
    {"a page written to the disk is read again", test_one},
    {"a long run of scattered pages", test_long},
    {"more requests at once than the disk takes", test_many},
    {"a request to the disk ends by interrupt", test_interrupt},
    {"the disk flushes and discards", test_other_requests},
    {"requests outside of the disk are refused", test_outside},
    {"a disk that fails ends every request once", test_fails},
    {NULL, NULL},
};
