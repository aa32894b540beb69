/*
 * The buddy allocator, the per-CPU cache, the pool of zeroed frames, the reserve, and the debug checks.
 */
#include "support.h"

#include "quire/slab.h"

enum { LIVE_MAX = 3000 };

/* What the free memory looks like: the number of blocks by order, when everything has merged. */
static void take_all(unsigned order, struct frame **blocks, unsigned *count)
{
    struct frame *frame;

    *count = 0;
    while ((frame = frame_alloc(order, FRAME_KERNEL, FRAME_EMERGENCY)) != NULL) {
        assert_true(*count < LIVE_MAX);
        assert_true(is_aligned(frame_pfn(frame).v, (uint64_t)1 << order));
        assert_int_equal(frame->order, order);
        assert_int_equal(frame->refs, 1);
        blocks[(*count)++] = frame;
    }
}

static void blocks_are_aligned_and_merge_back(void **state)
{
    static struct frame *blocks[LIVE_MAX];
    uint64_t before = frames_free();
    unsigned tops, again;

    for (unsigned order = 0; order <= 11; order++) {
        unsigned count;

        take_all(order, blocks, &count);
        frames_check();
        for (unsigned i = 0; i < count; i++)
            frame_free(blocks[i]);
        frames_check();
        assert_int_equal(frames_free(), before);
    }
    frames_drain();
    frames_check();
    take_all(10, blocks, &tops);
    for (unsigned i = 0; i < tops; i++)
        frame_free(blocks[i]);
    /* Single frames freed in a scattered order make the same large blocks again. */
    take_all(0, blocks, &again);
    assert_int_equal(frames_free(), 0);
    for (unsigned step = 0; step < 13; step++)
        for (unsigned i = step; i < again; i += 13)
            frame_free(blocks[i]);
    frames_drain();
    frames_check();
    take_all(10, blocks, &again);
    assert_int_equal(again, tops);
    for (unsigned i = 0; i < tops; i++)
        frame_free(blocks[i]);
    assert_int_equal(frames_free(), before);
}

/* Random blocks against a model: no frame belongs to two, contents stay. */
static void random_blocks_never_overlap(void **state)
{
    static struct {
        struct frame *frame;
        unsigned order;
        uint64_t mark;
    } live[LIVE_MAX];
    static uint8_t owned[8 * 256];
    struct random random = {1234};
    unsigned count = 0;

    memset(owned, 0, sizeof(owned));
    for (int step = 0; step < 20000; step++) {
        if (count < LIVE_MAX && random_below(&random, 100) < 55) {
            unsigned order = random_below(&random, 4) != 0 ? 0 : (unsigned)random_below(&random, 7);
            bool zero = random_below(&random, 3) == 0;
            struct frame *frame = frame_alloc(order, FRAME_ANON, zero ? FRAME_ZERO : FRAME_ANY);

            if (frame == NULL)
                continue;
            for (uint64_t i = 0; i < (uint64_t)1 << order; i++) {
                uint64_t *word = frame_data(frame + i);

                assert_int_equal(owned[frame_pfn(frame).v + i]++, 0);
                if (zero)
                    for (unsigned at = 0; at < 512; at += 37)
                        assert_int_equal(word[at], 0);
                word[(unsigned)step % 512] = (uint64_t)step;
            }
            live[count].frame = frame;
            live[count].order = order;
            live[count++].mark = (uint64_t)step;
        } else if (count > 0) {
            unsigned at = (unsigned)random_below(&random, count);

            for (uint64_t i = 0; i < (uint64_t)1 << live[at].order; i++) {
                uint64_t *word = frame_data(live[at].frame + i);

                assert_int_equal(word[live[at].mark % 512], live[at].mark);
                owned[frame_pfn(live[at].frame).v + i]--;
            }
            frame_free(live[at].frame);
            live[at] = live[--count];
        }
        if (step % 1000 == 0) {
            frames_zero_ahead(20);
            frames_check();
        }
    }
    while (count > 0)
        frame_free(live[--count].frame);
    frames_check();
}

