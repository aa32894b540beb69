/*
 * Looking at a space: its regions, its counts, its invariants.
 *
 * There are no regions in a space; one is what neighbouring entries agree on, which is what /proc/PID/maps
 * shows.
 */
#include "vm/region.h"

#include "quire/watch.h"
#include "vm/cursor.h"
#include "vm/object_internal.h"
#include "vm/table_internal.h"

/* ------------------------------------------------------------------ regions */

/*
 * What an entry says of its region, in three numbers: two entries side by side are one region when the first
 * two agree and the index goes on.
 */
struct aspect {
    uint64_t kind;   /* access, SPACE_* flags, traits, packed */
    uint32_t object; /* number, 0: anonymous */
    uint64_t index;  /* of the page of the object */
    bool resident, swapped, dirty;
};

enum { ASPECT_FLAGS_SHIFT = 8, ASPECT_TRAITS_SHIFT = 16 };

static inline uint64_t aspect_kind(unsigned access, unsigned flags, unsigned traits)
{
    return access | (uint64_t)flags << ASPECT_FLAGS_SHIFT | (uint64_t)traits << ASPECT_TRAITS_SHIFT;
}

static inline void aspect_origin(struct aspect *out, uint64_t origin)
{
    if (origin & ORIGIN_OBJECT) {
        out->object = origin_object_id(origin);
        out->index = origin_index(origin);
    }
}

static inline struct aspect aspect_of_page(struct pt_entry page)
{
    const struct frame *frame = frame_at(pt_entry_paddr(page));
    struct aspect out = {
        .kind = aspect_kind(page_access(page), page.bits & PAGE_SHARED ? SPACE_SHARED : 0, page_traits(page)),
        .resident = true,
    };

    if (frame == zero_frame)
        return out;
    if (frame->use == FRAME_ANON) {
        out.dirty = true;
        aspect_origin(&out, frame->page.index);
        return out;
    }
    out.object = frame->page.object->id;
    out.index = frame->page.index;
    out.dirty = (frame_flags(frame) & FRAME_DIRTY) != 0;
    return out;
}

static inline struct aspect aspect_of_mark(struct pt_entry mark)
{
    struct aspect out = {.kind =
                             aspect_kind(mark_access(mark), mark_kind(mark) == MARK_SHARED ? SPACE_SHARED : 0,
                                         mark_traits(mark))};

    if (mark_has_object(mark)) {
        out.object = mark_object_id(mark);
        out.index = mark_index(mark);
    } else if (mark_kind(mark) == MARK_HELD) {
        out.resident = out.dirty = true;
        aspect_origin(&out, entry_origin(mark));
    } else if (mark_kind(mark) == MARK_SWAP) {
        out.swapped = true;
        aspect_origin(&out, entry_origin(mark));
    }
    return out;
}

static inline struct aspect aspect_of(struct pt_entry entry)
{
    return pt_entry_present(entry) ? aspect_of_page(entry) : aspect_of_mark(entry);
}

struct region_walk {
    struct aspect first;
    uint64_t start, end;
    uint64_t resident_pages, swap_pages, dirty_pages;
    bool found;
};

/* One entry more; false: it begins the next region. */
static inline bool region_add(struct region_walk *walk, struct pt_entry entry, uint64_t start, uint64_t span)
{
    struct aspect next = aspect_of(entry);

    if (!walk->found) {
        walk->first = next;
        walk->start = walk->end = start;
        walk->found = true;
    } else if (walk->end != start || walk->first.kind != next.kind || walk->first.object != next.object ||
               (next.object != 0 &&
                walk->first.index + ((start - walk->start) >> PAGE_SHIFT) != next.index)) {
        return false;
    }
    walk->end = start + span;
    if (next.resident)
        walk->resident_pages += span >> PAGE_SHIFT;
    if (next.swapped)
        walk->swap_pages += span >> PAGE_SHIFT;
    if (next.dirty)
        walk->dirty_pages += span >> PAGE_SHIFT;
    return true;
}

/* Pages of plain anonymous memory that follow the one at `entries`, at most `most`, and say what it says: how
 * many. By far the most frequent neighbours. */
