/*
 * Compressed pages in memory, alone or in front of another store: quire/store_compressed.h for a Linux
 * program, with memory of its own and a lock, so that any number of threads may use it.
 */
#ifndef QUIRE_STORE_COMPRESSED_MEMORY_H
#define QUIRE_STORE_COMPRESSED_MEMORY_H

#include "quire/store.h"
#include "quire/store_compressed.h"

struct compressed_memory_config {
    const struct store_packer *packer;
    uint64_t pages;        /* of the store */
    uint32_t memory_pages; /* that packed pages may take */
    struct store *behind;  /* NULL, or where what does not fit goes */
    bool closes_behind;    /* with itself; else it stays the caller's */
};

/* ST_NO_MEMORY; ST_INVALID as compressed_create(): `behind` is untouched then. */
MUST_USE enum status store_compressed_memory(const struct compressed_memory_config *config,
                                             struct store **store);

#endif
