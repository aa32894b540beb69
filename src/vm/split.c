/*
 * Splitting the huge pages of a space, so that policies can judge and take their pages one by one.
 *
 * Tables that several spaces share are changed where they are: a split means the same to all of them.
 */
#include "vm/cursor.h"
#include "vm/table_internal.h"

static bool split_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                        uint64_t start, void *context)
{
    struct frame *table = frame_at(paddr(entry_place(entries)));
    struct frame *leaf = NULL;

    if (level == 1 || !entry_private(entries[0]))
        return true;
    if (table_refine(&cursor->batch, table, &entries[0], level, start, TABLE_KEEP_EMPTY, &leaf) != ST_OK)
        return false;
    ++*(uint64_t *)context;
    return true;
}

uint64_t space_split_huge(struct space *space)
{
    struct cursor cursor;
    uint64_t split = 0;

    if (cursor_begin(&cursor, space, SPACE_START, SPACE_END, CURSOR_LOOK) != ST_OK)
        return 0;
    cursor_walk(&cursor, split_visit, &split);
    cursor_end(&cursor);
    return split;
}
