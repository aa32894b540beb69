/*
 * What a page size costs: sim/page_size.h. Everything follows from the names of the grains in order.
 */
#include "sim/page_size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TABLE_BYTES = 4096, ADDRESS_BITS = 48 };

static int compare_names(const void *a, const void *b)
{
    uint64_t x = ((const struct page_size_grain *)a)->name, y = ((const struct page_size_grain *)b)->name;

    return x < y ? -1 : x > y;
}

bool page_sizes_read(struct page_sizes *sizes, struct trace *trace, uint64_t grain_bytes,
                     struct trace_error *error)
{
    struct policy_block block = {.count = 1};

    while (block.count > 0)
        if (!trace_next(trace, &block, error))
            return false;
    *sizes = (struct page_sizes){.grain_bytes = grain_bytes, .count = trace_pages(trace)};
    sizes->grains = malloc((sizes->count + 1) * sizeof(*sizes->grains));
    if (!sizes->grains) {
        snprintf(error->text, sizeof(error->text), "not enough memory for the pages");
        return false;
    }
    for (uint32_t i = 0; i < sizes->count; i++)
        sizes->grains[i] = (struct page_size_grain){trace_page_name(trace, i), i};
    qsort(sizes->grains, sizes->count, sizeof(*sizes->grains), compare_names);
    return true;
}

void page_sizes_free(struct page_sizes *sizes)
{
    free(sizes->grains);
    *sizes = (struct page_sizes){0};
}

uint64_t page_sizes_used(const struct page_sizes *sizes)
{
    return sizes->count * sizes->grain_bytes;
}

static unsigned log_2(uint64_t power_of_two)
{
    return (unsigned)__builtin_ctzll(power_of_two);
}

/* How many different values name >> shift has. */
static uint64_t count_distinct(const struct page_sizes *sizes, unsigned shift)
{
    uint64_t distinct = 0;

    for (uint32_t i = 0; i < sizes->count; i++)
        distinct += i == 0 || sizes->grains[i].name >> shift != sizes->grains[i - 1].name >> shift;
    return distinct;
}

static uint64_t count_runs(const struct page_sizes *sizes, unsigned shift)
{
    uint64_t runs = 0;

    for (uint32_t i = 0; i < sizes->count; i++)
        runs += i == 0 || (sizes->grains[i].name >> shift) - (sizes->grains[i - 1].name >> shift) > 1;
    return runs;
}

/* Tables of all levels: each has `slots` bits of the address, from the page's size upwards. */
static uint64_t count_tables(const struct page_sizes *sizes, unsigned page_shift, unsigned entry_bytes)
{
    unsigned slots = log_2(TABLE_BYTES / entry_bytes), grain = log_2(sizes->grain_bytes), shift = page_shift;
    uint64_t tables = 0;

    while (shift < ADDRESS_BITS) {
        shift += slots;
        tables += shift - grain >= 64 ? 1 : count_distinct(sizes, shift - grain);
    }
    return tables;
}

void page_sizes_measure(const struct page_sizes *sizes, uint64_t page_bytes, unsigned entry_bytes,
                        struct page_size_row *row)
{
    unsigned shift = log_2(page_bytes / sizes->grain_bytes);

    row->page_bytes = page_bytes;
    row->pages = count_distinct(sizes, shift);
    row->runs = count_runs(sizes, shift);
    row->fragmentation = row->pages * page_bytes - page_sizes_used(sizes);
    row->entries = row->pages * entry_bytes;
    row->tables = count_tables(sizes, log_2(page_bytes), entry_bytes) * TABLE_BYTES;
}

void page_sizes_number(const struct page_sizes *sizes, uint64_t page_bytes, uint32_t *numbers)
{
    unsigned shift = log_2(page_bytes / sizes->grain_bytes);
    uint32_t number = 0;

    for (uint32_t i = 0; i < sizes->count; i++) {
        number += i > 0 && sizes->grains[i].name >> shift != sizes->grains[i - 1].name >> shift;
        numbers[sizes->grains[i].number] = number;
    }
}

double page_size_table_cost(double size, double entry, double page)
{
    return size * entry / page;
}

double page_size_overhead(double size, double entry, double page)
{
    return page_size_table_cost(size, entry, page) + page / 2;
}

double page_size_best(double size, double entry)
{
    return sqrt(2 * size * entry);
}
