/*
 * The runtime: what comes back is what was written, whatever the policy, the store, the budget and the
 * threads; what fails is said; what the program does besides (fork, its own handler, threads that end) does
 * no harm.
 */
#include "runtime_support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quire/policy.h"
#include "store/linux/memory.h"

#define BUDGET (512 * KIB)
#define LENGTH (4 * MIB + 3 * KIB)

static char folder[] = "/tmp/quire-runtime-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/data", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static struct store *file(enum quire_file_mode mode, uint64_t bytes)
{
    struct quire_error error;
    struct store *store = NULL;

    if (mode == QUIRE_FILE_CREATE)
        unlink(path);
    if (quire_file(path, mode, bytes, &store, &error) != ST_OK)
        fail_msg("%s", error.text);
    return store;
}

static struct store *swap_file(uint64_t bytes)
{
    struct quire_error error;
    struct store *store = NULL;

    if (quire_swap(folder, bytes, &store, &error) != ST_OK)
        fail_msg("%s", error.text);
    return store;
}

/* ------------------------------------------------------------------ contents */

static void work_with(const char *policy, struct store *store, unsigned flags, uint64_t budget,
                      unsigned threads, uint64_t steps)
{
    struct quire_pager *pager = open_pager(budget, policy);
    uint64_t *memory = map(pager, store, LENGTH, flags);
    uint64_t *shadow = calloc(1, LENGTH);
    struct quire_stats stats;

    work_on(memory, shadow, LENGTH, threads, steps, threads + budget);
    quire_stats(pager, &stats);
    assert_true(stats.resident_bytes <= budget);
    assert_true(stats.evictions > 0 && stats.write_backs > 0);
    free(shadow);
    close_all(pager, store);
}

static void test_every_policy(void **state)
{
    for (const struct policy_type *const *type = policy_types; *type; type++)
        if ((*type)->needs != POLICY_FUTURE)
            work_with((*type)->name, store_memory(LENGTH / PAGE_SIZE + 1), 0, BUDGET, 2, 1000);
}

static void test_every_store(void **state)
{
    work_with("clock", file(QUIRE_FILE_CREATE, LENGTH), 0, BUDGET, 2, 5000);
    work_with("clock", swap_file(LENGTH), QUIRE_FRESH, BUDGET, 2, 5000);
    work_with("clock", &faulty_store(LENGTH / PAGE_SIZE + 1, true)->base, 0, BUDGET, 2, 2000);
    work_with("clock", &faulty_store(LENGTH / PAGE_SIZE + 1, false)->base, QUIRE_FRESH, BUDGET, 2, 5000);
}

/* Random numbers do not become smaller: they go behind, or stay, and that is an error when there is no more
 * room. */
static void test_compressed(void **state)
{
    struct store *behind = swap_file(LENGTH), *store;
    struct quire_pager *pager = open_pager(BUDGET, "clock");
    uint64_t *memory;
    struct quire_error error;

    assert_status(quire_compressed(LENGTH, 0, NULL, &store, &error), ST_INVALID);
    assert_ok(quire_compressed(LENGTH, MIB, behind, &store, NULL));
    work_with("clock", store, QUIRE_FRESH, BUDGET, 2, 3000);
    store_close(behind);
    assert_ok(quire_compressed(16 * MIB, MIB, NULL, &store, NULL));
    memory = map(pager, store, 16 * MIB, QUIRE_FRESH);
    for (unsigned round = 1; round < 3; round++)
        for (uint64_t i = 0; i < 16 * MIB / 8; i++) {
            if (round > 1)
                assert_int_equal(memory[i], i / 64);
            memory[i] = i / 64;
        }
    assert_status(quire_sync(memory, MIB), ST_UNSUPPORTED);
    close_all(pager, store);
}

static void test_budgets_and_threads(void **state)
{
    for (unsigned threads = 1; threads <= 8; threads *= 2)
        for (uint64_t budget = QUIRE_LEAST_MEMORY; budget <= 2 * MIB; budget *= 2)
            work_with("sieve", store_memory(LENGTH / PAGE_SIZE + 1), 0, budget, threads, 2000);
}

static void test_several_regions(void **state)
{
    struct quire_pager *pager = open_pager(BUDGET, "arc");
    struct store *store = store_memory(1024);
    uint64_t *shadow = calloc(1, 2 * MIB);

    for (unsigned round = 0; round < 3; round++) {
        uint64_t *regions[4];

        for (unsigned i = 0; i < 4; i++) {
            struct quire_mapping mapping = {
                .store = store, .offset = i * MIB, .length = MIB, .flags = i % 2 ? QUIRE_FRESH : 0};

            assert_ok(quire_map(pager, &mapping, (void **)&regions[i], NULL));
            assert_status(quire_map(pager, &mapping, (void **)&regions[i], NULL), ST_MAPPED);
        }
        for (unsigned i = 0; i < 4; i++) {
            if (i % 2 == 0)
                work_on(regions[i], shadow + i / 2 * (MIB / 8), MIB, 2, 2000, round + 1);
            else
                for (uint64_t word = 0; word < MIB / 8; word += 7)
                    assert_int_equal(regions[i][word], 0);
        }
        assert_ok(quire_unmap(regions[1]));
        assert_ok(quire_discard(regions[3]));
        assert_ok(quire_unmap(regions[0]));
        assert_ok(quire_unmap(regions[2]));
        assert_status(quire_unmap(regions[2]), ST_INVALID);
    }
    free(shadow);
    close_all(pager, store);
}

