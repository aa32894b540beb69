/*
 * Tables that several spaces reach: sharing them at fork, and making one a space's own. See table.h.
 *
 * Locking: the table that holds the entry is locked; the shared one is locked inside. `shares` changes only
 * under the shared table's lock, so the holder who finds 1 is the only one.
 */
#include <string.h>

#include "vm/table_internal.h"

void mark_hold(struct pt_entry mark, uint64_t pages)
{
    uint32_t id = mark_object(mark);

    if (id != 0)
        object_hold_pages(object_by_id(id), pages);
}

/* W of one entry, cleared where the MMU may be setting A and D. What it was. */
static struct pt_entry clear_write(struct pt_entry *entry)
{
    return pt_entry(__atomic_fetch_and(&entry->bits, ~PT_WRITE, __ATOMIC_RELAXED));
}

static enum status copy_shared(struct frame *shared, struct frame **out);

/* With so few entries an upper table is not worth sharing: the first write of either side would copy it, a
 * level at a time. */
enum { ENTRIES_FEW = 8 };

static bool has_few(const struct frame *table)
{
    return table->table.level > 1 && table->table.live <= ENTRIES_FEW;
}

/* A wide table's children are not copied, so that what one change copies stays bounded. */
static bool is_worth_sharing(const struct frame *parent, const struct frame *table)
{
    return table->table.shares > 1 || !has_few(table) || !has_few(parent);
}

void table_share(const struct frame *parent, struct pt_entry *from, struct pt_entry *to)
{
    struct frame *table = entry_table(*from);
    struct frame *copy;

    lock_take(&table->table.lock);
    if (is_worth_sharing(parent, table) || copy_shared(table, &copy) != ST_OK) {
        table->table.shares++;
        pt_entry_store(to, pt_entry(clear_write(from).bits & ~PT_WRITE));
        STAT(table_shares);
    } else {
        pt_entry_store(to, pt_entry_table(frame_paddr(copy)));
    }
    lock_drop(&table->table.lock);
}

/* A private frame's entry for a table's copy at `to`: it is mapped once more, and neither may write at once.
 */
static enum status copy_entry(struct pt_entry *from, struct pt_entry *to)
{
    struct pt_entry entry = pt_entry_load(from);
    struct frame *frame = entry_private(entry);

    if (frame && rmap_add(frame, entry_place(to)) != ST_OK)
        return ST_NO_MEMORY;
    if (entry.bits & PT_WRITE && pt_entry_present(entry)) {
        entry = clear_write(from); /* with the D that both have from now on */
        entry.bits &= ~PT_WRITE;
    }
    pt_entry_store(to, entry);
    return ST_OK;
}

/* An entry that is about no private frame is copied already. True: it is about a slot, which counts the copy.
 */
static bool copy_swapped(struct pt_entry entry)
{
    uint32_t slot = entry_slot(entry);

    if (slot != 0)
        swap_dup(slot);
    return slot != 0;
}

/* All entries are copied already. Those of private frames and of slots, sought from the end as in
 * leaves_go(), are gone through once more: the frame is mapped once more, and neither may write at once. On
 * an error the copy counts those that it has. Apart, because it is what a fork costs a page. */
