/*
 * A store in memory that keeps pages compressed, alone or in front of another store.
 *
 * A page of zeroes takes no memory. A page that does not become a quarter smaller, or that comes when the
 * memory is full, goes to the store behind; without one, its write ends with ST_NO_SPACE. Reading what was
 * never written, or was discarded, is ST_IO_ERROR where no store is behind.
 *
 * What was discarded is not told to the store behind, and nothing here outlives the machine: a flush is
 * ST_UNSUPPORTED. Requests that need no store behind end within store_submit().
 *
 * Locking: the caller's. One call at a time, and the store behind ends requests under the same lock.
 */
#ifndef QUIRE_STORE_COMPRESSED_H
#define QUIRE_STORE_COMPRESSED_H

#include "quire/store.h"

/* Where its memory comes from. None may sleep. */
struct store_memory {
    void *(*page_take)(void *context); /* 4,096 bytes, aligned; NULL: none just now */
    void (*page_give)(void *context, void *page);
    /* Larger pieces, zeroed, aligned to 16; only when the store is made. NULL: none. */
    void *(*area_take)(void *context, size_t bytes);
    void (*area_give)(void *context, void *area, size_t bytes);
    void *context;
};

/* How pages are made small. */
struct store_packer {
    const char *name;
    size_t state_bytes; /* memory that both work in, one call at a time; zeroed when new, aligned to 16 */
    /* The page in at most `most` bytes; how many, 0: it does not fit. */
    size_t (*pack)(void *state, const void *page, void *to, size_t most);
    /* The page again. False: that was never packed. */
    bool (*unpack)(void *state, const void *from, size_t bytes, void *page);
};

struct compressed_config {
    uint64_t pages;        /* of the store; not more than the one behind has */
    uint64_t memory_pages; /* that compressed pages take at most */
    struct store *behind;  /* NULL: none. Stays the caller's, who closes it after this one */
    const struct store_packer *packer;
    struct store_memory memory;
};

/* ST_NO_MEMORY, ST_INVALID (no pages, or more than 2^32 - 1 or than behind): nothing was made. */
MUST_USE enum status compressed_create(const struct compressed_config *config, struct store **out);

struct compressed_counts {
    uint64_t packed, zero;   /* pages that are in it now */
    uint64_t packed_bytes;   /* that the packed ones' contents take */
    uint64_t memory_pages;   /* that are taken for them now */
    uint64_t large, no_room; /* writes ever that went behind, or failed: did not become small; no memory */
    uint64_t behind_reads, behind_writes; /* pages */
};
void compressed_count(const struct store *store, struct compressed_counts *out);

/* NULL, or the first invariant that does not hold. */
MUST_USE const char *compressed_check(const struct store *store);

#endif
