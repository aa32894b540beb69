/*
 * mlock: what stays in memory once it is there.
 *
 * That a page is locked is a trait of its entry (entry.h), as its advice is: there is no list of locked
 * ranges. Reclaim asks entry_is_locked() of every entry that maps a frame. Making what was locked present is
 * space_populate()'s work. A child of fork has no locks, although it shares its parent's tables at first: the
 * ranges that were locked get tables of their own, which only a process that locks pays for.
 *
 * space->lock_future and ->lock_limit are hints that system calls set and read; ->has_locks never goes back
 * to false.
 */
#include "vm/cursor.h"
#include "vm/region.h"

static bool lock_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                       uint64_t start, void *context)
{
    const bool *lock = context;

    for (unsigned i = 0; i < count; i++)
        if (!pt_entry_empty(entries[i]))
            pt_entry_store(&entries[i],
                           entry_retrait(pt_entry_load(&entries[i]), TRAIT_LOCKED, *lock ? TRAIT_LOCKED : 0));
    return true;
}

void space_note_locks(struct space *space)
{
    __atomic_store_n(&space->has_locks, true, __ATOMIC_RELAXED);
}

/* Where the first hole of [start, end) is; `*differs`: is something before it not as wanted? */
static uint64_t find_hole(struct space *space, uint64_t start, uint64_t end, bool lock, bool *differs)
{
    struct space_region region;

    *differs = false;
    while (start < end && space_next_region(space, vaddr(start), &region) && region.start.v <= start) {
        *differs |= ((region.flags & SPACE_LOCKED) != 0) != lock;
        start = region.end.v;
    }
    return start < end ? start : end;
}

enum status space_lock(struct space *space, struct vaddr start, uint64_t length_bytes, bool lock)
{
    uint64_t end = 0, stop;
    bool differs;
    enum status status = space_range(start, length_bytes, &end);

    if (status != ST_OK)
        return status == ST_INVALID ? ST_NOT_MAPPED : status;
    stop = find_hole(space, start.v, end, lock, &differs);
    if (differs) {
        if (lock)
            space_note_locks(space);
        status = cursor_change(space, start.v, stop, lock_visit, &lock);
    }
    return status == ST_OK && stop < end ? ST_NOT_MAPPED : status;
}

/* Only where something is locked, because other parts may still share their tables. */
static enum status unlock_all(struct space *space)
{
    struct space_region region;
    bool lock = false;
    enum status status = ST_OK;

    for (uint64_t at = 0; status == ST_OK && space_next_region(space, vaddr(at), &region); at = region.end.v)
        if (region.flags & SPACE_LOCKED)
            status = cursor_change(space, region.start.v, region.end.v, lock_visit, &lock);
    return status;
}

enum status space_lock_all(struct space *space, bool lock)
{
    if (!lock)
        return unlock_all(space);
    space_note_locks(space);
    return cursor_change(space, SPACE_START, SPACE_END, lock_visit, &lock);
}

bool space_has_locks(const struct space *space)
{
    return __atomic_load_n(&space->has_locks, __ATOMIC_RELAXED);
}

uint64_t space_locked_pages(struct space *space, struct vaddr start, uint64_t length_bytes)
{
    const uint64_t end = start.v + length_bytes;
    struct space_region region;
    uint64_t pages = 0;

    if (!space_has_locks(space))
        return 0;
    for (uint64_t at = start.v; at < end && space_next_region(space, vaddr(at), &region); at = region.end.v) {
        uint64_t from = region.start.v > at ? region.start.v : at;
        uint64_t stop = region.end.v < end ? region.end.v : end;

        if (region.flags & SPACE_LOCKED && from < stop)
            pages += (stop - from) >> PAGE_SHIFT;
    }
    return pages;
}

/* ------------------------------------------------------------------ what will be mapped */

void space_lock_future(struct space *space, enum space_locking how)
{
    if (how != SPACE_LOCKS_NOTHING)
        space_note_locks(space);
    __atomic_store_n(&space->lock_future, how, __ATOMIC_RELAXED);
}

enum space_locking space_locks_future(const struct space *space)
{
    return __atomic_load_n(&space->lock_future, __ATOMIC_RELAXED);
}

void space_set_lock_limit(struct space *space, uint64_t bytes)
{
    __atomic_store_n(&space->lock_limit, bytes, __ATOMIC_RELAXED);
}

bool space_may_lock(struct space *space, uint64_t more_bytes)
{
    uint64_t limit = __atomic_load_n(&space->lock_limit, __ATOMIC_RELAXED);

    return limit == UINT64_MAX ||
           space_locked_pages(space, vaddr(0), SPACE_END) + (more_bytes >> PAGE_SHIFT) <= limit >> PAGE_SHIFT;
}

/* ------------------------------------------------------------------ memory as a whole */

static bool count_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                        uint64_t start, void *context)
{
    uint64_t *pages = context;

    for (unsigned i = 0; i < count; i++)
        if (!pt_entry_empty(entries[i]) && entry_is_locked(entries[i]) &&
            (pt_entry_present(entries[i]) || mark_is_held(entries[i])))
            *pages += level_pages(level);
    return true;
}

static void count_space(struct space *space, void *context)
{
    struct cursor cursor;

    if (!space_has_locks(space) || cursor_begin(&cursor, space, SPACE_START, SPACE_END, CURSOR_LOOK) != ST_OK)
        return;
    cursor_walk(&cursor, count_visit, context);
    cursor_end(&cursor);
}

uint64_t vm_locked_pages(void)
{
    uint64_t pages = 0;

    spaces_for_each(count_space, &pages);
    return pages;
}
