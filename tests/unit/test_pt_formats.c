/*
 * What every entry format must do, each compiled with this file once: flags, sizes, limits, marks, groups,
 * break before make. What is expected comes from the MMU in software (pt_mmu.h), which was written from the
 * manuals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pt_model.h"

#include "quire/pt_cursor.h"

struct fixture {
    struct machine *machine;
    struct pt_alloc alloc;
    struct pt pt;
    uint64_t random;
};

static int fixture_open(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->machine = machine_create();
    f->alloc = machine_alloc(f->machine);
    f->pt = machine_table(f->machine, WAY_OFFSET, &f->alloc);
    f->pt.alloc = &f->alloc;
    f->random = 1;
    *state = f;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *f = *state;
    struct pt_broken broken = {.what = "nothing"};
    enum status status = pt_check(&f->pt, &broken, NULL);

    machine_destroy(f->machine);
    free(f);
    if (status != ST_OK)
        print_error("%s\n", broken.what);
    return status == ST_OK ? 0 : 1;
}

#define assert_status(got, wanted) assert_string_equal(status_name(got), status_name(wanted))

#define AT ((uint64_t)0x40000000) /* 1 GiB, in the lower half of every format */

static uint32_t next_random(struct fixture *f)
{
    f->random = f->random * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return (uint32_t)(f->random >> 32);
}

static enum status map(struct fixture *f, uint64_t start, uint64_t to, uint64_t bytes, uint32_t flags,
                       unsigned size)
{
    struct pt_map request = {.start = vaddr(start),
                             .to = paddr(to),
                             .length_bytes = bytes,
                             .flags = pt_flags(flags),
                             .size = (enum pt_size)size};

    return pt_flush_ignore(pt_map(&f->pt, &request));
}

static enum status unmap(struct fixture *f, uint64_t start, uint64_t bytes, unsigned options)
{
    return pt_flush_ignore(pt_unmap(&f->pt, vaddr(start), bytes, options));
}

static enum status protect(struct fixture *f, uint64_t start, uint64_t bytes, uint32_t set, uint32_t clear,
                           unsigned options)
{
    return pt_flush_ignore(pt_protect(&f->pt, vaddr(start), bytes, pt_flags(set), pt_flags(clear), options));
}

/* What the MMU finds; level 0: nothing. */
static struct mmu_entry look(struct fixture *f, uint64_t address, unsigned *level)
{
    uint64_t physical, entry;

    if (machine_walk(f->machine, f->pt.root.v, address, &physical, &entry, level))
        return mmu_read(entry, *level);
    *level = 0;
    return (struct mmu_entry){.kind = MMU_FAULT};
}

static struct pt_translation translate(struct fixture *f, uint64_t address, enum status expected)
{
    struct pt_translation translation = {.level = 0};

    assert_status(pt_translate(&f->pt, vaddr(address), &translation), expected);
    return translation;
}

/* An address that a page of the level fits at, and no smaller one is put at. */
static uint64_t place(unsigned level)
{
    return level <= 3 ? level * AT : pt_level_span(level);
}

/* ------------------------------------------------------------------ flags */

static void try_flags(struct fixture *f, uint32_t flags, unsigned level)
{
    uint64_t at = place(level), span = pt_level_span(level);
    enum status expected = mmu_can(flags) ? ST_OK : ST_UNSUPPORTED;
    unsigned found, taken = f->machine->taken;

    assert_status(map(f, at, 3 * span, span, flags, level), expected);
    if (expected == ST_OK) {
        assert_int_equal(look(f, at, &found).flags, flags);
        assert_int_equal(found, level);
        assert_int_equal(translate(f, at + 5, ST_OK).flags.bits, flags);
        assert_int_equal(translate(f, at + 5, ST_OK).paddr.v, 3 * span + 5);
        assert_int_equal(pt_flags_at(translate(f, at, ST_OK).entry, level).bits, flags);
        assert_status(unmap(f, at, span, PT_STRICT), ST_OK);
    } else {
        assert_int_equal(f->machine->taken, taken);
    }
}

