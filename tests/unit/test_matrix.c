/*
 * Every byte that is read is what was written: policies x stores x budgets x threads x modes x members, each
 * against a shadow copy, with other threads that synchronise, pin and give advice meanwhile, a snapshot taken
 * in the middle of it, and another member with a region of its own at work in the same pager. Under ASan and
 * under TSan.
 *
 * A case is a kind of store; it goes through its combinations in a random order for a second, or through all
 * of them when QUIRE_MATRIX is "all". What fails names its combination, and QUIRE_SEED repeats it.
 */
#include "runtime_support.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "quire/policy.h"
#include "servers.h"
#include "store/linux/memory.h"

#define LENGTH (2 * MIB)
#define PAGES (LENGTH / PAGE_SIZE)
enum { STEPS = 1200, MOST_THREADS = 16, SECONDS = 1 };

static char folder[] = "/tmp/quire-matrix-XXXXXX";
static struct server nbdkit, redis;

/* ------------------------------------------------------------------ combinations */

enum mode { MODE_PLAIN, MODE_FRESH, MODE_PRIVATE, MODES };

static const uint64_t budgets[] = {QUIRE_LEAST_MEMORY, 512 * KIB, 3 * MIB};
static const unsigned thread_counts[] = {1, 3, 8};
static const enum quire_advice advices[] = {QUIRE_NORMAL, QUIRE_RANDOM, QUIRE_SEQUENTIAL};
static const enum quire_way ways[] = {QUIRE_WAY_USERFAULTFD, QUIRE_WAY_PROTECT, QUIRE_WAY_ANONYMOUS};
/* What the region's member and its neighbour are. */
static const struct company {
    const char *scope, *allocation, *class, *other_class;
    uint64_t other_maximum;
} companies[] = {
    {NULL, NULL, NULL, NULL, 0}, /* there is none */
    {"global", NULL, NULL, "ordinary", 0},
    {"global", NULL, "vip:128K", "vvip:100K", QUIRE_LEAST_MEMORY},
    {"local", "equal", NULL, "vvip:100K", 0},
    {"local", "equal:strict", NULL, "vip:64K", 0},
    {"local", "proportional", "vvip:96K", NULL, QUIRE_LEAST_MEMORY},
    {"local", "pff:low=50,high=500,window=500", NULL, NULL, 0},
};
enum { WAYS = 3, BUDGETS = 3, THREADS = 3, ADVICES = 3, MOST_POLICIES = 64, COMPANIES = 7 };

struct combination {
    const char *policy;
    uint64_t budget;
    unsigned threads;
    enum quire_advice advice;
    enum mode mode;
    bool snapshot;
    enum quire_way way;
    unsigned company;
};

static const char *policies[MOST_POLICIES];
static unsigned policy_count;

static unsigned combinations(void)
{
    return policy_count * BUDGETS * THREADS * ADVICES * MODES * 2 * WAYS * COMPANIES;
}

static struct combination combination_at(unsigned i)
{
    struct combination c = {.policy = policies[i % policy_count]};

    i /= policy_count;
    c.budget = budgets[i % BUDGETS];
    i /= BUDGETS;
    c.threads = thread_counts[i % THREADS];
    i /= THREADS;
    c.advice = advices[i % ADVICES];
    i /= ADVICES;
    c.mode = (enum mode)(i % MODES);
    i /= MODES;
    c.snapshot = i % 2 != 0;
    c.way = ways[i / 2 % WAYS];
    c.company = i / 2 / WAYS % COMPANIES;
    return c;
}

static const char *const mode_names[MODES] = {"plain", "fresh", "private copy"};
static struct combination now;

/* Before it begins: the last one is what failed. */
static void say_combination(const char *store, uint64_t seed)
{
    print_message("# %s: policy %s, %llu KiB, %u threads, advice %d, %s%s%s, members %u, QUIRE_SEED=%llu\n",
                  store, now.policy, (unsigned long long)(now.budget / KIB), now.threads, (int)now.advice,
                  mode_names[now.mode], now.snapshot ? ", snapshot" : "",
                  now.way == QUIRE_WAY_PROTECT     ? ", mprotect"
                  : now.way == QUIRE_WAY_ANONYMOUS ? ", anonymous"
                                                   : "",
                  now.company, (unsigned long long)seed);
}

