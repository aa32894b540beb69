/*
 * Memory that is not wanted any more, but may be written to again (MADV_FREE): what may happen to it, made to
 * happen, with swap and without, and what may not.
 */
#include "swap_support.h"

#include "vm/evict.h"
#include "vm/lazy.h"

static struct space *space;
static uint64_t at;

static void scene(uint64_t pages)
{
    space = new_space();
    at = map_anon(space, pages, RW);
    assert_ok(space_advise(space, vaddr(at), pages * PAGE_SIZE, ADVICE_NO_HUGE));
    for (uint64_t i = 0; i < pages; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
}

static void end_scene(void)
{
    check_swap(space);
    reclaim_check();
    space_unref(space);
}

static uint64_t page(uint64_t i)
{
    return at + i * PAGE_SIZE;
}

static void give_up(struct space *where, uint64_t first, uint64_t pages)
{
    assert_ok(space_advise(where, vaddr(page(first)), pages * PAGE_SIZE, ADVICE_FREE));
}

/* Those of the pages that can leave memory do. */
static void send_out(struct space *where, uint64_t first, uint64_t pages)
{
    space_page_out(where, vaddr(page(first)), pages * PAGE_SIZE);
}

static void expect_old(struct space *where, uint64_t first, uint64_t pages)
{
    for (uint64_t i = first; i < first + pages; i++)
        assert_int_equal(get(where, page(i)), i + 1);
}

static void expect_zeroes(struct space *where, uint64_t first, uint64_t pages)
{
    for (uint64_t i = first; i < first + pages; i++)
        assert_int_equal(get(where, page(i)), 0);
}

static uint64_t lazy_pages(struct space *where, uint64_t pages)
{
    struct space_usage usage;

    space_measure(where, vaddr(at), vaddr(page(pages)), &usage);
    assert_int_equal(usage.resident_pages, usage.private_clean_pages + usage.private_dirty_pages +
                                               usage.shared_clean_pages + usage.shared_dirty_pages);
    return usage.lazy_pages;
}

/* The frame of page i, held. */
static struct frame *frame_behind(struct space *where, uint64_t i)
{
    struct frame *frame;

    assert_ok(space_pin(where, vaddr(page(i)), ACCESS_READ, &frame));
    return frame;
}

/* ------------------------------------------------------------------ one space */

static void it_stays_until_it_must_go(void **state)
{
    uint64_t before;

    scene(20);
    give_up(space, 0, 20);
    assert_int_equal(lazy_pages(space, 20), 20);
    expect_old(space, 0, 20);
    assert_int_equal(lazy_pages(space, 20), 20); /* reading is no use that counts */
    before = frames_free();
    send_out(space, 0, 20);
    assert_int_equal(frames_free(), before + 20);
    assert_int_equal(swap_now().page_outs, 0);
    assert_int_equal(swap_now().used, 0);
    assert_int_equal(swapped_pages(space), 0);
    expect_zeroes(space, 0, 20);
    put(space, page(3), 77);
    assert_int_equal(get(space, page(3)), 77);
    end_scene();
}

static void what_is_written_again_stays(void **state)
{
    uint64_t faults;

    scene(20);
    give_up(space, 0, 20);
    faults = vm_stats.faults;
    put(space, page(5), 500);
    put(space, page(6) + 8, 600); /* the other words may be old or zeroes: all of them are there */
    assert_int_equal(vm_stats.faults, faults);
    assert_int_equal(lazy_pages(space, 20), 18);
    send_out(space, 0, 20);
    assert_int_equal(get(space, page(5)), 500);
    assert_int_equal(get(space, page(6) + 8), 600);
    assert_int_equal(get(space, page(6)), 7);
    assert_int_equal(get(space, page(7)), 0);
    send_out(space, 0, 20); /* as any page now */
    assert_int_equal(get(space, page(5)), 500);
    assert_true(swap_now().page_outs >= 2);
    end_scene();
}

static void given_up_twice(void **state)
{
    scene(4);
    give_up(space, 0, 4);
    put(space, page(1), 100);
    give_up(space, 0, 4);
    assert_int_equal(lazy_pages(space, 4), 4);
    assert_int_equal(get(space, page(1)), 100);
    send_out(space, 0, 4);
    expect_zeroes(space, 0, 4);
    end_scene();
}

/* Between the choice of a victim and its end. */
static void written_at_the_last_moment(void **state)
{
    struct frame *frame;

    scene(2);
    give_up(space, 0, 2);
    frame = frame_behind(space, 0);
    put(space, page(0), 55);
    assert_false(lazy_unmap(frame));
    assert_false(frame_is_lazy(frame));
    frame_unref(frame);
    frame = frame_behind(space, 1);
    assert_true(lazy_unmap(frame));
    host_flush_all();
    put(space, page(1), 66); /* zeroes in another frame by now */
    assert_int_equal(frame_mapcount(frame), 0);
    frame_unref(frame);
    assert_int_equal(get(space, page(0)), 55);
    assert_int_equal(get(space, page(1)), 66);
    end_scene();
}

/* Locked, or held, since it was chosen. */
static void pinned_at_the_last_moment(void **state)
{
    struct frame *frame;

    scene(1);
    give_up(space, 0, 1);
    frame = frame_behind(space, 0);
    assert_ok(space_lock(space, vaddr(at), PAGE_SIZE, true));
    assert_false(lazy_unmap(frame));
    assert_ok(space_lock(space, vaddr(at), PAGE_SIZE, false));
    frame_ref(frame);
    assert_false(lazy_unmap(frame));
    frame_unref(frame);
    assert_true(frame_is_lazy(frame) && get(space, at) == 1);
    assert_true(lazy_unmap(frame));
    host_flush_all();
    frame_unref(frame);
    expect_zeroes(space, 0, 1);
    end_scene();
}

/* A reader or a device has it: it is not given up, nor taken from under him. */
static void what_is_held_stays(void **state)
{
    struct frame *before, *after;

    scene(2);
    before = frame_behind(space, 0);
    give_up(space, 0, 2);
    assert_int_equal(lazy_pages(space, 2), 1);
    frame_unref(before);
    after = frame_behind(space, 1);
    send_out(space, 0, 2);
    assert_int_equal(get(space, page(1)), 2);
    frame_unref(after);
    send_out(space, 0, 2);
    expect_old(space, 0, 1);
    expect_zeroes(space, 1, 1);
    end_scene();
}

/* The kernel's own write is a write. */
static void a_copy_by_the_kernel_is_a_write(void **state)
{
    uint64_t word = 4711;
    size_t done;

    scene(2);
    give_up(space, 0, 2);
    assert_ok(space_write(space, vaddr(page(0)), &word, sizeof(word), &done));
    send_out(space, 0, 2);
    assert_int_equal(get(space, page(0)), 4711);
    expect_zeroes(space, 1, 1);
    end_scene();
}

static void only_private_anonymous_memory(void **state)
{
    struct store *store = store_create(4 * PAGE_SIZE);
    struct object *object = store_object(store);
    uint64_t copy;

    scene(2);
    copy = map_object(space, object, 0, 4, RW, 0);
    put(space, copy, 99);
    assert_ok(space_advise(space, vaddr(copy), 4 * PAGE_SIZE, ADVICE_FREE));
    space_page_out(space, vaddr(copy), 4 * PAGE_SIZE);
    assert_int_equal(get(space, copy), 99);
    assert_int_equal(get(space, copy + PAGE_SIZE), 2);
    unmap(space, at, 1);
    assert_int_equal(space_advise(space, vaddr(at), 2 * PAGE_SIZE, ADVICE_FREE), ST_NOT_MAPPED);
    assert_int_equal(get(space, page(1)), 2);
    send_out(space, 1, 1);
    expect_zeroes(space, 1, 1); /* beyond the hole, too */
    end_scene();
    object_unref(object);
    store_end(store);
}

/* ------------------------------------------------------------------ swap */

static void what_is_in_swap_goes_at_once(void **state)
{
    scene(20);
    swap_set_read_ahead(1);
    assert_int_equal(page_out(space, at, 20), 20);
    expect_old(space, 0, 10); /* these are in memory, and in their slots */
    assert_true(swap_now().used == 20 && swap_now().cached == 10);
    give_up(space, 0, 20);
    assert_int_equal(swap_now().used, 0);
    assert_int_equal(lazy_pages(space, 20), 10);
    expect_old(space, 0, 10);
    expect_zeroes(space, 10, 10);
    send_out(space, 0, 20);
    expect_zeroes(space, 0, 20);
    assert_int_equal(swap_now().used, 0);
    end_scene();
}

/* A page that is just leaving is left alone, and one that is given up meanwhile goes with its contents. */
static void just_leaving(void **state)
{
    struct frame *frame, *list[1];

    scene(2);
    frame = page_out_begin(space, page(0));
    expect_old(space, 0, 1); /* mapped again */
    give_up(space, 0, 1);
    assert_int_equal(lazy_pages(space, 2), 0);
    (void)page_out_end(frame);
    expect_old(space, 0, 1);
    give_up(space, 1, 1);
    list[0] = frame_behind(space, 1);
    assert_int_equal(swap_prepare(list, 1), 1); /* as who chose it a moment before */
    assert_false(frame_is_lazy(list[0]));
    if (swap_unmap(list[0]))
        host_flush_all();
    assert_true(page_out_end(list[0]));
    expect_old(space, 1, 1);
    end_scene();
}

/* ------------------------------------------------------------------ changes of the space */

static void protection(void **state)
{
    scene(6);
    give_up(space, 0, 6);
    put(space, page(0), 10);
    put(space, page(1), 11);
    assert_ok(space_protect(space, vaddr(at), PAGE_SIZE, ACCESS_READ));
    assert_ok(space_protect(space, vaddr(page(1)), 2 * PAGE_SIZE, ACCESS_NONE));
    assert_ok(space_protect(space, vaddr(page(3)), PAGE_SIZE, ACCESS_READ));
    assert_ok(space_protect(space, vaddr(page(4)), PAGE_SIZE, RW | ACCESS_EXEC));
    assert_int_equal(lazy_pages(space, 6), 4);
    for (uint64_t i = 0; i < 6; i++) {
        struct frame *frame = NULL;

        if (i != 1 && i != 2)
            frame = frame_behind(space, i);
        if (frame)
            evict_these(&(struct victim){.frame = frame}, 1);
    }
    assert_true(reclaim(5) >= 1); /* and those that cannot be accessed */
    assert_ok(space_protect(space, vaddr(at), 6 * PAGE_SIZE, RW));
    assert_int_equal(get(space, page(0)), 10);
    assert_int_equal(get(space, page(1)), 11);
    expect_zeroes(space, 3, 3);
    end_scene();
}

/* Given up while it cannot be accessed: goes without a write. */
static void without_access(void **state)
{
    uint64_t freed = vm_stats.lazy_freed;

    scene(40);
    assert_ok(space_protect(space, vaddr(at), 40 * PAGE_SIZE, ACCESS_NONE));
    give_up(space, 0, 40);
    assert_int_equal(lazy_pages(space, 40), 40);
    while (vm_stats.lazy_freed < freed + 40 && reclaim(1) > 0)
        ;
    assert_int_equal(vm_stats.lazy_freed, freed + 40);
    assert_int_equal(swap_now().page_outs, 0);
    assert_ok(space_protect(space, vaddr(at), 40 * PAGE_SIZE, RW));
    expect_zeroes(space, 0, 40);
    end_scene();
}

static void locked_pages_stay(void **state)
{
    scene(4);
    give_up(space, 0, 4);
    assert_ok(space_lock(space, vaddr(at), 2 * PAGE_SIZE, true));
    send_out(space, 0, 4);
    assert_true(reclaim_watch());
    (void)reclaim(4);
    expect_old(space, 0, 2);
    expect_zeroes(space, 2, 2);
    assert_ok(space_lock(space, vaddr(at), 2 * PAGE_SIZE, false));
    send_out(space, 0, 2);
    expect_zeroes(space, 0, 2);
    end_scene();
}

static void moved_and_unmapped(void **state)
{
    struct vaddr to;

    scene(8);
    give_up(space, 0, 8);
    put(space, page(1), 21);
    assert_ok(space_move(space, vaddr(at), 4 * PAGE_SIZE, 4 * PAGE_SIZE, SPACE_MAY_MOVE | SPACE_MOVE_FIXED,
                         vaddr(page(0) - 0x10000000), &to));
    unmap(space, page(4), 2);
    space_page_out(space, to, 4 * PAGE_SIZE);
    assert_int_equal(get(space, to.v), 0);
    assert_int_equal(get(space, to.v + PAGE_SIZE), 21);
    expect_old(space, 6, 2);
    end_scene();
}

/* ------------------------------------------------------------------ fork */

/* The tables are shared: one entry each. Who has written, or wants to, has a page of his own. */
static void fork_of_pages_given_up(void **state)
{
    struct space *child;

    scene(8);
    give_up(space, 0, 8);
    put(space, page(1), 31);
    assert_ok(space_fork(space, &child));
    expect_old(child, 2, 6);
    put(child, page(2), 32); /* the table is the child's own now, and all of its pages are mapped twice */
    assert_int_equal(lazy_pages(space, 8), 7);
    for (uint64_t i = 0; i < 8; i++)
        evict_these(&(struct victim){.frame = frame_behind(space, i)}, 1);
    assert_int_equal(get(space, page(1)), 31);
    assert_int_equal(get(child, page(1)), 31);
    assert_int_equal(get(child, page(2)), 32);
    expect_zeroes(space, 2, 6);
    expect_zeroes(child, 3, 5);
    check_swap(child);
    space_unref(child);
    end_scene();
}

/* What the other side still needs stays. */
static void given_up_by_one_of_two(void **state)
{
    struct space *child;

    scene(8);
    assert_int_equal(page_out(space, page(6), 2), 2);
    assert_ok(space_fork(space, &child));
    give_up(child, 0, 8);
    send_out(child, 0, 8);
    send_out(space, 0, 8);
    expect_old(space, 0, 8);
    space_unref(child);
    expect_old(space, 0, 8);
    end_scene();
}

/* The frame is the child's alone when the parent has gone: its write counts. */
static void the_last_one_writes(void **state)
{
    struct space *child;

    scene(4);
    give_up(space, 0, 4);
    assert_ok(space_fork(space, &child));
    put(child, page(3), 9);
    space_unref(space);
    space = child;
    put(space, page(0), 41);
    send_out(space, 0, 4);
    assert_int_equal(get(space, page(0)), 41);
    assert_int_equal(get(space, page(3)), 9);
    expect_zeroes(space, 1, 2);
    end_scene();
}

/* ------------------------------------------------------------------ huge pages */

static void huge_scene(void)
{
    space = new_space();
    at = map_at(space, 0x40000000, 2 * 512, RW, 0);
    for (uint64_t i = 0; i < 2 * 512; i++)
        put(space, page(i), i + 1);
    assert_int_equal(vm_stats.fault_huge, 2);
}

static void huge_pages(void **state)
{
    uint64_t freed = vm_stats.lazy_freed;

    huge_scene();
    give_up(space, 0, 2 * 512);
    assert_int_equal(lazy_pages(space, 2 * 512), 2 * 512);
    assert_int_equal(vm_stats.huge_splits, 0);
    put(space, page(512 + 7), 70); /* of the whole huge page this says that it is wanted */
    assert_int_equal(lazy_pages(space, 2 * 512), 512);
    while (vm_stats.lazy_freed < freed + 512 && reclaim(32) > 0)
        ;
    assert_int_equal(vm_stats.lazy_freed, freed + 512);
    expect_zeroes(space, 0, 512);
    assert_int_equal(get(space, page(512 + 7)), 70);
    expect_old(space, 512, 7);
    end_scene();
}

static void a_fork_of_huge_pages(void **state)
{
    struct space *child;

    huge_scene();
    give_up(space, 0, 2 * 512);
    put(space, page(512), 80);
    assert_ok(space_fork(space, &child));
    put(child, page(1), 81); /* a part: the page is split for both */
    for (uint64_t i = 0; i < 20; i++)
        evict_these(&(struct victim){.frame = frame_behind(space, i)}, 1);
    assert_int_equal(get(child, page(1)), 81);
    assert_int_equal(get(space, page(1)), 0);
    expect_zeroes(child, 2, 18);
    expect_old(space, 20, 30);
    assert_int_equal(get(child, page(512)), 80);
    assert_int_equal(get(space, page(512)), 80);
    check_swap(child);
    space_unref(child);
    end_scene();
}

/* ------------------------------------------------------------------ no swap, and full swap */

/* What is given up can go also then; what has been written to since cannot, and nobody looks for it for ever.
 */
static void without_swap(void **state)
{
    uint64_t freed = vm_stats.lazy_freed;
    struct reclaim_report report;

    scene(200);
    give_up(space, 0, 100);
    for (uint64_t i = 0; i < 50; i++)
        put(space, page(i), 1000 + i);
    assert_true(reclaim(50) >= 32);
    while (reclaim(32) > 0)
        ;
    assert_int_equal(vm_stats.lazy_freed, freed + 50);
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(get(space, page(i)), 1000 + i);
    expect_zeroes(space, 50, 50);
    expect_old(space, 100, 100);
    give_up(space, 100, 100); /* memory is short by now */
    while (reclaim(32) > 0)
        ;
    expect_zeroes(space, 100, 100);
    assert_int_equal(vm_stats.lazy_freed, freed + 150);
    reclaim_look(&report);
    assert_int_equal(report.enrolled, 0);
    reclaim_check();
    space_unref(space);
}

static void huge_pages_without_swap(void **state)
{
    uint64_t freed = vm_stats.lazy_freed;

    huge_scene();
    give_up(space, 0, 512);
    while (reclaim(32) > 0)
        ;
    assert_int_equal(vm_stats.lazy_freed, freed + 512);
    assert_int_equal(vm_stats.huge_splits, 1);
    expect_zeroes(space, 0, 512);
    expect_old(space, 512, 512);
    space_unref(space);
}

static void a_full_swap(void **state)
{
    uint64_t freed = vm_stats.lazy_freed;

    scene(200);
    while (reclaim(32) > 0)
        ;
    assert_int_equal(swap_now().used, 40);
    give_up(space, 0, 200);
    while (reclaim(32) > 0)
        ;
    assert_true(vm_stats.lazy_freed >= freed + 150);
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t word = get(space, page(i));

        assert_true(word == 0 || word == i + 1);
    }
    end_scene();
}

