/*
 * The page-table library on the host: a million pages of 4 KiB in an arena of 512 MiB, each row beside the
 * plain loop of reference_pt.c in the same run, the two taking turns. Nanoseconds a page (or a table), the
 * best of some rounds.
 *
 *   bench-pt [-1] [-t] [NAME]
 *       -1   one round: for valgrind (bench/pt counts the instructions inside the functions row_... and
 * plain_...) -t   for programs: name, text, goals, ns, plain row, its ns, separated by tabs -s   a
 * sixty-fourth of the pages: only to see that every row works
 */
#include "quire/pt_cursor.h"
#include "reference_pt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_PAGES = 1 << 20, ROUNDS = 21 };
#define PAGES ((uint64_t)pages_now)
#define SPARSE_TABLES ((uint64_t)pages_now / 64)
#define ARENA ((uint64_t)512 << 20)
#define START ((uint64_t)0x100000000)
#define SPARSE ((uint64_t)0x10000000000) /* a page in each level-1 table */

static uint32_t pages_now = MOST_PAGES;
static unsigned char *arena;
static uint64_t arena_next;
static struct paddr *stack; /* of pages that came back */
static uint64_t given;
static uint32_t *order; /* a permutation */
static struct paddr *list;
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

static uint64_t tables_back;
static void give(void *context, struct paddr frame)
{
    tables_back++;
}

static void give_page(void *context, struct paddr page, unsigned level)
{
    stack[given++] = page;
}

static void give_pages(void *context, const struct paddr *pages, unsigned count)
{
    memcpy(&stack[given], pages, count * sizeof *pages);
    given += count;
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

/* ------------------------------------------------------------------ rows */

/* The address of a page. The compiler shall know no more of it than of any that a caller comes with. */
static inline uint64_t page_address(uint64_t i)
{
    uint64_t address = START + i * PAGE_SIZE;

    __asm__("" : "+r"(address));
    return address;
}

#define ROW __attribute__((noinline)) static void

ROW row_map_1(void)
{
    for (uint64_t i = 0; i < PAGES; i++)
        must(pt_flush_ignore(
            pt_map_page(&pt, vaddr(page_address(i)), paddr(i * PAGE_SIZE), pt_flags(PT_FLAG_WRITE))));
}

static void map_by(uint64_t pages)
{
    for (uint64_t i = 0; i < PAGES; i += pages) {
        struct pt_map request = {.start = vaddr(page_address(i)),
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
        must(pt_translate(&pt, vaddr(page_address(i)), &translation));
        sum += translation.paddr.v + translation.flags.bits + translation.level;
    }
    sink = sum;
}

ROW row_translate_random(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < PAGES; i++) {
        struct pt_translation translation;
        must(pt_translate(&pt, vaddr(page_address(order[i])), &translation));
        sum += translation.paddr.v + translation.flags.bits + translation.level;
    }
    sink = sum;
}

ROW row_protect_1(void)
{
    for (uint64_t i = 0; i < PAGES; i++)
        must(pt_flush_ignore(
            pt_protect_page(&pt, vaddr(page_address(i)), pt_flags(PT_FLAG_USER), pt_flags(PT_FLAG_WRITE))));
}

ROW row_protect_all(void)
{
    must(pt_flush_ignore(pt_protect(&pt, vaddr(START), PAGES * PAGE_SIZE, pt_flags(PT_FLAG_USER),
                                    pt_flags(PT_FLAG_WRITE), PT_STRICT)));
}

ROW row_unmap_1(void)
{
    for (uint64_t i = 0; i < PAGES; i++)
        must(pt_flush_ignore(pt_unmap_page(&pt, vaddr(page_address(i)))));
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
        must(pt_flush_ignore(
            pt_cursor_map(&cursor, vaddr(page_address(i)), paddr(i * PAGE_SIZE), pt_flags(PT_FLAG_WRITE))));
}

ROW row_cursor_translate(void)
{
    struct pt_cursor cursor = pt_cursor(&pt);
    uint64_t sum = 0;

    for (uint64_t i = 0; i < PAGES; i++) {
        struct pt_translation translation;
        must(pt_cursor_translate(&cursor, vaddr(page_address(i)), &translation));
        sum += translation.paddr.v + translation.flags.bits + translation.level;
    }
    sink = sum;
}

ROW row_cursor_unmap(void)
{
    struct pt_cursor cursor = pt_cursor(&pt);

    for (uint64_t i = 0; i < PAGES; i++)
        must(pt_flush_ignore(pt_cursor_unmap(&cursor, vaddr(page_address(i)))));
}

static uint64_t accessed[MOST_PAGES / 64], dirty[MOST_PAGES / 64];

/* Accessed and dirty bits of all pages: to bitmaps, and cleared. */
ROW row_harvest(void)
{
    struct pt_harvest harvest = {.start = vaddr(START),
                                 .length_bytes = PAGES * PAGE_SIZE,
                                 .clear = pt_flags(PT_FLAG_ACCESSED | PT_FLAG_DIRTY),
                                 .accessed = accessed,
                                 .dirty = dirty};

    pt.live = true;
    must(pt_flush_ignore(pt_harvest(&pt, &harvest)));
}

ROW row_map_list(void)
{
    struct pt_map_list request = {
        .start = vaddr(START), .frames = list, .count = PAGES, .flags = pt_flags(PT_FLAG_WRITE)};

    must(pt_flush_ignore(pt_map_list(&pt, &request)));
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

/* ------------------------------------------------------------------ the plain loops */

static bool reference_take(void *context, uint64_t *frame)
{
    struct paddr taken;

    if (!take(context, &taken))
        return false;
    *frame = taken.v;
    return true;
}

static void plain_must(enum reference_status status)
{
    if (status != REFERENCE_OK)
        failed(ST_INVALID);
}

static struct reference reference(void)
{
    return (struct reference){
        .root = pt.root.v, .offset = (uint64_t)(uintptr_t)arena, .take = reference_take};
}

ROW plain_map(void)
{
    struct reference tables = reference();

    for (uint64_t i = 0; i < PAGES; i++)
        plain_must(reference_map(&tables, page_address(i), i * PAGE_SIZE, PT_PRESENT | PT_WRITE));
}

ROW plain_translate(void)
{
    struct reference tables = reference();
    struct reference_translation found;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < PAGES; i++) {
        plain_must(reference_translate(&tables, page_address(i), &found));
        sum += found.physical + found.flags + found.level;
    }
    sink = sum;
}

ROW plain_translate_random(void)
{
    struct reference tables = reference();
    struct reference_translation found;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < PAGES; i++) {
        plain_must(reference_translate(&tables, page_address(order[i]), &found));
        sum += found.physical + found.flags + found.level;
    }
    sink = sum;
}

