/*
 * Small kernel structures, cut from frames.
 *
 * slab_alloc() serves sizes up to half a page from classes of powers of two and their midpoints (16, 32, 48,
 * 64, 96, 128, 192 ... 1536, 2048), larger ones from whole blocks of frames. Cells are aligned to 16 bytes,
 * those whose class is a power of two to that, or to 64 if it is more. Locking: RANK_SLAB inside; any
 * context. Debug builds poison freed cells, verify the poison when a cell is handed out again, and catch a
 * double free.
 */
#ifndef QUIRE_SLAB_H
#define QUIRE_SLAB_H

#include <stddef.h>

#include "quire/types.h"

/* Zeroed memory of at least `size` bytes, or NULL. */
MUST_USE void *slab_alloc(size_t size);
/* `cell` may be NULL. Finds its size by the frame's descriptor. */
void slab_free(void *cell);
/* Bytes usable at `cell`. */
size_t slab_size(const void *cell);
/* A class keeps one wholly free slab; this gives those back to the frames. Returns how many frames. */
uint64_t slab_trim(void);
/* Cells in use now, of every size. */
uint64_t slab_live(void);
void slab_check(void);

#endif