/* A file whose last page is not whole, read by plain system calls afterwards. */
static void test_file_is_the_file(void **state)
{
    struct quire_pager *pager = open_pager(BUDGET, NULL);
    struct store *store = file(QUIRE_FILE_CREATE, LENGTH + 123);
    uint8_t *memory = map(pager, store, LENGTH + 123, 0), *seen = malloc(LENGTH + 200);
    int fd;

    for (uint64_t i = 0; i < LENGTH + 123; i++)
        memory[i] = (uint8_t)(i * 7 + i / 4096);
    memory[LENGTH + 124] = 1; /* behind the end: not in the file */
    assert_ok(quire_sync(memory, LENGTH + 123));
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, seen, LENGTH + 200), LENGTH + 123);
    for (uint64_t i = 0; i < LENGTH + 123; i++)
        if (seen[i] != (uint8_t)(i * 7 + i / 4096))
            fail_msg("byte %llu", (unsigned long long)i);
    close(fd);
    free(seen);
    close_all(pager, store);

    pager = open_pager(BUDGET, NULL); /* at an offset */
    store = file(QUIRE_FILE_READ_ONLY, 0);
    assert_ok(quire_map(pager,
                        &(struct quire_mapping){
                            .store = store, .offset = 5 * PAGE_SIZE, .length = MIB, .flags = QUIRE_READ_ONLY},
                        (void **)&memory, NULL));
    for (uint64_t i = 0; i < MIB; i++)
        assert_int_equal(memory[i], (uint8_t)((i + 5 * PAGE_SIZE) * 7 + (i / 4096 + 5)));
    assert_status(quire_pin(memory, 1, ACCESS_WRITE), ST_DENIED);
    close_all(pager, store);
}

static void test_private_copy(void **state)
{
    struct quire_pager *pager = open_pager(BUDGET, "lru");
    struct store *base = file(QUIRE_FILE_CREATE, LENGTH), *store = swap_file(LENGTH);
    uint64_t *memory = map(pager, base, LENGTH, 0), *shadow = calloc(1, LENGTH);

    work_on(memory, shadow, LENGTH, 2, 4000, 3);
    assert_ok(quire_unmap(memory));
    for (unsigned round = 0; round < 2; round++) { /* the second finds the base as it was */
        uint64_t *copy = malloc(LENGTH);

        memcpy(copy, shadow, LENGTH);
        assert_ok(quire_map(pager, &(struct quire_mapping){.store = store, .length = LENGTH, .base = base},
                            (void **)&memory, NULL));
        work_on(memory, copy, LENGTH, 2, 4000, round + 7);
        assert_ok(quire_discard(memory));
        free(copy);
    }
    free(shadow);
    close_all(pager, base);
    store_close(store);
}

/* ------------------------------------------------------------------ calls */

static void test_bad_arguments(void **state)
{
    struct quire_error error;
    struct quire_pager *pager;
    struct store *store = store_memory(16);
    void *address;

    assert_status(quire_open(&(struct quire_options){.memory_bytes = 4096}, &pager, &error), ST_INVALID);
    assert_non_null(strstr(error.text, "256 KiB"));
    assert_status(quire_open(&(struct quire_options){.memory_bytes = MIB, .policy = "clok"}, &pager, &error),
                  ST_INVALID);
    assert_non_null(strstr(error.text, "clok"));
    assert_status(
        quire_open(&(struct quire_options){.memory_bytes = MIB, .policy = "clock:load=3"}, &pager, &error),
        ST_INVALID);
    assert_status(quire_open(&(struct quire_options){.memory_bytes = MIB, .policy = "opt"}, &pager, &error),
                  ST_UNSUPPORTED);
    pager = open_pager(MIB, "clock:load=clear");
    assert_status(
        quire_map(pager, &(struct quire_mapping){.store = store, .length = 17 * PAGE_SIZE}, &address, &error),
        ST_BEYOND_END);
    assert_status(quire_map(pager, &(struct quire_mapping){.store = store, .length = 0}, &address, &error),
                  ST_INVALID);
    assert_status(
        quire_map(pager, &(struct quire_mapping){.store = store, .length = 1, .offset = 1}, &address, &error),
        ST_INVALID);
    assert_status(
        quire_map(pager,
                  &(struct quire_mapping){.store = store, .length = 1, .offset = UINT64_MAX - PAGE_MASK},
                  &address, &error),
        ST_BEYOND_END);
    assert_status(quire_sync(&error, 1), ST_NOT_MAPPED);
    assert_status(quire_unmap(&error), ST_INVALID);
    address = map(pager, store, 16 * PAGE_SIZE, 0);
    assert_status(quire_sync(address, 16 * PAGE_SIZE + 1), ST_NOT_MAPPED);
    assert_status(quire_advise(address, 1, (enum quire_advice)77), ST_INVALID);
    close_all(pager, store);
}

