/*
 * Overcommit: how much memory may be promised (Linux's Documentation/mm/overcommit-accounting.rst).
 *
 * Promised is what private writable memory, and memory that lives in memory only, could come to need. It is
 * counted by walking the page tables, because there is no list of mappings: only for /proc/meminfo, and, with
 * COMMIT_NEVER, when the promises made since the last walk could have passed the limit.
 */
#ifndef KERNEL_LINUX_COMMIT_H
#define KERNEL_LINUX_COMMIT_H

#include "quire/types.h"

enum overcommit { COMMIT_GUESS, COMMIT_ALWAYS, COMMIT_NEVER };

enum overcommit overcommit_mode(void);
void overcommit_set_mode(enum overcommit mode);
/* Percent of memory that COMMIT_NEVER lets be promised beside swap; or, when not 0, so many pages. */
uint64_t overcommit_ratio(void);
uint64_t overcommit_pages(void);
void overcommit_set_ratio(uint64_t percent);
void overcommit_set_pages(uint64_t pages);

/* In pages: what may be, and what is promised. */
uint64_t commit_limit(void);
uint64_t committed(void);

/* May the current process be promised so many bytes more? */
bool commit_allows(uint64_t bytes);

#endif
