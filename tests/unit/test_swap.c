/*
 * Swap: each change of state of a page that leaves memory and comes back, made to happen.
 */
#include "swap_support.h"

#include <pthread.h>
#include <unistd.h>

#include "quire/reclaim.h"
#include "vm/object_internal.h"
#include "vm/swap_internal.h"
#include "vm/table.h"

static struct space *space;
static uint64_t at;

/* A space with `pages` written pages; page i has the word i + 1. */
static void scene(uint64_t pages)
{
    space = new_space();
    at = map_anon(space, pages, RW);
    assert_ok(space_advise(space, vaddr(at), pages * PAGE_SIZE, ADVICE_NO_HUGE));
    for (uint64_t i = 0; i < pages; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
}

static void expect_words(struct space *where, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++)
        assert_int_equal(get(where, at + i * PAGE_SIZE), i + 1);
}

static void end_scene(void)
{
    check_swap(space);
    space_unref(space);
}

static struct space *fork_of(struct space *parent)
{
    struct space *child;

    assert_ok(space_fork(parent, &child));
    return child;
}

/* ------------------------------------------------------------------ out and in */

static void pages_leave_and_come_back(void **state)
{
    uint64_t before;

    scene(600);
    before = frames_free();
    assert_int_equal(page_out(space, at, 600), 600);
    assert_true(frames_free() > before + 590);
    assert_int_equal(swapped_pages(space), 600);
    assert_int_equal(swap_now().used, 600);
    assert_int_equal(swap_now().page_outs, 600);
    assert_true(swap_now().write_requests <= 600 / SWAP_CLUSTER + 2);
    check_swap(space);
    expect_words(space, 600);
    assert_int_equal(swapped_pages(space), 0);
    assert_int_equal(swap_now().page_ins, 600);
    end_scene();
}

/* MADV_PAGEOUT: what is locked, or somebody else's too, stays; what cannot be written as well. */
static void pages_leave_when_they_are_told_to(void **state)
{
    struct space *child;

    scene(100);
    assert_ok(space_lock(space, vaddr(at + 10 * PAGE_SIZE), 5 * PAGE_SIZE, true));
    space_page_out(space, vaddr(at), 100 * PAGE_SIZE);
    assert_int_equal(swapped_pages(space), 95);
    check_swap(space);
    expect_words(space, 100);
    assert_ok(space_lock(space, vaddr(at), 100 * PAGE_SIZE, false));
    child = fork_of(space);
    space_page_out(space, vaddr(at), 100 * PAGE_SIZE);
    assert_int_equal(swapped_pages(space), 0);
    put(child, at, 1);
    space_page_out(child, vaddr(at), PAGE_SIZE);
    assert_int_equal(swapped_pages(child), 1);
    expect_words(child, 100);
    expect_words(space, 100);
    space_unref(child);
    assert_true(reclaim_watch()); /* and with a policy that knows the pages */
    space_page_out(space, vaddr(at), 50 * PAGE_SIZE);
    assert_int_equal(swapped_pages(space), 50);
    reclaim_check();
    expect_words(space, 100);
    end_scene();
}

static void a_clean_page_is_not_written_again(void **state)
{
    scene(20);
    assert_int_equal(page_out(space, at, 20), 20);
    expect_words(space, 20);
    assert_int_equal(swap_now().cached, 20);
    check_swap(space);
    assert_int_equal(page_out(space, at, 20), 20);
    assert_int_equal(swap_now().page_outs, 20);
    expect_words(space, 20);
    end_scene();
}

static void a_changed_page_is_written_again(void **state)
{
    scene(20);
    assert_int_equal(page_out(space, at, 20), 20);
    expect_words(space, 20);
    put(space, at + 7 * PAGE_SIZE, 700); /* no fault: the MMU's D bit says it */
    assert_int_equal(page_out(space, at, 20), 20);
    assert_int_equal(swap_now().page_outs, 21);
    assert_int_equal(get(space, at + 7 * PAGE_SIZE), 700);
    put(space, at + 7 * PAGE_SIZE, 8);
    expect_words(space, 20);
    end_scene();
}

/* After the frame has been found clean, and before its entry goes. */
static void a_change_at_the_last_moment(void **state)
{
    struct frame *frame;

    scene(1);
    assert_int_equal(page_out(space, at, 1), 1);
    expect_words(space, 1);
    assert_ok(space_pin(space, vaddr(at), ACCESS_READ, &frame));
    assert_int_equal(swap_prepare(&frame, 1), 1);
    put(space, at, 600);
    assert_true(swap_unmap(frame));
    host_flush_all();
    assert_true(page_out_end(frame));
    assert_int_equal(get(space, at), 600);
    end_scene();
}

