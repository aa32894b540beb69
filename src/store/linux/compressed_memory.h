/*
 * Compressed pages in memory, alone or in front of another store: quire/store_compressed.h for a Linux
 * program, with memory of its own and a lock, so that any number of threads may use it.
 */
#ifndef QUIRE_STORE_COMPRESSED_MEMORY_H
#define QUIRE_STORE_COMPRESSED_MEMORY_H

#include "quire/store.h"

/* `memory_pages`: that packed pages may take. `behind`: NULL, or where what does not fit goes; stays the
 * caller's. ST_NO_MEMORY; ST_INVALID as compressed_create(). */
MUST_USE enum status store_compressed_memory(uint64_t pages, uint32_t memory_pages, struct store *behind,
                                             struct store **store);

#endif
