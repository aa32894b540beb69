/*
 * The boot allocator: usable frames only, each once, from low to high; and the buddy that takes over from it.
 */
#include "support.h"

enum { FRAMES = 4096 };

static struct memory_map map;

static void add(uint64_t start, uint64_t end, enum memory_kind kind)
{
    assert_ok(memory_map_add(&map, (struct memory_range){paddr(start), paddr(end), kind}));
}

/* A map with every kind and edges inside pages. */
static int ragged_map(void **state)
{
    map.count = 0;
    add(0, 0x9fc00, MEMORY_USABLE);
    add(0x9fc00, 0x100000, MEMORY_RESERVED);
    add(0x100000, FRAMES * PAGE_SIZE, MEMORY_USABLE);
    add(0x200800, 0x230400, MEMORY_KERNEL);
    add(0x230400, 0x231000, MEMORY_MODULE);
    add(0x400010, 0x400020, MEMORY_ACPI);
    add(0x600000, 0x700800, MEMORY_RESERVED);
    return 0;
}

/* Every byte of the frame is usable. */
static bool usable(uint64_t frame)
{
    for (unsigned i = 0; i < map.count; i++)
        if (map.ranges[i].kind == MEMORY_USABLE && map.ranges[i].start.v <= frame << PAGE_SHIFT &&
            map.ranges[i].end.v >= (frame + 1) << PAGE_SHIFT)
            return true;
    return false;
}

static void every_usable_frame_once(void **state)
{
    struct boot_frames boot;
    struct pfn frame;
    uint64_t last = 0, taken = 0, expected = 0;

    boot_frames_init(&boot, &map, pfn(0x10));
    while (boot_frames_take(&boot, &frame) == ST_OK) {
        assert_true(frame.v > last && frame.v >= 0x10);
        assert_true(usable(frame.v));
        last = frame.v;
        taken++;
    }
    for (uint64_t i = 0x10; i < FRAMES; i++)
        expected += usable(i);
    assert_int_equal(taken, expected);
    assert_int_equal(boot.handed_out, expected);
    assert_status(boot_frames_take(&boot, &frame), ST_NO_MEMORY);
}

static void frame_0_is_never_given(void **state)
{
    struct boot_frames boot;
    struct pfn frame;

    boot_frames_init(&boot, &map, pfn(0));
    assert_ok(boot_frames_take(&boot, &frame));
    assert_int_equal(frame.v, 1);
}

static void runs_are_contiguous_and_aligned(void **state)
{
    struct random random = {7};
    static uint8_t given[FRAMES];

    for (int round = 0; round < 50; round++) {
        struct boot_frames boot;

        memset(given, 0, sizeof(given));
        boot_frames_init(&boot, &map, pfn(random_below(&random, 300)));
        for (;;) {
            uint64_t count = 1 + random_below(&random, 100), align = (uint64_t)1 << random_below(&random, 7);
            struct pfn run;

            if (boot_frames_take_run(&boot, count, align, &run) != ST_OK)
                break;
            assert_true(is_aligned(run.v, align));
            for (uint64_t i = run.v; i < run.v + count; i++) {
                assert_true(usable(i));
                assert_int_equal(given[i]++, 0);
            }
        }
    }
}

static void a_run_that_does_not_fit_changes_nothing(void **state)
{
    struct boot_frames boot, before;
    struct pfn run;

    boot_frames_init(&boot, &map, pfn(0x10));
    before = boot;
    assert_status(boot_frames_take_run(&boot, FRAMES, 1, &run), ST_NO_MEMORY);
    assert_status(boot_frames_take_run(&boot, 0, 1, &run), ST_INVALID);
    assert_status(boot_frames_take_run(&boot, 1, 3, &run), ST_INVALID);
    assert_memory_equal(&boot, &before, sizeof(boot));
}

/* After frames_init(): all frames that the map calls usable are given out by the buddy, each once, but those
 * that the boot allocator gave out. */
static void the_buddy_takes_over(void **state)
{
    struct random random = {99};

    for (int round = 0; round < 20; round++) {
        static uint8_t given[FRAMES];
        struct boot_frames boot;
        struct frame_counts counts;
        struct frame *frame;
        struct pfn run;
        uint64_t before;

        memset(given, 0, sizeof(given));
        sim_boot_map(&map);
        boot_frames_init(&boot, &map, pfn(random_below(&random, 300)));
        for (uint64_t left = random_below(&random, 20); left > 0; left--) {
            uint64_t count = 1 + random_below(&random, 60);

            assert_ok(boot_frames_take_run(&boot, count, (uint64_t)1 << random_below(&random, 8), &run));
            for (uint64_t i = run.v; i < run.v + count; i++)
                given[i] = 1;
        }
        before = boot.next;
        assert_ok(frames_init(&boot));
        frames_check();
        for (uint64_t i = before; i < boot.next; i++) /* the frame table */
            given[i] = given[i] || frame_table[i].use == FRAME_KERNEL;
        frames_count(&counts);
        assert_int_equal(counts.by_use[FRAME_FREE], frames_free());
        while ((frame = frame_alloc(0, FRAME_ANON, FRAME_EMERGENCY)) != NULL) {
            uint64_t number = frame_pfn(frame).v;

            assert_true(usable(number));
            assert_int_equal(given[number]++, 0);
        }
        for (uint64_t i = 1; i < FRAMES; i++)
            if (usable(i) &&
                given[i] == 0) /* nothing is lost, but what more runs skipped than can be noted */
                assert_int_equal(frame_table[i].use, FRAME_KERNEL);
        frames_check();
        sim_shutdown();
    }
}

