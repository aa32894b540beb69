/*
 * The booted kernel's port of host.h: the log, sleeping, locks. (Translation caches: kernel/mm/mmu.c; time:
 * kernel/x86/time.c; panic: kernel/x86/panic.c.)
 *
 * Sleepers are hashed by channel over a few queues; a wake-up wakes the whole queue, and whoever waited for
 * something else looks again and sleeps on. The kernel is not interrupted, so between the drop of the lock
 * and the sleep nothing can be lost.
 */
#include "base/check.h"
#include "host/host.h"
#include "kernel/dev/hostlink.h"
#include "kernel/klib.h"
#include "kernel/task/pressure.h"
#include "kernel/task/task.h"
#include "kernel/x86/serial.h"

enum { LOG_LINE = 256, QUEUES = 32 };

void page_zero_avx(void *page);
void page_zero_sse(void *page);
void page_copy_avx(void *to, const void *from);
void page_copy_sse(void *to, const void *from);

void (*host_zero_page_with)(void *page) = page_zero_sse;
void (*host_copy_page_with)(void *to, const void *from) = page_copy_sse;

static struct waitq queues[QUEUES];

void host_port_init(void)
{
    for (unsigned i = 0; i < QUEUES; i++)
        list_init(&queues[i].waiters);
    if (cpu_features.avx) {
        host_zero_page_with = page_zero_avx;
        host_copy_page_with = page_copy_avx;
    }
}

void host_log(const char *format, ...)
{
    static unsigned depth; /* the link may log, too */
    char line[LOG_LINE];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    size_t length = strlen(line);

    line[length] = '\n';
    serial_write(line, length + 1);
    line[length] = '\0';
    if (depth++ == 0 && hostlink_present())
        hostlink_log(line);
    depth--;
}

static struct waitq *queue_of(const void *channel)
{
    uint64_t key = (uint64_t)channel;

    return &queues[(key >> 4 ^ key >> 9) % QUEUES];
}

void host_sleep(const void *channel, struct spinlock *lock)
{
    if (lock != NULL)
        lock_drop(lock);
    (void)waitq_sleep(queue_of(channel), UINT64_MAX, false);
    if (lock != NULL)
        lock_take(lock);
}

void host_wake(const void *channel)
{
    waitq_wake(queue_of(channel));
}

void host_stall_begin(void)
{
    pressure_begin();
}

void host_stall_end(void)
{
    pressure_end();
}

void host_wake_soon(const void *channel)
{
    host_wake(channel);
    if (task_current()->process)
        task_add_work(task_current(), WORK_RESCHED);
}

void lock_wait(struct spinlock *lock)
{
    /* With one CPU and no interrupts in the kernel nobody can ever drop it. */
    CHECK(HOST_MAX_CPUS > 1 && cpus[1].self != NULL);
    do {
        host_relax();
    } while (__atomic_exchange_n((uint8_t *)&lock->taken, 1, __ATOMIC_ACQUIRE) != 0);
}

#ifdef QUIRE_DEBUG
/*
 * Ranks of the locks that each CPU holds. A lock must have a higher rank than all of them; tables are taken
 * one below the other, so RANK_TABLE may follow itself. Locks that nobody gave a rank are passed over.
 */
enum { HELD_MAX = 64 };
static const struct spinlock *held[HOST_MAX_CPUS][HELD_MAX];
static unsigned held_count[HOST_MAX_CPUS];

static unsigned rank_of(const struct spinlock *lock)
{
    return lock->taken >> 8;
}

void lock_check_take(const struct spinlock *lock)
{
    unsigned cpu = host_cpu();

    for (unsigned i = 0; i < held_count[cpu]; i++) {
        unsigned other = rank_of(held[cpu][i]);

        if (held[cpu][i] == lock)
            host_panic("a spin lock of rank %u is taken twice", rank_of(lock));
        if (rank_of(lock) != 0 && other != 0 &&
            (other > rank_of(lock) || (other == rank_of(lock) && other != RANK_TABLE)))
            host_panic("a lock of rank %u is taken while one of rank %u is held", rank_of(lock), other);
    }
}

void lock_note_take(const struct spinlock *lock)
{
    unsigned cpu = host_cpu();

    if (held_count[cpu] == HELD_MAX)
        host_panic("more than %d spin locks are held", HELD_MAX);
    held[cpu][held_count[cpu]++] = lock;
}

void lock_note_drop(const struct spinlock *lock)
{
    unsigned cpu = host_cpu();

    for (unsigned i = held_count[cpu]; i-- > 0;) {
        if (held[cpu][i] == lock) {
            held[cpu][i] = held[cpu][--held_count[cpu]];
            return;
        }
    }
    host_panic("a spin lock of rank %u is dropped that is not held", rank_of(lock));
}
#endif
