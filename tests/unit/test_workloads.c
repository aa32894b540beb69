/*
 * Whole programs' work on a file many times larger than the budget, done once through Linux's mmap() and once
 * through a region: the files are the same afterwards. The three are what UMap's own test programs do
 * (LLNL/umap, tests/umapsort, tests/churn, tests/umap-sparsestore), written anew:
 *
 *      sort      numbers that descend, put in order by several threads
 *      churn     some pages are read and written all the while by threads that never leave them, others read
 * at random, so that the first ones come and go sparse    numbers at places far apart in a file that is
 * mostly holes are added to; it stays mostly holes
 */
#include "runtime_support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS = 4, FILES = 2 };

static char folder[] = "/tmp/quire-workloads-XXXXXX";

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static const char *path_of(unsigned file)
{
    static char paths[FILES][64];

    snprintf(paths[file], sizeof(paths[file]), "%s/%u", folder, file);
    return paths[file];
}

static int remove_folder(void **state)
{
    for (unsigned i = 0; i < FILES; i++)
        unlink(path_of(i));
    return rmdir(folder);
}

/* ------------------------------------------------------------------ both ways */

struct work {
    uint64_t *memory, words;
    unsigned number; /* of the thread */
    uint64_t wrong;
};

static void in_threads(struct work work, unsigned threads, void *(*function)(void *work))
{
    struct work works[16];
    pthread_t ids[16];

    for (unsigned i = 0; i < threads; i++) {
        works[i] = work;
        works[i].number = i;
        assert_int_equal(pthread_create(&ids[i], NULL, function, &works[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        assert_int_equal(works[i].wrong, 0);
    }
}

static void by_linux(unsigned file, uint64_t bytes, void (*does)(struct work work))
{
    int fd = open(path_of(file), O_RDWR | O_CREAT | O_TRUNC, 0600);
    void *memory;

    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(memory != MAP_FAILED);
    does((struct work){.memory = memory, .words = bytes / 8});
    munmap(memory, bytes);
    close(fd);
}

static void by_region(unsigned file, uint64_t bytes, uint64_t budget, const char *policy,
                      void (*does)(struct work work))
{
    struct quire_pager *pager = open_pager(budget, policy);
    struct quire_stats stats;
    struct store *store;
    void *memory;

    unlink(path_of(file));
    assert_ok(quire_file(path_of(file), QUIRE_FILE_CREATE, bytes, &store, NULL));
    memory = map(pager, store, bytes, 0);
    does((struct work){.memory = memory, .words = bytes / 8});
    assert_ok(quire_unmap(memory));
    quire_stats(pager, &stats);
    assert_true(stats.resident_bytes <= budget && stats.evictions > 0);
    close_all(pager, store);
}

static void expect_same_files(void)
{
    char command[200];

    snprintf(command, sizeof(command), "cmp '%s' '%s'", path_of(0), path_of(1));
    assert_int_equal(system(command), 0);
}

/* ------------------------------------------------------------------ sort */

static void *descend(void *context)
{
    struct work *work = context;

    for (uint64_t i = work->number; i < work->words; i += THREADS)
        work->memory[i] = (work->words - i) * 3;
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void sift(uint64_t *heap, uint64_t at, uint64_t count)
{
    for (uint64_t child; (child = 2 * at + 1) < count; at = child) {
        uint64_t value = heap[at];

        if (child + 1 < count && compare(&heap[child], &heap[child + 1]) < 0)
            child++;
        if (value >= heap[child])
            return;
        heap[at] = heap[child];
        heap[child] = value;
    }
}

/* In place, and all over its part of the array: no kind order for a pager. */
static void *sort_part(void *context)
{
    struct work *work = context;
    uint64_t count = work->words / THREADS, *part = work->memory + work->number * count;

    for (uint64_t i = count / 2; i-- > 0;)
        sift(part, i, count);
    for (uint64_t end = count; end-- > 1;) {
        uint64_t largest = part[0];

        part[0] = part[end];
        part[end] = largest;
        sift(part, 0, end);
    }
    return NULL;
}

/* The parts descend, and each ascends: the last part goes first. */
static void put_parts_in_order(struct work work)
{
    uint64_t count = work.words / THREADS;

    for (unsigned low = 0, high = THREADS - 1; low < high; low++, high--)
        for (uint64_t i = 0; i < count; i++) {
            uint64_t kept = work.memory[low * count + i];

            work.memory[low * count + i] = work.memory[high * count + i];
            work.memory[high * count + i] = kept;
        }
}

static void sort(struct work work)
{
    in_threads(work, THREADS, descend);
    in_threads(work, THREADS, sort_part);
    put_parts_in_order(work);
    for (uint64_t i = 1; i < work.words; i++)
        if (work.memory[i] <= work.memory[i - 1])
            fail_msg("word %llu is out of order", (unsigned long long)i);
}

static void test_sort(void **state)
{
    by_linux(0, 2 * MIB, sort);
    by_region(1, 2 * MIB, MIB, "car", sort);
    expect_same_files();
    by_region(1, 2 * MIB, 512 * KIB, "s3-fifo", sort);
    expect_same_files();
}

/* ------------------------------------------------------------------ churn */

enum { LOAD_WORDS = 16 * 512, CHURN_STEPS = 8200 };

/* The first pages are read, the next ones written and read by one thread, the others read at random. */
static void *churn_thread(void *context)
{
    struct work *work = context;
    struct random random = {work->number + 1};
    uint64_t *written = work->memory + LOAD_WORDS;

    for (uint64_t i = 0; i < CHURN_STEPS; i++) {
        uint64_t at = random_below(&random, work->number == 0 ? LOAD_WORDS : work->words - 2 * LOAD_WORDS);

        if (work->number == 0)
            work->wrong += work->memory[at] != at;
        else if (work->number > 1)
            work->wrong += work->memory[2 * LOAD_WORDS + at] != 2 * LOAD_WORDS + at;
        else if (i < CHURN_STEPS / LOAD_WORDS)
            for (uint64_t word = 0; word < LOAD_WORDS; word++) {
                written[word] = i + word;
                work->wrong += written[word] != i + word;
            }
    }
    return NULL;
}

static void *count_words(void *context)
{
    struct work *work = context;

    for (uint64_t i = work->number; i < work->words; i += THREADS)
        work->memory[i] = i;
    return NULL;
}

static void churn(struct work work)
{
    in_threads(work, THREADS, count_words);
    in_threads(work, 6, churn_thread);
}

static void test_churn(void **state)
{
    by_linux(0, 4 * MIB, churn);
    by_region(1, 4 * MIB, 512 * KIB, "car", churn);
    expect_same_files();
    by_region(1, 4 * MIB, 512 * KIB, "fifo", churn);
    expect_same_files();
}

/* ------------------------------------------------------------------ sparse update */

enum { PLACES = 800, ADDITIONS = 2000 };

static void *add_at_places(void *context)
{
    struct work *work = context;
    struct random random = {work->number + 99};

    for (unsigned i = 0; i < ADDITIONS; i++) {
        uint64_t place = random_below(&random, PLACES), word = place * 0x9e3779b9u % work->words;

        atomic_fetch_add((_Atomic uint64_t *)&work->memory[word], place + 1);
    }
    return NULL;
}

static void sparse(struct work work)
{
    in_threads(work, THREADS, add_at_places);
}

static void test_sparse(void **state)
{
    struct stat is;

    by_linux(0, 512 * MIB, sparse);
    by_region(1, 512 * MIB, MIB, "car", sparse);
    expect_same_files();
    assert_int_equal(stat(path_of(1), &is), 0);
    assert_in_range(is.st_blocks * 512, 1, 16 * MIB); /* of 512 */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sort),
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_sparse),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
