/*
 * Mapping, unmapping, protecting ranges.
 *
 * Each is: cut the range's edges into the table (can fail, changes no meaning), then store (cannot fail).
 */
#include "quire/watch.h"
#include "vm/cursor.h"
#include "vm/object_internal.h"
#include "vm/resident.h"

enum status space_range(struct vaddr start, uint64_t length_bytes, uint64_t *end)
{
    uint64_t length = align_up(length_bytes, PAGE_SIZE);

    if (!is_aligned(start.v, PAGE_SIZE))
        return ST_NOT_ALIGNED;
    if (length_bytes == 0 || length < length_bytes || start.v >= SPACE_END || length > SPACE_END - start.v)
        return ST_INVALID;
    *end = start.v + length;
    return ST_OK;
}

/* ------------------------------------------------------------------ making resident */

struct populate {
    bool other;  /* something else than anonymous marks at level 1 is missing */
    bool failed; /* no memory */
};

static bool populate_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                           uint64_t start, void *context)
{
    struct populate *populate = context;
    struct frame *table = frame_at(paddr(entry_place(entries)));

    for (unsigned i = 0; i < count; i++) {
        struct pt_entry mark = entries[i];
        struct frame *frame;

        if (pt_entry_empty(mark) || pt_entry_present(mark))
            continue;
        if (level > 1 || mark_kind(mark) != MARK_ANON || !(mark_access(mark) & ACCESS_WRITE)) {
            populate->other = true;
            continue;
        }
        frame = frame_alloc(0, FRAME_ANON, FRAME_ZERO);
        if (!frame) {
            populate->failed = true;
            return false;
        }
        frame->paging.member = space_member(cursor->space);
        table_map_private(table, &entries[i], frame, 0, mark);
    }
    return true;
}

static enum status populate_by_faults(struct space *space, uint64_t start, uint64_t end, enum access access)
{
    enum status status = ST_OK;

    for (uint64_t page = start; page < end && status == ST_OK; page += PAGE_SIZE)
        status = space_fault(space, vaddr(page), access);
    return status;
}

/* The access that makes a page of such a region present, and a private one its owner's. */
static enum access populate_access(unsigned access, unsigned flags)
{
    if (access & ACCESS_WRITE && !(flags & SPACE_SHARED))
        return ACCESS_WRITE;
    return access & ACCESS_READ || access == ACCESS_NONE ? ACCESS_READ : (enum access)(access & -access);
}

/* A range of one region. */
static enum status populate_part(struct space *space, uint64_t start, uint64_t end, enum access access)
{
    enum status status = ST_OK;

    while (start < end && status == ST_OK) {
        uint64_t stop =
            align_down(start, HUGE_SIZE) + HUGE_SIZE < end ? align_down(start, HUGE_SIZE) + HUGE_SIZE : end;
        struct populate populate = {0};
        struct cursor cursor;

        /* The first page splits a large mark, or gets a huge page for all of it. */
        status = populate_by_faults(space, start, start + PAGE_SIZE, access);
        if (status == ST_OK)
            WITH_RECLAIM(status, cursor_begin(&cursor, space, start, stop, CURSOR_CHANGE));
        if (status != ST_OK)
            break;
        cursor_walk(&cursor, populate_visit, &populate);
        cursor_end(&cursor);
        if (populate.other || populate.failed)
            status = populate_by_faults(space, start, stop, access);
        space_populated(space, start, stop);
        start = stop;
    }
    return status;
}

/* What was just mapped. Best effort, as MAP_POPULATE is: what does not fit stays to be faulted in. */
static void populate_mapped(struct space *space, const struct space_map *request, uint64_t start,
                            uint64_t end)
{
    if (request->access != ACCESS_NONE)
        (void)!populate_part(space, start, end, populate_access(request->access, request->flags));
}

enum status space_populate(struct space *space, struct vaddr start, uint64_t length_bytes)
{
    struct space_region region;
    uint64_t end = 0;
    enum status status = space_range(start, length_bytes, &end);

    if (status != ST_OK)
        return status == ST_INVALID ? ST_NOT_MAPPED : status;
    for (uint64_t at = start.v; at < end && status == ST_OK; at = region.end.v) {
        if (!space_next_region(space, vaddr(at), &region) || region.start.v > at)
            return ST_NOT_MAPPED;
        if (region.access == ACCESS_NONE)
            return ST_DENIED;
        status = populate_part(space, at, region.end.v < end ? region.end.v : end,
                               populate_access(region.access, region.flags));
    }
    return status;
}