/* System calls see EFAULT on a page that is absent, and none on a pinned one, which stays. */
static void test_pins(void **state)
{
    struct quire_pager *pager = open_pager(BUDGET, "clock");
    struct store *store = store_memory(1024);
    uint8_t *memory = map(pager, store, 4 * MIB, 0);
    uint64_t most = 0;
    int zero = open("/dev/zero", O_RDONLY), pipes[2];

    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(read(zero, memory, 100), -1);
    assert_ok(quire_pin(memory, 100, ACCESS_WRITE));
    for (uint64_t i = MIB; i < 4 * MIB; i += PAGE_SIZE) /* everything else goes meanwhile */
        memory[i] = 1;
    assert_ok(quire_sync(memory, 4 * MIB)); /* does not close it for writing */
    assert_int_equal(read(zero, memory, 100), 100);
    assert_int_equal(write(pipes[1], memory, 100), 100);
    quire_unpin(memory, 100);
    while (quire_pin(memory + MIB + most * PAGE_SIZE, 1, ACCESS_READ) == ST_OK)
        most++;
    assert_true(most > BUDGET / PAGE_SIZE / 2 && most < BUDGET / PAGE_SIZE);
    assert_status(quire_pin(memory, MIB, ACCESS_READ), ST_LIMIT);
    assert_status(quire_unmap(memory), ST_INVALID);
    for (uint64_t i = 0; i < MIB; i += PAGE_SIZE) /* what is left will do */
        assert_int_equal(memory[i], 0);
    for (uint64_t i = 0; i < most; i++)
        quire_unpin(memory + MIB + i * PAGE_SIZE, 1);
    close(zero);
    close(pipes[0]);
    close(pipes[1]);
    close_all(pager, store);
}

/* What is written through a pin while it is synchronised is not lost. */
static void test_writes_to_pinned_pages(void **state)
{
    struct quire_pager *pager = open_pager(BUDGET, "fifo");
    struct store *store = store_memory(1024);
    volatile uint64_t *memory = map(pager, store, 4 * MIB, 0);

    for (uint64_t round = 1; round < 20; round++) {
        assert_ok(quire_pin((void *)memory, PAGE_SIZE, ACCESS_WRITE));
        memory[0] = round;
        assert_ok(quire_sync((void *)memory, PAGE_SIZE));
        memory[1] = round;
        quire_unpin((void *)memory, PAGE_SIZE);
        for (uint64_t i = PAGE_SIZE; i < 4 * MIB; i += PAGE_SIZE)
            assert_int_equal(memory[i / 8], 0);
        assert_int_equal(memory[0], round);
        assert_int_equal(memory[1], round);
    }
    close_all(pager, store);
}

static void test_advice(void **state)
{
    struct quire_pager *pager = open_pager(2 * MIB, "clock");
    struct faulty *store = faulty_store(1024, false);
    volatile uint8_t *memory = map(pager, &store->base, 4 * MIB, 0);
    struct quire_stats stats;

    assert_ok(quire_advise((void *)memory, MIB, QUIRE_WILL_NEED));
    quire_stats(pager, &stats);
    assert_true(stats.resident_bytes >= MIB);
    memory[5] = 55;
    assert_ok(quire_advise((void *)memory, 4 * MIB, QUIRE_DONE_WITH));
    quire_stats(pager, &stats);
    assert_int_equal(stats.resident_bytes, 0);
    assert_int_equal(memory[5], 55);
    assert_ok(quire_advise((void *)memory, MIB, QUIRE_RANDOM));
    for (uint64_t i = 0; i < MIB; i += PAGE_SIZE)
        (void)memory[2 * MIB + i];
    quire_stats(pager, &stats);
    atomic_store(&store->reads, 0);
    assert_ok(quire_advise((void *)memory, MIB, QUIRE_SEQUENTIAL));
    for (uint64_t i = 0; i < MIB / 2; i += PAGE_SIZE)
        (void)memory[3 * MIB + i];
    assert_true(atomic_load(&store->reads) <= 16); /* of 128 pages, and what is read ahead of them */
    close_all(pager, &store->base);
}

/* ------------------------------------------------------------------ errors */

static void test_read_errors(void **state)
{
    for (unsigned requests = 0; requests < 2; requests++) {
        struct quire_pager *pager = open_pager(BUDGET, "clock");
        struct faulty *store = faulty_store(1024, requests);
        uint8_t *memory = map(pager, &store->base, 4 * MIB, 0);

        atomic_store(&store->fail_reads, 5);
        for (uint64_t page = 0; page < 64; page++)
            assert_int_equal(read_is_sigbus(memory + page * PAGE_SIZE), page % 5 == 0);
        assert_status(quire_pin(memory, 1, ACCESS_READ), ST_IO_ERROR);
        assert_true(write_is_sigbus(memory + 70 * PAGE_SIZE));
        atomic_store(&store->fail_reads, 0);
        for (uint64_t page = 0; page < 64; page++)
            assert_int_equal(memory[page * PAGE_SIZE], 0);
        close_all(pager, &store->base);
    }
}

