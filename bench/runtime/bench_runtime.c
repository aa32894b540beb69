/*
 * The runtime beside its peers, one round of one of them: bench/runtime/run puts many together.
 *
 *      bench-runtime WAY STORE DIST THREADS SECONDS DATA_MIB BUDGET_MIB [POLICY]
 *
 *      WAY     quire      libquire
 *              anonymous  libquire without reference bits (QUIRE_WAY_ANONYMOUS)
 *              pinned     the same, each access between quire_pin() and quire_unpin(): a miss is no signal
 *              umap       LLNL's UMap, installed in the folder $QUIRE_BENCH_UMAP: pages of 4 KiB, a buffer of
 * the budget, the rest as it is; "memory" is a memfd
 *              explicit   a buffer manager by hand, in the style of vmcache (Leis et al., SIGMOD 2023): one
 * word of state a page, memory by mmap, CLOCK, batched madvise; no fault: every access asks first mmap Linux,
 * MADV_RANDOM; the caller limits the memory (a cgroup) STORE   a file, which must be of that size; or
 * "memory": the data in an array DIST    uniform, zipf (0.99, scrambled over the pages)
 *
 * 90 % of the accesses read, 10 % write 8 bytes of a random page (and do not read them first). Prints
 * thousand operations a second, and how many of a thousand operations missed (0 where it is not known).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench_common.h"
#include "bench_explicit.h"
#include "quire/quire.h"

enum { MOST_THREADS = 64, CHECK_EVERY = 64 };

static struct {
    uint8_t *memory;      /* quire, mmap */
    struct manager *pool; /* explicit */
    uint64_t pages;
    double zetan, eta, alpha, theta; /* zipf */
    unsigned started;                /* threads so far: each has random numbers of its own */
    bool zipf, by_linux, pins;
    _Atomic bool stop;
    _Atomic uint64_t operations;
} run;

/* xorshift64*, Marsaglia 2003 and Vigna 2016 */
static uint64_t next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

/* Gray et al., Quickly Generating Billion-Record Synthetic Databases, SIGMOD 1994. */
static void zipf_prepare(double theta)
{
    run.theta = theta;
    run.alpha = 1 / (1 - theta);
    for (uint64_t i = 1; i <= run.pages; i++)
        run.zetan += 1 / pow((double)i, theta);
    run.eta = (1 - pow(2.0 / (double)run.pages, 1 - theta)) / (1 - (1 + pow(0.5, theta)) / run.zetan);
}

static uint64_t zipf_rank(uint64_t *state)
{
    double u = (double)(next(state) >> 11) / 9007199254740992.0, uz = u * run.zetan;

    if (uz < 1)
        return 0;
    if (uz < 1 + pow(0.5, run.theta))
        return 1;
    return (uint64_t)((double)run.pages * pow(run.eta * u - run.eta + 1, run.alpha));
}

/* An odd multiplier permutes the pages, which are a power of two. */
static uint64_t choose(uint64_t *state)
{
    if (!run.zipf)
        return (next(state) >> 11) % run.pages;
    return (zipf_rank(state) % run.pages) * 0x9e3779b1u % run.pages;
}

static void *fix(uint64_t page, bool write)
{
    uint8_t *memory = run.memory + page * 4096;

    if (run.pool)
        return manager_fix(run.pool, page, write);
    if (run.pins && quire_pin(memory, 8, write ? ACCESS_WRITE : ACCESS_READ) != ST_OK)
        die("quire_pin");
    return memory;
}

static void unfix(uint64_t page, bool write)
{
    if (run.pool)
        manager_unfix(run.pool, page, write);
    else if (run.pins)
        quire_unpin(run.memory + page * 4096, 8);
}

static void access_page(uint64_t page, uint64_t random)
{
    bool write = random % 10 == 0;
    volatile uint64_t *word = (volatile uint64_t *)fix(page, write) + random / 16 % 512;

    if (write)
        *word = random;
    else
        (void)*word;
    unfix(page, write);
}

static void *work(void *context)
{
    uint64_t state = 0x9e3779b97f4a7c15u * ((uintptr_t)context + 1), done = 0;

    while (!atomic_load_explicit(&run.stop, memory_order_relaxed)) {
        for (unsigned i = 0; i < CHECK_EVERY; i++)
            access_page(choose(&state), next(&state) >> 8);
        done += CHECK_EVERY;
        atomic_fetch_add_explicit(&run.operations, CHECK_EVERY, memory_order_relaxed);
    }
    return NULL;
}