/* ------------------------------------------------------------------ mapping */

static enum status map_once(struct space *space, uint64_t start, uint64_t end, struct pt_entry mark,
                            const struct space_map *request)
{
    bool replace = (request->flags & (SPACE_FIXED | SPACE_NO_REPLACE)) == SPACE_FIXED;
    struct cursor cursor;
    enum status status = cursor_begin(&cursor, space, start, end, CURSOR_CHANGE);

    if (status != ST_OK)
        return status;
    if (!replace && !cursor_is_empty(&cursor)) {
        cursor_end(&cursor);
        return ST_MAPPED;
    }
    status = cursor_cut(&cursor, TABLE_CREATE);
    if (status == ST_OK)
        status = cursor_view(&cursor, mark);
    if (status == ST_OK) {
        if (replace)
            cursor_clear_keep(&cursor);
        cursor_fill(&cursor, mark);
        if (request->flags & (SPACE_AHEAD | SPACE_AHEAD_LAST))
            resident_map_ahead(&cursor, request);
    }
    cursor_end(&cursor);
    if (status != ST_OK) {
        cursor_prune(space, start);
        cursor_prune(space, end - 1);
    }
    return status;
}

static struct pt_entry mark_for(const struct space_map *request, struct object *object, bool lock)
{
    unsigned traits = lock ? TRAIT_LOCKED : 0;
    enum mark_kind kind = MARK_ANON;
    uint64_t payload = 0;

    if (request->flags & SPACE_GROWS_DOWN && !(request->flags & SPACE_SHARED))
        traits |= TRAIT_GROWS_DOWN;
    if (request->flags & SPACE_NEVER_WRITE && request->flags & SPACE_SHARED)
        traits |= TRAIT_NEVER_WRITE;
    if (object) {
        kind = request->flags & SPACE_SHARED ? MARK_SHARED : MARK_PRIVATE;
        payload = object_payload(object->id, request->first_page);
    }
    return mark_make(kind, request->access, traits, payload);
}

/* Exactly where it was asked for. */
static enum status map_fixed(struct space *space, const struct space_map *request, struct pt_entry mark,
                             uint64_t end)
{
    enum status status;

    WITH_RECLAIM(status, map_once(space, request->hint.v, end, mark, request));
    return status;
}

/* Where there is room. Somebody else may take the place first: then look again. */
static enum status map_anywhere(struct space *space, const struct space_map *request, struct pt_entry mark,
                                uint64_t bytes, uint64_t *start)
{
    uint64_t align = bytes >= OWN_TABLE_BYTES && !(request->flags & SPACE_LOW_2G) ? HUGE_SIZE : PAGE_SIZE;
    enum status status;

    do {
        *start = range_find_free(space, align_down(request->hint.v, PAGE_SIZE), bytes, align, 0,
                                 request->flags & SPACE_LOW_2G);
        if (*start == 0)
            return ST_NO_SPACE;
        WITH_RECLAIM(status, map_once(space, *start, *start + bytes, mark, request));
    } while (status == ST_MAPPED);
    return status;
}

/* Pages of [start, end) that something is mapped at. */
static uint64_t pages_mapped(struct space *space, uint64_t start, uint64_t end)
{
    struct space_region region;
    uint64_t pages = 0;

    while (start < end && space_next_region(space, vaddr(start), &region) && region.start.v < end) {
        uint64_t from = region.start.v > start ? region.start.v : start;

        start = region.end.v;
        pages += ((start < end ? start : end) - from) >> PAGE_SHIFT;
    }
    return pages;
}

/* What a fixed mapping replaces does not count. */
static bool within_limit(struct space *space, const struct space_map *request, uint64_t pages)
{
    uint64_t mapped = __atomic_load_n(&space->mapped_pages, __ATOMIC_RELAXED);

    if (mapped + pages <= space->limit_pages)
        return true;
    return request->flags & SPACE_FIXED &&
           mapped + pages - pages_mapped(space, request->hint.v, request->hint.v + (pages << PAGE_SHIFT)) <=
               space->limit_pages;
}

static enum status check_request(struct space *space, const struct space_map *request, uint64_t bytes)
{
    if (request->length_bytes == 0)
        return ST_INVALID;
    if (bytes == 0 || bytes > SPACE_END)
        return ST_NO_SPACE;
    if (request->object && (request->first_page >> MARK_INDEX_BITS ||
                            (request->first_page + (bytes >> PAGE_SHIFT)) >> MARK_INDEX_BITS))
        return ST_LIMIT;
    return within_limit(space, request, bytes >> PAGE_SHIFT) ? ST_OK : ST_NO_MEMORY;
}

