/*
 * Pages held for the time of a system call: quire_pin(), within bounds. A call holds no more than a sixteenth
 * of the budget (at most 256 KiB; larger reads and writes go in pieces), and all calls together half of it,
 * so that many threads that wait in calls leave room for the others. What is beyond is brought in and not
 * held: it may go again before the kernel gets to it, and then the call is made again.
 *
 * A handler of the program's may jump out of a call that waits (siglongjmp), and a thread may be cancelled in
 * it: its pages would be held for ever. So each thread knows what it holds, and where on its stack that was
 * begun: what is below the stack's top is of nobody any more. The end of a thread gives back the rest. The
 * notes are not on the stack, where others would have written over them by then.
 *
 * The thread's variable is not paged: this library is loaded with the program, and stacks are Linux's.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "gate.h"

enum { MOST_CALLS = 1 << 15 /* at a time */ };
enum { LEAST_PAGES = 4, MOST_PAGES = 64, PART_OF_BUDGET = 16, TRIES = 1000 };

static _Thread_local struct held *innermost;
static struct held *all; /* MOST_CALLS; touched as they are needed */
static _Atomic uint32_t all_used;
static _Atomic uint64_t all_free; /* the first that is free: number + 1; above, how often that changed */
static _Thread_local uintptr_t stack_start; /* for signals, if it is paged */
static _Thread_local size_t stack_bytes;    /* 0: it is not */
static pthread_key_t key;                   /* whose destructor gives back what a thread still holds */
static int64_t most_pages_of_all;
static _Atomic int64_t pages_of_all; /* a child of fork() may give back what it has not taken */
uint64_t held_most_bytes;
_Atomic uint64_t gate_held_calls, gate_partly_calls;

static void release(const struct held *held)
{
    for (uint32_t i = 0; i < held->count; i++)
        if (held->range[i].pinned)
            library.quire_unpin((void *)held->range[i].start, held->range[i].bytes);
    atomic_fetch_sub(&pages_of_all, (int64_t)held->pages);
}

static bool is_on_other_stack(void)
{
    stack_t stack = {0};
    uint64_t words[6] = {0, (uintptr_t)&stack};

    return gate_make(SYS_sigaltstack, words) == 0 && (stack.ss_flags & SS_ONSTACK);
}

/* ------------------------------------------------------------------ notes */

static void note_give(struct held *held)
{
    uint64_t seen = atomic_load(&all_free), next;

    do {
        atomic_store(&held->next, (uint32_t)seen);
        next = ((seen >> 32) + 1) << 32 | (uint32_t)(held - all + 1);
    } while (!atomic_compare_exchange_weak(&all_free, &seen, next));
}

static struct held *note_take(void)
{
    uint64_t seen = atomic_load(&all_free), next;
    uint32_t number;

    while ((uint32_t)seen > 0) {
        struct held *held = &all[(uint32_t)seen - 1];

        next = ((seen >> 32) + 1) << 32 | atomic_load(&held->next);
        if (atomic_compare_exchange_weak(&all_free, &seen, next))
            return held;
    }
    number = atomic_load(&all_used);
    while (number < MOST_CALLS)
        if (atomic_compare_exchange_weak(&all_used, &number, number + 1))
            return &all[number];
    return NULL;
}

static void release_dead(const void *stack)
{
    while (innermost && (uintptr_t)innermost->stack <= (uintptr_t)stack && !is_on_other_stack()) {
        struct held *dead = innermost;

        innermost = dead->outer;
        release(dead);
        note_give(dead);
    }
}

void held_begin_loose(struct held *held)
{
    held->count = held->pages = 0;
    held->loose = true;
    held->partly = false;
}

struct held *held_begin(void)
{
    const void *stack = __builtin_frame_address(0);
    struct held *held;

    release_dead(stack);
    held = note_take();
    if (!held)
        return NULL;
    held_begin_loose(held);
    held->loose = false;
    held->stack = stack;
    held->outer = innermost;
    innermost = held;
    return held;
}

void held_end(struct held *held)
{
    innermost = held->outer;
    release(held);
    atomic_fetch_add_explicit(&gate_held_calls, held->pages > 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&gate_partly_calls, held->partly, memory_order_relaxed);
    note_give(held);
}

/* ------------------------------------------------------------------ pages */

static void note_thread(void)
{
    if (!pthread_getspecific(key))
        pthread_setspecific(key, &key);
}

