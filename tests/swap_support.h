/*
 * Swap for the tests of src/vm: a store in memory whose failures, delays and moments the test decides, and
 * the eviction of what a test points at.
 */
#ifndef TESTS_SWAP_SUPPORT_H
#define TESTS_SWAP_SUPPORT_H

#include "vm_support.h"

#include "vm/swap.h"

struct swap_test {
    unsigned char *bytes;
    bool *written; /* by slot: it has contents; a read of any other is a fault of the core */
    uint32_t slots;
    uint32_t fail_read, fail_write; /* the slot that cannot be transferred; 0: none */
    bool fail_all;
    bool full; /* the store takes nothing, though there are slots */
    /* Nor a request with a page whose first word is in the range. */
    uint64_t refuse_from, refuse_below;
    unsigned slow_us;
    /* Called once, in the middle of the next transfer of that kind, without locks. */
    void (*while_reading)(void), (*while_writing)(void);
};
extern struct swap_test swap_test;

/* After vm_init(): swap with so many slots from now on. */
void swap_test_begin(uint32_t slots);
/* At the end of the machine. */
void swap_test_end(void);

/* cmocka setups: a machine of 8 or 64 MiB with 4000 slots, or of 8 MiB with 40. */
int boot_swap(void **state);
int boot_swap_64m(void **state);
int boot_swap_40(void **state);
/* end_vm(), and nothing is left in swap. */
int end_swap(void **state);

/* Is the page in memory? */
bool is_resident(struct space *space, uint64_t at);

/* The resident ones of the pages, private and of objects without a pager, leave memory as far as they can.
 * Returns how many did. */
unsigned page_out(struct space *space, uint64_t at, uint64_t pages);
/* The page alone: in three steps, for what may come between. */
struct frame *page_out_begin(struct space *space, uint64_t at);
bool page_out_end(struct frame *frame);

struct swap_counts swap_now(void);
uint64_t swapped_pages(struct space *space);
/* check_all() and the walkers of swap. */
void check_swap(struct space *space);

#endif
