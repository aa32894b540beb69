/*
 * fork: private pages copied on write, tables shared until one side changes them, shared pages shared.
 */
#include "vm_support.h"

#include "vm/rmap.h"

enum { PAGES = 600 }; /* more than one leaf table */

static struct space *fork_of(struct space *parent)
{
    struct space *child;

    assert_ok(space_fork(parent, &child));
    return child;
}

static uint64_t touched(struct space *space, uint64_t pages)
{
    uint64_t at = map_anon(space, pages, RW);

    assert_ok(space_advise(space, vaddr(at), pages * PAGE_SIZE, ADVICE_NO_HUGE));
    for (uint64_t i = 0; i < pages; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
    return at;
}

static void both_sides_keep_their_own(void **state)
{
    struct space *parent = new_space(), *child;
    uint64_t at = touched(parent, PAGES);

    child = fork_of(parent);
    check_all(parent);
    check_all(child);
    for (uint64_t i = 0; i < PAGES; i += 3)
        put(parent, at + i * PAGE_SIZE, 10000 + i);
    for (uint64_t i = 0; i < PAGES; i += 2)
        put(child, at + i * PAGE_SIZE, 20000 + i);
    for (uint64_t i = 0; i < PAGES; i++) {
        assert_int_equal(get(parent, at + i * PAGE_SIZE), i % 3 == 0 ? 10000 + i : i + 1);
        assert_int_equal(get(child, at + i * PAGE_SIZE), i % 2 == 0 ? 20000 + i : i + 1);
    }
    check_all(parent);
    check_all(child);
    space_unref(parent);
    for (uint64_t i = 0; i < PAGES; i++)
        assert_int_equal(get(child, at + i * PAGE_SIZE), i % 2 == 0 ? 20000 + i : i + 1);
    check_all(child);
    space_unref(child);
}

static void a_fork_costs_no_walk(void **state)
{
    struct space *parent = new_space(), *child;
    uint64_t before;

    touched(parent, 4000);
    before = frames_free();
    child = fork_of(parent);
    assert_true(before - frames_free() <= 4);
    assert_true(vm_stats.table_copies <= 2); /* the ones above the leaf tables */
    space_unref(child);
    check_all(parent);
    space_unref(parent);
}

/* `count` touched pages, each in a leaf table of its own. */
static uint64_t touched_apart(struct space *space, unsigned count, uint64_t distance)
{
    const uint64_t start = 0x40000000;

    for (unsigned i = 0; i < count; i++) {
        uint64_t at = start + i * distance;

        assert_ok(try_map(space, NULL, 0, at, 2, RW, SPACE_FIXED, NULL));
        put(space, at, i + 1);
    }
    return start;
}

/* Upper tables are copied at once where they have few entries, and shared where they have many. */
static void how_many_upper_tables_a_fork_copies(unsigned leaf_tables, uint64_t copies, uint64_t shares)
{
    struct space *parent = new_space(), *child;
    const uint64_t distance = 512 * PAGE_SIZE; /* all below one table of level 2 */
    uint64_t at = touched_apart(parent, leaf_tables, distance);

    child = fork_of(parent);
    assert_int_equal(vm_stats.table_copies, copies);
    assert_int_equal(vm_stats.table_shares, shares);
    check_all(parent);
    check_all(child);
    put(parent, at, 10);
    put(child, at + (leaf_tables - 1) * distance, 20);
    for (unsigned i = 0; i < leaf_tables; i++) {
        assert_int_equal(get(parent, at + i * distance), i == 0 ? 10 : i + 1);
        assert_int_equal(get(child, at + i * distance), i == leaf_tables - 1 ? 20 : i + 1);
    }
    check_all(parent);
    check_all(child);
    space_unref(parent);
    check_all(child);
    space_unref(child);
}

static void few_upper_entries_are_copied_at_once(void **state)
{
    how_many_upper_tables_a_fork_copies(8, 2, 8);
}

static void many_upper_entries_are_shared(void **state)
{
    how_many_upper_tables_a_fork_copies(9, 1, 1);
}

/* One change makes only the tables on its way the space's own, however few entries their neighbours have. */
static void a_wide_table_is_copied_alone(void **state)
{
    struct space *parent = new_space(), *child;
    uint64_t at = touched_apart(parent, 9, 512 * 512 * PAGE_SIZE); /* below tables of level 2 of their own */

    child = fork_of(parent);
    assert_int_equal(vm_stats.table_copies, 0);
    put(parent, at, 10);
    assert_int_equal(vm_stats.table_copies, 3);
    assert_int_equal(get(child, at), 1);
    check_all(parent);
    check_all(child);
    space_unref(child);
    check_all(parent);
    space_unref(parent);
}

/* A child of the child, while tables are still shared with the parent. */
static void a_fork_of_a_fork(void **state)
{
    struct space *parent = new_space(), *child, *grandchild;
    uint64_t at = touched(parent, 10);

    child = fork_of(parent);
    grandchild = fork_of(child);
    put(child, at, 5);
    assert_int_equal(get(parent, at), 1);
    assert_int_equal(get(grandchild, at), 1);
    check_all(parent);
    check_all(child);
    check_all(grandchild);
    space_unref(parent);
    put(grandchild, at + PAGE_SIZE, 6);
    assert_int_equal(get(child, at + PAGE_SIZE), 2);
    check_all(grandchild);
    space_unref(child);
    check_all(grandchild);
    space_unref(grandchild);
}

static void the_last_owner_reuses(void **state)
{
    struct space *parent = new_space(), *child;
    uint64_t at = touched(parent, 10), copies, reuses;

    child = fork_of(parent);
    space_unref(parent);
    copies = vm_stats.fault_copy;
    reuses = vm_stats.fault_reuse;
    for (uint64_t i = 0; i < 10; i++)
        put(child, at + i * PAGE_SIZE, 5);
    assert_int_equal(vm_stats.fault_copy, copies);
    (void)reuses; /* a table that only one space has left may be made writable as a whole */
    check_all(child);
    space_unref(child);
}

static void one_copies_the_other_reuses(void **state)
{
    struct space *parent = new_space(), *child;
    uint64_t at = touched(parent, 10), copies = vm_stats.fault_copy;

    child = fork_of(parent);
    put(parent, at, 7);
    assert_int_equal(vm_stats.fault_copy, copies + 1);
    put(child, at, 8);
    assert_int_equal(vm_stats.fault_copy, copies + 1);
    assert_int_equal(get(parent, at), 7);
    assert_int_equal(get(child, at), 8);
    check_all(parent);
    check_all(child);
    space_unref(parent);
    space_unref(child);
}

static void translations_of_the_parent_are_flushed(void **state)
{
    struct space *parent = new_space(), *child;
    uint64_t at = touched(parent, 4);

    put(parent, at, 1); /* now writable in the TLB */
    child = fork_of(parent);
    put(parent, at, 2);
    assert_int_equal(get(child, at), 1);
    space_unref(child);
    space_unref(parent);
}

static void count_visit(struct frame *frame, struct pt_entry *entry, void *context)
{
    assert_ptr_equal(frame_at(pt_entry_paddr(*entry)), frame);
    ++*(unsigned *)context;
}

/* Spaces that have a leaf table of their own each, and one page in common. */
static void all_entries_of_a_frame_are_found(void **state)
{
    enum { MOST = 20 };
    struct space *spaces[MOST];
    struct frame *frame;
    uint64_t at;

    spaces[0] = new_space();
    at = touched(spaces[0], 40);
    for (unsigned i = 1; i < MOST; i++) {
        spaces[i] = fork_of(spaces[0]);
        put(spaces[i], at + PAGE_SIZE, i);
    }
    assert_ok(space_pin(spaces[0], vaddr(at), ACCESS_READ, &frame));
    for (unsigned left = MOST; left > 0; left--) {
        unsigned found = 0;

        rmap_walk(frame, count_visit, &found);
        assert_int_equal(found, left);
        assert_int_equal(frame_mapcount(frame), left);
        space_unref(spaces[left - 1]);
    }
    frame_unref(frame);
}

static void generations(void **state)
{
    enum { GENERATIONS = 12 };
    struct space *spaces[GENERATIONS];
    uint64_t at;

    spaces[0] = new_space();
    at = touched(spaces[0], 40);
    for (unsigned i = 1; i < GENERATIONS; i++) {
        spaces[i] = fork_of(spaces[i - 1]);
        put(spaces[i], at + i * PAGE_SIZE, 1000 + i);
        put(spaces[i - 1], at + 39 * PAGE_SIZE, 2000 + i);
    }
    for (unsigned i = 0; i < GENERATIONS; i++) {
        for (unsigned page = 1; page < 20; page++)
            assert_int_equal(get(spaces[i], at + page * PAGE_SIZE),
                             page <= i && page < GENERATIONS ? 1000 + page : page + 1);
        check_all(spaces[i]);
    }
    for (unsigned i = 0; i < GENERATIONS; i += 2)
        space_unref(spaces[i]);
    for (unsigned i = 1; i < GENERATIONS; i += 2) {
        check_all(spaces[i]);
        put(spaces[i], at, i);
        assert_int_equal(get(spaces[i], at), i);
    }
    for (unsigned i = 1; i < GENERATIONS; i += 2)
        space_unref(spaces[i]);
}

static void changes_after_a_fork_do_not_reach_the_other(void **state)
{
    struct space *parent = new_space(), *child;
    uint64_t at = touched(parent, PAGES);
    struct vaddr out;

    child = fork_of(parent);
    unmap(child, at + 10 * PAGE_SIZE, 20);
    assert_ok(space_protect(parent, vaddr(at + 100 * PAGE_SIZE), 10 * PAGE_SIZE, ACCESS_READ));
    assert_ok(space_advise(child, vaddr(at + 200 * PAGE_SIZE), 10 * PAGE_SIZE, ADVICE_DONT_NEED));
    assert_ok(space_move(parent, vaddr(at + 300 * PAGE_SIZE), 10 * PAGE_SIZE, 10 * PAGE_SIZE,
                         SPACE_MAY_MOVE | SPACE_MOVE_FIXED, vaddr(0x10000000), &out));
    check_all(parent);
    check_all(child);
    for (uint64_t i = 0; i < PAGES; i++) {
        bool moved = i >= 300 && i < 310, gone = i >= 10 && i < 30, zero = i >= 200 && i < 210;

        if (moved)
            assert_status(try_get(parent, at + i * PAGE_SIZE), ST_NOT_MAPPED);
        else
            assert_int_equal(get(parent, at + i * PAGE_SIZE), i + 1);
        if (gone)
            assert_status(try_get(child, at + i * PAGE_SIZE), ST_NOT_MAPPED);
        else
            assert_int_equal(get(child, at + i * PAGE_SIZE), zero ? 0 : i + 1);
    }
    assert_int_equal(get(parent, 0x10000000 + 5 * PAGE_SIZE), 306);
    assert_status(try_put(parent, at + 105 * PAGE_SIZE, 1), ST_DENIED);
    put(child, at + 105 * PAGE_SIZE, 1);
    assert_int_equal(get(parent, at + 105 * PAGE_SIZE), 106);
    space_unref(parent);
    check_all(child);
    space_unref(child);
}

/* A whole leaf table can move; one that is shared must not. */
static void whole_tables_move_after_a_fork(void **state)
{
    struct space *parent = new_space(), *child;
    uint64_t at = map_at(parent, 0x40000000, 512, RW, 0);
    struct vaddr out;

    assert_ok(space_advise(parent, vaddr(at), HUGE_SIZE, ADVICE_NO_HUGE));
    for (uint64_t i = 0; i < 512; i += 5)
        put(parent, at + i * PAGE_SIZE, i + 1);
    child = fork_of(parent);
    assert_ok(space_move(parent, vaddr(at), HUGE_SIZE, HUGE_SIZE, SPACE_MAY_MOVE | SPACE_MOVE_FIXED,
                         vaddr(0x50000000), &out));
    check_all(parent);
    check_all(child);
    put(parent, 0x50000000, 99);
    for (uint64_t i = 5; i < 512; i += 5) {
        assert_int_equal(get(parent, 0x50000000 + i * PAGE_SIZE), i + 1);
        assert_int_equal(get(child, at + i * PAGE_SIZE), i + 1);
    }
    assert_int_equal(get(child, at), 1);
    unmap(child, at, 100);
    put(child, at + 105 * PAGE_SIZE, 7);
    assert_int_equal(get(parent, 0x50000000 + 105 * PAGE_SIZE), 106);
    check_all(parent);
    check_all(child);
    space_unref(parent);
    check_all(child);
    space_unref(child);
}

static void huge_pages_are_shared_and_copied(void **state)
{
    struct space *parent = new_space(), *child;
    uint64_t at = map_at(parent, 0x40000000, HUGE_SIZE / PAGE_SIZE, RW, 0);

    for (uint64_t i = 0; i < 512; i++)
        put(parent, at + i * PAGE_SIZE, i);
    assert_int_equal(vm_stats.fault_huge, 1);
    child = fork_of(parent);
    put(child, at + 100 * PAGE_SIZE, 7777);
    put(parent, at + 101 * PAGE_SIZE, 8888);
    for (uint64_t i = 0; i < 512; i++) {
        assert_int_equal(get(parent, at + i * PAGE_SIZE), i == 101 ? 8888 : i);
        assert_int_equal(get(child, at + i * PAGE_SIZE), i == 100 ? 7777 : i);
    }
    check_all(parent);
    check_all(child);
    unmap(child, at + 50 * PAGE_SIZE, 3);
    assert_int_equal(get(parent, at + 51 * PAGE_SIZE), 51);
    check_all(child);
    space_unref(parent);
    space_unref(child);
}

static void files_through_a_fork(void **state)
{
    struct store *store = store_create(40 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *parent = new_space(), *child;
    uint64_t private = map_object(parent, object, 0, 40, RW, 0);
    uint64_t shared = map_object(parent, object, 0, 40, RW, SPACE_SHARED);

    put(parent, private, 100);
    put(parent, shared + PAGE_SIZE, 200);
    assert_int_equal(get(parent, private + 5 * PAGE_SIZE), 6);
    child = fork_of(parent);
    put(child, private, 101);
    put(child, private + 5 * PAGE_SIZE, 105);
    put(child, shared + 2 * PAGE_SIZE, 202);
    assert_int_equal(get(parent, private), 100);
    assert_int_equal(get(parent, private + 5 * PAGE_SIZE), 6);
    assert_int_equal(get(parent, shared + 2 * PAGE_SIZE), 202);
    assert_int_equal(get(child, shared + PAGE_SIZE), 200);
    check_all(parent);
    check_all(child);
    space_unref(parent);
    object_unref(object);
    assert_int_equal(get(child, shared + 2 * PAGE_SIZE), 202);
    space_unref(child);
    assert_int_equal(store_word(store, 1), 200);
    assert_int_equal(store_word(store, 2), 202);
    assert_int_equal(store_word(store, 5), 6);
    store_end(store);
}

static void truncation_reaches_shared_tables(void **state)
{
    struct store *store = store_create(20 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *parent = new_space(), *child;
    uint64_t at = map_object(parent, object, 0, 20, ACCESS_READ, 0);

    for (uint64_t i = 0; i < 20; i++)
        get(parent, at + i * PAGE_SIZE);
    child = fork_of(parent);
    assert_ok(object_resize(object, 5 * PAGE_SIZE));
    assert_status(try_get(child, at + 7 * PAGE_SIZE), ST_BEYOND_END);
    assert_status(try_get(parent, at + 7 * PAGE_SIZE), ST_BEYOND_END);
    assert_int_equal(get(child, at + 4 * PAGE_SIZE), 5);
    check_all(parent);
    check_all(child);
    space_unref(parent);
    space_unref(child);
    store->size = 5 * PAGE_SIZE;
    object_unref(object);
    store_end(store);
}

static void forks_without_end(void **state)
{
    struct space *parent = new_space();
    uint64_t at = touched(parent, 30), before;

    settle();
    before = frames_free();
    for (uint64_t life = 0; life < 1000; life++) {
        struct space *child = fork_of(parent);

        put(child, at + life % 30 * PAGE_SIZE, life);
        put(parent, at + (life + 1) % 30 * PAGE_SIZE, life);
        assert_int_equal(get(child, at + life % 30 * PAGE_SIZE), life);
        space_unref(child);
    }
    settle();
    assert_int_equal(frames_free(), before);
    check_all(parent);
    space_unref(parent);
}

static void the_break_is_inherited(void **state)
{
    struct space *parent = new_space(), *child;

    space_init_break(parent, vaddr(0x600000));
    assert_int_equal(space_set_break(parent, vaddr(0x610000)).v, 0x610000);
    put(parent, 0x60f000, 9);
    child = fork_of(parent);
    assert_int_equal(space_set_break(child, vaddr(0)).v, 0x610000);
    assert_int_equal(space_set_break(child, vaddr(0x608000)).v, 0x608000);
    assert_int_equal(get(parent, 0x60f000), 9);
    space_unref(parent);
    space_unref(child);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_vm_64m, end_vm)
    const struct CMUnitTest tests[] = {
        CASE(both_sides_keep_their_own),
        CASE(a_fork_costs_no_walk),
        CASE(few_upper_entries_are_copied_at_once),
        CASE(many_upper_entries_are_shared),
        CASE(a_wide_table_is_copied_alone),
        CASE(a_fork_of_a_fork),
        CASE(the_last_owner_reuses),
        CASE(one_copies_the_other_reuses),
        CASE(translations_of_the_parent_are_flushed),
        CASE(all_entries_of_a_frame_are_found),
        CASE(generations),
        CASE(changes_after_a_fork_do_not_reach_the_other),
        CASE(whole_tables_move_after_a_fork),
        CASE(huge_pages_are_shared_and_copied),
        CASE(files_through_a_fork),
        CASE(truncation_reaches_shared_tables),
        CASE(forks_without_end),
        CASE(the_break_is_inherited),
    };

    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
