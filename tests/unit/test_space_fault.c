/*
 * Every kind of fault, by its counter; huge pages; what files do at their end and when their store fails.
 */
#include "vm_support.h"

static struct vm_stats mark;

/* How often `field` was counted since the last look at it. */
#define COUNTED(field)                                                                                       \
    __extension__({                                                                                          \
        uint64_t counted = vm_stats.field - mark.field;                                                      \
        mark.field = vm_stats.field;                                                                         \
        counted;                                                                                             \
    })

static struct space *begin(void)
{
    struct space *space = new_space();

    mark = vm_stats;
    return space;
}

static void zero_page_then_frame(void **state)
{
    struct space *space = begin();
    uint64_t at = map_anon(space, 4, RW), before = frames_free();

    get(space, at);
    assert_int_equal(COUNTED(fault_zero_read), 1);
    assert_int_equal(COUNTED(fault_zero), 0);
    assert_true(before - frames_free() <= 3); /* tables, but no page */
    put(space, at, 1);
    assert_int_equal(COUNTED(fault_zero), 1);
    assert_int_equal(get(space, at), 1);
    put(space, at + PAGE_SIZE, 2);
    assert_int_equal(COUNTED(fault_zero), 1);
    assert_int_equal(COUNTED(faults), 3);
    put(space, at, 3); /* no fault any more */
    assert_int_equal(COUNTED(faults), 0);
    check_all(space);
    space_unref(space);
}

static void denied_and_unmapped(void **state)
{
    struct space *space = begin();
    uint64_t at = map_anon(space, 1, ACCESS_READ);

    assert_status(try_put(space, at, 1), ST_DENIED);
    assert_int_equal(COUNTED(fault_protection), 1);
    get(space, at);
    assert_status(try_put(space, at, 1), ST_DENIED);
    assert_int_equal(COUNTED(fault_protection), 1);
    assert_status(try_get(space, at + PAGE_SIZE * 10000), ST_NOT_MAPPED);
    assert_int_equal(COUNTED(fault_unmapped), 1);
    assert_status(space_fault(space, vaddr(UINT64_MAX), ACCESS_READ), ST_NOT_MAPPED);
    assert_int_equal(COUNTED(fault_unmapped), 1);
    space_unref(space);
}

static void spurious(void **state)
{
    struct space *space = begin();
    uint64_t at = map_anon(space, 1, RW);

    put(space, at, 1);
    COUNTED(faults);
    assert_ok(space_fault(space, vaddr(at + 9), ACCESS_WRITE));
    assert_ok(space_fault(space, vaddr(at + 9), ACCESS_READ));
    assert_int_equal(COUNTED(fault_spurious), 2);
    assert_int_equal(get(space, at), 1);
    space_unref(space);
}

static void huge_pages(void **state)
{
    struct space *space = begin();
    struct space_counts counts;
    uint64_t at = map_at(space, 0x40000000, 3 * HUGE_SIZE / PAGE_SIZE, RW, 0);

    put(space, at + HUGE_SIZE + 12345 * 8, 6);
    assert_int_equal(COUNTED(fault_huge), 1);
    space_count(space, &counts);
    assert_int_equal(counts.resident_pages, 512);
    COUNTED(faults);
    for (uint64_t page = 0; page < 512; page++)
        put(space, at + HUGE_SIZE + page * PAGE_SIZE, page);
    assert_int_equal(COUNTED(faults), 0);
    check_all(space);
    /* A hole in the middle splits it; the rest keeps its contents. */
    unmap(space, at + HUGE_SIZE + 100 * PAGE_SIZE, 50);
    for (uint64_t page = 0; page < 512; page++)
        if (page < 100 || page >= 150)
            assert_int_equal(get(space, at + HUGE_SIZE + page * PAGE_SIZE), page);
        else
            assert_status(try_get(space, at + HUGE_SIZE + page * PAGE_SIZE), ST_NOT_MAPPED);
    assert_int_equal(COUNTED(huge_splits), 1);
    check_all(space);
    space_unref(space);
}

static void advice_decides_about_huge_pages(void **state)
{
    struct space *space = begin();
    uint64_t at = map_at(space, 0x40000000, HUGE_SIZE / PAGE_SIZE, RW, 0);

    assert_ok(space_advise(space, vaddr(at), HUGE_SIZE, ADVICE_NO_HUGE));
    put(space, at, 6);
    assert_int_equal(COUNTED(fault_huge), 0);
    assert_int_equal(COUNTED(fault_zero), 1);
    check_all(space);
    space_unref(space);
}

