/*
 * The table of what a paged program has mapped (runtime/preload/extents.h) against a flat array of pages, by
 * random changes; and what happens when it is full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "preload/extents.h"

enum { PAGES = 200, ROUNDS = 20000, NOT = -1 };
#define PAGE ((uintptr_t)4096)
#define BASE ((uintptr_t)0x10000000)

static uintptr_t at(unsigned page)
{
    return BASE + page * PAGE;
}

static void compare(const struct extents *extents, const int *model)
{
    uint64_t bytes = 0;

    assert_null(extents_check(extents));
    for (unsigned page = 0; page < PAGES; page++) {
        const struct extent *extent = extents_at(extents, at(page) + 7);

        assert_int_equal(extent ? extent->protection : NOT, model[page]);
        bytes += model[page] != NOT ? PAGE : 0;
    }
    assert_int_equal(extents_bytes(extents), bytes);
}

static bool model_free(const int *model, unsigned first, unsigned end)
{
    while (first < end && model[first] == NOT)
        first++;
    return first == end;
}

static bool model_covers(const int *model, unsigned first, unsigned end)
{
    while (first < end && model[first] != NOT)
        first++;
    return first == end;
}

/* The lowest place of so many free pages below `limit`. */
static uintptr_t model_find(const int *model, unsigned pages, unsigned limit)
{
    for (unsigned first = 0; first + pages <= limit; first++)
        if (model_free(model, first, first + pages))
            return at(first);
    return 0;
}

static void random_changes(void **state)
{
    struct extent items[PAGES + 4];
    struct extents extents = {at(0), at(PAGES), at(150), items, 0, PAGES + 4};
    int model[PAGES];

    srand(1);
    for (unsigned page = 0; page < PAGES; page++)
        model[page] = NOT;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned first = (unsigned)rand() % PAGES, end = first + 1 + (unsigned)rand() % 20;
        int protection = rand() % 5 == 0 ? NOT : rand() % 3;

        end = end < PAGES ? end : PAGES;
        assert_int_equal(extents_are_free(&extents, at(first), at(end)), model_free(model, first, end));
        assert_int_equal(extents_cover(&extents, at(first), at(end)), model_covers(model, first, end));
        assert_int_equal(extents_find(&extents, (end - first) * PAGE, 0),
                         model_find(model, end - first, 150));
        if (protection == NOT)
            assert_true(extents_unset(&extents, at(first), at(end)));
        else
            assert_true(extents_set(&extents, at(first), at(end), protection));
        for (unsigned page = first; page < end; page++)
            model[page] = protection;
        if (round % 400 == 399) { /* begin again: a full table finds nothing */
            assert_true(extents_unset(&extents, at(0), at(PAGES)));
            for (unsigned page = 0; page < PAGES; page++)
                model[page] = NOT;
        }
        compare(&extents, model);
    }
}

/* What gets room to grow gets it while there is any. */
static void room(void **state)
{
    struct extent items[16];
    struct extents extents = {at(0), at(100), at(100), items, 0, 16};

    assert_int_equal(extents_find(&extents, 10 * PAGE, 10 * PAGE), at(0));
    assert_true(extents_set(&extents, at(15), at(20), 1));
    assert_int_equal(extents_find(&extents, 10 * PAGE, 10 * PAGE), at(20));
    assert_true(extents_set(&extents, at(20), at(85), 2));
    assert_int_equal(extents_find(&extents, 10 * PAGE, 10 * PAGE), at(0)); /* without */
    assert_int_equal(extents_find(&extents, 16 * PAGE, 0), 0);
}

static void full(void **state)
{
    struct extent items[6], before[6];
    struct extents extents = {at(0), at(100), at(100), items, 0, 6};

    for (unsigned i = 0; i < 4; i++)
        assert_true(extents_set(&extents, at(i * 4), at(i * 4 + 3), 1));
    memcpy(before, items, sizeof(items));
    assert_false(extents_set(&extents, at(50), at(51), 1));
    assert_int_equal(extents.count, 4);
    assert_memory_equal(before, items, 4 * sizeof(items[0]));
    assert_true(extents_unset(&extents, at(0), at(1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_changes), cmocka_unit_test(room),
                                       cmocka_unit_test(full)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