static void a_page_has_just_the_flags_it_was_given(void **state)
{
    struct fixture *f = *state;

    for (unsigned level = 1; level <= PT_PAGE_LEVELS; level++) {
        try_flags(f, 0, level);
        for (unsigned bit = 0; bit < 32; bit++)
            if (1u << bit != PT_FLAG_GROUP) {
                try_flags(f, 1u << bit, level);
                try_flags(f, 1u << bit | PT_FLAG_EXEC, level);
                try_flags(f, 1u << bit | PT_FLAG_USER | PT_FLAG_WRITE, level);
            }
        for (unsigned i = 0; i < 500; i++)
            try_flags(f, next_random(f) & next_random(f) & 0x07ffdfff, level);
        for (unsigned i = 0; i < 500; i++) /* many that fit */
            try_flags(f, next_random(f) & PT_FLAGS_PAGE & ~(uint32_t)PT_FLAG_NO_READ, level);
    }
}

/* Every call that makes a page refuses what the format lacks. */
static void no_call_loses_a_flag(void **state)
{
    struct fixture *f = *state;
    struct pt_cursor cursor = pt_cursor(&f->pt);
    const struct paddr frame = paddr(0x5000);
    struct pt_map mark = {.start = vaddr(AT), .length_bytes = PAGE_SIZE, .mark = {7}};
    struct pt_entry found;

    assert_status(map(f, AT + PAGE_SIZE, 0x1000, PAGE_SIZE, 0, 1), ST_OK); /* the cursor finds its table */
    assert_status(unmap(f, AT + PAGE_SIZE, PAGE_SIZE, PT_STRICT), ST_OK);
    assert_status(pt_flush_ignore(pt_map(&f->pt, &mark)), ST_OK);
    for (unsigned bit = 0; bit < 32; bit++) {
        struct pt_flags flags = pt_flags(1u << bit);
        enum status expected = mmu_can(flags.bits) ? ST_OK : ST_UNSUPPORTED;

        if (flags.bits == PT_FLAG_GROUP) /* a wish */
            continue;

        struct pt_map_list list = {.start = vaddr(AT + 0x9000), .frames = &frame, .count = 1, .flags = flags};

        for (unsigned again = 0; again < 2; again++) {
            assert_status(pt_flush_ignore(pt_cursor_map(&cursor, vaddr(AT + 0x8000), frame, flags)),
                          expected);
            if (expected == ST_OK)
                assert_status(pt_flush_ignore(pt_cursor_unmap(&cursor, vaddr(AT + 0x8000))), ST_OK);
        }
        assert_status(pt_flush_ignore(pt_map_list(&f->pt, &list)), expected);
        if (expected == ST_OK)
            assert_status(unmap(f, AT + 0x9000, PAGE_SIZE, PT_STRICT), ST_OK);
        assert_status(pt_flush_ignore(pt_fill_mark(&f->pt, vaddr(AT), mark.mark, frame, flags, &found)),
                      expected);
        if (expected == ST_OK)
            assert_status(
                pt_flush_ignore(pt_put_mark(&f->pt, vaddr(AT), PAGE_SIZE, mark.mark, 0, NULL, NULL)), ST_OK);
    }
}

static void a_change_leaves_a_page_that_there_is(void **state)
{
    struct fixture *f = *state;
    unsigned found, done = 0;

    for (unsigned i = 0; i < 6000; i++) {
        unsigned level = 1 + i % 3;
        uint64_t at = place(level), span = pt_level_span(level);
        uint32_t flags = next_random(f) & PT_FLAGS_PAGE,
                 set = next_random(f) & next_random(f) & PT_FLAGS_PAGE;
        uint32_t clear = next_random(f) & next_random(f), after;
        enum status status;

        if ((set | clear) & PT_MEMORY_MASK)
            clear |= PT_MEMORY_MASK; /* changed as a whole */
        after = (flags & ~clear) | set;
        if (map(f, at, span, span, flags, level) != ST_OK)
            continue;
        status = protect(f, at, span, set, clear, PT_STRICT);
        if (status == ST_OK)
            assert_int_equal(look(f, at, &found).flags, after);
        else
            assert_int_equal(look(f, at, &found).flags, flags);
        assert_int_equal(found, level);
        /* Reading is given up together with writing; else what can be is done. */
        if (status != ST_OK && !(set & PT_FLAG_NO_READ))
            assert_false(mmu_can(after));
        done += status == ST_OK;
        assert_status(unmap(f, at, span, PT_STRICT), ST_OK);
    }
    assert_true(done > 500);
}

