/*
 * The page-table library on the host: a million pages of 4 KiB in an arena of 512 MiB. Prints nanoseconds a
 * page (or a table), the best of some rounds.
 *
 *   bench_pt             every row
 *   bench_pt ROW         one row once, for valgrind --tool=callgrind --toggle-collect=row_ROW (instructions)
 */
#include "quire/pt_cursor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGES = 1 << 20, ROUNDS = 5 };
#define ARENA ((uint64_t)512 << 20)
#define START ((uint64_t)0x100000000)
#define SPARSE ((uint64_t)0x10000000000) /* a page in each level-1 table */
enum { SPARSE_TABLES = 1 << 14 };

static unsigned char *arena;
static uint64_t arena_next, given;
static uint32_t *order; /* a permutation */
static struct pt pt;
static struct pt_alloc alloc;

/* A bump allocator whose frames are zero already (the arena is new each time), and which remembers what came
 * back. */
static bool take(void *context, struct paddr *out)
{
    *out = paddr(arena_next);
    arena_next += PAGE_SIZE;
    return arena_next <= ARENA;
}

static void give(void *context, struct paddr frame)
{
    given++;
}

static void give_page(void *context, struct paddr page, unsigned level)
{
    given++;
}

static void flush(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
}
static const struct pt_flusher flusher = {.flush = flush};

static _Noreturn __attribute__((cold)) void failed(enum status status)
{
    fprintf(stderr, "bench_pt: %s\n", status_name(status));
    exit(1);
}

static void must(enum status status)
{
    if (status != ST_OK)
        failed(status);
}

/* ------------------------------------------------------------------ rows; each names what was there before
 */

#define ROW __attribute__((noinline)) static void

ROW row_map_1(void)
{
    for (uint64_t i = 0; i < PAGES; i++) {
        struct pt_map request = {.start = vaddr(START + i * PAGE_SIZE),
                                 .to = paddr(i * PAGE_SIZE),
                                 .length_bytes = PAGE_SIZE,
                                 .flags = pt_flags(PT_FLAG_WRITE),
                                 .size = PT_SIZE_4K};
        must(pt_flush_ignore(pt_map(&pt, &request)));
    }
}

static void map_by(uint64_t pages)
{
    for (uint64_t i = 0; i < PAGES; i += pages) {
        struct pt_map request = {.start = vaddr(START + i * PAGE_SIZE),
                                 .to = paddr(i * PAGE_SIZE),
                                 .length_bytes = pages * PAGE_SIZE,
                                 .flags = pt_flags(PT_FLAG_WRITE),
                                 .size = PT_SIZE_4K};
        must(pt_flush_ignore(pt_map(&pt, &request)));
    }
}

ROW row_map_16(void)
{
    map_by(16);
}

ROW row_map_512(void)
{
    map_by(512);
}

ROW row_map_all(void)
{
    map_by(PAGES);
}

static volatile uint64_t sink;

ROW row_translate(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < PAGES; i++) {
        struct pt_translation translation;
        must(pt_translate(&pt, vaddr(START + i * PAGE_SIZE), &translation));
        sum += translation.paddr.v;
    }
    sink = sum;
}

ROW row_translate_random(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < PAGES; i++) {
        struct pt_translation translation;
        must(pt_translate(&pt, vaddr(START + order[i] * PAGE_SIZE), &translation));
        sum += translation.paddr.v;
    }
    sink = sum;
}

ROW row_protect_1(void)
{
    for (uint64_t i = 0; i < PAGES; i++)
        must(pt_flush_ignore(pt_protect(&pt, vaddr(START + i * PAGE_SIZE), PAGE_SIZE, pt_flags(PT_FLAG_USER),
                                        pt_flags(PT_FLAG_WRITE), PT_STRICT)));
}

ROW row_protect_all(void)
{
    must(pt_flush_ignore(pt_protect(&pt, vaddr(START), PAGES * PAGE_SIZE, pt_flags(PT_FLAG_USER),
                                    pt_flags(PT_FLAG_WRITE), PT_STRICT)));
}

ROW row_unmap_1(void)
{
    for (uint64_t i = 0; i < PAGES; i++)
        must(pt_flush_ignore(pt_unmap(&pt, vaddr(START + i * PAGE_SIZE), PAGE_SIZE, PT_STRICT)));
}

ROW row_unmap_all(void)
{
    must(pt_flush_ignore(pt_unmap(&pt, vaddr(START), PAGES * PAGE_SIZE, PT_STRICT)));
}

ROW row_unmap_give(void)
{
    static uint64_t storage[512];
    struct pt_batch batch;

    pt_batch_init(&batch, &alloc, &flusher, storage, 512);
    must(pt_unmap_give(&pt, vaddr(START), PAGES * PAGE_SIZE, PT_STRICT, &batch));
    pt_batch_finish(&batch);
}

ROW row_cursor_map(void)
{
    struct pt_cursor cursor = pt_cursor(&pt);

    for (uint64_t i = 0; i < PAGES; i++)
        must(pt_flush_ignore(pt_cursor_map(&cursor, vaddr(START + i * PAGE_SIZE), paddr(i * PAGE_SIZE),
                                           pt_flags(PT_FLAG_WRITE))));
}

