/*
 * What policies hear of: pages that come, go, are used; time. Faults leave word of pages that came in a queue
 * (arrivals) and never wait for a policy.
 *
 * The queue has room for every frame, and each page in it has one, so it is never full. A place in it is
 * taken by moving the tail on and filled afterwards; the reader stops at the first that is not filled.
 *
 * Policies that need every reference get those that scans see, each window of memory once in an interval: the
 * order among pages of one scan is that of their addresses. docs/RUNTIME.md says what that costs.
 *
 * Locking: pager->order, but for arrivals_push().
 */
#include "pager.h"

#include <sched.h>

/* In a name of the queue: nobody has touched the page yet. Names have less than 16 bits of a region. */
#define CAME_AHEAD ((uint64_t)1 << 62)
_Static_assert(MOST_REGIONS <= 1 << 14, "a region's index and CAME_AHEAD share 16 bits");

/* ------------------------------------------------------------------ pages come and go */

void arrivals_push(struct quire_pager *pager, struct place place, bool touched)
{
    uint64_t at = atomic_fetch_add_explicit(&pager->arrivals_tail, 1, memory_order_relaxed);

    atomic_store_explicit(&pager->arrivals[at & pager->arrivals_mask],
                          (place_name(place) | (touched ? 0 : CAME_AHEAD)) + 1, memory_order_release);
}

void order_note_to_clean(struct quire_pager *pager, struct place place)
{
    if (pager->to_clean_count < BATCH_PAGES)
        pager->to_clean[pager->to_clean_count++] = place;
}

uint32_t order_take_to_clean(struct quire_pager *pager, struct place *places, uint32_t most)
{
    uint32_t taken = 0;

    while (pager->to_clean_count > 0 && taken < most) {
        struct place place = pager->to_clean[--pager->to_clean_count];

        if (page_take_to_write(place, false))
            places[taken++] = place;
    }
    return taken;
}

static void insert(struct place place, enum member_change how)
{
    if (!atomic_load_explicit(&place.region->closing, memory_order_relaxed) &&
        pool_insert(place.region->member->pool, place))
        member_charge(place.region->member, how);
}

void order_insert(struct place place)
{
    insert(place, MEMBER_BACK);
}

enum { DRAIN_AHEAD = 8 };

static void prefetch_arrival(struct quire_pager *pager)
{
    uint64_t name = atomic_load_explicit(
        &pager->arrivals[(pager->arrivals_head + DRAIN_AHEAD) & pager->arrivals_mask], memory_order_relaxed);

    if (name != 0)
        names_prefetch(&place_of_name((name - 1) & ~CAME_AHEAD).region->member->pool->names,
                       (name - 1) & ~CAME_AHEAD);
}

void order_drain(struct quire_pager *pager)
{
    for (;;) {
        _Atomic uint64_t *entry = &pager->arrivals[pager->arrivals_head & pager->arrivals_mask];
        uint64_t name = atomic_load_explicit(entry, memory_order_acquire);
        struct place place;

        if (name == 0)
            return;
        atomic_store_explicit(entry, 0, memory_order_relaxed);
        prefetch_arrival(pager);
        pager->arrivals_head++;
        place = place_of_name((name - 1) & ~CAME_AHEAD);
        place.region->member->pool->clock++;
        insert(place, (name - 1) & CAME_AHEAD ? MEMBER_CAME_AHEAD : MEMBER_CAME);
    }
}

void order_drain_all(struct quire_pager *pager)
{
    uint64_t tail = atomic_load(&pager->arrivals_tail);

    order_drain(pager);
    while ((int64_t)(tail - pager->arrivals_head) > 0) { /* somebody is about to fill his place */
        pthread_mutex_unlock(&pager->order);
        sched_yield();
        pthread_mutex_lock(&pager->order);
        order_drain(pager);
    }
}

void order_remove(struct place place)
{
    if (pool_remove(place.region->member->pool, place))
        member_uncharge(place.region->member, 1);
}

void order_remove_region(struct region *region)
{
    struct quire_pager *pager = region->pager;

    member_uncharge(region->member, pool_remove_region(region->member->pool, region));
    for (uint32_t i = 0; i < pager->to_clean_count;)
        if (pager->to_clean[i].region == region)
            pager->to_clean[i] = pager->to_clean[--pager->to_clean_count];
        else
            i++;
}

/* ------------------------------------------------------------------ time */

struct sweep {
    uint32_t wanted; /* windows to scan yet */
};

static void sweep_region(struct region *region, void *context)
{
    struct sweep *sweep = context;

    for (uint64_t window = 0; window < region_windows(region) && sweep->wanted > 0; window++)
        if (window_is_stale(region, window)) {
            sweep->wanted--;
            window_scan(region, window, true);
        }
}

/* Reference bits for policies that do not ask. */
static void sweep(struct quire_pager *pager)
{
    struct sweep sweep = {.wanted = BATCH_PAGES / 8};

    regions_sweep(pager, sweep_region, &sweep);
}

static void for_each_pool(struct quire_pager *pager, void (*visit)(struct pool *pool))
{
    for (uint32_t i = 0; i < pager->members_count; i++)
        if (pager->members[i].used && pager->members[i].pool == &pager->members[i].storage)
            visit(&pager->members[i].storage);
}

void order_advance(struct quire_pager *pager)
{
    for_each_pool(pager, pool_advance);
    if (pager->type->needs == POLICY_EVERY_REFERENCE && pager->way != QUIRE_WAY_ANONYMOUS)
        sweep(pager);
    for_each_pool(pager, pool_tick);
}
