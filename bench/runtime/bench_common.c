/*
 * bench_common.h.
 */
#include "bench_common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/linux/memory.h"

void die(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

double seconds_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

struct store *store_memory_filled(uint64_t pages)
{
    struct store *store = store_memory(pages);
    static _Alignas(PAGE_SIZE) uint8_t page[PAGE_SIZE];
    void *pointer = page;

    if (!store)
        die("the store");
    for (uint64_t i = 0; i < pages; i++) {
        struct store_request request = {.op = STORE_WRITE, .first = i, .count = 1, .pages = &pointer};

        memset(page, (int)(i % 255 + 1), sizeof(page));
        if (store->type->transfer(store, &request) != ST_OK)
            die("filling the store");
    }
    return store;
}
