/*
 * The tables of user spaces. See table.h.
 *
 * Invariants (space_check() walks them): live is the number of entries that are not empty, all between low
 * and high; a table with shares > 1 is pointed to only by entries without W; level and start say where it
 * stands; a table that a parent points to is never without entries outside of an operation (empty ones are
 * pruned).
 *
 * Locking: the parent's lock is held; the child's is taken inside.
 */
#include "vm/table.h"

#include <string.h>

#include "quire/slab.h"
#include "vm/object_internal.h"

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
    lock_init(&table->table.lock, RANK_TABLE);
    count_table();
    return table;
}

static void table_uncount(void)
{
    __atomic_fetch_sub(&vm_stats.table_frames, 1, __ATOMIC_RELAXED);
}

void table_free(struct frame *table)
{
    table_uncount();
    frame_free(table);
}

/* The number of the object that an entry refers to, 0 for plain anonymous memory. The entry's own hold keeps
 * it alive. */
static inline uint32_t entry_object(struct pt_entry entry)
{
    const struct frame *frame;

    if (!pt_entry_present(entry)) {
        if (mark_has_object(entry))
            return mark_object_id(entry);
        if (mark_kind(entry) != MARK_HELD)
            return 0;
        frame = frame_at(held_paddr(entry));
    } else {
        frame = frame_at(pt_entry_paddr(entry));
        if (frame == zero_frame)
            return 0;
        if (frame->use != FRAME_ANON)
            return frame->page.object->id;
    }
    return frame->page.index & ORIGIN_OBJECT ? origin_object_id(frame->page.index) : 0;
}

void entry_hold(struct pt_entry entry, uint64_t pages)
{
    uint32_t id = entry_object(entry);

    if (id != 0)
        object_hold_pages(object_by_id(id), pages);
}

/* Holds of one object, collected while a table is gone through. */
struct hold_run {
    uint32_t id;
    uint64_t pages;
};

static void hold_run_end(struct hold_run *run)
{
    if (run->id != 0)
        object_hold_pages(object_by_id(run->id), run->pages);
    run->id = 0;
    run->pages = 0;
}

static inline void hold_run_add(struct hold_run *run, uint32_t id, uint64_t pages)
{
    if (id == 0)
        return;
    if (run->id != id) {
        hold_run_end(run);
        run->id = id;
    }
    run->pages += pages;
}

/* ------------------------------------------------------------------ owning a shared table */

static bool entry_counts_frame(struct pt_entry entry)
{
    if (pt_entry_present(entry))
        return frame_at(pt_entry_paddr(entry)) != zero_frame;
    return mark_is_held(entry);
}

static struct frame *counted_frame(struct pt_entry entry)
{
    return frame_at(pt_entry_present(entry) ? pt_entry_paddr(entry) : held_paddr(entry));
}

/* W of one entry, cleared where the MMU may be setting A. */
static void clear_write(struct pt_entry *entry)
{
    __atomic_fetch_and(&entry->bits, ~PT_WRITE, __ATOMIC_RELAXED);
}

void table_share(struct pt_entry *entry)
{
    struct frame *child = entry_table(*entry);

    lock_take(&child->table.lock);
    child->table.shares++;
    lock_drop(&child->table.lock);
    clear_write(entry);
    STAT(table_shares);
}

/* A page that its object has too. */
static bool is_object_page(struct pt_entry entry)
{
    const struct frame *frame;

    if (!pt_entry_present(entry))
        return false;
    frame = frame_at(pt_entry_paddr(entry));
    return frame != zero_frame && frame->use != FRAME_ANON;
}

/* The right to touch, and all else that an entry says beside its frame and what the MMU notes. */
static inline uint64_t page_kind(struct pt_entry page)
{
    return page.bits & ~(PT_FRAME_MASK | PT_ACCESSED | PT_DIRTY | PT_WRITE);
}

/*
 * Neighbouring pages of an object, at most `most`, become marks again in a table's copy: most are not touched
 * before the copy ends or is replaced by exec, and those that are come back sixteen by one fault. Returns how
 * many; the first one is such a page.
 */
static unsigned copy_object_pages(const struct pt_entry *from, struct pt_entry *to, unsigned most,
                                  struct hold_run *run)
{
    struct pt_entry entry = pt_entry_load(from);
    const struct frame *frame = frame_at(pt_entry_paddr(entry));
    const struct object *object = frame->page.object;
    uint64_t kind = page_kind(entry);
    uint64_t index = frame->page.index;
    uint64_t mark = page_to_mark(entry, frame).bits;
    unsigned count = 0;