static void a_gibibyte_block(void **state)
{
    struct frame *giant;
    uint64_t before;

    sim_boot(3 * GIB);
    before = frames_free();
    giant = frame_alloc(FRAME_ORDER_MAX, FRAME_ANON, FRAME_ANY);
    assert_non_null(giant);
    assert_true(is_aligned(frame_paddr(giant).v, GIANT_SIZE));
    assert_int_equal(frames_free(), before - GIANT_SIZE / PAGE_SIZE);
    frame_free(giant);
    assert_int_equal(frames_free(), before);
    assert_null(frame_alloc(FRAME_ORDER_MAX + 1, FRAME_ANON, FRAME_ANY));
    frames_check();
}

static void split_makes_single_frames(void **state)
{
    struct frame *block = frame_alloc(4, FRAME_ANON, FRAME_ZERO);
    struct frame_counts counts;

    assert_non_null(block);
    frame_split(block);
    frames_count(&counts);
    assert_int_equal(counts.by_use[FRAME_ANON], 16);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(block[i].refs, 1);
        assert_int_equal(block[i].order, 0);
    }
    for (unsigned i = 0; i < 16; i++)
        frame_free(&block[(i * 5) % 16]);
    frames_check();
}

static void references_free_at_the_last(void **state)
{
    uint64_t before = frames_free();
    struct frame *frame = frame_alloc(0, FRAME_FILE, FRAME_ANY);

    frame_ref(frame);
    frame_ref(frame);
    frame_unref(frame);
    frame_unref(frame);
    assert_int_equal(frames_free(), before - 1);
    frame_unref(frame);
    assert_int_equal(frames_free(), before);
}

static void counters_follow_the_use(void **state)
{
    struct frame_counts counts, before;
    struct frame *frame, *block;

    frames_count(&before);
    frame = frame_alloc(0, FRAME_KERNEL, FRAME_ANY);
    block = frame_alloc(9, FRAME_ANON, FRAME_ANY);
    frame_set_use(frame, FRAME_FILE);
    frames_count(&counts);
    assert_int_equal(counts.by_use[FRAME_FILE], before.by_use[FRAME_FILE] + 1);
    assert_int_equal(counts.by_use[FRAME_KERNEL], before.by_use[FRAME_KERNEL]);
    assert_int_equal(counts.by_use[FRAME_ANON], before.by_use[FRAME_ANON] + 512);
    assert_int_equal(counts.by_use[FRAME_FREE], before.by_use[FRAME_FREE] - 513);
    frames_check();
    frame_free(frame);
    frame_free(block);
    frames_count(&counts);
    assert_memory_equal(counts.by_use, before.by_use, sizeof(counts.by_use));
}

static void zeroed_ahead(void **state)
{
    struct frame_counts counts;
    struct frame *frames[40];
    unsigned done;

    /* Dirty everything first. */
    for (unsigned i = 0; i < 40; i++) {
        frames[i] = frame_alloc(0, FRAME_ANON, FRAME_ANY);
        memset(frame_data(frames[i]), 0xa5, PAGE_SIZE);
    }
    for (unsigned i = 0; i < 40; i++)
        frame_free(frames[i]);
    frames_drain();
    done = frames_zero_ahead(10);
    assert_int_equal(done, 10);
    frames_count(&counts);
    assert_int_equal(counts.zeroed, 10);
    frames_check();
    for (unsigned i = 0; i < 40; i++) {
        static const unsigned char zeroes[PAGE_SIZE];

        frames[i] = frame_alloc(0, FRAME_ANON, FRAME_ZERO);
        assert_memory_equal(frame_data(frames[i]), zeroes, PAGE_SIZE);
    }
    frames_count(&counts);
    assert_int_equal(counts.zeroed, 0);
    for (unsigned i = 0; i < 40; i++)
        frame_free_zeroed(frames[i]);
    frames_count(&counts);
    assert_true(counts.zeroed >= 32);
    frames_check();
    frames_drain();
    frames_check();
    while (frames_zero_ahead(1000) == 1000)
        ;
    frames_count(&counts);
    assert_true(counts.zeroed >= 16 && counts.zeroed < counts.by_use[FRAME_FREE] / 4);
}

static void zeroed_frames_serve_all_when_nothing_else_is_left(void **state)
{
    static struct frame *frames[LIVE_MAX];
    unsigned count;

    frames_zero_ahead(100);
    take_all(0, frames, &count);
    assert_int_equal(frames_free(), 0);
    while (count > 0)
        frame_free(frames[--count]);
    frames_check();
}

