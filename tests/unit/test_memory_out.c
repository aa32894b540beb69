/*
 * The end of all memory (src/vm/floor.h): with swap full, a store that takes no more, or no swap at all, a
 * program that wants more is told so within few faults, while the last pages of files stay in memory; what
 * becomes free is used again; a member at its maximum is told so, and costs nobody else a page.
 *
 * Every loop here has an end of its own, so that a program that is never told fails the case.
 */
#include "swap_support.h"

#include "vm/floor.h"

enum {
    TEXT = 300,      /* pages of the program's file: more than are kept */
    PROMISED = 6000, /* pages that it maps: three times the machine */
    KEPT_LEAST = 50, /* of a machine of 8 MiB, a 1/32 */
    KEPT_MOST = 64,
    IN_USE = 8, /* pages of text that most programs here run through */
    SOME_SLOTS = 2000
};

struct program {
    struct space *space;
    struct store *store;
    struct object *object;
    uint64_t text, data;
    uint64_t wrote; /* pages of its data */
};

static struct reclaim_report look_at_all(void)
{
    struct reclaim_report report;

    reclaim_look(&report);
    return report;
}

static struct program program_begin(uint64_t text)
{
    struct program program = {.space = new_space(), .store = store_create(text * PAGE_SIZE)};

    program.object = store_object(program.store);
    program.text = map_object(program.space, program.object, 0, text, RX, 0);
    program.data = map_anon(program.space, PROMISED, RW);
    return program;
}

static void program_end(struct program *program)
{
    check_swap(program->space);
    space_unref(program->space);
    object_unref(program->object);
    store_end(program->store);
}

/* Runs through pages of its text, and writes a page of its data. */
static enum status step(struct program *program, uint64_t text)
{
    enum status status = ST_OK;

    for (uint64_t page = 0; status == ST_OK && page < text; page++)
        status = try_get(program->space, program->text + page * PAGE_SIZE);
    if (status == ST_OK)
        status = try_put(program->space, program->data + program->wrote * PAGE_SIZE, program->wrote + 1);
    program->wrote += status == ST_OK;
    return status;
}

/* Until memory is out. */
static void run_out(struct program *program, uint64_t text)
{
    enum status status;

    while ((status = step(program, text)) == ST_OK)
        assert_true(program->wrote < PROMISED);
    assert_status(status, ST_NO_MEMORY);
}

static void expect_data(struct program *program, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++)
        assert_int_equal(get(program->space, program->data + i * PAGE_SIZE), i + 1);
}

/* What it runs is in memory: it can, without a fault that reads. */
static void expect_kept(struct program *program, uint64_t least, uint64_t most)
{
    uint64_t reads = program->store->pages_read;

    assert_in_range(object_resident(program->object), least, most);
    assert_in_range(floor_files(), least, most);
    assert_status(step(program, IN_USE), ST_NO_MEMORY);
    assert_true(program->store->pages_read - reads <= 8); /* once more at most: they may not be the last */
    reads = program->store->pages_read;
    for (unsigned i = 0; i < 100; i++)
        assert_status(step(program, IN_USE), ST_NO_MEMORY);
    assert_int_equal(program->store->pages_read, reads);
}

/* It is told, after at least `room` pages more than memory, and at least `kept` pages of its file stay. */
static void one_program(uint64_t room, uint64_t kept)
{
    struct program program = program_begin(TEXT);

    assert_ok(step(&program, TEXT));
    run_out(&program, IN_USE);
    assert_true(program.wrote >= room + 1500);
    expect_kept(&program, kept, KEPT_MOST + 8);
    check_swap(program.space);
    program_end(&program);
}

static void swap_is_full(void **state)
{
    one_program(40, IN_USE);
}

static void there_is_no_swap(void **state)
{
    one_program(0, KEPT_LEAST);
}

static void the_store_is_full(void **state)
{
    swap_test.full = true;
    one_program(0, IN_USE);
}

/* As compressed memory: what does not pack finds no room. Far more such pages in a row than a batch has hide
 * none that does. */
static void the_store_refuses_some(void **state)
{
    struct program program = program_begin(TEXT);

    swap_test.refuse_from = 1;
    swap_test.refuse_below = 1001; /* by their first word: the first thousand pages */
    assert_ok(step(&program, TEXT));
    run_out(&program, IN_USE);
    assert_true(program.wrote >= 2800);
    assert_int_equal(swap_now().used, SOME_SLOTS);
    expect_kept(&program, IN_USE, KEPT_MOST + 8);
    swap_test.refuse_below = 0;
    expect_data(&program, program.wrote);
    program_end(&program);
}

/* A program that works with more of its text than is kept comes to the end, too, and not by way of reading
 * each page thousands of times. */
static void more_text_than_is_kept(void **state)
{
    struct program program = program_begin(TEXT);

    run_out(&program, 100);
    assert_true(program.store->pages_read < (uint64_t)100 * program.wrote / 4);
    expect_kept(&program, KEPT_LEAST, KEPT_MOST + 100);
    program_end(&program);
}

/* Another one ends: there is memory and swap again, and what was written is there. */
static void others_go_on(void **state)
{
    struct program small = program_begin(TEXT), large = program_begin(TEXT);
    uint64_t wrote;

    for (unsigned i = 0; i < 200; i++)
        assert_ok(step(&small, IN_USE));
    run_out(&large, IN_USE);
    program_end(&large);
    wrote = small.wrote;
    expect_data(&small, wrote);
    while (small.wrote < wrote + 1200)
        assert_ok(step(&small, IN_USE));
    expect_data(&small, small.wrote);
    program_end(&small);
}