static void huge_pages_protected_and_dropped_in_part(void **state)
{
    struct space *space = begin();
    uint64_t at = map_at(space, 0x40000000, HUGE_SIZE / PAGE_SIZE, RW, 0);

    put(space, at, 1);
    assert_int_equal(COUNTED(fault_huge), 1);
    put(space, at + 300 * PAGE_SIZE, 3);
    put(space, at + 400 * PAGE_SIZE, 4);
    assert_ok(space_protect(space, vaddr(at + 300 * PAGE_SIZE), PAGE_SIZE, ACCESS_READ));
    assert_status(try_put(space, at + 300 * PAGE_SIZE, 1), ST_DENIED);
    put(space, at + 299 * PAGE_SIZE, 1);
    assert_ok(space_advise(space, vaddr(at + 400 * PAGE_SIZE), PAGE_SIZE, ADVICE_DONT_NEED));
    assert_int_equal(get(space, at + 400 * PAGE_SIZE), 0);
    assert_int_equal(get(space, at + 300 * PAGE_SIZE), 3);
    assert_int_equal(get(space, at), 1);
    check_all(space);
    space_unref(space);
}

static void file_pages_minor_and_major(void **state)
{
    struct space *space = begin();
    struct store *store = store_create(64 * PAGE_SIZE);
    struct object *object = store_object(store);
    uint64_t at = map_object(space, object, 0, 64, ACCESS_READ, 0), again;

    assert_int_equal(get(space, at), 1);
    assert_int_equal(COUNTED(fault_major), 1);
    assert_true(COUNTED(page_ins) >= 1);
    assert_int_equal(get(space, at + 40 * PAGE_SIZE), 41);
    assert_int_equal(COUNTED(fault_major), 1);
    again = map_object(space, object, 0, 64, ACCESS_READ, 0);
    assert_int_equal(get(space, again + 40 * PAGE_SIZE), 41);
    assert_int_equal(COUNTED(fault_major), 0);
    assert_true(COUNTED(fault_minor) >= 1);
    for (uint64_t page = 0; page < 64; page++)
        assert_int_equal(get(space, at + page * PAGE_SIZE), page + 1);
    assert_true(COUNTED(fault_around) > 0);
    check_all(space);
    object_unref(object); /* the mappings keep it */
    assert_false(store->released);
    assert_int_equal(get(space, at + 3 * PAGE_SIZE), 4);
    space_unref(space);
    store_end(store);
}

static void private_file_pages_are_copied(void **state)
{
    struct space *space = begin();
    struct store *store = store_create(8 * PAGE_SIZE);
    struct object *object = store_object(store);
    uint64_t at = map_object(space, object, 2, 4, RW, 0);
    uint64_t view = map_object(space, object, 0, 8, ACCESS_READ, SPACE_SHARED);

    assert_int_equal(get(space, at + PAGE_SIZE), 4);
    put(space, at + PAGE_SIZE, 100); /* read before: the mapped page is replaced */
    put(space, at + 2 * PAGE_SIZE, 200);
    assert_int_equal(COUNTED(fault_copy), 2);
    assert_int_equal(get(space, at + PAGE_SIZE), 100);
    assert_int_equal(get(space, at + PAGE_SIZE + 8),
                     get(space, view + 3 * PAGE_SIZE + 8)); /* the rest was copied */
    assert_int_equal(get(space, view + 3 * PAGE_SIZE), 4);
    assert_int_equal(get(space, view + 4 * PAGE_SIZE), 5);
    /* DONTNEED brings the file's page back. */
    assert_ok(space_advise(space, vaddr(at), 4 * PAGE_SIZE, ADVICE_DONT_NEED));
    assert_int_equal(get(space, at + PAGE_SIZE), 4);
    check_all(space);
    space_unref(space);
    object_unref(object);
    assert_int_equal(store->pages_written, 0);
    store_end(store);
}

static void shared_file_pages_are_written_back(void **state)
{
    struct space *space = begin(), *other = new_space();
    struct store *store = store_create(8 * PAGE_SIZE);
    struct object *object = store_object(store);
    uint64_t at = map_object(space, object, 0, 8, RW, SPACE_SHARED);
    uint64_t there = map_object(other, object, 0, 8, RW, SPACE_SHARED);

    assert_int_equal(get(space, at + PAGE_SIZE), 2);
    put(space, at + PAGE_SIZE, 70);
    put(other, there + 5 * PAGE_SIZE, 80);
    assert_int_equal(get(other, there + PAGE_SIZE), 70);
    assert_int_equal(get(space, at + 5 * PAGE_SIZE), 80);
    assert_int_equal(store_word(store, 1), 2);
    assert_ok(space_sync(space, vaddr(at), 8 * PAGE_SIZE, true));
    assert_int_equal(store_word(store, 1), 70);
    assert_int_equal(store_word(store, 5), 80);
    assert_int_equal(store->pages_written, 2);
    assert_ok(space_sync(space, vaddr(at), 8 * PAGE_SIZE, true)); /* clean now */
    assert_int_equal(store->pages_written, 2);
    put(space, at + PAGE_SIZE, 71); /* noticed again, although it was writable before */
    assert_ok(object_sync(object, 0, 8));
    assert_int_equal(store_word(store, 1), 71);
    put(other, there + PAGE_SIZE, 72); /* at the latest when the object dies */
    check_all(space);
    space_unref(space);
    object_unref(object);
    space_unref(other);
    assert_int_equal(store_word(store, 1), 72);
    store_end(store);
}

