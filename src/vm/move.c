/*
 * mremap: growing, shrinking and moving a range.
 *
 * Moving takes the entries as they are to their new place; frames stay, their reverse map is told. Where old
 * and new address agree modulo 2 MiB, whole leaf tables move.
 */
#include "vm/cursor.h"
#include "vm/object_internal.h"
#include "vm/region.h"

struct move {
    struct space *space;
    uint64_t old, old_bytes, new_bytes;
    unsigned flags;
    uint64_t wanted;
    struct space_region region; /* what lies at `old` */
};

/* The request for what would follow the range, `bytes` behind its start. */
static struct space_map extension(const struct move *move, uint64_t at, uint64_t offset, uint64_t bytes,
                                  unsigned flags)
{
    return (struct space_map){
        .hint = vaddr(at),
        .length_bytes = bytes,
        .access = move->region.access,
        .flags = flags | (move->region.flags & SPACE_SHARED),
        .object = move->region.object,
        .first_page = move->region.first_page + (offset >> PAGE_SHIFT),
    };
}

static enum status grow_in_place(const struct move *move)
{
    struct space_map request = extension(move, move->old + move->old_bytes, move->old_bytes,
                                         move->new_bytes - move->old_bytes, SPACE_NO_REPLACE);
    struct vaddr got;

    return space_map(move->space, &request, &got);
}

/* ------------------------------------------------------------------ moving entries */

static void relocate(struct pt_entry *from, struct pt_entry *to)
{
    struct pt_entry entry = pt_entry_swap(from, pt_entry(0));

    if (pt_entry_present(entry) || mark_is_held(entry)) {
        struct frame *frame = frame_at(pt_entry_present(entry) ? pt_entry_paddr(entry) : held_paddr(entry));

        if (frame != zero_frame)
            rmap_move(frame, entry_place(from), entry_place(to));
    }
    pt_entry_store(to, entry);
}

/* The leaf-level part: both tables are locked, own, and the target's entries are empty. */
static void move_entries(struct cursor *cursor, struct frame *from, struct frame *to, unsigned first,
                         unsigned target, unsigned count, uint64_t start)
{
    struct pt_entry *source = table_entries(from);
    struct pt_entry *sink = table_entries(to);
    unsigned moved = 0;

    for (unsigned i = 0; i < count; i++) {
        if (pt_entry_empty(source[first + i]))
            continue;
        if (pt_entry_present(source[first + i]))
            batch_page(&cursor->batch, start + i * PAGE_SIZE);
        relocate(&source[first + i], &sink[target + i]);
        table_count_in(to, target + i);
        moved++;
    }
    table_count_out(from, moved);
}

/* The leaf table for `address`, with its lock held by the walk down from cursor->table; the tables exist and
 * are own. */
static struct frame *leaf_of(const struct cursor *cursor, uint64_t address)
{
    struct frame *table = cursor->table;

    for (unsigned level = cursor->level; level > 1; level--)
        table = entry_table(table_entries(table)[pt_index(vaddr(address), level)]);
    return table;
}

/* Split and own everything down to level 1 at `address`. */
static enum status make_leaf(struct cursor *cursor, uint64_t address, enum table_create create)
{
    struct frame *table = cursor->table;

    for (unsigned level = cursor->level; level > 1; level--) {
        struct frame *child = NULL;
        enum status status =
            table_refine(&cursor->batch, table, &table_entries(table)[pt_index(vaddr(address), level)], level,
                         align_down(address, pt_level_span(level)), create, &child);

        if (status != ST_OK)
            return status;
        table = child;
    }
    return ST_OK;
}

/* Up to the next border of a leaf table on either side. */
static uint64_t step_bytes(uint64_t from, uint64_t to, uint64_t left)
{
    uint64_t step = HUGE_SIZE - (from & (HUGE_SIZE - 1));
    uint64_t other = HUGE_SIZE - (to & (HUGE_SIZE - 1));

    if (other < step)
        step = other;
    return left < step ? left : step;
}

/* Every leaf table that the move needs, on both sides. The cursor covers both. */
static enum status prepare_move(struct cursor *cursor, uint64_t from, uint64_t to, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes;) {
        enum status status = make_leaf(cursor, from + done, TABLE_KEEP_EMPTY);

        if (status == ST_OK)
            status = make_leaf(cursor, to + done, TABLE_CREATE);
        if (status != ST_OK && status != ST_NOT_MAPPED)
            return status;
        done += step_bytes(from + done, to + done, bytes - done);
    }
    return ST_OK;
}

static bool leaf_exists(const struct cursor *cursor, uint64_t address)
{
    struct frame *table = cursor->table;

    for (unsigned level = cursor->level; level > 1; level--) {
        struct pt_entry entry = table_entries(table)[pt_index(vaddr(address), level)];

        if (!pt_entry_is_table(entry, level))
            return false;
        table = entry_table(entry);
    }
    return true;
}

/* The cursor's own table is locked already. */
static void lock_leaf(const struct cursor *cursor, struct frame *leaf)
{
    if (leaf != cursor->table)
        lock_take(&leaf->table.lock);
}

static void unlock_leaf(const struct cursor *cursor, struct frame *leaf)
{
    if (leaf != cursor->table)
        lock_drop(&leaf->table.lock);
}