/* The kernel writes to a frame past the MMU. */
static void a_copy_by_the_kernel_is_a_change(void **state)
{
    uint64_t word = 900;
    size_t done;

    scene(4);
    assert_int_equal(page_out(space, at, 4), 4);
    expect_words(space, 4);
    assert_ok(space_write(space, vaddr(at), &word, 8, &done));
    assert_int_equal(page_out(space, at, 4), 4);
    assert_int_equal(get(space, at), 900);
    end_scene();
}

static void changes_are_known_through_protection(void **state)
{
    scene(4);
    assert_int_equal(page_out(space, at, 4), 4);
    expect_words(space, 4);
    put(space, at, 50);
    put(space, at + PAGE_SIZE, 51);
    assert_ok(space_protect(space, vaddr(at), PAGE_SIZE, ACCESS_READ));
    assert_ok(space_protect(space, vaddr(at + PAGE_SIZE), PAGE_SIZE, ACCESS_NONE));
    assert_ok(space_protect(space, vaddr(at + PAGE_SIZE), PAGE_SIZE, ACCESS_READ));
    assert_int_equal(page_out(space, at, 4), 4);
    assert_int_equal(get(space, at), 50);
    assert_int_equal(get(space, at + PAGE_SIZE), 51);
    assert_status(try_put(space, at, 1), ST_DENIED);
    end_scene();
}

static void a_write_lets_the_slot_go(void **state)
{
    scene(5);
    assert_int_equal(page_out(space, at, 5), 5);
    put(space, at + PAGE_SIZE, 77);
    assert_int_equal(swap_now().used, 4);
    assert_int_equal(get(space, at + PAGE_SIZE), 77);
    assert_int_equal(get(space, at), 1);
    end_scene();
}

