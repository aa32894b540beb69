/*
 * Cursors. See cursor.h.
 *
 * Locking: cursor->table is locked from cursor_begin() to cursor_end(). Inside, a child is locked while its
 * entries are looked at or changed: new cursors cannot come in, but those from before may still be there, and
 * so may reclaim, which comes by the reverse map.
 */
#include "vm/cursor.h"

#include "vm/object_internal.h"
#include "vm/view.h"

/* The level of the smallest table that covers the range; a range that is just one entry's span is its
 * parent's. */
static inline unsigned covering_level(uint64_t start, uint64_t end)
{
    uint64_t differs = start ^ (end - 1);

    if (differs < HUGE_SIZE - 1)
        return 1;
    if (differs >= ((uint64_t)1 << 39) - 1)
        return PT_LEVELS;
    if (differs >= GIANT_SIZE - 1)
        return end - start == GIANT_SIZE || differs >= GIANT_SIZE ? 3 : 2;
    return end - start == HUGE_SIZE || differs >= HUGE_SIZE ? 2 : 1;
}

static void step_down(struct cursor *cursor, struct frame *child)
{
    lock_take(&child->table.lock);
    lock_drop(&cursor->table->table.lock);
    cursor->table = child;
    cursor->level--;
}

/* From the cursor's table to the one below it, which is made the space's own; false: the way ends here, or
 * *status says why. */
static __attribute__((noinline)) bool descend_slowly(struct cursor *cursor, enum cursor_mode mode,
                                                     enum status *status)
{
    struct pt_entry *entry = cursor_entry(cursor);
    struct pt_entry now = pt_entry_load(entry);
    struct frame *child = entry_table(now);

    if (!pt_entry_is_table(now, cursor->level))
        return false;
    if (mode == CURSOR_CHANGE && !(now.bits & PT_WRITE))
        *status =
            table_refine(&cursor->batch, cursor->table, entry, cursor->level,
                         align_down(cursor->start, pt_level_span(cursor->level)), TABLE_KEEP_EMPTY, &child);
    if (*status == ST_OK)
        step_down(cursor, child);
    return *status == ST_OK;
}

/* The way down as it mostly is: tables that are the space's own. Stops where that ends, or at `stop`. `level`
 * is a constant at each call, so that the shifts are; a table's entries are found from the entry above it,
 * which is quicker than from its descriptor. */
static inline __attribute__((always_inline)) bool descend(struct cursor *cursor,
                                                          const struct pt_entry **entries,
                                                          struct frame **table, uint64_t start,
                                                          unsigned level, unsigned stop)
{
    struct pt_entry now = pt_entry_load(&(*entries)[pt_index(vaddr(start), level)]);
    struct frame *child = entry_table(now);

    if (level == stop || (now.bits & (PT_PRESENT | PT_HUGE | PT_WRITE)) != (PT_PRESENT | PT_WRITE)) {
        cursor->table = *table;
        cursor->level = level;
        return false;
    }
    lock_take(&child->table.lock);
    lock_drop(&(*table)->table.lock);
    *table = child;
    *entries = host_at(pt_entry_paddr(now));
    return true;
}

enum status cursor_begin(struct cursor *cursor, struct space *space, uint64_t start, uint64_t end,
                         enum cursor_mode mode)
{
    unsigned stop = covering_level(start, end);
    struct frame *table = space->root;
    const struct pt_entry *entries = table_entries(table);
    enum status status = ST_OK;

    cursor->space = space;
    cursor->start = start;
    cursor->end = end;
    batch_init(&cursor->batch, space);
    lock_take(&table->table.lock);
    if (descend(cursor, &entries, &table, start, 4, stop) &&
        descend(cursor, &entries, &table, start, 3, stop) &&
        descend(cursor, &entries, &table, start, 2, stop)) {
        cursor->table = table;
        cursor->level = 1;
        return ST_OK;
    }
    while (cursor->level > stop && descend_slowly(cursor, mode, &status))
        ;
    if (status != ST_OK)
        cursor_end(cursor);
    return status;
}

/* From the lowest up, each with its parent's lock held. */
void cursor_prune(struct space *space, uint64_t address)
{
    struct flush_batch batch;
    bool again = true;

    batch_init(&batch, space);
    while (again) {
        struct frame *table = space->root;
        unsigned level = PT_LEVELS;

        again = false;
        lock_take(&table->table.lock);
        while (level > 1) {
            struct pt_entry *entry = &table_entries(table)[pt_index(vaddr(address), level)];
            struct pt_entry now = pt_entry_load(entry);
            struct frame *child;

            if (!pt_entry_is_table(now, level) || !(now.bits & PT_WRITE))
                break;
            child = entry_table(now);
            lock_take(&child->table.lock);
            if (child->table.live == 0) {
                pt_entry_store(entry, pt_entry(0));
                table_count_out(table, 1);
                batch_page(&batch, address);
                lock_drop(&child->table.lock);
                table_retire(&batch, child);
                again = table->table.live == 0 && level < PT_LEVELS;
                break;
            }
            lock_drop(&table->table.lock);
            table = child;
            level--;
        }
        lock_drop(&table->table.lock);
    }
    batch_end(&batch);
}