/* A range with one page that could not have the flags is not changed at all. */
static void a_refused_change_has_changed_no_page(void **state)
{
    struct fixture *f = *state;
    unsigned level;

    if (!mmu_can(PT_FLAG_NO_READ | PT_FLAG_EXEC))
        return;
    assert_status(map(f, AT, 0, 40 * PAGE_SIZE, PT_FLAG_EXEC, 1), ST_OK);
    assert_status(protect(f, AT + 30 * PAGE_SIZE, PAGE_SIZE, PT_FLAG_NO_READ, PT_FLAG_WRITE, PT_STRICT),
                  ST_OK);
    for (unsigned options = 0; options < 4; options++) {
        assert_status(protect(f, AT, 40 * PAGE_SIZE, PT_FLAG_WRITE, 0, options), ST_UNSUPPORTED);
        assert_status(protect(f, AT, 40 * PAGE_SIZE, 0, PT_FLAG_EXEC, options), ST_UNSUPPORTED);
    }
    assert_int_equal(look(f, AT, &level).flags, PT_FLAG_EXEC);
    assert_int_equal(look(f, AT + 30 * PAGE_SIZE, &level).flags, PT_FLAG_EXEC | PT_FLAG_NO_READ);
    assert_status(protect(f, AT, 40 * PAGE_SIZE, PT_FLAG_WRITE, PT_FLAG_NO_READ, PT_STRICT), ST_OK);
    assert_int_equal(look(f, AT + 30 * PAGE_SIZE, &level).flags, PT_FLAG_EXEC | PT_FLAG_WRITE);
}

/* An entry that points to a table: what it has is changed, what it has not is refused, and it stays a table.
 */
static void tables_have_flags_of_their_own(void **state)
{
    struct fixture *f = *state;
    unsigned level;

    assert_status(map(f, AT, 0x3000, PAGE_SIZE, PT_FLAG_WRITE | PT_FLAG_EXEC, 1), ST_OK);
    for (unsigned bit = 0; bit < 32; bit++) {
        struct pt_flags flag = pt_flags(1u << bit), none = pt_flags(0);
        enum status expected = flag.bits & PT_FLAGS_TABLE ? ST_OK : ST_UNSUPPORTED;

        for (unsigned at = 2; at <= PT_LEVELS; at++) {
            uint64_t start = align_down(AT, pt_level_span(at)), span = pt_level_span(at);
            uint32_t before = translate(f, AT, ST_OK).flags.bits;

            assert_status(pt_flush_ignore(pt_protect_level(&f->pt, vaddr(start), span, at, none, flag, 0)),
                          expected);
            if (expected == ST_OK && flag.bits & (PT_FLAG_WRITE | PT_FLAG_EXEC))
                assert_int_equal(translate(f, AT, ST_OK).flags.bits, before & ~flag.bits);
            assert_status(pt_flush_ignore(pt_protect_level(&f->pt, vaddr(start), span, at, flag, none, 0)),
                          expected);
            if (expected == ST_OK && flag.bits & PT_FLAG_GLOBAL) /* makes all below it global */
                assert_int_equal(translate(f, AT, ST_OK).flags.bits, before | flag.bits);
            assert_status(pt_check(&f->pt, NULL, NULL), ST_OK);
            look(f, AT, &level);
            assert_int_equal(level, 1);
        }
    }
}

/* ------------------------------------------------------------------ sizes and limits */

static void every_size_is_split_and_merged(void **state)
{
    struct fixture *f = *state;
    uint64_t storage[4];
    struct pt_batch batch;
    unsigned found;
    const uint32_t flags = PT_FLAG_WRITE | PT_FLAG_USER | PT_FLAG_DIRTY | PT_FLAG_SOFT_0 | PT_MEMORY_DEVICE;

    pt_batch_init(&batch, &f->alloc, NULL, storage, 4);
    for (unsigned level = 2; level <= PT_PAGE_LEVELS; level++) {
        uint64_t at = place(level), span = pt_level_span(level), to = 2 * span;

        assert_status(map(f, at, to, span, flags, level), ST_OK);
        assert_int_equal(look(f, at + span - 1, &found).bytes, span);
        assert_status(pt_flush_ignore(pt_split(&f->pt, vaddr(at + span / 2), (enum pt_size)(level - 1))),
                      ST_OK);
        for (uint64_t part = 0; part < span; part += span / 64) {
            assert_int_equal(look(f, at + part, &found).flags, flags);
            assert_int_equal(found, level - 1);
            assert_int_equal(translate(f, at + part + 7, ST_OK).paddr.v, to + part + 7);
        }
        assert_status(pt_merge(&f->pt, vaddr(at), span, (enum pt_size)level, PT_STRICT, &batch), ST_OK);
        assert_int_equal(look(f, at, &found).flags, flags);
        assert_int_equal(found, level);
        assert_status(unmap(f, at, span, PT_STRICT), ST_OK);
        pt_batch_finish(&batch);
    }
    for (unsigned level = PT_PAGE_LEVELS + 1; level < 8; level++)
        assert_status(map(f, 0, 0, PAGE_SIZE, 0, level), ST_INVALID);
}

