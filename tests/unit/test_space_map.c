/*
 * Address spaces: mapping, unmapping, protection, placement, regions, the break, moving.
 */
#include "vm_support.h"

#define BASE ((uint64_t)0x10000000)

/* The n-th region is [start, end) with this access. */
static void expect_region(struct space *space, unsigned n, uint64_t start, uint64_t end, unsigned access)
{
    struct space_region region = {0};
    uint64_t from = 0;

    for (unsigned i = 0; i <= n; i++) {
        assert_true(space_next_region(space, vaddr(from), &region));
        from = region.end.v;
    }
    assert_int_equal(region.start.v, start);
    assert_int_equal(region.end.v, end);
    assert_int_equal(region.access, access);
}

static unsigned count_regions(struct space *space)
{
    struct space_region region;
    unsigned count = 0;

    for (uint64_t from = 0; space_next_region(space, vaddr(from), &region); from = region.end.v)
        count++;
    return count;
}

static uint64_t mapped(struct space *space)
{
    struct space_counts counts;

    space_count(space, &counts);
    return counts.mapped_bytes;
}

static void an_empty_space(void **state)
{
    struct space *space = new_space();
    struct space_region region;

    assert_false(space_next_region(space, vaddr(0), &region));
    assert_int_equal(mapped(space), 0);
    assert_status(try_get(space, BASE), ST_NOT_MAPPED);
    assert_status(try_get(space, 0), ST_NOT_MAPPED);
    assert_status(try_get(space, SPACE_END), ST_NOT_MAPPED);
    assert_status(try_get(space, 0xffff888000000000), ST_NOT_MAPPED);
    check_all(space);
    space_ref(space);
    space_unref(space);
    space_unref(space);
}

static void anonymous_memory_reads_zero_and_keeps_what_is_written(void **state)
{
    struct space *space = new_space();
    uint64_t at = map_anon(space, 100, RW);

    for (uint64_t i = 0; i < 100; i += 3)
        put(space, at + i * PAGE_SIZE + 8 * i, i + 1);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(get(space, at + i * PAGE_SIZE + 8 * i), i % 3 == 0 ? i + 1 : 0);
    check_all(space);
    assert_int_equal(mapped(space), 100 * PAGE_SIZE);
    unmap(space, at, 100);
    assert_status(try_get(space, at), ST_NOT_MAPPED);
    check_all(space);
    space_unref(space);
}

static void lengths_and_addresses_are_checked(void **state)
{
    struct space *space = new_space();
    struct vaddr out;
    uint64_t at;

    assert_status(try_map(space, NULL, 0, BASE, 0, RW, 0, &at), ST_INVALID);
    assert_status(try_map(space, NULL, 0, BASE + 1, 1, RW, SPACE_FIXED, &at), ST_NOT_ALIGNED);
    assert_int_not_equal(try_map(space, NULL, 0, SPACE_END - PAGE_SIZE, 2, RW, SPACE_FIXED, &at), ST_OK);
    assert_int_not_equal(try_map(space, NULL, 0, 0, 1, RW, SPACE_FIXED, &at), ST_OK);
    assert_int_not_equal(
        space_map(space, &(struct space_map){.length_bytes = UINT64_MAX - 100, .access = RW}, &out), ST_OK);
    assert_status(try_map(space, NULL, 0, 0, SPACE_END >> PAGE_SHIFT, RW, 0, &at), ST_NO_SPACE);
    assert_status(space_unmap(space, vaddr(BASE + 1), PAGE_SIZE), ST_NOT_ALIGNED);
    assert_status(space_unmap(space, vaddr(BASE), 0), ST_INVALID);
    assert_int_not_equal(space_unmap(space, vaddr(SPACE_END - PAGE_SIZE), 2 * PAGE_SIZE), ST_OK);
    assert_status(space_protect(space, vaddr(BASE + 1), PAGE_SIZE, RW), ST_NOT_ALIGNED);
    assert_int_equal(count_regions(space), 0);
    assert_ok(space_map(space, &(struct space_map){.length_bytes = 1, .access = RW}, &out)); /* rounded up */
    assert_int_equal(mapped(space), PAGE_SIZE);
    check_all(space);
    space_unref(space);
}

