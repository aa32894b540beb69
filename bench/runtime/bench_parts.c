/*
 * Parts of the runtime's work, each beside the least that the same work can cost:
 *
 *      fault       a page that is there in the store's memory, all of it: the signal, the copy, the words and
 * queues; beside a handler that does nothing but UFFDIO_COPY from one page, on a memfd registered alike scan
 * all bytes of a file, in order, downwards, and a page in 16, summed; beside read(2) with O_DIRECT, a MiB at
 * a time pin         quire_pin() and quire_unpin() of a page in memory
 *
 *      bench-parts [FOLDER [WAY]]
 *
 * FOLDER: where a file of 512 MiB is made, and removed; default /var/tmp. WAY: only those whose names have
 * that in them.
 *
 * Each round runs every way once, one after the other; medians of five rounds.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_common.h"
#include "quire/quire.h"
#include "runtime/uffd.h"

enum { ROUNDS = 5, FAULT_PAGES = 32768, SCAN_MIB = 512, SCAN_MEMORY_MIB = 64, PINS = 2000000, COLUMN = 16 };

/* The same order for everybody: neither in sequence, nor what a stream would know. */
static uint64_t scattered(uint64_t i)
{
    return i * 0x9e3779b1u % FAULT_PAGES;
}

/* ------------------------------------------------------------------ a fault */

static struct {
    int uffd;
    uint8_t *page;
} bare;

static void bare_handler(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (uffd_copy(bare.uffd, (void *)((uintptr_t)info->si_addr & ~(uintptr_t)PAGE_MASK), bare.page, PAGE_SIZE,
                  true) != ST_OK)
        _exit(1);
}

static double touch_all(const volatile uint8_t *memory)
{
    double began = seconds_now();

    for (uint64_t i = 0; i < FAULT_PAGES; i++)
        (void)memory[scattered(i) * PAGE_SIZE];
    return (seconds_now() - began) * 1e9 / FAULT_PAGES;
}