static void test_write_errors(void **state)
{
    for (unsigned requests = 0; requests < 2; requests++) {
        struct quire_pager *pager = open_pager(BUDGET, "clock");
        struct faulty *store = faulty_store(1024, requests);
        uint64_t *memory = map(pager, &store->base, 4 * MIB, 0), *shadow = calloc(1, 4 * MIB);

        atomic_store(&store->fail_writes, 7);
        work_on(memory, shadow, 128 * KIB, 2, 2000, 9); /* less than the budget: all of it can stay */
        assert_status(quire_sync(memory, 4 * MIB), ST_IO_ERROR);
        assert_status(quire_unmap(memory), ST_IO_ERROR);
        atomic_store(&store->error, ST_NO_SPACE);
        assert_status(quire_sync(memory, 4 * MIB), ST_NO_SPACE);
        atomic_store(&store->fail_writes, 0);
        (void)!quire_sync(memory, 4 * MIB); /* may tell of an earlier write-back */
        assert_ok(quire_sync(memory, 4 * MIB));
        work_on(memory, shadow, 4 * MIB, 2, 2000, 10);
        free(shadow);
        close_all(pager, &store->base);
    }
}

/* A store that can take nothing: memory fills with what cannot leave, and that is said, soon. */
static void test_nothing_can_leave(void **state)
{
    struct quire_pager *pager = open_pager(QUIRE_LEAST_MEMORY, "clock");
    struct faulty *store = faulty_store(1024, false);
    uint8_t *memory = map(pager, &store->base, 4 * MIB, 0);
    uint64_t page = 0;

    atomic_store(&store->fail_writes, 1);
    while (page < 1024 && !write_is_sigbus(memory + page * PAGE_SIZE))
        page++;
    assert_int_equal(page, QUIRE_LEAST_MEMORY / PAGE_SIZE);
    for (uint64_t i = 0; i < page; i++) /* nothing of it is lost */
        assert_int_equal(memory[i * PAGE_SIZE], 1);
    atomic_store(&store->fail_writes, 0);
    assert_false(write_is_sigbus(memory + page * PAGE_SIZE));
    assert_status(quire_sync(memory, 4 * MIB), ST_IO_ERROR); /* once */
    assert_ok(quire_sync(memory, 4 * MIB));
    close_all(pager, &store->base);
}

/* A full store and the least budget: the few clean pages that could still come and go do not keep a program
 * crawling. What it has written stays, and once there is room all goes on. */
static void test_full_store(void **state)
{
    struct quire_pager *pager = open_pager(QUIRE_LEAST_MEMORY, "clock");
    struct faulty *store = faulty_store(1024, false);
    uint8_t *memory = map(pager, &store->base, 4 * MIB, 0);
    struct random random = {5};
    const uint64_t written = QUIRE_LEAST_MEMORY / PAGE_SIZE - 4;
    time_t began = time(NULL);
    bool ended = false;

    atomic_store(&store->error, ST_NO_SPACE);
    atomic_store(&store->fail_writes, 1);
    for (uint64_t page = 0; page < written; page++)
        assert_false(write_is_sigbus(memory + page * PAGE_SIZE));
    while (!ended && time(NULL) - began < 30) /* what is read is clean */
        ended = read_is_sigbus(memory + (512 + random_below(&random, 512)) * PAGE_SIZE);
    assert_true(ended);
    atomic_store(&store->fail_writes, 0);
    for (uint64_t page = 0; page < written; page++)
        assert_int_equal(memory[page * PAGE_SIZE], 1);
    (void)!quire_sync(memory, 4 * MIB); /* what was noted before */
    assert_ok(quire_sync(memory, 4 * MIB));
    close_all(pager, &store->base);
}

static void test_deadline(void **state)
{
    struct quire_pager *pager = open_pager_with(
        &(struct quire_options){.memory_bytes = BUDGET, .policy = "clock", .deadline_ms = 200});
    struct faulty *store = faulty_store(1024, true);
    uint8_t *memory = map(pager, &store->base, 4 * MIB, 0);

    memory[0] = 1;
    atomic_store(&store->hangs, true);
    assert_true(read_is_sigbus(memory + PAGE_SIZE));
    assert_status(quire_sync(memory, PAGE_SIZE), ST_IO_ERROR);
    memory[0] = 2; /* while the first write is late: no second one overtakes it */
    assert_status(quire_sync(memory, PAGE_SIZE), ST_IO_ERROR);
    assert_status(quire_unmap(memory), ST_IO_ERROR);
    atomic_store(&store->hangs, false);
    store_poll(&store->base, 1000000);
    (void)!quire_sync(memory, PAGE_SIZE);
    assert_ok(quire_sync(memory, PAGE_SIZE));
    assert_int_equal(memory[PAGE_SIZE], 0);
    assert_ok(quire_advise(memory, PAGE_SIZE, QUIRE_DONE_WITH));
    assert_int_equal(memory[0], 2);
    close_all(pager, &store->base);
}

