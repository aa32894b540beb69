/*
 * Where a compressed store under test has its memory from: the heap, which can be made to run out.
 */
#ifndef TESTS_STORE_MEMORY_H
#define TESTS_STORE_MEMORY_H

#include <stdlib.h>
#include <string.h>

#include "quire/store_compressed.h"

struct test_memory {
    long pages, areas; /* taken */
    long page_limit;   /* more are not given */
    long areas_left;   /* before one fails; -1: never */
};

static inline void *test_page_take(void *context)
{
    struct test_memory *memory = context;

    if (memory->pages >= memory->page_limit)
        return NULL;
    memory->pages++;
    return memset(aligned_alloc(PAGE_SIZE, PAGE_SIZE), 0xa5, PAGE_SIZE);
}

static inline void test_page_give(void *context, void *page)
{
    ((struct test_memory *)context)->pages--;
    free(page);
}

static inline void *test_area_take(void *context, size_t bytes)
{
    struct test_memory *memory = context;

    if (memory->areas_left == 0)
        return NULL;
    memory->areas_left -= memory->areas_left > 0;
    memory->areas++;
    return calloc(1, bytes);
}

static inline void test_area_give(void *context, void *area, size_t bytes)
{
    ((struct test_memory *)context)->areas--;
    memset(area, 0x5a, bytes); /* it has so many, or ASan says no */
    free(area);
}

static inline struct store_memory test_memory_of(struct test_memory *memory)
{
    return (struct store_memory){.page_take = test_page_take,
                                 .page_give = test_page_give,
                                 .area_take = test_area_take,
                                 .area_give = test_area_give,
                                 .context = memory};
}

#endif