static unsigned region_plain_pages(const struct pt_entry *entries, unsigned most)
{
    const uint64_t varies = PT_FRAME_MASK | PT_WRITE | PT_ACCESSED | PT_DIRTY;
    uint64_t bits = pt_entry_load(&entries[0]).bits;
    unsigned count = 0;

    if (!(bits & PT_PRESENT))
        return 0;
    while (count < most) {
        struct pt_entry next = pt_entry_load(&entries[count + 1]);
        const struct frame *frame = frame_at(pt_entry_paddr(next));

        if ((next.bits ^ bits) & ~varies || frame->use != FRAME_ANON || frame->page.index != 0)
            break;
        count++;
    }
    return count;
}

static bool region_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                         uint64_t start, void *context)
{
    struct region_walk *walk = context;
    uint64_t span = pt_level_span(level);

    for (unsigned i = 0; i < count; i++, start += span) {
        struct pt_entry entry = pt_entry_load(&entries[i]);

        if (pt_entry_empty(entry)) {
            if (walk->found)
                return false;
        } else if (!region_add(walk, entry, start, span)) {
            return false;
        } else if (level == 1 && walk->first.object == 0) {
            unsigned plain = region_plain_pages(&entries[i], count - i - 1);

            walk->end += plain * PAGE_SIZE;
            walk->resident_pages += plain;
            walk->dirty_pages += plain;
            start += plain * PAGE_SIZE;
            i += plain;
        }
    }
    return true;
}

static void region_fill(struct space_region *out, const struct region_walk *walk)
{
    unsigned traits = (unsigned)(walk->first.kind >> ASPECT_TRAITS_SHIFT);
    unsigned flags = (unsigned)(walk->first.kind >> ASPECT_FLAGS_SHIFT) & ((1u << ASPECT_FLAGS_SHIFT) - 1);

    if (flags & SPACE_SHARED)
        flags |= traits & TRAIT_NEVER_WRITE ? (unsigned)SPACE_NEVER_WRITE : 0u;
    else
        flags |= traits & TRAIT_GROWS_DOWN ? (unsigned)SPACE_GROWS_DOWN : 0u;
    flags |= traits & TRAIT_LOCKED ? (unsigned)SPACE_LOCKED : 0u;
    *out = (struct space_region){
        .start = vaddr(walk->start),
        .end = vaddr(walk->end),
        .access = walk->first.kind & ((1u << ASPECT_FLAGS_SHIFT) - 1),
        .flags = flags,
        .object = walk->first.object ? object_by_id(walk->first.object) : NULL,
        .first_page = walk->first.index,
        .resident_pages = walk->resident_pages,
        .swap_pages = walk->swap_pages,
        .dirty_pages = walk->dirty_pages,
    };
}

/* The region at or above `from`, as far as `limit`. */
static bool next_region(struct space *space, uint64_t from, uint64_t limit, struct space_region *out,
                        bool hold)
{
    struct region_walk walk = {0};
    struct cursor cursor;

    if (from >= limit || cursor_begin(&cursor, space, from, limit, CURSOR_LOOK) != ST_OK)
        return false;
    cursor_walk(&cursor, region_visit, &walk);
    if (walk.found) {
        region_fill(out, &walk);
        if (hold && out->object)
            object_ref(out->object);
    }
    cursor_end(&cursor);
    return walk.found;
}

bool space_next_region(struct space *space, struct vaddr from, struct space_region *out)
{
    return next_region(space, from.v, SPACE_END, out, false);
}

