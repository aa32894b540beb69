/*
 * compressed_memory.h. The pages that packed ones live in are one mapping, and a stack of those that are
 * free: nothing here calls malloc() once the store is made, since whoever waits for the lock may have been
 * interrupted in it.
 *
 * Locking: `lock` around every call of the store below it, and of the store behind that one. It is never held
 * over a sleep: poll asks with no wait, and naps without it.
 */
#include "compressed_memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NAP_NS 200000u

struct compressed_memory {
    struct store base;
    struct store *packed;
    pthread_mutex_t lock;
    uint8_t *memory;
    uint32_t *free; /* a stack of page numbers */
    uint32_t memory_pages, free_count;
    struct store *owned; /* closed with this one; NULL: none */
};

static struct compressed_memory *compressed_of(struct store *store)
{
    return (struct compressed_memory *)store;
}

/* ------------------------------------------------------------------ its memory */

static void *map_pages(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void *page_take(void *context)
{
    struct compressed_memory *store = context;

    return store->free_count > 0 ? store->memory + store->free[--store->free_count] * PAGE_SIZE : NULL;
}

static void page_give(void *context, void *page)
{
    struct compressed_memory *store = context;

    store->free[store->free_count++] = (uint32_t)((uint64_t)((uint8_t *)page - store->memory) / PAGE_SIZE);
}

static void *area_take(void *context, size_t bytes)
{
    return map_pages(bytes);
}

static void area_give(void *context, void *area, size_t bytes)
{
    munmap(area, bytes);
}

/* ------------------------------------------------------------------ requests */

static void compressed_submit(struct store *store, struct store_request *request)
{
    struct compressed_memory *compressed = compressed_of(store);

    pthread_mutex_lock(&compressed->lock);
    store_submit(compressed->packed, request);
    pthread_mutex_unlock(&compressed->lock);
}

static unsigned compressed_poll(struct store *store, uint64_t wait_ns)
{
    struct compressed_memory *compressed = compressed_of(store);
    struct timespec nap = {0, NAP_NS};
    unsigned ended;

    pthread_mutex_lock(&compressed->lock);
    ended = store_poll(compressed->packed, 0);
    pthread_mutex_unlock(&compressed->lock);
    if (ended == 0 && wait_ns > 0)
        syscall(SYS_nanosleep, &nap, NULL); /* not where a thread may be cancelled: this may be in a fault */
    return ended;
}

static void note_status(struct store_request *request, enum status status)
{
    *(enum status *)request->context = status;
}

/* Without a store behind it every request ends at once. */
static enum status compressed_transfer(struct store *store, const struct store_request *request)
{
    enum status status = ST_IO_ERROR;
    struct store_request ours = *request;

    ours.done = note_status;
    ours.context = &status;
    compressed_submit(store, &ours);
    return status;
}

static void destroy(struct compressed_memory *compressed)
{
    if (compressed->packed)
        store_close(compressed->packed);
    if (compressed->memory)
        munmap(compressed->memory, compressed->memory_pages * PAGE_SIZE);
    if (compressed->free)
        munmap(compressed->free, compressed->memory_pages * sizeof(*compressed->free));
    pthread_mutex_destroy(&compressed->lock);
    free(compressed);
}

static void compressed_close(struct store *store)
{
    struct store *owned = compressed_of(store)->owned;

    destroy(compressed_of(store));
    if (owned)
        store_close(owned);
}

static const struct store_type alone = {.name = "compressed",
                                        .submit = compressed_submit,
                                        .poll = compressed_poll,
                                        .close = compressed_close,
                                        .transfer = compressed_transfer};
static const struct store_type in_front = {
    .name = "compressed", .submit = compressed_submit, .poll = compressed_poll, .close = compressed_close};

static enum status make(struct compressed_memory *compressed, const struct compressed_memory_config *how)
{
    struct compressed_config config = {.pages = how->pages,
                                       .memory_pages = how->memory_pages,
                                       .behind = how->behind,
                                       .packer = how->packer,
                                       .memory = {page_take, page_give, area_take, area_give, compressed}};

    compressed->memory = map_pages(compressed->memory_pages * PAGE_SIZE);
    compressed->free = map_pages(compressed->memory_pages * sizeof(*compressed->free));
    if (!compressed->memory || !compressed->free)
        return ST_NO_MEMORY;
    for (uint32_t i = compressed->memory_pages; i > 0; i--)
        compressed->free[compressed->free_count++] = i - 1;
    return compressed_create(&config, &compressed->packed);
}

enum status store_compressed_memory(const struct compressed_memory_config *config, struct store **store)
{
    struct compressed_memory *compressed = calloc(1, sizeof(*compressed));
    enum status status;

    if (!compressed)
        return ST_NO_MEMORY;
    compressed->base = (struct store){config->behind ? &in_front : &alone, config->pages};
    compressed->memory_pages = config->memory_pages;
    pthread_mutex_init(&compressed->lock, NULL);
    status = config->memory_pages > 0 ? make(compressed, config) : ST_INVALID;
    if (status != ST_OK) {
        destroy(compressed);
        return status;
    }
    compressed->owned = config->closes_behind ? config->behind : NULL;
    *store = &compressed->base;
    return ST_OK;
}