    for (;;) {
        pt_entry_store(&to[count++], pt_entry(mark));
        if (count == most)
            break;
        entry = pt_entry_load(&from[count]);
        if (page_kind(entry) != kind)
            break;
        frame = frame_at(pt_entry_paddr(entry));
        if (frame->page.object != object || frame->page.index != index + count || frame == zero_frame)
            break;
        mark -= (uint64_t)1 << MARK_PAYLOAD_SHIFT;
    }
    hold_run_add(run, object->id, count);
    return count;
}

/* One page or mark of a shared table for its copy at `to`: what it refers to is counted once more. */
static enum status copy_leaf(struct pt_entry *from, struct pt_entry *to, unsigned level, struct hold_run *run)
{
    struct pt_entry entry = pt_entry_load(from);

    if (entry_counts_frame(entry) && rmap_add(counted_frame(entry), entry_place(to)) != ST_OK)
        return ST_NO_MEMORY;
    hold_run_add(run, entry_object(entry), level_pages(level));
    if ((entry.bits & (PT_PRESENT | PT_WRITE | PAGE_SHARED)) == (PT_PRESENT | PT_WRITE)) {
        clear_write(from);
        entry.bits &= ~PT_WRITE;
    }
    pt_entry_store(to, entry);
    return ST_OK;
}

/* copy_leaf() for a page of private memory at level 1. */
static inline enum status copy_private_page(struct pt_entry *from, struct pt_entry *to, uint64_t place,
                                            struct hold_run *run)
{
    struct pt_entry entry = pt_entry_load(from);
    struct frame *frame = frame_at(pt_entry_paddr(entry));

    if (rmap_add(frame, place) != ST_OK)
        return ST_NO_MEMORY;
    if (frame->page.index != 0)
        hold_run_add(run, origin_object_id(frame->page.index), 1);
    if (entry.bits & PT_WRITE)
        clear_write(from);
    pt_entry_store(to, pt_entry(entry.bits & ~PT_WRITE));
    return ST_OK;
}

/* A page of private memory that is not the zero page. */
static bool is_private_page(struct pt_entry entry)
{
    return pt_entry_present(entry) && frame_at(pt_entry_paddr(entry))->use == FRAME_ANON;
}

/* A mark that stands for nothing but itself. */
static inline bool is_frameless_mark(struct pt_entry entry)
{
    return !pt_entry_present(entry) && mark_kind(entry) != MARK_HELD;
}

/* How many entries from `entries` on, at most `most`, say just the same. */
static inline unsigned equal_run(const struct pt_entry *entries, unsigned most)
{
    uint64_t bits = entries->bits;
    unsigned run = 1;

    for (; run + 8 <= most; run += 8) {
        const struct pt_entry *e = &entries[run];
        uint64_t any =
            e[0].bits | e[1].bits | e[2].bits | e[3].bits | e[4].bits | e[5].bits | e[6].bits | e[7].bits;
        uint64_t all =
            e[0].bits & e[1].bits & e[2].bits & e[3].bits & e[4].bits & e[5].bits & e[6].bits & e[7].bits;

        if ((any ^ bits) | (all ^ bits))
            break;
    }
    while (run < most && entries[run].bits == bits)
        run++;
    return run;
}

/* How many entries from `entries` on, at most `most`, continue the mark that is first of them. */
static inline unsigned mark_run(const struct pt_entry *entries, unsigned most, unsigned level)
{
    uint64_t bits = entries->bits;
    uint64_t step = level_pages(level) << MARK_PAYLOAD_SHIFT;
    unsigned run = 1;

    if (!mark_has_object(*entries))
        return equal_run(entries, most);
    while (run < most && entries[run].bits == (bits -= step))
        run++;
    return run;
}

/* Empties `count` entries that hold marks. */
static inline void clear_run(struct pt_entry *entries, unsigned count)
{
    for (; count >= 4; count -= 4, entries += 4) {
        pt_entry_store(&entries[0], pt_entry(0));
        pt_entry_store(&entries[1], pt_entry(0));
        pt_entry_store(&entries[2], pt_entry(0));
        pt_entry_store(&entries[3], pt_entry(0));
    }
    while (count-- > 0)
        pt_entry_store(entries++, pt_entry(0));
}

