/*
 * See resident.h.
 */
#include "vm/resident.h"

enum status resident_copy(struct frame *table, struct pt_entry *entry, struct pt_entry mark,
                          const struct frame *from, uint32_t member)
{
    return table_map_copy(table, entry, from, origin_make(mark_object_id(mark), mark_index(mark)), mark,
                          member);
}

/* ------------------------------------------------------------------ many at once */

/* `count` slots of one radix node, and their entries. Mostly a page has been mapped before, and nobody
 * watches for writes. */
static __attribute__((noinline)) unsigned map_slots(void *const *slots, struct pt_entry *entries,
                                                    unsigned count, struct pt_entry mark,
                                                    struct page_form form)
{
    const unsigned usual = form.may_write ? UINT32_MAX : FRAME_MAPPED;
    const unsigned not_yet = form.may_write ? UINT32_MAX : 0;
    unsigned left_out = 0;

    /* counted up to zero: one register less to step */
    slots += count;
    entries += count;
    for (int64_t i = -(int64_t)count; i != 0; i++, mark.bits -= (uint64_t)1 << MARK_PAYLOAD_SHIFT) {
        struct frame *frame = slots[i];
        unsigned flags;

        if (__builtin_expect(entries[i].bits != mark.bits || !frame, 0)) {
            left_out++;
            continue;
        }
        flags = frame_flags(frame) & (FRAME_BUSY | FRAME_MAPPED);
        if (__builtin_expect(flags == usual, 1)) {
            pt_entry_store(&entries[i], pt_entry(form.bits | frame_paddr(frame).v));
        } else if (flags == not_yet) {
            __atomic_fetch_or(&frame->flags, FRAME_MAPPED, __ATOMIC_RELAXED);
            pt_entry_store(&entries[i], pt_entry(form.bits | frame_paddr(frame).v));
        } else if (flags & FRAME_BUSY) {
            left_out++;
        } else {
            resident_map(&entries[i], form, frame);
        }
    }
    return count - left_out;
}

unsigned resident_map_run(struct object *object, struct pt_entry *entries, unsigned count,
                          struct pt_entry mark)
{
    struct page_form form = page_form(mark);
    uint64_t index = mark_index(mark);
    uint64_t pages = object_pages(object);
    unsigned mapped = 0;

    form.bits &= ~PT_ACCESSED;
    if (object->swapped > 0) /* not all that is in the radix is frames */
        return 0;
    if (index + count > pages)
        count = index < pages ? (unsigned)(pages - index) : 0;
    for (unsigned done = 0, part; done < count; done += part) {
        unsigned slot = (unsigned)(index + done) % RADIX_SLOTS;
        void *const *slots = radix_slots(&object->pages, index + done - slot);

        part = RADIX_SLOTS - slot < count - done ? RADIX_SLOTS - slot : count - done;
        if (slots)
            mapped += map_slots(slots + slot, entries + done, part, mark_advance(mark, done), form);
    }
    return mapped;
}

/* ------------------------------------------------------------------ ahead of faults */

/* Writable pages of a private mapping. */
static void copy_run(const struct cursor *cursor, struct object *object, struct pt_entry *entries,
                     unsigned count)
{
    struct frame *table = frame_at(paddr(entry_place(entries)));

    if (!memory_is_plenty(count))
        return;
    for (unsigned i = 0; i < count; i++) {
        struct frame *frame = object_find(object, mark_index(entries[i]));

        if (frame_is_resident(frame) &&
            resident_copy(table, &entries[i], entries[i], frame, space_member(cursor->space)) != ST_OK)
            return;
    }
}

static void map_anonymous(const struct cursor *cursor, struct pt_entry *entry)
{
    struct frame *frame = frame_alloc(0, FRAME_ANON, FRAME_ZERO);

    if (!frame)
        return;
    frame->paging.member = space_member(cursor->space);
    table_map_private(frame_at(paddr(entry_place(entry))), entry, frame, 0, *entry);
}

/*
 * The pages of anonymous memory that its owner writes first. Of a heap that is the first one, where malloc()
 * puts a header; of a stack the topmost two (programs with the GNU C library have a buffer for a path on it
 * before main() begins); and of the zeroes behind a program's data the last two, because the C library, which
 * is linked last, has its variables there. (busybox, bash, ldconfig of Debian 12: all of these are written
 * when the program has only just begun.)
 */
enum { LAST_PAGES = 2 };

static void map_ahead_anonymous(const struct cursor *cursor, struct pt_entry *entries, unsigned count,
                                uint64_t start, const struct space_map *request)
{
    unsigned first = count < LAST_PAGES ? 0 : count - LAST_PAGES;
    bool last = request->flags & SPACE_AHEAD_LAST;

    if (!(mark_access(entries[0]) & ACCESS_WRITE))
        return;
    if (!last && start == cursor->start)
        map_anonymous(cursor, &entries[0]);
    if (!last || start + count * PAGE_SIZE != cursor->end)
        return;
    map_anonymous(cursor, &entries[count - 1]);
    for (unsigned i = first; i < count - 1 && memory_is_plenty(LAST_PAGES); i++)
        map_anonymous(cursor, &entries[i]);
}

/* How many of `count` pages from `start` on are before request->pages_read. */
static unsigned only_read(const struct cursor *cursor, uint64_t start, unsigned count,
                          const struct space_map *request)
{
    uint64_t before = (start - cursor->start) >> PAGE_SHIFT;
    uint64_t read = request->pages_read > before ? request->pages_read - before : 0;

    return read < count ? (unsigned)read : count;
}

static bool ahead_visit(struct cursor *cursor, struct pt_entry *entries, unsigned count, unsigned level,
                        uint64_t start, void *context)
{
    const struct space_map *request = context;
    struct pt_entry mark = entries[0];
    unsigned shown = count;
    struct object *object;

    if (level > 1)
        return true;
    if (!mark_has_object(mark)) {
        map_ahead_anonymous(cursor, entries, count, start, request);
        return true;
    }
    object = object_by_id(mark_object_id(mark));
    if (!lock_try(&object->lock))
        return true;
    if (mark_kind(mark) == MARK_PRIVATE && mark_access(mark) & ACCESS_WRITE)
        shown = only_read(cursor, start, count, request);
    if (shown > 0)
        STAT_ADD(fault_around, resident_map_run(object, entries, shown, mark));
    if (shown < count)
        copy_run(cursor, object, entries + shown, count - shown);
    lock_drop(&object->lock);
    return true;
}

void resident_map_ahead(struct cursor *cursor, const struct space_map *request)
{
    if (request->access != ACCESS_NONE) /* a page that is there can be read */
        cursor_walk(cursor, ahead_visit, (void *)(uintptr_t)request);
}