/* The largest that fits is of every size that the format has. */
static void the_largest_pages_are_chosen(void **state)
{
    struct fixture *f = *state;
    struct pt_counts counts;
    uint64_t bytes = 0;

    for (unsigned level = 1; level <= PT_PAGE_LEVELS; level++)
        bytes += pt_level_span(level);
    assert_status(
        map(f, pt_level_span(PT_PAGE_LEVELS), 2 * pt_level_span(PT_PAGE_LEVELS), bytes, 0, PT_SIZE_LARGEST),
        ST_OK);
    assert_status(pt_check(&f->pt, NULL, &counts), ST_OK);
    for (unsigned level = 1; level <= PT_PAGE_LEVELS; level++)
        assert_int_equal(counts.pages[level], 1);
}

static void physical_addresses_have_their_width(void **state)
{
    struct fixture *f = *state;
    const uint64_t end = (uint64_t)1 << PT_PHYSICAL_BITS;
    const struct paddr beyond = paddr(end);
    struct pt_map_list list = {.start = vaddr(AT), .frames = &beyond, .count = 1};
    struct pt_cursor cursor = pt_cursor(&f->pt);

    assert_status(map(f, AT, end, PAGE_SIZE, 0, 1), ST_INVALID);
    assert_status(map(f, AT, end - PAGE_SIZE, 2 * PAGE_SIZE, 0, 1), ST_INVALID);
    assert_status(pt_flush_ignore(pt_map_list(&f->pt, &list)), ST_INVALID);
    assert_status(map(f, AT, end - PAGE_SIZE, PAGE_SIZE, PT_FLAG_WRITE, 1), ST_OK);
    assert_int_equal(translate(f, AT + 0xfff, ST_OK).paddr.v, end - 1);
    assert_int_equal(translate(f, AT + 0xfff, ST_OK).flags.bits, PT_FLAG_WRITE);
    assert_status(pt_flush_ignore(pt_cursor_map(&cursor, vaddr(AT + PAGE_SIZE), beyond, pt_flags(0))),
                  ST_INVALID);
}

static void addresses_are_canonical(void **state)
{
    struct fixture *f = *state;
    const uint64_t half = (uint64_t)1 << (PAGE_SHIFT + 9 * PT_LEVELS - (PT_ROOT_HALVES == 2 ? 1 : 0));
    const uint64_t good[] = {0, half - PAGE_SIZE, 0 - half, 0 - PAGE_SIZE};
    const uint64_t bad[] = {half, half + AT, 0 - half - PAGE_SIZE, (uint64_t)1 << 62, (uint64_t)1 << 63};

    for (unsigned i = 0; i < 5; i++) {
        assert_status(map(f, bad[i], 0x1000, PAGE_SIZE, 0, 1), ST_NOT_CANONICAL);
        translate(f, bad[i], ST_NOT_CANONICAL);
    }
    assert_status(map(f, half - PAGE_SIZE, 0x1000, 2 * PAGE_SIZE, 0, 1), ST_NOT_CANONICAL);
    for (unsigned i = 0; i < 20000; i++) { /* near the borders, and anywhere */
        uint64_t low = (uint64_t)next_random(f) % 3 << (next_random(f) % 16);
        struct vaddr at = vaddr((i & 1 ? good[i / 2 % 4] : bad[i / 2 % 5]) + (i & 2 ? low : 0 - low) +
                                (i % 3 ? 0 : (uint64_t)next_random(f) << (next_random(f) % 33)));

        assert_int_equal(pt_quick_page(at), pt_canonical(at) && is_aligned(at.v, PAGE_SIZE));
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_status(map(f, good[i], 0x7000, PAGE_SIZE, 0, 1), ST_OK);
        assert_int_equal(translate(f, good[i] + 9, ST_OK).paddr.v, 0x7009);
        assert_status(unmap(f, good[i], PAGE_SIZE, PT_STRICT), ST_OK);
    }
}