static __attribute__((noinline)) enum status copy_leaves(struct frame *from, struct frame *to)
{
    struct pt_entry *source = table_entries(from);
    struct pt_entry *target = table_entries(to);
    uint64_t places = entry_place(target) - (uintptr_t)source; /* from an entry to its copy's place */
    uint32_t left = from->privates;
    enum status status = ST_OK;

    for (struct pt_entry *at = source + from->table.high; left > 0; at--) {
        struct pt_entry entry = table_last_private(&at);
        struct frame *frame = last_private_frame(entry);

        if (!frame) {
            left -= copy_swapped(entry);
            continue;
        }
        if (__builtin_expect(frame_is_plain(frame), 1))
            rmap_second(frame, (uintptr_t)at + places);
        else if ((status = rmap_add(frame, (uintptr_t)at + places)) != ST_OK)
            break;
        left--;
        if ((entry.bits & (PT_WRITE | PT_PRESENT | PT_DIRTY)) == (PT_WRITE | PT_PRESENT | PT_DIRTY))
            (void)clear_write(at); /* nothing takes D away meanwhile: what it was need not be asked */
        else if ((entry.bits & (PT_WRITE | PT_PRESENT)) == (PT_WRITE | PT_PRESENT))
            entry = clear_write(at); /* with the D that both have from now on */
        else
            continue;
        pt_entry_store(&target[at - source], pt_entry(entry.bits & ~PT_WRITE));
    }
    to->privates = from->privates - left;
    return status;
}

/* A table above the leaves: tables are shared where that is worth it, marks and huge pages copied. */
static enum status copy_upper(struct frame *from, struct frame *to)
{
    struct pt_entry *source = table_entries(from);
    struct pt_entry *target = table_entries(to);
    unsigned level = from->table.level;

    for (unsigned i = from->table.low; to->table.live < from->table.live; i++) {
        struct pt_entry entry;

        i = table_next_live(from, i, from->table.live - to->table.live);
        entry = pt_entry_load(&source[i]);
        if (pt_entry_is_table(entry, level)) {
            table_share(from, &source[i], &target[i]);
        } else if (copy_entry(&source[i], &target[i]) == ST_OK) {
            mark_hold(entry, level_pages(level));
        } else {
            return ST_NO_MEMORY;
        }
        to->table.live++;
    }
    return ST_OK;
}

/* On an error `to` holds what was copied until then, counted; but its views count all. */
static enum status copy_table(struct frame *from, struct frame *to)
{
    enum status status;

    to->table.low = from->table.low;
    to->table.high = from->table.high;
    if (from->table.level > 1)
        return copy_upper(from, to);
    host_copy_entries(table_entries(to), table_entries(from));
    status = copy_leaves(from, to);
    views_link(to);
    to->table.live = from->table.live;
    return status;
}

/* What was copied is taken out again. That private pages have lost W costs a fault, nothing else. The copy is
 * locked, and is no more. */
static void undo_copy(struct frame *copy)
{
    struct flush_batch batch;

    batch_init(&batch, NULL); /* nobody has translated through the copy */
    table_go(&batch, copy);
    lock_drop(&copy->table.lock);
    table_free(copy);
    batch_drop_all(&batch);
}

static enum status copy_shared(struct frame *shared, struct frame **out)
{
    bool leaf = shared->table.level == 1;
    struct frame *copy =
        table_create(shared->table.level, shared->table.start, leaf ? TABLE_UNDEFINED : TABLE_EMPTY);

    if (!copy)
        return ST_NO_MEMORY;
    if (views_prepare(shared, copy) != ST_OK) {
        table_free(copy);
        return ST_NO_MEMORY;
    }
    lock_take(&copy->table.lock); /* reverse maps lead here while it is filled */
    if (copy_table(shared, copy) != ST_OK) {
        undo_copy(copy);
        return ST_NO_MEMORY;
    }
    lock_drop(&copy->table.lock);
    STAT(table_copies);
    *out = copy;
    return ST_OK;
}

/* The paging-structure caches may know the old table. They forget it before it loses a sharer: the others are
 * then free to end it. */
static void forget_table(const struct flush_batch *batch, uint64_t start)
{
    if (!batch->space)
        return;
    STAT(flush_pages);
    host_flush_page(&batch->space->mmu, vaddr(start));
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
            pt_entry_store(entry, pt_entry_table(frame_paddr(copy)));
            forget_table(batch, start);
            table->table.shares--;
            *out = copy;
        }
    } else {
        pt_entry_store(entry, pt_entry(entry->bits | PT_WRITE));
        *out = table;
    }
    lock_drop(&table->table.lock);
    return status;
}