static void kernel_and_modules_are_frames_in_use(void **state)
{
    struct boot_frames boot;

    sim_boot_map(&map);
    boot_frames_init(&boot, &map, pfn(0x300));
    assert_ok(frames_init(&boot));
    for (uint64_t i = 0x200; i < 0x231; i++) {
        assert_int_equal(frame_table[i].use, FRAME_KERNEL);
        assert_int_equal(frame_table[i].refs, 1);
        assert_int_equal(frame_table[i].order, 0);
    }
    assert_int_equal(frame_table[0].use, FRAME_RESERVED);
    assert_int_equal(frame_table[0x9f].use, FRAME_RESERVED); /* usable in part */
    assert_int_equal(frame_table[0xb8].use, FRAME_RESERVED);
    assert_int_equal(frame_table[0x400].use, FRAME_RESERVED);
    assert_int_equal(frame_table[0x700].use, FRAME_RESERVED);
    frame_free(frame_of(pfn(0x230))); /* the module is no longer needed */
    frames_check();
    sim_shutdown();
}

static void modules_are_claimed_or_released(void **state)
{
    struct boot_frames boot;
    struct frame_counts counts;
    struct frame *frame;
    uint64_t before;

    sim_boot_map(&map);
    boot_frames_init(&boot, &map, pfn(0x300));
    assert_ok(frames_init(&boot));
    before = frames_free();
    frame = frame_claim(pfn(0x220), FRAME_SHARED);
    assert_ptr_equal(frame, frame_of(pfn(0x220)));
    frames_count(&counts);
    assert_int_equal(counts.by_use[FRAME_SHARED], 1);
    assert_null(frame_claim(pfn(0x220), FRAME_SHARED)); /* taken */
    assert_null(frame_claim(pfn(0xa0), FRAME_SHARED));  /* reserved */
    assert_null(frame_claim(pfn(frame_table_count), FRAME_SHARED));
    assert_int_equal(frames_release_kept(pfn(0x21e), pfn(0x223)), 4); /* all but the claimed one */
    assert_int_equal(frames_free(), before + 4);
    assert_int_equal(frames_release_kept(pfn(0x21e), pfn(0x223)), 0);
    frames_check();
    frame_free(frame);
    frames_check();
    sim_shutdown();
}

static void too_little_memory_for_the_table(void **state)
{
    struct memory_map tiny = {0};
    struct boot_frames boot;

    assert_ok(memory_map_add(&tiny, (struct memory_range){paddr(0x1000), paddr(0x2000), MEMORY_USABLE}));
    assert_ok(
        memory_map_add(&tiny, (struct memory_range){paddr(0x100000), paddr(0x40000000), MEMORY_KERNEL}));
    sim_boot_map(&tiny);
    boot_frames_init(&boot, &tiny, pfn(0));
    assert_status(frames_init(&boot), ST_NO_MEMORY);
    sim_shutdown();
}

static void a_hole_below_4g_is_covered(void **state)
{
    struct memory_map large = {0};
    struct boot_frames boot;

    assert_ok(memory_map_add(&large, (struct memory_range){paddr(0x100000), paddr(2 * GIB), MEMORY_USABLE}));
    assert_ok(memory_map_add(&large, (struct memory_range){paddr(2 * GIB), paddr(4 * GIB), MEMORY_RESERVED}));
    assert_ok(memory_map_add(&large, (struct memory_range){paddr(4 * GIB), paddr(6 * GIB), MEMORY_USABLE}));
    assert_ok(memory_map_add(
        &large, (struct memory_range){paddr(0xfd00000000), paddr(0x10000000000), MEMORY_RESERVED}));
    sim_boot_map(&large);
    boot_frames_init(&boot, &large, pfn(0x100));
    assert_ok(frames_init(&boot));
    assert_int_equal(frame_table_count, 6 * GIB / PAGE_SIZE); /* the reserved terabyte costs nothing */
    assert_int_equal(frame_of(pfn(3 * GIB / PAGE_SIZE))->use, FRAME_RESERVED);
    sim_shutdown();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_usable_frame_once),
        cmocka_unit_test(frame_0_is_never_given),
        cmocka_unit_test(runs_are_contiguous_and_aligned),
        cmocka_unit_test(a_run_that_does_not_fit_changes_nothing),
        cmocka_unit_test(the_buddy_takes_over),
        cmocka_unit_test(kernel_and_modules_are_frames_in_use),
        cmocka_unit_test(modules_are_claimed_or_released),
        cmocka_unit_test(too_little_memory_for_the_table),
        cmocka_unit_test(a_hole_below_4g_is_covered),
    };

    return cmocka_run_group_tests_name("boot frames", tests, ragged_map, NULL);
}
