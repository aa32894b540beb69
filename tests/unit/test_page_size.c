/*
 * What page sizes cost (sim/page_size.c): the classic formula, cases by hand, and a brute-force count.
 */
#include "trace_support.h"

#include <stdlib.h>

#include "sim/page_size.h"

enum { GRAIN = 1024 };

static struct page_sizes sizes;

static void read_text(const char *text)
{
    struct trace_error error;
    struct trace *trace =
        trace_open(trace_text_file(text), &(struct trace_options){.page_bytes = GRAIN}, &error);

    assert_non_null(trace);
    if (!page_sizes_read(&sizes, trace, GRAIN, &error))
        fail_msg("%s", error.text);
    trace_close(trace);
}

static void expect(uint64_t page_bytes, uint64_t pages, uint64_t runs, uint64_t unused, uint64_t tables)
{
    struct page_size_row row;

    page_sizes_measure(&sizes, page_bytes, 8, &row);
    assert_int_equal(row.page_bytes, page_bytes);
    assert_int_equal(row.pages, pages);
    assert_int_equal(row.runs, runs);
    assert_int_equal(row.fragmentation, unused);
    assert_int_equal(row.entries, pages * 8);
    assert_int_equal(row.tables, tables * 4096);
}

/* Tanenbaum, Modern Operating Systems, "Page Size": s = 1 MB and e = 8 bytes: the best page has 4 KB. */
static void the_formula(void **state)
{
    double best = page_size_overhead(1 << 20, 8, 4096);

    assert_true(page_size_best(1 << 20, 8) == 4096);
    assert_true(page_size_table_cost(1 << 20, 8, 4096) == 2048);
    assert_true(best == 4096);
    for (double page = 512; page <= 1 << 21; page *= 2)
        assert_true(page_size_overhead(1 << 20, 8, page) >= best);
}

/* Kilobytes 0, 1, 2 and 5. */
static void by_hand(void **state)
{
    read_text("5 0 1 0 2 5w");
    assert_int_equal(page_sizes_used(&sizes), 4 * GRAIN);
    expect(1024, 4, 2, 0, 5); /* 10 bits of offset: five levels of 9 bits for 48 */
    expect(2048, 3, 1, 2048, 5);
    expect(4096, 2, 1, 4096, 4);
    expect(8192, 1, 1, 4096, 4);
    expect(2 << 20, 1, 1, (2 << 20) - 4096, 3);
    page_sizes_free(&sizes);
}

/* Two pieces that need tables of their own at the lowest level, and one far away that shares only the root.
 */
static void tables_of_pieces_apart(void **state)
{
    read_text("0 2048 1073741824");
    expect(4096, 3, 3, 9 * 1024, 3 + 2 + 2 + 1);
    expect(2 << 20, 3, 2, (6 << 20) - 3072, 2 + 2 + 1);
    page_sizes_free(&sizes);
}

static void numbers_follow_addresses(void **state)
{
    uint32_t numbers[4];

    read_text("9 0 3 8");
    page_sizes_number(&sizes, 4096, numbers);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(numbers[1], 0);
    assert_int_equal(numbers[2], 0);
    assert_int_equal(numbers[3], 1);
    page_sizes_free(&sizes);
}

/* Marks every page of every size in an array. */
static void against_brute_force(void **state)
{
    enum { KILOBYTES = 4096, REFERENCES = 300 };
    struct random dice = {3};
    char *text = malloc(REFERENCES * 8);
    bool *used = calloc(KILOBYTES, 1);
    size_t at = 0;

    assert_non_null(text);
    assert_non_null(used);
    for (unsigned i = 0; i < REFERENCES; i++) {
        unsigned kilobyte = (unsigned)(random_below(&dice, 64) * random_below(&dice, 64));

        used[kilobyte] = true;
        at += (size_t)snprintf(text + at, 8, "%u ", kilobyte);
    }
    read_text(text);
    for (uint64_t page = 1024; page <= 2 << 20; page *= 2) {
        uint64_t step = page / 1024, pages = 0, unused = 0, runs = 0;
        bool before = false;

        for (uint64_t first = 0; first < KILOBYTES; first += step) {
            uint64_t count = 0;

            for (uint64_t i = first; i < first + step; i++)
                count += used[i];
            pages += count > 0;
            unused += count > 0 ? (step - count) * 1024 : 0;
            runs += count > 0 && !before;
            before = count > 0;
        }
        struct page_size_row row;

        page_sizes_measure(&sizes, page, 8, &row);
        assert_int_equal(row.pages, pages);
        assert_int_equal(row.fragmentation, unused);
        assert_int_equal(row.runs, runs);
    }
    page_sizes_free(&sizes);
    free(text);
    free(used);
}

static int clean_up(void **state)
{
    trace_folder_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_formula),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(tables_of_pieces_apart),
        cmocka_unit_test(numbers_follow_addresses),
        cmocka_unit_test(against_brute_force),
    };

    return cmocka_run_group_tests_name("page sizes", tests, NULL, clean_up);
}
