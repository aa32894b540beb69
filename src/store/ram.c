/*
 * Pages in memory, as they are. See quire/store_ram.h.
 */
#include "quire/store_ram.h"

#include "base/list.h"

static enum status transfer(struct store *store, const struct store_request *request)
{
    const struct store_ram *ram = container_of(store, const struct store_ram, store);

    if (!store_request_fits(store, request))
        return ST_INVALID;
    for (uint32_t i = 0; i < request->count; i++) {
        char *page = ram->area + (request->first + i) * PAGE_SIZE;

        if (request->op == STORE_WRITE)
            ram->copy(page, request->pages[i]);
        else if (request->op == STORE_READ)
            ram->copy(request->pages[i], page);
    }
    return ST_OK; /* nothing is gained by a discard, and a flush changes nothing: it ends with the machine */
}

static void ram_submit(struct store *store, struct store_request *request)
{
    request->done(request, transfer(store, request));
}

static unsigned ram_poll(struct store *store, uint64_t wait_ns)
{
    (void)store;
    (void)wait_ns;
    return 0;
}

static void ram_close(struct store *store)
{
    (void)store;
}

static const struct store_type ram_type = {
    .name = "RAM disk", .submit = ram_submit, .poll = ram_poll, .close = ram_close, .transfer = transfer};

void store_ram_init(struct store_ram *ram, uint64_t pages, void *area,
                    void (*copy)(void *to, const void *from))
{
    *ram = (struct store_ram){.store = {&ram_type, pages}, .area = area, .copy = copy};
}