/* More memory than there is, given up as it is written: every policy finds room without a single write. */
static void every_policy(void **state)
{
    for (const struct policy_type *const *type = policy_types; *type; type++) {
        struct policy_config config = {.seed = 7};
        struct reclaim_report report;

        if ((*type)->needs != POLICY_BITS)
            continue;
        boot_swap(NULL);
        policy_standard(*type, &config);
        assert_ok(reclaim_configure(*type, &config, &(struct scope_config){.kind = SCOPE_GLOBAL}));
        space = new_space();
        at = map_anon(space, 4000, RW);
        for (uint64_t i = 0; i < 4000; i += 10) {
            for (uint64_t j = i; j < i + 10; j++)
                put(space, page(j), j + 1);
            give_up(space, i, 10);
            put(space, page(i), i + 1);
        }
        for (uint64_t i = 0; i < 4000; i++) {
            uint64_t word = get(space, page(i));

            assert_true(word == i + 1 || (word == 0 && i % 10 != 0));
        }
        assert_true(vm_stats.lazy_freed > 1500);
        reclaim_look(&report);
        assert_true(report.evicted > 1500 && report.dirty <= 800);
        assert_true(swap_now().page_outs <= 800); /* the tenths that were written again, some of them twice */
        end_scene();
        assert_int_equal(end_swap(NULL), 0);
    }
}

