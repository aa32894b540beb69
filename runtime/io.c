/*
 * One run of pages between a store and memory, over when io_transfer() returns, or given up at the deadline.
 *
 * A store with `transfer` does it all. Another one is asked by submit and poll; its request is one of a fixed
 * number, because nothing may be allocated in a fault, and because a request whose deadline has passed still
 * belongs to the store.
 */
#include "pager.h"

enum { REQUESTS = 64, FREE = 0, UNDER_WAY = 1, OVER = 2, GIVEN_UP = 3 };
#define POLL_NS 1000000u

struct pending {
    struct store_request request;
    void *pages[SLOT_PAGES];
    enum status status;
    _Atomic uint32_t state;
};

static struct pending pool[REQUESTS];

static struct pending *pending_take(void)
{
    for (unsigned i = 0; i < REQUESTS; i++) {
        uint32_t free = FREE;

        if (atomic_compare_exchange_strong(&pool[i].state, &free, UNDER_WAY))
            return &pool[i];
    }
    return NULL;
}

static void over(struct store_request *request, enum status status)
{
    struct pending *pending = request->context;
    uint32_t under_way = UNDER_WAY;

    pending->status = status;
    if (!atomic_compare_exchange_strong(&pending->state, &under_way, OVER))
        atomic_store(&pending->state, FREE);
}

static enum status wait_until_over(struct store *store, struct pending *pending, uint64_t until)
{
    enum status status;

    while (atomic_load(&pending->state) == UNDER_WAY) {
        uint32_t under_way = UNDER_WAY;

        store_poll(store, POLL_NS);
        if (now_ns() > until && atomic_compare_exchange_strong(&pending->state, &under_way, GIVEN_UP))
            return ST_INTERRUPTED;
    }
    status = pending->status;
    atomic_store(&pending->state, FREE);
    return status;
}

enum status io_transfer(struct store *store, enum store_op op, uint64_t first, uint32_t count, void *memory,
                        uint64_t deadline_ns)
{
    void *pages[SLOT_PAGES];
    struct store_request request = {.op = op, .count = count, .first = first, .pages = pages};
    struct pending *pending;

    for (uint32_t i = 0; i < count; i++)
        pages[i] = (uint8_t *)memory + i * PAGE_SIZE;
    if (store->type->transfer)
        return store->type->transfer(store, &request);
    if (!(pending = pending_take()))
        return ST_IO_ERROR; /* so many requests are late */
    for (uint32_t i = 0; i < count; i++)
        pending->pages[i] = pages[i];
    request.pages = pending->pages;
    request.done = over;
    request.context = pending;
    pending->request = request;
    store_submit(store, &pending->request);
    return wait_until_over(store, pending, now_ns() + deadline_ns);
}