/* On an error `to` holds what was copied until then, counted. */
static enum status copy_table(struct frame *from, struct frame *to)
{
    struct pt_entry *source = table_entries(from);
    struct pt_entry *target = table_entries(to);
    uint64_t place = entry_place(target);
    struct hold_run run = {0};
    unsigned level = from->table.level;
    unsigned left = from->table.live;
    enum status status = ST_OK;

    to->table.low = from->table.low;
    to->table.high = from->table.high;
    for (unsigned i = from->table.low, done = 1; left > 0; i += done, left -= done) {
        struct pt_entry entry;

        i = table_next_live(source, i);
        entry = pt_entry_load(&source[i]);
        done = 1;
        if (is_frameless_mark(entry)) {
            done = mark_run(&source[i], left, level);
            memcpy(&target[i], &source[i], done * sizeof entry);
            if (mark_has_object(entry))
                hold_run_add(&run, mark_object_id(entry), done * level_pages(level));
        } else if (pt_entry_is_table(entry, level)) {
            table_share(&source[i]);
            pt_entry_store(&target[i], pt_entry(entry.bits & ~PT_WRITE));
        } else if (is_object_page(entry)) {
            done = copy_object_pages(&source[i], &target[i], left, &run);
        } else if (level == 1 && is_private_page(entry)) {
            status = copy_private_page(&source[i], &target[i], place + i * sizeof entry, &run);
            if (status != ST_OK)
                break;
        } else if ((status = copy_leaf(&source[i], &target[i], level, &run)) != ST_OK) {
            break;
        }
        to->table.live = (uint16_t)(to->table.live + done);
    }
    hold_run_end(&run);
    return status;
}

/* What was copied is taken out again. That private pages have lost W costs a fault, nothing else. */
static void undo_copy(struct frame *copy)
{
    struct flush_batch batch;

    batch_init(&batch, NULL); /* nobody has translated through the copy */
    table_empty(&batch, copy);
    table_free(copy);
    batch_drop_all(&batch);
}

static enum status copy_shared(struct frame *shared, struct frame **out)
{
    struct frame *copy = table_create(shared->table.level, shared->table.start, TABLE_EMPTY);

    if (!copy)
        return ST_NO_MEMORY;
    if (copy_table(shared, copy) != ST_OK) {
        undo_copy(copy);
        return ST_NO_MEMORY;
    }
    shared->table.shares--;
    STAT(table_copies);
    *out = copy;
    return ST_OK;
}

/* The table behind an entry without W becomes this space's own. */
static enum status own(struct flush_batch *batch, struct pt_entry *entry, uint64_t start, struct frame **out)
{
    struct frame *table = entry_table(*entry);
    enum status status = ST_OK;

    lock_take(&table->table.lock);
    if (table->table.shares > 1) {
        struct frame *copy = NULL;

        status = copy_shared(table, &copy);
        if (status == ST_OK) {
            lock_drop(&table->table.lock);
            pt_entry_store(entry, pt_entry_table(frame_paddr(copy)));
            batch_page(batch, start); /* the paging-structure caches may know the old table */
            *out = copy;
            return ST_OK;
        }
    } else {
        pt_entry_store(entry, pt_entry(entry->bits | PT_WRITE));
        *out = table;
    }
    lock_drop(&table->table.lock);
    return status;
}

/* ------------------------------------------------------------------ splitting */

static void fill_marks(struct frame *table, struct pt_entry mark)
{
    struct pt_entry *entries = table_entries(table);
    uint64_t step = mark_has_object(mark) ? level_pages(table->table.level) << MARK_PAYLOAD_SHIFT : 0;
    uint64_t bits = mark.bits;

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        entries[i].bits = bits;
        bits -= step;
    }
    table->table.live = PT_ENTRIES;
    table->table.low = 0;
    table->table.high = PT_ENTRIES - 1;
}

static enum status split_mark(struct pt_entry *entry, unsigned level, uint64_t start, struct frame **out)
{
    struct frame *table = table_create(level - 1, start, TABLE_UNDEFINED);

    if (!table)
        return ST_NO_MEMORY;
    fill_marks(table, *entry);
    pt_entry_store(entry, pt_entry_table(frame_paddr(table)));
    *out = table;
    return ST_OK;
}

