/*
 * Pieces of memory of up to a page, packed closely into pages that are taken one at a time.
 *
 * A cell's size is a multiple of 64 bytes. Cells of one size lie behind each other in a span: one to four
 * pages, not neighbours, whichever number wastes least; a cell may lie across two of them, so its bytes are
 * copied in and, if need be, out.
 *
 *     span of three pages, cells of 1,344 bytes:   |..0..|..1..|..2..|.|.3.|..4..|..5..|..|..6..|..7..|..8..|
 *
 * Memory comes and goes through the caller's functions, and never more than `most` pages; a span without
 * cells gives its pages back at once. What describes spans lies in such pages too, 64 in each, which stay.
 *
 * Invariants (cells_check): a span that is in use has a cell; spans with a free cell, and only those, are on
 * the list of their size; cells->pages is what all spans and descriptions take. Locking: the caller's.
 */
#ifndef STORE_CELLS_H
#define STORE_CELLS_H

#include "base/list.h"
#include "quire/status.h"
#include "quire/store_compressed.h"
#include "quire/types.h"

enum { CELL_UNIT = 64, CELL_SIZES = 64, CELL_BYTES_MAX = CELL_UNIT * CELL_SIZES - 2, CELL_SPAN_PAGES = 4 };
enum { CELL_LEAST = 64 }; /* the smallest handle: those below are the caller's */

struct span; /* cells.c */

struct cells {
    const struct store_memory *memory;
    uint64_t pages, most; /* taken; at most */
    uint64_t used;        /* cells */
    struct span **directory;
    size_t directory_bytes;
    uint32_t spans;      /* that have a description: numbers 1 … spans */
    uint32_t free_first; /* of them, not in use; 0: none */
    struct list partial[CELL_SIZES];
};

/* ST_NO_MEMORY: nothing was taken. `memory` stays the caller's. */
MUST_USE enum status cells_init(struct cells *cells, const struct store_memory *memory, uint64_t most_pages);
void cells_destroy(struct cells *cells); /* with all that is in it */

/* A handle of 1 to CELL_BYTES_MAX bytes; 0: no room, nothing has changed. */
MUST_USE uint32_t cells_put(struct cells *cells, const void *from, size_t bytes);
/* How many bytes were put there. */
size_t cells_bytes(const struct cells *cells, uint32_t handle);
/* What was put there: in place, or copied into `spare` (a page). */
const void *cells_look(const struct cells *cells, uint32_t handle, void *spare, size_t *bytes);
void cells_drop(struct cells *cells, uint32_t handle);

bool cells_is_used(const struct cells *cells, uint32_t handle);
/* NULL, or what is wrong. */
MUST_USE const char *cells_check(const struct cells *cells);

#endif
