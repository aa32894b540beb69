/*
 * Shadows: which pages went, and when, so that those that come back are counted and how soon. They are kept
 * for reports alone and policies do not see them, so a table that forgets (one place a name, the newest
 * stays) will do.
 *
 * Locking: pages_lock.
 */
#ifndef VM_SHADOW_H
#define VM_SHADOW_H

#include "quire/reclaim.h"

/* A new machine: there are none. */
void shadows_init(void);
/* For a memory of so many frames; once. Without memory for it nothing is counted. */
void shadows_make(uint32_t frames);
void shadows_end(void);

/* The page that is called so has gone, has come. True: it had gone before. */
void shadow_leave(uint64_t name);
MUST_USE bool shadow_return(uint64_t name);
/* Pages that came back, ever. */
uint64_t shadow_returns(void);

void shadows_look(struct reclaim_report *out);

#endif
