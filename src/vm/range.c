/*
 * Free ranges: found by walking empty subtrees from a hint, 512 entries a step.
 *
 * The search goes downwards from the lowest mapping so far, which is nearly always right at once; before that
 * it tries the range that was unmapped last; when it comes to the bottom it begins again at the top.
 */
#include "vm/cursor.h"

/* The highest entry in use below `table` (locked) that has a byte in [cursor->start, cursor->end). */
static bool last_in(const struct cursor *cursor, struct frame *table, uint64_t *below, uint64_t *above)
{
    unsigned level = table->table.level;
    uint64_t span = pt_level_span(level);
    struct pt_entry *entries = table_entries(table);

    unsigned first, last;

    if (!table_part(table, cursor->start, cursor->end, &first, &last))
        return false;
    for (unsigned i = last + 1; i-- > first;) {
        uint64_t start = table->table.start + i * span;
        bool found;

        if (pt_entry_empty(entries[i]))
            continue;
        if (!pt_entry_is_table(entries[i], level)) {
            *below = start;
            *above = start + span;
            return true;
        }
        lock_take(&entry_table(entries[i])->table.lock);
        found = last_in(cursor, entry_table(entries[i]), below, above);
        lock_drop(&entry_table(entries[i])->table.lock);
        if (found)
            return true;
    }
    return false;
}

static bool first_in(const struct cursor *cursor, struct frame *table, uint64_t *below)
{
    unsigned level = table->table.level;
    uint64_t span = pt_level_span(level);
    struct pt_entry *entries = table_entries(table);

    unsigned first, last;

    if (!table_part(table, cursor->start, cursor->end, &first, &last))
        return false;
    for (unsigned i = first; i <= last; i++) {
        uint64_t start = table->table.start + i * span;
        bool found;

        if (pt_entry_empty(entries[i]))
            continue;
        if (!pt_entry_is_table(entries[i], level)) {
            *below = start;
            return true;
        }
        lock_take(&entry_table(entries[i])->table.lock);
        found = first_in(cursor, entry_table(entries[i]), below);
        lock_drop(&entry_table(entries[i])->table.lock);
        if (found)
            return true;
    }
    return false;
}

bool range_last_used(struct space *space, uint64_t start, uint64_t end, uint64_t *below, uint64_t *above)
{
    struct cursor cursor;
    bool found;

    if (cursor_begin(&cursor, space, start, end, CURSOR_LOOK) != ST_OK)
        return true;
    found = last_in(&cursor, cursor.table, below, above);
    cursor_end(&cursor);
    return found;
}

bool range_first_used(struct space *space, uint64_t start, uint64_t end, uint64_t *below)
{
    struct cursor cursor;
    bool found;

    if (cursor_begin(&cursor, space, start, end, CURSOR_LOOK) != ST_OK)
        return false;
    found = first_in(&cursor, cursor.table, below);
    cursor_end(&cursor);
    return found;
}

/* The highest free range that ends at or below `top`; 0: none. */
static uint64_t search_down(struct space *space, uint64_t top, uint64_t bytes, uint64_t align,
                            uint64_t congruent)
{
    for (;;) {
        uint64_t below, above, start;

        if (top < SPACE_START + bytes + align)
            return 0;
        start = align_down(top - bytes - congruent, align) + congruent;
        if (start < SPACE_START)
            return 0;
        if (!range_last_used(space, start, start + bytes, &below, &above))
            return start;
        top = below;
    }
}

static bool is_free(struct space *space, uint64_t start, uint64_t bytes)
{
    uint64_t below, above;

    return start >= SPACE_START && start + bytes >= start && start + bytes <= SPACE_END &&
           !range_last_used(space, start, start + bytes, &below, &above);
}

/* The range that was unmapped last, if it is large enough and still free. */
static uint64_t try_hole(struct space *space, uint64_t bytes, uint64_t align, uint64_t congruent)
{
    uint64_t start = 0;

    lock_take(&space->lock);
    if (space->hole_end - space->hole_start >= bytes)
        start = align_down(space->hole_end - bytes - congruent, align) + congruent;
    if (start < space->hole_start)
        start = 0;
    lock_drop(&space->lock);
    return start != 0 && is_free(space, start, bytes) ? start : 0;
}

uint64_t range_find_free(struct space *space, uint64_t hint, uint64_t bytes, uint64_t align,
                         uint64_t congruent, bool low)
{
    uint64_t start, lowest, top;

    if (hint != 0 && is_free(space, hint, bytes))
        return hint;
    if (bytes > SPACE_END - SPACE_START)
        return 0;
    if (low)
        return search_down(space, (uint64_t)1 << 31, bytes, align, congruent);
    start = try_hole(space, bytes, align, congruent);
    if (start != 0)
        return start;
    lock_take(&space->lock);
    lowest = space->map_hint;
    top = space->mmap_top;
    lock_drop(&space->lock);
    start = search_down(space, lowest, bytes, align, congruent);
    if (start == 0)
        start = search_down(space, top, bytes, align, congruent);
    if (start == 0)
        start = search_down(space, SPACE_END, bytes, align, congruent);
    if (start != 0 && start < lowest) {
        lock_take(&space->lock);
        space->map_hint = start;
        lock_drop(&space->lock);
    }
    return start;
}
