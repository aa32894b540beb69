/*
 * The page fault.
 *
 * Stages over one context: find (the entry that decides), check (may this access be made at all), then by
 * what the entry is: zero, object, copy, reuse; a store that must be waited for is waited for without a
 * cursor (bring in), and the fault begins again, holding the page so that it does not leave meanwhile. Every
 * end of every stage is counted in vm_stats.
 *
 *              +--------------------------- retry, after bring in ----------------+
 *              v                                                                  |
 *   space_fault -> find -> mark, anonymous -> zero page / zeroed frame / huge     |
 *                       -> mark, object    -> resident: map, map around           |
 *                                          -> not:      needs I/O  ---------------+
 *                       -> page, no write  -> reuse / copy / note that it is dirty
 *                       -> nothing         -> stack growth, or not mapped
 */
#include "quire/watch.h"
#include "vm/cursor.h"
#include "vm/object_internal.h"
#include "vm/resident.h"
#include "vm/swap.h"

enum {
    AROUND_PAGES = 32,    /* mapped around a read fault of an object's page, when resident */
    GUARD_GAP_PAGES = 256 /* kept free below a stack, as Linux's stack_guard_gap */
};

struct fault {
    struct space *space;
    uint64_t page; /* the address, rounded down */
    enum access access;
    struct cursor cursor;
    struct object *object; /* ST_NEEDS_IO: the page to wait for; a reference */
    uint64_t index;
    bool waits;            /* ... in which somebody has to read, and not only to zero a frame */
    struct frame *brought; /* that page, held since it came */
    struct swap_read read; /* ST_NEEDS_IO without an object */
    bool stalled;          /* it waits for memory */
    bool major;            /* and a store was asked for it; unless stalled: not set */
};

/* ------------------------------------------------------------------ anonymous memory */

static enum status map_zero_page(struct pt_entry *entry, struct pt_entry mark)
{
    pt_entry_store(entry,
                   page_make(frame_paddr(zero_frame), mark_access(mark), mark_traits(mark), false, false));
    STAT(fault_zero_read);
    return ST_OK;
}

static enum status map_zeroed_frame(const struct fault *f, struct pt_entry *entry, struct pt_entry mark)
{
    struct frame *frame = frame_alloc(0, FRAME_ANON, FRAME_ZERO);

    if (!frame)
        return ST_NO_MEMORY;
    frame->paging.member = space_member(f->space);
    table_map_private(f->cursor.table, entry, frame, 0, mark);
    STAT(fault_zero);
    return ST_OK;
}

/* A whole level-2 entry of untouched memory is written to: one huge page, if there is plenty of memory, and
 * always was. False: use small ones. */
static bool map_huge(const struct fault *f, struct pt_entry *entry, struct pt_entry mark)
{
    struct frame *head;

    if (mark_traits(mark) & (TRAIT_NO_HUGE | TRAIT_GROWS_DOWN) || !memory_is_plenty(level_pages(2)) ||
        pages_watched || vm_watching)
        return false;
    head = frame_alloc(FRAME_ORDER_HUGE, FRAME_ANON, FRAME_ANY);
    if (!head)
        return false;
    for (unsigned i = 0; i < level_pages(2); i++)
        host_zero_page((char *)frame_data(head) + i * PAGE_SIZE);
    head->page.object = NULL;
    head->page.index = 0;
    head->paging.member = space_member(f->space);
    head->flags |= FRAME_HUGE;
    rmap_first(head, entry_place(entry));
    pt_entry_store(
        entry, pt_entry(page_make(frame_paddr(head), mark_access(mark), mark_traits(mark), true, false).bits |
                        PT_HUGE));
    STAT(fault_huge);
    return true;
}

/* ------------------------------------------------------------------ pages of objects */

/* Map the resident neighbours of a page just mapped, where their marks stand. The object is locked. */
static void map_around(struct fault *f, struct pt_entry *entry, struct pt_entry mark, struct object *object)
{
    unsigned at = (unsigned)(entry - table_entries(f->cursor.table));
    unsigned before = (unsigned)(mark_index(mark) % AROUND_PAGES);
    unsigned count = AROUND_PAGES;

    if (mark_traits(mark) & TRAIT_RANDOM)
        return;
    if (before > at) {
        count -= before - at;
        before = at;
    }
    if (count > PT_ENTRIES - (at - before))
        count = PT_ENTRIES - (at - before);
    mark.bits += (uint64_t)before << MARK_PAYLOAD_SHIFT;
    STAT_ADD(fault_around, resident_map_run(object, entry - before, count, mark));
}

