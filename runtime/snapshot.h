/*
 * Snapshots: a view of a region as it was at one moment, as fork() gives of all memory. The view is a region
 * with a store of its own, whose pages come from the live region as long as that has not changed them:
 *
 *      page of the view:     its own (written by either side)        else: the live region's, in memory or in
 * its store
 *
 * Before a page of the live region is first opened for writing, each view that has none of its own is given
 * one: the page is brought into the view, and counts as written there, so it goes to the view's store when it
 * must leave. So views know nothing of each other, and may end in any order.
 *
 * The moment: writers are held at the door, all that is open in the live region is closed (write-protected; a
 * dirty page is then DIRTY and CLOSED), the view is entered, and the door opens again. Whoever writes to an
 * open page until then has written before the moment; nobody can have seen a write that came after it.
 *
 *      write section:   region_write_enter ---- views get their pages ---- page opened ----
 * region_write_leave
 *
 * A page that is pinned may not be closed: the view gets its own at once.
 *
 * Locking: a write section is counted in region->writing; region->door holds new ones back and belongs to who
 * has door_lock. The list of views changes only while the door is closed and nobody is in a section. In a
 * section a thread may wait for pages of the region and of its views, which never wait for the door: views
 * have no views.
 */
#ifndef QUIRE_RUNTIME_SNAPSHOT_H
#define QUIRE_RUNTIME_SNAPSHOT_H

#include "pager.h"

/* Both are async-signal-safe. ST_IO_ERROR: the door has been closed for longer than the deadline. */
MUST_USE enum status region_write_enter(struct region *region);
void region_write_leave(struct region *region);
/* In a section: every view has its own of the page. */
MUST_USE enum status views_keep(struct place place);

/* Pages of a view as the live region has them. Async-signal-safe. */
MUST_USE enum status view_read(struct place first, uint8_t *memory, uint32_t count);

/* Nobody writes to the region, but to pages that are pinned, until region_thaw(). ST_IO_ERROR: a write takes
 * longer than the deadline; ST_RETRY: somebody else is at the door; nothing is held then. Never waits for a
 * lock, so regions_lock may be held. */
MUST_USE enum status region_freeze(struct region *region);
void region_thaw(struct region *region);

bool region_has_snapshots(struct region *region);
/* The same in a section of writing, where the list of views does not change. Async-signal-safe. */
bool region_has_views(const struct region *region);
/* The view is about to end: nothing is kept for it any more. */
MUST_USE enum status view_leave(struct region *view);

#endif
