/*
 * mremap: growing, shrinking and moving a range.
 *
 * Moving takes the entries as they are to their new place; frames stay, their reverse map is told. Where old
 * and new address agree modulo 2 MiB, whole leaf tables move.
 */
#include "vm/cursor.h"
#include "vm/object_internal.h"
#include "vm/region.h"
#include "vm/table_internal.h"

struct move {
    struct space *space;
    uint64_t old, old_bytes, new_bytes;
    unsigned flags;
    uint64_t wanted;
    struct space_region region; /* what lies at `old` */
};

/* What follows a locked range is locked too, and made present if all of the range is: it was not locked on
 * fault. */
static unsigned extension_locks(const struct move *move)
{
    uint64_t pages = (move->region.end.v - move->region.start.v) >> PAGE_SHIFT;

    if (!(move->region.flags & SPACE_LOCKED))
        return 0;
    return SPACE_LOCKED | (move->region.resident_pages == pages ? (unsigned)SPACE_POPULATE : 0u);
}

/* The request for what would follow the range, `bytes` behind its start. */
static struct space_map extension(const struct move *move, uint64_t at, uint64_t offset, uint64_t bytes,
                                  unsigned flags)
{
    return (struct space_map){
        .hint = vaddr(at),
        .length_bytes = bytes,
        .access = move->region.access,
        .flags = flags | (move->region.flags & (SPACE_SHARED | SPACE_NEVER_WRITE)) | extension_locks(move),
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
    struct frame *frame = entry_private(entry);

    if (frame)
        rmap_move(frame, entry_place(from), entry_place(to));
    if (frame || entry_slot(entry)) {
        entry_count_privates(from, -1);
        entry_count_privates(to, 1);
    }
    pt_entry_store(to, entry);
}

/* An entry's page of an object is seen by another view from now on, which is there already. */
static void change_view(struct pt_entry entry, struct frame *from, unsigned first, struct frame *to,
                        unsigned target)
{
    struct reference reference;

    if (!entry_reference(entry, &reference))
        return;
    view_find(to, target, reference)->pages++;
    view_shrink(view_find(from, first, reference), 1);
}

/* Entries between two leaf tables, both locked and own; the target's are empty. */
static void move_entries(struct cursor *cursor, struct frame *from, struct frame *to, unsigned first,
                         unsigned target, unsigned count, uint64_t start)
{
    struct pt_entry *source = table_entries(from);
    struct pt_entry *sink = table_entries(to);
    unsigned moved = 0;

    for (unsigned i = 0; i < count; i++) {
        struct pt_entry entry = pt_entry_load(&source[first + i]);

        if (pt_entry_empty(entry))
            continue;
        if (pt_entry_present(entry) || entry_slot(entry))
            batch_page(&cursor->batch, start + i * PAGE_SIZE);
        change_view(entry, from, first + i, to, target + i);
        relocate(&source[first + i], &sink[target + i]);
        table_count_in(to, target + i);
        moved++;
    }
    table_count_out(from, moved);
}

/* Split and own everything down to that table. */
static enum status make_table(struct cursor *cursor, uint64_t address, unsigned level,
                              enum table_create create)
{
    struct frame *table = cursor->table;

    for (unsigned at = cursor->level; at > level; at--) {
        struct frame *child = NULL;
        enum status status =
            table_refine(&cursor->batch, table, &table_entries(table)[pt_index(vaddr(address), at)], at,
                         align_down(address, pt_level_span(at)), create, &child);

        if (status != ST_OK)
            return status;
        table = child;
    }
    return ST_OK;
}

/* One step of a move: a part that has one leaf table, or one level-2 entry, on either side. */
struct step {
    uint64_t from, to, bytes;
    bool apart; /* no leaf table is on both sides of the move, so none that moves as a whole gets other
                   entries */
};

static bool are_apart(uint64_t from, uint64_t to, uint64_t bytes)
{
    return align_up(from + bytes, HUGE_SIZE) <= align_down(to, HUGE_SIZE) ||
           align_up(to + bytes, HUGE_SIZE) <= align_down(from, HUGE_SIZE);
}

static struct step step_at(uint64_t from, uint64_t to, uint64_t left, bool apart)
{
    uint64_t bytes = HUGE_SIZE - (from & (HUGE_SIZE - 1));
    uint64_t other = HUGE_SIZE - (to & (HUGE_SIZE - 1));

    if (other < bytes)
        bytes = other;
    return (struct step){from, to, left < bytes ? left : bytes, apart};
}

/* Does all that the level-2 entry of `from` stands for move, to the same place within its span? Then the
 * entry itself can. */
static bool moves_whole(const struct cursor *cursor, const struct step *step)
{
    const struct frame *table = cursor->level >= 2 ? cursor_table(cursor, step->from, 2) : NULL;
    unsigned first = pt_index(vaddr(step->from), 1);
    struct pt_entry entry;

    if (!table || !step->apart || (step->from ^ step->to) & (HUGE_SIZE - 1))
        return false;
    entry = table_entries(table)[pt_index(vaddr(step->from), 2)];
    if (!pt_entry_is_table(entry, 2))
        return step->bytes == HUGE_SIZE && !pt_entry_empty(entry);
    return entry_table(entry)->table.low >= first &&
           entry_table(entry)->table.high < first + (step->bytes >> PAGE_SHIFT);
}

static bool target_is_empty(const struct cursor *cursor, const struct step *step)
{
    const struct frame *table = cursor_table(cursor, step->to, 2);

    return table && pt_entry_empty(table_entries(table)[pt_index(vaddr(step->to), 2)]);
}

/* The views that the target's table needs for what will be moved there; what is there is seen by the
 * source's. */
static enum status open_views(struct cursor *cursor, const struct step *step)
{
    struct frame *from = cursor_table(cursor, step->from, 1);
    struct frame *to = cursor_table(cursor, step->to, 1);
    unsigned first = pt_index(vaddr(step->from), 1);
    unsigned target = pt_index(vaddr(step->to), 1);
    enum status status = ST_OK;

    cursor_lock(cursor, to);
    for (unsigned i = 0; i < step->bytes >> PAGE_SHIFT && status == ST_OK; i++) {
        struct reference reference;

        if (entry_reference(table_entries(from)[first + i], &reference) &&
            !view_open(to, target + i, reference))
            status = ST_NO_MEMORY;
    }
    cursor_unlock(cursor, to);
    return status;
}

/* Views that were opened, and then not used. */
static void trim_views(struct cursor *cursor, const struct step *step)
{
    struct frame *to = cursor_table(cursor, step->to, 1);

    if (!to)
        return;
    cursor_lock(cursor, to);
    views_trim(to);
    cursor_unlock(cursor, to);
}

/* The tables that the step needs on both sides. */
static enum status prepare_step(struct cursor *cursor, const struct step *step)
{
    enum status status;

    if (moves_whole(cursor, step)) {
        /* A leaf table moves only as this space's own: for those who share it it stays where it is. */
        status =
            make_table(cursor, step->from, cursor_table(cursor, step->from, 1) ? 1 : 2, TABLE_KEEP_EMPTY);
        if (status == ST_OK)
            status = make_table(cursor, step->to, 2, TABLE_CREATE);
        if (status != ST_OK || target_is_empty(cursor, step))
            return status;
    }
    status = make_table(cursor, step->from, 1, TABLE_KEEP_EMPTY);
    if (status == ST_OK)
        status = make_table(cursor, step->to, 1, TABLE_CREATE);
    if (status == ST_OK)
        status = open_views(cursor, step);
    return status == ST_NOT_MAPPED ? ST_OK : status;
}

/* A level-2 entry with everything below it. */
static void move_whole(struct cursor *cursor, const struct step *step)
{
    struct frame *from = cursor_table(cursor, step->from, 2);
    struct frame *to = cursor_table(cursor, step->to, 2);
    struct pt_entry *source = &table_entries(from)[pt_index(vaddr(step->from), 2)];
    struct pt_entry *sink = &table_entries(to)[pt_index(vaddr(step->to), 2)];

    if (pt_entry_is_table(*source, 2)) {
        struct frame *leaf = entry_table(*source);

        lock_take(&leaf->table.lock);
        leaf->table.start = align_down(step->to, HUGE_SIZE);
        lock_drop(&leaf->table.lock);
        pt_entry_store(sink, pt_entry_swap(source, pt_entry(0)));
        batch_space(&cursor->batch);
    } else {
        batch_page(&cursor->batch, step->from);
        relocate(source, sink);
    }
    table_count_out(from, 1);
    table_count_in(to, pt_index(vaddr(step->to), 2));
}

static void commit_step(struct cursor *cursor, const struct step *step)
{
    struct frame *source, *sink;

    if (moves_whole(cursor, step) && target_is_empty(cursor, step)) {
        move_whole(cursor, step);
        return;
    }
    source = cursor_table(cursor, step->from, 1);
    if (!source)
        return;
    sink = cursor_table(cursor, step->to, 1);
    cursor_lock(cursor, source);
    if (sink != source)
        cursor_lock(cursor, sink);
    move_entries(cursor, source, sink, pt_index(vaddr(step->from), 1), pt_index(vaddr(step->to), 1),
                 (unsigned)(step->bytes >> PAGE_SHIFT), step->from);
    if (sink != source)
        cursor_unlock(cursor, sink);
    cursor_unlock(cursor, source);
}

/* Free the tables left empty. */
static void prune_range(struct space *space, uint64_t start, uint64_t bytes)
{
    for (uint64_t at = align_down(start, HUGE_SIZE); at < start + bytes; at += HUGE_SIZE)
        cursor_prune(space, at);
}

static enum status move_once(struct space *space, uint64_t from, uint64_t to, uint64_t bytes)
{
    uint64_t start = from < to ? from : to;
    uint64_t end = (from < to ? to : from) + bytes;
    bool apart = are_apart(from, to, bytes);
    struct step step;
    struct cursor cursor;
    enum status status = cursor_begin(&cursor, space, start, end, CURSOR_CHANGE);

    if (status != ST_OK)
        return status;
    for (uint64_t done = 0; done < bytes && status == ST_OK; done += step.bytes) {
        step = step_at(from + done, to + done, bytes - done, apart);
        status = prepare_step(&cursor, &step);
    }
    for (uint64_t done = 0; done < bytes; done += step.bytes) {
        step = step_at(from + done, to + done, bytes - done, apart);
        if (status == ST_OK)
            commit_step(&cursor, &step);
        else
            trim_views(&cursor, &step);
    }
    cursor_end(&cursor);
    prune_range(space, from, bytes);
    prune_range(space, to, bytes);
    return status;
}

/* ------------------------------------------------------------------ where to */

static enum status find_place(const struct move *move, uint64_t *to)
{
    if (!(move->flags & SPACE_MOVE_FIXED)) {
        bool large = move->new_bytes >= OWN_TABLE_BYTES;

        *to = range_find_free(move->space, 0, move->new_bytes, large ? HUGE_SIZE : PAGE_SIZE,
                              large ? move->old & (HUGE_SIZE - 1) : 0, false);
        return *to ? ST_OK : ST_NO_SPACE;
    }
    *to = move->wanted;
    return space_unmap(move->space, vaddr(*to), move->new_bytes);
}

static enum status cut_once(struct space *space, uint64_t start, uint64_t end)
{
    struct cursor cursor;
    enum status status = cursor_begin(&cursor, space, start, end, CURSOR_CHANGE);

    if (status != ST_OK)
        return status;
    status = cursor_cut(&cursor, TABLE_KEEP_EMPTY);
    cursor_end(&cursor);
    return status;
}

/* What is longer than its new place loses its tail when all the rest is done. Make the edges of that now, so
 * that it needs no memory then. */
static enum status prepare_tail(const struct move *move)
{
    enum status status = ST_OK;

    if (move->old_bytes > move->new_bytes)
        WITH_RECLAIM(status, cut_once(move->space, move->old + move->new_bytes, move->old + move->old_bytes));
    return status;
}

static enum status move_range(const struct move *move, uint64_t *to)
{
    uint64_t bytes = move->old_bytes < move->new_bytes ? move->old_bytes : move->new_bytes;
    enum status status = prepare_tail(move);

    if (status == ST_OK)
        status = find_place(move, to);
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
    if (!region_next_held(space, old.v, old.v + move.old_bytes, &move.region))
        return ST_NOT_MAPPED;
    status = resize(&move, &result);
    region_release(&move.region);
    if (status == ST_OK)
        *out = vaddr(result);
    return status;
}
