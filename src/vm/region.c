/*
 * Looking at a space: its regions, its counts, its invariants.
 *
 * There are no regions in a space; one is what neighbouring entries agree on, which is what /proc/PID/maps
 * shows.
 */
#include "vm/region.h"

#include "vm/cursor.h"
#include "vm/object_internal.h"

/* ------------------------------------------------------------------ regions */

static void describe_origin(struct space_region *out, uint64_t origin)
{
    if (origin & ORIGIN_OBJECT) {
        out->object = object_by_id(origin_object_id(origin));
        out->first_page = origin_index(origin);
    }
}

static void describe_page(struct space_region *out, struct pt_entry page, unsigned level)
{
    const struct frame *frame = frame_at(pt_entry_paddr(page));

    out->access = page_access(page);
    out->resident_pages = level_pages(level);
    if (page.bits & PAGE_SHARED)
        out->flags |= SPACE_SHARED;
    if (frame == zero_frame)
        return;
    if (frame->use == FRAME_ANON) {
        out->dirty_pages = level_pages(level);
        describe_origin(out, frame->page.index);
        return;
    }
    out->object = frame->page.object;
    out->first_page = frame->page.index;
    out->dirty_pages = (frame->flags & FRAME_DIRTY) != 0;
}

static void describe_mark(struct space_region *out, struct pt_entry mark, unsigned level)
{
    out->access = mark_access(mark);
    if (mark_has_object(mark)) {
        out->object = object_by_id(mark_object_id(mark));
        out->first_page = mark_index(mark);
        if (mark_kind(mark) == MARK_SHARED)
            out->flags |= SPACE_SHARED;
    } else if (mark_kind(mark) == MARK_HELD) {
        out->access = ACCESS_NONE;
        out->resident_pages = out->dirty_pages = level_pages(level);
        describe_origin(out, frame_at(held_paddr(mark))->page.index);
    }
}

unsigned entry_traits(struct pt_entry entry)
{
    return pt_entry_present(entry) ? page_traits(entry) : mark_traits(entry);
}

static void describe(struct space_region *out, struct pt_entry entry, unsigned level, uint64_t start)
{
    *out = (struct space_region){.start = vaddr(start), .end = vaddr(start + pt_level_span(level))};
    if (pt_entry_present(entry))
        describe_page(out, entry, level);
    else
        describe_mark(out, entry, level);
    if (entry_traits(entry) & TRAIT_GROWS_DOWN)
        out->flags |= SPACE_GROWS_DOWN;
}

struct region_walk {
    struct space_region *out;
    unsigned traits;
    bool found;
};

static bool continues(const struct space_region *region, const struct space_region *next)
{
    return region->end.v == next->start.v && region->access == next->access && region->flags == next->flags &&
           region->object == next->object &&
           (!region->object ||
            region->first_page + ((region->end.v - region->start.v) >> PAGE_SHIFT) == next->first_page);
}

/* One entry more; false: it begins the next region. */
static bool region_add(struct region_walk *walk, struct pt_entry entry, unsigned level, uint64_t start)
{
    struct space_region next;

    describe(&next, entry, level, start);
    if (!walk->found) {
        *walk->out = next;
        walk->traits = entry_traits(entry);
        walk->found = true;
        return true;
    }
    if (walk->traits != entry_traits(entry) || !continues(walk->out, &next))
        return false;
    walk->out->end = next.end;
    walk->out->resident_pages += next.resident_pages;
    walk->out->dirty_pages += next.dirty_pages;
    return true;
}

static bool region_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                         uint64_t start, void *context)
{
    struct region_walk *walk = context;

    for (unsigned i = 0; i < count; i++) {
        struct pt_entry entry = pt_entry_load(&entries[i]);

        if (pt_entry_empty(entry)) {
            if (walk->found)
                return false;
        } else if (!region_add(walk, entry, level, start + i * pt_level_span(level))) {
            return false;
        }
    }
    return true;
}

static bool next_region(struct space *space, uint64_t from, struct space_region *out, bool hold)
{
    struct region_walk walk = {.out = out};
    struct cursor cursor;

    if (from >= SPACE_END || cursor_begin(&cursor, space, from, SPACE_END, CURSOR_LOOK) != ST_OK)
        return false;
    cursor_walk(&cursor, region_visit, &walk);
    if (walk.found && hold && out->object)
        object_ref(out->object);
    cursor_end(&cursor);
    return walk.found;
}

bool space_next_region(struct space *space, struct vaddr from, struct space_region *out)
{
    return next_region(space, from.v, out, false);
}

bool region_next_held(struct space *space, uint64_t from, struct space_region *out)
{
    if (!next_region(space, from, out, true))
        return false;
    if (out->start.v < from) {
        out->first_page += (from - out->start.v) >> PAGE_SHIFT;
        out->start = vaddr(from);
    }
    return true;
}

void region_release(struct space_region *region)
{
    if (region->object)
        object_unref(region->object);
}

/* ------------------------------------------------------------------ counts */

static void count_entry(struct space_counts *out, struct pt_entry entry, unsigned level)
{
    struct space_region one;

    describe(&one, entry, level, 0);
    out->resident_pages += one.resident_pages;
    if (one.resident_pages == 0 ||
        (pt_entry_present(entry) && frame_at(pt_entry_paddr(entry)) == zero_frame)) {
        out->resident_pages -= one.resident_pages;
        return;
    }
    if (pt_entry_present(entry) && frame_at(pt_entry_paddr(entry))->use != FRAME_ANON)
        out->file_pages += one.resident_pages;
    else
        out->anon_pages += one.resident_pages;
}

