/*
 * The tables of user spaces: making them, and refining entries into tables. See table.h; share.c and zap.c go
 * with it.
 *
 * Invariants (space_check() walks them): live is the number of entries that are not empty, all between low
 * and high; a table with shares > 1 is pointed to only by entries without W; level and start say where it
 * stands; a table that a parent points to is never without entries outside of an operation (empty ones are
 * pruned).
 *
 * Locking: the parent's lock is held; the child's is taken inside.
 */
#include "vm/table_internal.h"

enum { SECOND_LOCK_TRIES = 1000 };

static void count_table(void)
{
    uint64_t now = __atomic_add_fetch(&vm_stats.table_frames, 1, __ATOMIC_RELAXED);

    if (now > __atomic_load_n(&vm_stats.table_frames_peak, __ATOMIC_RELAXED))
        __atomic_store_n(&vm_stats.table_frames_peak, now, __ATOMIC_RELAXED);
}

struct frame *table_create(unsigned level, uint64_t start, enum table_zero contents)
{
    struct frame *table = frame_alloc(0, FRAME_TABLE, contents == TABLE_EMPTY ? FRAME_ZERO : FRAME_ANY);

    if (!table)
        return NULL;
    table->table.start = start;
    table->table.shares = 1;
    table->table.live = 0;
    table->table.low = PT_ENTRIES;
    table->table.high = 0;
    table->table.level = (uint8_t)level;
    table->table.spare = 0;
    table->table.views = NULL;
    lock_init(&table->table.lock, RANK_TABLE);
    count_table();
    return table;
}

static void uncount_table(void)
{
    __atomic_fetch_sub(&vm_stats.table_frames, 1, __ATOMIC_RELAXED);
}

void table_free(struct frame *table)
{
    CHECK(!table->table.views);
    uncount_table();
    frame_free(table);
}

void table_retire(struct flush_batch *batch, struct frame *table)
{
    CHECK(!table->table.views);
    uncount_table();
    batch_free_frame(batch, table);
}

/* Every entry of the table is in use now. */
static void count_full(struct frame *table)
{
    table->table.live = PT_ENTRIES;
    table->table.low = 0;
    table->table.high = PT_ENTRIES - 1;
}

static void fill_marks(struct frame *table, struct pt_entry mark)
{
    struct pt_entry *entries = table_entries(table);
    uint64_t step = mark_has_object(mark) ? level_pages(table->table.level) << MARK_PAYLOAD_SHIFT : 0;
    uint64_t bits = mark.bits;

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        entries[i].bits = bits;
        bits -= step;
    }
    count_full(table);
}

/* The view of a leaf table that has been filled with marks. */
static bool view_marks(struct frame *table, struct pt_entry mark)
{
    struct view *view;

    if (!mark_has_object(mark))
        return true;
    view = view_open(table, 0, (struct reference){mark_object_id(mark), mark_index(mark)});
    if (view)
        view->pages = PT_ENTRIES;
    return view != NULL;
}

static enum status split_mark(struct pt_entry *entry, unsigned level, uint64_t start, struct frame **out)
{
    struct frame *table = table_create(level - 1, start, TABLE_UNDEFINED);

    if (!table)
        return ST_NO_MEMORY;
    fill_marks(table, *entry);
    if (level == 2 && !view_marks(table, *entry)) {
        table_free(table);
        return ST_NO_MEMORY;
    }
    pt_entry_store(entry, pt_entry_table(frame_paddr(table)));
    *out = table;
    return ST_OK;
}

/* What `huge`, a page or held mark of level 2, says, for one single frame. */
static struct pt_entry small_entry(struct pt_entry huge, const struct frame *frame)
{
    if (!pt_entry_present(huge))
        return mark_make(MARK_HELD, mark_access(huge), mark_traits(huge), frame_pfn(frame).v);
    return pt_entry((huge.bits & ~(PT_HUGE | PT_FRAME_MASK)) | frame_paddr(frame).v);
}

/* The 512 single frames of a block, which nothing maps any more, take its place in `table`, each with what
 * the huge entry said. */
static void fill_pages(struct frame *table, struct pt_entry huge, struct frame *head)
{
    struct pt_entry *entries = table_entries(table);
    uint32_t member = head->paging.member;
    uint16_t lazy = head->flags & FRAME_LAZY;

    frame_split(head);
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        struct frame *frame = head + i;

        entries[i] = small_entry(huge, frame);
        frame->paging.member = member;
        frame->flags = lazy;
        frame->page.object = NULL;
        frame->page.index = 0;
        rmap_first(frame, entry_place(&entries[i]));
    }
    table->privates = PT_ENTRIES;
    count_full(table);
}

/* The same for the other one of two entries that mapped the block: each frame is mapped once more. */
static void fill_second(struct frame *table, struct pt_entry huge, struct frame *head)
{
    struct pt_entry *entries = table_entries(table);

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        struct frame *frame = head + i;

        entries[i] = small_entry(huge, frame);
        frame->refs = 2;
        frame->mapcount = 2;
        frame->page.rmap[1] = entry_place(&entries[i]);
    }
    table->privates = PT_ENTRIES;
    count_full(table);
}

/* A copy of a block that others map too, in single frames. The block loses this mapping. */
static enum status copy_to_pages(struct flush_batch *batch, struct pt_entry *entry, struct frame *head,
                                 struct frame *table, uint64_t start)
{
    struct pt_entry *entries = table_entries(table);
    struct pt_entry huge = *entry;

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        struct frame *frame = frame_alloc(0, FRAME_ANON, FRAME_ANY);