static void fixed_replaces_and_no_replace_does_not(void **state)
{
    struct space *space = new_space();
    uint64_t at;

    map_at(space, BASE, 10, RW, 0);
    put(space, BASE + 3 * PAGE_SIZE, 7);
    put(space, BASE + 7 * PAGE_SIZE, 8);
    assert_status(try_map(space, NULL, 0, BASE + 9 * PAGE_SIZE, 5, RW, SPACE_NO_REPLACE, &at), ST_MAPPED);
    assert_int_equal(mapped(space), 10 * PAGE_SIZE);
    map_at(space, BASE + 2 * PAGE_SIZE, 3, ACCESS_READ, 0);
    assert_int_equal(get(space, BASE + 3 * PAGE_SIZE), 0);
    assert_int_equal(get(space, BASE + 7 * PAGE_SIZE), 8);
    assert_status(try_put(space, BASE + 3 * PAGE_SIZE, 1), ST_DENIED);
    assert_int_equal(mapped(space), 10 * PAGE_SIZE);
    assert_int_equal(count_regions(space), 3);
    expect_region(space, 0, BASE, BASE + 2 * PAGE_SIZE, RW);
    expect_region(space, 1, BASE + 2 * PAGE_SIZE, BASE + 5 * PAGE_SIZE, ACCESS_READ);
    expect_region(space, 2, BASE + 5 * PAGE_SIZE, BASE + 10 * PAGE_SIZE, RW);
    assert_ok(try_map(space, NULL, 0, BASE + 10 * PAGE_SIZE, 1, RW, SPACE_NO_REPLACE, &at));
    assert_int_equal(at, BASE + 10 * PAGE_SIZE);
    check_all(space);
    space_unref(space);
}

static void placement_never_overlaps(void **state)
{
    struct space *space = new_space();
    struct random random = {5};
    uint64_t at[60], pages[60];
    unsigned count = 0;

    for (int step = 0; step < 400; step++) {
        if (count < 60 && random_below(&random, 3) != 0) {
            pages[count] = 1 + random_below(&random, random_below(&random, 4) == 0 ? 3000 : 20);
            at[count] = map_anon(space, pages[count], RW);
            for (unsigned i = 0; i < count; i++)
                assert_true(at[i] + pages[i] * PAGE_SIZE <= at[count] ||
                            at[count] + pages[count] * PAGE_SIZE <= at[i]);
            put(space, at[count], (uint64_t)step + 1);
            count++;
        } else if (count > 0) {
            unsigned i = (unsigned)random_below(&random, count);

            assert_true(get(space, at[i]) != 0);
            unmap(space, at[i], pages[i]);
            count--;
            at[i] = at[count];
            pages[i] = pages[count];
        }
    }
    check_all(space);
    space_unref(space);
}

static void a_hint_is_a_wish(void **state)
{
    struct space *space = new_space();
    uint64_t at;

    assert_ok(try_map(space, NULL, 0, BASE, 4, RW, 0, &at));
    assert_int_equal(at, BASE);
    assert_ok(try_map(space, NULL, 0, BASE, 4, RW, 0, &at));
    assert_int_not_equal(at, BASE);
    assert_ok(try_map(space, NULL, 0, 0, 4, RW, SPACE_LOW_2G, &at));
    assert_true(at + 4 * PAGE_SIZE <= 2 * GIB);
    check_all(space);
    space_unref(space);
}