/* The page is resident, its object locked. */
static enum status map_object_page(struct fault *f, struct pt_entry *entry, struct pt_entry mark,
                                   struct object *object, struct frame *frame)
{
    frame_set_flags(frame, FRAME_REFERENCED);
    if (f->access == ACCESS_WRITE && mark_kind(mark) == MARK_PRIVATE)
        return resident_copy(f->cursor.table, entry, mark, frame, space_member(f->space));
    if (f->access == ACCESS_WRITE)
        frame_set_flags(frame, FRAME_DIRTY);
    pages_touch(frame, space_member(f->space));
    resident_map(entry, page_form(mark), frame);
    if (f->access != ACCESS_WRITE)
        map_around(f, entry, mark, object);
    STAT(fault_minor);
    return ST_OK;
}

/* With the object locked; `frame`: the page as it is there, which is not resident. */
static enum status needs_io(struct fault *f, struct object *object, uint64_t index, const struct frame *frame)
{
    object_ref(object);
    f->object = object;
    f->index = index;
    f->waits = frame || object->pager || object->swapped > 0;
    return ST_NEEDS_IO;
}

/* Who holds a table may only try an object's lock: whoever has it may be after our table. */
static enum status fault_object(struct fault *f, struct pt_entry *entry, struct pt_entry mark)
{
    struct object *object = object_by_id(mark_object_id(mark));
    uint64_t index = mark_index(mark);
    struct frame *frame;
    enum status status;

    if (!lock_try(&object->lock))
        return ST_RETRY;
    frame = object_find(object, index);
    if (index >= object_pages(object))
        status = ST_BEYOND_END;
    else if (frame_is_resident(frame))
        status = map_object_page(f, entry, mark, object, frame);
    else
        status = needs_io(f, object, index, frame);
    lock_drop(&object->lock);
    return status;
}

static enum status bring_object_page(struct fault *f)
{
    const uint64_t *reads = f->object->pager ? &vm_stats.page_in_reads : &vm_stats.swap_reads;
    uint64_t before = __atomic_load_n(reads, __ATOMIC_RELAXED);
    enum status status = object_get_page(f->object, f->index, OBJECT_READ, &f->brought);

    if (__atomic_load_n(reads, __ATOMIC_RELAXED) != before)
        f->major = true;
    object_unref(f->object);
    f->object = NULL;
    return status;
}

/* Wait for the store, without a cursor. The page is held until the fault is over. */
static __attribute__((noinline)) enum status bring_in(struct fault *f)
{
    enum status status;

    if (f->brought)
        frame_unref(f->brought);
    f->brought = NULL;
    if (f->object) {
        status = bring_object_page(f);
    } else {
        f->brought = f->read.frame;
        f->major = true;
        status = swap_read_in(&f->read);
    }
    return status == ST_OK ? ST_RETRY : status;
}

static enum status fault_swap(struct fault *f, struct pt_entry *entry, struct pt_entry mark)
{
    enum status status = swap_map(f->cursor.table, entry, mark, f->access, f->space, &f->read);

    if (status == ST_OK)
        STAT(fault_swap);
    return status;
}

/* ------------------------------------------------------------------ writing to a page that may not be
 * written yet */

static enum status reuse(struct pt_entry *entry, struct pt_entry page)
{
    pt_entry_store(entry, pt_entry(page.bits | PT_WRITE | PT_DIRTY | PT_ACCESSED));
    STAT(fault_reuse);
    return ST_OK;
}

/* `copy`, which is filled already, takes the place of what the entry maps. */
static inline __attribute__((always_inline)) void install(struct fault *f, struct pt_entry *entry,
                                                          struct pt_entry page, struct frame *copy)
{
    rmap_first(copy, entry_place(entry));
    pt_entry_store(entry, pt_entry((page.bits & ~(PT_FRAME_MASK | PAGE_OBJECT)) | frame_paddr(copy).v |
                                   PT_WRITE | PT_DIRTY | PT_ACCESSED));
    batch_page(&f->cursor.batch, f->page);
    copy->paging.member = space_member(f->space);
    pages_insert(copy, 0);
}

static enum status write_zero_page(struct fault *f, struct pt_entry *entry, struct pt_entry page)
{
    struct frame *fresh = frame_alloc(0, FRAME_ANON, FRAME_ZERO);

    if (!fresh)
        return ST_NO_MEMORY;
    fresh->page.object = NULL;
    fresh->page.index = 0;
    install(f, entry, page, fresh);
    table_count_privates(f->cursor.table, 1);
    STAT(fault_zero);
    return ST_OK;
}

static uint64_t origin_of(const struct frame *frame)
{
    if (frame->use == FRAME_ANON)
        return frame->page.index;
    return origin_make(frame->page.object->id, frame->page.index);
}

static enum status copy_page(struct fault *f, struct pt_entry *entry, struct pt_entry page,
                             struct frame *from)
{
    struct frame *copy = frame_alloc(0, FRAME_ANON, FRAME_ANY);