/* ------------------------------------------------------------------ one of them */

struct meddler {
    uint8_t *memory;
    _Atomic bool stop;
    uint64_t seed;
    enum status wrong;
    const char *call; /* that it came from */
};

/* What may be said of a call that changes no contents: more pins than there is room for; a store that does
 * not last. */
static bool is_fine(enum status status)
{
    return status == ST_OK || status == ST_UNSUPPORTED || status == ST_LIMIT;
}

static void *meddle(void *context)
{
    struct meddler *meddler = context;
    struct random random = {meddler->seed};

    while (!atomic_load(&meddler->stop) && is_fine(meddler->wrong)) {
        uint8_t *at = meddler->memory + random_below(&random, PAGES - 4) * PAGE_SIZE;
        enum access access = random_below(&random, 2) ? ACCESS_WRITE : ACCESS_READ;

        switch (random_below(&random, 4)) {
        case 0:
            meddler->call = "quire_sync";
            meddler->wrong = quire_sync(at, 4 * PAGE_SIZE);
            break;
        case 1:
            meddler->call = "quire_advise(done with)";
            meddler->wrong = quire_advise(at, 4 * PAGE_SIZE, QUIRE_DONE_WITH);
            break;
        case 2:
            meddler->call = "quire_advise(will need)";
            meddler->wrong = quire_advise(at, 4 * PAGE_SIZE, QUIRE_WILL_NEED);
            break;
        default:
            meddler->call = "quire_pin";
            meddler->wrong = quire_pin(at, 4 * PAGE_SIZE, access);
            if (meddler->wrong == ST_OK)
                quire_unpin(at, 4 * PAGE_SIZE);
        }
    }
    return NULL;
}

static void work_beside_meddler(uint64_t *memory, uint64_t *shadow, uint64_t seed)
{
    struct meddler meddler = {.memory = (uint8_t *)memory, .seed = seed | 1};
    const char *wrong;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, meddle, &meddler), 0);
    wrong = work_differs(memory, shadow, LENGTH, now.threads, STEPS / now.threads, seed);
    atomic_store(&meddler.stop, true);
    pthread_join(thread, NULL);
    if (wrong)
        fail_msg("%s", wrong);
    if (!is_fine(meddler.wrong))
        fail_msg("a call beside the work: %s: %s", meddler.call, status_name(meddler.wrong));
}

/* Each page of it is another, and can be made smaller. */
static struct store *patterned_store(uint64_t *shadow)
{
    struct store *store = store_memory(PAGES);
    void *pages[1];

    for (uint64_t i = 0; i < LENGTH / 8; i++)
        shadow[i] = i / 512 * 1000 + i % 8;
    for (uint64_t page = 0; page < PAGES; page++) {
        struct store_request request = {.op = STORE_WRITE, .count = 1, .first = page, .pages = pages};

        pages[0] = shadow + page * (PAGE_SIZE / 8);
        assert_ok(store->type->transfer(store, &request));
    }
    return store;
}

static void beside_snapshot(uint64_t *memory, uint64_t *shadow, uint64_t seed)
{
    struct store *kept = store_memory(PAGES);
    struct quire_mapping mapping = {.store = kept};
    uint64_t *then = malloc(LENGTH), *view;
    const char *wrong;

    memcpy(then, shadow, LENGTH);
    assert_ok(quire_snapshot(memory, &mapping, (void **)&view, NULL));
    work_beside_meddler(memory, shadow, seed + 1);
    wrong = words_differ(view, then, LENGTH);
    if (wrong)
        fail_msg("in the snapshot: %s", wrong);
    assert_ok(quire_discard(view));
    store_close(kept);
    free(then);
}

/* Another member, at work in a thread of its own until it is told to stop. */
struct neighbour {
    pthread_t thread;
    _Atomic bool stop;
    struct quire_member *member;
    struct store *store;
    uint64_t *memory, *shadow;
    uint64_t seed;
    const char *wrong;
};

