/*
 * What a served store (served.h) knows of its pages: a hash of the contents that the other end must have, and
 * whether they are sure to last.
 *
 *      acknowledged ---> UNFLUSHED ---- a flush that began later has ended ---> SURE
 *                            | connection lost           ^
 *                            +-------> DOUBTFUL ---------+ read and found to be there: UNFLUSHED again
 *
 * All three are told by the page's epoch, a count of flushes and losses when it was acknowledged:
 *
 *      0 … flushed: sure        doubt_low < … <= doubt_high: doubtful        above both: unflushed
 *
 * Locking: the store's thread only.
 */
#ifndef QUIRE_STORE_SERVED_PAGES_H
#define QUIRE_STORE_SERVED_PAGES_H

#include "quire/status.h"
#include "quire/types.h"

struct page_note {
    uint32_t hash; /* 0: nothing is known of it */
    uint32_t epoch;
};

struct served_pages {
    struct page_note *notes;
    uint64_t count;
    uint32_t epoch, flushed, doubt_low, doubt_high, flushing;
    uint64_t unflushed; /* pages, acknowledged before the flush that is under way, and after */
    uint64_t newer;
    uint64_t doubtful;    /* pages */
    uint64_t lowest, end; /* none outside is unflushed or doubtful */
};

MUST_USE enum status served_pages_init(struct served_pages *pages, uint64_t count);
void served_pages_destroy(struct served_pages *pages);

void served_pages_written(struct served_pages *pages, uint64_t page, const void *contents);
/* Its contents are not known any more: a write that failed, a discard. */
void served_pages_forget(struct served_pages *pages, uint64_t page);
/* False: that is not what must be there. */
bool served_pages_read(struct served_pages *pages, uint64_t page, const void *contents);

/* One flush at a time. */
void served_pages_flush_begins(struct served_pages *pages);
void served_pages_flushed(struct served_pages *pages);
void served_pages_flush_failed(struct served_pages *pages);
void served_pages_connection_lost(struct served_pages *pages);
/* The next doubtful page from `from` on, and how many up to `most` are in a row; 0: there is none. */
uint32_t served_pages_doubtful(const struct served_pages *pages, uint64_t *from, uint32_t most);

/* NULL, or the invariant that does not hold. */
MUST_USE const char *served_pages_check(const struct served_pages *pages);

#endif