static void zeroes_are_never_written(void **state)
{
    scene(40);
    for (uint64_t i = 0; i < 40; i += 2)
        put(space, at + i * PAGE_SIZE, 0);
    assert_int_equal(page_out(space, at, 40), 40);
    assert_int_equal(swap_now().page_outs, 20);
    assert_int_equal(swap_now().zero, 20);
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(get(space, at + i * PAGE_SIZE), i % 2 == 0 ? 0 : i + 1);
    assert_int_equal(swap_now().page_ins, 20);
    for (uint64_t i = 0; i < 40; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
    assert_int_equal(page_out(space, at, 40), 40);
    expect_words(space, 40);
    end_scene();
}

/* ------------------------------------------------------------------ taken back */

static void taken_back_before_it_is_written(void **state)
{
    struct frame *frame;

    scene(4);
    frame = page_out_begin(space, at);
    check_all(space);
    assert_int_equal(get(space, at), 1); /* read: it is mapped again */
    assert_false(page_out_end(frame));
    frame = page_out_begin(space, at + PAGE_SIZE);
    put(space, at + PAGE_SIZE, 2000); /* written: in a copy */
    assert_true(page_out_end(frame));
    assert_int_equal(get(space, at + PAGE_SIZE), 2000);
    frame = page_out_begin(space, at + 2 * PAGE_SIZE);
    assert_int_equal(get(space, at + 2 * PAGE_SIZE), 3);
    put(space, at + 2 * PAGE_SIZE, 3000); /* read, then written */
    (void)page_out_end(frame);
    assert_int_equal(get(space, at + 2 * PAGE_SIZE), 3000);
    frame = page_out_begin(space, at + 3 * PAGE_SIZE);
    unmap(space, at + 3 * PAGE_SIZE, 1);
    assert_true(page_out_end(frame));
    check_swap(space);
    assert_int_equal(page_out(space, at, 3), 3);
    assert_int_equal(get(space, at), 1);
    assert_int_equal(get(space, at + PAGE_SIZE), 2000);
    assert_int_equal(get(space, at + 2 * PAGE_SIZE), 3000);
    end_scene();
}

static void read_it(void)
{
    assert_int_equal(get(space, at), 1);
}

static void write_it(void)
{
    put(space, at, 1111);
}

static void unmap_it(void)
{
    unmap(space, at, 1);
}

static void fork_and_write_it(void)
{
    struct space *child = fork_of(space);

    put(child, at, 5);
    assert_int_equal(get(space, at), 1);
    assert_int_equal(get(child, at), 5);
    space_unref(child);
}

static void needed_while_it_is_written(void **state)
{
    scene(3);
    swap_test.while_writing = read_it;
    assert_int_equal(page_out(space, at, 1), 0);
    check_swap(space);
    assert_int_equal(page_out(space, at, 1), 1);
    assert_int_equal(swap_now().page_outs, 1); /* it had been written all the same */
    read_it();
    put(space, at, 1);
    swap_test.while_writing = write_it;
    assert_int_equal(page_out(space, at, 1), 1); /* the old frame */
    assert_int_equal(get(space, at), 1111);
    assert_int_equal(page_out(space, at, 1), 1);
    assert_int_equal(get(space, at), 1111);
    put(space, at, 1);
    swap_test.while_writing = fork_and_write_it;
    (void)page_out(space, at, 1);
    assert_int_equal(get(space, at), 1);
    swap_test.while_writing = unmap_it;
    put(space, at, 1);
    assert_int_equal(page_out(space, at, 1), 1);
    assert_status(try_get(space, at), ST_NOT_MAPPED);
    end_scene();
}

static void pinned_pages_stay(void **state)
{
    struct frame *frame;

    scene(3);
    assert_ok(space_pin(space, vaddr(at), ACCESS_WRITE, &frame));
    assert_int_equal(page_out(space, at, 3), 2);
    assert_int_equal(swapped_pages(space), 2);
    memcpy(frame_data(frame), &(uint64_t){4321}, 8);
    frame_unref(frame);
    assert_int_equal(page_out(space, at, 3), 1);
    assert_int_equal(get(space, at), 4321);
    end_scene();
}

/* ------------------------------------------------------------------ while it is read */

static void unmapped_during_the_read(void **state)
{
    scene(3);
    assert_int_equal(page_out(space, at, 3), 3);
    swap_test.while_reading = unmap_it;
    assert_status(try_get(space, at), ST_NOT_MAPPED);
    assert_int_equal(swap_now().used, 2);
    end_scene();
}

static struct space *other;
static pthread_t thread;

static void *other_reads(void *argument)
{
    sim_become_cpu(1);
    CHECK_ALWAYS(try_get(other, at) == ST_OK);
    frames_drain();
    return NULL;
}

static void begin_other(void)
{
    assert_int_equal(pthread_create(&thread, NULL, other_reads, NULL), 0);
    for (unsigned i = 0; i < 10000 && sim_sleepers() == 0; i++)
        usleep(1000);
    assert_int_equal(sim_sleepers(), 1); /* on the page that is being read */
}

static void two_faults_on_one_page(void **state)
{
    scene(3);
    assert_int_equal(page_out(space, at, 3), 3);
    other = space;
    swap_test.while_reading = begin_other;
    assert_int_equal(get(space, at), 1);
    pthread_join(thread, NULL);
    assert_int_equal(swap_now().read_requests, 1);
    check_swap(space);
    assert_int_equal(page_out(space, at, 3), 1);
    other = fork_of(space);
    swap_test.while_reading = begin_other;
    put(space, at, 100);
    pthread_join(thread, NULL);
    assert_int_equal(swap_now().read_requests, 2);
    assert_int_equal(get(other, at), 1);
    assert_int_equal(get(space, at), 100);
    check_swap(other);
    space_unref(other);
    end_scene();
}

static void end_space(void)
{
    space_unref(other);
}

/* The last user of a page goes while somebody else, who does not want it any more either, reads it. */
static void exit_during_the_read(void **state)
{
    scene(3);
    other = fork_of(space);
    assert_int_equal(page_out(space, at, 3), 3);
    swap_test.while_reading = end_space;
    assert_int_equal(get(space, at), 1);
    assert_int_equal(swap_now().used, 3);
    end_scene();
}

/* ------------------------------------------------------------------ fork */

static void shared_pages_are_written_and_read_once(void **state)
{
    struct space *child;

    scene(50);
    child = fork_of(space);
    put(child, at + 49 * PAGE_SIZE, 50); /* the child has tables of its own */
    put(space, at + 49 * PAGE_SIZE, 50);
    assert_int_equal(page_out(space, at, 49), 49);
    assert_int_equal(swap_now().page_outs, 49);
    assert_int_equal(swapped_pages(child), 49);
    assert_int_equal(swapped_pages(space), 49);
    check_swap(child);
    expect_words(child, 49);
    expect_words(space, 49);
    assert_int_equal(swap_now().page_ins, 49);
    check_swap(space);
    put(child, at, 1000);
    assert_int_equal(get(space, at), 1);
    assert_int_equal(get(child, at), 1000);
    space_unref(child);
    expect_words(space, 50);
    end_scene();
}

static void a_fork_of_swapped_pages(void **state)
{
    struct space *child;

    scene(40);
    assert_int_equal(page_out(space, at, 40), 40);
    child = fork_of(space);
    for (uint64_t i = 0; i < 40; i += 2)
        put(child, at + i * PAGE_SIZE, 1000 + i);
    check_swap(child);
    expect_words(space, 40);
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(get(child, at + i * PAGE_SIZE), i % 2 == 0 ? 1000 + i : i + 1);
    assert_int_equal(page_out(space, at, 40), 40);
    for (uint64_t i = 1; i < 40; i += 2)
        put(space, at + i * PAGE_SIZE, 2000 + i);
    check_swap(space);
    space_unref(child);
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(get(space, at + i * PAGE_SIZE), i % 2 == 0 ? i + 1 : 2000 + i);
    end_scene();
}

/* A page that was changed since its slot got its contents, and then shared. */
static void changes_are_known_through_a_fork(void **state)
{
    struct space *child;

    scene(2);
    assert_int_equal(page_out(space, at, 2), 2);
    expect_words(space, 2);
    put(space, at, 88);
    child = fork_of(space);
    assert_int_equal(get(child, at), 88);
    put(child, at + PAGE_SIZE, 5); /* tables of its own */
    space_unref(space);
    space = child;
    assert_int_equal(page_out(space, at, 2), 2);
    assert_int_equal(get(space, at), 88);
    end_scene();
}

/* The sharer that comes back first may write in place: the other's mark finds the contents in the store. */
static void the_last_mapping_takes_the_frame_over(void **state)
{
    struct space *child;
    uint64_t copies;

    scene(2);
    assert_int_equal(page_out(space, at, 2), 2);
    child = fork_of(space);
    assert_int_equal(get(child, at), 1);
    copies = vm_stats.fault_copy;
    put(child, at, 10);
    assert_int_equal(vm_stats.fault_copy, copies);
    assert_int_equal(get(space, at), 1);
    assert_int_equal(get(child, at), 10);
    check_swap(child);
    space_unref(child);
    end_scene();
}

/* ------------------------------------------------------------------ other operations on swapped pages */

static void operations_on_swapped_pages(void **state)
{
    struct vaddr moved;
    uint8_t resident[8];

    scene(16);
    assert_int_equal(page_out(space, at, 16), 16);
    assert_ok(space_protect(space, vaddr(at), 2 * PAGE_SIZE, ACCESS_NONE));
    assert_status(try_get(space, at), ST_DENIED);
    assert_ok(space_protect(space, vaddr(at), 2 * PAGE_SIZE, ACCESS_READ));
    assert_int_equal(get(space, at), 1);
    assert_status(try_put(space, at + PAGE_SIZE, 1), ST_DENIED);
    assert_ok(space_protect(space, vaddr(at), 2 * PAGE_SIZE, RW));
    put(space, at + PAGE_SIZE, 2);
    assert_ok(space_incore(space, vaddr(at), 4 * PAGE_SIZE, resident));
    assert_true(resident[0] && resident[1] && !resident[2] && !resident[3]);
    assert_ok(space_advise(space, vaddr(at + 2 * PAGE_SIZE), PAGE_SIZE, ADVICE_DONT_NEED));
    assert_int_equal(get(space, at + 2 * PAGE_SIZE), 0);
    assert_ok(space_move(space, vaddr(at), 16 * PAGE_SIZE, 16 * PAGE_SIZE, SPACE_MAY_MOVE | SPACE_MOVE_FIXED,
                         vaddr(0x200000001000), &moved));
    check_swap(space);
    assert_int_equal(swapped_pages(space), 13);
    for (uint64_t i = 3; i < 16; i++)
        assert_int_equal(get(space, moved.v + i * PAGE_SIZE), i + 1);
    assert_int_equal(page_out(space, moved.v, 16), 15);
    unmap(space, moved.v + 8 * PAGE_SIZE, 4);
    assert_int_equal(swap_now().used, 11);
    end_scene();
}

static void a_page_without_access_can_leave(void **state)
{
    struct frame *frame;

    scene(2);
    assert_ok(space_pin(space, vaddr(at), ACCESS_READ, &frame));
    assert_ok(space_protect(space, vaddr(at), PAGE_SIZE, ACCESS_NONE));
    assert_int_equal(swap_prepare(&frame, 1), 1);
    assert_false(swap_unmap(frame));
    assert_true(page_out_end(frame));
    check_swap(space);
    assert_status(try_get(space, at), ST_DENIED);
    assert_ok(space_protect(space, vaddr(at), PAGE_SIZE, RW));
    expect_words(space, 2);
    end_scene();
}

static void copies_of_file_pages(void **state)
{
    struct store *store = store_create(10 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space_region region;

    space = new_space();
    at = map_object(space, object, 0, 10, RW, 0);
    for (uint64_t i = 0; i < 10; i++)
        put(space, at + i * PAGE_SIZE, 500 + i);
    assert_int_equal(page_out(space, at, 10), 10);
    check_swap(space);
    assert_true(space_next_region(space, vaddr(at), &region));
    assert_ptr_equal(region.object, object);
    assert_int_equal(region.swap_pages, 10);
    assert_ok(space_advise(space, vaddr(at), PAGE_SIZE, ADVICE_DONT_NEED));
    assert_int_equal(get(space, at), 1);
    assert_int_equal(get(space, at + PAGE_SIZE), 501);
    put(space, at + 2 * PAGE_SIZE, 0);
    assert_int_equal(page_out(space, at + 2 * PAGE_SIZE, 1), 1); /* zeroes, and still a copy of page 2 */
    assert_int_equal(get(space, at + 2 * PAGE_SIZE), 0);
    check_swap(space);
    assert_ok(object_resize(object, 5 * PAGE_SIZE));
    check_swap(space);
    assert_status(try_get(space, at + 6 * PAGE_SIZE), ST_BEYOND_END);
    assert_int_equal(get(space, at + 4 * PAGE_SIZE), 504);
    object_unref(object);
    end_scene();
    store_end(store);
}

/* ------------------------------------------------------------------ objects without a pager */

static void shared_anonymous_memory(void **state)
{
    struct object *object = object_create(NULL, NULL, 30 * PAGE_SIZE);
    struct space *second = new_space();
    uint64_t there, word = 0;
    size_t done;

    space = new_space();
    at = map_object(space, object, 0, 30, RW, SPACE_SHARED);
    there = map_object(second, object, 0, 30, RW, SPACE_SHARED);
    for (uint64_t i = 0; i < 30; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal(get(second, there + i * PAGE_SIZE), i + 1);
    assert_int_equal(page_out(space, at, 30), 30);
    assert_int_equal(object_resident(object), 0);
    check_swap(space);
    assert_int_equal(get(second, there + 3 * PAGE_SIZE), 4);
    put(second, there + 4 * PAGE_SIZE, 999);
    assert_int_equal(get(space, at + 4 * PAGE_SIZE), 999);
    assert_int_equal(page_out(space, at, 5), 2); /* 4 clean, 5 written again */
    assert_int_equal(swap_now().page_outs, 31);
    assert_int_equal(get(space, at + 4 * PAGE_SIZE), 999);
    assert_ok(object_read(object, 7 * PAGE_SIZE, &word, 8, &done));
    assert_int_equal(word, 8);
    word = 777;
    assert_ok(object_write(object, 8 * PAGE_SIZE, &word, 8, &done));
    assert_int_equal(get(second, there + 8 * PAGE_SIZE), 777);
    assert_int_equal(page_out(second, there, 30), 3);
    assert_int_equal(get(second, there + 8 * PAGE_SIZE), 777);
    assert_ok(object_resize(object, 20 * PAGE_SIZE + 8));
    check_swap(second);
    assert_int_equal(get(space, at + 20 * PAGE_SIZE), 21);
    assert_int_equal(get(space, at + 20 * PAGE_SIZE + 8), 0);
    assert_status(try_get(space, at + 21 * PAGE_SIZE), ST_BEYOND_END);
    space_unref(second);
    object_unref(object);
    end_scene();
}

static void truncate_it(void)
{
    struct space_region region;

    assert_true(space_next_region(space, vaddr(at), &region));
    assert_ok(object_resize(region.object, 0));
}

static void truncated_while_it_is_written(void **state)
{
    struct object *object = object_create(NULL, NULL, 3 * PAGE_SIZE);

    space = new_space();
    at = map_object(space, object, 0, 3, RW, SPACE_SHARED);
    put(space, at, 1);
    put(space, at + PAGE_SIZE, 2);
    swap_test.while_writing = truncate_it;
    (void)page_out(space, at, 2);
    check_swap(space);
    assert_status(try_get(space, at), ST_BEYOND_END);
    assert_int_equal(swap_now().used, 0);
    assert_ok(object_resize(object, 3 * PAGE_SIZE));
    put(space, at, 3);
    swap_test.while_writing = write_it; /* it stays: it is dirty again */
    assert_int_equal(page_out(space, at, 1), 0);
    assert_int_equal(get(space, at), 1111);
    assert_int_equal(page_out(space, at, 1), 1);
    swap_test.while_reading = truncate_it;
    assert_status(try_get(space, at), ST_BEYOND_END);
    object_unref(object);
    end_scene();
}

static void private_mappings_of_shared_pages(void **state)
{
    struct object *object = object_create(NULL, NULL, 4 * PAGE_SIZE);
    uint64_t shared;

    space = new_space();
    shared = map_object(space, object, 0, 4, RW, SPACE_SHARED);
    at = map_object(space, object, 0, 4, RW, 0);
    for (uint64_t i = 0; i < 4; i++)
        put(space, shared + i * PAGE_SIZE, i + 1);
    assert_int_equal(page_out(space, shared, 4), 4);
    assert_int_equal(get(space, at), 1);
    put(space, at, 10); /* from the page that has a slot */
    put(space, at + PAGE_SIZE, 11);
    assert_int_equal(get(space, shared), 1);
    assert_int_equal(get(space, shared + PAGE_SIZE), 2);
    assert_int_equal(get(space, at), 10);
    check_swap(space);
    assert_int_equal(page_out(space, at, 2), 2);
    assert_int_equal(page_out(space, shared, 4), 2);
    assert_int_equal(get(space, at + PAGE_SIZE), 11);
    assert_int_equal(get(space, shared + PAGE_SIZE), 2);
    object_unref(object);
    end_scene();
}

/* ------------------------------------------------------------------ full, and errors */

static void a_full_swap(void **state)
{
    scene(60);
    assert_int_equal(page_out(space, at, 60), 40);
    assert_int_equal(swap_now().used, 40);
    assert_int_equal(page_out(space, at, 60), 0);
    check_swap(space);
    expect_words(space, 60);
    assert_int_equal(page_out(space, at, 60), 40); /* slots that only the cache knew give way */
    expect_words(space, 60);
    end_scene();
}

static void a_page_that_cannot_be_written_stays(void **state)
{
    struct space *child;

    scene(8);
    swap_test.fail_write = 4;
    assert_int_equal(page_out(space, at, 8), 7);
    assert_int_equal(swap_now().bad, 1);
    check_swap(space);
    child = fork_of(space);
    expect_words(child, 8);
    assert_int_equal(page_out(child, at, 8), 7);
    expect_words(space, 8);
    put(child, at + 3 * PAGE_SIZE, 30);
    space_unref(child);
    check_swap(space);
    assert_int_equal(page_out(space, at, 8), 8); /* in another slot */
    expect_words(space, 8);
    assert_int_equal(swap_now().bad, 1);
    end_scene();
}

/* What a store in memory does that has slots, but no room: no slot is lost by it. */
static void a_store_that_is_full(void **state)
{
    scene(8);
    swap_test.full = true;
    assert_int_equal(page_out(space, at, 8), 0);
    check_swap(space);
    expect_words(space, 8);
    assert_int_equal(swap_now().bad, 0);
    swap_test.full = false;
    assert_int_equal(page_out(space, at, 8), 8);
    expect_words(space, 8);
    end_scene();
}

static void a_page_that_cannot_be_read(void **state)
{
    scene(8);
    assert_int_equal(page_out(space, at, 8), 8);
    swap_test.fail_read = 3;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(get(space, at), 1);
        assert_int_equal(get(space, at + PAGE_SIZE), 2);
        assert_status(try_get(space, at + 2 * PAGE_SIZE), ST_IO_ERROR);
        assert_status(try_put(space, at + 2 * PAGE_SIZE, 1), ST_IO_ERROR);
        assert_int_equal(get(space, at + 3 * PAGE_SIZE), 4);
    }
    check_swap(space);
    swap_test.fail_read = 0;
    expect_words(space, 8);
    swap_test.fail_all = true;
    assert_int_equal(page_out(space, at, 8), 8); /* clean, all of them */
    assert_status(try_get(space, at), ST_IO_ERROR);
    swap_test.fail_all = false;
    expect_words(space, 8);
    end_scene();
}

static void an_object_that_cannot_be_read(void **state)
{
    struct object *object = object_create(NULL, NULL, 4 * PAGE_SIZE);
    uint64_t word = 0;
    size_t done;

    space = new_space();
    at = map_object(space, object, 0, 4, RW, SPACE_SHARED);
    for (uint64_t i = 0; i < 4; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
    assert_int_equal(page_out(space, at, 4), 4);
    swap_test.fail_all = true;
    assert_status(try_get(space, at), ST_IO_ERROR);
    assert_status(object_read(object, 0, &word, 8, &done), ST_IO_ERROR);
    assert_status(object_resize(object, 100), ST_IO_ERROR);
    assert_int_equal(object_size(object), 4 * PAGE_SIZE);
    swap_test.fail_all = false;
    expect_words(space, 4);
    object_unref(object);
    end_scene();
}

/* ------------------------------------------------------------------ read-ahead */

static void rows_are_read_ahead(void **state)
{
    uint64_t requests, faults;

    scene(1000);
    assert_int_equal(page_out(space, at, 1000), 1000);
    faults = vm_stats.faults;
    expect_words(space, 1000);
    requests = swap_now().read_requests;
    assert_true(requests < 50);
    assert_true(vm_stats.faults - faults < 2 * 50); /* what was read with a page is mapped with it */
    assert_int_equal(swap_now().page_ins, 1000);
    assert_int_equal(page_out(space, at, 1000), 1000); /* now it is known what was used */
    assert_int_equal(swap_now().read_ahead_hits, swap_now().read_ahead);
    swap_set_read_ahead(1);
    expect_words(space, 1000);
    assert_int_equal(swap_now().page_ins, 2000);
    assert_int_equal(swap_now().read_requests - requests, 1000);
    end_scene();
}

/* What was read and not asked for leaves memory, as when a policy chooses it. */
static void drop_unasked(void)
{
    for (uint32_t slot = 1; slot <= swap.slots; slot++) {
        struct frame *frame = slot_is_taken(slot) ? slot_frame(slot_at(slot)) : NULL;

        if (!frame || frame_mapcount(frame) > 0)
            continue;
        frame_ref(frame);
        assert_int_equal(swap_prepare(&frame, 1), 1);
        assert_false(swap_unmap(frame));
        assert_true(swap_release(frame));
    }
}

/* One page is asked for and everything goes out again, so many times; how many pages were read. */
static uint64_t read_in_vain(struct random *random, unsigned times)
{
    uint64_t before = swap_now().page_ins;

    for (unsigned i = 0; i < times; i++) {
        (void)get(space, at + random_below(random, 1000) * PAGE_SIZE);
        (void)page_out(space, at, 1000);
        drop_unasked();
        check_swap(space);
    }
    return swap_now().page_ins - before;
}

/* Groups around a page in no row: all pages get used, or only the one. */
static void reading_around_is_learnt(void **state)
{
    struct random random = {77};
    uint64_t requests;

    scene(1000);
    assert_int_equal(page_out(space, at, 1000), 1000);
    requests = swap_now().read_requests;
    for (unsigned i = 0; i < 4000; i++)
        (void)get(space, at + random_below(&random, 1000) * PAGE_SIZE);
    expect_words(space, 1000);
    assert_true(swap_now().read_requests - requests < 1000 / 6);
    assert_int_equal(swap.ahead.group, SWAP_CLUSTER);
    assert_int_equal(page_out(space, at, 1000), 1000);
    (void)read_in_vain(&random, 150);
    assert_int_equal(swap.ahead.group, 1);
    assert_true(read_in_vain(&random, 200) < 200 + 200 / 32 * 4 + 40);
    expect_words(space, 1000);
    end_scene();
}

/* What is mapped ahead and not used goes as it came, without being written. */
static void unused_pages_go_unwritten(void **state)
{
    uint64_t outs;

    scene(100);
    assert_int_equal(page_out(space, at, 100), 100);
    expect_words(space, 40);
    outs = swap_now().page_outs;
    assert_int_equal(page_out(space, at, 100), (int)(swap_now().page_ins));
    assert_int_equal(swap_now().page_outs, outs);
    assert_true(swap_now().read_ahead_hits < swap_now().read_ahead);
    put(space, at, 1);
    expect_words(space, 100);
    end_scene();
}

/* ------------------------------------------------------------------ huge pages */

static void huge_pages_leave_in_pieces(void **state)
{
    struct space *child;

    space = new_space();
    at = map_at(space, 0x40000000, 1024, RW, 0);
    for (uint64_t i = 0; i < 1024; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
    assert_int_equal(vm_stats.fault_huge, 2);
    child = fork_of(space);
    put(child, 0x40000000 + HUGE_SIZE, 513); /* one is split already, one is in two tables */
    put(space, 0x40000000 + HUGE_SIZE, 513);
    assert_true(space_split_huge(space) >= 1);
    assert_int_equal(space_split_huge(child), 0);
    check_all(child);
    assert_int_equal(page_out(space, at, 1024), 1024);
    check_swap(space);
    expect_words(space, 1024);
    expect_words(child, 1024);
    space_unref(child);
    end_scene();
}

/* ------------------------------------------------------------------ without memory */

/* Every allocation that an operation on swapped pages needs fails once; then the pages are what they were. */
static void try_each(enum status (*operate)(void))
{
    bool struck = true;

    for (unsigned attempt = 1; struck; attempt++) {
        enum status status;

        scene(40);
        assert_int_equal(page_out(space, at, 40), 40);
        other = fork_of(space);
        assert_int_equal(get(other, at + 30 * PAGE_SIZE), 31);
        frames_fail_after(attempt);
        status = operate();
        struck = frames_fail_after(0) == 0;
        assert_true(status == ST_OK || (struck && status == ST_NO_MEMORY));
        check_swap(space);
        check_swap(other);
        if (status == ST_NO_MEMORY)
            expect_words(space, 40);
        expect_words(other, 40);
        space_unref(other);
        end_scene();
        assert_int_equal(swap_now().used, 0);
    }
}

static enum status read_one(void)
{
    return try_get(space, at + 5 * PAGE_SIZE);
}

static enum status write_one(void)
{
    return try_put(space, at + 5 * PAGE_SIZE, 6);
}

static enum status write_a_cached_one(void)
{
    return try_put(space, at + 30 * PAGE_SIZE, 31);
}

static enum status read_all(void)
{
    enum status status = ST_OK;

    for (uint64_t i = 0; i < 40 && status == ST_OK; i++)
        status = try_get(space, at + i * PAGE_SIZE);
    return status;
}

static enum status unmap_some(void)
{
    enum status status = space_unmap(space, vaddr(at + 3 * PAGE_SIZE), 4 * PAGE_SIZE);

    if (status == ST_OK)
        assert_ok(try_map(space, NULL, 0, at + 3 * PAGE_SIZE, 4, RW, SPACE_FIXED, NULL));
    return status;
}

static enum status move_some(void)
{
    struct vaddr out;

    return space_move(space, vaddr(at + 20 * PAGE_SIZE), 20 * PAGE_SIZE, 20 * PAGE_SIZE,
                      SPACE_MAY_MOVE | SPACE_MOVE_FIXED, vaddr(0x200000001000), &out);
}

static enum status page_out_again(void)
{
    enum status status = read_all();

    (void)page_out(space, at, 40);
    return status;
}

static void without_memory(void **state)
{
    try_each(read_one);
    try_each(write_one);
    try_each(write_a_cached_one);
    try_each(read_all);
    try_each(unmap_some);
    try_each(move_some);
    try_each(page_out_again);
}

/* No frame even for descriptors of slots: pages stay. */
static void no_memory_for_slots(void **state)
{
    scene(4);
    frames_fail_after(1);
    assert_int_equal(page_out(space, at, 4), 0);
    assert_true(frames_fail_after(0) == 0);
    expect_words(space, 4);
    assert_int_equal(page_out(space, at, 4), 4);
    expect_words(space, 4);
    end_scene();
}

/* ------------------------------------------------------------------ what is left when all have ended */

static void leak(enum frame_use use, const char *what)
{
    struct frame *frame = frame_alloc(0, use, FRAME_ZERO);

    assert_string_equal(vm_left_over(), what);
    frame_free(frame);
    assert_null(vm_left_over());
}

/* Pages of an object may stay in swap, and in frames that were read ahead, when nobody maps them any more. */
static void what_is_left_over(void **state)
{
    struct object *object = object_create(NULL, NULL, 30 * PAGE_SIZE);

    space = new_space();
    at = map_object(space, object, 0, 30, RW, SPACE_SHARED);
    for (uint64_t i = 0; i < 30; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
    assert_int_equal(page_out(space, at, 30), 30);
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(get(space, at + i * PAGE_SIZE), i + 1);
    assert_true(swap_unmapped_frames() > 0);
    vm_check_all();
    assert_string_equal(vm_left_over(), "a space is left");
    space_unref(space);
    assert_null(vm_left_over());
    leak(FRAME_ANON, "private frames are left");
    leak(FRAME_FILE, "frames are left that no object has");
    leak(FRAME_TABLE, "page tables are left");
    object_hold_pages(object, 1);
    assert_string_equal(vm_left_over(), "an object counts pages that entries refer to");
    object_release_pages(object, 1);
    vm_check_all();
    object_unref(object);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_swap, end_swap)
    const struct CMUnitTest tests[] = {
        CASE(pages_leave_and_come_back),
        CASE(pages_leave_when_they_are_told_to),
        CASE(a_clean_page_is_not_written_again),
        CASE(a_changed_page_is_written_again),
        CASE(a_change_at_the_last_moment),
        CASE(a_copy_by_the_kernel_is_a_change),
        CASE(changes_are_known_through_protection),
        CASE(a_write_lets_the_slot_go),
        CASE(zeroes_are_never_written),
        CASE(taken_back_before_it_is_written),
        CASE(needed_while_it_is_written),
        CASE(pinned_pages_stay),
        CASE(unmapped_during_the_read),
        CASE(two_faults_on_one_page),
        CASE(exit_during_the_read),
        CASE(shared_pages_are_written_and_read_once),
        CASE(a_fork_of_swapped_pages),
        CASE(changes_are_known_through_a_fork),
        CASE(the_last_mapping_takes_the_frame_over),
        CASE(operations_on_swapped_pages),
        CASE(a_page_without_access_can_leave),
        CASE(copies_of_file_pages),
        CASE(shared_anonymous_memory),
        CASE(truncated_while_it_is_written),
        CASE(private_mappings_of_shared_pages),
        CASE(what_is_left_over),
        cmocka_unit_test_setup_teardown(a_full_swap, boot_swap_40, end_swap),
        CASE(a_page_that_cannot_be_written_stays),
        CASE(a_store_that_is_full),
        CASE(a_page_that_cannot_be_read),
        CASE(an_object_that_cannot_be_read),
        CASE(rows_are_read_ahead),
        CASE(reading_around_is_learnt),
        CASE(unused_pages_go_unwritten),
        cmocka_unit_test_setup_teardown(huge_pages_leave_in_pieces, boot_swap_64m, end_swap),
        CASE(without_memory),
        CASE(no_memory_for_slots),
    };

    return cmocka_run_group_tests_name("swap", tests, NULL, NULL);
}
