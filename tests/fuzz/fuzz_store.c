/*
 * The compressed store in front of an array that fails now and then, against an array of pages.
 *
 * Every three bytes of the input are a step: write, read or discard a run of pages with contents of some
 * kind, or change what fails. A read gives what was written last or an error; without failures, and with
 * room, never an error. The store's invariants are walked after each step.
 */
#include <string.h>

#include "store/lz4.h"
#include "tests/fuzz/expect.h"
#include "tests/store_memory.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { PAGES = 48, RUN_MOST = 8, STEPS_MOST = 400 };

static struct {
    uint8_t disk[PAGES][PAGE_SIZE];
    uint8_t model[PAGES][PAGE_SIZE];
    bool known[PAGES]; /* the model has contents */
    struct test_memory memory;
    unsigned fails; /* the disk: each n-th page is an error; 0: none */
    unsigned transfers;
    uint64_t random;
} world;

static uint8_t buffer[RUN_MOST][PAGE_SIZE] __attribute__((aligned(4096)));

static void disk_submit(struct store *store, struct store_request *request)
{
    EXPECT(store_request_fits(store, request));
    for (uint32_t i = 0; i < request->count; i++) {
        uint8_t *at = world.disk[request->first + i];

        if (world.fails != 0 && ++world.transfers % world.fails == 0) {
            request->done(request, ST_IO_ERROR);
            return;
        }
        if (request->op == STORE_READ)
            memcpy(request->pages[i], at, PAGE_SIZE);
        else
            memcpy(at, request->pages[i], PAGE_SIZE);
    }
    request->done(request, ST_OK);
}

static unsigned disk_poll(struct store *store, uint64_t wait_ns)
{
    (void)store;
    (void)wait_ns;
    return 0;
}

static void ended(struct store_request *request, enum status status)
{
    *(enum status *)request->context = status;
}

static enum status run(struct store *store, enum store_op op, uint64_t first, uint32_t count)
{
    enum status status = ST_COUNT;
    void *pages[RUN_MOST];
    struct store_request request = {
        .op = op, .count = count, .first = first, .pages = pages, .done = ended, .context = &status};

    for (unsigned i = 0; i < RUN_MOST; i++)
        pages[i] = buffer[i];
    store_submit(store, &request);
    EXPECT(status != ST_COUNT);
    return status;
}

static uint8_t random_byte(void)
{
    world.random = world.random * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(world.random >> 40);
}

/* Zeroes, one byte that is not, runs, or noise. */
static void make(uint8_t *page, unsigned kind)
{
    memset(page, kind % 4 == 2 ? random_byte() : 0, PAGE_SIZE);
    if (kind % 4 == 1)
        page[random_byte() * 16 + 15] = 1;
    for (unsigned i = 0; kind % 4 >= 2 && i < PAGE_SIZE; i++)
        if (random_byte() < kind)
            page[i] = random_byte();
}

static void write_step(struct store *store, uint64_t first, uint32_t count, unsigned kind)
{
    enum status status;

    for (uint32_t i = 0; i < count; i++)
        make(buffer[i], kind + i * 4);
    status = run(store, STORE_WRITE, first, count);
    EXPECT(status == ST_OK || status == ST_IO_ERROR || status == ST_NO_SPACE);
    for (uint32_t i = 0; i < count; i++) {
        world.known[first + i] = status == ST_OK;
        memcpy(world.model[first + i], buffer[i], PAGE_SIZE);
    }
}

static void read_step(struct store *store, uint64_t first, uint32_t count)
{
    enum status status = run(store, STORE_READ, first, count);
    bool known = true;

    for (uint32_t i = 0; i < count; i++)
        known = known && world.known[first + i];
    EXPECT(status == ST_OK || !known || world.fails != 0);
    for (uint32_t i = 0; i < count && status == ST_OK; i++)
        EXPECT(!world.known[first + i] || memcmp(buffer[i], world.model[first + i], PAGE_SIZE) == 0);
}

static void step(struct store *store, const unsigned char *bytes)
{
    uint64_t first = bytes[1] % PAGES;
    uint32_t count = 1 + bytes[0] / 8 % RUN_MOST;

    if (count > PAGES - first)
        count = (uint32_t)(PAGES - first);
    switch (bytes[0] % 8) {
    case 0:
    case 1:
    case 2:
        write_step(store, first, count, bytes[2]);
        break;
    case 3:
    case 4:
    case 5:
        read_step(store, first, count);
        break;
    case 6:
        EXPECT(run(store, STORE_DISCARD, first, count) == ST_OK);
        memset(world.known + first, 0, count);
        break;
    default:
        world.fails = bytes[1] % 4 == 0 ? 2 + bytes[2] % 8 : 0;
        world.memory.page_limit = bytes[1] / 4;
        break;
    }
    EXPECT(compressed_check(store) == NULL);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const struct store_type disk_type = {.name = "array", .submit = disk_submit, .poll = disk_poll};
    struct store disk = {&disk_type, PAGES}, *store;
    struct compressed_config config = {
        .pages = PAGES, .packer = &store_lz4, .memory = test_memory_of(&world.memory)};

    if (size < 1)
        return 0;
    memset(&world, 0, sizeof(world));
    world.memory = (struct test_memory){.page_limit = 64, .areas_left = -1};
    world.random = size;
    config.behind = data[0] % 2 ? &disk : NULL;
    config.memory_pages = data[0] / 2;
    EXPECT(compressed_create(&config, &store) == ST_OK);
    for (size_t at = 1; at + 3 <= size && at < (size_t)STEPS_MOST * 3; at += 3)
        step(store, data + at);
    store_close(store);
    EXPECT(world.memory.pages == 0 && world.memory.areas == 0);
    return 0;
}