/* Of all threads, ours and the pager's. */
static double cpu_now(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* With MADV_RANDOM each reads one page. */
static uint64_t major_faults(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (uint64_t)used.ru_majflt;
}

static uint64_t misses(struct quire_pager *pager)
{
    struct quire_stats stats;

    if (run.pool)
        return manager_misses(run.pool);
    if (run.by_linux)
        return major_faults();
    if (!pager)
        return 0;
    quire_stats(pager, &stats);
    return stats.faults;
}

static void print_stats(struct quire_pager *pager)
{
    struct quire_stats stats;

    if (!pager || !getenv("BENCH_VERBOSE"))
        return;
    quire_stats(pager, &stats);
    fprintf(stderr,
            "faults %llu write %llu waits %llu reserve waits %llu evictions %llu written %llu back %llu "
            "scans %llu "
            "referenced %llu\n",
            (unsigned long long)stats.faults, (unsigned long long)stats.write_faults,
            (unsigned long long)stats.waits, (unsigned long long)stats.reserve_waits,
            (unsigned long long)stats.evictions, (unsigned long long)stats.write_backs,
            (unsigned long long)stats.given_back, (unsigned long long)stats.scans,
            (unsigned long long)stats.referenced);
}

static void start(pthread_t *thread, unsigned threads)
{
    atomic_store(&run.stop, false);
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)(run.started++)) != 0)
            die("a thread");
}

static void stop(pthread_t *thread, unsigned threads)
{
    atomic_store(&run.stop, true);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
}

/* So many thousand operations, by eight threads whoever is measured, so that memory is full and the policy
 * has settled as far with each way, however slow it is. */
static void warm_up(uint64_t kilo_operations)
{
    enum { THREADS = 8, LOOK_US = 10000 };
    pthread_t thread[THREADS];

    if (kilo_operations == 0)
        return;
    start(thread, THREADS);
    while (atomic_load(&run.operations) < kilo_operations * 1000)
        usleep(LOOK_US);
    stop(thread, THREADS);
}

/* After a warm-up as long, or with $BENCH_WARM (thousand operations) after that and a tenth of the time. */
static void measure(struct quire_pager *pager, unsigned threads, double seconds)
{
    pthread_t thread[MOST_THREADS];
    const char *warm = getenv("BENCH_WARM");
    uint64_t operations, missed;
    double began, cpu;

    warm_up(warm ? strtoull(warm, NULL, 10) : 0);
    start(thread, threads);
    usleep((useconds_t)(seconds * (warm ? 1e5 : 1e6)));
    operations = atomic_load(&run.operations);
    missed = misses(pager);
    began = seconds_now();
    cpu = cpu_now();
    usleep((useconds_t)(seconds * 1e6));
    operations = atomic_load(&run.operations) - operations;
    missed = misses(pager) - missed;
    printf("%.2f %.1f %.2f\n", (double)operations / (seconds_now() - began) / 1000,
           1000.0 * (double)missed / (double)operations, (cpu_now() - cpu) * 1e6 / (double)operations);
    stop(thread, threads);
    print_stats(pager);
}

static struct quire_pager *open_quire(struct store *store, uint64_t budget, enum quire_way way,
                                      const char *policy)
{
    struct quire_pager *pager;
    struct quire_error error;
    const char *scan = getenv("BENCH_SCAN");
    void *memory;
    struct quire_options options = {.memory_bytes = budget,
                                    .policy = policy,
                                    .scan_percent = scan ? (unsigned)atoi(scan) : 0,
                                    .way = way};

    if (quire_open(&options, &pager, &error) != ST_OK ||
        quire_map(pager, &(struct quire_mapping){.store = store, .length = run.pages * 4096}, &memory,
                  &error) != ST_OK) {
        fprintf(stderr, "bench-runtime: %s\n", error.text);
        exit(1);
    }
    if (quire_advise(memory, run.pages * 4096, QUIRE_RANDOM) != ST_OK)
        exit(1);
    run.memory = memory;
    return pager;
}