ROW plain_protect(void)
{
    struct reference tables = reference();

    for (uint64_t i = 0; i < PAGES; i++)
        plain_must(reference_protect(&tables, page_address(i), PT_USER, PT_WRITE));
}

ROW plain_harvest(void)
{
    struct reference tables = reference();
    uint64_t old;

    for (uint64_t i = 0; i < PAGES; i++) {
        plain_must(reference_harvest(&tables, page_address(i), &old));
        if (old & PT_ACCESSED)
            accessed[i / 64] |= (uint64_t)1 << i % 64;
        if (old & PT_DIRTY)
            dirty[i / 64] |= (uint64_t)1 << i % 64;
    }
}

ROW plain_unmap(void)
{
    struct reference tables = reference();
    uint64_t frame;

    for (uint64_t i = 0; i < PAGES; i++)
        plain_must(reference_unmap(&tables, page_address(i), &frame));
}

ROW plain_unmap_give(void)
{
    struct reference tables = reference();
    uint64_t frame;

    for (uint64_t i = 0; i < PAGES; i++) {
        plain_must(reference_unmap(&tables, page_address(i), &frame));
        alloc.give_page(NULL, paddr(frame), 1);
    }
}

ROW plain_clean_dense(void)
{
    struct reference tables = reference();

    sink = reference_clean(&tables, START, PAGES * PAGE_SIZE);
}

ROW plain_clean_sparse(void)
{
    struct reference tables = reference();

    sink = reference_clean(&tables, SPARSE, SPARSE_TABLES * HUGE_SIZE * 4);
}

/* ------------------------------------------------------------------ what is there before a row */

static void nothing(void)
{
}

static void mapped(void)
{
    map_by(PAGES);
}

static void marked(void)
{
    map_by(PAGES);
    must(pt_flush_ignore(pt_protect(&pt, vaddr(START), PAGES * PAGE_SIZE,
                                    pt_flags(PT_FLAG_ACCESSED | PT_FLAG_DIRTY), pt_flags(0), PT_STRICT)));
}

static void emptied(void)
{
    map_by(PAGES);
    must(pt_flush_ignore(pt_unmap(&pt, vaddr(START), PAGES * PAGE_SIZE, PT_STRICT)));
}

/* Level-1 tables with holes between them. */
static void emptied_sparse(void)
{
    for (uint64_t i = 0; i < SPARSE_TABLES; i++)
        must(pt_make_tables(&pt, vaddr(SPARSE + i * 4 * HUGE_SIZE), PAGE_SIZE, 1));
}

struct plain {
    const char *name;
    void (*run)(void);
};
static const struct plain with_map = {"plain_map", plain_map};
static const struct plain with_translate = {"plain_translate", plain_translate};
static const struct plain with_translate_random = {"plain_translate_random", plain_translate_random};
static const struct plain with_protect = {"plain_protect", plain_protect};
static const struct plain with_harvest = {"plain_harvest", plain_harvest};
static const struct plain with_unmap = {"plain_unmap", plain_unmap};
static const struct plain with_unmap_give = {"plain_unmap_give", plain_unmap_give};
static const struct plain with_clean_dense = {"plain_clean_dense", plain_clean_dense};
static const struct plain with_clean_sparse = {"plain_clean_sparse", plain_clean_sparse};