ROW row_cursor_translate(void)
{
    struct pt_cursor cursor = pt_cursor(&pt);
    uint64_t sum = 0;

    for (uint64_t i = 0; i < PAGES; i++) {
        struct pt_translation translation;
        must(pt_cursor_translate(&cursor, vaddr(START + i * PAGE_SIZE), &translation));
        sum += translation.paddr.v;
    }
    sink = sum;
}

ROW row_cursor_unmap(void)
{
    struct pt_cursor cursor = pt_cursor(&pt);

    for (uint64_t i = 0; i < PAGES; i++)
        must(pt_flush_ignore(pt_cursor_unmap(&cursor, vaddr(START + i * PAGE_SIZE))));
}

static void clean(uint64_t start, uint64_t bytes)
{
    static uint64_t storage[512];
    struct pt_batch batch;

    pt_batch_init(&batch, &alloc, &flusher, storage, 512);
    must(pt_clean(&pt, vaddr(start), bytes, &batch));
    pt_batch_finish(&batch);
}

ROW row_clean_dense(void)
{
    clean(START, PAGES * PAGE_SIZE);
}

ROW row_clean_sparse(void)
{
    clean(SPARSE, SPARSE_TABLES * HUGE_SIZE * 4);
}

/* ------------------------------------------------------------------ what is there before a row */

static void nothing(void)
{
}

static void mapped(void)
{
    map_by(PAGES);
}

static void emptied(void)
{
    map_by(PAGES);
    row_unmap_all();
}

/* Level-1 tables with holes between them. */
static void emptied_sparse(void)
{
    for (uint64_t i = 0; i < SPARSE_TABLES; i++)
        must(pt_make_tables(&pt, vaddr(SPARSE + i * 4 * HUGE_SIZE), PAGE_SIZE, 1));
}

static const struct row {
    const char *name, *text;
    void (*before)(void);
    void (*run)(void);
    uint64_t count;
} rows[] = {
    {"map_1", "map, a page at a time", nothing, row_map_1, PAGES},
    {"map_16", "map, 16 pages a call", nothing, row_map_16, PAGES},
    {"map_512", "map, 512 pages a call", nothing, row_map_512, PAGES},
    {"map_all", "map, one call", nothing, row_map_all, PAGES},
    {"translate", "translate, sequential", mapped, row_translate, PAGES},
    {"translate_random", "translate, random", mapped, row_translate_random, PAGES},
    {"protect_1", "change flags, a page at a time", mapped, row_protect_1, PAGES},
    {"protect_all", "change flags, one call", mapped, row_protect_all, PAGES},
    {"unmap_1", "unmap, a page at a time", mapped, row_unmap_1, PAGES},
    {"unmap_all", "unmap, one call, frames kept", mapped, row_unmap_all, PAGES},
    {"unmap_give", "unmap, one call, every frame handed back", mapped, row_unmap_give, PAGES},
    {"cursor_map", "map with a cursor, a page at a time", nothing, row_cursor_map, PAGES},
    {"cursor_translate", "translate with a cursor, sequential", mapped, row_cursor_translate, PAGES},
    {"cursor_unmap", "unmap with a cursor, a page at a time", mapped, row_cursor_unmap, PAGES},
    {"clean_dense", "clean up an empty table, dense", emptied, row_clean_dense, PAGES / 512},
    {"clean_sparse", "clean up an empty table, sparse", emptied_sparse, row_clean_sparse, SPARSE_TABLES},
};

static double run_row(const struct row *row)
{
    struct timespec from, to;

    memset(arena, 0, arena_next);
    arena_next = 0;
    must(pt_create(&pt, pt_reach_offset((uint64_t)(uintptr_t)arena), &alloc));
    row->before();
    clock_gettime(CLOCK_MONOTONIC, &from);
    row->run();
    clock_gettime(CLOCK_MONOTONIC, &to);
    return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
           (double)row->count;
}

int main(int argc, char **argv)
{
    uint64_t random = 1;

    arena = aligned_alloc(HUGE_SIZE, ARENA);
    arena_next = ARENA / 4; /* touched before anything is measured */
    order = malloc(PAGES * sizeof *order);
    alloc = (struct pt_alloc){.take = take, .give = give, .give_page = give_page, .zeroed = true};
    for (uint32_t i = 0; i < PAGES; i++)
        order[i] = i;
    for (uint32_t i = PAGES - 1; i > 0; i--) {
        random = random * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
        uint32_t k = (uint32_t)(random >> 33) % (i + 1), spare = order[i];
        order[i] = order[k];
        order[k] = spare;
    }
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        double best = 1e18;

        if (argc > 1 && strcmp(argv[1], rows[r].name) != 0)
            continue;
        for (unsigned round = 0; round < (argc > 1 ? 1 : ROUNDS); round++) {
            double ns = run_row(&rows[r]);
            best = ns < best ? ns : best;
        }
        printf("%-44s %8.2f ns\n", rows[r].text, best);
    }
    return 0;
}
