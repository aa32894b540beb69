#include "runtime_support.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/linux/memory.h"

/* ------------------------------------------------------------------ SIGBUS of the program */

static _Thread_local sigjmp_buf *trap;
static struct sigaction was;

static void own_handler(int signal, siginfo_t *info, void *context)
{
    if (trap)
        siglongjmp(*trap, 1);
    sigaction(SIGBUS, &was, NULL);
}

/* cmocka sets a handler of its own before each case. */
static void install_own_handler(void)
{
    struct sigaction ours = {.sa_sigaction = own_handler, .sa_flags = SA_SIGINFO | SA_NODEFER};

    assert_int_equal(sigaction(SIGBUS, &ours, &was), 0);
}

struct quire_pager *open_pager_with(const struct quire_options *options)
{
    struct quire_pager *pager = NULL;
    struct quire_error error;
    struct quire_options how = *options;
    const char *way = getenv("QUIRE_TEST_WAY");
    enum status status;

    if (way && how.way == QUIRE_WAY_BEST)
        how.way = strcmp(way, "protect") == 0     ? QUIRE_WAY_PROTECT
                  : strcmp(way, "anonymous") == 0 ? QUIRE_WAY_ANONYMOUS
                                                  : QUIRE_WAY_USERFAULTFD;
    install_own_handler();
    status = quire_open(&how, &pager, &error);

    if (status == ST_UNSUPPORTED) {
        print_message("# %s\n", error.text);
        skip();
    }
    if (status != ST_OK)
        fail_msg("%s", error.text);
    return pager;
}

struct quire_pager *open_pager(uint64_t memory_bytes, const char *policy)
{
    return open_pager_with(&(struct quire_options){
        .memory_bytes = memory_bytes, .policy = policy, .seed = 1, .deadline_ms = 20000});
}

void close_all(struct quire_pager *pager, struct store *store)
{
    const char *wrong = quire_check(pager);

    if (wrong)
        fail_msg("%s", wrong);
    assert_ok(quire_close(pager));
    if (store)
        store_close(store);
}

void *map(struct quire_pager *pager, struct store *store, uint64_t length, unsigned flags)
{
    struct quire_mapping mapping = {.store = store, .length = length, .flags = flags};
    struct quire_error error;
    void *address = NULL;

    if (quire_map(pager, &mapping, &address, &error) != ST_OK)
        fail_msg("%s", error.text);
    return address;
}

struct store *open_store(const char *name, uint64_t length)
{
    struct quire_error error = {""};
    struct store *store = NULL;
    enum status status = quire_store_open(name, length, &store, &error);

    if (status == ST_UNSUPPORTED) {
        print_message("# %s\n", error.text);
        skip();
    }
    if (status != ST_OK)
        fail_msg("%s: %s", name, error.text);
    return store;
}

/* ------------------------------------------------------------------ a store that misbehaves */

static void rest(uint64_t nanoseconds)
{
    struct timespec time = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};

    nanosleep(&time, NULL);
}

static bool is_hit(uint64_t modulus, const struct store_request *request)
{
    return modulus != 0 && (request->first + request->count - 1) / modulus * modulus >= request->first;
}

static enum status faulty_now(struct faulty *faulty, const struct store_request *request)
{
    atomic_fetch_add(request->op == STORE_READ    ? &faulty->reads
                     : request->op == STORE_WRITE ? &faulty->writes
                                                  : &faulty->flushes,
                     1);
    if (atomic_load(&faulty->delay_ns) > 0)
        rest(atomic_load(&faulty->delay_ns));
    while (atomic_load(&faulty->hangs))
        rest(1000000);
    if ((request->op == STORE_READ && is_hit(atomic_load(&faulty->fail_reads), request)) ||
        (request->op == STORE_WRITE && is_hit(atomic_load(&faulty->fail_writes), request)))
        return (enum status)atomic_load(&faulty->error);
    if (request->op == STORE_FLUSH)
        return ST_OK;
    return faulty->below->type->transfer(faulty->below, request);
}

static enum status faulty_transfer(struct store *store, const struct store_request *request)
{
    return faulty_now((struct faulty *)store, request);
}

static void faulty_submit(struct store *store, struct store_request *request)
{
    struct faulty *faulty = (struct faulty *)store;
    struct store_request *first = atomic_load(&faulty->held);

    do
        request->next = first;
    while (!atomic_compare_exchange_weak(&faulty->held, &first, request));
}

static unsigned faulty_poll(struct store *store, uint64_t wait_ns)
{
    struct faulty *faulty = (struct faulty *)store;
    struct store_request *request = atomic_load(&faulty->hangs) ? NULL : atomic_exchange(&faulty->held, NULL),
                         *next;
    unsigned ended = 0;

    if (!request && wait_ns > 0)
        rest(wait_ns / 10);
    for (; request; request = next, ended++) {
        next = request->next;
        request->done(request, faulty_now(faulty, request));
    }
    return ended;
}