static const struct row {
    const char *name, *text;
    void (*before)(void);
    void (*run)(void);
    unsigned per; /* pages for which there is one operation that counts */
    const struct plain *plain;
    double goal; /* times as fast as the plain loop */
    double instructions;
} rows[] = {
    {"map_1", "map, a page at a time", nothing, row_map_1, 1, &with_map, 1, 0},
    {"map_16", "map, 16 pages a call", nothing, row_map_16, 1, &with_map, 5, 0},
    {"map_512", "map, 512 pages a call", nothing, row_map_512, 1, &with_map, 10, 1.7},
    {"map_all", "map, one call", nothing, row_map_all, 1, &with_map, 10, 1.7},
    {"map_list", "map a list of frames, one call", nothing, row_map_list, 1, &with_map, 1, 0},
    {"translate", "translate, sequential", mapped, row_translate, 1, &with_translate, 1, 0},
    {"translate_random", "translate, random", mapped, row_translate_random, 1, &with_translate_random, 1, 0},
    {"protect_1", "change flags, a page at a time", mapped, row_protect_1, 1, &with_protect, 1, 0},
    {"protect_all", "change flags, one call", mapped, row_protect_all, 1, &with_protect, 8, 0},
    {"harvest", "test and clear accessed and dirty, one call", marked, row_harvest, 1, &with_harvest, 1, 0},
    {"unmap_1", "unmap, a page at a time", mapped, row_unmap_1, 1, &with_unmap, 1, 0},
    {"unmap_all", "unmap, one call, frames kept", mapped, row_unmap_all, 1, &with_unmap, 2, 0},
    {"unmap_give", "unmap, one call, every frame handed back", mapped, row_unmap_give, 1, &with_unmap_give, 2,
     0},
    {"cursor_map", "map with a cursor, a page at a time", nothing, row_cursor_map, 1, &with_map, 1.6, 0},
    {"cursor_translate", "translate with a cursor, sequential", mapped, row_cursor_translate, 1,
     &with_translate, 2, 0},
    {"cursor_unmap", "unmap with a cursor, a page at a time", mapped, row_cursor_unmap, 1, &with_unmap, 1, 0},
    {"clean_dense", "clean up an empty table, dense", emptied, row_clean_dense, 512, &with_clean_dense, 40,
     0},
    {"clean_sparse", "clean up an empty table, sparse", emptied_sparse, row_clean_sparse, 64,
     &with_clean_sparse, 40, 0},
};

/* Nanoseconds of this thread an operation of `run`. */
static double time_of(const struct row *row, void (*run)(void))
{
    struct timespec from, to;

    memset(arena, 0, arena_next);
    arena_next = 0;
    given = 0;
    must(pt_create(&pt, pt_reach_offset((uint64_t)(uintptr_t)arena), &alloc));
    row->before();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    run();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
           ((double)PAGES / row->per);
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static void measure(const struct row *row, unsigned rounds, bool for_programs)
{
    double ns = 1e18, plain_ns = 1e18;

    for (unsigned round = 0; round < rounds; round++) {
        plain_ns = least(plain_ns, time_of(row, row->plain->run));
        ns = least(ns, time_of(row, row->run));
    }
    if (for_programs)
        printf("row_%s\t%s\t%u\t%g\t%g\t%.3f\t%s\t%.3f\n", row->name, row->text, row->per, row->goal,
               row->instructions, ns, row->plain->name, plain_ns);
    else
        printf("%-46s %8.2f ns, plain loop %8.2f ns, %6.1f times as fast\n", row->text, ns, plain_ns,
               plain_ns / ns);
}

static void prepare(void)
{
    uint64_t random = 1;

    arena = aligned_alloc(HUGE_SIZE, ARENA);
    arena_next = ARENA / 4; /* touched before anything is measured */
    order = malloc(PAGES * sizeof *order);
    list = malloc(PAGES * sizeof *list);
    stack = malloc(PAGES * sizeof *stack);
    memset(stack, 1, PAGES * sizeof *stack); /* touched */
    alloc = (struct pt_alloc){
        .take = take, .give = give, .give_page = give_page, .give_pages = give_pages, .zeroed = true};
    for (uint32_t i = 0; i < PAGES; i++)
        order[i] = i;
    for (uint32_t i = pages_now - 1; i > 0; i--) {
        random = random * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
        uint32_t k = (uint32_t)(random >> 33) % (i + 1), spare = order[i];
        order[i] = order[k];
        order[k] = spare;
    }
    for (uint32_t i = 0; i < PAGES; i++)
        list[i] = paddr(order[i] * PAGE_SIZE);
}

int main(int argc, char **argv)
{
    unsigned rounds = ROUNDS;
    bool for_programs = false;
    const char *only = NULL;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-1") == 0)
            rounds = 1;
        else if (strcmp(argv[i], "-t") == 0)
            for_programs = true;
        else if (strcmp(argv[i], "-s") == 0)
            pages_now = MOST_PAGES / 64;
        else
            only = argv[i];
    }
    prepare();
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++)
        if (!only || strcmp(only, rows[r].name) == 0)
            measure(&rows[r], rounds, for_programs);
    return 0;
}