/* Slots that come free one by one are not the room that lets batches of text go, not even of text that was
 * not used for long. */
static void one_slot_is_not_room(void **state)
{
    struct program program = program_begin(TEXT);

    run_out(&program, 100);
    assert_true(object_resident(program.object) >= KEPT_LEAST);
    for (uint64_t i = 0; i < 1500; i++) {
        unmap(program.space, program.data + i * PAGE_SIZE, 1);
        (void)!step(&program, 0);
    }
    assert_true(object_resident(program.object) >= KEPT_LEAST);
    program_end(&program);
}

/* ------------------------------------------------------------------ at a maximum */

/* A member that has its maximum and cannot give is told, though memory is plentiful; its own last pages of
 * files stay, and nobody else loses anything. */
static void a_member_at_its_maximum(void **state)
{
    struct program other = program_begin(TEXT), bound = program_begin(TEXT);
    uint32_t member = member_create();
    struct member_report look;
    uint64_t reads;

    for (unsigned i = 0; i < 50; i++)
        assert_ok(step(&other, TEXT));
    assert_true(member_count_all(member));
    space_set_member(bound.space, member);
    member_set_bounds(member, UINT64_MAX, 400);
    run_out(&bound, IN_USE);
    assert_true(member_look(member, &look));
    assert_in_range(look.frames, 380, 440);
    assert_true(look.starved > 0);
    reads = bound.store->pages_read;
    for (unsigned i = 0; i < 100; i++)
        (void)!step(&bound, IN_USE);
    assert_true(bound.store->pages_read - reads <= 8);
    assert_int_equal(object_resident(other.object), TEXT);
    assert_int_equal(look_at_all().direct, look.evicted);
    program_end(&bound);
    member_unref(member);
    program_end(&other);
}

/* One fault after another, as an instruction has them that needs both pages at once, until both are there. */
static enum status touch_both(struct space *space, uint64_t one, uint64_t other)
{
    enum status status = ST_OK;

    for (unsigned i = 0; i < 1000 && status == ST_OK; i++) {
        if (is_resident(space, one) && is_resident(space, other))
            return ST_OK;
        status = space_fault(space, vaddr(is_resident(space, one) ? other : one), ACCESS_READ);
    }
    return status == ST_OK ? ST_RETRY : status;
}

/* Nearly nothing of a member's at its maximum can go, because the store refuses it: with the few pages that
 * can it goes on, and does not evict each as soon as it has come; or it is told. */
static void a_member_that_can_give_little(void **state)
{
    enum { CLEAN = 40, MAXIMUM = 64, OTHERS = 1300 };
    struct space *other_space = new_space();
    struct space *space;
    uint32_t member;
    uint64_t clean, data, others = map_anon(other_space, OTHERS, RW), wrote = 0;
    struct member_report look;

    assert_ok(reclaim_configure(policy_find("aging", 5), NULL, NULL));
    space = new_space();
    member = member_create();
    clean = map_anon(space, CLEAN, RW);
    data = map_anon(space, PROMISED, RW);
    assert_true(member_count_all(member));
    space_set_member(space, member);
    member_set_bounds(member, UINT64_MAX, MAXIMUM);
    for (uint64_t i = 0; i < CLEAN; i++)
        put(space, clean + i * PAGE_SIZE, i + 1);
    assert_int_equal(page_out(space, clean, CLEAN), CLEAN);
    for (uint64_t i = 0; i < OTHERS; i++)
        put(other_space, others + i * PAGE_SIZE, i + 1);
    swap_test.full = true;
    while (wrote < MAXIMUM && try_put(space, data + wrote * PAGE_SIZE, 1) == ST_OK)
        wrote++;
    assert_in_range(wrote, MAXIMUM - 8, MAXIMUM);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t one = i % CLEAN, other = (i + 1 + i / CLEAN) % CLEAN;
        enum status status = touch_both(space, clean + one * PAGE_SIZE, clean + other * PAGE_SIZE);

        assert_true(status == ST_OK || status == ST_NO_MEMORY);
    }
    assert_true(member_look(member, &look));
    assert_in_range(look.frames_peak, MAXIMUM, MAXIMUM + CLEAN);
    swap_test.full = false;
    for (uint64_t i = 0; i < CLEAN; i++)
        assert_int_equal(get(space, clean + i * PAGE_SIZE), i + 1);
    check_swap(space);
    space_unref(space);
    space_unref(other_space);
    member_unref(member);
}

static int boot_swap_some(void **state)
{
    int result = boot_vm_8m(state);

    swap_test_begin(SOME_SLOTS);
    note_free_frames();
    return result;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_swap_40, end_swap)
    const struct CMUnitTest tests[] = {
        CASE(swap_is_full),
        cmocka_unit_test_setup_teardown(there_is_no_swap, boot_vm_8m, end_vm),
        cmocka_unit_test_setup_teardown(the_store_is_full, boot_swap, end_swap),
        cmocka_unit_test_setup_teardown(the_store_refuses_some, boot_swap_some, end_swap),
        CASE(more_text_than_is_kept),
        CASE(others_go_on),
        CASE(one_slot_is_not_room),
        cmocka_unit_test_setup_teardown(a_member_at_its_maximum, boot_vm_8m, end_vm),
        cmocka_unit_test_setup_teardown(a_member_that_can_give_little, boot_swap, end_swap),
    };

    return cmocka_run_group_tests_name("memory-out", tests, NULL, NULL);
}
