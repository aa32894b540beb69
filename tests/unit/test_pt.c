/*
 * The page-table library, case by case, in every way of reaching tables. What a random sequence does is the
 * business of the model (pt_model.h).
 */
#include "pt_fixture.h"

#include "quire/pt_cursor.h"

#include <string.h>

/* Pages of this level that the case has mapped. */
static uint64_t pages_of(struct fixture *fixture, unsigned level)
{
    struct pt_counts counts;

    assert_ok(pt_check(&fixture->pt, NULL, &counts));
    return counts.pages[level] - fixture->at_first.pages[level];
}

/* ------------------------------------------------------------------ numbers of the article */

/* "mapping 32 GiB of physical memory with 2 MiB pages needs 132 KiB of tables" */
IN_EVERY_WAY(complete_map_of_32_gib_needs_132_kib)
{
    unsigned before = f->machine->taken;
    assert_ok(map(f, 0xffff888000000000, 0, 8 * FOUR_GIB, PT_SIZE_2M));
    assert_int_equal((f->machine->taken - before) * PAGE_SIZE, 132 * 1024);
    assert_int_equal(pt_tables_needed(vaddr(0xffff888000000000), paddr(0), 8 * FOUR_GIB, PT_SIZE_2M) *
                         PAGE_SIZE,
                     132 * 1024);
    assert_int_equal(pages_of(f, 2), 16384);
    assert_int_equal(translate(f, 0xffff888000000000 + 7 * FOUR_GIB + 0x123456, ST_OK).paddr.v,
                     7 * FOUR_GIB + 0x123456);
}

/* The article's scheme with its index 0o777: 0o_SSSSSS_RRR_AAA_BBB_CCC_DDDD and so on. */
static void recursive_addresses(void **state)
{
    const uint64_t extension = (uint64_t)0177777 << 48;
    uint64_t address = (uint64_t)0123 << 39 | (uint64_t)0456 << 30 | (uint64_t)0701 << 21 | 0234 << 12 | 0567;

    assert_int_equal(pt_recursive_table(0777, vaddr(address), 1).v, extension | (uint64_t)0777 << 39 |
                                                                        (uint64_t)0123 << 30 |
                                                                        (uint64_t)0456 << 21 | 0701 << 12);
    assert_int_equal(pt_recursive_table(0777, vaddr(address), 2).v, extension | (uint64_t)0777 << 39 |
                                                                        (uint64_t)0777 << 30 |
                                                                        (uint64_t)0123 << 21 | 0456 << 12);
    assert_int_equal(pt_recursive_table(0777, vaddr(address), 3).v, extension | (uint64_t)0777 << 39 |
                                                                        (uint64_t)0777 << 30 |
                                                                        (uint64_t)0777 << 21 | 0123 << 12);
    assert_int_equal(pt_recursive_table(0777, vaddr(address), 4).v, 0xfffffffffffff000);
    assert_int_equal(pt_recursive_entry(0777, vaddr(address), 1).v,
                     pt_recursive_table(0777, vaddr(address), 1).v + 8 * 0234);
    assert_int_equal(pt_recursive_entry(0777, vaddr(address), 2).v,
                     pt_recursive_table(0777, vaddr(address), 2).v + 8 * 0701);
    assert_int_equal(pt_recursive_entry(0777, vaddr(address), 3).v,
                     pt_recursive_table(0777, vaddr(address), 3).v + 8 * 0456);
    assert_int_equal(pt_recursive_entry(0777, vaddr(address), 4).v,
                     pt_recursive_table(0777, vaddr(address), 4).v + 8 * 0123);
    /* An index of the lower half is not sign-extended. */
    assert_int_equal(pt_recursive_table(0377, vaddr(0), 4).v, 0x00007fbfdfeff000);
    assert_int_equal(pt_recursive_table(0400, vaddr(0), 1).v, 0xffff800000000000);
}

/* Every recursive address shows the frame of the table that a walk in software comes through. */
static void recursive_addresses_show_the_tables(void **state)
{
    struct fixture fixture, *f = &fixture;

    fixture_open(f, WAY_RECURSIVE);
    uint64_t page = 0x123456789000, table = f->pt.root.v, physical, entry;
    unsigned level;

    assert_ok(map(f, page, 0x1000, PAGE_SIZE, PT_SIZE_4K));
    for (unsigned at = 4; at >= 1; at--) {
        uint64_t shown = pt_recursive_entry(MACHINE_RECURSIVE_INDEX, vaddr(page), at).v;

        assert_true(machine_walk(f->machine, f->machine->cr3, shown, &physical, &entry, &level));
        assert_int_equal(physical, table + 8 * pt_index(vaddr(page), at));
        table = *(uint64_t *)machine_at(f->machine, physical) & 0x000ffffffffff000;
    }
    fixture_close(f);
}

