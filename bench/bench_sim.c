/*
 * What bench/sim needs besides `quire sim`: a trace in the format of libCacheSim, so that its program reads
 * the same references, and a plain loop to compare with where that program is not at hand.
 *
 * usage: bench-sim export TRACE OUT     oracleGeneral: 24 bytes a reference, with the next one of each page
 *        bench-sim plain TRACE FRAMES   LRU with a hash table and a list; prints references and faults
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/trace.h"

/* A whole trace in memory. */
struct whole {
    uint32_t *pages;
    uint64_t *names; /* by page */
    size_t count, size;
    uint32_t page_count;
};

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench-sim: %s: %s\n", what, why);
    exit(2);
}

static void *must(void *memory)
{
    if (!memory)
        fail("memory", strerror(ENOMEM));
    return memory;
}

static void take_block(struct whole *whole, const struct policy_block *block)
{
    if (whole->count + block->count > whole->size) {
        whole->size = whole->size * 2 + TRACE_BLOCK;
        whole->pages = must(realloc(whole->pages, whole->size * sizeof(*whole->pages)));
    }
    for (size_t i = 0; i < block->count; i++)
        whole->pages[whole->count++] = block->references[i] >> 1;
}

static struct whole whole_read(const char *path)
{
    struct trace_options options = {TRACE_GUESS};
    struct trace_error error;
    struct trace *trace = trace_open(path, &options, &error);
    struct policy_block block;
    struct whole whole = {0};

    if (!trace)
        fail("trace", error.text);
    do {
        if (!trace_next(trace, &block, &error))
            fail("trace", error.text);
        take_block(&whole, &block);
    } while (block.count > 0);
    whole.page_count = trace_pages(trace);
    whole.names = must(malloc((whole.page_count + (size_t)1) * sizeof(*whole.names)));
    for (uint32_t page = 0; page < whole.page_count; page++)
        whole.names[page] = trace_page_name(trace, page);
    trace_close(trace);
    return whole;
}

static void whole_free(struct whole *whole)
{
    free(whole->pages);
    free(whole->names);
}

/* The layout is libCacheSim's: time, name, size of the object, index of its next reference or -1. */
struct __attribute__((packed)) oracle_reference {
    uint32_t time;
    uint64_t name;
    uint32_t bytes;
    int64_t next;
};
_Static_assert(sizeof(struct oracle_reference) == 24, "the format has no padding");

static void export_oracle(const struct whole *whole, const char *path)
{
    int64_t *next = must(malloc((whole->count + 1) * sizeof(*next)));
    int64_t *seen = must(malloc((whole->page_count + (size_t)1) * sizeof(*seen)));
    FILE *file = fopen(path, "wb");
    bool written = file != NULL;

    memset(seen, 0xff, whole->page_count * sizeof(*seen));
    for (size_t i = whole->count; i-- > 0;) {
        next[i] = seen[whole->pages[i]];
        seen[whole->pages[i]] = (int64_t)i;
    }
    for (size_t i = 0; written && i < whole->count; i++) {
        /* Its readers take object 0 for the end. */
        struct oracle_reference reference = {(uint32_t)(i / 1000), whole->names[whole->pages[i]] + 1, 1,
                                             next[i]};

        written = fwrite(&reference, sizeof(reference), 1, file) == 1;
    }
    if (!written || fclose(file) != 0)
        fail(path, strerror(errno));
    free(next);
    free(seen);
}

/* ------------------------------------------------------------------ the plain loop */

struct object {
    uint64_t name;
    struct object *next_in_slot, *newer, *older;
};

struct plain {
    struct object **slots, *objects;
    struct object ends; /* newer: the oldest; older: the newest */
    size_t slot_mask, used, frames;
};

static struct object **plain_slot(struct plain *plain, uint64_t name)
{
    return &plain->slots[(name * 0x9e3779b97f4a7c15 >> 32) & plain->slot_mask];
}

static struct object *plain_find(struct plain *plain, uint64_t name)
{
    struct object *object = *plain_slot(plain, name);

    while (object && object->name != name)
        object = object->next_in_slot;
    return object;
}

static void list_out(struct object *object)
{
    object->newer->older = object->older;
    object->older->newer = object->newer;
}

static void list_in(struct plain *plain, struct object *object)
{
    object->newer = &plain->ends;
    object->older = plain->ends.older;
    object->older->newer = object;
    plain->ends.older = object;
}

static struct object *plain_evict(struct plain *plain)
{
    struct object *object = plain->ends.newer;
    struct object **link = plain_slot(plain, object->name);

    while (*link != object)
        link = &(*link)->next_in_slot;
    *link = object->next_in_slot;
    list_out(object);
    return object;
}

/* True: a fault. */
static bool plain_reference(struct plain *plain, uint64_t name)
{
    struct object *object = plain_find(plain, name);
    bool fault = !object;

    if (fault) {
        object = plain->used < plain->frames ? &plain->objects[plain->used++] : plain_evict(plain);
        object->name = name;
        object->next_in_slot = *plain_slot(plain, name);
        *plain_slot(plain, name) = object;
    } else {
        list_out(object);
    }
    list_in(plain, object);
    return fault;
}

static void run_plain(const struct whole *whole, size_t frames)
{
    struct plain plain = {.frames = frames, .slot_mask = 1023};
    size_t faults = 0;

    while (plain.slot_mask < 2 * frames)
        plain.slot_mask = plain.slot_mask * 2 + 1;
    plain.slots = must(calloc(plain.slot_mask + 1, sizeof(*plain.slots)));
    plain.objects = must(calloc(frames, sizeof(*plain.objects)));
    plain.ends.newer = plain.ends.older = &plain.ends;
    for (size_t i = 0; i < whole->count; i++)
        faults += plain_reference(&plain, whole->names[whole->pages[i]]);
    printf("%zu %zu\n", whole->count, faults);
    free(plain.slots);
    free(plain.objects);
}

int main(int argc, char **argv)
{
    struct whole whole;

    if (argc != 4)
        fail("arguments", "expected: export TRACE OUT, or plain TRACE FRAMES");
    whole = whole_read(argv[2]);
    if (strcmp(argv[1], "export") == 0)
        export_oracle(&whole, argv[3]);
    else if (strcmp(argv[1], "plain") == 0 && strtoull(argv[3], NULL, 10) > 0)
        run_plain(&whole, strtoull(argv[3], NULL, 10));
    else
        fail(argv[1], "expected export or plain, and a number of frames of at least 1");
    whole_free(&whole);
    return 0;
}