static void *work_as_neighbour(void *context)
{
    struct neighbour *neighbour = context;

    while (!atomic_load(&neighbour->stop) && !neighbour->wrong)
        neighbour->wrong =
            work_differs(neighbour->memory, neighbour->shadow, LENGTH, 1, STEPS / 8, neighbour->seed++);
    return NULL;
}

static void neighbour_begin(struct neighbour *neighbour, struct quire_pager *pager, uint64_t seed)
{
    const struct company *company = &companies[now.company];
    struct quire_member_options options = {
        .name = "neighbour", .class = company->other_class, .maximum_bytes = company->other_maximum};
    struct quire_mapping mapping = {.store = store_memory(PAGES), .length = LENGTH};

    *neighbour = (struct neighbour){.seed = seed, .store = mapping.store, .shadow = calloc(1, LENGTH)};
    assert_ok(quire_member_create(pager, &options, &neighbour->member, NULL));
    mapping.member = neighbour->member;
    assert_ok(quire_map(pager, &mapping, (void **)&neighbour->memory, NULL));
    assert_int_equal(pthread_create(&neighbour->thread, NULL, work_as_neighbour, neighbour), 0);
}

static void neighbour_end(struct neighbour *neighbour)
{
    atomic_store(&neighbour->stop, true);
    pthread_join(neighbour->thread, NULL);
    if (neighbour->wrong)
        fail_msg("the neighbour: %s", neighbour->wrong);
    assert_ok(quire_discard(neighbour->memory));
    assert_ok(quire_member_end(neighbour->member));
    store_close(neighbour->store);
    free(neighbour->shadow);
}

static struct quire_pager *open_for_combination(uint64_t seed)
{
    const struct company *company = &companies[now.company];

    return open_pager_with(&(struct quire_options){.memory_bytes = now.budget,
                                                   .policy = now.policy,
                                                   .seed = seed,
                                                   .deadline_ms = 20000,
                                                   .way = now.way,
                                                   .scope = company->scope,
                                                   .allocation = company->allocation});
}

static void run_combination(struct store *store, uint64_t seed)
{
    struct quire_pager *pager = open_for_combination(seed);
    uint64_t *shadow = calloc(1, LENGTH), *memory;
    struct store *base = now.mode == MODE_PRIVATE ? patterned_store(shadow) : NULL;
    struct quire_mapping mapping = {
        .store = store, .length = LENGTH, .base = base, .flags = now.mode == MODE_FRESH ? QUIRE_FRESH : 0};
    struct quire_member_options options = {.name = "party", .class = companies[now.company].class};
    struct neighbour neighbour;

    if (now.company > 0) {
        assert_ok(quire_member_create(pager, &options, &mapping.member, NULL));
        neighbour_begin(&neighbour, pager, seed);
    }
    assert_ok(quire_map(pager, &mapping, (void **)&memory, NULL));
    assert_ok(quire_advise(memory, LENGTH, now.advice));
    if (now.mode == MODE_PLAIN)
        memset(memory, 0, LENGTH);
    work_beside_meddler(memory, shadow, seed);
    if (now.snapshot)
        beside_snapshot(memory, shadow, seed);
    free(shadow);
    if (now.company > 0)
        neighbour_end(&neighbour);
    assert_ok(quire_discard(memory));
    close_all(pager, store);
    if (base)
        store_close(base);
}

/* ------------------------------------------------------------------ a kind of store */

static uint64_t seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec;
}

/* "module:PATH:" where the module is not in $QUIRE_MODULES. */
static const char *prefix(const char *variable)
{
    return getenv(variable) ? getenv(variable) : "";
}

static struct store *open_kind(const char *kind)
{
    char name[256];

