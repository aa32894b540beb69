/*
 * patterns: how many faults of a program that reads a buffer in one of four orders are major ones. Runs in
 * Quire and on Linux; bench/patterns boots it.
 *
 * usage: patterns [--megabytes N] [--accesses N] PATTERN...
 *
 * The buffer is written once from its first page to its last; then so many accesses are made, each the read
 * of one word of one page, which is checked. Printed are the major faults of the accesses (getrusage's
 * ru_majflt) and the pages of the buffer that are in memory at the end (mincore).
 *
 *   cyclic     the pages in order, again and again
 *   uniform    any page
 *   80-20      four in five accesses to a fifth of the pages, which lie anywhere; else to one of the others
 *   hot-scan   four in five accesses to any page of the first fifth; between them, 512 pages at a time, all
 *              pages are read in order
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PAGE ((size_t)4096)
#define MIB ((size_t)1024 * 1024)

enum { HOT_PART = 5, COLD_SHARE = 5, SCAN_RUN = 512 };

struct buffer {
    char *at;
    size_t pages;
    uint32_t *order; /* a random order of the pages */
    size_t turn, scanned;
    uint64_t random;
};

/* ------------------------------------------------------------------ orders */

/* xorshift64* (S. Vigna, 2016). */
static uint64_t random_word(struct buffer *buffer)
{
    buffer->random ^= buffer->random >> 12;
    buffer->random ^= buffer->random << 25;
    buffer->random ^= buffer->random >> 27;
    return buffer->random * 0x2545f4914f6cdd1du;
}

static size_t random_below(struct buffer *buffer, size_t bound)
{
    return (size_t)((random_word(buffer) >> 32) * bound >> 32);
}

static size_t cyclic(struct buffer *buffer)
{
    return buffer->turn++ % buffer->pages;
}

static size_t uniform(struct buffer *buffer)
{
    return random_below(buffer, buffer->pages);
}

static size_t skewed(struct buffer *buffer)
{
    size_t hot = buffer->pages / HOT_PART;
    bool is_cold = random_below(buffer, COLD_SHARE) == 0;

    return buffer
        ->order[is_cold ? hot + random_below(buffer, buffer->pages - hot) : random_below(buffer, hot)];
}

static size_t hot_scan(struct buffer *buffer)
{
    size_t turn = buffer->turn++ % (SCAN_RUN * COLD_SHARE);

    if (turn < SCAN_RUN * (COLD_SHARE - 1))
        return random_below(buffer, buffer->pages / HOT_PART);
    return buffer->scanned++ % buffer->pages;
}

static const struct pattern {
    const char *name;
    size_t (*next)(struct buffer *buffer);
} patterns[] = {{"cyclic", cyclic}, {"uniform", uniform}, {"80-20", skewed}, {"hot-scan", hot_scan}};
enum { PATTERNS = sizeof patterns / sizeof patterns[0] };

/* ------------------------------------------------------------------ the buffer */

static void must(bool worked, const char *what)
{
    if (worked)
        return;
    perror(what);
    exit(1);
}

static void shuffle(struct buffer *buffer)
{
    for (size_t i = 0; i < buffer->pages; i++)
        buffer->order[i] = (uint32_t)i;
    for (size_t i = buffer->pages - 1; i > 0; i--) {
        size_t other = random_below(buffer, i + 1);
        uint32_t moved = buffer->order[i];

        buffer->order[i] = buffer->order[other];
        buffer->order[other] = moved;
    }
}

static uint64_t word_of(size_t page)
{
    return (page + 1) * 0x9e3779b97f4a7c15u;
}

static void fill(struct buffer *buffer)
{
    for (size_t page = 0; page < buffer->pages; page++) {
        uint64_t word = word_of(page);

        memcpy(buffer->at + page * PAGE, &word, sizeof word);
    }
}

static void touch(const struct buffer *buffer, size_t page)
{
    uint64_t word;

    memcpy(&word, buffer->at + page * PAGE, sizeof word);
    if (word == word_of(page))
        return;
    printf("page %zu has 0x%lx, expected 0x%lx\n", page, word, word_of(page));
    exit(1);
}

static long major_faults(void)
{
    struct rusage usage;

    must(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
    return usage.ru_majflt;
}

static size_t resident_pages(const struct buffer *buffer)
{
    unsigned char *in = calloc(buffer->pages, 1);
    size_t count = 0;

    must(in != NULL && mincore(buffer->at, buffer->pages * PAGE, in) == 0, "mincore");
    for (size_t page = 0; page < buffer->pages; page++)
        count += in[page] & 1;
    free(in);
    return count;
}

static void run(const struct pattern *pattern, size_t bytes, size_t accesses)
{
    struct buffer buffer = {.pages = bytes / PAGE, .random = 88172645463325252u};
    long before;

    buffer.order = calloc(buffer.pages, sizeof *buffer.order);
    must(buffer.order != NULL, "calloc");
    shuffle(&buffer);
    buffer.at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(buffer.at != MAP_FAILED, "mmap");
    must(madvise(buffer.at, bytes, MADV_NOHUGEPAGE) == 0, "madvise");
    fill(&buffer);
    before = major_faults();
    for (size_t i = 0; i < accesses; i++)
        touch(&buffer, pattern->next(&buffer));
    printf("%s %ld %zu\n", pattern->name, major_faults() - before, resident_pages(&buffer));
    fflush(stdout);
    munmap(buffer.at, bytes);
    free(buffer.order);
}

/* ------------------------------------------------------------------ options */

static void usage(void)
{
    fputs("usage: patterns [--megabytes N] [--accesses N] PATTERN...\n", stderr);
    exit(2);
}

static const struct pattern *pattern_find(const char *name)
{
    for (size_t i = 0; i < PATTERNS; i++)
        if (strcmp(name, patterns[i].name) == 0)
            return &patterns[i];
    usage();
    return NULL;
}

static size_t number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*end != '\0' || value == 0 || value > 1 << 30)
        usage();
    return value;
}

int main(int count, char **words)
{
    size_t bytes = 96 * MIB, accesses = 49152;
    int i = 1;

    for (; i + 1 < count && words[i][0] == '-'; i += 2) {
        if (strcmp(words[i], "--megabytes") == 0)
            bytes = number(words[i + 1]) * MIB;
        else if (strcmp(words[i], "--accesses") == 0)
            accesses = number(words[i + 1]);
        else
            usage();
    }
    if (i == count)
        usage();
    for (; i < count; i++)
        run(pattern_find(words[i]), bytes, accesses);
    return 0;
}