/* ------------------------------------------------------------------ mapping */

IN_EVERY_WAY(map_takes_the_largest_pages_that_fit)
{
    /* one page below a 2 MiB boundary that lies one 2 MiB page below a 1 GiB boundary; the same at the end */
    assert_ok(map(f, FOUR_GIB - 0x201000, 2 * FOUR_GIB - 0x201000, 0x201000 + 0x40000000 + 0x201000,
                  PT_SIZE_LARGEST));
    assert_int_equal(pages_of(f, 1), 2);
    assert_int_equal(pages_of(f, 2), 2);
    assert_int_equal(pages_of(f, 3), 1);
    assert_int_equal(translate(f, FOUR_GIB - 0x201000, ST_OK).level, 1);
    assert_int_equal(translate(f, FOUR_GIB - 1, ST_OK).level, 2);
    struct pt_translation giant = translate(f, FOUR_GIB + 0x12345678, ST_OK);
    assert_int_equal(giant.level, 3);
    assert_int_equal(giant.paddr.v, 2 * FOUR_GIB + 0x12345678);
}

IN_EVERY_WAY(map_only_congruent_addresses_get_huge_pages)
{
    assert_ok(map(f, FOUR_GIB, 0x1000, 4 * HUGE_SIZE, PT_SIZE_LARGEST));
    assert_int_equal(pages_of(f, 1), 2048);
}

IN_EVERY_WAY(map_says_what_is_in_the_way)
{
    struct pt_map request = {.start = vaddr(FOUR_GIB), .to = paddr(0), .length_bytes = 0x10000};

    assert_ok(map(f, FOUR_GIB + 0x5000, 0x77000, 0x2000, PT_SIZE_LARGEST));
    assert_int_equal(pt_flush_ignore(pt_map(&f->pt, &request)), ST_MAPPED);
    assert_int_equal(request.at.v, FOUR_GIB + 0x5000);
    assert_int_equal(request.found_level, 1);
    assert_int_equal(pt_entry_paddr(request.found).v, 0x77000);

    assert_ok(map(f, 2 * FOUR_GIB, 0x40000000, HUGE_SIZE, PT_SIZE_2M));
    request.start = vaddr(2 * FOUR_GIB + 0x3000);
    assert_int_equal(pt_flush_ignore(pt_map(&f->pt, &request)), ST_HUGE_PAGE);
    assert_int_equal(request.at.v, 2 * FOUR_GIB);
    assert_int_equal(request.found_level, 2);

    assert_ok(mark(f, 3 * FOUR_GIB, PAGE_SIZE, 42));
    request.start = vaddr(3 * FOUR_GIB);
    assert_int_equal(pt_flush_ignore(pt_map(&f->pt, &request)), ST_MAPPED);
    assert_int_equal(pt_entry_mark(request.found).value, 42);
}

IN_EVERY_WAY(map_refuses_bad_arguments)
{
    assert_int_equal(map(f, 0x1001, 0, 0x1000, PT_SIZE_4K), ST_NOT_ALIGNED);
    assert_int_equal(map(f, 0x1000, 1, 0x1000, PT_SIZE_4K), ST_NOT_ALIGNED);
    assert_int_equal(map(f, 0x1000, 0, 0x1001, PT_SIZE_4K), ST_NOT_ALIGNED);
    assert_int_equal(map(f, 0x1000, 0, 0x200000, PT_SIZE_2M), ST_NOT_ALIGNED);
    assert_int_equal(map(f, 0x200000, 0x1000, 0x200000, PT_SIZE_2M), ST_NOT_ALIGNED);
    assert_int_equal(map(f, 0x1000, 0, 0, PT_SIZE_4K), ST_INVALID);
    assert_int_equal(map(f, 0x800000000000, 0, 0x1000, PT_SIZE_4K), ST_NOT_CANONICAL);
    assert_int_equal(map(f, 0x7ffffffff000, 0, 0x2000, PT_SIZE_4K), ST_NOT_CANONICAL);
    assert_int_equal(map(f, 0x7ffffffff000, 0, 0xffff000000002000, PT_SIZE_4K), ST_NOT_CANONICAL);
    assert_int_equal(map(f, 0xfffffffffffff000, 0, 0x2000, PT_SIZE_4K), ST_NOT_CANONICAL);
    assert_int_equal(map(f, 0x1000, (uint64_t)1 << 52, 0x1000, PT_SIZE_4K), ST_INVALID);
    assert_int_equal(map(f, 0x1000, ((uint64_t)1 << 52) - 0x1000, 0x2000, PT_SIZE_4K), ST_INVALID);
    assert_int_equal(map(f, 0, 0, 0x1000, (enum pt_size)4), ST_INVALID);
    /* the last page below the hole, the last of all */
    assert_ok(map(f, 0x7ffffffff000, 0, 0x1000, PT_SIZE_4K));
    if (f->way != WAY_RECURSIVE) {
        assert_ok(map(f, 0xfffffffffffff000, 0x5000, 0x1000, PT_SIZE_4K));
        assert_int_equal(translate(f, 0xffffffffffffffff, ST_OK).paddr.v, 0x5fff);
    }
}

