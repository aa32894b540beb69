/*
 * The floor: pages of files that stay when there is no room in swap.
 *
 * When swap is full, or there is none, only pages of files can go: programs' text and what they read. A
 * program that is left with fewer of them than it works with fetches each in the place of another, for ever,
 * and nobody says that memory is out. So the last of them do not go: of all pages of files a 1/32 of memory
 * (at most 32 MiB), and of each member's a 1/32 of its frames (at least 16 pages). When there is nothing
 * else, nothing can go, and that is out of memory. (M. S. Baines' min_filelist_kbytes for Chrome OS, 2010,
 * keeps 50 MB in the same way.)
 *
 * Swap counts as full from the moment that a page finds no slot, or the store no room, until so many slots
 * have come free that a few batches find theirs: one slot that is free would otherwise let a batch go of
 * which the other 31 are pages of files.
 *
 * Locking: everything under pages_lock.
 */
#ifndef VM_FLOOR_H
#define VM_FLOOR_H

#include "quire/frame.h"

/* Nothing is enrolled; swap is not full. */
void floor_init(void);
/* Memory has so many frames. */
void floor_set(uint64_t frames);

/* A page is enrolled, is no more. */
void floor_add(const struct frame *frame);
void floor_take(const struct frame *frame);

/* Pages found no room in swap; a slot has come free. */
void floor_swap_full(void);
void floor_slot_free(void);

/* Is there no room in swap? */
bool floor_holds(void);
/* Must the page of a file stay? Its member has `files` such pages, of `frames`; 0 of 0: it is nobody's. */
bool floor_keeps(uint64_t files, uint64_t frames);

/* Pages of files that are enrolled, as counted. */
uint64_t floor_files(void);

#endif
