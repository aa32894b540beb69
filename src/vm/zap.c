/*
 * Taking pages, marks and tables out of a space. See table.h.
 *
 * An entry is emptied first, or can be reached no more; what it held goes into the batch, which lets go of it
 * after the flush.
 */
#include "vm/swap.h"
#include "vm/table_internal.h"

/* A private frame leaves its entry, which is no longer to be looked at. */
static inline void zap_frame(struct flush_batch *batch, struct frame *frame, uint64_t place,
                             struct pt_entry was)
{
    if (frame_is_plain(frame)) {
        rmap_last(frame);
        batch_free_frame(batch, frame);
        return;
    }
    rmap_remove(frame, place);
    frame_unmapped(frame, was);
    batch_drop_frame(batch, frame);
}

/* A page in swap leaves its entry; translations may still know it, if it is only just leaving memory. */
static void zap_slot(struct flush_batch *batch, uint32_t slot, uint64_t address)
{
    batch_page(batch, address);
    swap_put(slot);
}

/* ------------------------------------------------------------------ a part of a leaf table */

/* Entries that refer to one object at one distance, collected. */
struct shrink {
    struct frame *table;
    struct view *view;
    unsigned pages;
};

static void shrink_end(struct flush_batch *batch, struct shrink *shrink)
{
    if (shrink->pages == 0)
        return;
    batch_drop_object(batch, shrink->view->object_id, shrink->pages);
    view_shrink(shrink->view, shrink->pages);
    shrink->pages = 0;
}

static inline void shrink_add(struct flush_batch *batch, struct shrink *shrink, unsigned entry,
                              struct reference reference, unsigned pages)
{
    if (shrink->pages == 0 || shrink->view->object_id != reference.object_id ||
        shrink->view->base != (int64_t)reference.index - (int64_t)entry) {
        shrink_end(batch, shrink);
        shrink->view = view_find(shrink->table, entry, reference);
    }
    shrink->pages += pages;
}

/* Empties `count` entries that hold marks. */
static inline void clear_run(struct pt_entry *entries, unsigned count)
{
    for (; count >= 4; count -= 4, entries += 4) {
        pt_entry_store(&entries[0], pt_entry(0));
        pt_entry_store(&entries[1], pt_entry(0));
        pt_entry_store(&entries[2], pt_entry(0));
        pt_entry_store(&entries[3], pt_entry(0));
    }
    while (count-- > 0)
        pt_entry_store(entries++, pt_entry(0));
}

unsigned table_zap_leaves(struct flush_batch *batch, struct frame *table, unsigned first, unsigned last)
{
    struct pt_entry *entries = table_entries(table);
    struct shrink shrink = {.table = table};
    uint64_t place = entry_place(entries);
    unsigned left = table->table.live;
    unsigned zapped = 0;

    for (unsigned i = first, run = 1; i <= last && zapped < left; i += run) {
        struct pt_entry entry = pt_entry_load(&entries[i]);
        struct reference reference;
        struct frame *frame;

        run = 1;
        if (entry.bits == 0)
            continue;
        if (entry_reference(entry, &reference)) {
            run = is_frameless_mark(entry) ? mark_run(&entries[i], last + 1 - i, 1) : 1;
            shrink_add(batch, &shrink, i, reference, run);
        } else if (is_frameless_mark(entry)) {
            run = equal_run(&entries[i], last + 1 - i);
        }
        clear_run(&entries[i], run);
        if (pt_entry_present(entry) && batch->space)
            batch_page(batch, table->table.start + i * PAGE_SIZE);
        frame = entry_private(entry);
        if (frame) {
            table_count_privates(table, -1);
            zap_frame(batch, frame, place + i * sizeof entry, entry);
        } else if (entry_slot(entry)) {
            table_count_privates(table, -1);
            zap_slot(batch, entry_slot(entry), table->table.start + i * PAGE_SIZE);
        }
        zapped += run;
    }
    shrink_end(batch, &shrink);
    return zapped;
}

/* ------------------------------------------------------------------ whole tables */

/* What a leaf table holds, when nobody will look at it any more: its views count what it says of objects, so
 * only private frames and slots are looked for. The entries stay as they are. Returns how many were in use.
 */
static __attribute__((noinline)) unsigned leaves_go(struct flush_batch *batch, struct frame *table)
{
    struct pt_entry *entries = table_entries(table);
    uint64_t places = entry_place(entries) - (uintptr_t)entries; /* from an entry to its place */
    uint32_t left = table->privates;

    for (const struct view *view = view_first(table); view; view = view->next)
        batch_drop_object(batch, view->object_id, view->pages);
    views_end(table);
    /* From the end: data lie above text, and a stack's pages at its top. */
    for (struct pt_entry *at = entries + table->table.high; left > 0; at--) {
        struct pt_entry entry = table_last_private(&at);
        struct frame *frame = last_private_frame(entry);

        if (frame)
            zap_frame(batch, frame, (uintptr_t)at + places, entry);
        else if (entry_slot(entry))
            swap_put(entry_slot(entry));
        else
            continue;
        left--;
    }
    table->privates = 0;
    if (table->table.live > 0)
        batch_space(batch);
    return table->table.live;
}

/* Pages that the entries of a shared table stand for: the other sharers keep them, this space loses them. */
static uint64_t count_pages(const struct frame *table)
{
    const struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;
    uint64_t pages = 0;

    if (level == 1)
        return table->table.live;
    for (unsigned i = table->table.low; i <= table->table.high; i++) {
        struct pt_entry entry = pt_entry_load(&entries[i]);

        if (pt_entry_is_table(entry, level))
            pages += count_pages(entry_table(entry));
        else if (!pt_entry_empty(entry))
            pages += level_pages(level);
    }
    return pages;
}

static uint64_t drop_table(struct flush_batch *batch, struct frame *table)
{
    uint64_t pages;

    lock_take(&table->table.lock);
    if (table->table.shares > 1) {
        pages = batch->space ? count_pages(table) : 0;
        table->table.shares--;
        lock_drop(&table->table.lock);
        batch_space(batch);
        return pages;
    }
    pages = table_go(batch, table);
    lock_drop(&table->table.lock);
    table_retire(batch, table);
    return pages;
}

uint64_t table_go(struct flush_batch *batch, struct frame *table)
{
    struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;
    uint64_t span = pt_level_span(level);
    unsigned live = table->table.live;
    uint64_t pages = 0;

    if (level == 1)
        return leaves_go(batch, table);
    for (unsigned i = table->table.low; live > 0; i++) {
        i = table_next_live(table, i, live);
        pages += table_zap(batch, &entries[i], level, table->table.start + i * span);
        live--;
    }
    table->table.live = 0;
    return pages;
}

uint64_t table_zap(struct flush_batch *batch, struct pt_entry *entry, unsigned level, uint64_t start)
{
    struct pt_entry was = pt_entry_swap(entry, pt_entry(0));
    uint32_t id = mark_object(was);
    struct frame *frame;

    CHECK(level > 1);
    if (pt_entry_is_table(was, level)) {
        batch_page(batch, start); /* and the paging-structure caches */
        return drop_table(batch, entry_table(was));
    }
    if (id != 0)
        batch_drop_object(batch, id, level_pages(level));
    if (pt_entry_present(was))
        batch_page(batch, start);
    frame = entry_private(was);
    if (frame)
        zap_frame(batch, frame, entry_place(entry), was);
    return level_pages(level);
}