IN_EVERY_WAY(map_refuses_the_recursive_entry)
{
    uint64_t address = (uint64_t)0xffff << 48 | (uint64_t)MACHINE_RECURSIVE_INDEX << 39;
    uint64_t *root = machine_at(f->machine, f->pt.root.v);

    root[MACHINE_RECURSIVE_INDEX] = f->pt.root.v | 0x63;
    assert_int_equal(map(f, address, 0, 0x1000, PT_SIZE_LARGEST), ST_INVALID);
    assert_int_equal(pt_make_tables(&f->pt, vaddr(address), 0x1000, 1), ST_INVALID);
    assert_int_equal(pt_flush_ignore(pt_unmap(&f->pt, vaddr(address), 0x1000, PT_STRICT)), ST_INVALID);
    assert_int_equal(pt_flush_ignore(pt_split(&f->pt, vaddr(address), PT_SIZE_4K)), ST_INVALID);
    /* also in the middle of a range that may have holes */
    assert_status(pt_flush_ignore(pt_unmap(&f->pt, vaddr(0xffff800000000000), 0x7ffffffff000, PT_SKIP_HOLES)),
                  ST_INVALID);
    assert_status(pt_flush_ignore(pt_protect(&f->pt, vaddr(0xffff800000000000), 0x7ffffffff000,
                                             pt_flags(PT_FLAG_WRITE), pt_flags(0), PT_SKIP_HOLES)),
                  ST_INVALID);
}

IN_EVERY_WAY(an_allocator_without_frames_changes_entries_only)
{
    assert_ok(map(f, FOUR_GIB, 0x1000, PAGE_SIZE, PT_SIZE_4K));
    unsigned taken = f->machine->taken;

    f->pt.alloc = &pt_alloc_none;
    assert_int_equal(map(f, 5 * FOUR_GIB, 0x1000, PAGE_SIZE, PT_SIZE_4K), ST_NO_MEMORY);
    translate(f, 5 * FOUR_GIB, ST_NOT_MAPPED);
    assert_ok(map(f, FOUR_GIB + PAGE_SIZE, 0xb8000, PAGE_SIZE, PT_SIZE_4K)); /* the table is there */
    assert_int_equal(translate(f, FOUR_GIB + PAGE_SIZE + 5, ST_OK).paddr.v, 0xb8005);
    assert_int_equal(f->machine->taken, taken);
    f->pt.alloc = &f->alloc;
}

/* More frames than fit beside each other on the stack: the rest are noted in each other. */
IN_EVERY_WAY(a_thousand_tables_are_taken_before_the_first_is_used)
{
    unsigned before = f->machine->taken;
    uint64_t fails[] = {0, 1, 23, 24, 25, 26, 500, 535, 536, 537, 1000, 1025};

    for (unsigned i = 0; i < sizeof fails / sizeof *fails; i++) {
        f->machine->takes = 0;
        f->machine->fail_after = fails[i];
        assert_int_equal(map(f, FOUR_GIB, 0x1000, 1024 * HUGE_SIZE, PT_SIZE_4K), ST_NO_MEMORY);
        assert_int_equal(f->machine->taken, before);
    }
    f->machine->takes = 0;
    f->machine->fail_after = 1024 + 2 + 1;
    assert_ok(map(f, FOUR_GIB, 0x1000, 1024 * HUGE_SIZE, PT_SIZE_4K));
    assert_int_equal(f->machine->taken, before + 1024 + 3);
    assert_int_equal(translate(f, FOUR_GIB + 1023 * HUGE_SIZE + 0x5678, ST_OK).paddr.v,
                     0x1000 + 1023 * HUGE_SIZE + 0x5678);
}

IN_EVERY_WAY(missing_tables_are_made_in_one_call_and_zeroed)
{
    unsigned before = f->machine->taken;
    uint64_t physical, entry;
    unsigned level;

    assert_ok(pt_make_tables(&f->pt, vaddr(0x123456789000), PAGE_SIZE, 1));
    assert_int_equal(f->machine->taken - before, 3);
    for (uint64_t i = 0; i < 512; i++) {
        assert_false(machine_walk(f->machine, f->pt.root.v, 0x123456600000 + i * PAGE_SIZE, &physical, &entry,
                                  &level));
        assert_int_equal(level, 1);
        assert_int_equal(entry, 0);
    }
    assert_ok(pt_make_tables(&f->pt, vaddr(0x123456789000), PAGE_SIZE, 1)); /* nothing is missing */
    assert_int_equal(f->machine->taken - before, 3);
}