static void a_tebibyte_costs_a_few_words(void **state)
{
    struct space *space = new_space();
    uint64_t before, at;
    struct space_counts counts;

    before = frames_free();
    at = map_anon(space, (GIB << 10) / PAGE_SIZE, RW);
    assert_true(before - frames_free() <= 8);
    put(space, at + 777 * GIB, 5);
    assert_int_equal(get(space, at + 777 * GIB), 5);
    assert_int_equal(get(space, at + 778 * GIB), 0);
    space_count(space, &counts);
    assert_int_equal(counts.mapped_bytes, GIB << 10);
    expect_region(space, 0, at, at + (GIB << 10), RW);
    check_all(space);
    unmap(space, at, (GIB << 10) / PAGE_SIZE);
    check_all(space);
    space_unref(space);
}

static void unmapping_parts(void **state)
{
    struct space *space = new_space();
    struct random random = {9};
    static bool there[2000];

    map_at(space, BASE, 2000, RW, 0);
    memset(there, true, sizeof(there));
    for (int step = 0; step < 60; step++) {
        uint64_t first = random_below(&random, 2000), count = 1 + random_below(&random, 40);

        for (int i = 0; i < 5; i++) {
            uint64_t page = random_below(&random, 2000);

            if (there[page])
                put(space, BASE + page * PAGE_SIZE, page);
        }
        if (first + count > 2000)
            count = 2000 - first;
        unmap(space, BASE + first * PAGE_SIZE, count);
        memset(there + first, false, count);
        check_all(space);
    }
    for (uint64_t page = 0; page < 2000; page++)
        assert_status(try_get(space, BASE + page * PAGE_SIZE), there[page] ? ST_OK : ST_NOT_MAPPED);
    space_unref(space);
}

static void protection(void **state)
{
    struct space *space = new_space();
    uint64_t at = map_anon(space, 10, RW);
    unsigned char byte;

    put(space, at + PAGE_SIZE, 11);
    assert_status(sim_fetch(space, at + PAGE_SIZE, &byte), ST_DENIED);
    assert_ok(space_protect(space, vaddr(at), 10 * PAGE_SIZE, ACCESS_READ));
    assert_status(try_put(space, at + PAGE_SIZE, 1), ST_DENIED);
    assert_status(try_put(space, at + 2 * PAGE_SIZE, 1), ST_DENIED);
    assert_int_equal(get(space, at + PAGE_SIZE), 11);
    assert_ok(space_protect(space, vaddr(at), 10 * PAGE_SIZE, ACCESS_NONE));
    assert_status(try_get(space, at + PAGE_SIZE), ST_DENIED);
    assert_status(try_get(space, at + 3 * PAGE_SIZE), ST_DENIED);
    check_all(space);
    assert_ok(space_protect(space, vaddr(at), 10 * PAGE_SIZE, RX));
    assert_ok(sim_fetch(space, at + PAGE_SIZE, &byte));
    assert_int_equal(byte, 11);
    assert_ok(sim_fetch(space, at + 5 * PAGE_SIZE, &byte));
    assert_ok(space_protect(space, vaddr(at), 10 * PAGE_SIZE, RW));
    put(space, at + PAGE_SIZE, 12);
    put(space, at + 5 * PAGE_SIZE, 13);
    assert_int_equal(get(space, at + PAGE_SIZE), 12);
    assert_int_equal(count_regions(space), 1);
    check_all(space);
    space_unref(space);
}

static void protecting_the_middle_splits_and_merges(void **state)
{
    struct space *space = new_space();

    map_at(space, BASE, 1024, RW, 0);
    assert_ok(space_protect(space, vaddr(BASE + 500 * PAGE_SIZE), 100 * PAGE_SIZE, ACCESS_READ));
    assert_int_equal(count_regions(space), 3);
    expect_region(space, 1, BASE + 500 * PAGE_SIZE, BASE + 600 * PAGE_SIZE, ACCESS_READ);
    assert_ok(space_protect(space, vaddr(BASE + 500 * PAGE_SIZE), 100 * PAGE_SIZE, RW));
    assert_int_equal(count_regions(space), 1);
    check_all(space);
    space_unref(space);
}

