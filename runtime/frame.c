/*
 * What a fault takes without any lock: frames (counters: budgets), slots to read into (bits), and waiting on
 * a page's word. Everything here is async-signal-safe.
 *
 * A frame is taken of the member's own budget first, if it has one, then of the pager's; so who waits at his
 * own bound holds nothing that others need.
 */
#include "pager.h"

#include <errno.h>

enum {
    FRUITLESS_ROUNDS = 100, /* of eviction, about a second, before a fault is told that no page can go */
    RESERVE_PERCENT = 3,
    LEAST_RESERVE = 8
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

/* ------------------------------------------------------------------ budgets */

void budget_set(struct budget *budget, uint32_t frames)
{
    uint32_t low = (uint32_t)((uint64_t)frames * RESERVE_PERCENT / 100);

    if (low < LEAST_RESERVE)
        low = LEAST_RESERVE;
    atomic_store(&budget->frames, frames);
    atomic_store(&budget->low, low);
    atomic_store(&budget->high, 2 * low);
}

static uint32_t reserve_of(const struct budget *budget, enum reserve reserve)
{
    uint32_t low = atomic_load_explicit((_Atomic uint32_t *)&budget->low, memory_order_relaxed);

    return reserve == RESERVE_WHOLE ? low : low / 2;
}

/* As many as there are beyond `reserve`, up to `wanted`. */
static uint32_t budget_take(struct quire_pager *pager, struct budget *budget, uint32_t wanted,
                            uint32_t reserve)
{
    uint32_t frames = atomic_load_explicit(&budget->frames, memory_order_relaxed),
             taken = atomic_load(&budget->taken), got;

    do {
        uint32_t free = taken < frames ? frames - taken : 0;

        if (free <= reserve)
            return 0;
        got = free - reserve < wanted ? free - reserve : wanted;
    } while (!atomic_compare_exchange_weak(&budget->taken, &taken, taken + got));
    if (frames - taken - got < atomic_load_explicit(&budget->low, memory_order_relaxed))
        evict_wake(pager);
    return got;
}

static void budget_give(struct budget *budget, uint32_t count)
{
    atomic_fetch_sub(&budget->taken, count);
    if (atomic_load(&budget->waiters) > 0)
        futex_wake_all(&budget->taken);
}

/* Until somebody gives some, or for a while. */
static void budget_nap(struct quire_pager *pager, struct budget *budget, uint32_t taken)
{
    evict_wake(pager);
    atomic_fetch_add(&budget->waiters, 1);
    futex_wait(&budget->taken, taken, NAP_NS);
    atomic_fetch_sub(&budget->waiters, 1);
}

static enum status budget_wait(struct quire_pager *pager, struct budget *budget)
{
    uint64_t began = now_ns(), until = began + pager->deadline_ns;
    bool first = true;

    count_add(pager, COUNT_RESERVE_WAITS, 1);
    for (;; first = false) {
        uint32_t taken = atomic_load(&budget->taken);

        if (budget_take(pager, budget, 1, 0) == 1)
            break;
        if (!first && (atomic_load(&budget->fruitless) > FRUITLESS_ROUNDS || now_ns() > until))
            return ST_LIMIT;
        budget_nap(pager, budget, taken);
    }
    count_add(pager, COUNT_FRAME_WAIT_NS, now_ns() - began);
    return ST_OK;
}

static enum status budget_take_one(struct quire_pager *pager, struct budget *budget)
{
    return budget_take(pager, budget, 1, 0) == 1 ? ST_OK : budget_wait(pager, budget);
}

/* ------------------------------------------------------------------ frames */

enum status frame_take(struct quire_member *member)
{
    struct quire_pager *pager = member->pager;
    enum status status;

    if (member->own && (status = budget_take_one(pager, member->own)) != ST_OK)
        return status;
    status = budget_take_one(pager, &pager->budget);
    if (status != ST_OK && member->own)
        budget_give(member->own, 1);
    return status;
}

uint32_t frames_try_take(struct quire_member *member, uint32_t wanted, enum reserve reserve)
{
    struct quire_pager *pager = member->pager;
    uint32_t got;

    if (member->own)
        wanted = budget_take(pager, member->own, wanted, reserve_of(member->own, reserve));
    if (wanted == 0)
        return 0;
    got = budget_take(pager, &pager->budget, wanted, reserve_of(&pager->budget, reserve));
    if (member->own && got < wanted)
        budget_give(member->own, wanted - got);
    return got;
}

bool frames_beyond(struct quire_member *member, enum reserve reserve)
{
    struct budget *budget = &member->pager->budget;

    return budget_free(budget) > reserve_of(budget, reserve) &&
           (!member->own || budget_free(member->own) > reserve_of(member->own, reserve));
}

bool frames_wait(struct quire_member *member, enum reserve reserve, uint64_t until)
{
    while (!frames_beyond(member, reserve)) {
        struct budget *short_of = &member->pager->budget;
        uint32_t taken;

        if (member->own && budget_free(member->own) <= reserve_of(member->own, reserve))
            short_of = member->own;
        taken = atomic_load(&short_of->taken);
        if (budget_free(short_of) > reserve_of(short_of, reserve))
            continue;
        if (now_ns() > until)
            return false;
        budget_nap(member->pager, short_of, taken);
    }
    return true;
}

void frames_give(struct quire_member *member, uint32_t count)
{
    if (count == 0)
        return;
    if (member->own)
        budget_give(member->own, count);
    budget_give(&member->pager->budget, count);
}

uint32_t member_frames(const struct quire_member *member)
{
    const struct budget *budget = member->own ? member->own : &member->pager->budget;

    return atomic_load_explicit((_Atomic uint32_t *)&budget->frames, memory_order_relaxed);
}

/* ------------------------------------------------------------------ slots */

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