/* ------------------------------------------------------------------ translating */

IN_EVERY_WAY(not_mapped_is_told_apart)
{
    struct pt_translation translation;
    uint64_t *root = machine_at(f->machine, f->pt.root.v);

    assert_int_equal(translate(f, 0x1000, ST_NOT_MAPPED).level, 4);
    translate(f, 0x800000000000, ST_NOT_CANONICAL);
    translate(f, 0xffff7fffffffffff, ST_NOT_CANONICAL);
    assert_ok(mark(f, FOUR_GIB, PAGE_SIZE, 0x3fffffffffffffff));
    translation = translate(f, FOUR_GIB + 0x123, ST_NOT_MAPPED);
    assert_true(pt_entry_is_mark(translation.entry));
    assert_int_equal(pt_entry_mark(translation.entry).value, 0x3fffffffffffffff);
    assert_false(pt_entry_is_mark(translate(f, FOUR_GIB + 0x1000, ST_NOT_MAPPED).entry));
    root[100] = 0x1000 | 0x81; /* a page at level 4: no such thing */
    translate(f, (uint64_t)100 << 39, ST_INVALID);
    assert_int_equal(pt_check(&f->pt, NULL, NULL), ST_INVALID);
    root[100] = 0;
}

IN_EVERY_WAY(rights_are_those_of_the_whole_walk)
{
    struct pt_map request = {.start = vaddr(FOUR_GIB),
                             .length_bytes = PAGE_SIZE,
                             .flags = pt_flags(PT_FLAG_WRITE | PT_FLAG_USER | PT_FLAG_EXEC)};

    assert_ok(pt_flush_ignore(pt_map(&f->pt, &request)));
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).flags.bits, PT_FLAG_WRITE | PT_FLAG_USER | PT_FLAG_EXEC);
    uint64_t *root = machine_at(f->machine, f->pt.root.v);
    root[0] &= ~(PT_WRITE);
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).flags.bits, PT_FLAG_USER | PT_FLAG_EXEC);
    root[0] = (root[0] & ~PT_USER) | PT_NO_EXEC;
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).flags.bits, 0);
}

/* ------------------------------------------------------------------ splitting, unmapping, cleaning */

IN_EVERY_WAY(split_keeps_every_translation)
{
    unsigned before;
    assert_ok(map(f, FOUR_GIB, FOUR_GIB, GIANT_SIZE, PT_SIZE_1G));
    before = f->machine->taken;
    f->machine->takes = 0;
    f->machine->fail_after = 1;
    assert_int_equal(pt_flush_ignore(pt_split(&f->pt, vaddr(FOUR_GIB + 0x345678), PT_SIZE_4K)), ST_NO_MEMORY);
    assert_int_equal(f->machine->taken, before);
    f->machine->takes = 0;
    f->machine->fail_after = 2;
    assert_ok(pt_flush_ignore(pt_split(&f->pt, vaddr(FOUR_GIB + 0x345678), PT_SIZE_4K)));
    assert_int_equal(pages_of(f, 1), 512);
    assert_int_equal(pages_of(f, 2), 511);
    for (uint64_t at = 0; at < GIANT_SIZE; at += 0x7f123)
        assert_int_equal(translate(f, FOUR_GIB + at, ST_OK).paddr.v, FOUR_GIB + at);
    assert_ok(
        pt_flush_ignore(pt_split(&f->pt, vaddr(FOUR_GIB + 0x345678), PT_SIZE_2M))); /* is smaller already */
    assert_int_equal(pt_flush_ignore(pt_split(&f->pt, vaddr(8 * FOUR_GIB), PT_SIZE_4K)), ST_NOT_MAPPED);
}

IN_EVERY_WAY(split_keeps_the_memory_type)
{
    uint64_t physical, entry;
    unsigned level;

    assert_ok(map(f, FOUR_GIB, FOUR_GIB, HUGE_SIZE, PT_SIZE_2M));
    machine_walk(f->machine, f->pt.root.v, FOUR_GIB, &physical, &entry, &level);
    /* set PAT by hand: bit 12 of a huge page, bit 7 of a small one */
    uint64_t table = f->pt.root.v;
    for (unsigned l = 4; l > 2; l--)
        table =
            ((uint64_t *)machine_at(f->machine, table))[pt_index(vaddr(FOUR_GIB), l)] & 0x000ffffffffff000;
    ((uint64_t *)machine_at(f->machine, table))[0] |= PT_HUGE_ATTRIBUTE;
    assert_ok(pt_flush_ignore(pt_split(&f->pt, vaddr(FOUR_GIB), PT_SIZE_4K)));
    assert_true(machine_walk(f->machine, f->pt.root.v, FOUR_GIB + 0x3000, &physical, &entry, &level));
    assert_int_equal(physical, FOUR_GIB + 0x3000);
    assert_true(entry & PT_ATTRIBUTE);
}

