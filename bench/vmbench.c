/*
 * vmbench: the rows, and the loop around them.
 *
 * usage: vmbench [--json] [--repeat N] [--list] [ROW...]
 *   ROW is a row's number or a part of its name; without one all run. --repeat prints the least of N runs.
 */
#include "vmbench.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

static const struct row *const groups[] = {fault_rows, map_rows, process_rows, swap_rows};
enum { GROUPS = sizeof groups / sizeof groups[0] };

/* What an empty turn of a loop and an empty interval cost. */
static double loop_ticks;
static uint64_t interval_ticks;

void must(int worked, const char *what)
{
    if (worked)
        return;
    perror(what);
    exit(1);
}

char *area_create(size_t bytes, enum pages pages)
{
    size_t align = 2 * MIB;
    char *mapped = mmap(NULL, bytes + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *area = (char *)(((uintptr_t)mapped + align - 1) & ~(align - 1));

    must(mapped != MAP_FAILED, "mmap");
    if (area > mapped)
        munmap(mapped, (size_t)(area - mapped));
    munmap(area + bytes, align - (size_t)(area - mapped));
    if (pages == PAGES_SMALL)
        madvise(area, bytes, MADV_NOHUGEPAGE);
    return area;
}

void area_destroy(char *area, size_t bytes)
{
    must(munmap(area, bytes) == 0, "munmap");
}

int cached_file(size_t bytes)
{
    char name[] = "/tmp/vmbench-XXXXXX";
    int file = mkstemp(name);
    static char block[64 * 1024];

    must(file >= 0, "mkstemp");
    unlink(name);
    memset(block, 1, sizeof block);
    for (size_t done = 0; done < bytes; done += sizeof block)
        must(write(file, block, sizeof block) == sizeof block, "write");
    return file;
}

void sample_reads(struct sample *sample, const char *area, size_t bytes)
{
    sample_begin(sample);
    for (size_t at = 0; at < bytes; at += PAGE)
        touch_read(area + at);
    sample_end(sample, bytes / PAGE, bytes / PAGE);
}

void sample_writes(struct sample *sample, char *area, size_t bytes)
{
    sample_begin(sample);
    for (size_t at = 0; at < bytes; at += PAGE)
        touch_write(area + at);
    sample_end(sample, bytes / PAGE, bytes / PAGE);
}

/* The loops above over a page that is there, and intervals with nothing in them. */
static void calibrate(void)
{
    static char page[64 * KIB];
    struct sample sample = {0};

    memset(page, 1, sizeof page);
    for (int i = 0; i < 100; i++) {
        sample_begin(&sample);
        sample_end(&sample, 1, 0);
    }
    interval_ticks = sample.ticks / 100;
    memset(&sample, 0, sizeof sample);
    for (int i = 0; i < 100; i++)
        sample_writes(&sample, page, sizeof page);
    loop_ticks = ((double)sample.ticks - 100.0 * (double)interval_ticks) / (double)sample.turns;
}

static double cost(const struct sample *sample)
{
    double ticks = (double)sample->ticks - (double)(sample->intervals * interval_ticks) -
                   loop_ticks * (double)sample->turns;

    return ticks / (double)sample->operations;
}

/* ------------------------------------------------------------------ options and printing */

struct options {
    bool json;
    bool list;
    unsigned repeat;
    int names;
    char **name;
};

static void usage(void)
{
    fputs("usage: vmbench [--json] [--repeat N] [--list] [ROW...]\n", stderr);
    exit(2);
}

static struct options parse(int count, char **words)
{
    struct options options = {.repeat = 1};
    int i = 1;

    for (; i < count && words[i][0] == '-'; i++) {
        if (strcmp(words[i], "--json") == 0)
            options.json = true;
        else if (strcmp(words[i], "--list") == 0)
            options.list = true;
        else if (strcmp(words[i], "--repeat") == 0 && i + 1 < count && atoi(words[i + 1]) > 0)
            options.repeat = (unsigned)atoi(words[++i]);
        else
            usage();
    }
    options.names = count - i;
    options.name = words + i;
    return options;
}

static bool wanted(const struct options *options, const struct row *row, int number)
{
    for (int i = 0; i < options->names; i++) {
        char *end;
        long asked = strtol(options->name[i], &end, 10);

        if (*end == '\0' ? asked == number : strstr(row->name, options->name[i]) != NULL)
            return true;
    }
    return options->names == 0;
}

/* Without swap nothing pages out. */
static bool has_swap(void)
{
    struct sysinfo info;

    return sysinfo(&info) == 0 && info.totalswap > 0;
}

static double run(const struct row *row, unsigned repeat)
{
    double least = 0;

    for (unsigned i = 0; i < repeat; i++) {
        struct sample sample = {0};
        double result;

        row->run(&sample);
        result = cost(&sample);
        if (i == 0 || result < least)
            least = result;
    }
    return least;
}

static void print(const struct options *options, const struct row *row, double result, bool first)
{
    if (options->json)
        printf("%s\n  \"%s\": %.0f", first ? "{" : ",", row->name, result);
    else
        printf("%10.0f  %s\n", result, row->name);
    fflush(stdout);
}

int main(int count, char **words)
{
    struct options options;
    uint64_t start;
    bool first = true;
    int number = 0;

    if (count > 1 && strcmp(words[1], "--exit") == 0)
        _exit(0);
    start = ticks_now();
    options = parse(count, words);
    calibrate();
    for (size_t group = 0; group < GROUPS; group++) {
        for (const struct row *row = groups[group]; row->name; row++) {
            number++;
            if (!wanted(&options, row, number) ||
                (groups[group] == swap_rows && !options.list && !has_swap()))
                continue;
            if (options.list)
                printf("%2d  %s\n", number, row->name);
            else
                print(&options, row, run(row, options.repeat), first);
            first = false;
        }
    }
    if (options.json)
        printf("%s\n  \"ticks at the start\": %lu\n}\n", first ? "{" : ",", start);
    else if (!options.list && options.names == 0)
        printf("%10lu  ticks at the start\n", start);
    return first;
}