/* ------------------------------------------------------------------ marks */

static void a_mark_holds_62_bits_and_is_no_page(void **state)
{
    struct fixture *f = *state;
    const uint64_t most = ((uint64_t)1 << 62) - 1;
    struct pt_map request = {.start = vaddr(AT), .length_bytes = PAGE_SIZE};
    struct pt_mark mark;
    unsigned level;

    for (unsigned i = 0; i < 200; i++) {
        uint64_t value = ((uint64_t)next_random(f) << 32 | next_random(f)) & most;

        value = i < 62 ? (uint64_t)1 << i : i == 62 ? most : value + (value == 0);
        request.mark.value = value;
        assert_status(pt_flush_ignore(pt_map(&f->pt, &request)), ST_OK);
        assert_true(look(f, AT, &level).kind == MMU_FAULT);
        assert_true(pt_entry_is_mark(translate(f, AT, ST_NOT_MAPPED).entry));
        assert_status(pt_get_mark(&f->pt, vaddr(AT), &mark, &level), ST_OK);
        assert_true(mark.value == value);
        assert_status(unmap(f, AT, PAGE_SIZE, PT_STRICT), ST_NOT_MAPPED);
        assert_status(protect(f, AT, PAGE_SIZE, PT_FLAG_WRITE, 0, PT_STRICT), ST_NOT_MAPPED);
        assert_status(map(f, AT, 0, PAGE_SIZE, 0, 1), ST_MAPPED);
        assert_status(unmap(f, AT, PAGE_SIZE, PT_CLEAR_MARKS), ST_OK);
    }
    request.mark.value = most + 1;
    assert_status(pt_flush_ignore(pt_map(&f->pt, &request)), ST_INVALID);
    assert_status(
        pt_flush_ignore(pt_put_mark(&f->pt, vaddr(AT), PAGE_SIZE, request.mark, PT_SKIP_HOLES, NULL, NULL)),
        ST_INVALID);
}

/* ------------------------------------------------------------------ groups */

/* The table whose first entry is this one. */
static struct pt_entry *table_with(struct fixture *f, uint64_t entry)
{
    for (unsigned i = 0; i < MACHINE_FRAMES; i++) {
        struct pt_entry *table = machine_at(f->machine, MACHINE_BASE + i * PAGE_SIZE);

        if (f->machine->state[i] && table[0].bits == entry)
            return table;
    }
    fail();
    return NULL;
}

static void only_formats_with_groups_make_them(void **state)
{
    struct fixture *f = *state;
    unsigned level;

    if (!mmu_has_groups) {
        assert_status(map(f, AT, 0, 0x10000, PT_FLAG_GROUP, 1), ST_UNSUPPORTED);
        return;
    }
    /* one page, then a group, then a page; and one whose physical address does not fit */
    assert_status(map(f, AT + 0xf000, 0x2f000, 0x12000, PT_FLAG_GROUP | PT_FLAG_WRITE, 1), ST_OK);
    assert_status(map(f, AT + 0x40000, 0x81000, 0x10000, PT_FLAG_GROUP, 1), ST_OK);
    for (uint64_t at = 0xf000; at < 0x21000; at += 0x1000) {
        bool inside = at >= 0x10000 && at < 0x20000;

        assert_int_equal(look(f, AT + at, &level).group, inside ? 0x10000 : 0x1000);
        assert_int_equal(translate(f, AT + at + 3, ST_OK).paddr.v, 0x20000 + at + 3);
        assert_int_equal(translate(f, AT + at, ST_OK).flags.bits,
                         PT_FLAG_WRITE | (inside ? PT_FLAG_GROUP : 0));
    }
    assert_int_equal(look(f, AT + 0x40000, &level).group, 0x1000);
}