static void count_table(struct space_counts *out, struct frame *table)
{
    struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;

    out->table_frames++;
    for (unsigned i = table->table.low; i <= table->table.high && i < PT_ENTRIES; i++) {
        if (pt_entry_is_table(entries[i], level)) {
            lock_take(&entry_table(entries[i])->table.lock);
            count_table(out, entry_table(entries[i]));
            lock_drop(&entry_table(entries[i])->table.lock);
        } else if (!pt_entry_empty(entries[i])) {
            count_entry(out, entries[i], level);
        }
    }
}

void space_count(struct space *space, struct space_counts *out)
{
    *out = (struct space_counts){0};
    lock_take(&space->lock);
    out->break_start = space->break_start;
    out->break_end = space->break_end;
    out->stack_start = space->stack_start;
    out->stack_end = space->stack_end;
    lock_drop(&space->lock);
    out->mapped_bytes = __atomic_load_n(&space->mapped_pages, __ATOMIC_RELAXED) << PAGE_SHIFT;
    lock_take(&space->root->table.lock);
    count_table(out, space->root);
    lock_drop(&space->root->table.lock);
}

/* ------------------------------------------------------------------ invariants */

static void check_mapped_frame(struct pt_entry entry, const struct pt_entry *at, unsigned level)
{
    bool held = !pt_entry_present(entry);
    struct frame *frame = frame_at(held ? held_paddr(entry) : pt_entry_paddr(entry));

    if (frame == zero_frame) {
        CHECK_ALWAYS(!held && !(entry.bits & (PT_WRITE | PAGE_SHARED)) && level == 1);
        return;
    }
    CHECK_ALWAYS(frame->mapcount >= 1 && frame->refs >= frame->mapcount);
    CHECK_ALWAYS(rmap_has(frame, entry_place(at)));
    CHECK_ALWAYS(((frame->flags & FRAME_HUGE) != 0) == (level == 2));
    if (frame->use == FRAME_ANON) {
        CHECK_ALWAYS(frame->page.object == NULL);
        CHECK_ALWAYS(held || !(entry.bits & PAGE_SHARED));
        CHECK_ALWAYS(held || !(entry.bits & PT_WRITE) || frame->mapcount == 1);
    } else {
        CHECK_ALWAYS(!held && level == 1);
        CHECK_ALWAYS(frame->use == FRAME_FILE || frame->use == FRAME_SHARED);
        CHECK_ALWAYS(frame->page.object != NULL && !(frame->flags & FRAME_BUSY));
        CHECK_ALWAYS(!(entry.bits & PT_WRITE) || entry.bits & PAGE_SHARED);
        CHECK_ALWAYS(!(entry.bits & PT_WRITE) || frame->use == FRAME_SHARED || frame->flags & (FRAME_DIRTY));
    }
}

static void check_entry(const struct pt_entry *at, struct pt_entry entry, unsigned level)
{
    if (pt_entry_present(entry)) {
        CHECK_ALWAYS(level <= 2 && (entry.bits & PT_USER));
        CHECK_ALWAYS(!(entry.bits & PT_WRITE) || entry.bits & PAGE_MAY_WRITE);
        check_mapped_frame(entry, at, level);
        return;
    }
    CHECK_ALWAYS(mark_kind(entry) >= MARK_ANON && mark_kind(entry) <= MARK_HELD);
    if (mark_has_object(entry))
        CHECK_ALWAYS(object_by_id(mark_object_id(entry)) != NULL);
    else if (mark_kind(entry) == MARK_HELD)
        check_mapped_frame(entry, at, level);
    else
        CHECK_ALWAYS(mark_payload(entry) == 0);
}

static uint64_t check_table(struct frame *table, unsigned level, uint64_t start, bool own)
{
    struct pt_entry *entries = table_entries(table);
    unsigned last = level == PT_LEVELS ? USER_ROOT_ENTRIES : PT_ENTRIES;
    unsigned live = 0;
    uint64_t pages = 0;

    CHECK_ALWAYS(table->use == FRAME_TABLE && table->table.level == level && table->table.start == start);
    CHECK_ALWAYS(table->table.shares >= 1);
    CHECK_ALWAYS(!own || table->table.shares == 1);
    for (unsigned i = 0; i < last; i++) {
        if (pt_entry_empty(entries[i]))
            continue;
        live++;
        CHECK_ALWAYS(i >= table->table.low && i <= table->table.high);
        if (pt_entry_is_table(entries[i], level)) {
            struct frame *child = entry_table(entries[i]);

            CHECK_ALWAYS(child->table.live > 0);
            pages +=
                check_table(child, level - 1, start + i * pt_level_span(level), entries[i].bits & PT_WRITE);
        } else {
            check_entry(&entries[i], entries[i], level);
            pages += level_pages(level);
        }
    }
    CHECK_ALWAYS(live == table->table.live);
    return pages;
}

void space_check(struct space *space)
{
    CHECK_ALWAYS(check_table(space->root, PT_LEVELS, 0, true) == space->mapped_pages);
}
