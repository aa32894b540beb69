/*
 * The hosted port: arena, locks' ranks, time, log, panic, sleeping.
 *
 * The arena is one reservation of address space, of which only what the memory map has is accessible: a touch
 * of a hole ends the test. Sleeping is one condition variable for all channels: wakers are rare in tests, and
 * host_sleep() may return for no reason.
 */
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/check.h"
#include "host/sim/sim.h"

enum { SLEEP_LIMIT_S = 60, SPIN_LIMIT_S = 20 };

unsigned char *sim_arena;
uint64_t sim_arena_bytes;
_Thread_local unsigned sim_cpu;
_Thread_local uint16_t sim_held[RANK_LOG + 1];
_Thread_local jmp_buf *sim_panic_jump;
char sim_panic_message[512];

static struct memory_map machine_map;

/* ------------------------------------------------------------------ the machine */

static void must(bool done, const char *what)
{
    if (!done) {
        perror(what);
        abort();
    }
}

/* Those of the machine; they are forgotten with it. */
static struct {
    void *at;
    size_t bytes;
} areas[HOST_AREAS_MAX];

static void areas_forget(void)
{
    for (unsigned i = 0; i < HOST_AREAS_MAX; i++)
        if (areas[i].at)
            host_area_free(areas[i].at, areas[i].bytes);
}

void *host_area_alloc(size_t bytes)
{
    for (unsigned i = 0; i < HOST_AREAS_MAX; i++) {
        if (areas[i].at)
            continue;
        areas[i].at =
            mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        must(areas[i].at != MAP_FAILED, "mmap of an area");
        areas[i].bytes = bytes;
        return areas[i].at;
    }
    return NULL;
}

void host_area_free(void *area, size_t bytes)
{
    for (unsigned i = 0; i < HOST_AREAS_MAX; i++)
        if (areas[i].at == area)
            areas[i].at = NULL;
    must(munmap(area, bytes) == 0, "munmap of an area");
}

void sim_shutdown(void)
{
    areas_forget();
    if (sim_arena != NULL)
        must(munmap(sim_arena, sim_arena_bytes) == 0, "munmap of the arena");
    sim_arena = NULL;
    sim_arena_bytes = 0;
}

static void arena_range(const struct memory_range *range)
{
    uint64_t start = align_down(range->start.v, PAGE_SIZE);
    uint64_t end = align_up(range->end.v, PAGE_SIZE);

    if (range->kind == MEMORY_RESERVED || range->kind == MEMORY_ACPI)
        return;
    must(mprotect(sim_arena + start, end - start, PROT_READ | PROT_WRITE) == 0, "mprotect of the arena");
}

