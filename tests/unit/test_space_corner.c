/*
 * Address spaces, the corners: pages mapped by many, huge pages without access, tables shared high up,
 * address space that is nearly full, mappings that may never be written, the kernel's half.
 */
#include "swap_support.h"

#include "pt/fmt/x86_64.h"

enum { MANY = 9 };

/* A file's page that many spaces map leaves all of them, and comes back. */
static void pages_mapped_by_many(void **state)
{
    struct store *store = store_create(40 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *spaces[MANY];
    uint64_t at[MANY];

    for (unsigned i = 0; i < MANY; i++) {
        spaces[i] = new_space();
        at[i] = map_object(spaces[i], object, 0, 40, RW, i % 2 != 0 ? SPACE_SHARED : 0);
        for (uint64_t page = 0; page < 40; page++)
            assert_int_equal(get(spaces[i], at[i] + page * PAGE_SIZE), page + 1);
    }
    put(spaces[1], at[1] + 7 * PAGE_SIZE, 77);
    assert_true(reclaim(100) > 0);
    assert_true(reclaim(100) + object_resident(object) <= 40);
    for (unsigned i = 0; i < MANY; i++) {
        check_all(spaces[i]);
        for (uint64_t page = 0; page < 40; page++)
            assert_int_equal(get(spaces[i], at[i] + page * PAGE_SIZE), page == 7 ? 77 : page + 1);
    }
    assert_ok(object_sync(object, 0, 40)); /* takes W from all */
    put(spaces[3], at[3] + 7 * PAGE_SIZE, 78);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(get(spaces[i], at[i] + 7 * PAGE_SIZE), 78);
    for (unsigned i = 0; i < MANY; i += 3)
        space_unref(spaces[i]);
    assert_ok(object_resize(object, 5 * PAGE_SIZE));
    for (unsigned i = 0; i < MANY; i++) {
        if (i % 3 == 0)
            continue;
        check_all(spaces[i]);
        assert_status(try_get(spaces[i], at[i] + 7 * PAGE_SIZE), ST_BEYOND_END);
        assert_int_equal(get(spaces[i], at[i] + 4 * PAGE_SIZE), 5);
        space_unref(spaces[i]);
    }
    store->size = 5 * PAGE_SIZE;
    object_unref(object);
    store_end(store);
}

/* An anonymous page that many children share. */
static void anonymous_pages_of_many_children(void **state)
{
    struct space *parent = new_space(), *children[MANY];
    uint64_t at = map_anon(parent, 4, RW);

    put(parent, at, 5);
    for (unsigned i = 0; i < MANY; i++) {
        assert_ok(space_fork(parent, &children[i]));
        put(children[i], at + PAGE_SIZE, i); /* makes the table its own, so that the page is mapped by many */
    }
    check_all(parent);
    for (unsigned i = 0; i < MANY; i += 2) {
        put(children[i], at, 100 + i);
        check_all(children[i]);
    }
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(get(children[i], at), i % 2 == 0 ? 100 + i : 5);
    assert_int_equal(get(parent, at), 5);
    for (unsigned i = 0; i < MANY; i++)
        space_unref(children[i]);
    put(parent, at, 6);
    check_all(parent);
    space_unref(parent);
}

static void huge_pages_without_access(void **state)
{
    struct space *space = new_space(), *child;
    uint64_t at = map_at(space, 0x40000000, 512, RW, 0);

    for (uint64_t i = 0; i < 512; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
    assert_int_equal(vm_stats.fault_huge, 1);
    assert_ok(space_protect(space, vaddr(at), HUGE_SIZE, ACCESS_NONE));
    assert_status(try_get(space, at), ST_DENIED);
    check_all(space);
    assert_ok(space_protect(space, vaddr(at + 100 * PAGE_SIZE), 10 * PAGE_SIZE, RW)); /* splits it */
    check_all(space);
    put(space, at + 105 * PAGE_SIZE, 9);
    assert_int_equal(get(space, at + 104 * PAGE_SIZE), 105);
    assert_status(try_get(space, at + 99 * PAGE_SIZE), ST_DENIED);
    assert_ok(space_protect(space, vaddr(at), HUGE_SIZE, RW));
    assert_int_equal(get(space, at + 511 * PAGE_SIZE), 512);
    check_all(space);

    assert_ok(space_protect(space, vaddr(at), HUGE_SIZE, ACCESS_NONE));
    assert_ok(
        space_advise(space, vaddr(at), 50 * PAGE_SIZE, ADVICE_DONT_NEED)); /* also what cannot be accessed */
    assert_ok(space_fork(space, &child));
    assert_ok(space_protect(child, vaddr(at), HUGE_SIZE, RW));
    assert_int_equal(get(child, at), 0);
    put(child, at + 60 * PAGE_SIZE, 3);
    check_all(child);
    assert_status(try_get(space, at + 60 * PAGE_SIZE), ST_DENIED);
    assert_ok(space_protect(space, vaddr(at), HUGE_SIZE, ACCESS_READ));
    assert_int_equal(get(space, at + 60 * PAGE_SIZE), 61);
    check_all(space);
    space_unref(space);
    space_unref(child);
}

/* The same, with the huge page shared by a child while it may not be accessed. */
static void shared_huge_pages_without_access(void **state)
{
    struct space *space = new_space(), *child;
    uint64_t at = map_at(space, 0x40000000, 512, RW, 0);

    put(space, at + 7 * PAGE_SIZE, 7);
    assert_int_equal(vm_stats.fault_huge, 1);
    assert_ok(space_protect(space, vaddr(at), HUGE_SIZE, ACCESS_NONE));
    assert_ok(space_fork(space, &child));
    assert_ok(space_protect(child, vaddr(at + 6 * PAGE_SIZE), 2 * PAGE_SIZE, RW));
    put(child, at + 7 * PAGE_SIZE, 8);
    check_all(child);
    check_all(space);
    assert_ok(space_protect(space, vaddr(at), HUGE_SIZE, RW));
    assert_int_equal(get(space, at + 7 * PAGE_SIZE), 7);
    put(space, at + 8 * PAGE_SIZE, 9);
    assert_ok(space_protect(child, vaddr(at), HUGE_SIZE, RW));
    assert_int_equal(get(child, at + 8 * PAGE_SIZE), 0);
    check_all(child);
    check_all(space);
    space_unref(space);
    space_unref(child);
}

/* Ranges that are whole level-2 and level-3 tables, unmapped by one who shares them. */
static void tables_shared_high_up(void **state)
{
    struct space *parent = new_space(), *child;
    uint64_t base = 0x10000000000, pages = 3 * GIB / PAGE_SIZE;
    struct space_counts counts;

    map_at(parent, base, pages, RW, 0);
    assert_ok(space_advise(parent, vaddr(base), 3 * GIB, ADVICE_NO_HUGE));
    for (uint64_t i = 0; i < 300; i++)
        put(parent, base + i * 10 * MIB, i + 1);
    assert_ok(space_fork(parent, &child));
    unmap(child, base + GIB, GIB / PAGE_SIZE); /* one whole level-2 table */
    space_count(child, &counts);
    assert_int_equal(counts.mapped_bytes, 2 * GIB);
    check_all(child);
    check_all(parent);
    unmap(parent, base, pages);
    space_count(parent, &counts);
    assert_int_equal(counts.mapped_bytes, 0);
    check_all(parent);
    for (uint64_t i = 0; i < 300; i++)
        if (i * 10 * MIB < GIB || i * 10 * MIB >= 2 * GIB)
            assert_int_equal(get(child, base + i * 10 * MIB), i + 1);
        else
            assert_status(try_get(child, base + i * 10 * MIB), ST_NOT_MAPPED);
    check_all(child);
    space_unref(parent);
    space_unref(child);
}

static void above_the_top_when_below_is_full(void **state)
{
    struct space *space;
    uint64_t at;

    assert_ok(space_create(&space));
    space_set_layout(space, vaddr(SPACE_START + 64 * PAGE_SIZE), vaddr(0x7ffffffde000), vaddr(0x7ffffffff000),
                     8 * MIB);
    at = map_anon(space, 60, RW);
    assert_true(at + 60 * PAGE_SIZE <= SPACE_START + 64 * PAGE_SIZE);
    at = map_anon(space, 60, RW);
    assert_true(at >= SPACE_START + 64 * PAGE_SIZE);
    put(space, at, 1);
    at = map_anon(space, 3, RW); /* still fits below */
    assert_true(at < SPACE_START + 64 * PAGE_SIZE);
    check_all(space);
    space_unref(space);
}

static void holes_are_found_again(void **state)
{
    struct space *space = new_space();
    uint64_t at[200];

    for (unsigned i = 0; i < 200; i++)
        at[i] = map_anon(space, 3, i % 2 != 0 ? RW : ACCESS_READ);
    for (unsigned i = 20; i < 180; i += 2)
        unmap(space, at[i], 3);
    for (unsigned i = 20; i < 180; i += 2)
        (void)map_anon(space, 3, RW);
    for (unsigned i = 1; i < 200; i += 2)
        put(space, at[i], i);
    for (unsigned i = 1; i < 200; i += 2)
        assert_int_equal(get(space, at[i]), i);
    check_all(space);
    space_unref(space);
}

static void mappings_that_may_never_be_written(void **state)
{
    struct store *store = store_create(4 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *space = new_space();
    uint64_t at = map_object(space, object, 0, 4, ACCESS_READ, SPACE_SHARED | SPACE_NEVER_WRITE);

    get(space, at);
    assert_status(space_protect(space, vaddr(at), 4 * PAGE_SIZE, RW), ST_DENIED);
    assert_status(try_put(space, at, 1), ST_DENIED);
    assert_status(try_put(space, at + 2 * PAGE_SIZE, 1), ST_DENIED);
    assert_ok(space_protect(space, vaddr(at), 4 * PAGE_SIZE, ACCESS_NONE));
    assert_ok(space_protect(space, vaddr(at), 4 * PAGE_SIZE, ACCESS_READ));
    assert_int_equal(get(space, at), 1);
    check_all(space);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

static unsigned flags_at(struct space *space, uint64_t at)
{
    struct space_region region;

    assert_true(space_next_region(space, vaddr(at), &region) && region.start.v <= at);
    return region.flags;
}

static void count_locked(struct space *space, uint64_t pages)
{
    struct space_counts counts;

    space_count(space, &counts);
    assert_int_equal(counts.locked_pages, pages);
    assert_int_equal(space_locked_pages(space, vaddr(0), SPACE_END), pages);
}

/* What is locked stays so through splits, faults, rights and moves; a child has no locks, nor has what was
 * mapped over. */
static void locked_ranges(void **state)
{
    struct space *space = new_space(), *child;
    uint64_t at = map_anon(space, 1024, RW), one = at + 3 * PAGE_SIZE;
    struct vaddr moved;

    put(space, at, 1); /* a huge page */
    assert_ok(space_lock(space, vaddr(one), 2 * PAGE_SIZE, true));
    assert_ok(space_lock(space, vaddr(at + 700 * PAGE_SIZE), 10 * PAGE_SIZE, true));
    count_locked(space, 12);
    assert_int_equal(vm_locked_pages(), 2);
    assert_ok(space_populate(space, vaddr(at), 1024 * PAGE_SIZE));
    assert_int_equal(vm_locked_pages(), 12);
    assert_ok(space_protect(space, vaddr(at), 10 * PAGE_SIZE, ACCESS_NONE));
    assert_true(flags_at(space, one) & SPACE_LOCKED);
    assert_false(flags_at(space, at) & SPACE_LOCKED);
    assert_ok(space_protect(space, vaddr(at), 10 * PAGE_SIZE, RW));
    assert_ok(space_fork(space, &child));
    count_locked(child, 0);
    count_locked(space, 12);
    put(child, one, 8);
    put(space, one, 9);
    check_all(child);
    assert_ok(space_move(space, vaddr(one), 2 * PAGE_SIZE, 4 * PAGE_SIZE, SPACE_MAY_MOVE, vaddr(0), &moved));
    count_locked(space, 14);
    assert_int_equal(get(space, moved.v), 9);
    assert_status(space_lock(space, vaddr(at), 10 * PAGE_SIZE, true), ST_NOT_MAPPED);
    count_locked(space, 17);
    map_at(space, at, 1024, RW, SPACE_FIXED);
    count_locked(space, 4);
    assert_ok(space_lock_all(space, true));
    count_locked(space, 1028);
    assert_ok(space_lock_all(space, false));
    count_locked(space, 0);
    check_all(space);
    space_unref(space);
    space_unref(child);
}

static void what_will_be_locked(void **state)
{
    struct space *space = new_space();
    uint64_t at;

    space_lock_future(space, SPACE_LOCKS_ON_FAULT);
    at = map_anon(space, 10, RW);
    count_locked(space, 10);
    assert_int_equal(vm_locked_pages(), 0);
    put(space, at, 1);
    assert_int_equal(vm_locked_pages(), 1);
    space_lock_future(space, SPACE_LOCKS_NOW);
    (void)map_anon(space, 10, RW);
    assert_int_equal(vm_locked_pages(), 11);
    space_set_lock_limit(space, 21 * PAGE_SIZE);
    assert_true(space_may_lock(space, PAGE_SIZE));
    assert_false(space_may_lock(space, 2 * PAGE_SIZE));
    check_all(space);
    space_unref(space);
}

static void files_without_access(void **state)
{
    struct store *store = store_create(8 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *space = new_space();
    uint64_t at = map_object(space, object, 0, 8, RW, SPACE_SHARED);

    put(space, at, 50);
    get(space, at + PAGE_SIZE);
    assert_ok(space_protect(space, vaddr(at), 8 * PAGE_SIZE, ACCESS_NONE));
    assert_status(try_get(space, at), ST_DENIED);
    assert_ok(
        space_sync(space, vaddr(at), 8 * PAGE_SIZE, true)); /* what was written before is not forgotten */
    assert_int_equal(store_word(store, 0), 50);
    assert_ok(space_protect(space, vaddr(at), 8 * PAGE_SIZE, RW));
    assert_int_equal(get(space, at), 50);
    check_all(space);
    assert_status(space_sync(space, vaddr(at - PAGE_SIZE), 4 * PAGE_SIZE, true), ST_NOT_MAPPED);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

static void dying_with_a_store_that_fails(void **state)
{
    struct store *store = store_create(2 * PAGE_SIZE);
    struct object *object = store_object(store);
    uint64_t word = 1;
    size_t done;

    assert_ok(object_write(object, 0, &word, 8, &done));
    store->fail_writes_at = 0;
    object_unref(object); /* says so in the log */
    store_end(store);
}

/* Every space has the kernel's half; what is there is supervisor's. */
static void the_kernels_half(void **state)
{
    struct paddr root = sim_kernel_root(), frame;
    struct pt_entry *entries = host_at(root);
    struct frame *table = frame_alloc(0, FRAME_TABLE, FRAME_ZERO);
    struct space *space, *child;
    unsigned error;

    for (unsigned level = 4; level > 0; level--) {
        struct frame *next = frame_alloc(0, level > 1 ? FRAME_TABLE : FRAME_KERNEL, FRAME_ZERO);

        entries[pt_index(vaddr(0xffff888000000000), level)] =
            pt_entry(frame_paddr(next).v | PT_PRESENT | PT_WRITE);
        entries = frame_data(next);
    }
    frame_free(table);
    assert_ok(vm_init(root));
    space = new_space();
    put(space, map_anon(space, 1, RW), 1);
    assert_ok(space_fork(space, &child));
    assert_false(mmu_access(space_mmu(child), vaddr(0xffff888000000000), ACCESS_READ, &frame, &error));
    assert_int_equal(error, MMU_PRESENT | MMU_USER);
    assert_true(mmu_access_kernel(space_mmu(child), vaddr(0xffff888000000000), ACCESS_WRITE, &frame, &error));
    assert_int_equal(host_at(frame), entries);
    assert_int_equal(space_root(child).v == space_root(space).v, false);
    space_unref(space);
    space_unref(child);
    assert_int_equal(*(uint64_t *)(void *)entries, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_vm_64m, end_vm)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_mapped_by_many, boot_swap,
                                        end_swap), /* no last pages are kept */
        CASE(anonymous_pages_of_many_children),
        CASE(huge_pages_without_access),
        CASE(shared_huge_pages_without_access),
        CASE(tables_shared_high_up),
        CASE(above_the_top_when_below_is_full),
        CASE(holes_are_found_again),
        CASE(mappings_that_may_never_be_written),
        CASE(locked_ranges),
        CASE(what_will_be_locked),
        CASE(files_without_access),
        CASE(dying_with_a_store_that_fails),
        cmocka_unit_test_setup(the_kernels_half, boot_vm_64m),
    };

    return cmocka_run_group_tests_name("corners", tests, NULL, NULL);
}