void cursor_end(struct cursor *cursor)
{
    struct frame *table = cursor->table;
    bool left_empty = table->table.live == 0 && cursor->level < PT_LEVELS;

    if (batch_is_empty(&cursor->batch)) {
        lock_drop(&table->table.lock);
    } else {
        batch_flush(&cursor->batch);
        lock_drop(&table->table.lock);
        batch_end(&cursor->batch);
    }
    if (left_empty)
        cursor_prune(cursor->space, cursor->start);
}

enum status cursor_to_level(struct cursor *cursor, unsigned level, enum table_create create)
{
    while (cursor->level > level) {
        struct frame *child = NULL;
        uint64_t start = align_down(cursor->start, pt_level_span(cursor->level));
        enum status status = table_refine(&cursor->batch, cursor->table, cursor_entry(cursor), cursor->level,
                                          start, create, &child);

        if (status != ST_OK)
            return status;
        step_down(cursor, child);
    }
    return ST_OK;
}

/* ------------------------------------------------------------------ cutting */

/* Make `edge` an edge of entries below `table` (locked). */
static enum status cut_at(struct cursor *cursor, struct frame *table, unsigned level, uint64_t edge,
                          enum table_create create)
{
    struct frame *first = table;
    enum status status = ST_OK;

    while (level > 1 && !is_aligned(edge, pt_level_span(level))) {
        struct pt_entry *entry = &table_entries(table)[pt_index(vaddr(edge), level)];
        struct frame *child = NULL;

        status = table_refine(&cursor->batch, table, entry, level, align_down(edge, pt_level_span(level)),
                              create, &child);
        if (status != ST_OK)
            break;
        lock_take(&child->table.lock);
        if (table != first)
            lock_drop(&table->table.lock);
        table = child;
        level--;
    }
    if (table != first)
        lock_drop(&table->table.lock);
    return status == ST_NOT_MAPPED ? ST_OK : status;
}

enum status cursor_cut(struct cursor *cursor, enum table_create create)
{
    enum status status;

    /* a range in one leaf table: one way down does for both edges, and for what comes after */
    if (create == TABLE_CREATE && covering_level(cursor->start, cursor->end) == 1)
        return cursor_to_level(cursor, 1, TABLE_CREATE);
    status = cut_at(cursor, cursor->table, cursor->level, cursor->start, create);
    if (status == ST_OK)
        status = cut_at(cursor, cursor->table, cursor->level, cursor->end, create);
    return status;
}

static enum status own_below(struct cursor *cursor, struct frame *table, unsigned level)
{
    uint64_t span = pt_level_span(level);
    uint64_t first = table->table.start > cursor->start ? table->table.start : cursor->start;
    uint64_t last = cursor->end - 1;