bool region_next_held(struct space *space, uint64_t from, uint64_t limit, struct space_region *out)
{
    if (!next_region(space, from, limit, out, true))
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
    uint64_t pages = level_pages(level);

    if (entry_is_locked(entry))
        out->locked_pages += pages;
    if (pt_entry_present(entry)) {
        const struct frame *frame = frame_at(pt_entry_paddr(entry));

        if (frame == zero_frame)
            return;
        if (frame->use == FRAME_ANON)
            out->anon_pages += pages;
        else
            out->file_pages += pages;
    } else if (mark_kind(entry) == MARK_HELD) {
        out->anon_pages += pages;
    } else {
        out->swap_pages += mark_kind(entry) == MARK_SWAP;
        return;
    }
    out->resident_pages += pages;
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
    CHECK_ALWAYS(((frame->flags & FRAME_HUGE) != 0) == (level == 2));
    CHECK_ALWAYS((frame->use != FRAME_ANON) == entry_is_object_page(entry));
    if (frame->use == FRAME_ANON) {
        bool cached = frame->flags & FRAME_SLOT;

        CHECK_ALWAYS(frame->mapcount >= 1 && frame->refs >= frame->mapcount + cached);
        CHECK_ALWAYS(!cached || !(frame->flags & FRAME_LAZY));
        CHECK_ALWAYS(!cached || swap_frame_agrees(frame, entry.bits & PT_WRITE && !held));
        CHECK_ALWAYS(rmap_has(frame, entry_place(at)));
        CHECK_ALWAYS(frame->page.object == NULL);
        CHECK_ALWAYS(held || !(entry.bits & PAGE_SHARED));
        CHECK_ALWAYS(held || !(entry.bits & PT_WRITE) || frame->mapcount == 1);
    } else {
        CHECK_ALWAYS(!held && level == 1 && !(frame->flags & FRAME_LAZY));
        CHECK_ALWAYS(frame->use == FRAME_FILE || frame->use == FRAME_SHARED);
        CHECK_ALWAYS(frame->page.object != NULL && !(frame->flags & FRAME_BUSY));
        CHECK_ALWAYS(frame->flags & FRAME_MAPPED);
        CHECK_ALWAYS(!(entry.bits & PT_WRITE) || entry.bits & PAGE_SHARED);
        CHECK_ALWAYS(!(entry.bits & PT_WRITE) || frame->flags & FRAME_DIRTY);
    }
}

static void check_entry(const struct pt_entry *at, struct pt_entry entry, unsigned level)
{
    if (pt_entry_present(entry)) {
        CHECK_ALWAYS(level <= 2 && (entry.bits & PT_USER || vm_watching));
        CHECK_ALWAYS(!(entry.bits & PT_WRITE) || entry.bits & PAGE_MAY_WRITE);
        check_mapped_frame(entry, at, level);
        return;
    }
    CHECK_ALWAYS(mark_kind(entry) >= MARK_ANON && mark_kind(entry) <= MARK_SWAP);
    if (mark_has_object(entry))
        CHECK_ALWAYS(object_by_id(mark_object_id(entry)) != NULL);
    else if (mark_kind(entry) == MARK_HELD)
        check_mapped_frame(entry, at, level);
    else if (mark_kind(entry) == MARK_SWAP)
        CHECK_ALWAYS(level == 1 && swap_mark_agrees(entry_slot(entry)));
    else
        CHECK_ALWAYS(mark_payload(entry) == 0);
}

/* A leaf table's views count all entries that refer to objects, and no others; and its private frames are
 * counted. */
static void check_views(const struct frame *table, unsigned level)
{
    uint64_t in_views = 0, in_entries = 0, privates = 0;

    CHECK_ALWAYS(level == 1 || !view_first(table));
    for (unsigned i = 0; level == 1 && i < PT_ENTRIES; i++) {
        struct reference reference;
        const struct view *view;

        privates += entry_private(table_entries(table)[i]) || entry_slot(table_entries(table)[i]);
        if (!entry_reference(table_entries(table)[i], &reference))
            continue;
        view = view_find(table, i, reference);
        CHECK_ALWAYS(view && view->pages > 0 && view->table == table);
        in_entries++;
    }
    for (const struct view *view = view_first(table); view; view = view->next)
        in_views += view->pages;
    CHECK_ALWAYS(in_views == in_entries && privates == table->privates);
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
    check_views(table, level);
    return pages;
}

void space_check(struct space *space)
{
    CHECK_ALWAYS(check_table(space->root, PT_LEVELS, 0, true) == space->mapped_pages);
}
