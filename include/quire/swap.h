/*
 * Swap: where the pages of programs and of objects without a pager go when they leave memory.
 *
 * Swap is a row of slots of a page each, numbered from 1. What keeps their contents (a disk, memory that is
 * compressed, a test's array) is a swap_store; src/vm/swap.h says how pages come to slots and back.
 */
#ifndef QUIRE_SWAP_H
#define QUIRE_SWAP_H

#include "quire/frame.h"
#include "quire/status.h"

struct swap_store {
    /* Transfer `count` consecutive slots. May sleep, called without locks. ST_IO_ERROR: none of the contents
     * counts. What a read gives is what was written there last. */
    enum status (*read)(void *context, uint32_t slot, struct frame *const *frames, unsigned count);
    enum status (*write)(void *context, uint32_t slot, struct frame *const *frames, unsigned count);
    /* The contents are not wanted any more. Never sleeps; the swap lock is held, others may be. May be NULL.
     */
    void (*discard)(void *context, uint32_t slot, uint32_t count);
    void *context;
};

/* At most this many pages a transfer. */
enum { SWAP_CLUSTER = 32 };

/*
 * From now on slots 1 .. `slots` of the store can be used; the struct is copied. Once, after vm_init(), with
 * no other CPU in src/vm; without it all pages stay. ST_NO_MEMORY; ST_INVALID: no slots, or more than 2^31
 * - 1.
 */
MUST_USE enum status swap_on(const struct swap_store *store, uint64_t slots);
bool swap_is_on(void);

/* How many pages are read at once at most: 1 to SWAP_CLUSTER, 1 is no read-ahead. */
void swap_set_read_ahead(unsigned pages);

struct swap_counts {
    uint64_t slots, used; /* used: those of pages and of the swap cache */
    uint64_t cached;      /* of the used ones: the page is in memory too */
    uint64_t bad;         /* could not be written, and are not used again */
    uint64_t zero;        /* of the used ones: pages of zeroes, which the store never sees */
    uint64_t page_outs, write_requests, write_errors;
    uint64_t page_ins, read_requests, read_errors; /* page_ins: pages read, with those read ahead */
    uint64_t read_ahead, read_ahead_hits; /* pages that nobody had asked for; those that somebody did later */
    uint64_t cache_hits;                  /* faults that found their page in memory, not read ahead */
};
void swap_count(struct swap_counts *out);

/* Walks all slots; panics, naming the slot, on a broken invariant. No other CPU may be in src/vm meanwhile.
 */
void swap_check(void);

#endif
