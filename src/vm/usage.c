/*
 * What a range of a space has in memory, page by page: for /proc/PID/smaps and pagemap, and for starting to
 * observe anew which pages are used (clear_refs).
 *
 * How many map a page is known up to tables that fork has shared: an entry counts once for each space that
 * has its table, other tables that map the same page count once each. Nothing here changes what a space
 * means.
 */
#include "vm/usage.h"
#include "vm/cursor.h"
#include "vm/lazy.h"
#include "vm/table_internal.h"
#include "vm/view.h"

/* ------------------------------------------------------------------ the walk */

struct usage_walk {
    uint64_t start, end;
    usage_visit *visit;
    void *context;
};

/* The table is locked; `shares` spaces have it, if all tables above belong to one. */
static bool walk_table(const struct usage_walk *walk, struct frame *table, uint64_t shares)
{
    const struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level, first, last;
    bool go_on = true;

    if (!table_part(table, walk->start, walk->end, &first, &last))
        return true;
    for (unsigned i = first; i <= last && go_on; i++) {
        struct pt_entry entry = pt_entry_load(&entries[i]);
        struct frame *child;

        if (pt_entry_empty(entry))
            continue;
        if (!pt_entry_is_table(entry, level)) {
            go_on = walk->visit(entry, level, table->table.start + i * pt_level_span(level), shares,
                                walk->context);
            continue;
        }
        child = entry_table(entry);
        lock_take(&child->table.lock);
        go_on = walk_table(walk, child, shares * child->table.shares);
        lock_drop(&child->table.lock);
    }
    return go_on;
}

bool usage_walk(struct space *space, uint64_t start, uint64_t end, usage_visit *visit, void *context)
{
    const struct usage_walk walk = {start, end, visit, context};
    bool all;

    lock_take(&space->root->table.lock);
    all = walk_table(&walk, space->root, 1);
    lock_drop(&space->root->table.lock);
    return all;
}

/* ------------------------------------------------------------------ sums of a range */

/* The frame that an entry maps or holds; NULL: none. */
static struct frame *entry_frame(struct pt_entry entry)
{
    if (pt_entry_present(entry))
        return frame_at(pt_entry_paddr(entry));
    return mark_is_held(entry) ? frame_at(held_paddr(entry)) : NULL;
}

static uint64_t mappings_of(struct frame *frame, uint64_t shares)
{
    uint64_t tables = frame->use == FRAME_ANON ? frame_mapcount(frame) : view_count(frame);

    return tables <= 1 ? shares : tables - 1 + shares;
}

/* Not wanted any more, and not written to since. */
static bool is_lazy(const struct frame *frame, struct pt_entry entry)
{
    return frame_is_lazy(frame) && !(pt_entry_present(entry) && entry.bits & PT_DIRTY);
}

static bool is_dirty(const struct frame *frame, struct pt_entry entry)
{
    if (frame->use == FRAME_ANON)
        return !(frame_flags(frame) & FRAME_SLOT || is_lazy(frame, entry)) ||
               frame_flags(frame) & FRAME_DIRTY;
    return frame->use == FRAME_SHARED || frame_flags(frame) & FRAME_DIRTY;
}

static void add_frame(struct space_usage *out, struct frame *frame, struct pt_entry entry, uint64_t pages,
                      uint64_t shares)
{
    uint64_t mappings = mappings_of(frame, shares);
    bool dirty = is_dirty(frame, entry);

    out->resident_pages += pages;
    out->proportional_bytes += (pages << PAGE_SHIFT) / mappings;
    if (dirty)
        out->proportional_dirty_bytes += (pages << PAGE_SHIFT) / mappings;
    if (mappings > 1 && dirty)
        out->shared_dirty_pages += pages;
    else if (mappings > 1)
        out->shared_clean_pages += pages;
    else if (dirty)
        out->private_dirty_pages += pages;
    else
        out->private_clean_pages += pages;
    if (!pt_entry_present(entry) || entry.bits & PT_ACCESSED)
        out->referenced_pages += pages;
    if (frame->use == FRAME_ANON)
        out->anon_pages += pages;
    if (is_lazy(frame, entry))
        out->lazy_pages += pages;
    if (frame->use == FRAME_ANON && pages > 1)
        out->huge_pages += pages;
    if (frame->use == FRAME_SHARED)
        out->shared_memory_pages += pages;
    if (frame->use == FRAME_FILE && mappings > 1) {
        out->shared_file_pages += pages;
        out->shared_file_mappings += pages * mappings;
    }
    if (entry_is_locked(entry))
        out->locked_bytes += (pages << PAGE_SHIFT) / mappings;
}