static void protecting_a_hole_changes_what_lies_before(void **state)
{
    struct space *space = new_space();

    map_at(space, BASE, 4, RW, 0);
    map_at(space, BASE + 6 * PAGE_SIZE, 4, RW, 0);
    assert_status(space_protect(space, vaddr(BASE), 10 * PAGE_SIZE, ACCESS_READ), ST_NOT_MAPPED);
    assert_status(try_put(space, BASE, 1), ST_DENIED);
    put(space, BASE + 6 * PAGE_SIZE, 1);
    check_all(space);
    space_unref(space);
}

static void dont_need_gives_zeroes(void **state)
{
    struct space *space = new_space();
    uint64_t at = map_anon(space, 50, RW), before = frames_free();
    struct space_counts counts;

    for (uint64_t i = 0; i < 50; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
    space_count(space, &counts);
    assert_int_equal(counts.anon_pages, 50);
    assert_ok(space_advise(space, vaddr(at + 10 * PAGE_SIZE), 30 * PAGE_SIZE, ADVICE_DONT_NEED));
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(get(space, at + i * PAGE_SIZE), i < 10 || i >= 40 ? i + 1 : 0);
    space_count(space, &counts);
    assert_int_equal(counts.anon_pages, 20);
    assert_true(before - frames_free() < 30);
    assert_status(space_advise(space, vaddr(at), 60 * PAGE_SIZE, ADVICE_DONT_NEED), ST_NOT_MAPPED);
    check_all(space);
    space_unref(space);
}

static void residency(void **state)
{
    struct space *space = new_space();
    uint64_t at = map_anon(space, 20, RW);
    uint8_t resident[20];

    put(space, at + 4 * PAGE_SIZE, 1);
    put(space, at + 9 * PAGE_SIZE, 1);
    assert_ok(space_incore(space, vaddr(at), 20 * PAGE_SIZE, resident));
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(resident[i] & 1, i == 4 || i == 9);
    unmap(space, at + 19 * PAGE_SIZE, 1);
    assert_status(space_incore(space, vaddr(at), 20 * PAGE_SIZE, resident), ST_NOT_MAPPED);
    space_unref(space);
}

static void populate_makes_resident(void **state)
{
    struct space *space = new_space();
    struct space_counts counts;
    uint64_t at, faults;

    assert_ok(try_map(space, NULL, 0, 0, 100, RW, SPACE_POPULATE, &at));
    space_count(space, &counts);
    assert_int_equal(counts.resident_pages, 100);
    faults = vm_stats.faults;
    for (uint64_t i = 0; i < 100; i++)
        put(space, at + i * PAGE_SIZE, i);
    assert_int_equal(vm_stats.faults, faults);
    check_all(space);
    space_unref(space);
}

/* A file of 20 pages, of which the first twelve are in memory. */
static struct object *partly_resident(struct store **store)
{
    struct object *object;
    char word[8];
    size_t done;

    *store = store_create(20 * PAGE_SIZE);
    object = store_object(*store);
    for (uint64_t i = 0; i < 12; i++)
        assert_ok(object_read(object, i * PAGE_SIZE, word, sizeof(word), &done));
    return object;
}

static uint64_t resident(struct space *space)
{
    struct space_counts counts;

    space_count(space, &counts);
    return counts.resident_pages;
}

static void ahead_maps_what_is_in_memory(void **state)
{
    struct space *space = new_space();
    struct store *store;
    struct object *object = partly_resident(&store);
    uint64_t in_memory = object_resident(object), faults = vm_stats.faults, copies = vm_stats.fault_copy;
    uint64_t reads = store->reads, at;

    at = map_object(space, object, 0, 20, RX, SPACE_AHEAD);
    assert_true(in_memory >= 12);
    assert_int_equal(resident(space), in_memory);
    assert_int_equal(store->reads, reads);
    for (uint64_t i = 0; i < 12; i++)
        assert_int_equal(get(space, at + i * PAGE_SIZE), store_word(store, i));
    assert_int_equal(vm_stats.faults, faults);
    assert_int_equal(vm_stats.fault_copy, copies);
    assert_status(try_put(space, at, 1), ST_DENIED);
    at = map_object(space, object, 0, 20, ACCESS_NONE, SPACE_SHARED | SPACE_AHEAD);
    assert_status(try_get(space, at), ST_DENIED);
    check_all(space);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

/* What was copied is the space's own at once; the rest is as without SPACE_AHEAD. */
static void ahead_copies_what_may_be_written(void **state)
{
    struct space *space = new_space();
    struct store *store;
    struct object *object = partly_resident(&store);
    uint64_t in_memory = object_resident(object), faults, at, shared;

    shared = map_object(space, object, 0, 20, RW, SPACE_SHARED | SPACE_AHEAD);
    at = map_object(space, object, 0, 20, RW, SPACE_AHEAD);
    check_all(space);
    assert_int_equal(resident(space), 2 * in_memory);
    faults = vm_stats.faults;
    for (uint64_t i = 0; i < 12; i++) {
        assert_int_equal(get(space, at + i * PAGE_SIZE), store_word(store, i));
        put(space, at + i * PAGE_SIZE, 100 + i);
    }
    assert_int_equal(vm_stats.faults, faults);
    for (uint64_t i = 0; i < 12; i++)
        assert_int_equal(get(space, shared + i * PAGE_SIZE), store_word(store, i));
    put(space, shared, 7); /* the first write is noticed, for the store */
    assert_int_equal(vm_stats.faults, faults + 1);
    assert_int_equal(get(space, at), 100);
    assert_int_equal(get(space, at + 19 * PAGE_SIZE), store_word(store, 19));
    check_all(space);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

/* Pages that are only read, they say, are mapped; who writes to one after all gets his copy then. */
static void ahead_copies_nothing_that_is_only_read(void **state)
{
    struct space *space = new_space();
    struct store *store;
    struct object *object = partly_resident(&store);
    struct space_map request = {
        .length_bytes = 20 * PAGE_SIZE,
        .access = RW,
        .flags = SPACE_AHEAD,
        .object = object,
        .pages_read = 5,
    };
    uint64_t in_memory = object_resident(object), copies = vm_stats.fault_copy, faults;
    struct vaddr at;

    assert_ok(space_map(space, &request, &at));
    assert_int_equal(resident(space), in_memory);
    assert_int_equal(vm_stats.fault_copy, copies + in_memory - 5);
    check_all(space);
    faults = vm_stats.faults;
    for (uint64_t i = 0; i < 12; i++)
        assert_int_equal(get(space, at.v + i * PAGE_SIZE), store_word(store, i));
    put(space, at.v + 5 * PAGE_SIZE, 1);
    assert_int_equal(vm_stats.faults, faults);
    put(space, at.v + 4 * PAGE_SIZE, 2);
    assert_int_equal(vm_stats.faults, faults + 1);
    assert_int_equal(get(space, at.v + 4 * PAGE_SIZE), 2);
    request.pages_read = UINT64_MAX; /* all of them */
    copies = vm_stats.fault_copy;
    assert_ok(space_map(space, &request, &at));
    assert_int_equal(vm_stats.fault_copy, copies);
    assert_int_equal(get(space, at.v + 4 * PAGE_SIZE), store_word(store, 4));
    check_all(space);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

static void ahead_copies_nothing_when_memory_is_short(void **state)
{
    struct space *space = new_space();
    struct store *store;
    struct object *object = partly_resident(&store);
    uint64_t part = frame_table_count / 8, copies, at;

    while (frames_free() > frame_table_count / 4)
        assert_ok(try_map(space, NULL, 0, 0, part < 512 ? part : 512, RW, SPACE_POPULATE, &at));
    copies = vm_stats.fault_copy;
    at = map_object(space, object, 0, 20, RW, SPACE_AHEAD);
    assert_int_equal(vm_stats.fault_copy, copies);
    put(space, at, 1);
    assert_int_equal(vm_stats.fault_copy, copies + 1);
    check_all(space);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

static void ahead_gives_anonymous_memory_its_first_or_last_pages(void **state)
{
    struct space *space = new_space();
    uint64_t heap = 0x602000, stack = 0x40000000, zeroes = 0x40200000, faults;

    map_at(space, stack, 30, RW, SPACE_GROWS_DOWN | SPACE_AHEAD_LAST);
    assert_int_equal(resident(space), 2);
    space_init_break(space, vaddr(heap));
    assert_int_equal(space_set_break(space, vaddr(heap + 10 * PAGE_SIZE)).v, heap + 10 * PAGE_SIZE);
    assert_int_equal(resident(space), 3);
    map_at(space, zeroes, 1, RW, SPACE_AHEAD_LAST);
    assert_int_equal(resident(space), 4);
    map_at(space, zeroes + 2 * PAGE_SIZE, 30, ACCESS_READ, SPACE_AHEAD_LAST); /* never written */
    assert_int_equal(resident(space), 4);
    faults = vm_stats.faults;
    put(space, stack + 28 * PAGE_SIZE, 1);
    put(space, stack + 29 * PAGE_SIZE, 1);
    put(space, heap, 2);
    put(space, zeroes, 2);
    assert_int_equal(vm_stats.faults, faults);
    assert_int_equal(get(space, heap + 8), 0);
    put(space, heap + PAGE_SIZE, 3);
    assert_int_equal(vm_stats.faults, faults + 1);
    check_all(space);
    space_unref(space);
}

/* A heap that shrinks and grows again, where the entries in use of a leaf table begin and end. */
static void a_heap_that_breathes(void **state)
{
    struct space *space = new_space();
    uint64_t start = 0x602000;
    uint64_t ends[] = {90, 40, 41, 12, 300, 299, 1, 0, 700, 510, 509, 511, 2, 64};

    space_init_break(space, vaddr(start));
    for (unsigned i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        uint64_t end = start + ends[i] * PAGE_SIZE;

        assert_int_equal(space_set_break(space, vaddr(end)).v, end);
        if (ends[i] > 0)
            put(space, end - PAGE_SIZE, i + 1);
        assert_status(try_get(space, end), ST_NOT_MAPPED);
        check_all(space); /* the bounds, too, which table_narrow() sets */
        assert_int_equal(resident(space) > 0, ends[i] > 0);
    }
    space_unref(space);
}

static void the_break(void **state)
{
    struct space *space = new_space();
    uint64_t start = 0x602000;

    space_init_break(space, vaddr(start + 0x100));
    assert_int_equal(space_set_break(space, vaddr(0)).v, start + 0x100);
    assert_int_equal(space_set_break(space, vaddr(start + 0x10100)).v, start + 0x10100);
    put(space, start + 0x10000, 5);
    assert_status(try_put(space, start + 0x11000, 5), ST_NOT_MAPPED);
    assert_int_equal(space_set_break(space, vaddr(start + 0x8000)).v, start + 0x8000);
    assert_status(try_get(space, start + 0x10000), ST_NOT_MAPPED);
    assert_int_equal(space_set_break(space, vaddr(start)).v, start + 0x8000); /* below the start: no */
    assert_int_equal(space_set_break(space, vaddr(start + 0x11000)).v, start + 0x11000);
    assert_int_equal(get(space, start + 0x10000), 0);
    map_at(space, start + 0x20000, 1, RW, 0); /* something in the way */
    assert_int_equal(space_set_break(space, vaddr(start + 0x21000)).v, start + 0x11000);
    check_all(space);
    space_unref(space);
}

static void limits(void **state)
{
    struct space *space = new_space();
    uint64_t at;

    space_set_limit(space, 100 * PAGE_SIZE);
    assert_ok(try_map(space, NULL, 0, BASE, 90, RW, SPACE_FIXED, &at));
    assert_status(try_map(space, NULL, 0, 0, 11, RW, 0, &at), ST_NO_MEMORY);
    assert_ok(
        try_map(space, NULL, 0, BASE, 90, ACCESS_READ, SPACE_FIXED, &at)); /* replaces: no more than before */
    assert_ok(try_map(space, NULL, 0, 0, 10, RW, 0, &at));
    check_all(space);
    space_unref(space);
}

static void stacks_grow(void **state)
{
    struct space *space = new_space();
    uint64_t top = 0x7fffff000000, other;

    map_at(space, top - 4 * PAGE_SIZE, 4, RW, SPACE_GROWS_DOWN);
    put(space, top - 8, 1);
    put(space, top - 20 * PAGE_SIZE, 2);
    put(space, top - 7 * MIB, 3);
    assert_int_equal(get(space, top - 20 * PAGE_SIZE), 2);
    assert_int_equal(vm_stats.fault_stack, 2);
    assert_status(try_put(space, top - 9 * MIB, 3), ST_NOT_MAPPED); /* the limit */
    check_all(space);
    unmap(space, top - 8 * MIB, 8 * MIB / PAGE_SIZE);

    /* The guard gap: 1 MiB below must be free. */
    map_at(space, top - 4 * PAGE_SIZE, 4, RW, SPACE_GROWS_DOWN);
    other = map_at(space, top - 2 * MIB, 16, RW, 0);
    put(space, top - MIB / 2, 1);
    assert_status(try_put(space, other + 20 * PAGE_SIZE, 1), ST_NOT_MAPPED);
    check_all(space);
    space_unref(space);
}

static void moving(void **state)
{
    struct space *space = new_space();
    struct vaddr out;
    uint64_t at = map_at(space, BASE, 10, RW, 0);

    for (uint64_t i = 0; i < 10; i += 2)
        put(space, at + i * PAGE_SIZE, i + 1);
    assert_ok(
        space_move(space, vaddr(at), 10 * PAGE_SIZE, 20 * PAGE_SIZE, 0, vaddr(0), &out)); /* grows in place */
    assert_int_equal(out.v, at);
    assert_int_equal(get(space, at + 15 * PAGE_SIZE), 0);
    map_at(space, at + 20 * PAGE_SIZE, 1, RW, 0);
    assert_int_not_equal(space_move(space, vaddr(at), 20 * PAGE_SIZE, 30 * PAGE_SIZE, 0, vaddr(0), &out),
                         ST_OK);
    assert_ok(space_move(space, vaddr(at), 20 * PAGE_SIZE, 600 * PAGE_SIZE, SPACE_MAY_MOVE, vaddr(0), &out));
    assert_int_not_equal(out.v, at);
    assert_status(try_get(space, at), ST_NOT_MAPPED);
    for (uint64_t i = 0; i < 600; i += 1 + i / 20)
        assert_int_equal(get(space, out.v + i * PAGE_SIZE), i < 10 && i % 2 == 0 ? i + 1 : 0);
    check_all(space);
    at = out.v;
    assert_ok(space_move(space, vaddr(at), 600 * PAGE_SIZE, 5 * PAGE_SIZE, 0, vaddr(0), &out)); /* shrinks */
    assert_int_equal(out.v, at);
    assert_status(try_get(space, at + 5 * PAGE_SIZE), ST_NOT_MAPPED);
    map_at(space, BASE, 5, RW, 0);
    put(space, BASE, 99);
    assert_ok(space_move(space, vaddr(at), 5 * PAGE_SIZE, 5 * PAGE_SIZE, SPACE_MAY_MOVE | SPACE_MOVE_FIXED,
                         vaddr(BASE), &out));
    assert_int_equal(out.v, BASE);
    assert_int_equal(get(space, BASE), 1);
    check_all(space);
    assert_status(space_move(space, vaddr(at), 5 * PAGE_SIZE, 5 * PAGE_SIZE, SPACE_MAY_MOVE, vaddr(0), &out),
                  ST_NOT_MAPPED);
    space_unref(space);
}

static void copies_by_the_kernel(void **state)
{
    struct space *space = new_space();
    uint64_t at = map_anon(space, 3, RW);
    char text[] = "over the edge of a page", back[sizeof(text)];
    size_t done;

    assert_ok(space_write(space, vaddr(at + PAGE_SIZE - 5), text, sizeof(text), &done));
    assert_int_equal(done, sizeof(text));
    assert_ok(space_read(space, vaddr(at + PAGE_SIZE - 5), back, sizeof(back), &done));
    assert_string_equal(text, back);
    assert_ok(sim_read(space, at + PAGE_SIZE - 5, back, sizeof(back), NULL));
    assert_string_equal(text, back);
    assert_status(space_write(space, vaddr(at + 3 * PAGE_SIZE - 4), text, sizeof(text), &done),
                  ST_NOT_MAPPED);
    assert_int_equal(done, 4);
    assert_ok(space_protect(space, vaddr(at), 3 * PAGE_SIZE, ACCESS_READ));
    assert_status(space_write(space, vaddr(at), text, 4, &done), ST_DENIED);
    assert_int_equal(done, 0);
    space_unref(space);
}

static void pinned_frames_are_held(void **state)
{
    struct space *space = new_space();
    uint64_t at = map_anon(space, 2, RW);
    struct frame *frame;

    put(space, at, 31);
    assert_ok(space_pin(space, vaddr(at + 123), ACCESS_WRITE, &frame));
    assert_int_equal(*(uint64_t *)frame_data(frame), 31);
    unmap(space, at, 2);
    assert_int_equal(*(uint64_t *)frame_data(frame), 31);
    frame_unref(frame);
    assert_status(space_pin(space, vaddr(at), ACCESS_READ, &frame), ST_NOT_MAPPED);
    check_all(space);
    space_unref(space);
}

static void a_new_space_for_each_life(void **state)
{
    uint64_t before;

    settle();
    before = frames_free();
    for (int life = 0; life < 1000; life++) {
        struct space *space = new_space();
        uint64_t at = map_anon(space, 20, RW);

        put(space, at + 5 * PAGE_SIZE, 1);
        put(space, map_anon(space, 1, RW), 1);
        space_unref(space);
    }
    settle();
    assert_int_equal(frames_free(), before);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_vm_64m, end_vm)
    const struct CMUnitTest tests[] = {
        CASE(an_empty_space),
        CASE(anonymous_memory_reads_zero_and_keeps_what_is_written),
        CASE(lengths_and_addresses_are_checked),
        CASE(fixed_replaces_and_no_replace_does_not),
        CASE(placement_never_overlaps),
        CASE(a_hint_is_a_wish),
        CASE(a_tebibyte_costs_a_few_words),
        CASE(unmapping_parts),
        CASE(protection),
        CASE(protecting_the_middle_splits_and_merges),
        CASE(protecting_a_hole_changes_what_lies_before),
        CASE(dont_need_gives_zeroes),
        CASE(residency),
        CASE(populate_makes_resident),
        CASE(ahead_maps_what_is_in_memory),
        CASE(ahead_copies_what_may_be_written),
        CASE(ahead_copies_nothing_that_is_only_read),
        CASE(ahead_copies_nothing_when_memory_is_short),
        CASE(ahead_gives_anonymous_memory_its_first_or_last_pages),
        CASE(a_heap_that_breathes),
        CASE(the_break),
        CASE(limits),
        CASE(stacks_grow),
        CASE(moving),
        CASE(copies_by_the_kernel),
        CASE(pinned_frames_are_held),
        CASE(a_new_space_for_each_life),
    };

    return cmocka_run_group_tests_name("mapping", tests, NULL, NULL);
}
