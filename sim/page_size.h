/*
 * What a page size costs: memory that pages hold and nobody uses, and tables.
 *
 * A trace says which pieces of memory a program used, down to a *grain*: the trace's own page, or less where
 * it has addresses. A page of a larger size is held if one grain of it is used.
 *
 * The classic estimate (A. S. Tanenbaum, Modern Operating Systems, "Page Size"): a process of s bytes whose
 * entries have e bytes pays s * e / p for its table and wastes half of its last page, p / 2; the sum is least
 * for p = sqrt(2 * s * e).
 */
#ifndef QUIRE_SIM_PAGE_SIZE_H
#define QUIRE_SIM_PAGE_SIZE_H

#include "sim/trace.h"

struct page_size_grain {
    uint64_t name;   /* address divided by the grain */
    uint32_t number; /* in the trace */
};

struct page_sizes {
    uint64_t grain_bytes;
    uint32_t count;
    struct page_size_grain *grains; /* by name, ascending */
};

struct page_size_row {
    uint64_t page_bytes;
    uint64_t pages;         /* that are held */
    uint64_t runs;          /* of neighbouring pages */
    uint64_t fragmentation; /* bytes that are held and not used */
    uint64_t entries;       /* bytes of a table that has an entry for each held page and no other */
    uint64_t tables;        /* bytes of a tree of tables of 4 KiB each, for 48-bit addresses */
};

/* Reads the trace (of pages of `grain_bytes`) to its end. False with *error, and nothing to free. */
bool page_sizes_read(struct page_sizes *sizes, struct trace *trace, uint64_t grain_bytes,
                     struct trace_error *error);
void page_sizes_free(struct page_sizes *sizes);

/* Bytes that were used: the s of the formula. */
uint64_t page_sizes_used(const struct page_sizes *sizes);
/* `page_bytes` a multiple of the grain by a power of two; entries of `entry_bytes`, at most 64, a power of
 * two. */
void page_sizes_measure(const struct page_sizes *sizes, uint64_t page_bytes, unsigned entry_bytes,
                        struct page_size_row *row);
/* numbers[n]: the page of that size which holds the trace's page n, dense by ascending address; there are as
 * many `numbers` as sizes->count. */
void page_sizes_number(const struct page_sizes *sizes, uint64_t page_bytes, uint32_t *numbers);

/* The classic formula, in bytes. */
double page_size_table_cost(double size, double entry, double page);
double page_size_overhead(double size, double entry, double page);
double page_size_best(double size, double entry);

#endif