static uint64_t page_count(uintptr_t start, size_t bytes)
{
    return ((start + bytes + PAGE_MASK) >> PAGE_SHIFT) - (start >> PAGE_SHIFT);
}

/* Brought in page by page, and let go of. */
static void bring(const struct held_range *range)
{
    enum access access = range->write ? ACCESS_WRITE : ACCESS_READ;
    uintptr_t at = range->start, end = at + range->bytes;

    for (; at < end; at = (at | PAGE_MASK) + 1)
        if (library.quire_pin((void *)at, 1, access) == ST_OK)
            library.quire_unpin((void *)at, 1);
}

/* False: it would be too much. An error is no matter here: the kernel says EFAULT. */
static bool pin(struct held *held, struct held_range *range)
{
    uint64_t pages = page_count(range->start, range->bytes);
    enum status status;

    if (held->loose || held->pages + pages > held_most_bytes / PAGE_SIZE)
        return false;
    if (atomic_fetch_add(&pages_of_all, (int64_t)pages) + (int64_t)pages > most_pages_of_all) {
        atomic_fetch_sub(&pages_of_all, (int64_t)pages);
        return false;
    }
    note_thread();
    status = library.quire_pin((void *)range->start, range->bytes, range->write ? ACCESS_WRITE : ACCESS_READ);
    if (status != ST_OK) {
        atomic_fetch_sub(&pages_of_all, (int64_t)pages);
        return status != ST_LIMIT;
    }
    range->pinned = true;
    held->pages += (uint32_t)pages;
    return true;
}

void held_add(struct held *held, uint64_t address, uint64_t bytes, bool write)
{
    struct held_range range = {.start = address, .bytes = bytes, .write = write};

    if (bytes == 0 || !reaches_paged(address) || !paged_part(range.start, &range.bytes))
        return;
    if (held->count == MOST_HELD || !pin(held, &range)) {
        held->partly = true;
        bring(&range);
    }
    if (held->count < MOST_HELD)
        held->range[held->count++] = range;
}

long held_call(struct held *held, long number, const uint64_t words[6])
{
    long result;
    unsigned tries = 0;

    while ((result = gate_make(number, words)) == -EFAULT && held->partly && tries++ < TRIES)
        for (uint32_t i = 0; i < held->count; i++)
            if (!held->range[i].pinned)
                bring(&held->range[i]);
    return result;
}

void held_add_string(struct held *held, uint64_t address)
{
    const volatile char *at = (const volatile char *)(uintptr_t)address;
    uint64_t length = 0;

    if (!reaches_paged(address))
        return;
    while (at[length] && length < PAGE_SIZE)
        length++;
    held_add(held, address, length + 1, false);
}

void held_by_nobody(void)
{
    atomic_store(&pages_of_all, 0);
}

static void release_stack(void)
{
    if (stack_bytes > 0)
        library.quire_unpin((void *)stack_start, stack_bytes);
    stack_bytes = 0;
}

void held_stack(uint64_t address)
{
    const stack_t *stack = (const stack_t *)(uintptr_t)address;
    size_t bytes;

    if (!stack || is_on_other_stack()) /* the kernel refuses to change it then */
        return;
    release_stack();
    bytes = stack->ss_flags & SS_DISABLE ? 0 : stack->ss_size;
    if (bytes == 0 || !reaches_paged((uintptr_t)stack->ss_sp) || !paged_part((uintptr_t)stack->ss_sp, &bytes))
        return;
    note_thread();
    if (library.quire_pin(stack->ss_sp, bytes, ACCESS_WRITE) == ST_OK) {
        stack_start = (uintptr_t)stack->ss_sp;
        stack_bytes = bytes;
    }
}

static void release_all(void *unused)
{
    while (innermost) {
        struct held *dead = innermost;

        innermost = dead->outer;
        release(dead);
        note_give(dead);
    }
    release_stack();
}

bool held_start(uint64_t budget)
{
    uint64_t pages = budget / PAGE_SIZE, most = pages / PART_OF_BUDGET;

    most = most < LEAST_PAGES ? LEAST_PAGES : most > MOST_PAGES ? MOST_PAGES : most;
    held_most_bytes = most * PAGE_SIZE;
    most_pages_of_all = (int64_t)(pages / 2);
    all = raw_mmap(NULL, MOST_CALLS * sizeof(*all), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return all != MAP_FAILED && pthread_key_create(&key, release_all) == 0;
}