static void open_mmap(const char *path)
{
    int fd = open(path, O_RDWR);

    run.by_linux = true;
    run.memory =
        fd < 0 ? MAP_FAILED : mmap(NULL, run.pages * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (run.memory == MAP_FAILED || madvise(run.memory, run.pages * 4096, MADV_RANDOM) != 0)
        die(path);
}

/* What umap() is given: a file past Linux's page cache, or a memfd with contents in each page. */
static int umap_source(const char *name)
{
    uint8_t page[4096];
    int fd = strcmp(name, "memory") == 0 ? memfd_create("bench", MFD_CLOEXEC) : open(name, O_RDWR | O_DIRECT);

    if (fd < 0)
        die(name);
    for (uint64_t i = 0; i < run.pages && strcmp(name, "memory") == 0; i++) {
        memset(page, (int)(i % 255 + 1), sizeof(page));
        if (pwrite(fd, page, sizeof(page), (off_t)(i * sizeof(page))) != (ssize_t)sizeof(page))
            die(name);
    }
    return fd;
}

/* include/umap/umap.h of UMap 2.1. */
typedef void *umap_function(void *address, size_t length, int protection, int flags, int fd, off_t offset);

static void open_umap(const char *name, uint64_t budget)
{
    enum { UMAP_PRIVATE = 0x02 }; /* the only one that it has */
    const char *prefix = getenv("QUIRE_BENCH_UMAP");
    char text[4096];
    void *library;
    umap_function *map;

    snprintf(text, sizeof(text), "%llu", (unsigned long long)(budget / 4096));
    setenv("UMAP_BUFSIZE", text, 1);
    setenv("UMAP_PAGESIZE", "4096", 1);
    snprintf(text, sizeof(text), "%s/lib/libumap.so", prefix ? prefix : "");
    library = dlopen(text, RTLD_NOW);
    map = library ? (umap_function *)dlsym(library, "umap") : NULL;
    if (!map) {
        fprintf(stderr, "bench-runtime: UMap is expected in $QUIRE_BENCH_UMAP: %s\n", dlerror());
        exit(1);
    }
    run.memory = map(NULL, run.pages * 4096, PROT_READ | PROT_WRITE, UMAP_PRIVATE, umap_source(name), 0);
    if (!run.memory || run.memory == MAP_FAILED)
        die("umap");
}

static struct store *open_store(const char *name)
{
    struct store *store = NULL;
    struct quire_error error = {"no memory"};

    if (strcmp(name, "memory") == 0)
        store = store_memory_filled(run.pages);
    else if (quire_file(name, QUIRE_FILE_OPEN, run.pages * 4096, &store, &error) != ST_OK)
        store = NULL;
    if (!store) {
        fprintf(stderr, "bench-runtime: %s\n", error.text);
        exit(1);
    }
    return store;
}

int main(int argc, char **argv)
{
    struct quire_pager *pager = NULL;
    unsigned threads = argc > 4 ? (unsigned)atoi(argv[4]) : 0;
    uint64_t budget;

    if (argc < 8 || threads < 1 || threads > MOST_THREADS) {
        fputs(
            "usage: bench-runtime quire|anonymous|pinned|explicit|umap|mmap FILE|memory uniform|zipf THREADS "
            "SECONDS DATA_MIB BUDGET_MIB [POLICY]\n",
            stderr);
        return 2;
    }
    run.pages = (uint64_t)atoi(argv[6]) << 8;
    budget = (uint64_t)atoi(argv[7]) << 20;
    run.zipf = strcmp(argv[3], "zipf") == 0;
    if (run.zipf)
        zipf_prepare(0.99);
    if (strcmp(argv[1], "mmap") == 0)
        open_mmap(argv[2]);
    else if (strcmp(argv[1], "umap") == 0)
        open_umap(argv[2], budget);
    else if (strcmp(argv[1], "explicit") == 0)
        run.pool = manager_create(open_store(argv[2]), run.pages, budget / 4096);
    else
        pager = open_quire(open_store(argv[2]), budget,
                           strcmp(argv[1], "quire") == 0 ? QUIRE_WAY_BEST : QUIRE_WAY_ANONYMOUS,
                           argc > 8 ? argv[8] : NULL);
    run.pins = strcmp(argv[1], "pinned") == 0;
    measure(pager, threads, atof(argv[5]));
    fflush(stdout);
    _exit(0); /* what is dirty need not be written */
}
