/*
 * A store in ordinary memory, for tests and for figures without a disk.
 */
#ifndef QUIRE_STORE_MEMORY_H
#define QUIRE_STORE_MEMORY_H

#include "quire/store.h"

/* `pages` zeroes. NULL: no memory. */
MUST_USE struct store *store_memory(uint64_t pages);

#endif