/* A cursor and the calls without one give the same, in any order of addresses. */
IN_EVERY_WAY(a_cursor_does_the_same)
{
    struct pt_cursor cursor = pt_cursor(&f->pt);
    struct random random = {1};
    uint64_t mapped[600] = {0}; /* one page in 1.2 tables; 0: none, else frame + 1 */

    for (unsigned i = 0; i < 3000; i++) {
        uint64_t page = random_below(&random, 600), at = FOUR_GIB - 300 * PAGE_SIZE + page * PAGE_SIZE;
        uint64_t frame = random_below(&random, 1 << 30) * PAGE_SIZE;
        struct pt_translation plain, quick;

        switch (random_below(&random, 4)) {
        case 0:
            assert_status(
                pt_flush_ignore(pt_cursor_map(&cursor, vaddr(at), paddr(frame), pt_flags(PT_FLAG_WRITE))),
                mapped[page] ? ST_MAPPED : ST_OK);
            mapped[page] = mapped[page] ? mapped[page] : frame + 1;
            break;
        case 1:
            assert_status(pt_flush_ignore(pt_cursor_unmap(&cursor, vaddr(at))),
                          mapped[page] ? ST_OK : ST_NOT_MAPPED);
            mapped[page] = 0;
            break;
        default:
            assert_status(pt_cursor_translate(&cursor, vaddr(at + 123), &quick),
                          mapped[page] ? ST_OK : ST_NOT_MAPPED);
            assert_status(pt_translate(&f->pt, vaddr(at + 123), &plain),
                          mapped[page] ? ST_OK : ST_NOT_MAPPED);
            assert_int_equal(quick.entry.bits, plain.entry.bits);
            assert_int_equal(quick.level, plain.level);
            if (mapped[page]) {
                assert_int_equal(quick.paddr.v, mapped[page] - 1 + 123);
                assert_int_equal(plain.paddr.v, mapped[page] - 1 + 123);
                assert_int_equal(quick.flags.bits, plain.flags.bits);
            }
        }
    }
    assert_status(pt_flush_ignore(pt_cursor_map(&cursor, vaddr(FOUR_GIB + 1), paddr(0), pt_flags(0))),
                  ST_NOT_ALIGNED);
    assert_status(
        pt_flush_ignore(pt_cursor_map(&cursor, vaddr(FOUR_GIB + 511 * PAGE_SIZE), paddr(1), pt_flags(0))),
        ST_NOT_ALIGNED);
    assert_status(pt_flush_ignore(pt_cursor_map(&cursor, vaddr(FOUR_GIB + 511 * PAGE_SIZE),
                                                paddr((uint64_t)1 << 52), pt_flags(0))),
                  ST_INVALID);
    assert_status(pt_flush_ignore(pt_cursor_unmap(&cursor, vaddr((uint64_t)1 << 47))), ST_NOT_CANONICAL);
}

static unsigned flushes;
static void count_flush(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    flushes++;
}

IN_EVERY_WAY(clean_takes_empty_tables_only)
{
    struct pt_flusher flusher = {.flush = count_flush};
    uint64_t storage[8];
    struct pt_batch batch;
    unsigned before = f->machine->taken;

    pt_batch_init(&batch, &f->alloc, &flusher, storage, 8);
    flushes = 0;
    assert_ok(map(f, FOUR_GIB, 0x1000, 3 * HUGE_SIZE, PT_SIZE_4K));
    assert_int_equal(f->machine->taken, before + 5);
    assert_ok(pt_batch_add(&batch, pt_unmap(&f->pt, vaddr(FOUR_GIB), 2 * HUGE_SIZE, PT_STRICT)));
    assert_int_equal(f->machine->taken, before + 5); /* tables stay */
    assert_ok(pt_clean(&f->pt, vaddr(FOUR_GIB), 3 * HUGE_SIZE, &batch));
    assert_int_equal(f->machine->taken, before + 5); /* in the batch */
    assert_int_equal(flushes, 0);
    pt_batch_finish(&batch);
    assert_int_equal(flushes, 1);
    assert_int_equal(f->machine->taken, before + 3);
    translate(f, FOUR_GIB + 2 * HUGE_SIZE, ST_OK);
    assert_ok(pt_unmap_give(&f->pt, vaddr(FOUR_GIB + 2 * HUGE_SIZE), HUGE_SIZE, PT_STRICT, &batch));
    pt_batch_finish(&batch);
    assert_int_equal(f->machine->taken, before);
}