static void commit_move(struct cursor *cursor, uint64_t from, uint64_t to, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes;) {
        uint64_t step = step_bytes(from + done, to + done, bytes - done);

        if (leaf_exists(cursor, from + done)) {
            struct frame *source = leaf_of(cursor, from + done);
            struct frame *sink = leaf_of(cursor, to + done);

            lock_leaf(cursor, source);
            if (sink != source)
                lock_leaf(cursor, sink);
            move_entries(cursor, source, sink, pt_index(vaddr(from + done), 1), pt_index(vaddr(to + done), 1),
                         (unsigned)(step >> PAGE_SHIFT), from + done);
            if (sink != source)
                unlock_leaf(cursor, sink);
            unlock_leaf(cursor, source);
        }
        done += step;
    }
}

/* The tables left empty on both sides. */
static void prune_range(struct space *space, uint64_t start, uint64_t bytes)
{
    for (uint64_t at = align_down(start, HUGE_SIZE); at < start + bytes; at += HUGE_SIZE)
        cursor_prune(space, at);
}

static enum status move_once(struct space *space, uint64_t from, uint64_t to, uint64_t bytes)
{
    uint64_t start = from < to ? from : to;
    uint64_t end = (from < to ? to : from) + bytes;
    struct cursor cursor;
    enum status status = cursor_begin(&cursor, space, start, end, CURSOR_CHANGE);

    if (status != ST_OK)
        return status;
    status = prepare_move(&cursor, from, to, bytes);
    if (status == ST_OK)
        commit_move(&cursor, from, to, bytes);
    cursor_end(&cursor);
    prune_range(space, from, bytes);
    prune_range(space, to, bytes);
    return status;
}

/* ------------------------------------------------------------------ where to */

static enum status find_place(const struct move *move, uint64_t *to)
{
    if (!(move->flags & SPACE_MOVE_FIXED)) {
        bool large = move->new_bytes >= HUGE_SIZE;

        *to = range_find_free(move->space, 0, move->new_bytes, large ? HUGE_SIZE : PAGE_SIZE,
                              large ? move->old & (HUGE_SIZE - 1) : 0, false);
        return *to ? ST_OK : ST_NO_SPACE;
    }
    *to = move->wanted;
    return space_unmap(move->space, vaddr(*to), move->new_bytes);
}

static enum status move_range(const struct move *move, uint64_t *to)
{
    uint64_t bytes = move->old_bytes < move->new_bytes ? move->old_bytes : move->new_bytes;
    enum status status = find_place(move, to);

    if (status != ST_OK)
        return status;
    if (move->new_bytes > move->old_bytes) {
        struct space_map request = extension(move, *to + move->old_bytes, move->old_bytes,
                                             move->new_bytes - move->old_bytes, SPACE_NO_REPLACE);
        struct vaddr got;

        status = space_map(move->space, &request, &got);
        if (status != ST_OK)
            return status;
    }
    WITH_RECLAIM(status, move_once(move->space, move->old, *to, bytes));
    if (status != ST_OK) {
        if (move->new_bytes > move->old_bytes)
            (void)!space_unmap(move->space, vaddr(*to + move->old_bytes), move->new_bytes - move->old_bytes);
        return status;
    }
    if (move->old_bytes > move->new_bytes)
        return space_unmap(move->space, vaddr(move->old + bytes), move->old_bytes - bytes);
    return ST_OK;
}

static enum status resize(struct move *move, uint64_t *out)
{
    bool whole = move->region.end.v >= move->old + move->old_bytes && move->region.start.v == move->old;

    *out = move->old;
    if (!whole)
        return ST_NOT_MAPPED;
    if (move->flags & SPACE_MOVE_FIXED)
        return move_range(move, out);
    if (move->new_bytes == move->old_bytes)
        return ST_OK;
    if (move->new_bytes < move->old_bytes)
        return space_unmap(move->space, vaddr(move->old + move->new_bytes),
                           move->old_bytes - move->new_bytes);
    if (move->old + move->new_bytes <= SPACE_END && grow_in_place(move) == ST_OK)
        return ST_OK;
    return move->flags & SPACE_MAY_MOVE ? move_range(move, out) : ST_NO_SPACE;
}

enum status space_move(struct space *space, struct vaddr old, uint64_t old_bytes, uint64_t new_bytes,
                       unsigned flags, struct vaddr wanted, struct vaddr *out)
{
    struct move move = {
        .space = space,
        .old = old.v,
        .old_bytes = align_up(old_bytes, PAGE_SIZE),
        .new_bytes = align_up(new_bytes, PAGE_SIZE),
        .flags = flags,
        .wanted = wanted.v,
    };
    uint64_t end = 0;
    uint64_t result = 0;
    enum status status = space_range(old, old_bytes, &end);

    if (status == ST_OK && new_bytes == 0)
        status = ST_INVALID;
    if (status == ST_OK && flags & SPACE_MOVE_FIXED) {
        status = space_range(wanted, new_bytes, &end);
        if (status == ST_OK && wanted.v < old.v + move.old_bytes && old.v < wanted.v + move.new_bytes)
            status = ST_INVALID;
    }
    if (status != ST_OK)
        return status;
    if (!region_next_held(space, old.v, &move.region))
        return ST_NOT_MAPPED;
    status = resize(&move, &result);
    region_release(&move.region);
    if (status == ST_OK)
        *out = vaddr(result);
    return status;
}