    if (strcmp(kind, "memory") == 0)
        return store_memory(PAGES);
    if (strcmp(kind, "requests") == 0)
        return &faulty_store(PAGES, true)->base;
    if (strcmp(kind, "file") == 0)
        snprintf(name, sizeof(name), "file:%s/data", folder);
    else if (strcmp(kind, "nbd") == 0)
        snprintf(name, sizeof(name), "%snbd+unix:///?socket=%s", prefix("QUIRE_NBD"), nbdkit.socket);
    else if (strcmp(kind, "redis") == 0)
        snprintf(name, sizeof(name), "%sredis+unix://%s?name=matrix", prefix("QUIRE_REDIS"), redis.socket);
    else
        snprintf(name, sizeof(name), kind[strlen(kind) - 1] == ':' ? "%s%s" : "%s", kind, folder);
    return open_store(name, LENGTH);
}

static bool needs_fresh(const char *kind)
{
    return strncmp(kind, "lz4", 3) == 0 || strncmp(kind, "zstd", 4) == 0;
}

static void go_through(const char *kind)
{
    const char *matrix = getenv("QUIRE_MATRIX"), *given = getenv("QUIRE_SEED");
    uint64_t seed = (uint64_t)(given ? atoll(given) : getpid());
    uint64_t until = seconds() + (uint64_t)(matrix ? atoi(matrix) : SECONDS);
    struct random random = {seed * 2 + 1};

    while (seconds() <= until) {
        now = combination_at((unsigned)random_below(&random, combinations()));
        if (needs_fresh(kind) && now.mode == MODE_PLAIN)
            now.mode = MODE_FRESH;
        say_combination(kind, seed);
        run_combination(open_kind(kind), random_next(&random));
    }
}

static void test_kind(void **state)
{
    go_through(*state);
}

static void test_nbd(void **state)
{
    if (!server_nbdkit(&nbdkit, folder, (const char *const[]){"memory", "2M", NULL}))
        skip();
    go_through("nbd");
    server_kill(&nbdkit, SIGKILL);
}

static void test_redis(void **state)
{
    if (!server_redis(&redis, folder, false))
        skip();
    go_through("redis");
    server_kill(&redis, SIGKILL);
}

/* ------------------------------------------------------------------ more threads than frames */

static void *copy_pages(void *context)
{
    struct meddler *worker = context;
    struct random random = {worker->seed};

    for (unsigned i = 0; i < 60; i++) { /* needs two pages at the same time, anywhere in them */
        uint8_t *from = worker->memory + random_below(&random, LENGTH - 64);
        uint8_t *to = worker->memory + LENGTH + worker->seed * 64;

        for (unsigned byte = 0; byte < 64; byte++)
            to[byte] = (uint8_t)(from[byte] + 1);
    }
    return NULL;
}

/* A budget of 64 pages, and 100 threads that each need two: slow, and it ends. */
static void test_least_budget(void **state)
{
    struct quire_pager *pager = open_pager(QUIRE_LEAST_MEMORY, "clock");
    struct store *store = store_memory(2 * PAGES);
    uint8_t *memory = map(pager, store, 2 * LENGTH, 0);
    struct meddler workers[100];
    pthread_t threads[100];

    for (unsigned i = 0; i < 100; i++) {
        workers[i].memory = memory;
        workers[i].seed = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, copy_pages, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 100; i++)
        pthread_join(threads[i], NULL);
    close_all(pager, store);
}

/* ------------------------------------------------------------------ all of it */

static int begin(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    for (const struct policy_type *const *type = policy_types; *type && policy_count < MOST_POLICIES; type++)
        if ((*type)->needs != POLICY_FUTURE)
            policies[policy_count++] = (*type)->name;
    return 0;
}

static int end(void **state)
{
    char command[96];

    server_kill(&nbdkit, SIGKILL);
    server_kill(&redis, SIGKILL);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

#define KIND(title, kind)                                                                                    \
    {                                                                                                        \
        title, test_kind, NULL, NULL, (void *)(uintptr_t)(kind)                                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIND("memory", "memory"),
        KIND("requests", "requests"),
        KIND("file", "file"),
        KIND("swap", "swap:"),
        KIND("lz4", "lz4:3M"),
        KIND("lz4, swap", "lz4:400K+swap:"),
        KIND("zstd", "zstd:3M"),
        KIND("zstd, swap", "zstd:300K+swap:"),
        cmocka_unit_test(test_nbd),
        cmocka_unit_test(test_redis),
        cmocka_unit_test(test_least_budget),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
