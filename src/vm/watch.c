/*
 * Hidden pages: mapped as ever, but user mode faults on them, so that somebody sees each reference to them.
 *
 * A hidden page is a page entry of level 1 without PT_USER, and without W, which it may lack at any time.
 * Nothing else of it changes: whoever moves, protects, shares or evicts it need not know. The bits of use
 * come from the MMU as before. A page that is shown for reading does not get its W back, so that the first
 * write is seen, too. Entries are made with PT_USER everywhere: what a fault maps by the way, or populating
 * does, must be hidden again (space_hide_others). A huge page cannot be hidden: none are made while
 * vm_watching is set.
 *
 * Locking: the leaf table's lock, by a cursor; bits are changed atomically, because the MMU may be marking
 * the entry.
 */
#include "quire/watch.h"

#include "vm/cursor.h"
#include "vm/object_internal.h"

bool vm_watching;

static bool is_small_page(const struct cursor *cursor, struct pt_entry entry)
{
    return cursor->level == 1 && pt_entry_present(entry);
}

/* A private page is the frame that it lies in, from the first reference to the day that it is freed: moved,
 * and shared by fork, it stays the same page. Nothing leaves memory while references are recorded. */
static uint64_t name_of(struct frame *frame, struct pt_entry entry)
{
    static uint32_t last;

    if (entry.bits & PAGE_OBJECT)
        return watch_object_page(frame);
    if (frame == zero_frame)
        return 0;
    if (!(frame_flags(frame) & FRAME_NAMED)) {
        frame->window = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
        frame_set_flags(frame, FRAME_NAMED);
    }
    return EVENT_PAGE_PRIVATE | frame->window;
}

uint64_t watch_object_page(struct frame *frame)
{
    if (!(frame_flags(frame) & FRAME_NAMED))
        frame_set_flags(frame, FRAME_NAMED);
    return object_payload(frame->page.object->id, frame->page.index);
}

/* Does fork share a table on the way to the page with another space? The leaf is locked and not empty, so
 * the tables above it stay. */
static bool way_is_shared(const struct space *space, uint64_t page)
{
    const struct frame *table = space->root;

    for (unsigned level = PT_LEVELS; level > 1; level--) {
        struct pt_entry entry = pt_entry_load(&table_entries(table)[pt_index(vaddr(page), level)]);

        if (!pt_entry_is_table(entry, level))
            return false;
        if (!(entry.bits & PT_WRITE))
            return true;
        table = entry_table(entry);
    }
    return false;
}

/* May W be given back to a private page? Nobody else maps it; a pin does not matter: whoever has it wants the
 * page to stay the same one. With a slot it is the fault handler's, which lets the slot go. */
static bool is_own(struct pt_entry entry)
{
    const struct frame *frame = frame_at(pt_entry_paddr(entry));

    return (entry.bits & PAGE_MAY_WRITE) && !(entry.bits & PAGE_OBJECT) && frame->use == FRAME_ANON &&
           !(frame_flags(frame) & FRAME_SLOT) && __atomic_load_n(&frame->mapcount, __ATOMIC_RELAXED) == 1;
}

/* The bits that the entry needs for the access; 0: it cannot be made without a fault. A table that is shared
 * forbids writing, whatever its entries say. */
static uint64_t bits_to_allow(const struct cursor *cursor, struct pt_entry entry, enum access access)
{
    if (access == ACCESS_EXEC && entry.bits & PT_NO_EXEC)
        return 0;
    if (access != ACCESS_WRITE)
        return PT_USER;
    if (way_is_shared(cursor->space, cursor->start) || (!(entry.bits & PT_WRITE) && !is_own(entry)))
        return 0;
    return PT_USER | PT_WRITE | PT_DIRTY;
}

bool space_see(struct space *space, struct vaddr page, enum access access, struct page_seen *seen)
{
    struct cursor cursor;
    struct pt_entry *entry, now;
    uint64_t bits = 0;

    if (page.v < SPACE_START || page.v >= SPACE_END ||
        cursor_begin(&cursor, space, page.v, page.v + PAGE_SIZE, CURSOR_LOOK) != ST_OK)
        return false;
    entry = cursor_entry(&cursor);
    now = pt_entry_load(entry);
    if (is_small_page(&cursor, now))
        bits = bits_to_allow(&cursor, now, access);
    if (bits != 0) {
        /* An object's frame stays the object's as long as an entry maps it, and the table is locked. */
        seen->name = name_of(frame_at(pt_entry_paddr(now)), now);
        __atomic_fetch_or(&entry->bits, bits, __ATOMIC_RELAXED);
    }
    cursor_end(&cursor);
    return bits != 0;
}

void space_hide(struct space *space, struct vaddr page)
{
    struct cursor cursor;
    struct pt_entry *entry;

    if (cursor_begin(&cursor, space, page.v, page.v + PAGE_SIZE, CURSOR_LOOK) != ST_OK)
        return;
    entry = cursor_entry(&cursor);
    if (is_small_page(&cursor, pt_entry_load(entry))) {
        __atomic_fetch_and(&entry->bits, ~(PT_USER | PT_WRITE), __ATOMIC_RELAXED);
        batch_page(&cursor.batch, page.v);
    }
    cursor_end(&cursor);
}

struct hiding {
    bool (*keep)(struct space *space, struct vaddr page, void *context);
    void *context;
};

static bool hide_run(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                     uint64_t start, void *context)
{
    const struct hiding *hiding = context;

    for (unsigned i = 0; i < count && level == 1; i++) {
        uint64_t page = start + i * PAGE_SIZE;

        if ((entries[i].bits & (PT_PRESENT | PT_USER)) != (PT_PRESENT | PT_USER) ||
            (hiding->keep && hiding->keep(cursor->space, vaddr(page), hiding->context)))
            continue;
        __atomic_fetch_and(&entries[i].bits, ~(PT_USER | PT_WRITE), __ATOMIC_RELAXED);
        batch_page(&cursor->batch, page);
    }
    return true;
}

void space_hide_others(struct space *space, struct vaddr start, struct vaddr end,
                       bool (*keep)(struct space *space, struct vaddr page, void *context), void *context)
{
    struct hiding hiding = {keep, context};
    struct cursor cursor;

    if (cursor_begin(&cursor, space, start.v, end.v, CURSOR_LOOK) != ST_OK)
        return;
    (void)cursor_walk(&cursor, hide_run, &hiding);
    cursor_end(&cursor);
}
