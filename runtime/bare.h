/*
 * Threads that need no allocation to begin: for a child of fork(), whose allocator may be locked until fork()
 * has returned. Signals are as with the thread that begins them.
 */
#ifndef QUIRE_RUNTIME_BARE_H
#define QUIRE_RUNTIME_BARE_H

#include <stdatomic.h>

#include "quire/status.h"
#include "quire/types.h"

enum { MOST_BARE = 40 };

/* For so many at a time, in this process and its children. False: not with this C library. Once in a process.
 */
MUST_USE bool bare_prepare(unsigned count);
/* In a child: none runs any more. */
void bare_reset(void);
/* ST_LIMIT: so many run; ST_NO_MEMORY. */
MUST_USE enum status bare_start(void *(*run)(void *context), void *context, unsigned *number);
void bare_join(unsigned number);

#endif
