/*
 * The sweep: enrols what policies do not know yet, by a walk over objects and spaces.
 *
 * Once when memory first falls short, and again when no victim is found, for what was missed: pages that came
 * while the first sweep began, and those that a full pool turned away.
 *
 * Huge pages are split: policies order single pages. Without swap those are not that could not go.
 *
 * Locking: a page's object, or the table of an entry that maps it, is locked while it is enrolled; the lists
 * of objects and spaces are, while they are walked.
 */
#include "vm/cursor.h"
#include "vm/lazy.h"
#include "vm/members.h"
#include "vm/pages.h"
#include "vm/swap.h"
#include "vm/table_internal.h"

/* ------------------------------------------------------------------ objects */

static void sweep_object(struct object *object)
{
    uint64_t index = 0;
    void *value;

    lock_take(&object->lock);
    for (; (value = radix_next(&object->pages, &index)) != NULL; index++)
        if (!tag_slot(value) && !(frame_flags(value) & FRAME_BUSY)) /* whoever fills it enrols it */
            pages_found(value);
    lock_drop(&object->lock);
}

static void sweep_objects(void)
{
    struct object *object;

    for (uint32_t above = 0; (object = object_next(above)) != NULL; object_unref(object)) {
        above = object->id;
        sweep_object(object);
    }
}

/* ------------------------------------------------------------------ spaces */

/* Huge pages that were met; they are split when no list is locked any more. */
enum { HUGE_AT_ONCE = 32 };

struct huge_list {
    unsigned count;
    struct {
        struct space *space; /* a reference */
        uint64_t start;
    } at[HUGE_AT_ONCE];
};

struct sweep {
    struct space *space;
    struct huge_list *huge;
};

/* A dying space's pages go without us. */
static bool hold_space(struct space *space)
{
    uint32_t refs = __atomic_load_n(&space->refs, __ATOMIC_RELAXED);

    while (refs != 0)
        if (__atomic_compare_exchange_n(&space->refs, &refs, refs + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

static void note_huge(const struct sweep *sweep, uint64_t start)
{
    struct huge_list *huge = sweep->huge;

    if (huge->count == HUGE_AT_ONCE || !hold_space(sweep->space))
        return;
    huge->at[huge->count].space = sweep->space;
    huge->at[huge->count++].start = start;
}

/* The table is locked. */
static void sweep_table(const struct sweep *sweep, struct frame *table)
{
    struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;

    for (unsigned i = table->table.low; i <= table->table.high && i < PT_ENTRIES; i++) {
        struct pt_entry entry = pt_entry_load(&entries[i]);
        struct frame *frame;

        if (pt_entry_is_table(entry, level)) {
            lock_take(&entry_table(entry)->table.lock);
            sweep_table(sweep, entry_table(entry));
            lock_drop(&entry_table(entry)->table.lock);
            continue;
        }
        frame = entry_private(entry);
        if (frame && level == 1)
            pages_found(frame);
        else if (frame && (swap_is_on() || frame_is_lazy(frame)))
            note_huge(sweep, table->table.start + i * pt_level_span(level));
    }
}

static void sweep_space(struct space *space, void *context)
{
    struct sweep sweep = {space, context};

    lock_take(&space->root->table.lock);
    sweep_table(&sweep, space->root);
    lock_drop(&space->root->table.lock);
}

/* False: there is no memory for its table. */
static bool split(struct space *space, uint64_t start)
{
    struct cursor cursor;
    enum status status = cursor_begin(&cursor, space, start, start + PAGE_SIZE, CURSOR_CHANGE);

    if (status != ST_OK)
        return false;
    status = cursor_to_level(&cursor, 1, TABLE_KEEP_EMPTY);
    cursor_end(&cursor);
    return status != ST_NO_MEMORY;
}

/* True: some were split, so that there are more pages to enrol, and perhaps more to split. */
static bool split_all(const struct huge_list *huge)
{
    bool done = false;

    for (unsigned i = 0; i < huge->count; i++) {
        done |= split(huge->at[i].space, huge->at[i].start);
        space_unref(huge->at[i].space);
    }
    return done;
}

uint64_t pages_sweep(void)
{
    uint64_t before = pages_enrolled();
    struct huge_list huge;

    sweep_objects();
    do {
        huge.count = 0;
        if (swap_is_on() || lazy_any())
            spaces_for_each(sweep_space, &huge);
    } while (split_all(&huge));
    return pages_enrolled() - before;
}
