/*
 * Counters, spread over cache lines by thread, and what is told to the user.
 */
#include "pager.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Thread_local unsigned thread_shard __attribute__((tls_model("initial-exec")));
static _Atomic unsigned next_shard;

void count_add(struct quire_pager *pager, enum count count, uint64_t by)
{
    if (thread_shard == 0)
        thread_shard = 1 + atomic_fetch_add_explicit(&next_shard, 1, memory_order_relaxed) % COUNT_SHARDS;
    atomic_fetch_add_explicit(&pager->counts[thread_shard - 1].of[count], by, memory_order_relaxed);
}

/* A look at the clock costs a fiftieth of a fault, and a fault has four of them: so after a thread's first
 * faults, which count each, one of sixteen counts for all. */
enum { TIMED_FIRST = 64, TIMED_EVERY = 16 };
THREAD_OWN unsigned timed_turn, time_skip; /* time_skip 0: it is looked at, and counts... */
THREAD_OWN unsigned time_weight_less_one;  /* ... this and one more times */

void time_sometimes(void)
{
    unsigned turn = timed_turn++;

    time_skip = turn >= TIMED_FIRST && turn % TIMED_EVERY != 0;
    time_weight_less_one = turn >= TIMED_FIRST ? TIMED_EVERY - 1 : 0;
}

void time_always(void)
{
    time_skip = time_weight_less_one = 0;
}

uint64_t time_begin(void)
{
    return time_skip ? 0 : now_ns();
}

void time_end(struct quire_pager *pager, enum count count, uint64_t began)
{
    if (!time_skip)
        count_add(pager, count, (now_ns() - began) * (time_weight_less_one + 1));
}

static uint64_t total(struct quire_pager *pager, enum count count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < COUNT_SHARDS; i++)
        sum += atomic_load_explicit(&pager->counts[i].of[count], memory_order_relaxed);
    return sum;
}

static void add_region(struct region *region, void *context)
{
    struct quire_stats *stats = context;

    stats->regions++;
    stats->mapped_bytes += region->pages * PAGE_SIZE;
}

static const char *way_of(const struct quire_pager *pager)
{
    switch (pager->way) {
    case QUIRE_WAY_PROTECT:
        return "mprotect and SIGSEGV in the faulting thread, memfd windows";
    case QUIRE_WAY_ANONYMOUS:
        return "userfaultfd in the faulting thread, anonymous memory, no reference bits";
    case QUIRE_WAY_PINS:
        return "explicit pins and mprotect, memfd windows";
    default:
        return pager->handlers ? "userfaultfd by handler threads, memfd windows"
                               : "userfaultfd in the faulting thread, memfd windows";
    }
}

enum quire_way quire_way(const struct quire_pager *pager)
{
    return pager->way;
}

void quire_stats(struct quire_pager *pager, struct quire_stats *stats)
{
    uint64_t taken = atomic_load(&pager->budget.taken);

    *stats = (struct quire_stats){
        .way = way_of(pager),
        .policy = pager->type->name,
        .memory_bytes = pager->frames * PAGE_SIZE,
        .resident_bytes = taken * PAGE_SIZE,
        .free_bytes = (pager->frames - taken) * PAGE_SIZE,
        .pinned_bytes = atomic_load(&pager->budget.pinned) * PAGE_SIZE,
        .faults = total(pager, COUNT_FAULTS),
        .zero_faults = total(pager, COUNT_ZERO_FAULTS),
        .write_faults = total(pager, COUNT_WRITE_FAULTS),
        .read_ahead = total(pager, COUNT_READ_AHEAD),
        .waits = total(pager, COUNT_WAITS),
        .reserve_waits = total(pager, COUNT_RESERVE_WAITS),
        .evictions = total(pager, COUNT_EVICTIONS),
        .write_backs = total(pager, COUNT_WRITE_BACKS),
        .write_errors = total(pager, COUNT_WRITE_ERRORS),
        .read_errors = total(pager, COUNT_READ_ERRORS),
        .given_back = total(pager, COUNT_GIVEN_BACK),
        .scans = total(pager, COUNT_SCANS),
        .referenced = total(pager, COUNT_REFERENCED),
        .fault_ns = total(pager, COUNT_FAULT_NS),
        .frame_wait_ns = total(pager, COUNT_FRAME_WAIT_NS),
        .read_ns = total(pager, COUNT_READ_NS),
        .policy_ns = total(pager, COUNT_POLICY_NS),
        .write_ns = total(pager, COUNT_WRITE_NS),
        .not_recorded = total(pager, COUNT_NOT_RECORDED),
    };
    regions_for_each(pager, add_region, stats);
}

void error_say(struct quire_error *error, const char *format, ...)
{
    va_list arguments;

    if (!error)
        return;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
}

static _Thread_local int cancelling __attribute__((tls_model("initial-exec"))); /* as it was before */

void signals_block(sigset_t *saved)
{
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    pthread_sigmask(SIG_SETMASK, &all, saved);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelling);
}

void signals_restore(const sigset_t *saved)
{
    pthread_setcancelstate(cancelling, NULL);
    pthread_sigmask(SIG_SETMASK, saved, NULL);
}