    if (level == 1)
        return ST_OK;
    if (last > table->table.start + (span << PT_INDEX_BITS) - 1)
        last = table->table.start + (span << PT_INDEX_BITS) - 1;
    for (unsigned i = pt_index(vaddr(first), level); i <= pt_index(vaddr(last), level); i++) {
        struct pt_entry *entry = &table_entries(table)[i];
        struct frame *child = NULL;
        enum status status;

        if (!pt_entry_is_table(*entry, level))
            continue;
        status = table_refine(&cursor->batch, table, entry, level, table->table.start + i * span,
                              TABLE_KEEP_EMPTY, &child);
        if (status != ST_OK)
            return status;
        if (level == 2)
            continue;
        lock_take(&child->table.lock);
        status = own_below(cursor, child, level - 1);
        lock_drop(&child->table.lock);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

enum status cursor_own(struct cursor *cursor)
{
    enum status status = cursor_cut(cursor, TABLE_KEEP_EMPTY);

    if (status == ST_OK)
        status = own_below(cursor, cursor->table, cursor->level);
    return status;
}

/* ------------------------------------------------------------------ changing */

static inline bool covers(const struct cursor *cursor, uint64_t start, uint64_t span)
{
    return cursor->start <= start && start + span <= cursor->end;
}

/* Free the child when nothing is left in it; `table` is locked. */
static void drop_if_empty(struct cursor *cursor, struct frame *table, struct pt_entry *entry, uint64_t start)
{
    struct frame *child = entry_table(*entry);

    if (child->table.live != 0)
        return;
    pt_entry_store(entry, pt_entry(0));
    table_count_out(table, 1);
    batch_page(&cursor->batch, start);
    table_retire(&cursor->batch, child);
}

enum keep_empty { FREE_EMPTY, KEEP_EMPTY };

static void clear_in(struct cursor *cursor, struct frame *table, enum keep_empty keep)
{
    struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;
    uint64_t span = pt_level_span(level);
    unsigned first, last;
    unsigned cleared = 0;
    uint64_t pages = 0;

    if (!table_part(table, cursor->start, cursor->end, &first, &last))
        return;
    if (level == 1)
        pages = cleared = table_zap_leaves(&cursor->batch, table, first, last);
    for (unsigned i = first; level > 1 && i <= last; i++) {
        uint64_t start = table->table.start + i * span;

        if (entries[i].bits == 0)
            continue;
        if (covers(cursor, start, span)) {
            pages += table_zap(&cursor->batch, &entries[i], level, start);
            cleared++;
        } else {
            struct frame *child = entry_table(entries[i]);

            lock_take(&child->table.lock);
            clear_in(cursor, child, keep);
            lock_drop(&child->table.lock);
            if (keep == FREE_EMPTY)
                drop_if_empty(cursor, table, &entries[i], start);
        }
    }
    if (cleared) {
        table_count_out(table, cleared);
        if (level == 1)
            table_narrow(table, first, last);
    }
    space_sub_pages(cursor->space, pages);
}

void cursor_clear(struct cursor *cursor)
{
    clear_in(cursor, cursor->table, FREE_EMPTY);
}

void cursor_clear_keep(struct cursor *cursor)
{
    clear_in(cursor, cursor->table, KEEP_EMPTY);
}

/* Entries first..last of a leaf table, which are empty, get `mark` and its successors. */
static void fill_leaves(struct frame *table, unsigned first, unsigned last, struct pt_entry mark)
{
    struct pt_entry *entry = table_entries(table) + first;
    struct pt_entry *end = table_entries(table) + last + 1;
    uint64_t step = mark_has_object(mark) ? (uint64_t)1 << MARK_PAYLOAD_SHIFT : 0;
    uint64_t bits = mark.bits;

    for (; step == 0 && end - entry >= 4; entry += 4) {
        pt_entry_store(&entry[0], mark);
        pt_entry_store(&entry[1], mark);
        pt_entry_store(&entry[2], mark);
        pt_entry_store(&entry[3], mark);
    }
    for (; end - entry >= 4; entry += 4) {
        pt_entry_store(&entry[0], pt_entry(bits));
        pt_entry_store(&entry[1], pt_entry(bits - step));
        pt_entry_store(&entry[2], pt_entry(bits - 2 * step));
        pt_entry_store(&entry[3], pt_entry(bits - 3 * step));
        bits -= 4 * step;
    }
    for (; entry < end; entry++, bits -= step)
        pt_entry_store(entry, pt_entry(bits));
    table->table.live = (uint16_t)(table->table.live + last + 1 - first);
    if (first < table->table.low)
        table->table.low = (uint16_t)first;
    if (last > table->table.high)
        table->table.high = (uint16_t)last;
}

static void fill_in(struct cursor *cursor, struct frame *table, struct pt_entry mark)
{
    struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;
    uint64_t span = pt_level_span(level);
    unsigned first, last;

    if (!table_span(table, cursor->start, cursor->end, &first, &last))
        return;
    if (level == 1) {
        uint64_t start = table->table.start + first * span;

        fill_leaves(table, first, last, mark_advance(mark, (start - cursor->start) >> PAGE_SHIFT));
        return;
    }
    for (unsigned i = first; i <= last; i++) {
        uint64_t start = table->table.start + i * span;

        if (covers(cursor, start, span)) {
            CHECK(entries[i].bits == 0);
            pt_entry_store(&entries[i], mark_advance(mark, (start - cursor->start) >> PAGE_SHIFT));
            table_count_in(table, i);
        } else {
            struct frame *child = entry_table(entries[i]);

            lock_take(&child->table.lock);
            fill_in(cursor, child, mark);
            lock_drop(&child->table.lock);
        }
    }
}

void cursor_fill(struct cursor *cursor, struct pt_entry mark)
{
    uint64_t pages = (cursor->end - cursor->start) >> PAGE_SHIFT;

    fill_in(cursor, cursor->table, mark);
    mark_hold(mark, pages);
    space_add_pages(cursor->space, pages);
}

/* ------------------------------------------------------------------ views of what is filled in */

struct frame *cursor_table(const struct cursor *cursor, uint64_t address, unsigned level)
{
    struct frame *table = cursor->table;

    for (unsigned at = cursor->level; at > level; at--) {
        struct pt_entry entry = table_entries(table)[pt_index(vaddr(address), at)];

        if (!pt_entry_is_table(entry, at))
            return NULL;
        table = entry_table(entry);
    }
    return table;
}

void cursor_lock(const struct cursor *cursor, struct frame *table)
{
    if (table != cursor->table)
        lock_take(&table->table.lock);
}

void cursor_unlock(const struct cursor *cursor, struct frame *table)
{
    if (table != cursor->table)
        lock_drop(&table->table.lock);
}

/* The part of the range that lies in one leaf table at its edge, and what it will refer to. */
struct edge {
    struct frame *table;
    unsigned entry, pages;
    struct reference reference;
};

/* The edge at `address`; false: all of the table's span is in the range, so the mark stands one level up. */
static bool edge_at(const struct cursor *cursor, uint64_t address, struct pt_entry mark, struct edge *edge)
{
    uint64_t start = align_down(address, HUGE_SIZE), end = start + HUGE_SIZE;

    if (start >= cursor->start && end <= cursor->end)
        return false;
    if (start < cursor->start)
        start = cursor->start;
    if (end > cursor->end)
        end = cursor->end;
    mark = mark_advance(mark, (start - cursor->start) >> PAGE_SHIFT);
    edge->table = cursor_table(cursor, start, 1);
    edge->entry = pt_index(vaddr(start), 1);
    edge->pages = (unsigned)((end - start) >> PAGE_SHIFT);
    edge->reference = (struct reference){mark_object_id(mark), mark_index(mark)};
    return true;
}

static enum status view_edge(struct cursor *cursor, const struct edge *edge)
{
    struct view *view;

    cursor_lock(cursor, edge->table);
    view = view_open(edge->table, edge->entry, edge->reference);
    if (view)
        view->pages += edge->pages;
    cursor_unlock(cursor, edge->table);
    return view ? ST_OK : ST_NO_MEMORY;
}

/* What view_edge() did is undone. */
static void unview_edge(struct cursor *cursor, const struct edge *edge)
{
    cursor_lock(cursor, edge->table);
    view_shrink(view_find(edge->table, edge->entry, edge->reference), edge->pages);
    cursor_unlock(cursor, edge->table);
}

enum status cursor_view(struct cursor *cursor, struct pt_entry mark)
{
    bool one_table = align_down(cursor->start, HUGE_SIZE) == align_down(cursor->end - 1, HUGE_SIZE);
    struct edge first, last;
    bool has_first, has_last;
    enum status status = ST_OK;

    if (!mark_has_object(mark))
        return ST_OK;
    has_first = edge_at(cursor, cursor->start, mark, &first);
    has_last = !one_table && edge_at(cursor, cursor->end - 1, mark, &last);
    if (has_first)
        status = view_edge(cursor, &first);
    if (status != ST_OK || !has_last)
        return status;
    status = view_edge(cursor, &last);
    if (status != ST_OK && has_first)
        unview_edge(cursor, &first);
    return status;
}

/* ------------------------------------------------------------------ looking */

static bool walk_in(struct cursor *cursor, struct frame *table, cursor_visit *visit, void *context)
{
    struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;
    uint64_t span = pt_level_span(level);
    unsigned first, last;

    if (!table_part(table, cursor->start, cursor->end, &first, &last))
        return true;
    if (level == 1)
        return visit(cursor, &entries[first], last - first + 1, 1, table->table.start + first * span,
                     context);
    for (unsigned i = first; i <= last; i++) {
        bool go_on;

        if (entries[i].bits == 0)
            continue;
        if (pt_entry_is_table(entries[i], level)) {
            struct frame *child = entry_table(entries[i]);

            lock_take(&child->table.lock);
            go_on = walk_in(cursor, child, visit, context);
            lock_drop(&child->table.lock);
        } else {
            go_on = visit(cursor, &entries[i], 1, level, table->table.start + i * span, context);
        }
        if (!go_on)
            return false;
    }
    return true;
}

bool cursor_walk(struct cursor *cursor, cursor_visit *visit, void *context)
{
    return walk_in(cursor, cursor->table, visit, context);
}

static bool empty_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                        uint64_t start, void *context)
{
    for (unsigned i = 0; i < count; i++)
        if (!pt_entry_empty(entries[i]))
            return false;
    return true;
}

bool cursor_is_empty(struct cursor *cursor)
{
    return cursor_walk(cursor, empty_visit, NULL);
}

static enum status change_once(struct space *space, uint64_t start, uint64_t end, cursor_visit *visit,
                               void *context)
{
    struct cursor cursor;
    enum status status = cursor_begin(&cursor, space, start, end, CURSOR_CHANGE);

    if (status != ST_OK)
        return status;
    status = cursor_own(&cursor);
    if (status == ST_OK)
        cursor_walk(&cursor, visit, context);
    cursor_end(&cursor);
    return status;
}

enum status cursor_change(struct space *space, uint64_t start, uint64_t end, cursor_visit *visit,
                          void *context)
{
    enum status status;

    WITH_RECLAIM(status, change_once(space, start, end, visit, context));
    return status;
}