    if (!copy)
        return ST_NO_MEMORY;
    host_copy_page(frame_data(copy), frame_data(from));
    copy->page.object = NULL;
    copy->page.index = origin_of(from);
    install(f, entry, page, copy);
    STAT(fault_copy);
    if (page.bits & PAGE_OBJECT) {
        table_count_privates(f->cursor.table, 1);
        return ST_OK;
    }
    rmap_remove(from, entry_place(entry));
    frame_unmapped(from, page);
    batch_drop_frame(&f->cursor.batch, from);
    return ST_OK;
}

/* A huge page that others map too is split, for them as well, and then a page of it is copied. */
static enum status split_to_copy(struct fault *f)
{
    enum status status = cursor_to_level(&f->cursor, 1, TABLE_KEEP_EMPTY);

    return status == ST_OK ? ST_RETRY : status;
}

/* The first write to a clean page of a shared mapping: from now on it is dirty. */
static enum status note_dirty(struct pt_entry *entry, struct pt_entry page, struct frame *frame)
{
    struct object *object = frame->page.object;

    if (!lock_try(&object->lock))
        return ST_RETRY;
    frame_set_flags(frame, FRAME_DIRTY);
    pt_entry_store(entry, pt_entry(page.bits | PT_WRITE | PT_DIRTY | PT_ACCESSED));
    lock_drop(&object->lock);
    STAT(fault_minor);
    return ST_OK;
}

static enum status fault_write(struct fault *f, struct pt_entry *entry, struct pt_entry page, unsigned level)
{
    struct frame *frame = frame_at(pt_entry_paddr(page));

    if (!(page.bits & PAGE_MAY_WRITE)) {
        STAT(fault_protection);
        return ST_DENIED;
    }
    if (page.bits & PAGE_SHARED)
        return note_dirty(entry, page, frame);
    if (frame == zero_frame)
        return write_zero_page(f, entry, page);
    if (frame->use == FRAME_ANON && frame_is_sole(frame))
        return reuse(entry, page);
    if (frame->use == FRAME_ANON && frame_flags(frame) & FRAME_SLOT && swap_take_over(frame))
        return reuse(entry, page);
    return level == 1 ? copy_page(f, entry, page, frame) : split_to_copy(f);
}

/* ------------------------------------------------------------------ nothing there: may a stack grow? */

static enum status map_stack(struct fault *f, uint64_t end, const struct space_region *above)
{
    struct space_map request = {
        .hint = vaddr(f->page),
        .length_bytes = end - f->page,
        .access = above->access,
        .flags = SPACE_NO_REPLACE | SPACE_GROWS_DOWN |
                 (above->flags & SPACE_LOCKED ? (unsigned)(SPACE_LOCKED | SPACE_POPULATE) : 0u),
    };
    struct vaddr got;
    enum status status = space_map(f->space, &request, &got);

    if (status == ST_OK)
        STAT(fault_stack);
    if (status == ST_NO_SPACE)
        return ST_NOT_MAPPED;
    return status == ST_OK || status == ST_MAPPED ? ST_RETRY : status;
}

/* A stack that is locked grows locked. */
static bool may_lock_stack(struct space *space, const struct space_region *above, uint64_t bytes)
{
    return !(above->flags & SPACE_LOCKED || space_locks_future(space) != SPACE_LOCKS_NOTHING) ||
           space_may_lock(space, bytes);
}

/* A region above that grows down reaches here if neither its limits nor the gap to what lies below forbid. */
static enum status grow_stack(struct fault *f)
{
    struct space *space = f->space;
    uint64_t limit = space->stack_limit;
    uint64_t reach = f->page + limit < f->page || f->page + limit > SPACE_END ? SPACE_END : f->page + limit;
    uint64_t gap_start = f->page > SPACE_START + GUARD_GAP_PAGES * PAGE_SIZE
                             ? f->page - GUARD_GAP_PAGES * PAGE_SIZE
                             : SPACE_START;
    uint64_t below, above, start;
    struct space_region region;

    if (f->page < SPACE_START || !range_first_used(space, f->page, reach, &start) ||
        !space_next_region(space, vaddr(start), &region) || !(region.flags & SPACE_GROWS_DOWN) ||
        region.end.v - f->page > limit || !may_lock_stack(space, &region, start - f->page))
        return ST_NOT_MAPPED;
    if (range_last_used(space, gap_start, f->page, &below, &above))
        return ST_NOT_MAPPED;
    return map_stack(f, start, &region);
}

/* ------------------------------------------------------------------ the fault */

static enum status denied(void)
{
    STAT(fault_protection);
    return ST_DENIED;
}

