/*
 * What a fault takes without any lock: frames (a counter), slots to read into (bits), the queue of pages that
 * came, and waiting on a page's word. Everything here is async-signal-safe.
 *
 * The queue has room for every frame, and each page in it has one, so it is never full. A place in it is
 * taken by moving the tail on and filled afterwards; the reader stops at the first that is not filled.
 */
#include "pager.h"

#include <errno.h>

enum {
    FRUITLESS_ROUNDS = 100, /* of eviction, about a second, before a fault is told that no page can go */
};
#define NAP_NS 10000000u

void page_settle(page_word *word, enum page_state state, uint32_t set, uint32_t clear)
{
    uint32_t seen = page_look(word);

    while (!page_change(word, &seen, (seen & ~(PAGE_STATE | PAGE_WAITED | clear)) | state | set))
        ;
    if (seen & PAGE_WAITED)
        futex_wake_all(word);
}

enum status frame_take(struct quire_pager *pager)
{
    uint64_t until = 0, began = 0;
    uint32_t free = atomic_load(&pager->free);

    for (;;) {
        while (free > 0)
            if (atomic_compare_exchange_weak(&pager->free, &free, free - 1)) {
                if (free <= pager->low)
                    evict_wake(pager);
                if (began > 0)
                    count_add(pager, COUNT_FRAME_WAIT_NS, now_ns() - began);
                return ST_OK;
            }
        if (until == 0) {
            count_add(pager, COUNT_RESERVE_WAITS, 1);
            began = now_ns();
            until = began + pager->deadline_ns;
        } else if (atomic_load(&pager->fruitless) > FRUITLESS_ROUNDS || now_ns() > until) {
            return ST_LIMIT;
        }
        evict_wake(pager);
        atomic_fetch_add(&pager->frame_waiters, 1);
        futex_wait(&pager->free, 0, NAP_NS);
        atomic_fetch_sub(&pager->frame_waiters, 1);
        free = atomic_load(&pager->free);
    }
}

uint32_t frames_try_take(struct quire_pager *pager, uint32_t wanted, uint32_t reserve)
{
    uint32_t free = atomic_load(&pager->free), taken;

    do {
        if (free <= reserve)
            return 0;
        taken = free - reserve < wanted ? free - reserve : wanted;
    } while (!atomic_compare_exchange_weak(&pager->free, &free, free - taken));
    if (free - taken <= pager->low)
        evict_wake(pager);
    return taken;
}

bool frames_wait(struct quire_pager *pager, uint32_t reserve, uint64_t until)
{
    uint32_t free;

    while ((free = atomic_load(&pager->free)) <= reserve) {
        if (now_ns() > until)
            return false;
        evict_wake(pager);
        atomic_fetch_add(&pager->frame_waiters, 1);
        futex_wait(&pager->free, free, NAP_NS);
        atomic_fetch_sub(&pager->frame_waiters, 1);
    }
    return true;
}

void frames_give(struct quire_pager *pager, uint32_t count)
{
    if (count == 0)
        return;
    atomic_fetch_add(&pager->free, count);
    if (atomic_load(&pager->frame_waiters) > 0)
        futex_wake_all(&pager->free);
}

enum status slot_take(struct quire_pager *pager, unsigned *slot)
{
    uint32_t taken = atomic_load(&pager->slots_taken);
    uint64_t until = 0;

    for (;;) {
        while (taken != UINT32_MAX) {
            unsigned free = (unsigned)__builtin_ctz(~taken);

            if (atomic_compare_exchange_weak(&pager->slots_taken, &taken, taken | (uint32_t)1 << free)) {
                *slot = free;
                return ST_OK;
            }
        }
        if (until == 0)
            until = now_ns() + pager->deadline_ns;
        else if (now_ns() > until)
            return ST_IO_ERROR;
        atomic_fetch_add(&pager->slot_waiters, 1);
        futex_wait(&pager->slots_taken, UINT32_MAX, NAP_NS);
        atomic_fetch_sub(&pager->slot_waiters, 1);
        taken = atomic_load(&pager->slots_taken);
    }
}

void slot_give(struct quire_pager *pager, unsigned slot)
{
    atomic_fetch_and(&pager->slots_taken, ~((uint32_t)1 << slot));
    if (atomic_load(&pager->slot_waiters) > 0)
        futex_wake_all(&pager->slots_taken);
}

void arrivals_push(struct quire_pager *pager, uint64_t name)
{
    uint64_t at = atomic_fetch_add_explicit(&pager->arrivals_tail, 1, memory_order_relaxed);

    atomic_store_explicit(&pager->arrivals[at & pager->arrivals_mask], name + 1, memory_order_release);
}