void sim_boot_map(const struct memory_map *map)
{
    sim_shutdown();
    memset(sim_held, 0, sizeof(sim_held));
    sim_cpu = 0;
    sim_tlb_configure(&sim_tlb_standard);
    if (map->count != 0)
        sim_arena_bytes = align_up(map->ranges[map->count - 1].end.v, PAGE_SIZE);
    sim_arena = mmap(NULL, sim_arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(sim_arena != MAP_FAILED, "mmap of the arena");
    for (unsigned i = 0; i < map->count; i++)
        arena_range(&map->ranges[i]);
}

static void add(uint64_t start, uint64_t end, enum memory_kind kind)
{
    enum status status = memory_map_add(&machine_map, (struct memory_range){paddr(start), paddr(end), kind});

    CHECK_ALWAYS(status == ST_OK);
}

void sim_boot(uint64_t bytes)
{
    struct boot_frames boot;
    enum status status;

    sim_not_worked_ns = 0;
    machine_map.count = 0;
    add(0, bytes, MEMORY_USABLE);
    add(0x9fc00, 0x100000, MEMORY_RESERVED);
    add(0x100000, 0x110000, MEMORY_KERNEL);
    add(bytes - 0x4000, bytes, MEMORY_ACPI);
    sim_boot_map(&machine_map);
    boot_frames_init(&boot, &machine_map, pfn(0x110));
    status = frames_init(&boot);
    CHECK_ALWAYS(status == ST_OK);
}

struct paddr sim_kernel_root(void)
{
    struct frame *frame = frame_alloc(0, FRAME_TABLE, FRAME_ZERO);

    CHECK_ALWAYS(frame != NULL);
    return frame_paddr(frame);
}

void sim_become_cpu(unsigned number)
{
    CHECK_ALWAYS(number < HOST_MAX_CPUS);
    sim_cpu = number;
}

/* ------------------------------------------------------------------ locks */

void sim_bad_address(const char *what, uint64_t value)
{
    host_panic("%s: %#llx", what, (unsigned long long)value);
}

/* A lock is taken only while every lock that is held has a lower rank; tables may nest (an ancestor first).
 */
void sim_lock_rank_check(unsigned rank)
{
    if (rank == 0 || rank > RANK_LOG)
        host_panic("lock_take: a lock that nobody initialised (rank %u)", rank);
    for (unsigned held = rank + (rank == RANK_TABLE); held <= RANK_LOG; held++)
        if (sim_held[held] != 0)
            host_panic("lock_take: rank %u wanted while a lock of rank %u is held", rank, held);
}

/* A wait without end is a deadlock, or a condition that nobody will ever make true. */
void sim_spin(void)
{
    static _Thread_local uint64_t last, since;
    uint64_t now = host_now_ns();

    if (now - last > 100000000) /* a new wait */
        since = now;
    last = now;
    if (now - since > (uint64_t)SPIN_LIMIT_S * 1000000000u)
        host_panic("spinning for %d s: a deadlock?", SPIN_LIMIT_S);
    sched_yield();
}

/* ------------------------------------------------------------------ time, log, panic */

uint64_t host_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool host_memory_out(uint32_t member)
{
    (void)member;
    return false;
}

void host_stall_begin(void)
{
}

void host_stall_end(void)
{
}

void host_wake_soon(const void *channel)
{
    host_wake(channel);
}

uint64_t sim_not_worked_ns;

uint64_t host_worked_ns(void)
{
    return host_now_ns() - sim_not_worked_ns;
}

void host_log(const char *format, ...)
{
    va_list args;
    char line[512];

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fprintf(stderr, "# %s\n", line);
}

void host_panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(sim_panic_message, sizeof(sim_panic_message), format, args);
    va_end(args);
    if (sim_panic_jump != NULL)
        longjmp(*sim_panic_jump, 1);
    fprintf(stderr, "panic: %s\n", sim_panic_message);
    fflush(NULL);
    abort();
}

/* ------------------------------------------------------------------ sleeping */

static pthread_mutex_t sleep_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sleep_condition = PTHREAD_COND_INITIALIZER;
static unsigned sleepers;                   /* under sleep_mutex */
static _Thread_local uint64_t asleep_since; /* of a wait that nobody has ended yet */

static void only_lock(const struct spinlock *lock)
{
    unsigned held = 0;

    for (unsigned rank = 0; rank <= RANK_LOG; rank++)
        held += sim_held[rank];
    if (held != (lock != NULL ? 1 : 0))
        host_panic("host_sleep: %u spin locks are held", held);
}

void host_sleep(const void *channel, struct spinlock *lock)
{
    struct timespec until;
    int outcome;

    only_lock(lock);
    pthread_mutex_lock(&sleep_mutex); /* before the drop: a waker needs it, so no wake-up is lost */
    if (lock != NULL)
        lock_drop(lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    sleepers++;
    outcome = pthread_cond_timedwait(&sleep_condition, &sleep_mutex, &until);
    sleepers--;
    pthread_mutex_unlock(&sleep_mutex);

    if (outcome == 0)
        asleep_since = 0;
    else if (asleep_since == 0)
        asleep_since = host_now_ns();
    else if (host_now_ns() - asleep_since > (uint64_t)SLEEP_LIMIT_S * 1000000000u)
        host_panic("host_sleep: nobody woke channel %p for %d s", channel, SLEEP_LIMIT_S);
    if (lock != NULL)
        lock_take(lock);
}

unsigned sim_sleepers(void)
{
    unsigned count;

    pthread_mutex_lock(&sleep_mutex);
    count = sleepers;
    pthread_mutex_unlock(&sleep_mutex);
    return count;
}

void host_wake(const void *channel)
{
    (void)channel;
    pthread_mutex_lock(&sleep_mutex);
    pthread_cond_broadcast(&sleep_condition);
    pthread_mutex_unlock(&sleep_mutex);
}

/* ------------------------------------------------------------------ events */

bool host_watched;
struct sim_events sim_events;

void host_event(enum event_kind kind, uint64_t page, uint64_t value)
{
    __atomic_fetch_add(&sim_events.count[kind], 1, __ATOMIC_RELAXED);
    __atomic_store_n(&sim_events.page, page, __ATOMIC_RELAXED);
    __atomic_store_n(&sim_events.value, value, __ATOMIC_RELAXED);
}
