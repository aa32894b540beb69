/*
 * Rows of vmbench: pages leave memory for swap, and come back. They run where there is swap.
 *
 * `MADV_PAGEOUT` sends the pages of a range out, dirty ones through swap; touching them in sequence brings
 * them back. The contents are words that no store can take for a page of zeroes.
 */
#include "vmbench.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#define AREA (16 * MIB)

static void fill(char *area)
{
    for (size_t at = 0; at < AREA; at += PAGE)
        memcpy(area + at, &(uint64_t){at + 1}, sizeof(uint64_t));
}

static size_t resident_pages(char *area)
{
    static unsigned char resident[AREA / PAGE];
    size_t count = 0;

    must(mincore(area, AREA, resident) == 0, "mincore");
    for (size_t page = 0; page < AREA / PAGE; page++)
        count += resident[page] & 1;
    return count;
}

/* An area whose pages have all left memory. */
static char *area_out(struct sample *sample)
{
    char *area = area_create(AREA, PAGES_SMALL);

    fill(area);
    sample_begin(sample);
    must(madvise(area, AREA, MADV_PAGEOUT) == 0, "madvise(MADV_PAGEOUT)");
    sample_end(sample, AREA / PAGE, 0);
    must(resident_pages(area) <= AREA / PAGE / 64, "MADV_PAGEOUT: pages that stay in memory");
    return area;
}

static void check(const char *area)
{
    for (size_t at = 0; at < AREA; at += PAGE) {
        uint64_t word;

        memcpy(&word, area + at, sizeof word);
        must(word == at + 1, "contents that came back from swap");
    }
}

static void run_out(struct sample *sample)
{
    area_destroy(area_out(sample), AREA);
}

static void run_in(struct sample *sample)
{
    struct sample unused = {0};
    char *area = area_out(&unused);

    sample_reads(sample, area, AREA);
    check(area);
    area_destroy(area, AREA);
}

static void run_in_write(struct sample *sample)
{
    struct sample unused = {0};
    char *area = area_out(&unused);

    sample_writes(sample, area, AREA);
    area_destroy(area, AREA);
}

/*
 * Memory is full: each page that comes needs another one's place. The area is larger than what is free by
 * what is measured and the distance that page-out keeps ahead of need.
 */
#define AHEAD (16 * MIB)

static char *area_too_large(size_t *bytes)
{
    struct sysinfo info;
    char *area;

    must(sysinfo(&info) == 0, "sysinfo");
    *bytes = (info.freeram * info.mem_unit + 2 * AHEAD + AREA) / PAGE * PAGE;
    must(info.freeswap * info.mem_unit > 4 * AHEAD + AREA, "swap: expected 80 MB of it");
    area = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(area != MAP_FAILED, "mmap");
    must(madvise(area, *bytes, MADV_NOHUGEPAGE) == 0, "madvise(MADV_NOHUGEPAGE)");
    return area;
}

static void run_write_full(struct sample *sample)
{
    struct sample unused = {0};
    size_t bytes;
    char *area = area_too_large(&bytes);

    sample_writes(&unused, area, bytes - AREA);
    sample_writes(sample, area + bytes - AREA, AREA);
    area_destroy(area, bytes);
}

/* Pages that have been read from swap since the machine started. */
static uint64_t pages_in(void)
{
    static char text[16 * KIB];
    int file = open("/proc/vmstat", O_RDONLY);
    ssize_t bytes;
    const char *line;

    must(file >= 0, "/proc/vmstat");
    bytes = read(file, text, sizeof text - 1);
    must(bytes > 0, "/proc/vmstat");
    close(file);
    text[bytes] = 0;
    line = strstr(text, "pswpin ");
    must(line != NULL, "pswpin in /proc/vmstat");
    return strtoull(line + 7, NULL, 10);
}

/* In order, again and again: which pages are in memory is the system's choice, so those that come are
 * counted. */
static void run_in_full(struct sample *sample)
{
    struct sample unused = {0};
    size_t bytes;
    char *area = area_too_large(&bytes);
    uint64_t before;

    sample_writes(&unused, area, bytes);
    sample_reads(&unused, area, bytes);
    before = pages_in();
    sample_reads(sample, area, bytes);
    sample->operations = pages_in() - before;
    must(sample->operations >= AREA / PAGE, "pages that come in while memory is full");
    area_destroy(area, bytes);
}

const struct row swap_rows[] = {
    {"swap: page out (per page, RAM disk)", run_out},
    {"swap: page in, sequential", run_in},
    {"swap: page in, sequential, written to", run_in_write},
    {"swap: memory full, write to fresh pages (each a page out)", run_write_full},
    {"swap: memory full, page in (each a page out)", run_in_full},
    {NULL, NULL},
};