/* The 512 single frames of a block take the place of the block in `table`, each with what the huge entry
 * said. */
static void fill_pages(struct frame *table, struct pt_entry huge, struct frame *head)
{
    struct pt_entry *entries = table_entries(table);
    bool held = !pt_entry_present(huge);

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        struct frame *frame = head + i;

        entries[i] = held ? mark_make(MARK_HELD, mark_access(huge), mark_traits(huge), frame_pfn(frame).v)
                          : pt_entry((huge.bits & ~(PT_HUGE | PT_FRAME_MASK)) | frame_paddr(frame).v);
        frame->flags = 0;
        frame->page.object = NULL;
        frame->page.index = 0;
        rmap_first(frame, entry_place(&entries[i]));
    }
    table->table.live = PT_ENTRIES;
    table->table.low = 0;
    table->table.high = PT_ENTRIES - 1;
}

/* The same for the other one of two entries that mapped the block: each frame is mapped once more. */
static void fill_second(struct frame *table, struct pt_entry huge, struct frame *head)
{
    struct pt_entry *entries = table_entries(table);
    bool held = !pt_entry_present(huge);

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        struct frame *frame = head + i;

        entries[i] = held ? mark_make(MARK_HELD, mark_access(huge), mark_traits(huge), frame_pfn(frame).v)
                          : pt_entry((huge.bits & ~(PT_HUGE | PT_FRAME_MASK)) | frame_paddr(frame).v);
        frame->refs = 2;
        frame->mapcount = 2;
        frame->page.rmap[1] = entry_place(&entries[i]);
    }
    table->table.live = PT_ENTRIES;
    table->table.low = 0;
    table->table.high = PT_ENTRIES - 1;
}

/* A copy of a block that others map too, in single frames. The block loses this mapping. */
static enum status copy_to_pages(struct flush_batch *batch, struct pt_entry *entry, struct frame *head,
                                 struct frame *table, uint64_t start)
{
    struct pt_entry *entries = table_entries(table);
    struct pt_entry huge = *entry;
    bool held = !pt_entry_present(huge);

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        struct frame *frame = frame_alloc(0, FRAME_ANON, FRAME_ANY);

        if (!frame) {
            while (i-- > 0)
                frame_free(frame_at(held ? held_paddr(entries[i]) : pt_entry_paddr(entries[i])));
            return ST_NO_MEMORY;
        }
        host_copy_page(frame_data(frame), (char *)frame_data(head) + i * PAGE_SIZE);
        frame->page.object = NULL;
        frame->page.index = 0;
        entries[i] = held ? mark_make(MARK_HELD, mark_access(huge), mark_traits(huge), frame_pfn(frame).v)
                          : pt_entry((huge.bits & ~(PT_HUGE | PT_FRAME_MASK)) | frame_paddr(frame).v);
    }
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        struct frame *frame = frame_at(held ? held_paddr(entries[i]) : pt_entry_paddr(entries[i]));

        rmap_first(frame, entry_place(&entries[i]));
    }
    table->table.live = PT_ENTRIES;
    table->table.low = 0;
    table->table.high = PT_ENTRIES - 1;
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
    frame_split(head);
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
    struct frame *head = counted_frame(*entry);
    struct frame *table = table_create(level - 1, start, TABLE_UNDEFINED);

    CHECK(level == 2);
    if (!table)
        return ST_NO_MEMORY;
    if (frame_is_sole(head)) {
        rmap_remove(head, entry_place(entry));
        frame_split(head);
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
            return own(batch, entry, start, out);
        *out = entry_table(now);
        return ST_OK;
    }
    if (pt_entry_empty(now))
        return create == TABLE_CREATE ? add_empty(parent, entry, level, start, out) : ST_NOT_MAPPED;
    if (pt_entry_present(now) || mark_is_held(now))
        return split_huge(batch, entry, level, start, out);
    return split_mark(entry, level, start, out);
}

/* ------------------------------------------------------------------ taking out */

/* A page or a mark leaves its entry, which is empty already. */
static inline void zap_leaf(struct flush_batch *batch, struct pt_entry entry, uint64_t place, unsigned level,
                            uint64_t start)
{
    uint32_t id = entry_object(entry);

    if (id != 0)
        batch_drop_object(batch, id, level_pages(level));
    if (pt_entry_present(entry))
        batch_page(batch, start);
    if (entry_counts_frame(entry)) {
        struct frame *frame = counted_frame(entry);

        rmap_remove(frame, place);
        batch_drop_frame(batch, frame);
    }
}

