/*
 * Harvesting: which pages were accessed or written, and clearing the bits that say so.
 *
 *   prepare   splits at the edges, if they are needed and allowed
 *   commit    tests and clears run after run
 *
 * A bit is tested and cleared by one locked instruction where an MMU may be setting bits (pt->live), so that
 * each access is seen by this harvest or by the next one. Entries that have no such bit are only read.
 */
#include "pt/pt_internal.h"

enum { HARVESTED = PT_FLAG_ACCESSED | PT_FLAG_DIRTY };

struct reaper {
    struct pt *pt;
    struct pt_harvest *harvest;
    struct pt_change change;
    uint64_t last;                        /* of the range */
    uint64_t cleared_start, cleared_last; /* covers what was cleared */
    bool cleared;
};

/* Clears the flags of the entry, and gives what was there at that moment. */
PT_INLINE struct pt_entry take_marks(const struct reaper *reaper, struct pt_entry *at, unsigned level)
{
    struct pt_change change = pt_change_at(reaper->change, level);
    struct pt_entry old = *at;

    if (!reaper->pt->live) {
        pt_entry_store(at, pt_entry_changed(old, change));
        return old;
    }
    while (!__atomic_compare_exchange_n(&at->bits, &old.bits, pt_entry_changed(old, change).bits, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    }
    return old;
}

/* Sets `count` bits from `first` on. */
static void set_bits(uint64_t *map, uint64_t first, uint64_t count)
{
    uint64_t end = first + count;

    if (map && count == 1) {
        map[first / 64] |= (uint64_t)1 << first % 64;
        return;
    }
    while (map && first < end) {
        uint64_t rest = 64 - first % 64, part = end - first < rest ? end - first : rest;

        map[first / 64] |= (~(uint64_t)0 >> (64 - part)) << first % 64;
        first += part;
    }
}

static void note_cleared(struct reaper *reaper, uint64_t start, uint64_t last)
{
    if (!reaper->cleared) {
        reaper->cleared = true;
        reaper->cleared_start = start;
    }
    reaper->cleared_last = last;
}

/* The marks of `count` pages that are one translation: the MMU may put them into any of the entries. */
static uint32_t marks_of(const struct pt_entry *at, unsigned count, unsigned level)
{
    uint32_t marks = 0;

    for (unsigned i = 0; i < count; i++)
        marks |= pt_entry_flags(pt_entry_load(&at[i]), level).bits & HARVESTED;
    return marks;
}

static void note_pages(struct pt_harvest *harvest, uint32_t marks, uint64_t first, uint64_t pages)
{
    if (marks & PT_FLAG_ACCESSED) {
        harvest->accessed_pages += pages;
        set_bits(harvest->accessed, first, pages);
    }
    if (marks & PT_FLAG_DIRTY) {
        harvest->dirty_pages += pages;
        set_bits(harvest->dirty, first, pages);
    }
}

/* A page of `level`, which lies in the range wholly, or a group of `count` of them. False: the visitor has
 * seen enough. */
static bool reap_page(struct reaper *reaper, struct pt_entry *at, unsigned count, unsigned level,
                      uint64_t start)
{
    struct pt_harvest *harvest = reaper->harvest;
    struct pt_entry entry = pt_entry_load(at);
    uint64_t bytes = count * pt_level_span(level);
    uint32_t marks;

    if (!pt_entry_present(entry) || (marks = marks_of(at, count, level)) == 0)
        return true;
    if (marks & harvest->clear.bits) {
        for (unsigned i = 0; i < count; i++) {
            entry = take_marks(reaper, &at[i], level);
            marks |= pt_entry_flags(entry, level).bits & HARVESTED;
        }
        note_cleared(reaper, start, start + bytes - 1);
    }
    note_pages(harvest, marks, (start - harvest->start.v) >> PAGE_SHIFT, bytes >> PAGE_SHIFT);
    if (!harvest->visitor)
        return true;
    entry = pt_entry_changed(entry, pt_change_at(pt_change(pt_flags(marks), pt_flags(0)), level));

    struct pt_visit visit = {
        .start = vaddr(start), .entry = entry, .level = level, .index = pt_index(vaddr(start), level)};

    return harvest->visitor(harvest->context, &visit);
}

/* Sums of neighbours that grow: of bits, pairs, fours, bytes (Warren, "Hacker's Delight", 5-1). */
static unsigned bits_set(uint64_t word)
{
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (unsigned)(word * 0x0101010101010101 >> 56);
}

static void note_word(uint64_t *map, uint64_t *pages, uint64_t first, uint64_t bits)
{
    *pages += bits_set(bits);
    if (map)
        map[first / 64] |= bits << first % 64;
}

/* Pages of level 1, each a translation, whose bits are in one word of the maps: the first is number `first`
 * of the range. */
PT_INLINE void reap_word(struct reaper *reaper, struct pt_entry *run, unsigned count, uint64_t first)
{
    struct pt_harvest *harvest = reaper->harvest;
    uint64_t accessed = 0, dirty = 0, start = harvest->start.v + (first << PAGE_SHIFT);

    for (unsigned i = 0; i < count; i++) {
        struct pt_entry entry = pt_entry_load(&run[i]);
        uint32_t marks = pt_entry_flags(entry, 1).bits & HARVESTED;

        if (!pt_entry_present(entry) || marks == 0)
            continue;
        if (marks & harvest->clear.bits) {
            marks |= pt_entry_flags(take_marks(reaper, &run[i], 1), 1).bits & HARVESTED;
            note_cleared(reaper, start + i * PAGE_SIZE, start + i * PAGE_SIZE + PAGE_MASK);
        }
        accessed |= (uint64_t)(marks / PT_FLAG_ACCESSED & 1) << i;
        dirty |= (uint64_t)(marks / PT_FLAG_DIRTY & 1) << i;
    }
    note_word(harvest->accessed, &harvest->accessed_pages, first, accessed);
    note_word(harvest->dirty, &harvest->dirty_pages, first, dirty);
}

static void reap_run(struct reaper *reaper, struct pt_entry *run, unsigned count, uint64_t at)
{
    uint64_t first = (at - reaper->harvest->start.v) >> PAGE_SHIFT;

    for (unsigned part; count > 0; run += part, count -= part, first += part) {
        part = 64 - (unsigned)(first % 64);
        part = part < count ? part : count;
        reap_word(reaper, run, part, first);
    }
}

/* How many entries are one translation with this one. */
static unsigned group_size(struct pt_entry entry, unsigned level)
{
    return pt_entry_is_grouped(entry, level) ? PT_GROUP_ENTRIES : 1;
}

/* What one table holds of the range from `at` on; gives where the next one begins. False: enough. */
static bool reap_table(struct reaper *reaper, enum pt_way way, uint64_t at, uint64_t *next)
{
    struct pt_path path;
    bool more = true;

    if (path_walk(way, reaper->pt, vaddr(at), 1, &path) != ST_OK)
        __builtin_trap(); /* only the recursive entry, at which preparing has failed */

    uint64_t span = pt_level_span(path.level), left = (reaper->last - at) / span + 1;
    unsigned room = PT_ENTRIES - path.index, count = left < room ? (unsigned)left : room;

    if (path.level > 1)
        count = group_size(path.entry, path.level);
    *next = path.level > 1 ? path_next(vaddr(at), path.level) + (count - 1) * span : at;
    if (path.level == 1 && PT_GROUP_ENTRIES == 1 && !reaper->harvest->visitor) {
        reap_run(reaper, &path.table[path.index], count, at);
        *next = at + count * span;
        count = 0;
    }
    for (unsigned i = 0, pages; i < count && more; i += pages) {
        pages = group_size(pt_entry_load(&path.table[path.index + i]), path.level);
        more = reap_page(reaper, &path.table[path.index + i], pages, path.level, at + i * span);
        if (path.level == 1)
            *next = at + (i + pages) * span;
    }
    table_close(way, reaper->pt, path.table);
    return more;
}

static void reap(struct reaper *reaper)
{
    uint64_t at = reaper->harvest->start.v, next;
    bool more;

    do {
        more = reap_table(reaper, reaper->pt->reach.way, at, &next);
        at = next;
    } while (more && next - 1 < reaper->last);
    reaper->harvest->next = vaddr(next - 1 < reaper->last ? next : reaper->last + 1);
}

static enum status prepare(struct reaper *reaper)
{
    struct pt_harvest *harvest = reaper->harvest;
    unsigned options = (harvest->options & PT_SPLIT_HUGE) | PT_SKIP_HOLES;
    struct pt *pt = reaper->pt;
    uint64_t frames_needed;
    enum status status = range_check(harvest->start, harvest->length_bytes, PAGE_SIZE, &reaper->last);

    if (status == ST_OK && (harvest->clear.bits & ~(uint32_t)HARVESTED) != 0)
        status = ST_INVALID;
    if (status == ST_OK)
        status = reach_check(pt);
    if (status == ST_OK)
        status = range_prepare(pt, harvest->start, reaper->last, options, NULL, &frames_needed);
    if (status == ST_OK)
        status = range_cut(pt, harvest->start, reaper->last, options, frames_needed);
    return status;
}

struct pt_flush pt_harvest(struct pt *pt, struct pt_harvest *harvest)
{
    struct reaper reaper = {.pt = pt, .harvest = harvest, .change = pt_change(pt_flags(0), harvest->clear)};
    enum status status = prepare(&reaper);

    if (status != ST_OK)
        return pt_flush_failed(status);
    harvest->accessed_pages = harvest->dirty_pages = 0;
    reap(&reaper);
    if (!reaper.cleared)
        return flush_promise(harvest->start, harvest->length_bytes, PT_FLUSH_NONE);
    return flush_promise(vaddr(reaper.cleared_start), reaper.cleared_last - reaper.cleared_start + 1,
                         PT_FLUSH_PAGES);
}