static void test_truncated_file(void **state)
{
    struct quire_pager *pager = open_pager(BUDGET, "clock");
    struct store *store = file(QUIRE_FILE_CREATE, 4 * MIB);
    uint8_t *memory = map(pager, store, 4 * MIB, 0);

    memory[MIB] = 1;
    assert_int_equal(truncate(path, 2 * MIB), 0);
    assert_true(read_is_sigbus(memory + 3 * MIB));
    assert_status(quire_sync(memory, 4 * MIB), ST_IO_ERROR);
    assert_status(quire_unmap(memory), ST_IO_ERROR);
    assert_ok(quire_discard(memory));
    close_all(pager, store);
}

static void test_lock(void **state)
{
    struct store *store = file(QUIRE_FILE_CREATE, MIB), *second;
    struct quire_error error;

    assert_status(quire_file(path, QUIRE_FILE_OPEN, 0, &second, &error), ST_DENIED);
    assert_non_null(strstr(error.text, path));
    assert_status(quire_file(path, QUIRE_FILE_READ_ONLY, 0, &second, &error), ST_DENIED);
    store_close(store);
    store = file(QUIRE_FILE_READ_ONLY, 0);
    assert_ok(quire_file(path, QUIRE_FILE_READ_ONLY, 0, &second, &error));
    store_close(second);
    assert_status(quire_file(path, QUIRE_FILE_OPEN, 0, &second, &error), ST_DENIED);
    store_close(store);
    assert_status(quire_file(path, QUIRE_FILE_CREATE, MIB, &second, &error), ST_IO_ERROR);
    assert_status(quire_file(folder, QUIRE_FILE_READ_ONLY, 0, &second, &error), ST_INVALID);
}

/* ------------------------------------------------------------------ ways */

static struct quire_pager *open_way(enum quire_way way, const char *says)
{
    struct quire_pager *pager = open_pager_with(
        &(struct quire_options){.memory_bytes = BUDGET, .policy = "clock", .deadline_ms = 5000, .way = way});
    struct quire_stats stats;

    quire_stats(pager, &stats);
    if (!strstr(stats.way, says))
        fail_msg("asked for %s, and it is: %s", says, stats.way);
    return pager;
}

static void test_protect(void **state)
{
    struct quire_pager *pager = open_way(QUIRE_WAY_PROTECT, "mprotect and SIGSEGV");
    uint64_t *shadow = calloc(1, 4 * MIB), *memory;
    struct faulty *store = faulty_store(1024, false);
    struct quire_stats stats;

    memory = map(pager, &store->base, 4 * MIB, 0);
    work_on(memory, shadow, 4 * MIB, 4, 4000, 1);
    quire_stats(pager, &stats);
    assert_true(stats.faults > 500 && stats.evictions > 500 && stats.referenced > 0);
    atomic_store(&store->fail_reads, 1); /* still SIGBUS, not SIGSEGV */
    assert_ok(quire_advise(memory, PAGE_SIZE, QUIRE_DONE_WITH));
    assert_true(read_is_sigbus((uint8_t *)memory));
    atomic_store(&store->fail_reads, 0);
    assert_int_equal(memory[0], shadow[0]);
    free(shadow);
    close_all(pager, &store->base);
}

static void work_on_anonymous(struct quire_pager *pager, bool locked)
{
    uint64_t *shadow = calloc(1, 4 * MIB), *memory;
    struct faulty *store = faulty_store(1024, false);
    struct quire_stats stats;

    quire_stats(pager, &stats);
    assert_non_null(strstr(stats.way, "anonymous memory"));
    memory = map(pager, &store->base, 4 * MIB, 0);
    if (locked && mlock2(memory, 4 * MIB, MLOCK_ONFAULT) != 0)
        locked = false; /* not allowed here: then it is the same again */
    work_on(memory, shadow, 4 * MIB, 4, 4000, 1);
    quire_stats(pager, &stats);
    assert_true(stats.faults > 500 && stats.evictions > 500 && stats.referenced == 0);
    atomic_store(&store->fail_writes, 1);
    memory[0] = shadow[0] = 17;
    assert_status(quire_sync(memory, PAGE_SIZE), ST_IO_ERROR);
    assert_int_equal(memory[0], 17);
    atomic_store(&store->fail_writes, 0);
    memory[1] = shadow[1] = 18;
    assert_ok(quire_sync(memory, PAGE_SIZE));
    assert_ok(quire_advise(memory, PAGE_SIZE, QUIRE_DONE_WITH));
    assert_memory_equal(memory, shadow, PAGE_SIZE);
    free(shadow);
    close_all(pager, &store->base);
}

