/*
 * madvise, msync, mincore.
 */
#include <string.h>

#include "vm/cursor.h"
#include "vm/lazy.h"
#include "vm/object_internal.h"
#include "vm/region.h"
#include "vm/swap.h"

/* ------------------------------------------------------------------ holes */

/* ST_NOT_MAPPED when any page of the range is empty. */
static enum status check_holes(struct space *space, uint64_t start, uint64_t end)
{
    while (start < end) {
        struct space_region region;

        if (!space_next_region(space, vaddr(start), &region) || region.start.v > start)
            return ST_NOT_MAPPED;
        start = region.end.v;
    }
    return ST_OK;
}

/* ------------------------------------------------------------------ don't need */

/* The mark that a private frame came from. */
static struct pt_entry origin_mark(uint64_t origin, unsigned access, unsigned traits)
{
    if (!(origin & ORIGIN_OBJECT))
        return mark_make(MARK_ANON, access, traits, 0);
    return mark_make(MARK_PRIVATE, access, traits,
                     object_payload(origin_object_id(origin), origin_index(origin)));
}

static inline __attribute__((always_inline)) void forget_frame(struct cursor *cursor, struct pt_entry *entry,
                                                               struct frame *frame, struct pt_entry was)
{
    rmap_remove(frame, entry_place(entry));
    frame_unmapped(frame, was);
    entry_count_privates(entry, -1);
    batch_drop_frame(&cursor->batch, frame);
}

static void forget_page(struct cursor *cursor, struct pt_entry *entry, struct pt_entry page, uint64_t start)
{
    struct frame *frame = frame_at(pt_entry_paddr(page));
    unsigned access = page_access(page);
    unsigned traits = page_traits(page);

    batch_page(&cursor->batch, start);
    if (frame == zero_frame) {
        pt_entry_store(entry, mark_make(MARK_ANON, access, traits, 0));
        return;
    }
    if (page.bits & PAGE_OBJECT) {
        pt_entry_store(entry, page_to_mark(page, frame));
        return;
    }
    pt_entry_store(entry, origin_mark(frame->page.index, access, traits));
    forget_frame(cursor, entry, frame, page);
}

static void forget_held(struct cursor *cursor, struct pt_entry *entry, struct pt_entry mark)
{
    struct frame *frame = frame_at(held_paddr(mark));

    pt_entry_store(entry, origin_mark(frame->page.index, ACCESS_NONE, mark_traits(mark)));
    forget_frame(cursor, entry, frame, mark);
}

static void forget_swapped(struct cursor *cursor, struct pt_entry *entry, struct pt_entry mark,
                           uint64_t start)
{
    uint32_t slot = entry_slot(mark);

    batch_page(&cursor->batch, start); /* it may be just leaving */
    pt_entry_store(entry, origin_mark(swap_origin(slot), mark_access(mark), mark_traits(mark)));
    entry_count_privates(entry, -1);
    swap_put(slot);
}

static bool forget_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                         uint64_t start, void *context)
{
    for (unsigned i = 0; i < count; i++) {
        struct pt_entry now = pt_entry_load(&entries[i]);

        if (pt_entry_present(now))
            forget_page(cursor, &entries[i], now, start + i * PAGE_SIZE);
        else if (mark_is_held(now))
            forget_held(cursor, &entries[i], now);
        else if (entry_slot(now))
            forget_swapped(cursor, &entries[i], now, start + i * PAGE_SIZE);
    }
    return true;
}

/* ------------------------------------------------------------------ not wanted any more */

static void free_page(struct cursor *cursor, struct pt_entry *entry, struct pt_entry page, uint64_t start)
{
    struct frame *frame = frame_at(pt_entry_paddr(page));

    if (frame == zero_frame || page.bits & PAGE_OBJECT || !lazy_mark(frame))
        return;
    frame_seen(frame, page);
    __atomic_fetch_and(&entry->bits, ~(PT_DIRTY | PT_ACCESSED), __ATOMIC_RELAXED);
    batch_page(&cursor->batch, start);
}

/* What has left memory already goes for good. */
static bool free_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                       uint64_t start, void *context)
{
    for (unsigned i = 0; i < count; i++) {
        struct pt_entry now = pt_entry_load(&entries[i]);

        if (pt_entry_present(now))
            free_page(cursor, &entries[i], now, start + i * PAGE_SIZE);
        else if (mark_is_held(now))
            (void)!lazy_mark(frame_at(held_paddr(now)));
        else if (entry_slot(now) && swap_origin(entry_slot(now)) == 0)
            forget_swapped(cursor, &entries[i], now, start + i * PAGE_SIZE);
    }
    return true;
}

/* ------------------------------------------------------------------ traits */

struct retrait {
    unsigned clear;
    unsigned set;
};

static bool retrait_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                          uint64_t start, void *context)
{
    const struct retrait *change = context;

    for (unsigned i = 0; i < count; i++)
        if (!pt_entry_empty(entries[i]))
            pt_entry_store(&entries[i],
                           entry_retrait(pt_entry_load(&entries[i]), change->clear, change->set));
    return true;
}

/* ------------------------------------------------------------------ will need */

static void will_need(struct space *space, uint64_t start, uint64_t end)
{
    struct space_region region;

    while (region_next_held(space, start, end, &region)) {
        uint64_t stop = region.end.v < end ? region.end.v : end;

        if (region.object && region.start.v < end)
            object_prefetch(region.object, region.first_page, (stop - region.start.v) >> PAGE_SHIFT);
        region_release(&region);
        start = stop;
    }
}