static void behind_the_end_of_a_file(void **state)
{
    struct space *space = begin();
    struct store *store = store_create(2 * PAGE_SIZE + 100);
    struct object *object = store_object(store);
    uint64_t at = map_object(space, object, 0, 10, RW, SPACE_SHARED), word;

    assert_ok(sim_read(space, at + 2 * PAGE_SIZE + 96, &word, 8, NULL));
    assert_int_equal(word >> 32, 0); /* zeroes behind the last byte */
    assert_int_not_equal(word & 0xffffffff, 0);
    put(space, at + 2 * PAGE_SIZE + 200, 5); /* within the last page */
    assert_status(try_get(space, at + 3 * PAGE_SIZE), ST_BEYOND_END);
    assert_status(try_put(space, at + 9 * PAGE_SIZE, 1), ST_BEYOND_END);
    assert_ok(object_resize(object, PAGE_SIZE));
    assert_status(try_get(space, at + PAGE_SIZE), ST_BEYOND_END);
    assert_int_equal(get(space, at), 1);
    check_all(space);
    space_unref(space);
    store->size = PAGE_SIZE;
    object_unref(object);
    store_end(store);
}

static void a_store_that_fails(void **state)
{
    struct space *space = begin();
    struct store *store = store_create(64 * PAGE_SIZE);
    struct object *object = store_object(store);
    uint64_t at = map_object(space, object, 0, 64, RW, SPACE_SHARED);

    store->fail_reads_at = 20;
    assert_status(try_get(space, at + 20 * PAGE_SIZE), ST_IO_ERROR);
    assert_int_equal(get(space, at), 1);
    for (uint64_t page = 0; page < 20; page++) /* read-ahead that meets the bad page does not hurt */
        assert_int_equal(get(space, at + page * PAGE_SIZE), page + 1);
    assert_status(try_get(space, at + 20 * PAGE_SIZE), ST_IO_ERROR);
    assert_int_equal(get(space, at + 21 * PAGE_SIZE), 22);
    store->fail_reads_at = UINT64_MAX;
    assert_int_equal(get(space, at + 20 * PAGE_SIZE), 21); /* tried again */

    put(space, at + 5 * PAGE_SIZE, 55);
    store->fail_writes_at = 5;
    assert_status(space_sync(space, vaddr(at), 64 * PAGE_SIZE, true), ST_IO_ERROR);
    assert_int_equal(get(space, at + 5 * PAGE_SIZE), 55); /* nothing is lost */
    store->fail_writes_at = UINT64_MAX;
    assert_ok(space_sync(space, vaddr(at), 64 * PAGE_SIZE, true)); /* still dirty: written now */
    assert_int_equal(store_word(store, 5), 55);
    check_all(space);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

static void shared_anonymous_memory(void **state)
{
    struct space *space = begin(), *child;
    uint64_t at;

    assert_ok(try_map(space, NULL, 0, 0, 10, RW, SPACE_SHARED, &at));
    put(space, at, 1);
    assert_ok(space_fork(space, &child));
    put(child, at + 9 * PAGE_SIZE, 2);
    put(space, at, 3);
    assert_int_equal(get(space, at + 9 * PAGE_SIZE), 2);
    assert_int_equal(get(child, at), 3);
    check_all(space);
    check_all(child);
    space_unref(space);
    assert_int_equal(get(child, at), 3);
    space_unref(child);
}

static void no_memory(void **state)
{
    struct space *space = begin();
    uint64_t at = map_anon(space, 4096, RW), pages = 0; /* 16 MiB in a machine of 8 */
    enum status status;

    while ((status = try_put(space, at + pages * PAGE_SIZE, pages)) == ST_OK)
        pages++;
    assert_status(status, ST_NO_MEMORY);
    assert_true(pages > 1500);
    for (uint64_t i = 0; i < pages; i++)
        assert_int_equal(get(space, at + i * PAGE_SIZE), i);
    check_all(space);
    unmap(space, at, 1024);            /* whole tables: no new one is needed */
    for (uint64_t i = 0; i < 900; i++) /* there is room again */
        put(space, at + (pages + i) * PAGE_SIZE, i);
    check_all(space);
    space_unref(space);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_vm_64m, end_vm)
    const struct CMUnitTest tests[] = {
        CASE(zero_page_then_frame),
        CASE(denied_and_unmapped),
        CASE(spurious),
        CASE(huge_pages),
        CASE(advice_decides_about_huge_pages),
        CASE(huge_pages_protected_and_dropped_in_part),
        CASE(file_pages_minor_and_major),
        CASE(private_file_pages_are_copied),
        CASE(shared_file_pages_are_written_back),
        CASE(behind_the_end_of_a_file),
        CASE(a_store_that_fails),
        CASE(shared_anonymous_memory),
        cmocka_unit_test_setup_teardown(no_memory, boot_vm_8m, end_vm),
    };

    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