/* ------------------------------------------------------------------ no memory for the call */

/* The tables must become the space's own first: either all of it is done or nothing. */
static void without_memory(void **state)
{
    struct space *child;
    bool struck = true;

    scene(20);
    for (uint64_t n = 1; struck; n++) {
        enum status status;

        assert_ok(space_fork(space, &child));
        frames_fail_after(n);
        status = space_advise(child, vaddr(at), 20 * PAGE_SIZE, ADVICE_FREE);
        struck = frames_fail_after(0) == 0;
        assert_true(status == ST_OK || (struck && status == ST_NO_MEMORY));
        check_swap(child);
        send_out(child, 0, 20);
        expect_old(space, 0, 20);
        for (uint64_t i = 0; i < 20; i++) {
            uint64_t word = get(child, page(i)); /* the search for memory may have put pages into swap */

            assert_true(word == i + 1 || (status == ST_OK && word == 0));
        }
        space_unref(child);
    }
    end_scene();
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_swap, end_swap)
#define CASE_IN(name, boot, end) cmocka_unit_test_setup_teardown(name, boot, end)
    const struct CMUnitTest tests[] = {
        CASE(it_stays_until_it_must_go),
        CASE(what_is_written_again_stays),
        CASE(given_up_twice),
        CASE(written_at_the_last_moment),
        CASE(pinned_at_the_last_moment),
        CASE(what_is_held_stays),
        CASE(a_copy_by_the_kernel_is_a_write),
        CASE(only_private_anonymous_memory),
        CASE(what_is_in_swap_goes_at_once),
        CASE(just_leaving),
        CASE(protection),
        CASE(without_access),
        CASE(locked_pages_stay),
        CASE(moved_and_unmapped),
        CASE(fork_of_pages_given_up),
        CASE(given_up_by_one_of_two),
        CASE(the_last_one_writes),
        CASE_IN(huge_pages, boot_swap_64m, end_swap),
        CASE_IN(a_fork_of_huge_pages, boot_swap_64m, end_swap),
        CASE_IN(without_swap, boot_vm_8m, end_vm),
        CASE_IN(huge_pages_without_swap, boot_vm_64m, end_vm),
        CASE_IN(a_full_swap, boot_swap_40, end_swap),
        cmocka_unit_test(every_policy),
        CASE(without_memory),
    };

    return cmocka_run_group_tests_name("memory given up", tests, NULL, NULL);
}
