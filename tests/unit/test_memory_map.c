/*
 * The memory map: overlaps against a byte-per-page model, limits, unchanged on failure.
 */
#include "support.h"

static void add(struct memory_map *map, uint64_t start, uint64_t end, enum memory_kind kind)
{
    assert_ok(memory_map_add(map, (struct memory_range){paddr(start), paddr(end), kind}));
}

static void expect(const struct memory_map *map, unsigned at, uint64_t start, uint64_t end,
                   enum memory_kind kind)
{
    assert_true(at < map->count);
    assert_int_equal(map->ranges[at].start.v, start);
    assert_int_equal(map->ranges[at].end.v, end);
    assert_int_equal(map->ranges[at].kind, kind);
}

static void sorted_by_address(void **state)
{
    struct memory_map map = {0};

    add(&map, 0x5000, 0x6000, MEMORY_USABLE);
    add(&map, 0x1000, 0x2000, MEMORY_ACPI);
    add(&map, 0x3000, 0x4000, MEMORY_RESERVED);
    assert_int_equal(map.count, 3);
    expect(&map, 0, 0x1000, 0x2000, MEMORY_ACPI);
    expect(&map, 1, 0x3000, 0x4000, MEMORY_RESERVED);
    expect(&map, 2, 0x5000, 0x6000, MEMORY_USABLE);
}

static void neighbours_join(void **state)
{
    struct memory_map map = {0};

    add(&map, 0x1000, 0x2000, MEMORY_USABLE);
    add(&map, 0x3000, 0x4000, MEMORY_USABLE);
    add(&map, 0x2000, 0x3000, MEMORY_USABLE);
    assert_int_equal(map.count, 1);
    expect(&map, 0, 0x1000, 0x4000, MEMORY_USABLE);
}

static void stricter_kind_wins(void **state)
{
    struct memory_map map = {0};

    add(&map, 0, 0x10000, MEMORY_USABLE);
    add(&map, 0x4000, 0x8000, MEMORY_KERNEL);
    add(&map, 0x6000, 0xa000, MEMORY_RESERVED);
    add(&map, 0x2000, 0xc000, MEMORY_MODULE);
    assert_int_equal(map.count, 6);
    expect(&map, 0, 0, 0x2000, MEMORY_USABLE);
    expect(&map, 1, 0x2000, 0x4000, MEMORY_MODULE);
    expect(&map, 2, 0x4000, 0x6000, MEMORY_KERNEL);
    expect(&map, 3, 0x6000, 0xa000, MEMORY_RESERVED);
    expect(&map, 4, 0xa000, 0xc000, MEMORY_MODULE);
    expect(&map, 5, 0xc000, 0x10000, MEMORY_USABLE);
}

static void bad_ranges_are_refused(void **state)
{
    struct memory_map map = {0};

    assert_status(memory_map_add(&map, (struct memory_range){paddr(2), paddr(1), MEMORY_USABLE}), ST_INVALID);
    assert_status(memory_map_add(&map, (struct memory_range){paddr(1), paddr(2), (enum memory_kind)9}),
                  ST_INVALID);
    add(&map, 0x1000, 0x1000, MEMORY_USABLE); /* nothing */
    assert_int_equal(map.count, 0);
}

static void a_full_map_stays_as_it_is(void **state)
{
    struct memory_map map = {0}, before;

    for (uint64_t i = 0; i < MEMORY_RANGES_MAX; i++)
        add(&map, i * 0x4000, i * 0x4000 + 0x2000, MEMORY_USABLE);
    before = map;
    assert_status(memory_map_add(&map, (struct memory_range){paddr(0x1000), paddr(0x20000), MEMORY_ACPI}),
                  ST_NO_SPACE);
    assert_memory_equal(&map, &before, sizeof(map));
    /* What needs no entry still fits: it closes a gap. */
    add(&map, 0x2000, 0x4000, MEMORY_USABLE);
    assert_int_equal(map.count, MEMORY_RANGES_MAX - 1);
}

/* Strictness by kind, as frame.h has it in words: the test's own table. */
static const int rank_of[] = {
    [MEMORY_USABLE] = 0, [MEMORY_MODULE] = 1, [MEMORY_KERNEL] = 2, [MEMORY_ACPI] = 3, [MEMORY_RESERVED] = 4};

enum { MODEL = 200 };

static void compare(const struct memory_map *map, const int *model)
{
    int seen[MODEL];

    for (int i = 0; i < MODEL; i++)
        seen[i] = -1;
    for (unsigned i = 0; i < map->count; i++) {
        assert_true(map->ranges[i].start.v < map->ranges[i].end.v);
        if (i > 0) {
            assert_true(map->ranges[i - 1].end.v <= map->ranges[i].start.v);
            assert_false(map->ranges[i - 1].end.v == map->ranges[i].start.v &&
                         map->ranges[i - 1].kind == map->ranges[i].kind);
        }
        for (uint64_t at = map->ranges[i].start.v; at < map->ranges[i].end.v; at++)
            seen[at] = (int)map->ranges[i].kind;
    }
    assert_memory_equal(seen, model, sizeof(seen));
}

static void random_ranges_match_a_model(void **state)
{
    struct random random = {42};

    for (int round = 0; round < 300; round++) {
        struct memory_map map = {0};
        int model[MODEL];

        for (int i = 0; i < MODEL; i++)
            model[i] = -1;
        for (int step = 0; step < 30; step++) {
            uint64_t start = random_below(&random, MODEL);
            uint64_t end = start + random_below(&random, MODEL - start) / (1 + random_below(&random, 8));
            enum memory_kind kind = (enum memory_kind)random_below(&random, 5);

            add(&map, start, end, kind);
            for (uint64_t i = start; i < end; i++)
                if (model[i] < 0 || rank_of[kind] > rank_of[model[i]])
                    model[i] = (int)kind;
            compare(&map, model);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorted_by_address),         cmocka_unit_test(neighbours_join),
        cmocka_unit_test(stricter_kind_wins),        cmocka_unit_test(bad_ranges_are_refused),
        cmocka_unit_test(a_full_map_stays_as_it_is), cmocka_unit_test(random_ranges_match_a_model),
    };

    return cmocka_run_group_tests_name("memory map", tests, NULL, NULL);
}
