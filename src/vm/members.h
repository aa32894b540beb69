/*
 * Members: who is charged for pages, and whose pages go first; and the pools that the pages are in.
 *
 * Locking: everything under pages_lock.
 */
#ifndef VM_MEMBERS_H
#define VM_MEMBERS_H

#include "quire/reclaim.h"
#include "vm/pool.h"

enum { POOLS = 1 };

extern struct spinlock pages_lock; /* RANK_RECLAIM */
extern struct pool pools[POOLS];
extern const struct policy_host pages_host; /* pages.c */

void members_init(void);
/* Makes the first pool. ST_NO_MEMORY: nothing has changed. */
MUST_USE enum status members_start(void);
/* Gives the pools back; nothing is enrolled. */
void members_end(void);

/* Victims are sought for the member `taker` (0: nobody in particular). */
void members_begin(uint32_t taker);
/* The next one; NULL: nobody has one left. */
struct frame *members_victim(void);

/* The pool that a page goes into. */
uint32_t members_pool(const struct frame *frame);

#endif
