/*
 * A store in memory that keeps pages as they are: a RAM disk, to measure paging without a disk's time.
 *
 * All its memory is taken when it is made. Reading what was never written gives zeroes. Requests end within
 * store_submit().
 *
 * Locking: the caller's; one call at a time for a page.
 */
#ifndef QUIRE_STORE_RAM_H
#define QUIRE_STORE_RAM_H

#include "quire/store.h"

/* The store's bytes lie in `area` (4,096 for each page, aligned to 16, zeroed), which stays the caller's. */
struct store_ram {
    struct store store;
    char *area;
    void (*copy)(void *to, const void *from); /* of a page */
};

void store_ram_init(struct store_ram *ram, uint64_t pages, void *area,
                    void (*copy)(void *to, const void *from));

#endif