IN_EVERY_WAY(shared_tables_stay)
{
    uint64_t storage[8];
    struct pt_batch batch;
    unsigned before = f->machine->taken;

    pt_batch_init(&batch, &f->alloc, NULL, storage, 8);
    f->pt.keep_level = 3;
    assert_ok(map(f, FOUR_GIB, 0x1000, PAGE_SIZE, PT_SIZE_4K));
    assert_ok(pt_unmap_give(&f->pt, vaddr(FOUR_GIB), PAGE_SIZE, PT_STRICT, &batch));
    pt_batch_finish(&batch);
    assert_int_equal(f->machine->taken, before + 1); /* level 3 */
}

/* Tables that somebody else has filled, and that nobody has counted. */
IN_EVERY_WAY(uncounted_tables_are_read)
{
    uint64_t storage[8];
    struct pt_batch batch;
    unsigned before = f->machine->taken;
    uint64_t *root = machine_at(f->machine, f->pt.root.v);

    pt_batch_init(&batch, &f->alloc, NULL, storage, 8);
    assert_ok(map(f, FOUR_GIB, 0x1000, 2 * PAGE_SIZE, PT_SIZE_4K));
    root[0] = pt_entry_with_live(pt_entry(root[0]), PT_LIVE_UNKNOWN).bits;
    uint64_t *level3 = machine_at(f->machine, root[0] & 0x000ffffffffff000);
    level3[4] = pt_entry_with_live(pt_entry(level3[4]), PT_LIVE_UNKNOWN).bits;
    uint64_t *level2 = machine_at(f->machine, level3[4] & 0x000ffffffffff000);
    level2[0] = pt_entry_with_live(pt_entry(level2[0]), PT_LIVE_UNKNOWN).bits;
    assert_ok(pt_unmap_give(&f->pt, vaddr(FOUR_GIB), PAGE_SIZE, PT_STRICT, &batch));
    translate(f, FOUR_GIB + PAGE_SIZE, ST_OK);
    assert_ok(pt_flush_ignore(pt_unmap(&f->pt, vaddr(FOUR_GIB + PAGE_SIZE), PAGE_SIZE, PT_STRICT)));
    assert_ok(pt_clean(&f->pt, vaddr(FOUR_GIB), PAGE_SIZE, &batch));
    pt_batch_finish(&batch);
    assert_int_equal(f->machine->taken, before);
}

static void a_failed_change_promises_nothing(void **state)
{
    struct pt_flusher flusher = {.flush = count_flush};
    struct fixture fixture, *f = &fixture;

    fixture_open(f, WAY_OFFSET);
    flushes = 0;
    assert_int_equal(pt_flush_now(pt_unmap(&f->pt, vaddr(0), PAGE_SIZE, PT_STRICT), &flusher), ST_NOT_MAPPED);
    assert_int_equal(flushes, 0);
    assert_ok(map(f, 0, 0, PAGE_SIZE, PT_SIZE_4K));
    assert_ok(pt_flush_now(
        pt_protect(&f->pt, vaddr(0), PAGE_SIZE, pt_flags(0), pt_flags(PT_FLAG_WRITE), PT_STRICT), &flusher));
    assert_int_equal(flushes, 1);
    fixture_close(f);
}

static void create_and_destroy(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct pt other;

    fixture_open(f, WAY_OFFSET);
    unsigned before = f->machine->taken;
    f->machine->fail_after = f->machine->takes;
    assert_int_equal(pt_create(&other, f->pt.reach, &f->alloc), ST_NO_MEMORY);
    f->machine->fail_after = ~(uint64_t)0;
    assert_int_equal(pt_create(&other, pt_reach_recursive(511, NULL, NULL), &f->alloc), ST_UNSUPPORTED);
    assert_ok(pt_create(&other, f->pt.reach, &f->alloc));
    struct pt_map request = {.start = vaddr(0), .to = paddr(0), .length_bytes = FOUR_GIB, .size = PT_SIZE_2M};
    assert_ok(pt_flush_ignore(pt_map(&other, &request)));
    assert_true(f->machine->taken > before + 4);
    pt_destroy(&other);
    assert_int_equal(f->machine->taken, before);
    fixture_close(f);
}