static void the_reserve_is_for_emergencies(void **state)
{
    static struct frame *frames[LIVE_MAX];
    struct frame_counts counts;
    unsigned count = 0, ordinary;

    frames_count(&counts);
    assert_in_range(counts.reserve, 4, 16); /* 8 MiB */
    while ((frames[count] = frame_alloc(0, FRAME_ANON, FRAME_ANY)) != NULL)
        count++;
    assert_int_equal(frames_free(), counts.reserve);
    assert_null(frame_alloc(1, FRAME_ANON, FRAME_ANY));
    ordinary = count;
    for (uint64_t i = 0; i < counts.reserve; i++) {
        frames[count] = frame_alloc(0, FRAME_KERNEL, FRAME_EMERGENCY | (i % 2 != 0 ? FRAME_ZERO : 0));
        assert_non_null(frames[count++]);
        assert_null(
            frame_alloc(0, FRAME_ANON, FRAME_ANY)); /* what the emergency did not use is not for others */
    }
    assert_null(frame_alloc(0, FRAME_KERNEL, FRAME_EMERGENCY));
    /* Freed frames fill the reserve first. */
    for (uint64_t i = 0; i < counts.reserve; i++) {
        frame_free(frames[--count]);
        assert_null(frame_alloc(0, FRAME_ANON, FRAME_ANY));
    }
    assert_int_equal(count, ordinary);
    frame_free(frames[--count]);
    frames[count] = frame_alloc(0, FRAME_ANON, FRAME_ANY);
    assert_non_null(frames[count++]);
    frames_check();
    while (count > 0)
        frame_free(frames[--count]);
    frames_check();
}

static void a_block_is_found_in_the_caches(void **state)
{
    static struct frame *frames[LIVE_MAX];
    unsigned count;

    take_all(0, frames, &count);
    for (unsigned i = 0; i < count; i++)
        if (frame_pfn(frames[i]).v / 16 == 0x400 / 16)
            frame_free(frames[i]); /* 16 frames in the CPU's cache, or in the buddy and the cache */
    assert_non_null(frame_alloc(4, FRAME_ANON, FRAME_EMERGENCY));
}

static void every_nth_allocation_fails(void **state)
{
    struct frame *frames[8];

    for (uint64_t n = 1; n <= 8; n++) {
        uint64_t before = frames_free();
        unsigned got = 0;

        frames_fail_after(n);
        for (uint64_t i = 1; i <= 8; i++) {
            struct frame *frame = frame_alloc(i % 3 == 0, FRAME_ANON, i % 2 != 0 ? FRAME_ZERO : FRAME_ANY);

            assert_true((frame == NULL) == (i == n));
            if (frame != NULL)
                frames[got++] = frame;
        }
        while (got > 0)
            frame_free(frames[--got]);
        assert_int_equal(frames_free(), before);
        frames_check();
    }
}

static void caches_of_other_cpus_are_counted(void **state)
{
    uint64_t before = frames_free();
    struct frame *a, *b;

    sim_become_cpu(3);
    a = frame_alloc(0, FRAME_ANON, FRAME_ANY);
    sim_become_cpu(0);
    b = frame_alloc(0, FRAME_ANON, FRAME_ANY);
    assert_int_equal(frames_free(), before - 2);
    frame_free(a); /* on another CPU than it was taken on */
    frame_free(b);
    assert_int_equal(frames_free(), before);
    frames_check();
}

/* ------------------------------------------------------------------ what debug builds catch */

static void a_double_free_is_caught(void **state)
{
    struct frame *frame = frame_alloc(0, FRAME_ANON, FRAME_ANY),
                 *block = frame_alloc(3, FRAME_ANON, FRAME_ANY);
    char name[40];

    frame_free(frame);
    snprintf(name, sizeof(name), "frame %#llx: freed twice", (unsigned long long)frame_pfn(frame).v);
    assert_true(SIM_PANICS(frame_free(frame), name));
    frame_free(block);
    assert_true(SIM_PANICS(frame_free(block), "freed twice"));
    assert_true(SIM_PANICS(frame_free(block + 1), "freed twice"));
    assert_true(SIM_PANICS(frame_free_zeroed(frame), "freed twice"));
    frames_drain();
    assert_true(SIM_PANICS(frame_free(frame), "freed twice"));
}

