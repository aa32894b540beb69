/*
 * Tables that several spaces reach: sharing them at fork, and making one a space's own. See table.h.
 *
 * Locking: the table that holds the entry is locked; the shared one is locked inside. `shares` changes only
 * under the shared table's lock, so the holder who finds 1 is the only one.
 */
#include <string.h>

#include "vm/table_internal.h"

void entry_hold(struct pt_entry entry, uint64_t pages)
{
    uint32_t id = entry_object(entry);

    if (id != 0)
        object_hold_pages(object_by_id(id), pages);
}

/* Holds of one object, collected while a table is gone through. */
struct hold_run {
    uint32_t id;
    uint64_t pages;
};

static void hold_run_end(struct hold_run *run)
{
    if (run->id != 0)
        object_hold_pages(object_by_id(run->id), run->pages);
    run->id = 0;
    run->pages = 0;
}

static inline void hold_run_add(struct hold_run *run, uint32_t id, uint64_t pages)
{
    if (id == 0)
        return;
    if (run->id != id) {
        hold_run_end(run);
        run->id = id;
    }
    run->pages += pages;
}

/* W of one entry, cleared where the MMU may be setting A. */
static void clear_write(struct pt_entry *entry)
{
    __atomic_fetch_and(&entry->bits, ~PT_WRITE, __ATOMIC_RELAXED);
}

void table_share(struct pt_entry *entry)
{
    struct frame *child = entry_table(*entry);

    lock_take(&child->table.lock);
    child->table.shares++;
    lock_drop(&child->table.lock);
    clear_write(entry);
    STAT(table_shares);
}

/* A page that its object has too. */
static bool is_object_page(struct pt_entry entry)
{
    const struct frame *frame;

    if (!pt_entry_present(entry))
        return false;
    frame = frame_at(pt_entry_paddr(entry));
    return frame != zero_frame && frame->use != FRAME_ANON;
}

/* The right to touch, and all else that an entry says beside its frame and what the MMU notes. */
static inline uint64_t page_kind(struct pt_entry page)
{
    return page.bits & ~(PT_FRAME_MASK | PT_ACCESSED | PT_DIRTY | PT_WRITE);
}

/*
 * Neighbouring pages of an object, at most `most`, become marks again in a table's copy: most are not touched
 * before the copy ends or is replaced by exec, and those that are come back sixteen by one fault. Returns how
 * many; the first one is such a page.
 */
static unsigned copy_object_pages(const struct pt_entry *from, struct pt_entry *to, unsigned most,
                                  struct hold_run *run)
{
    const struct frame *frames = frame_table; /* the stores below may not make it be loaded again */
    struct pt_entry entry = pt_entry_load(from);
    const struct frame *frame = frame_at(pt_entry_paddr(entry));
    const struct object *object = frame->page.object;
    uint64_t kind = page_kind(entry);
    uint64_t index = frame->page.index;
    uint64_t mark = page_to_mark(entry, frame).bits;
    unsigned count = 0;

    /* Only a page of the object itself names it: a private frame and the page of zeroes have no object. */
    do {
        pt_entry_store(&to[count++], pt_entry(mark));
        mark -= (uint64_t)1 << MARK_PAYLOAD_SHIFT;
        if (count == most)
            break;
        entry = pt_entry_load(&from[count]);
        frame = &frames[(entry.bits & PT_FRAME_MASK) >> PAGE_SHIFT];
    } while (page_kind(entry) == kind && frame->page.object == object && frame->page.index == index + count);
    hold_run_add(run, object->id, count);
    return count;
}

/* One page or mark of a shared table for its copy at `to`: what it refers to is counted once more. */
static enum status copy_leaf(struct pt_entry *from, struct pt_entry *to, unsigned level, struct hold_run *run)
{
    struct pt_entry entry = pt_entry_load(from);

    if (entry_counts_frame(entry) && rmap_add(counted_frame(entry), entry_place(to)) != ST_OK)
        return ST_NO_MEMORY;
    hold_run_add(run, entry_object(entry), level_pages(level));
    if ((entry.bits & (PT_PRESENT | PT_WRITE | PAGE_SHARED)) == (PT_PRESENT | PT_WRITE)) {
        clear_write(from);
        entry.bits &= ~PT_WRITE;
    }
    pt_entry_store(to, entry);
    return ST_OK;
}