static enum status place(struct space *space, const struct space_map *request, struct pt_entry mark,
                         uint64_t bytes, uint64_t *start)
{
    uint64_t end;
    enum status status;

    if (!(request->flags & (SPACE_FIXED | SPACE_NO_REPLACE)))
        return map_anywhere(space, request, mark, bytes, start);
    status = space_range(request->hint, bytes, &end);
    if (status != ST_OK)
        return status == ST_INVALID ? ST_NO_SPACE : status;
    if (request->hint.v < SPACE_START)
        return ST_LIMIT;
    *start = request->hint.v;
    return map_fixed(space, request, mark, end);
}

enum status space_map(struct space *space, const struct space_map *request, struct vaddr *out)
{
    uint64_t bytes = align_up(request->length_bytes, PAGE_SIZE);
    struct object *object = request->object;
    struct object *made = NULL;
    uint64_t start = 0;
    enum space_locking future = space_locks_future(space);
    bool lock = future != SPACE_LOCKS_NOTHING || request->flags & SPACE_LOCKED;
    enum status status = check_request(space, request, bytes);

    if (status != ST_OK)
        return status;
    if (!object && request->flags & SPACE_SHARED) {
        do {
            made = object_create(NULL, NULL, bytes);
        } while (!made && vm_make_room_for(space)); /* numbers may be out, for which nobody ends */
        if (!made)
            return ST_NO_MEMORY;
        object = made;
    }
    status = place(space, request, mark_for(request, object, lock), bytes, &start);
    if (made)
        object_unref(made); /* the mapping holds it now */
    if (status != ST_OK)
        return status;
    *out = vaddr(start);
    if (lock)
        space_note_locks(space);
    if (request->flags & SPACE_POPULATE || future == SPACE_LOCKS_NOW)
        populate_mapped(space, request, start, start + bytes);
    return ST_OK;
}

/* ------------------------------------------------------------------ unmapping */

enum status space_unmap_once(struct space *space, uint64_t start, uint64_t end)
{
    struct cursor cursor;
    enum status status = cursor_begin(&cursor, space, start, end, CURSOR_CHANGE);

    if (status != ST_OK)
        return status;
    status = cursor_cut(&cursor, TABLE_KEEP_EMPTY);
    if (status == ST_OK)
        cursor_clear(&cursor);
    cursor_end(&cursor);
    return status;
}

/* Remember where room came free. */
static void note_hole(struct space *space, uint64_t start, uint64_t end)
{
    lock_take(&space->lock);
    if (start == space->map_hint && end <= space->mmap_top) {
        space->map_hint = end;
    } else if (end <= space->mmap_top) {
        space->hole_start = start;
        space->hole_end = end;
    }
    lock_drop(&space->lock);
}

enum status space_unmap(struct space *space, struct vaddr start, uint64_t length_bytes)
{
    uint64_t end = 0;
    enum status status = space_range(start, length_bytes, &end);

    if (status != ST_OK)
        return status;
    WITH_RECLAIM(status, space_unmap_once(space, start.v, end));
    if (status == ST_OK)
        note_hole(space, start.v, end);
    return status;
}

/* ------------------------------------------------------------------ protecting */

struct protect {
    unsigned access;
    uint64_t rights; /* the same as bits of a page */
    uint64_t next;   /* everything from the start to here is mapped and may be changed */
    enum status status;
};

static bool check_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                        uint64_t start, void *context)
{
    struct protect *protect = context;
    uint64_t span = pt_level_span(level);
    unsigned i;

    if (start > protect->next)
        return false;
    for (i = 0; i < count && !pt_entry_empty(entries[i]); i++) {
        if (protect->access & ACCESS_WRITE && entry_never_writes(entries[i])) {
            protect->status = ST_DENIED;
            break;
        }
    }
    protect->next = start + i * span;
    return i == count;
}

/* A frame that may be accessed again. */
static void protect_held(struct pt_entry *entry, struct pt_entry mark, unsigned level, unsigned access)
{
    struct frame *frame = frame_at(held_paddr(mark));
    bool writable = access & ACCESS_WRITE && frame_is_sole(frame);
    struct pt_entry page = page_make(frame_paddr(frame), access, mark_traits(mark), writable, false);

    pt_entry_store(entry, pt_entry(page.bits | (level > 1 ? PT_HUGE : 0)));
}