static enum status fault_mark(struct fault *f, struct pt_entry *entry, struct pt_entry mark)
{
    if (mark_kind(mark) == MARK_HELD || !access_allows(mark_access(mark), f->access))
        return denied();
    if (mark_kind(mark) != MARK_ANON)
        return mark_kind(mark) == MARK_SWAP ? fault_swap(f, entry, mark) : fault_object(f, entry, mark);
    return f->access == ACCESS_WRITE ? map_zeroed_frame(f, entry, mark) : map_zero_page(entry, mark);
}

static enum status fault_page(struct fault *f, struct pt_entry *entry, struct pt_entry page, unsigned level)
{
    if (f->access == ACCESS_WRITE && !(page.bits & PT_WRITE))
        return fault_write(f, entry, page, level);
    if (f->access == ACCESS_EXEC && (page.bits & PT_NO_EXEC))
        return denied();
    if (!(page.bits & PT_ACCESSED))
        pt_entry_store(entry, pt_entry(page.bits | PT_ACCESSED));
    STAT(fault_spurious);
    return ST_OK;
}

/* A mark that stands for more than the page: it becomes a huge page, and the fault is over, or is split down
 * to the page, and *split says so. */
static __attribute__((noinline)) enum status fault_large_mark(struct fault *f, struct pt_entry mark,
                                                              bool *split)
{
    enum status status;

    if (mark_kind(mark) == MARK_HELD || !access_allows(mark_access(mark), f->access))
        return denied();
    status = cursor_to_level(&f->cursor, 2, TABLE_KEEP_EMPTY);
    if (status != ST_OK)
        return status;
    if (mark_kind(mark) == MARK_ANON && f->access == ACCESS_WRITE &&
        map_huge(f, cursor_entry(&f->cursor), mark))
        return ST_OK;
    status = cursor_to_level(&f->cursor, 1, TABLE_KEEP_EMPTY);
    *split = status == ST_OK;
    return status;
}

/* With a cursor on the page: the entry that decides, at whatever level it is, and what it says. */
static enum status find(struct fault *f)
{
    struct pt_entry *entry = cursor_entry(&f->cursor);
    struct pt_entry now = pt_entry_load(entry);

    if (pt_entry_empty(now))
        return ST_NOT_MAPPED;
    if (pt_entry_present(now))
        return fault_page(f, entry, now, f->cursor.level);
    if (f->cursor.level > 1) {
        bool split = false;
        enum status status = fault_large_mark(f, now, &split);

        if (!split)
            return status;
        entry = cursor_entry(&f->cursor);
        now = pt_entry_load(entry);
    }
    return fault_mark(f, entry, now);
}

static enum status fault_once(struct fault *f)
{
    enum status status = cursor_begin(&f->cursor, f->space, f->page, f->page + PAGE_SIZE, CURSOR_CHANGE);

    if (status != ST_OK)
        return status;
    status = find(f);
    cursor_end(&f->cursor);
    return status;
}

static void stall(struct fault *f)
{
    if (f->stalled)
        return;
    f->stalled = true;
    f->major = false;
    host_stall_begin();
}

/* What the attempt ended with, when it is not the end of the fault: do it and say ST_RETRY. */
static enum status recover(struct fault *f, enum status status)
{
    if (status == ST_NO_MEMORY || (status == ST_NEEDS_IO && (!f->object || f->waits)))
        stall(f);
    if (status == ST_NEEDS_IO)
        return bring_in(f);
    if (status == ST_NOT_MAPPED)
        return grow_stack(f);
    if (status == ST_NO_MEMORY && vm_make_room_for(f->space))
        return ST_RETRY;
    if (status == ST_RETRY)
        host_relax();
    return status;
}

enum status space_fault(struct space *space, struct vaddr address, enum access access)
{
    struct fault f;
    enum status status;

    STAT(faults);
    if (__builtin_expect(__atomic_load_n(&frames_short, __ATOMIC_RELAXED), 0))
        reclaim_fault_begins(space);
    if (address.v < SPACE_START || address.v >= SPACE_END) {
        STAT(fault_unmapped);
        return ST_NOT_MAPPED;
    }
    f.space = space;
    f.page = align_down(address.v, PAGE_SIZE);
    f.access = access;
    f.object = NULL;
    f.brought = NULL;
    f.stalled = false;
    while ((status = fault_once(&f)) != ST_OK)
        if ((status = recover(&f, status)) != ST_RETRY)
            break;
    if (f.brought)
        frame_unref(f.brought);
    if (__builtin_expect(__atomic_load_n(&frames_short, __ATOMIC_RELAXED), 0) &&
        reclaim_upkeep(space) != ST_OK && status == ST_OK)
        status = ST_NO_MEMORY;
    if (f.stalled) {
        host_stall_end();
        if (f.major)
            STAT(fault_major);
    }
    if (status == ST_NOT_MAPPED)
        STAT(fault_unmapped);
    return status;
}