static void slots_run_out(void **state)
{
    struct fixture fixture, *f = &fixture;

    fixture_open(f, WAY_SLOTS);
    uint64_t physical, entry;
    unsigned level;
    struct pt_translation translation;

    assert_true(machine_walk(f->machine, f->machine->cr3, MACHINE_WINDOW + MACHINE_SLOT_SELF * PAGE_SIZE,
                             &physical, &entry, &level));
    uint64_t *slots = machine_at(f->machine, physical);
    for (unsigned i = 0; i < 512; i++)
        if (i != MACHINE_SLOT_SELF && i != 5 && i != 90 && i != 511)
            slots[i] = 2;
    assert_int_equal(map(f, 0, 0, PAGE_SIZE, PT_SIZE_4K), ST_NO_SPACE);
    assert_int_equal(pt_translate(&f->pt, vaddr(0), &translation), ST_NO_SPACE);
    slots[200] = 0;
    assert_ok(map(f, 0, 0, PAGE_SIZE, PT_SIZE_4K));
    assert_int_equal(slots[5] | slots[90] | slots[200] | slots[511], 0); /* set back to unused */
    fixture_close(f);
}

/* ------------------------------------------------------------------ looking */

struct seen {
    unsigned count;
    struct pt_visit visits[32];
};

static bool note_visit(void *context, const struct pt_visit *visit)
{
    struct seen *seen = context;

    seen->visits[seen->count++] = *visit;
    return seen->count < 32;
}