/* Anonymous memory by itself for a policy that has no use for reference bits, also where it is locked; and
 * for any other when it is asked for. */
static void test_anonymous(void **state)
{
    struct quire_options options = {.memory_bytes = BUDGET, .way = QUIRE_WAY_ANONYMOUS, .handlers = 1};
    struct quire_pager *pager;

    if (getenv("QUIRE_TEST_WAY"))
        skip();
    assert_status(quire_open(&options, &pager, NULL), ST_INVALID);
    work_on_anonymous(open_pager(BUDGET, "fifo"), true);
    work_on_anonymous(open_pager(BUDGET, "random"), false);
    work_on_anonymous(open_way(QUIRE_WAY_ANONYMOUS, "no reference bits"), false);
    pager = open_way(QUIRE_WAY_ANONYMOUS, "anonymous memory");
    assert_status(quire_fork_begin(pager), ST_UNSUPPORTED);
    assert_ok(quire_close(pager));
}

enum { SHUT_PAGES = 512, SHUT_STEPS = 20000, SHUT_THREADS = 4 };

struct opener {
    volatile uint64_t *memory;
    unsigned number;
    bool pins;
};

/* Words of its own on pages that all share. */
static void *open_and_write(void *context)
{
    struct opener *opener = context;
    struct random random = {opener->number + 1};
    int zeroes = open("/dev/zero", O_RDONLY);

    for (uint64_t i = 0; i < SHUT_STEPS; i++) {
        uint64_t page = random_below(&random, SHUT_PAGES);
        volatile uint64_t *word = opener->memory + page * 512 + opener->number;

        if (!opener->pins) {
            *word = *word + 1;
        } else {
            assert_ok(quire_pin((void *)word, 8, ACCESS_WRITE));
            assert_int_equal(read(zeroes, (void *)word, 8), 8); /* and not EFAULT */
            *word = 1;
            quire_unpin((void *)word, 8);
        }
    }
    close(zeroes);
    return NULL;
}

/* One window of anonymous memory, of which an eighth is in memory and everything is written to: its open
 * pages are shut all the time while others are being opened and pinned. No write waits, fails or is lost. */
static void test_shut_while_opened(void **state)
{
    struct quire_pager *pager = open_way(QUIRE_WAY_ANONYMOUS, "anonymous memory");
    struct store *store = store_memory(SHUT_PAGES);
    volatile uint64_t *memory = map(pager, store, SHUT_PAGES * PAGE_SIZE, 0);
    struct opener opener[SHUT_THREADS];
    pthread_t thread[SHUT_THREADS];

    for (unsigned i = 0; i < SHUT_THREADS; i++) {
        opener[i] = (struct opener){memory, i, i == 0};
        assert_int_equal(pthread_create(&thread[i], NULL, open_and_write, &opener[i]), 0);
    }
    for (unsigned i = 0; i < SHUT_THREADS; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 1; i < SHUT_THREADS; i++) {
        uint64_t sum = 0;

        for (uint64_t page = 0; page < SHUT_PAGES; page++)
            sum += memory[page * 512 + i];
        assert_int_equal(sum, SHUT_STEPS);
    }
    close_all(pager, store);
}

static uint64_t faults_of_write(struct quire_pager *pager, volatile uint8_t *at)
{
    struct quire_stats before, after;

    quire_stats(pager, &before);
    *at = (uint8_t)(*at + 1);
    quire_stats(pager, &after);
    return after.write_faults - before.write_faults;
}

/* What is open in the 16 MiB around a page that is written is closed with it, once: a page that is written to
 * again stays open then. */
static void test_shut_once(void **state)
{
    enum { SYNCED = 1, NEIGHBOUR = 2, FAR = 4095, BEYOND = 4096, PAGES = 4100 };
    struct quire_pager *pager = open_way(QUIRE_WAY_ANONYMOUS, "anonymous memory");
    struct store *store = store_memory(PAGES);
    uint8_t *memory = map(pager, store, PAGES * PAGE_SIZE, 0);
    static const uint64_t pages[] = {SYNCED, NEIGHBOUR, FAR, BEYOND};

    for (unsigned i = 0; i < 4; i++)
        memory[pages[i] * PAGE_SIZE] = 1;
    assert_ok(quire_sync(memory + SYNCED * PAGE_SIZE, PAGE_SIZE));
    assert_int_equal(faults_of_write(pager, memory + BEYOND * PAGE_SIZE), 0);
    assert_int_equal(faults_of_write(pager, memory + NEIGHBOUR * PAGE_SIZE), 1);
    assert_int_equal(faults_of_write(pager, memory + SYNCED * PAGE_SIZE), 1);
    assert_ok(quire_sync(memory + SYNCED * PAGE_SIZE, PAGE_SIZE));
    assert_int_equal(faults_of_write(pager, memory + NEIGHBOUR * PAGE_SIZE), 0);
    assert_int_equal(faults_of_write(pager, memory + FAR * PAGE_SIZE), 1);
    assert_ok(quire_sync(memory, PAGES * PAGE_SIZE)); /* its own turn: closed as any other */
    assert_int_equal(faults_of_write(pager, memory + NEIGHBOUR * PAGE_SIZE), 1);
    close_all(pager, store);
}

