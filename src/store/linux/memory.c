/*
 * A store in memory: memory.h. Every request is over when submit returns.
 */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

struct memory_store {
    struct store base;
    uint8_t *contents;
};

static enum status memory_transfer(struct store *store, const struct store_request *request)
{
    uint8_t *at = ((struct memory_store *)store)->contents + request->first * PAGE_SIZE;

    if (!store_request_fits(store, request))
        return ST_INVALID;
    for (uint32_t i = 0; i < request->count; i++, at += PAGE_SIZE) {
        if (request->op == STORE_READ)
            memcpy(request->pages[i], at, PAGE_SIZE);
        else if (request->op == STORE_WRITE)
            memcpy(at, request->pages[i], PAGE_SIZE);
    }
    return ST_OK;
}

static void memory_submit(struct store *store, struct store_request *request)
{
    request->done(request, memory_transfer(store, request));
}

static unsigned memory_poll(struct store *store, uint64_t wait_ns)
{
    return 0;
}

static void memory_close(struct store *store)
{
    free(((struct memory_store *)store)->contents);
    free(store);
}

static const struct store_type memory_type = {.name = "memory",
                                              .submit = memory_submit,
                                              .poll = memory_poll,
                                              .close = memory_close,
                                              .transfer = memory_transfer};

struct store *store_memory(uint64_t pages)
{
    struct memory_store *memory = malloc(sizeof(*memory));

    if (!memory)
        return NULL;
    *memory = (struct memory_store){{&memory_type, pages}, calloc(pages, PAGE_SIZE)};
    if (memory->contents)
        return &memory->base;
    free(memory);
    return NULL;
}
