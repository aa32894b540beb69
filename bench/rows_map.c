/* Rows of vmbench: changing what is mapped. */
#include "vmbench.h"
#include <signal.h>

enum { RW = PROT_READ | PROT_WRITE, TURNS = 200 };

static char *map_private(size_t bytes)
{
    return mmap(NULL, bytes, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* mmap, touch every page or none, munmap: one operation. */
static void map_and_unmap(struct sample *sample, size_t bytes, int touch)
{
    munmap(map_private(bytes), bytes); /* the tables of the place are there or not, as they will be */
    sample_begin(sample);
    for (int i = 0; i < TURNS; i++) {
        char *area = map_private(bytes);

        for (size_t at = 0; touch && at < bytes; at += PAGE)
            touch_write(area + at);
        munmap(area, bytes);
    }
    sample_end(sample, TURNS, TURNS + (touch ? TURNS * (bytes / PAGE) : 0));
}

static void run_map_page(struct sample *sample)
{
    map_and_unmap(sample, PAGE, 0);
}

static void run_map_page_touched(struct sample *sample)
{
    map_and_unmap(sample, PAGE, 1);
}

static void run_map_mib(struct sample *sample)
{
    map_and_unmap(sample, MIB, 0);
}

static void run_map_mib_touched(struct sample *sample)
{
    map_and_unmap(sample, MIB, 1);
}

static void run_unmap(struct sample *sample)
{
    for (int i = 0; i < 4; i++) {
        char *area = area_create(8 * MIB, PAGES_SMALL);
        struct sample unused = {0};

        sample_writes(&unused, area, 8 * MIB);
        sample_begin(sample);
        munmap(area, 8 * MIB);
        sample_end(sample, 8 * MIB / PAGE, 0);
    }
}

/* Regions that cannot be merged: every other page of a range has other rights. */
static void run_map_among_many(struct sample *sample)
{
    enum { REGIONS = 2000 };
    char *regions = map_private(REGIONS * PAGE);

    must(regions != MAP_FAILED, "mmap");
    for (size_t i = 0; i < REGIONS; i += 2)
        mprotect(regions + i * PAGE, PAGE, PROT_READ);
    map_and_unmap(sample, PAGE, 1);
    munmap(regions, REGIONS * PAGE);
}

/* One operation is one call: the rights go back and forth. */
static void protect(struct sample *sample, char *at, size_t bytes)
{
    sample_begin(sample);
    for (int i = 0; i < TURNS; i++) {
        mprotect(at, bytes, PROT_READ);
        mprotect(at, bytes, RW);
    }
    sample_end(sample, 2 * TURNS, TURNS);
}

static void run_protect_page(struct sample *sample)
{
    /* A page with a neighbour on neither side. */
    char *area = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    mprotect(area + PAGE, PAGE, RW);
    touch_write(area + PAGE);
    munmap(area, PAGE);
    munmap(area + 2 * PAGE, PAGE);
    protect(sample, area + PAGE, PAGE);
    munmap(area + PAGE, PAGE);
}

static void run_protect_middle(struct sample *sample)
{
    char *area = map_private(3 * PAGE);

    for (size_t i = 0; i < 3; i++)
        touch_write(area + i * PAGE);
    protect(sample, area + PAGE, PAGE);
    munmap(area, 3 * PAGE);
}

static void run_protect_mib(struct sample *sample)
{
    char *area = area_create(MIB, PAGES_SMALL);
    struct sample unused = {0};

    sample_writes(&unused, area, MIB);
    protect(sample, area, MIB);
    area_destroy(area, MIB);
}

static char *guarded;

static void open_page(int signal)
{
    (void)signal;
    mprotect(guarded, PAGE, RW);
}

/* One operation: the page is closed, written, the handler opens it, the write is retried. */
static void run_fault_handler(struct sample *sample)
{
    struct sigaction action = {.sa_handler = open_page};
    struct sigaction before;

    guarded = map_private(PAGE);
    touch_write(guarded);
    sigaction(SIGSEGV, &action, &before);
    sample_begin(sample);
    for (int i = 0; i < TURNS; i++) {
        mprotect(guarded, PAGE, PROT_READ);
        touch_write(guarded);
    }
    sample_end(sample, TURNS, TURNS);
    sigaction(SIGSEGV, &before, NULL);
    munmap(guarded, PAGE);
}

static void run_move(struct sample *sample)
{
    char *ground = area_create(8 * MIB, PAGES_SMALL);
    char *places[2] = {ground, ground + 4 * MIB};
    struct sample unused = {0};

    sample_writes(&unused, ground, MIB);
    munmap(ground + MIB, 7 * MIB);
    sample_begin(sample);
    for (int i = 0; i < TURNS; i++)
        mremap(places[i % 2], MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED, places[(i + 1) % 2]);
    sample_end(sample, TURNS, TURNS);
    must(munmap(places[TURNS % 2], MIB) == 0, "munmap of what was moved");
}

static void run_brk(struct sample *sample)
{
    char *start = sbrk(0);

    start += -(uintptr_t)start & (PAGE - 1);
    must(brk(start) == 0, "brk");
    sample_begin(sample);
    for (size_t i = 0; i < TURNS; i++) {
        brk(start + (i + 1) * PAGE);
        touch_write(start + i * PAGE);
    }
    sample_end(sample, TURNS, TURNS);
    must(brk(start) == 0, "brk");
}

const struct row map_rows[] = {
    {"mmap + munmap, 1 page untouched", run_map_page},
    {"mmap + munmap, 1 page touched", run_map_page_touched},
    {"mmap + munmap, 1 MiB untouched", run_map_mib},
    {"mmap + munmap, 1 MiB touched", run_map_mib_touched},
    {"munmap 8 MiB touched (per 4 KiB)", run_unmap},
    {"mmap + munmap, 1 page, 2000 regions present", run_map_among_many},
    {"mprotect 1 page", run_protect_page},
    {"mprotect, middle page (split and merge)", run_protect_middle},
    {"mprotect 1 MiB touched", run_protect_mib},
    {"SIGSEGV, handler mprotects, retry", run_fault_handler},
    {"mremap, move 1 MiB touched", run_move},
    {"brk, grow 4 KiB touched", run_brk},
    {NULL, NULL},
};
