/*
 * Which parts of the arena are mapped, and how: sorted extents, neighbours of one protection being one.
 * Addresses are in bytes, multiples of a page, [start, end).
 *
 * Locking: the caller's.
 */
#ifndef QUIRE_PRELOAD_EXTENTS_H
#define QUIRE_PRELOAD_EXTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extent {
    uintptr_t start, end;
    int protection; /* PROT_* of Linux */
};

struct extents {
    uintptr_t start, end; /* the whole arena */
    uintptr_t open_end;   /* extents_find() looks below */
    struct extent *items; /* memory for `most` */
    size_t count, most;
};

/* `length` free bytes with as much room behind them for growth as `room` says, if there are such, or without;
 * the lowest. 0: none. */
uintptr_t extents_find(const struct extents *extents, uint64_t length, uint64_t room);
/* Nothing of the range is mapped. */
bool extents_are_free(const struct extents *extents, uintptr_t start, uintptr_t end);
/* All of it is. */
bool extents_cover(const struct extents *extents, uintptr_t start, uintptr_t end);
/* The extent at the address or NULL. */
const struct extent *extents_at(const struct extents *extents, uintptr_t address);
/* The range becomes mapped so, whatever it was; what is behind `end` etc. stays. False: no memory; no change.
 */
bool extents_set(struct extents *extents, uintptr_t start, uintptr_t end, int protection);
bool extents_unset(struct extents *extents, uintptr_t start, uintptr_t end);
uint64_t extents_bytes(const struct extents *extents);
/* NULL or the invariant that does not hold. */
const char *extents_check(const struct extents *extents);

#endif