enum status space_advise(struct space *space, struct vaddr start, uint64_t length_bytes,
                         enum space_advice advice)
{
    static const struct retrait retraits[] = {
        [ADVICE_NORMAL] = {TRAIT_RANDOM | TRAIT_SEQUENTIAL, 0},
        [ADVICE_RANDOM] = {TRAIT_SEQUENTIAL, TRAIT_RANDOM},
        [ADVICE_SEQUENTIAL] = {TRAIT_RANDOM, TRAIT_SEQUENTIAL},
        [ADVICE_HUGE] = {TRAIT_NO_HUGE, 0},
        [ADVICE_NO_HUGE] = {0, TRAIT_NO_HUGE},
    };
    uint64_t end = 0;
    enum status holes, status = space_range(start, length_bytes, &end);

    if (status != ST_OK)
        return status == ST_INVALID ? ST_NOT_MAPPED : status;
    holes = check_holes(space, start.v, end);
    if (advice == ADVICE_WILL_NEED)
        will_need(space, start.v, end);
    else if (advice == ADVICE_DONT_NEED)
        status = cursor_change(space, start.v, end, forget_visit, NULL);
    else if (advice == ADVICE_FREE)
        status = cursor_change(space, start.v, end, free_visit, NULL);
    else
        status = cursor_change(space, start.v, end, retrait_visit, (void *)(uintptr_t)&retraits[advice]);
    return status == ST_OK ? holes : status;
}

/* ------------------------------------------------------------------ msync */

enum status space_sync(struct space *space, struct vaddr start, uint64_t length_bytes, bool wait)
{
    uint64_t at = start.v;
    uint64_t end = 0;
    enum status failed = ST_OK;
    enum status status = space_range(start, length_bytes, &end);
    struct space_region region;

    if (status != ST_OK)
        return status == ST_INVALID ? ST_NOT_MAPPED : status;
    while (region_next_held(space, at, end, &region)) {
        uint64_t stop = region.end.v < end ? region.end.v : end;

        if (region.start.v > at)
            status = ST_NOT_MAPPED; /* a hole: go on, and say so at the end */
        if (wait && region.object && region.flags & SPACE_SHARED)
            failed = object_sync(region.object, region.first_page, (stop - region.start.v) >> PAGE_SHIFT);
        region_release(&region);
        if (failed != ST_OK)
            return failed;
        at = stop;
    }
    return at < end ? ST_NOT_MAPPED : status;
}

/* ------------------------------------------------------------------ mincore */

static bool resident(struct pt_entry entry, uint64_t pages_in)
{
    struct object *object;
    struct frame *frame;
    bool there;

    if (pt_entry_present(entry) || mark_kind(entry) == MARK_HELD)
        return true;
    if (!mark_has_object(entry))
        return false;
    object = object_by_id(mark_object_id(entry));
    if (!lock_try(&object->lock))
        return false; /* in use this moment; the answer may be old when it arrives anyway */
    frame = object_find(object, mark_index(entry) + pages_in);
    there = frame && !(frame_flags(frame) & FRAME_BUSY);
    lock_drop(&object->lock);
    return there;
}

/* What stands for the range below one level-2 entry: a run of entries of a leaf table, or one larger entry.
 */
static const struct pt_entry *find_entries(const struct cursor *cursor, uint64_t start, unsigned *level)
{
    const struct frame *table = cursor->table;
    const struct pt_entry *entry;

    *level = cursor->level;
    for (;;) {
        entry = &table_entries(table)[pt_index(vaddr(start), *level)];
        if (!pt_entry_is_table(*entry, *level))
            return entry;
        table = entry_table(*entry);
        (*level)--;
    }
}

/* Pages of a leaf table that are there, four at a time: how many. */
static uint64_t incore_present(const struct pt_entry *entries, uint64_t most, uint8_t *residency)
{
    uint64_t count = 0;

    for (; count + 4 <= most; count += 4) {
        const struct pt_entry *four = &entries[count];

        if (!(four[0].bits & four[1].bits & four[2].bits & four[3].bits & PT_PRESENT))
            break;
        memset(&residency[count], 1, 4);
    }
    return count;
}

/* The part of the range below one level-2 entry. */
static enum status incore_part(struct space *space, uint64_t start, uint64_t end, uint8_t *residency)
{
    struct cursor cursor;
    unsigned level;
    const struct pt_entry *entry;
    enum status status = cursor_begin(&cursor, space, start, end, CURSOR_LOOK);

    if (status != ST_OK)
        return status;
    entry = find_entries(&cursor, start, &level);
    for (uint64_t page = start; page < end; page += PAGE_SIZE) {
        if (level == 1) {
            uint64_t there = incore_present(entry, (end - page) >> PAGE_SHIFT, residency);

            entry += there;
            residency += there;
            page += there << PAGE_SHIFT;
            if (page == end)
                break;
        }
        if (entry->bits & PT_PRESENT) {
            *residency++ = 1;
        } else if (pt_entry_empty(*entry)) {
            status = ST_NOT_MAPPED;
            break;
        } else {
            *residency++ = resident(*entry, (page & (pt_level_span(level) - 1)) >> PAGE_SHIFT);
        }
        entry += level == 1;
    }
    cursor_end(&cursor);
    return status;
}

enum status space_incore(struct space *space, struct vaddr start, uint64_t length_bytes, uint8_t *residency)
{
    uint64_t end = 0;
    enum status status = space_range(start, length_bytes, &end);

    if (status != ST_OK)
        return status == ST_INVALID ? ST_NOT_MAPPED : status;
    for (uint64_t at = start.v; at < end && status == ST_OK;) {
        uint64_t stop =
            align_down(at, HUGE_SIZE) + HUGE_SIZE < end ? align_down(at, HUGE_SIZE) + HUGE_SIZE : end;

        status = incore_part(space, at, stop, residency);
        residency += (stop - at) >> PAGE_SHIFT;
        at = stop;
    }
    return status;
}