/* zap_leaf() for a page at level 1: the most frequent cases of all by themselves. */
static inline void zap_page(struct flush_batch *batch, struct pt_entry entry, uint64_t place, uint64_t start)
{
    struct frame *frame = frame_at(pt_entry_paddr(entry));

    if (batch->space)
        batch_page(batch, start);
    if (frame->use != FRAME_ANON) {
        if (frame == zero_frame)
            return;
        batch_drop_object(batch, frame->page.object->id, 1);
    } else if (frame->page.index != 0) {
        batch_drop_object(batch, origin_object_id(frame->page.index), 1);
    } else if (frame_is_sole(frame)) {
        rmap_last(frame);
        batch_free_frame(batch, frame);
        return;
    }
    rmap_remove(frame, place);
    batch_drop_frame(batch, frame);
}

unsigned table_zap_leaves(struct flush_batch *batch, struct frame *table, unsigned first, unsigned last)
{
    struct pt_entry *entries = table_entries(table);
    uint64_t place = entry_place(entries);
    uint64_t start = table->table.start;
    unsigned left = table->table.live;
    unsigned zapped = 0;

    for (unsigned i = first, run = 1; i <= last && zapped < left; i += run) {
        struct pt_entry entry = pt_entry_load(&entries[i]);

        run = 1;
        if (entry.bits == 0)
            continue;
        if (is_frameless_mark(entry)) {
            run = mark_run(&entries[i], last + 1 - i, 1);
            clear_run(&entries[i], run);
            if (mark_has_object(entry))
                batch_drop_object(batch, mark_object_id(entry), run);
        } else {
            entry = pt_entry_swap(&entries[i], pt_entry(0));
            if (pt_entry_present(entry))
                zap_page(batch, entry, place + i * sizeof entry, start + i * PAGE_SIZE);
            else
                zap_leaf(batch, entry, place + i * sizeof entry, 1, start + i * PAGE_SIZE);
        }
        zapped += run;
    }
    return zapped;
}

/* Pages that the entries of a shared table stand for: the other sharers keep them, this space loses them. */
static uint64_t count_pages(const struct frame *table)
{
    const struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;
    uint64_t pages = 0;

    if (level == 1)
        return table->table.live;
    for (unsigned i = table->table.low; i <= table->table.high; i++) {
        struct pt_entry entry = pt_entry_load(&entries[i]);

        if (pt_entry_is_table(entry, level))
            pages += count_pages(entry_table(entry));
        else if (!pt_entry_empty(entry))
            pages += level_pages(level);
    }
    return pages;
}

static uint64_t drop_table(struct flush_batch *batch, struct frame *table)
{
    uint64_t pages;

    lock_take(&table->table.lock);
    if (table->table.shares > 1) {
        pages = batch->space ? count_pages(table) : 0;
        table->table.shares--;
        lock_drop(&table->table.lock);
        batch_space(batch);
        return pages;
    }
    pages = table_empty(batch, table);
    lock_drop(&table->table.lock);
    table_uncount();
    batch_free_frame(batch, table);
    return pages;
}

uint64_t table_empty(struct flush_batch *batch, struct frame *table)
{
    struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;
    uint64_t span = pt_level_span(level);
    unsigned live = table->table.live;
    uint64_t pages = 0;

    if (level == 1) {
        pages = table_zap_leaves(batch, table, table->table.low, table->table.high);
        live = 0;
    }
    for (unsigned i = table->table.low; live > 0; i++) {
        i = table_next_live(entries, i);
        pages += table_zap(batch, &entries[i], level, table->table.start + i * span);
        live--;
    }
    table_count_out(table, table->table.live);
    return pages;
}

uint64_t table_zap(struct flush_batch *batch, struct pt_entry *entry, unsigned level, uint64_t start)
{
    struct pt_entry was = pt_entry_swap(entry, pt_entry(0));

    if (pt_entry_is_table(was, level)) {
        batch_page(batch, start); /* and the paging-structure caches */
        return drop_table(batch, entry_table(was));
    }
    zap_leaf(batch, was, entry_place(entry), level, start);
    return level_pages(level);
}