static void freeing_a_reserved_frame_is_caught(void **state)
{
    assert_true(SIM_PANICS(frame_free(frame_of(pfn(0xa0))), "frame 0xa0: freed, but it is reserved"));
    assert_true(SIM_PANICS(frame_free(frame_of(pfn(0))), "reserved"));
    assert_true(SIM_PANICS(frame_free(frame_table + frame_table_count), "check failed"));
}

static void freeing_what_others_hold_is_caught(void **state)
{
    struct frame *frame = frame_alloc(0, FRAME_ANON, FRAME_ANY),
                 *block = frame_alloc(2, FRAME_ANON, FRAME_ANY);

    frame_ref(frame);
    assert_true(SIM_PANICS(frame_free(frame), "with 2 references"));
    frame_unref(frame);
    frame->mapcount = 1;
    assert_true(SIM_PANICS(frame_free(frame), "mapped 1 times"));
    assert_true(SIM_PANICS(frame_free(block + 1), "inside a block"));
    frame->mapcount = 0;
    frame_free(frame);
    frame_free(block);
}

static void use_after_free_is_caught(void **state)
{
    struct frame *frame = frame_alloc(0, FRAME_ANON, FRAME_ANY);
    unsigned char *bytes = frame_data(frame);
    char name[64];

    frame_free(frame);
    bytes[1000] = 1;
    snprintf(name, sizeof(name), "frame %#llx: written after it was freed",
             (unsigned long long)frame_pfn(frame).v);
    assert_true(SIM_PANICS((void)frame_alloc(0, FRAME_ANON, FRAME_ANY), name));
    sim_boot(8 * MIB);

    frame = frame_alloc(2, FRAME_ANON, FRAME_ANY); /* in a block, through the buddy */
    bytes = frame_data(frame + 3);
    frame_free(frame);
    bytes[4095] = 1;
    assert_true(SIM_PANICS(for (int i = 0; i < 3000; i++)(void) frame_alloc(0, FRAME_ANON, FRAME_ANY),
                           "at byte 4088"));
    sim_boot(8 * MIB);

    frame = frame_alloc(0, FRAME_ANON, FRAME_ZERO); /* freed as zeroed */
    bytes = frame_data(frame);
    frame_free_zeroed(frame);
    bytes[8] = 1;
    assert_true(SIM_PANICS((void)frame_alloc(0, FRAME_ANON, FRAME_ZERO), "at byte 8"));
    sim_boot(8 * MIB);

    frame = frame_alloc(0, FRAME_ANON, FRAME_ANY);
    memset(frame_data(frame), 1, PAGE_SIZE);
    assert_true(SIM_PANICS(frame_free_zeroed(frame), "written after"));
    sim_boot(8 * MIB);
}

static void lock_ranks_are_checked(void **state)
{
    struct spinlock object, table, another;
    char message[80];

    snprintf(message, sizeof(message), "rank %d wanted while a lock of rank %d is held", RANK_TABLE,
             RANK_OBJECT);
    lock_init(&object, RANK_OBJECT);
    lock_init(&table, RANK_TABLE);
    lock_init(&another, RANK_TABLE);
    lock_take(&table);
    lock_take(&another); /* tables nest */
    lock_take(&object);
    assert_true(SIM_PANICS(lock_take(&table), message));
    lock_drop(&object);
    assert_true(SIM_PANICS(lock_drop(&object), "not taken"));
    lock_drop(&another);
    lock_drop(&table);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_8m, end_machine)
    const struct CMUnitTest tests[] = {
        CASE(blocks_are_aligned_and_merge_back),
        CASE(random_blocks_never_overlap),
        CASE(a_gibibyte_block),
        CASE(split_makes_single_frames),
        CASE(references_free_at_the_last),
        CASE(counters_follow_the_use),
        CASE(zeroed_ahead),
        CASE(zeroed_frames_serve_all_when_nothing_else_is_left),
        CASE(the_reserve_is_for_emergencies),
        CASE(a_block_is_found_in_the_caches),
        CASE(every_nth_allocation_fails),
        CASE(caches_of_other_cpus_are_counted),
        CASE(a_double_free_is_caught),
        CASE(freeing_a_reserved_frame_is_caught),
        CASE(freeing_what_others_hold_is_caught),
        CASE(use_after_free_is_caught),
        CASE(lock_ranks_are_checked),
    };

    return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
