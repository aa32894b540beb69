/*
 * bench_explicit.h. A page's word: how many have fixed it, and flags. Reading goes straight into the page's
 * place (aligned, so O_DIRECT), which the kernel zeroes first; there is no copy.
 *
 *      ABSENT --- COMING --- present (USED, DIRTY; fixes) --- LEAVING --- ABSENT
 */
#include "bench_explicit.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* WAITED: somebody sleeps until the page is not BUSY any more. */
enum { PRESENT = 1, BUSY = 2, USED = 4, DIRTY = 8, WAITED = 16, FIX = 32, BATCH = 256, RESERVE_PERCENT = 3 };
enum { SPINS = 200 };

struct manager {
    struct store *store;
    uint8_t *memory;
    _Atomic uint32_t *words;
    _Atomic uint32_t *ring; /* page of each frame + 1; 0: none */
    uint64_t pages, frames, low, high;
    uint64_t hand;
    int self;
    _Alignas(64) _Atomic int64_t free;
    _Alignas(64) _Atomic uint64_t misses;
    _Alignas(64) _Atomic uint64_t tail;
    _Atomic bool wanted;
    pthread_mutex_t lock;
    pthread_cond_t wake, more;
};

static uint8_t *address(struct manager *manager, uint64_t page)
{
    return manager->memory + page * PAGE_SIZE;
}

static void transfer(struct manager *manager, enum store_op op, uint64_t page)
{
    void *memory = address(manager, page);
    struct store_request request = {.op = op, .first = page, .count = 1, .pages = &memory};

    if (manager->store->type->transfer(manager->store, &request) != ST_OK) {
        fputs("bench-runtime: the store failed\n", stderr);
        exit(1);
    }
}

static void call_evictor(struct manager *manager)
{
    if (atomic_exchange(&manager->wanted, true))
        return;
    pthread_mutex_lock(&manager->lock);
    pthread_cond_signal(&manager->wake);
    pthread_mutex_unlock(&manager->lock);
}

static void take_frame(struct manager *manager)
{
    int64_t left = atomic_fetch_sub(&manager->free, 1) - 1;

    if (left < (int64_t)manager->low)
        call_evictor(manager);
    while (left < 0) { /* give it back, and wait for more */
        atomic_fetch_add(&manager->free, 1);
        pthread_mutex_lock(&manager->lock);
        while (atomic_load(&manager->free) <= 0)
            pthread_cond_wait(&manager->more, &manager->lock);
        pthread_mutex_unlock(&manager->lock);
        left = atomic_fetch_sub(&manager->free, 1) - 1;
    }
}

/* The clock's ring is a queue: a page that is spared goes to its end again. */
static void push(struct manager *manager, uint64_t page)
{
    uint64_t at = atomic_fetch_add(&manager->tail, 1) % (2 * manager->frames);

    atomic_store(&manager->ring[at], (uint32_t)page + 1);
}

static void sleep_while_busy(_Atomic uint32_t *word)
{
    uint32_t seen = atomic_load(word);

    for (unsigned i = 0; i < SPINS && (seen & BUSY); i++) {
        __builtin_ia32_pause();
        seen = atomic_load(word);
    }
    if ((seen & BUSY) && atomic_compare_exchange_strong(word, &seen, seen | WAITED))
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen | WAITED, NULL, NULL, 0);
}