IN_EVERY_WAY(visit_gives_every_entry_that_is_not_empty)
{
    struct seen seen = {0};

    if (f->way == WAY_SLOTS_SAME_ROOT) /* sees its own slots */
        return;
    assert_ok(map(f, FOUR_GIB, 0x1000, 2 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(map(f, FOUR_GIB + HUGE_SIZE, 0, HUGE_SIZE, PT_SIZE_2M));
    assert_ok(map(f, 0xffff800000000000, GIANT_SIZE, GIANT_SIZE, PT_SIZE_1G));
    assert_ok(pt_visit_range(&f->pt, vaddr(0), vaddr(0xffff803fffffffff), PT_LEVELS_ALL, note_visit, &seen));
    static const struct {
        unsigned level, index;
        uint64_t start;
    } wanted[] = {{4, 0, 0},
                  {3, 4, FOUR_GIB},
                  {2, 0, FOUR_GIB},
                  {1, 0, FOUR_GIB},
                  {1, 1, FOUR_GIB + PAGE_SIZE},
                  {2, 1, FOUR_GIB + HUGE_SIZE},
                  {4, 256, 0xffff800000000000},
                  {3, 0, 0xffff800000000000}};
    assert_int_equal(seen.count, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(seen.visits[i].level, wanted[i].level);
        assert_int_equal(seen.visits[i].index, wanted[i].index);
        assert_int_equal(seen.visits[i].start.v, wanted[i].start);
    }
    assert_int_equal(pt_entry_flags(seen.visits[3].entry, 1).bits, PT_FLAG_WRITE);
    seen.count = 0;
    assert_ok(pt_visit_range(&f->pt, vaddr(FOUR_GIB + PAGE_SIZE), vaddr(FOUR_GIB + HUGE_SIZE),
                             PT_LEVEL(1) | PT_LEVEL(2), note_visit, &seen));
    assert_int_equal(seen.count, 3);
    seen.count = 0;
    assert_ok(pt_visit_range(&f->pt, vaddr(0), vaddr(0xffff807fffffffff), PT_LEVEL(4), note_visit, &seen));
    assert_int_equal(seen.count, 2);
    assert_int_equal(pt_visit_range(&f->pt, vaddr(5), vaddr(4), PT_LEVEL(4), note_visit, &seen), ST_INVALID);
}

static void append(void *context, const char *line)
{
    strcat(context, line);
    strcat(context, "\n");
}

static void dump_merges_neighbours(void **state)
{
    struct fixture fixture, *f = &fixture;
    char text[4096] = "";

    fixture_open(f, WAY_OFFSET);
    assert_ok(map(f, FOUR_GIB, 0x1000, 5 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(map(f, FOUR_GIB + 5 * PAGE_SIZE, 0x9000, PAGE_SIZE, PT_SIZE_4K));
    assert_ok(mark(f, FOUR_GIB + 6 * PAGE_SIZE, 3 * PAGE_SIZE, 0xabc));
    assert_ok(map(f, 0xffff800000000000, 0, 2 * GIANT_SIZE, PT_SIZE_1G));
    assert_ok(pt_dump(&f->pt, append, text));
    assert_string_equal(
        text, "0000000000000000-0000007fffffffff L4[0]           table 0000004001000 wxu------ 1 live\n"
              "  0000000100000000-000000013fffffff L3[4]         table 0000004002000 wxu------ 1 live\n"
              "    0000000100000000-00000001001fffff L2[0]       table 0000004003000 wxu------ 9 live\n"
              "      0000000100000000-0000000100004fff L1[0]     5 x 4K -> 0000000001000 w--------\n"
              "      0000000100005000-0000000100005fff L1[5]     1 x 4K -> 0000000009000 w--------\n"
              "      0000000100006000-0000000100008fff L1[6]     3 x 4K mark 0000000000000abc\n"
              "ffff800000000000-ffff807fffffffff L4[256]         table 0000004004000 wxu------ 2 live\n"
              "  ffff800000000000-ffff80007fffffff L3[0]         2 x 1G -> 0000000000000 w--------\n");
    fixture_close(f);
}

static void check_finds_what_is_broken(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct pt_broken broken;

    fixture_open(f, WAY_OFFSET);
    assert_ok(map(f, FOUR_GIB, 0x1000, 5 * PAGE_SIZE, PT_SIZE_4K));
    uint64_t *root = machine_at(f->machine, f->pt.root.v), good = root[0];
    uint64_t *level3 = machine_at(f->machine, good & 0x000ffffffffff000);

    level3[7] = good; /* a table in itself */
    assert_int_equal(pt_check(&f->pt, &broken, NULL), ST_INVALID);
    assert_string_equal(broken.what, "a table below itself");
    assert_int_equal(broken.at.v, 7 * GIANT_SIZE);
    level3[7] = 0x4000000 + 0x3000 + 0x81; /* a giant page that is not aligned */
    assert_int_equal(pt_check(&f->pt, &broken, NULL), ST_INVALID);
    assert_string_equal(broken.what, "a reserved bit is set");
    level3[7] = 2; /* nobody has counted it */
    assert_int_equal(pt_check(&f->pt, &broken, NULL), ST_INVALID);
    assert_string_equal(broken.what, "a wrong count of live entries");
    level3[7] = 0;
    fixture_close(f);
}

static void statuses_have_names(void **state)
{
    for (unsigned i = 0; i < ST_COUNT; i++) {
        assert_string_not_equal(status_name((enum status)i), "unknown status");
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(status_name((enum status)i), status_name((enum status)k));
    }
    assert_string_equal(status_name(ST_COUNT), "unknown status");
    assert_string_equal(status_name((enum status) - 1), "unknown status");
}

/* ------------------------------------------------------------------ against the model, briefly */

static void random_sequences_agree_with_a_flat_map(void **state)
{
    uint64_t random = 0x2545f4914f6cdd1d;

    for (unsigned run = 0; run < 2 * WAY_COUNT; run++) {
        unsigned char data[480];

        for (unsigned i = 0; i < sizeof data; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
            data[i] = (unsigned char)(random >> 56);
        }
        pt_model_run((enum machine_way)(run % WAY_COUNT), data, sizeof data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete_map_of_32_gib_needs_132_kib),
        cmocka_unit_test(recursive_addresses),
        cmocka_unit_test(recursive_addresses_show_the_tables),
        cmocka_unit_test(map_takes_the_largest_pages_that_fit),
        cmocka_unit_test(map_only_congruent_addresses_get_huge_pages),
        cmocka_unit_test(map_says_what_is_in_the_way),
        cmocka_unit_test(map_refuses_bad_arguments),
        cmocka_unit_test(map_refuses_the_recursive_entry),
        cmocka_unit_test(an_allocator_without_frames_changes_entries_only),
        cmocka_unit_test(a_thousand_tables_are_taken_before_the_first_is_used),
        cmocka_unit_test(missing_tables_are_made_in_one_call_and_zeroed),
        cmocka_unit_test(not_mapped_is_told_apart),
        cmocka_unit_test(rights_are_those_of_the_whole_walk),
        cmocka_unit_test(split_keeps_every_translation),
        cmocka_unit_test(split_keeps_the_memory_type),
        cmocka_unit_test(a_cursor_does_the_same),
        cmocka_unit_test(clean_takes_empty_tables_only),
        cmocka_unit_test(shared_tables_stay),
        cmocka_unit_test(uncounted_tables_are_read),
        cmocka_unit_test(a_failed_change_promises_nothing),
        cmocka_unit_test(create_and_destroy),
        cmocka_unit_test(slots_run_out),
        cmocka_unit_test(visit_gives_every_entry_that_is_not_empty),
        cmocka_unit_test(dump_merges_neighbours),
        cmocka_unit_test(check_finds_what_is_broken),
        cmocka_unit_test(statuses_have_names),
        cmocka_unit_test(random_sequences_agree_with_a_flat_map),
    };

    return cmocka_run_group_tests_name("pt", tests, NULL, NULL);
}