static bool add_entry(struct pt_entry entry, unsigned level, uint64_t start, uint64_t shares, void *context)
{
    struct space_usage *out = context;
    struct frame *frame = entry_frame(entry);

    if (frame && frame != zero_frame)
        add_frame(out, frame, entry, level_pages(level), shares);
    else if (entry_slot(entry) != 0)
        out->swapped_pages++;
    return true;
}

void space_measure(struct space *space, struct vaddr start, struct vaddr end, struct space_usage *out)
{
    *out = (struct space_usage){0};
    (void)usage_walk(space, start.v, end.v, add_entry, out);
}

/* ------------------------------------------------------------------ single pages */

struct look {
    uint64_t first; /* the address that out[0] is about */
    unsigned count;
    struct space_page *out;
};

static struct space_page look_at(struct pt_entry entry, uint64_t pages_in, uint64_t shares)
{
    struct space_page page = {.locked = entry_is_locked(entry), .slot = entry_slot(entry)};
    struct frame *frame = entry_frame(entry);

    if (!frame)
        return page;
    page.present = true;
    page.of_object = frame->use == FRAME_FILE || frame->use == FRAME_SHARED;
    page.sole = frame != zero_frame && mappings_of(frame, shares) == 1;
    page.frame = pfn(frame_pfn(frame).v + pages_in);
    return page;
}

static bool look_visit(struct pt_entry entry, unsigned level, uint64_t start, uint64_t shares, void *context)
{
    const struct look *look = context;
    uint64_t at = start > look->first ? start : look->first;
    uint64_t end = look->first + ((uint64_t)look->count << PAGE_SHIFT);

    for (; at < end && at < start + pt_level_span(level); at += PAGE_SIZE)
        look->out[(at - look->first) >> PAGE_SHIFT] = look_at(entry, (at - start) >> PAGE_SHIFT, shares);
    return true;
}

void space_look(struct space *space, struct vaddr start, unsigned count, struct space_page *out)
{
    struct look look = {start.v, count, out};

    for (unsigned i = 0; i < count; i++)
        out[i] = (struct space_page){0};
    (void)usage_walk(space, start.v, start.v + ((uint64_t)count << PAGE_SHIFT), look_visit, &look);
}

/* ------------------------------------------------------------------ forgetting what was used */

static bool forget_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                         uint64_t start, void *context)
{
    for (unsigned i = 0; i < count; i++)
        if (pt_entry_present(entries[i]) && entries[i].bits & PT_ACCESSED) {
            __atomic_fetch_and(&entries[i].bits, ~PT_ACCESSED, __ATOMIC_RELAXED);
            batch_space(&cursor->batch);
        }
    return true;
}

void space_forget_references(struct space *space, struct vaddr start, struct vaddr end)
{
    struct cursor cursor;

    if (cursor_begin(&cursor, space, start.v, end.v, CURSOR_LOOK) != ST_OK)
        return;
    cursor_walk(&cursor, forget_visit, NULL);
    cursor_end(&cursor);
}

/* ------------------------------------------------------------------ what could be needed */

/* Private memory that may be written, or was. */
static bool commit_visit(struct pt_entry entry, unsigned level, uint64_t start, uint64_t shares,
                         void *context)
{
    if (!entry_is_shared(entry) &&
        (entry_access(entry) & ACCESS_WRITE || entry_private(entry) || entry_slot(entry)))
        *(uint64_t *)context += level_pages(level);
    return true;
}

static void commit_space(struct space *space, void *context)
{
    (void)usage_walk(space, SPACE_START, SPACE_END, commit_visit, context);
}

uint64_t space_committed_pages(struct space *space)
{
    uint64_t pages = 0;

    commit_space(space, &pages);
    return pages;
}

uint64_t vm_committed_pages(void)
{
    uint64_t pages = 0;

    spaces_for_each(commit_space, &pages);
    return pages;
}