/* BUSY ends. */
static void settle(_Atomic uint32_t *word, uint32_t value)
{
    if (atomic_exchange(word, value) & WAITED)
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void *manager_fix(struct manager *manager, uint64_t page, bool write)
{
    _Atomic uint32_t *word = &manager->words[page];
    uint32_t flags = write ? USED | DIRTY : USED;

    for (;;) {
        uint32_t seen = atomic_load(word), absent = 0;

        if ((seen & PRESENT) && !(seen & BUSY)) {
            if (atomic_compare_exchange_weak(word, &seen, (seen | flags) + FIX))
                return address(manager, page);
        } else if (seen == 0 && atomic_compare_exchange_strong(word, &absent, BUSY)) {
            take_frame(manager);
            transfer(manager, STORE_READ, page);
            atomic_fetch_add_explicit(&manager->misses, 1, memory_order_relaxed);
            settle(word, (PRESENT | flags) + FIX);
            push(manager, page);
            return address(manager, page);
        } else {
            sleep_while_busy(word);
        }
    }
}

void manager_unfix(struct manager *manager, uint64_t page, bool write)
{
    atomic_fetch_sub(&manager->words[page], FIX);
}

uint64_t manager_misses(struct manager *manager)
{
    return atomic_load(&manager->misses);
}

/* ------------------------------------------------------------------ the evicting thread */

/* The next page of the ring; false: nothing is there. */
static bool pop(struct manager *manager, uint64_t *page)
{
    _Atomic uint32_t *at = &manager->ring[manager->hand % (2 * manager->frames)];
    uint32_t seen = atomic_load(at);

    if (seen == 0)
        return false;
    atomic_store(at, 0);
    manager->hand++;
    *page = seen - 1;
    return true;
}

/* Its bit is taken; or it is fixed. */
static bool is_spared(struct manager *manager, uint64_t page)
{
    _Atomic uint32_t *word = &manager->words[page];
    uint32_t seen = atomic_load(word);

    if (!(seen & USED) && seen < FIX && atomic_compare_exchange_strong(word, &seen, seen | BUSY))
        return false;
    atomic_fetch_and(word, ~(uint32_t)USED);
    push(manager, page);
    return true;
}

struct batch {
    uint64_t page[BATCH];
    struct iovec range[BATCH];
    struct store_request request[BATCH];
    void *memory[BATCH];
    unsigned count, written;
};

static void written(struct store_request *request, enum status status)
{
    ++*(unsigned *)request->context;
}

static void write_dirty(struct manager *manager, struct batch *batch)
{
    unsigned dirty = 0, ended = 0;

    for (unsigned i = 0; i < batch->count; i++)
        if (atomic_load(&manager->words[batch->page[i]]) & DIRTY) {
            struct store_request *request = &batch->request[dirty];

            batch->memory[dirty] = address(manager, batch->page[i]);
            *request = (struct store_request){.op = STORE_WRITE,
                                              .count = 1,
                                              .first = batch->page[i],
                                              .pages = &batch->memory[dirty],
                                              .done = written,
                                              .context = &ended};
            dirty++;
            store_submit(manager->store, request);
        }
    while (ended < dirty)
        store_poll(manager->store, 1000000);
}

static void leave(struct manager *manager, struct batch *batch)
{
    write_dirty(manager, batch);
    for (unsigned i = 0; i < batch->count; i++)
        batch->range[i] = (struct iovec){address(manager, batch->page[i]), PAGE_SIZE};
    if (syscall(SYS_process_madvise, manager->self, batch->range, batch->count, MADV_DONTNEED, 0) < 0)
        for (unsigned i = 0; i < batch->count; i++)
            madvise(batch->range[i].iov_base, PAGE_SIZE, MADV_DONTNEED);
    for (unsigned i = 0; i < batch->count; i++)
        settle(&manager->words[batch->page[i]], 0);
    atomic_fetch_add(&manager->free, batch->count);
    pthread_mutex_lock(&manager->lock);
    pthread_cond_broadcast(&manager->more);
    pthread_mutex_unlock(&manager->lock);
    batch->count = 0;
}

static void *evict(void *context)
{
    struct manager *manager = context;
    struct batch *batch = calloc(1, sizeof(*batch));
    uint64_t page;

    while (batch) {
        pthread_mutex_lock(&manager->lock);
        while (!atomic_load(&manager->wanted))
            pthread_cond_wait(&manager->wake, &manager->lock);
        pthread_mutex_unlock(&manager->lock);
        while (atomic_load(&manager->free) < (int64_t)manager->high) {
            while (batch->count < BATCH && pop(manager, &page))
                if (!is_spared(manager, page))
                    batch->page[batch->count++] = page;
            leave(manager, batch);
        }
        atomic_store(&manager->wanted, false);
        if (atomic_load(&manager->free) < (int64_t)manager->low)
            atomic_store(&manager->wanted, true);
    }
    return NULL;
}

struct manager *manager_create(struct store *store, uint64_t pages, uint64_t frames)
{
    struct manager *manager = aligned_alloc(64, sizeof(*manager));
    pthread_t thread;

    *manager = (struct manager){.store = store,
                                .pages = pages,
                                .frames = frames,
                                .low = frames * RESERVE_PERCENT / 100,
                                .high = 2 * frames * RESERVE_PERCENT / 100,
                                .free = (int64_t)frames,
                                .lock = PTHREAD_MUTEX_INITIALIZER,
                                .wake = PTHREAD_COND_INITIALIZER,
                                .more = PTHREAD_COND_INITIALIZER};
    manager->memory = mmap(NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    madvise(manager->memory, pages * PAGE_SIZE, MADV_NOHUGEPAGE);
    manager->words = calloc(pages, sizeof(*manager->words));
    manager->ring = calloc(2 * frames, sizeof(*manager->ring));
    manager->self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (manager->memory == MAP_FAILED || !manager->words || !manager->ring ||
        pthread_create(&thread, NULL, evict, manager) != 0) {
        fputs("bench-runtime: no memory\n", stderr);
        exit(1);
    }
    return manager;
}
