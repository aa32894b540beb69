/*
 * Taking pages, marks and tables out of a space. See table.h.
 *
 * An entry is emptied first; what it held goes into the batch, which lets go of it after the flush.
 */
#include "vm/table_internal.h"

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

/* A page or a mark leaves its entry, which is empty already. */
static inline void zap_leaf(struct flush_batch *batch, struct pt_entry entry, uint64_t place, unsigned level,
                            uint64_t start)
{
    uint32_t id = entry_object(entry);

    if (id != 0)
        batch_drop_object(batch, id, level_pages(level));
    if (pt_entry_present(entry))
        batch_page(batch, start);
    if (entry_counts_frame(entry)) {
        struct frame *frame = counted_frame(entry);

        rmap_remove(frame, place);
        batch_drop_frame(batch, frame);
    }
}

/* zap_leaf() for a page at level 1: the most frequent cases of all by themselves. */
static inline void zap_page(struct flush_batch *batch, struct pt_entry entry, uint64_t place, uint64_t start)
{
    struct frame *frame = frame_at(pt_entry_paddr(entry));

    if (batch->space)
        batch_page(batch, start);
    if (frame->use != FRAME_ANON) {
        if (frame == zero_frame)
            return;
        batch_drop_object(batch, frame->page.object->id, 1);
    } else if (frame->page.index != 0) {
        batch_drop_object(batch, origin_object_id(frame->page.index), 1);
    } else if (frame_is_sole(frame)) {
        rmap_last(frame);
        batch_free_frame(batch, frame);
        return;
    }
    rmap_remove(frame, place);
    batch_drop_frame(batch, frame);
}

unsigned table_zap_leaves(struct flush_batch *batch, struct frame *table, unsigned first, unsigned last)
{
    struct pt_entry *entries = table_entries(table);
    uint64_t place = entry_place(entries);
    uint64_t start = table->table.start;
    unsigned left = table->table.live;
    unsigned zapped = 0;

    for (unsigned i = first, run = 1; i <= last && zapped < left; i += run) {
        struct pt_entry entry = pt_entry_load(&entries[i]);

        run = 1;
        if (entry.bits == 0)
            continue;
        if (is_frameless_mark(entry)) {
            run = mark_run(&entries[i], last + 1 - i, 1);
            clear_run(&entries[i], run);
            if (mark_has_object(entry))
                batch_drop_object(batch, mark_object_id(entry), run);
        } else {
            entry = pt_entry_swap(&entries[i], pt_entry(0));
            if (pt_entry_present(entry))
                zap_page(batch, entry, place + i * sizeof entry, start + i * PAGE_SIZE);
            else
                zap_leaf(batch, entry, place + i * sizeof entry, 1, start + i * PAGE_SIZE);
        }
        zapped += run;
    }
    return zapped;
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
    pages = table_empty(batch, table);
    lock_drop(&table->table.lock);
    table_retire(batch, table);
    return pages;
}

uint64_t table_empty(struct flush_batch *batch, struct frame *table)
{
    struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;
    uint64_t span = pt_level_span(level);
    unsigned live = table->table.live;
    uint64_t pages = 0;

    if (level == 1) {
        pages = table_zap_leaves(batch, table, table->table.low, table->table.high);
        live = 0;
    }
    for (unsigned i = table->table.low; live > 0; i++) {
        i = table_next_live(entries, i);
        pages += table_zap(batch, &entries[i], level, table->table.start + i * span);
        live--;
    }
    table_count_out(table, table->table.live);
    return pages;
}

uint64_t table_zap(struct flush_batch *batch, struct pt_entry *entry, unsigned level, uint64_t start)
{
    struct pt_entry was = pt_entry_swap(entry, pt_entry(0));

    if (pt_entry_is_table(was, level)) {
        batch_page(batch, start); /* and the paging-structure caches */
        return drop_table(batch, entry_table(was));
    }
    zap_leaf(batch, was, entry_place(entry), level, start);
    return level_pages(level);
}