static double bare_fault(void)
{
    struct sigaction ours = {.sa_sigaction = bare_handler, .sa_flags = SA_SIGINFO}, before;
    const char *why = "";
    int memory = memfd_create("bench", MFD_CLOEXEC);
    uint8_t *start;
    double ns;

    bare.uffd = uffd_open(UFFD_SIGNALS, &why);
    bare.page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    if (bare.uffd < 0 || memory < 0 || !bare.page || ftruncate(memory, FAULT_PAGES * PAGE_SIZE) != 0)
        die(why);
    memset(bare.page, 1, PAGE_SIZE);
    start = mmap(NULL, FAULT_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (start == MAP_FAILED || uffd_register(bare.uffd, start, FAULT_PAGES * PAGE_SIZE) != ST_OK)
        die("registering");
    sigaction(SIGBUS, &ours, &before);
    ns = touch_all(start);
    sigaction(SIGBUS, &before, NULL);
    munmap(start, FAULT_PAGES * PAGE_SIZE);
    close(memory);
    close(bare.uffd);
    free(bare.page);
    return ns;
}

static struct quire_pager *open_pager(uint64_t bytes)
{
    struct quire_pager *pager;
    struct quire_error error = {"no memory"};

    if (quire_open(&(struct quire_options){.memory_bytes = bytes}, &pager, &error) != ST_OK)
        die(error.text);
    return pager;
}

static void *map_all(struct quire_pager *pager, struct store *store, uint64_t length,
                     enum quire_advice advice)
{
    struct quire_error error = {"no memory"};
    void *memory;

    if (quire_map(pager, &(struct quire_mapping){.store = store, .length = length}, &memory, &error) !=
            ST_OK ||
        quire_advise(memory, length, advice) != ST_OK)
        die(error.text);
    return memory;
}

static void close_all(struct quire_pager *pager, struct store *store)
{
    if (quire_close(pager) != ST_OK)
        die("closing");
    store_close(store);
}

static double quire_faults(void)
{
    struct quire_pager *pager = open_pager(2 * FAULT_PAGES * PAGE_SIZE);
    struct store *store = store_memory_filled(FAULT_PAGES);
    double ns;

    if (!store)
        die("a store in memory");
    ns = touch_all(map_all(pager, store, FAULT_PAGES * PAGE_SIZE, QUIRE_RANDOM));
    close_all(pager, store);
    return ns;
}

/* ------------------------------------------------------------------ a scan */

static char path[4096];
static volatile uint64_t sink;

static void sum(const uint64_t *words, uint64_t bytes)
{
    uint64_t total = 0;

    for (uint64_t i = 0; i < bytes / sizeof(*words); i++)
        total += words[i];
    sink = total;
}

static double mib_a_second(uint64_t bytes, double began)
{
    return (double)bytes / (1 << 20) / (seconds_now() - began);
}

static double scan_direct(void)
{
    enum { PIECE = 1 << 20 };
    void *memory = aligned_alloc(PAGE_SIZE, PIECE);
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    double began = seconds_now();

    if (fd < 0 || !memory)
        die(path);
    for (unsigned i = 0; i < SCAN_MIB; i++) {
        if (pread(fd, memory, PIECE, (off_t)i * PIECE) != PIECE)
            die(path);
        sum(memory, PIECE);
    }
    close(fd);
    free(memory);
    return mib_a_second((uint64_t)SCAN_MIB << 20, began);
}

/* A page in `step`; negative: from the end. */
static double scan_quire(int64_t step)
{
    struct quire_pager *pager = open_pager((uint64_t)SCAN_MEMORY_MIB << 20);
    struct store *store;
    struct quire_error error;
    int64_t pages = (int64_t)SCAN_MIB << 8, length = step < 0 ? -step : step;
    uint8_t *memory;
    double began, result;

    if (quire_file(path, QUIRE_FILE_READ_ONLY, 0, &store, &error) != ST_OK)
        die(error.text);
    if (quire_map(pager,
                  &(struct quire_mapping){
                      .store = store, .length = (uint64_t)SCAN_MIB << 20, .flags = QUIRE_READ_ONLY},
                  (void **)&memory, &error) != ST_OK)
        die(error.text);
    began = seconds_now();
    for (int64_t i = 0; i < pages; i += length)
        sum((const uint64_t *)(memory + (step < 0 ? pages - 1 - i : i) * (int64_t)PAGE_SIZE), PAGE_SIZE);
    result = mib_a_second((uint64_t)(pages / length) * PAGE_SIZE, began);
    close_all(pager, store);
    return result;
}

static double scan_up(void)
{
    return scan_quire(1);
}

static double scan_down(void)
{
    return scan_quire(-1);
}

static double scan_column(void)
{
    return scan_quire(COLUMN);
}

/* The same pages by read(2), one after the other: what a column costs without read-ahead. */
static double column_direct(void)
{
    void *memory = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    uint64_t pages = (uint64_t)SCAN_MIB << 8;
    double began = seconds_now();

    if (fd < 0 || !memory)
        die(path);
    for (uint64_t i = 0; i < pages; i += COLUMN) {
        if (pread(fd, memory, PAGE_SIZE, (off_t)(i * PAGE_SIZE)) != (ssize_t)PAGE_SIZE)
            die(path);
        sum(memory, PAGE_SIZE);
    }
    close(fd);
    free(memory);
    return mib_a_second(pages / COLUMN * PAGE_SIZE, began);
}

static void make_file(const char *folder)
{
    enum { PIECE = 1 << 20 };
    uint8_t *memory = aligned_alloc(PAGE_SIZE, PIECE);
    int fd;

    snprintf(path, sizeof(path), "%s/quire-bench-XXXXXX", folder);
    fd = mkstemp(path);
    if (fd < 0 || !memory)
        die(path);
    for (unsigned i = 0; i < SCAN_MIB; i++) {
        for (unsigned at = 0; at < PIECE; at += sizeof(uint64_t)) {
            uint64_t word = ((uint64_t)i << 32 | at) * 0x9e3779b97f4a7c15u;

            memcpy(memory + at, &word, sizeof(word));
        }
        if (write(fd, memory, PIECE) != PIECE)
            die(path);
    }
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    free(memory);
}

/* ------------------------------------------------------------------ a pin */

static double pins(void)
{
    struct quire_pager *pager = open_pager(1 << 20);
    struct store *store = store_memory_filled(16);
    uint8_t *memory = map_all(pager, store, 16 * PAGE_SIZE, QUIRE_NORMAL);
    double began, ns;

    *(volatile uint8_t *)memory = 1;
    began = seconds_now();
    for (unsigned i = 0; i < PINS; i++) {
        if (quire_pin(memory, 8, ACCESS_READ) != ST_OK)
            die("pinning");
        quire_unpin(memory, 8);
    }
    ns = (seconds_now() - began) * 1e9 / PINS / 2;
    close_all(pager, store);
    return ns;
}

/* ------------------------------------------------------------------ all */

static const struct way {
    const char *name, *unit;
    double (*run)(void);
} ways[] = {
    {"fault, UFFDIO_COPY and no more", "ns", bare_fault},
    {"fault, libquire", "ns", quire_faults},
    {"scan, read(2) with O_DIRECT, 1 MiB", "MiB/s", scan_direct},
    {"scan, libquire", "MiB/s", scan_up},
    {"scan downwards, libquire", "MiB/s", scan_down},
    {"a page in 16, read(2) with O_DIRECT", "MiB/s", column_direct},
    {"a page in 16, libquire", "MiB/s", scan_column},
    {"pin or unpin a page in memory", "ns", pins},
};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static int by_size(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;

    return difference < 0 ? -1 : difference > 0;
}

int main(int argc, char **argv)
{
    static double figures[WAYS][ROUNDS];
    const char *wanted = argc > 2 ? argv[2] : "";

    make_file(argc > 1 ? argv[1] : "/var/tmp");
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < WAYS; i++)
            if (strstr(ways[i].name, wanted))
                figures[i][round] = ways[i].run();
    unlink(path);
    for (unsigned i = 0; i < WAYS; i++) {
        if (!strstr(ways[i].name, wanted))
            continue;
        qsort(figures[i], ROUNDS, sizeof(figures[i][0]), by_size);
        printf("%-40s %10.1f %s\n", ways[i].name, figures[i][ROUNDS / 2], ways[i].unit);
    }
    return 0;
}
