/*
 * Operations of the page-table library beyond mapping and unmapping, case by case, in every way of reaching
 * tables; and the promise to flush.
 */
#include "support.h"

#include "pt_model.h"

#include "quire/pt_cursor.h"

#include <string.h>

struct fixture {
    struct machine *machine;
    struct pt_alloc alloc;
    struct pt pt;
    enum machine_way way;
};

static void fixture_open(struct fixture *fixture, enum machine_way way)
{
    fixture->machine = machine_create();
    fixture->alloc = machine_alloc(fixture->machine);
    fixture->way = way;
    fixture->pt = machine_table(fixture->machine, way, &fixture->alloc);
    fixture->pt.alloc = &fixture->alloc;
}

static void fixture_close(struct fixture *fixture)
{
    struct pt_broken broken;

    assert_ok(pt_check(&fixture->pt, &broken, NULL));
    machine_destroy(fixture->machine);
}

#define IN_EVERY_WAY(name)                                                                                   \
    static void name##_in(struct fixture *f);                                                                \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        for (unsigned way = 0; way < WAY_COUNT; way++) {                                                     \
            struct fixture fixture;                                                                          \
            fixture_open(&fixture, (enum machine_way)way);                                                   \
            name##_in(&fixture);                                                                             \
            fixture_close(&fixture);                                                                         \
        }                                                                                                    \
    }                                                                                                        \
    static void name##_in(struct fixture *f)

static enum status map(struct fixture *f, uint64_t start, uint64_t to, uint64_t bytes, enum pt_size size)
{
    struct pt_map request = {.start = vaddr(start),
                             .to = paddr(to),
                             .length_bytes = bytes,
                             .flags = pt_flags(PT_FLAG_WRITE),
                             .size = size};

    return pt_flush_ignore(pt_map(&f->pt, &request));
}

#define FOUR_GIB ((uint64_t)4 << 30)

/* ------------------------------------------------------------------ batches */

struct flushes {
    unsigned count;
    uint64_t pages;
    struct {
        uint64_t start, pages;
    } seen[64];
};

static void note_flush(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    struct flushes *flushes = context;

    if (flushes->count < 64) {
        flushes->seen[flushes->count].start = start.v;
        flushes->seen[flushes->count].pages = pages;
    }
    flushes->count++;
    flushes->pages += pages;
}

/* Unmaps `count` pages, one call each, `distance` pages apart, in a batch. */
static struct flushes flushes_of(struct fixture *f, unsigned count, uint64_t distance)
{
    struct flushes flushes = {0};
    struct pt_flusher flusher = {.flush = note_flush, .context = &flushes};
    struct pt_batch batch;

    pt_batch_init(&batch, &f->alloc, &flusher, NULL, 0);
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = FOUR_GIB + i * distance * PAGE_SIZE;

        assert_ok(map(f, at, 0, PAGE_SIZE, PT_SIZE_4K));
        assert_ok(pt_batch_add(&batch, pt_unmap(&f->pt, vaddr(at), PAGE_SIZE, PT_STRICT)));
    }
    pt_batch_finish(&batch);
    return flushes;
}

static void a_batch_flushes_32_pages_one_by_one_then_all(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct flushes flushes;

    fixture_open(f, WAY_OFFSET);
    flushes = flushes_of(f, 3, 100000); /* far apart: nothing between them is flushed */
    assert_int_equal(flushes.count, 3);
    assert_int_equal(flushes.pages, 3);
    assert_int_equal(flushes.seen[2].start, FOUR_GIB + 200000 * PAGE_SIZE);
    flushes = flushes_of(f, PT_FLUSH_PAGES_MAX, 7);
    assert_int_equal(flushes.count, PT_FLUSH_PAGES_MAX);
    flushes = flushes_of(f, PT_FLUSH_PAGES_MAX + 1, 7);
    assert_int_equal(flushes.count, 1);
    assert_int_equal(flushes.seen[0].start, FOUR_GIB);
    assert_int_equal(flushes.pages, PT_FLUSH_PAGES_MAX * 7 + 1);
    flushes = flushes_of(f, 20, 1); /* neighbours are one range */
    assert_int_equal(flushes.count, 1);
    assert_int_equal(flushes.pages, 20);
    flushes = flushes_of(f, 40, 1);
    assert_int_equal(flushes.count, 1);
    assert_int_equal(flushes.pages, 40);
    fixture_close(f);
}

/* A range of more pages than can be flushed singly, then a page; and a batch that is used again. */
static void a_batch_covers_what_it_cannot_list(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct flushes flushes = {0};
    struct pt_flusher flusher = {.flush = note_flush, .context = &flushes};
    struct pt_batch batch;

    fixture_open(f, WAY_OFFSET);
    assert_ok(map(f, FOUR_GIB, 0, HUGE_SIZE, PT_SIZE_4K));
    assert_ok(map(f, 2 * FOUR_GIB, 0, HUGE_SIZE, PT_SIZE_4K));
    pt_batch_init(&batch, &f->alloc, &flusher, NULL, 0);
    assert_ok(pt_batch_add(&batch, pt_unmap(&f->pt, vaddr(2 * FOUR_GIB), PAGE_SIZE, PT_STRICT)));
    assert_ok(pt_batch_add(&batch, pt_unmap(&f->pt, vaddr(FOUR_GIB), 33 * PAGE_SIZE, PT_STRICT)));
    pt_batch_finish(&batch);
    assert_int_equal(flushes.count, 1);
    assert_int_equal(flushes.seen[0].start, FOUR_GIB);
    assert_int_equal(flushes.pages, FOUR_GIB / PAGE_SIZE + 1);
    assert_ok(pt_batch_add(&batch,
                           pt_unmap(&f->pt, vaddr(2 * FOUR_GIB + 5 * PAGE_SIZE), 2 * PAGE_SIZE, PT_STRICT)));
    pt_batch_finish(&batch);
    assert_int_equal(flushes.count, 2);
    assert_int_equal(flushes.seen[1].pages, 2);
    pt_batch_finish(&batch); /* nothing was added */
    assert_int_equal(flushes.count, 2);
    fixture_close(f);
}

/* ------------------------------------------------------------------ a caller's functions */

/* What is shown is hidden, and never more of it than was said (pt_machine.c looks on), in walks of whole
 * trees too. */
IN_EVERY_WAY(whole_trees_are_walked)
{
    struct pt_counts counts;

    for (uint64_t half = 0; half < 2; half++)
        for (unsigned i = 0; i < 20; i++)
            assert_ok(
                map(f, (half ? 0xffff800000000000 : 0) + i * 0x12345000000, 0, 3 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(pt_check(&f->pt, NULL, &counts));
    assert_true(counts.pages[1] >= 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_flushes_32_pages_one_by_one_then_all),
        cmocka_unit_test(a_batch_covers_what_it_cannot_list),
        cmocka_unit_test(whole_trees_are_walked),
    };

    return cmocka_run_group_tests_name("pt_ops", tests, NULL, NULL);
}
