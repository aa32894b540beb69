/*
 * The slab: sizes, alignment, zeroes, no overlap, trimming, running out of memory, the debug checks.
 */
#include "support.h"

#include "quire/slab.h"

static size_t alignment_of(size_t size)
{
    if ((size & (size - 1)) != 0)
        return 16;
    return size < 16 ? 16 : size > 64 ? 64 : size;
}

static bool all_zero(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static void every_size_is_aligned_and_zeroed(void **state)
{
    for (int round = 0; round < 2; round++)
        for (size_t size = 0; size <= 3 * PAGE_SIZE; size += size < 300 ? 1 : 97) {
            unsigned char *cell = slab_alloc(size);

            assert_non_null(cell);
            assert_true(slab_size(cell) >= size);
            assert_true(size < 16 || size > 2048 || slab_size(cell) < 2 * size);
            assert_true(is_aligned((uintptr_t)cell, alignment_of(size)));
            assert_true(all_zero(cell, slab_size(cell)));
            memset(cell, 0xff, slab_size(cell));
            slab_free(cell);
        }
    slab_free(NULL);
    assert_int_equal(slab_live(), 0);
    slab_check();
}

static void everything_goes_back(void **state)
{
    static void *cells[5000];
    uint64_t before;

    settle();
    before = frames_free();
    for (size_t size = 16; size <= 2048; size *= 2) {
        unsigned count = 0;

        while (count < 5000 && (cells[count] = slab_alloc(size)) != NULL)
            count++;
        assert_int_equal(slab_live(), count);
        slab_check();
        for (unsigned i = 0; i < count; i += 2)
            slab_free(cells[i]);
        slab_check();
        for (unsigned i = 1; i < count; i += 2)
            slab_free(cells[i]);
        slab_check();
    }
    assert_true(before - frames_free() <= 14); /* one slab a class is kept */
    assert_true(slab_trim() > 0);
    assert_int_equal(slab_trim(), 0);
    assert_int_equal(frames_free(), before);
}

static void random_cells_never_overlap(void **state)
{
    enum { LIVE = 600 };
    static struct {
        unsigned char *cell;
        size_t size;
        unsigned char mark;
    } live[LIVE];
    struct random random = {77};
    unsigned count = 0;

    for (int step = 0; step < 30000; step++) {
        if (count < LIVE && random_below(&random, 100) < 52) {
            size_t size =
                random_below(&random, 100) < 95 ? random_below(&random, 700) : random_below(&random, 20000);
            unsigned char *cell = slab_alloc(size);

            if (cell == NULL)
                continue;
            assert_true(all_zero(cell, size));
            live[count].cell = cell;
            live[count].size = size;
            live[count].mark = (unsigned char)step;
            memset(cell, live[count++].mark, size);
        } else if (count > 0) {
            unsigned at = (unsigned)random_below(&random, count);

            for (size_t i = 0; i < live[at].size; i++)
                assert_int_equal(live[at].cell[i], live[at].mark);
            slab_free(live[at].cell);
            live[at] = live[--count];
        }
        if (step % 500 == 0)
            slab_check();
    }
    assert_int_equal(slab_live(), count);
    while (count > 0)
        slab_free(live[--count].cell);
    assert_int_equal(slab_live(), 0);
}

static void every_nth_allocation_fails(void **state)
{
    void *cells[300];
    uint64_t before;

    settle();
    before = frames_free();
    for (uint64_t n = 1; n < 40; n++) {
        unsigned got = 0, failed = 0;

        frames_fail_after(n);
        for (unsigned i = 0; i < 60; i++) {
            cells[got] = slab_alloc(i * 50);
            if (cells[got] == NULL)
                failed++;
            else
                got++;
        }
        assert_int_equal(failed, 1);
        slab_check();
        while (got > 0)
            slab_free(cells[--got]);
        settle();
        assert_int_equal(frames_free(), before);
    }
}

static void sizes_that_no_memory_has_fail(void **state)
{
    uint64_t before = frames_free();

    assert_null(slab_alloc(8 * MIB));
    assert_null(slab_alloc(3 * GIB));
    assert_null(slab_alloc(SIZE_MAX / 2));
    assert_int_equal(frames_free(), before);
}

static void a_double_free_is_caught(void **state)
{
    void *cell = slab_alloc(100), *other = slab_alloc(100);

    slab_free(cell);
    assert_true(SIM_PANICS(slab_free(cell), "freed twice"));
    sim_boot(8 * MIB);
    cell = slab_alloc(100);
    assert_true(SIM_PANICS(slab_free((char *)cell + 16), "no cell of 128 bytes begins there"));
    sim_boot(8 * MIB);
    cell = slab_alloc(9000);
    slab_free(cell);
    assert_true(SIM_PANICS(slab_free(cell), "its frame has use"));
    sim_boot(8 * MIB);
    (void)other;
}

static void a_write_after_free_is_caught(void **state)
{
    unsigned char *cell = slab_alloc(200);

    (void)!slab_alloc(200);
    slab_free(cell);
    cell[100] = 1;
    assert_true(SIM_PANICS(slab_check(), "written after it was freed, at byte 96"));
    sim_boot(8 * MIB);
    cell = slab_alloc(200);
    slab_free(cell);
    cell[100] = 1;
    assert_true(SIM_PANICS((void)!slab_alloc(200), "written after it was freed, at byte 96"));
    sim_boot(8 * MIB);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_8m, end_machine)
    const struct CMUnitTest tests[] = {
        CASE(every_size_is_aligned_and_zeroed), CASE(everything_goes_back),
        CASE(random_cells_never_overlap),       CASE(every_nth_allocation_fails),
        CASE(sizes_that_no_memory_has_fail),    CASE(a_double_free_is_caught),
        CASE(a_write_after_free_is_caught),
    };

    return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}