static void faulty_close(struct store *store)
{
    store_close(((struct faulty *)store)->below);
    free(store);
}

static const struct store_type faulty_type = {.name = "faulty",
                                              .submit = faulty_submit,
                                              .poll = faulty_poll,
                                              .close = faulty_close,
                                              .transfer = faulty_transfer};
static const struct store_type slow_type = {
    .name = "faulty requests", .submit = faulty_submit, .poll = faulty_poll, .close = faulty_close};

struct faulty *faulty_store(uint64_t pages, bool only_requests)
{
    struct faulty *faulty = calloc(1, sizeof(*faulty));

    assert_non_null(faulty);
    faulty->base = (struct store){only_requests ? &slow_type : &faulty_type, pages};
    faulty->below = store_memory(pages);
    assert_non_null(faulty->below);
    atomic_store(&faulty->error, ST_IO_ERROR);
    return faulty;
}

/* ------------------------------------------------------------------ work */

struct worker {
    pthread_t thread;
    uint64_t *memory, *shadow;
    uint64_t words, steps, seed;
    unsigned number, threads;
    uint64_t wrong; /* how many words were; and the first of them */
    uint64_t wrong_word, found, expected;
};

static const char *say_wrong(uint64_t word, uint64_t found, uint64_t expected, uint64_t now)
{
    static char text[160];

    snprintf(text, sizeof(text), "word %llu (page %llu) is %#llx and not %#llx; read again it is %#llx",
             (unsigned long long)word, (unsigned long long)(word / (PAGE_SIZE / sizeof(uint64_t))),
             (unsigned long long)found, (unsigned long long)expected, (unsigned long long)now);
    return text;
}

const char *words_differ(const uint64_t *memory, const uint64_t *expected, uint64_t length)
{
    for (uint64_t i = 0; i < length / sizeof(uint64_t); i++) {
        uint64_t found = memory[i];

        if (found != expected[i])
            return say_wrong(i, found, expected[i], ((const volatile uint64_t *)memory)[i]);
    }
    return NULL;
}

/* Half of the steps go to an eighth of the memory. */
static uint64_t choose_word(struct worker *worker, struct random *random)
{
    uint64_t words = random_below(random, 2) ? worker->words / 8 : worker->words;
    uint64_t word = random_below(random, words);

    word = word - word % worker->threads + worker->number;
    return word < worker->words ? word : worker->number;
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct random random = {worker->seed * 0x9e3779b97f4a7c15u + worker->number + 1};

    for (uint64_t i = 0; i < worker->steps; i++) {
        uint64_t word = choose_word(worker, &random);

        uint64_t found = worker->memory[word];

        if (found != worker->shadow[word] && worker->wrong++ == 0) {
            worker->wrong_word = word;
            worker->found = found;
            worker->expected = worker->shadow[word];
        }
        if (random_below(&random, 4) == 0)
            worker->memory[word] = worker->shadow[word] = random_next(&random);
    }
    return NULL;
}

const char *work_differs(void *memory, uint64_t *shadow, uint64_t length, unsigned threads, uint64_t steps,
                         uint64_t seed)
{
    struct worker workers[16];

    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){.memory = memory,
                                     .shadow = shadow,
                                     .words = length / sizeof(uint64_t),
                                     .steps = steps,
                                     .seed = seed,
                                     .number = i,
                                     .threads = threads};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < threads; i++)
        if (workers[i].wrong > 0)
            return say_wrong(workers[i].wrong_word, workers[i].found, workers[i].expected,
                             workers[i].memory[workers[i].wrong_word]);
    return words_differ(memory, shadow, length);
}

void work_on(void *memory, uint64_t *shadow, uint64_t length, unsigned threads, uint64_t steps, uint64_t seed)
{
    const char *wrong = work_differs(memory, shadow, length, threads, steps, seed);

    if (wrong)
        fail_msg("%s", wrong);
}

/* ------------------------------------------------------------------ accesses that may fail */

bool read_is_sigbus(const volatile uint8_t *address)
{
    sigjmp_buf here;

    trap = &here;
    if (sigsetjmp(here, 1) != 0) {
        trap = NULL;
        return true;
    }
    (void)*address;
    trap = NULL;
    return false;
}

bool write_is_sigbus(volatile uint8_t *address)
{
    sigjmp_buf here;

    trap = &here;
    if (sigsetjmp(here, 1) != 0) {
        trap = NULL;
        return true;
    }
    *address = 1;
    trap = NULL;
    return false;
}