/* In anonymous memory policies learn what is used from pins. */
static void test_pins_are_references(void **state)
{
    enum { HOT = 64, PASSING = 256, ROUNDS = 20, PAGES = 4096 };
    struct quire_options options = {.memory_bytes = 4 * MIB, .policy = "car", .way = QUIRE_WAY_ANONYMOUS};
    struct store *store = store_memory(PAGES);
    struct quire_pager *pager;
    struct quire_stats stats;
    uint8_t *memory;

    assert_ok(quire_open(&options, &pager, NULL));
    memory = map(pager, store, PAGES * PAGE_SIZE, 0);
    assert_ok(quire_advise(memory, PAGES * PAGE_SIZE, QUIRE_RANDOM));
    for (uint64_t round = 0; round < ROUNDS; round++)
        for (uint64_t i = 0; i < HOT + PASSING; i++) {
            uint64_t page = i < HOT ? i : HOT + (round * PASSING + i) % (PAGES - HOT);

            assert_ok(quire_pin(memory + page * PAGE_SIZE, 1, ACCESS_READ));
            quire_unpin(memory + page * PAGE_SIZE, 1);
        }
    quire_stats(pager, &stats);
    assert_in_range(stats.faults, HOT + ROUNDS * PASSING, HOT + ROUNDS * PASSING + HOT / 2);
    close_all(pager, store);
}

/* Nothing but pins: what is pinned can be read and written, and what is written is kept. */
static void test_only_pins(void **state)
{
    struct quire_pager *pager = open_way(QUIRE_WAY_PINS, "explicit pins");
    struct store *store = store_memory(1024);
    uint8_t *memory = map(pager, store, 4 * MIB, 0);
    int status;
    pid_t child;

    for (unsigned round = 0; round < 2; round++)
        for (uint64_t page = 0; page < 1024; page++) {
            uint8_t *at = memory + page * PAGE_SIZE;

            assert_ok(quire_pin(at, PAGE_SIZE, round == 0 ? ACCESS_WRITE : ACCESS_READ));
            if (round == 0)
                *at = (uint8_t)page;
            assert_int_equal(*at, (uint8_t)page);
            quire_unpin(at, PAGE_SIZE);
        }
    close_all(pager, store);
    child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test-runtime", "--not-pinned", NULL);
        _exit(9);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static int touch_unpinned(void)
{
    struct quire_pager *pager;
    void *memory;

    signal(SIGSEGV, SIG_DFL);
    if (quire_open(&(struct quire_options){.memory_bytes = MIB, .way = QUIRE_WAY_PINS}, &pager, NULL) !=
            ST_OK ||
        quire_map(pager, &(struct quire_mapping){.store = store_memory(16), .length = PAGE_SIZE}, &memory,
                  NULL) != ST_OK)
        return 1;
    return *(volatile uint8_t *)memory;
}

/* A kernel that has no userfaultfd, or does not give it to us: the next best, for budgets that it can do. */
static int open_without_userfaultfd(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(code) / sizeof(code[0]), code};
    struct quire_options options = {.memory_bytes = BUDGET};
    struct quire_pager *pager;
    struct quire_stats stats;
    struct quire_error error;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        return 77;
    if (quire_open(&options, &pager, &error) != ST_OK)
        return 1;
    quire_stats(pager, &stats);
    if (!strstr(stats.way, "mprotect") || quire_close(pager) != ST_OK)
        return 2;
    options.memory_bytes = (uint64_t)1 << 40;
    if (quire_open(&options, &pager, &error) != ST_UNSUPPORTED || !strstr(error.text, "vm.max_map_count"))
        return 3;
    options = (struct quire_options){.memory_bytes = BUDGET, .way = QUIRE_WAY_USERFAULTFD};
    return quire_open(&options, &pager, &error) == ST_UNSUPPORTED ? 0 : 4;
}

static void test_no_userfaultfd(void **state)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(open_without_userfaultfd());
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ------------------------------------------------------------------ the program around it */

