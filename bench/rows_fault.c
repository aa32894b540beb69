/* Rows of vmbench: page faults. Each touches 16 MiB once, so that page tables are a 512th of the figure. */
#include "vmbench.h"
#include <sys/syscall.h>
#include <sys/wait.h>

enum { RW = PROT_READ | PROT_WRITE };
#define AREA (16 * MIB)

static void run_getpid(struct sample *sample)
{
    enum { TURNS = 10000 };

    sample_begin(sample);
    for (int i = 0; i < TURNS; i++) {
        long result = SYS_getpid;

        __asm__ volatile("syscall" : "+a"(result)::"rcx", "r11", "memory");
    }
    sample_end(sample, TURNS, TURNS);
}

static void run_zero_read(struct sample *sample)
{
    char *area = area_create(AREA, PAGES_SMALL);

    sample_reads(sample, area, AREA);
    area_destroy(area, AREA);
}

static void run_write(struct sample *sample)
{
    char *area = area_create(AREA, PAGES_SMALL);

    sample_writes(sample, area, AREA);
    area_destroy(area, AREA);
}

static void run_write_after_read(struct sample *sample)
{
    char *area = area_create(AREA, PAGES_SMALL);
    struct sample unused = {0};

    sample_reads(&unused, area, AREA);
    sample_writes(sample, area, AREA);
    area_destroy(area, AREA);
}

static void run_shared_write(struct sample *sample)
{
    char *area = mmap(NULL, AREA, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    must(area != MAP_FAILED, "mmap");
    sample_writes(sample, area, AREA);
    area_destroy(area, AREA);
}

static void run_huge_write(struct sample *sample)
{
    char *area = area_create(2 * AREA, PAGES_DEFAULT);

    sample_writes(sample, area, 2 * AREA);
    area_destroy(area, 2 * AREA);
}

static void run_populate(struct sample *sample)
{
    char *area;

    sample_begin(sample);
    area = mmap(NULL, 2 * AREA, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    sample_end(sample, 2 * AREA / PAGE, 0);
    must(area != MAP_FAILED, "mmap");
    area_destroy(area, 2 * AREA);
}

static void run_dontneed(struct sample *sample)
{
    char *area = area_create(AREA, PAGES_SMALL);
    struct sample unused = {0};

    sample_writes(&unused, area, AREA);
    for (int i = 0; i < 4; i++) {
        sample_begin(sample);
        madvise(area, AREA, MADV_DONTNEED);
        sample_end(sample, 0, 0);
        sample_writes(sample, area, AREA);
    }
    area_destroy(area, AREA);
}

static void run_mincore(struct sample *sample)
{
    enum { TURNS = 100 };
    char *area = area_create(MIB, PAGES_SMALL);
    unsigned char resident[MIB / PAGE];
    struct sample unused = {0};

    sample_writes(&unused, area, MIB);
    sample_begin(sample);
    for (int i = 0; i < TURNS; i++)
        mincore(area, MIB, resident);
    sample_end(sample, TURNS, TURNS);
    area_destroy(area, MIB);
}

/* The child writes what it shares with the parent: copies. The sample is in memory that both see. */
static void run_copy(struct sample *sample)
{
    struct sample *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *area = area_create(AREA, PAGES_SMALL);
    struct sample unused = {0};
    pid_t child;

    must(shared != MAP_FAILED, "mmap");
    sample_writes(&unused, area, AREA);
    child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        struct sample own = {0};

        sample_writes(&own, area, AREA);
        *shared = own;
        _exit(0);
    }
    waitpid(child, NULL, 0);
    *sample = *shared;
    munmap(shared, PAGE);
    area_destroy(area, AREA);
}

/* The child is gone; the parent is the only owner again. */
static void run_reuse(struct sample *sample)
{
    char *area = area_create(AREA, PAGES_SMALL);
    struct sample unused = {0};
    pid_t child;

    sample_writes(&unused, area, AREA);
    child = fork();
    must(child >= 0, "fork");
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    sample_writes(sample, area, AREA);
    area_destroy(area, AREA);
}

/* ------------------------------------------------------------------ files in the page cache */

static char *map_file(int protection, int flags)
{
    static int file = -1;
    char *area;

    if (file < 0)
        file = cached_file(AREA);
    area = mmap(NULL, AREA, protection, flags, file, 0);
    must(area != MAP_FAILED, "mmap of a file");
    return area;
}

static void run_file_read(struct sample *sample)
{
    char *area = map_file(PROT_READ, MAP_SHARED);

    sample_reads(sample, area, AREA);
    area_destroy(area, AREA);
}

static void run_file_read_one(struct sample *sample)
{
    char *area = map_file(PROT_READ, MAP_SHARED);

    madvise(area, AREA, MADV_RANDOM);
    sample_reads(sample, area, AREA);
    area_destroy(area, AREA);
}

static void run_file_shared_write(struct sample *sample)
{
    char *area = map_file(RW, MAP_SHARED);

    sample_writes(sample, area, AREA);
    area_destroy(area, AREA);
}

static void run_file_private_write(struct sample *sample)
{
    char *area = map_file(RW, MAP_PRIVATE);

    sample_writes(sample, area, AREA);
    area_destroy(area, AREA);
}

const struct row fault_rows[] = {
    {"getpid", run_getpid},
    {"fault: anonymous read (zero page)", run_zero_read},
    {"fault: anonymous write, 4 KiB", run_write},
    {"fault: write to a zero page that was read", run_write_after_read},
    {"fault: shared anonymous write", run_shared_write},
    {"anonymous write, huge pages by default (per 4 KiB)", run_huge_write},
    {"mmap MAP_POPULATE (per 4 KiB)", run_populate},
    {"MADV_DONTNEED and rewrite (per 4 KiB)", run_dontneed},
    {"mincore, 1 MiB touched", run_mincore},
    {"fault: copy-on-write, copies", run_copy},
    {"fault: copy-on-write, sole owner reuses", run_reuse},
    {"file read through a mapping, sequential (per page, fault-around)", run_file_read},
    {"file read through a mapping, fault-around off (per fault)", run_file_read_one},
    {"fault: file, shared write", run_file_shared_write},
    {"fault: file, private write (copies)", run_file_private_write},
    {NULL, NULL},
};