        if (!frame) {
            while (i-- > 0)
                frame_free(entry_private(entries[i]));
            return ST_NO_MEMORY;
        }
        host_copy_page(frame_data(frame), (char *)frame_data(head) + i * PAGE_SIZE);
        frame->page.object = NULL;
        frame->page.index = 0;
        frame->paging.member = head->paging.member;
        entries[i] = small_entry(huge, frame);
    }
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        struct frame *frame = entry_private(entries[i]);

        rmap_first(frame, entry_place(&entries[i]));
    }
    table->privates = PT_ENTRIES;
    count_full(table);
    rmap_remove(head, entry_place(entry));
    batch_drop_frame(batch, head);
    batch_page(batch, start);
    return ST_OK;
}

/* The table's lock, for somebody who holds another table's: tried, and not for ever. */
static bool lock_second(struct frame *table)
{
    for (unsigned tries = 0; tries < SECOND_LOCK_TRIES; tries++) {
        if (lock_try(&table->table.lock))
            return true;
        host_relax();
    }
    return false;
}

/* The other one of the two entries that map the block, with its table locked; NULL: they are not just two, or
 * somebody else holds the block or, for long, the table. */
static struct pt_entry *lock_other(struct frame *head, const struct pt_entry *entry)
{
    struct spinlock *lock = rmap_lock(head);
    uint64_t mine = entry_place(entry);
    uint64_t other = 0;

    lock_take(lock);
    if (head->mapcount == 2 && __atomic_load_n(&head->refs, __ATOMIC_ACQUIRE) == 2)
        other = head->page.rmap[0] == mine ? head->page.rmap[1] : head->page.rmap[0];
    lock_drop(lock);
    if (other == 0 || place_table(other) == place_table(mine) || !lock_second(place_table(other)))
        return NULL;
    if (rmap_has(head, other) && head->mapcount == 2)
        return place_entry(other);
    lock_drop(&place_table(other)->table.lock);
    return NULL;
}

/*
 * A block that two entries map is split for both: each gets a leaf table, and its 512 frames are mapped
 * twice. (A fork's usual case.) Both entries are without W, and so are the pages. False: it cannot be done,
 * and nothing has changed.
 */
static bool split_for_both(struct pt_entry *entry, struct frame *head, struct frame *table)
{
    struct frame *second = table_create(1, 0, TABLE_UNDEFINED);
    struct pt_entry *other = second ? lock_other(head, entry) : NULL;
    struct frame *other_table;

    if (!other) {
        if (second)
            table_free(second);
        return false;
    }
    other_table = place_table(entry_place(other));
    second->table.start =
        other_table->table.start + (uint64_t)(other - table_entries(other_table)) * pt_level_span(2);
    rmap_remove(head, entry_place(entry));
    rmap_remove(head, entry_place(other));
    fill_pages(table, *entry, head);
    fill_second(second, *other, head);
    pt_entry_store(other, pt_entry_table(frame_paddr(second)));
    lock_drop(&other_table->table.lock);
    STAT(flush_all);
    host_flush_all(); /* the other table may be any space's */
    return true;
}

static enum status split_huge(struct flush_batch *batch, struct pt_entry *entry, unsigned level,
                              uint64_t start, struct frame **out)
{
    struct frame *head = entry_private(*entry);
    struct frame *table = table_create(level - 1, start, TABLE_UNDEFINED);

    CHECK(level == 2);
    if (!table)
        return ST_NO_MEMORY;
    if (frame_is_sole(head)) {
        rmap_remove(head, entry_place(entry));
        fill_pages(table, *entry, head);
        batch_page(batch, start);
    } else if (!split_for_both(entry, head, table)) {
        enum status status = copy_to_pages(batch, entry, head, table, start);

        if (status != ST_OK) {
            table_free(table);
            return status;
        }
    }
    STAT(huge_splits);
    pt_entry_store(entry, pt_entry_table(frame_paddr(table)));
    *out = table;
    return ST_OK;
}

static enum status add_empty(struct frame *parent, struct pt_entry *entry, unsigned level, uint64_t start,
                             struct frame **out)
{
    struct frame *table = table_create(level - 1, start, TABLE_EMPTY);

    if (!table)
        return ST_NO_MEMORY;
    pt_entry_store(entry, pt_entry_table(frame_paddr(table)));
    table_count_in(parent, (unsigned)(entry - table_entries(parent)));
    *out = table;
    return ST_OK;
}

enum status table_refine(struct flush_batch *batch, struct frame *parent, struct pt_entry *entry,
                         unsigned level, uint64_t start, enum table_create create, struct frame **out)
{
    struct pt_entry now = pt_entry_load(entry);

    if (pt_entry_is_table(now, level)) {
        if (!(now.bits & PT_WRITE))
            return table_own(batch, entry, start, out);
        *out = entry_table(now);
        return ST_OK;
    }
    if (pt_entry_empty(now))
        return create == TABLE_CREATE ? add_empty(parent, entry, level, start, out) : ST_NOT_MAPPED;
    if (pt_entry_present(now) || mark_is_held(now))
        return split_huge(batch, entry, level, start, out);
    return split_mark(entry, level, start, out);
}