/* The child has no region, and the parent's is unharmed. */
static void test_fork(void **state)
{
    struct quire_pager *pager = open_pager(BUDGET, "clock");
    struct store *store = store_memory(1024);
    volatile uint8_t *memory = map(pager, store, 4 * MIB, 0);
    int status;
    pid_t child;

    memory[0] = 1;
    child = fork();
    if (child == 0) {
        void *address;
        struct quire_mapping mapping = {.store = store, .length = 1, .offset = MIB};

        if (quire_map(pager, &mapping, &address, NULL) != ST_UNSUPPORTED)
            _exit(1);
        signal(SIGSEGV, SIG_DFL);
        memory[PAGE_SIZE] = 2;
        _exit(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_int_equal(memory[0], 1);
    assert_int_equal(memory[PAGE_SIZE], 0);
    close_all(pager, store);
}

static void *touch_and_end(void *context)
{
    ((volatile uint8_t *)context)[0] = 1;
    pthread_exit(NULL);
}

static void *be_cancelled(void *context)
{
    for (volatile uint8_t *memory = context; memory[0] != 99; pthread_testcancel())
        for (uint64_t i = PAGE_SIZE; i < 4 * MIB; i += PAGE_SIZE)
            (void)memory[i];
    return NULL;
}

/* Threads that come and go; and threads that are cancelled while they fault, which a fault itself outlasts.
 */
static void threads_end(struct store *store, unsigned flags)
{
    struct quire_pager *pager = open_pager(BUDGET, "clock");
    uint8_t *memory = map(pager, store, 4 * MIB, flags);
    pthread_t thread;

    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(pthread_create(&thread, NULL, touch_and_end, memory + (uint64_t)i * PAGE_SIZE), 0);
        pthread_join(thread, NULL);
    }
    for (unsigned i = 0; i < 10; i++) {
        void *ended = NULL;

        assert_int_equal(pthread_create(&thread, NULL, be_cancelled, memory), 0);
        usleep(300 * i);
        pthread_cancel(thread);
        pthread_join(thread, &ended);
        assert_ptr_equal(ended, PTHREAD_CANCELED);
    }
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(memory[i * PAGE_SIZE], 1);
    assert_ok(flags & QUIRE_FRESH ? quire_discard(memory) : quire_unmap(memory));
    close_all(pager, store);
}

static void test_threads_end(void **state)
{
    struct store *store;
    char name[96];

    threads_end(file(QUIRE_FILE_CREATE, 4 * MIB), 0);
    snprintf(name, sizeof(name), "lz4:64K+swap:%s", folder);
    assert_ok(quire_store_open(name, 4 * MIB, &store, NULL));
    threads_end(store, QUIRE_FRESH);
}

static void *synchronise(void *context)
{
    for (;;) {
        ((volatile uint8_t *)context)[0]++;
        if (quire_sync(context, PAGE_SIZE) != ST_OK)
            return NULL;
        pthread_testcancel();
    }
}

/* A call is finished before its thread is cancelled. */
static void test_calls_are_finished(void **state)
{
    struct quire_pager *pager = open_pager(BUDGET, "clock");
    struct store *store = file(QUIRE_FILE_CREATE, MIB);
    uint8_t *memory = map(pager, store, MIB, 0);

    for (unsigned i = 0; i < 10; i++) {
        void *ended = NULL;
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, synchronise, memory), 0);
        usleep(2000 + 300 * i);
        pthread_cancel(thread);
        pthread_join(thread, &ended);
        assert_ptr_equal(ended, PTHREAD_CANCELED);
    }
    assert_ok(quire_sync(memory, MIB));
    close_all(pager, store);
}

/* Without a handler of the program, the process ends and says why. */
static void test_default_action(void **state)
{
    int pipes[2], status;
    char line[300] = "";
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        execl("/proc/self/exe", "test-runtime", "--die", NULL);
        _exit(9);
    }
    close(pipes[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(read(pipes[0], line, sizeof(line) - 1) >= 0);
    close(pipes[0]);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    assert_non_null(strstr(line, "quire: page 3 of the region"));
}

static int die(void)
{
    struct faulty *store = faulty_store(1024, false);
    struct quire_pager *pager;
    void *memory;

    signal(SIGBUS, SIG_DFL);
    if (quire_open(&(struct quire_options){.memory_bytes = MIB}, &pager, NULL) != ST_OK)
        return 77;
    if (quire_map(pager, &(struct quire_mapping){.store = &store->base, .length = MIB}, &memory, NULL) !=
        ST_OK)
        return 1;
    atomic_store(&store->fail_reads, 1);
    return ((volatile uint8_t *)memory)[3 * PAGE_SIZE];
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_policy),
        cmocka_unit_test(test_every_store),
        cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_budgets_and_threads),
        cmocka_unit_test(test_several_regions),
        cmocka_unit_test(test_file_is_the_file),
        cmocka_unit_test(test_private_copy),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_writes_to_pinned_pages),
        cmocka_unit_test(test_advice),
        cmocka_unit_test(test_read_errors),
        cmocka_unit_test(test_write_errors),
        cmocka_unit_test(test_nothing_can_leave),
        cmocka_unit_test(test_full_store),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_truncated_file),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_protect),
        cmocka_unit_test(test_anonymous),
        cmocka_unit_test(test_shut_while_opened),
        cmocka_unit_test(test_shut_once),
        cmocka_unit_test(test_pins_are_references),
        cmocka_unit_test(test_only_pins),
        cmocka_unit_test(test_no_userfaultfd),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_threads_end),
        cmocka_unit_test(test_calls_are_finished),
        cmocka_unit_test(test_default_action),
    };

    if (argc > 1 && strcmp(argv[1], "--die") == 0)
        return die();
    if (argc > 1 && strcmp(argv[1], "--not-pinned") == 0)
        return touch_unpinned();
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