static void a_group_is_changed_as_a_whole(void **state)
{
    struct fixture *f = *state;
    struct pt_batch batch;
    uint64_t storage[40];
    unsigned level;

    if (!mmu_has_groups)
        return;
    pt_batch_init(&batch, &f->alloc, NULL, storage, 40);
    assert_status(map(f, AT, 0x100000, 0x40000, PT_FLAG_GROUP | PT_FLAG_WRITE, 1), ST_OK);
    /* a part of it: like a part of a huge page */
    assert_status(unmap(f, AT + 0x3000, 0x1000, PT_STRICT), ST_HUGE_PAGE);
    assert_status(protect(f, AT + 0xf000, 0x2000, 0, PT_FLAG_WRITE, PT_SKIP_HOLES), ST_HUGE_PAGE);
    assert_status(unmap(f, AT, 0x12000, PT_SKIP_HOLES), ST_HUGE_PAGE);
    assert_status(pt_flush_ignore(pt_unmap_page(&f->pt, vaddr(AT + 0x3000))), ST_HUGE_PAGE);
    assert_status(
        pt_flush_ignore(pt_protect_page(&f->pt, vaddr(AT + 0x3000), pt_flags(PT_FLAG_SOFT_0), pt_flags(0))),
        ST_HUGE_PAGE);
    assert_int_equal(look(f, AT + 0x3000, &level).group, 0x10000);
    /* the whole */
    assert_status(protect(f, AT, 0x40000, PT_FLAG_SOFT_0, PT_FLAG_WRITE, PT_STRICT), ST_OK);
    assert_int_equal(look(f, AT + 0x2a000, &level).group, 0x10000);
    assert_int_equal(look(f, AT + 0x2a000, &level).flags, PT_FLAG_SOFT_0);
    /* with leave to split: only the group that is cut */
    assert_status(unmap(f, AT + 0x3000, 0x1000, PT_SPLIT_HUGE), ST_OK);
    assert_int_equal(look(f, AT + 0x2000, &level).group, 0x1000);
    assert_int_equal(translate(f, AT + 0x4444, ST_OK).paddr.v, 0x104444);
    assert_int_equal(look(f, AT + 0x10000, &level).group, 0x10000);
    assert_status(pt_flush_ignore(pt_split(&f->pt, vaddr(AT + 0x17000), PT_SIZE_4K)), ST_OK);
    assert_int_equal(look(f, AT + 0x10000, &level).group, 0x1000);
    /* every page of a group is handed back by its own address */
    f->alloc.give_page = NULL;
    assert_status(pt_unmap_give(&f->pt, vaddr(AT + 0x20000), 0x10000, PT_STRICT, &batch), ST_OK);
    assert_int_equal(batch.count, 16);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(batch.frames[i], 0x120000 + i * PAGE_SIZE);
    pt_batch_finish(&batch);
}

/* The MMU may mark a group in any of its entries. */
static void a_group_is_harvested_as_a_whole(void **state)
{
    struct fixture *f = *state;
    uint64_t dirty = 0;
    struct pt_harvest harvest = {.start = vaddr(AT),
                                 .length_bytes = 0x40000,
                                 .clear = pt_flags(PT_FLAG_DIRTY | PT_FLAG_ACCESSED),
                                 .dirty = &dirty};

    if (!mmu_has_groups)
        return;
    assert_status(map(f, AT, 0x100000, 0x40000, PT_FLAG_GROUP | PT_FLAG_WRITE, 1), ST_OK);
    uint64_t physical, entry;
    unsigned level;
    assert_true(machine_walk(f->machine, f->pt.root.v, AT, &physical, &entry, &level));

    struct pt_entry *table = table_with(f, entry);

    table[21] = pt_entry_changed(table[21], pt_change(pt_flags(PT_FLAG_DIRTY), pt_flags(0)));
    assert_status(pt_flush_ignore(pt_harvest(&f->pt, &harvest)), ST_OK);
    assert_int_equal(harvest.dirty_pages, 16);
    assert_true(dirty == (uint64_t)0xffff << 16);
    assert_status(pt_flush_ignore(pt_harvest(&f->pt, &harvest)), ST_OK);
    assert_int_equal(harvest.dirty_pages, 0);
    harvest.length_bytes = 0x3000;
    assert_status(pt_flush_ignore(pt_harvest(&f->pt, &harvest)), ST_HUGE_PAGE);
}