/* No access at all: private frames are held, everything else goes back to its mark. */
static void protect_none(struct cursor *cursor, struct pt_entry *entry, struct pt_entry page, uint64_t start)
{
    struct frame *frame = frame_at(pt_entry_paddr(page));
    unsigned traits = page_traits(page);

    batch_page(&cursor->batch, start);
    if (frame == zero_frame) {
        pt_entry_store(entry, mark_make(MARK_ANON, ACCESS_NONE, traits, 0));
    } else if (frame->use == FRAME_ANON) {
        frame_lost_dirty(frame, page);
        pt_entry_store(entry, mark_make(MARK_HELD, ACCESS_NONE, traits, frame_pfn(frame).v));
    } else {
        pt_entry_store(entry, pt_entry(page_to_mark(page, frame).bits & ~MARK_ACCESS_MASK));
    }
}

/* May the entry have W as soon as its protection allows writing? */
static bool writable_at_once(struct pt_entry page)
{
    const struct frame *frame = frame_at(pt_entry_paddr(page));

    if (page.bits & PAGE_SHARED)
        return frame_flags(frame) & FRAME_DIRTY;
    return frame != zero_frame && frame->use == FRAME_ANON && frame_is_sole(frame);
}

static inline void protect_page(struct cursor *cursor, struct pt_entry *entry, struct pt_entry page,
                                uint64_t start, const struct protect *protect)
{
    uint64_t bits = (page.bits & ~(PAGE_RIGHTS | PT_WRITE)) | protect->rights;

    if (bits & PAGE_MAY_WRITE && page.bits & PT_WRITE)
        bits |= PT_WRITE; /* a page whose contents are in swap, or not wanted, stays clean until it is written
                             to */
    else if (bits & PAGE_MAY_WRITE && writable_at_once(page))
        bits |= PT_WRITE | PT_DIRTY;
    pt_entry_store(entry, pt_entry(bits));
    if ((page.bits & ~bits & PT_WRITE) || (bits & ~page.bits & PT_NO_EXEC))
        batch_page(&cursor->batch, start);
}

static void protect_mark(struct pt_entry *entry, struct pt_entry mark, unsigned level, unsigned access)
{
    if (mark_kind(mark) != MARK_HELD)
        pt_entry_store(entry,
                       pt_entry((mark.bits & ~MARK_ACCESS_MASK) | (uint64_t)access << MARK_ACCESS_SHIFT));
    else if (access != ACCESS_NONE)
        protect_held(entry, mark, level, access);
}

/* The whole run is in use: check_visit() has seen to it. */
static bool protect_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                          uint64_t start, void *context)
{
    const struct protect *protect = context;
    unsigned access = protect->access;

    for (unsigned i = 0; i < count; i++) {
        struct pt_entry now = pt_entry_load(&entries[i]);

        if (!pt_entry_present(now)) {
            if (entry_slot(now)) /* it may be just leaving: its translation may still be there */
                batch_page(&cursor->batch, start + i * PAGE_SIZE);
            protect_mark(&entries[i], now, level, access);
        } else if (access == ACCESS_NONE) {
            protect_none(cursor, &entries[i], now, start + i * PAGE_SIZE);
        } else {
            protect_page(cursor, &entries[i], now, start + i * PAGE_SIZE, protect);
        }
    }
    return true;
}

static enum status protect_once(struct space *space, uint64_t start, uint64_t end, unsigned access)
{
    struct protect protect = {
        .access = access, .rights = page_rights(access), .next = start, .status = ST_NOT_MAPPED};
    struct cursor cursor;
    enum status status = cursor_begin(&cursor, space, start, end, CURSOR_CHANGE);

    if (status != ST_OK)
        return status;
    cursor_walk(&cursor, check_visit, &protect);
    if (protect.next >= end)
        protect.status = ST_OK;
    else
        cursor.end = protect.next;
    if (protect.next > start) {
        status = cursor_own(&cursor);
        if (status == ST_OK)
            cursor_walk(&cursor, protect_visit, &protect);
    }
    cursor_end(&cursor);
    return status == ST_OK ? protect.status : status;
}

enum status space_protect(struct space *space, struct vaddr start, uint64_t length_bytes, unsigned access)
{
    uint64_t end = 0;
    enum status status = space_range(start, length_bytes, &end);

    if (status != ST_OK)
        return status == ST_INVALID ? ST_NOT_MAPPED : status;
    WITH_RECLAIM(status, protect_once(space, start.v, end, access));
    return status;
}