/* copy_leaf() for a page of private memory at level 1. */
static inline enum status copy_private_page(struct pt_entry *from, struct pt_entry *to, uint64_t place,
                                            struct hold_run *run)
{
    struct pt_entry entry = pt_entry_load(from);
    struct frame *frame = frame_at(pt_entry_paddr(entry));

    if (rmap_add(frame, place) != ST_OK)
        return ST_NO_MEMORY;
    if (frame->page.index != 0)
        hold_run_add(run, origin_object_id(frame->page.index), 1);
    if (entry.bits & PT_WRITE)
        clear_write(from);
    pt_entry_store(to, pt_entry(entry.bits & ~PT_WRITE));
    return ST_OK;
}

/* A page of private memory that is not the zero page. */
static bool is_private_page(struct pt_entry entry)
{
    return pt_entry_present(entry) && frame_at(pt_entry_paddr(entry))->use == FRAME_ANON;
}

/* On an error `to` holds what was copied until then, counted. */
static enum status copy_table(struct frame *from, struct frame *to)
{
    struct pt_entry *source = table_entries(from);
    struct pt_entry *target = table_entries(to);
    uint64_t place = entry_place(target);
    struct hold_run run = {0};
    unsigned level = from->table.level;
    unsigned left = from->table.live;
    enum status status = ST_OK;

    to->table.low = from->table.low;
    to->table.high = from->table.high;
    for (unsigned i = from->table.low, done = 1; left > 0; i += done, left -= done) {
        struct pt_entry entry;

        i = table_next_live(source, i);
        entry = pt_entry_load(&source[i]);
        done = 1;
        if (is_frameless_mark(entry)) {
            done = mark_run(&source[i], left, level);
            memcpy(&target[i], &source[i], done * sizeof entry);
            if (mark_has_object(entry))
                hold_run_add(&run, mark_object_id(entry), done * level_pages(level));
        } else if (pt_entry_is_table(entry, level)) {
            table_share(&source[i]);
            pt_entry_store(&target[i], pt_entry(entry.bits & ~PT_WRITE));
        } else if (is_object_page(entry)) {
            done = copy_object_pages(&source[i], &target[i], left, &run);
        } else if (level == 1 && is_private_page(entry)) {
            status = copy_private_page(&source[i], &target[i], place + i * sizeof entry, &run);
            if (status != ST_OK)
                break;
        } else if ((status = copy_leaf(&source[i], &target[i], level, &run)) != ST_OK) {
            break;
        }
        to->table.live = (uint16_t)(to->table.live + done);
    }
    hold_run_end(&run);
    return status;
}

/* What was copied is taken out again. That private pages have lost W costs a fault, nothing else. */
static void undo_copy(struct frame *copy)
{
    struct flush_batch batch;

    batch_init(&batch, NULL); /* nobody has translated through the copy */
    table_empty(&batch, copy);
    table_free(copy);
    batch_drop_all(&batch);
}

static enum status copy_shared(struct frame *shared, struct frame **out)
{
    struct frame *copy = table_create(shared->table.level, shared->table.start, TABLE_EMPTY);

    if (!copy)
        return ST_NO_MEMORY;
    if (copy_table(shared, copy) != ST_OK) {
        undo_copy(copy);
        return ST_NO_MEMORY;
    }
    shared->table.shares--;
    STAT(table_copies);
    *out = copy;
    return ST_OK;
}

enum status table_own(struct flush_batch *batch, struct pt_entry *entry, uint64_t start, struct frame **out)
{
    struct frame *table = entry_table(*entry);
    enum status status = ST_OK;

    lock_take(&table->table.lock);
    if (table->table.shares > 1) {
        struct frame *copy = NULL;

        status = copy_shared(table, &copy);
        if (status == ST_OK) {
            lock_drop(&table->table.lock);
            pt_entry_store(entry, pt_entry_table(frame_paddr(copy)));
            batch_page(batch, start); /* the paging-structure caches may know the old table */
            *out = copy;
            return ST_OK;
        }
    } else {
        pt_entry_store(entry, pt_entry(entry->bits | PT_WRITE));
        *out = table;
    }
    lock_drop(&table->table.lock);
    return status;
}