static void groups_are_found_broken(void **state)
{
    struct fixture *f = *state;
    struct pt_broken broken = {.what = ""};

    if (!mmu_has_groups)
        return;
    assert_status(map(f, AT, 0x100000, 0x10000, PT_FLAG_GROUP | PT_FLAG_WRITE, 1), ST_OK);

    struct pt_entry *table = table_with(f, translate(f, AT, ST_OK).entry.bits), good = table[9];

    table[9] = pt_entry_ungrouped(good, 9);
    assert_status(pt_check(&f->pt, &broken, NULL), ST_INVALID);
    assert_string_equal(broken.what, "a group of pages that do not belong together");
    table[9] = good;
}

/* ------------------------------------------------------------------ break before make */

struct flushes {
    unsigned count;
};
static void count_flush(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    struct flushes *flushes = context;

    (void)start;
    (void)pages;
    (void)kind;
    flushes->count++;
}

static void live_pages_are_broken_before_they_are_made(void **state)
{
    struct fixture *f = *state;
    struct flushes flushes = {0};
    const struct pt_flusher flusher = {.flush = count_flush, .context = &flushes};
    enum status without = PT_BREAK_BEFORE_MAKE ? ST_UNSUPPORTED : ST_OK;
    uint64_t storage[4];
    struct pt_batch batch;
    unsigned level, expected = 0;

    pt_batch_init(&batch, &f->alloc, NULL, storage, 4);
    f->pt.live = true;
    assert_status(map(f, AT, 0x40000000, HUGE_SIZE, PT_FLAG_WRITE, 2), ST_OK);
    assert_status(protect(f, AT, HUGE_SIZE, PT_FLAG_EXEC, PT_FLAG_WRITE, PT_STRICT),
                  ST_OK); /* rights may change */
    for (unsigned with = 0; with < 2; with++) {
        f->pt.flusher = with ? &flusher : NULL;
        if (with)
            without = ST_OK;
        assert_status(protect(f, AT, HUGE_SIZE, PT_MEMORY_DEVICE, PT_MEMORY_MASK, PT_STRICT), without);
        assert_status(protect(f, AT, HUGE_SIZE, PT_FLAG_GLOBAL, 0, PT_STRICT), without);
        assert_status(unmap(f, AT, PAGE_SIZE, PT_SPLIT_HUGE), without);
        assert_status(map(f, AT, 0x40000000, PAGE_SIZE, translate(f, AT + PAGE_SIZE, ST_OK).flags.bits, 1),
                      without == ST_OK ? ST_OK : ST_HUGE_PAGE);
        assert_status(pt_merge(&f->pt, vaddr(AT), HUGE_SIZE, PT_SIZE_2M, PT_STRICT, &batch), ST_OK);
        assert_status(pt_flush_ignore(pt_split(&f->pt, vaddr(AT), PT_SIZE_4K)), without);
        f->pt.flusher = NULL;
        assert_status(pt_merge(&f->pt, vaddr(AT), HUGE_SIZE, PT_SIZE_2M, PT_STRICT, &batch),
                      with && PT_BREAK_BEFORE_MAKE ? ST_UNSUPPORTED : ST_OK);
        if (with)
            break;
        assert_int_equal(look(f, AT, &level).flags & PT_MEMORY_MASK,
                         PT_BREAK_BEFORE_MAKE ? 0 : PT_MEMORY_DEVICE);
        pt_batch_finish(&batch);
    }
    pt_batch_finish(&batch);
    expected = PT_BREAK_BEFORE_MAKE ? 5 : 0; /* type, global, split, merge, split */
    assert_int_equal(flushes.count, expected);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
    const struct CMUnitTest tests[] = {
        CASE(a_page_has_just_the_flags_it_was_given),
        CASE(no_call_loses_a_flag),
        CASE(a_change_leaves_a_page_that_there_is),
        CASE(a_refused_change_has_changed_no_page),
        CASE(tables_have_flags_of_their_own),
        CASE(every_size_is_split_and_merged),
        CASE(the_largest_pages_are_chosen),
        CASE(physical_addresses_have_their_width),
        CASE(addresses_are_canonical),
        CASE(a_mark_holds_62_bits_and_is_no_page),
        CASE(only_formats_with_groups_make_them),
        CASE(a_group_is_changed_as_a_whole),
        CASE(a_group_is_harvested_as_a_whole),
        CASE(groups_are_found_broken),
        CASE(live_pages_are_broken_before_they_are_made),
    };

    return cmocka_run_group_tests_name("pt_formats", tests, NULL, NULL);
}
