/*
 * The thread that keeps frames free: of the pager's budget, and of each member's own. It sleeps until a fault
 * finds fewer than `low`, and works until there are `high`, in rounds of up to BATCH_PAGES victims:
 *
 *      the policy learns what came ---- victims ---- clean: LEAVING ---------------------- holes punched
 *                                            \------ dirty: WRITING ---- written: LEAVING --/
 *                                                                   \--- used meanwhile: back to the policy
 *
 * A round that frees nothing of a budget, or less than what stores refused to take, is followed by a short
 * sleep and counted; a fault that waits for a frame ends in an error after many of them in a row (frame.c):
 * where a few clean pages come and go in a budget of pages that cannot be written, the program would crawl
 * for ever. Errors of writing are noted in the region for quire_sync().
 *
 * Locking: `round` through a round, `order` while victims are chosen, nothing while anything is written.
 */
#include "pager.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

#define NAP_NS 10000000u
#define LONG_NAP_NS 1000000000u

/* The least part of the reserve that is worth a round, but for the first. */
enum { WORTH_PART = 4 };

struct round {
    struct place leave[BATCH_PAGES], write[BATCH_PAGES], clean[BATCH_PAGES];
    uint32_t leave_count, write_count, clean_count;
    uint32_t first; /* the member whose own budget is looked at first */
};

void evict_wake(struct quire_pager *pager)
{
    if (atomic_load_explicit(&pager->wanted, memory_order_relaxed) == 0 &&
        atomic_exchange(&pager->wanted, 1) == 0)
        futex_wake_all(&pager->wanted);
}

void evict_quiesce(struct quire_pager *pager)
{
    pthread_mutex_lock(&pager->round);
    pthread_mutex_unlock(&pager->round);
}

/* Frames are given back when their pages have gone. Nobody maps those of a memfd, as a rule: no TLB waits. */
void places_leave(struct place *places, uint32_t count)
{
    if (count == 0)
        return;
    places_sort(places, count);
    places_remove(places, count);
    for (uint32_t i = 0, same; i < count; i += same) {
        struct region *region = places[i].region;

        for (same = 0; i + same < count && places[i + same].region == region; same++) {
            struct window *window = &region->windows[places[i + same].page / WINDOW_PAGES];

            atomic_fetch_sub_explicit(&window->resident, 1, memory_order_relaxed);
            page_settle(place_word(places[i + same]), PAGE_ABSENT, 0, PAGE_FRESH | PAGE_USED);
        }
        frames_give(region->member, same);
    }
    count_add(places->region->pager, COUNT_EVICTIONS, count);
}

bool page_take_to_leave(struct place place)
{
    uint32_t seen = page_look(place_word(place));

    while (page_state(seen) == PAGE_CLEAN && page_pins(seen) == 0 && !(seen & PAGE_FLIGHT))
        if (page_change(place_word(place), &seen, (seen & ~(uint32_t)PAGE_STATE) | PAGE_LEAVING))
            return true;
    return false;
}

/* The victim's TLB entries go with those of its window. */
static void unmap_if_new(struct place place)
{
    if (place.region->memory >= 0 && (page_look(place_word(place)) & PAGE_FRESH))
        window_scan(place.region, place.page / WINDOW_PAGES, false);
}

static void take_victim(struct round *round, struct place victim)
{
    struct quire_pager *pager = victim.region->pager;

    unmap_if_new(victim);
    if (page_take_to_leave(victim)) {
        round->leave[round->leave_count++] = victim;
    } else if (page_take_to_write(victim, false)) {
        round->write[round->write_count++] = victim;
        victim.region->member->dirty++;
    } else {
        order_insert(victim);
        count_add(pager, COUNT_GIVEN_BACK, 1);
    }
}

/* ------------------------------------------------------------------ choosing */

/* How many frames the budget lacks; eviction goes on until it is nearly full again. Faults take frames
 * meanwhile: to make up for each of them at once would be rounds of a few pages, and no batches. */
static uint32_t budget_wants(struct budget *budget)
{
    uint32_t free = budget_free(budget), low = atomic_load(&budget->low), high = atomic_load(&budget->high);

    if (free < low)
        budget->refills = true;
    else if (free >= high - (high - low) / WORTH_PART)
        budget->refills = false;
    return budget->refills ? high - free : 0;
}

static bool anybody_wants(struct quire_pager *pager)
{
    bool wants;

    pthread_mutex_lock(&pager->round); /* no member comes or goes */
    wants = budget_wants(&pager->budget) > 0;
    for (uint32_t i = 0; i < pager->members_count && !wants; i++)
        wants = pager->members[i].own && budget_wants(pager->members[i].own) > 0;
    pthread_mutex_unlock(&pager->round);
    return wants;
}

/* Returns how many there are of those that are wanted. */
static uint32_t choose_some(struct quire_pager *pager, struct round *round, struct quire_member *own,
                            uint32_t wanted)
{
    uint32_t room = BATCH_PAGES - round->leave_count - round->write_count, chosen = 0;
    struct place victim;

    if (wanted == 0)
        return 0;
    give_begin(pager, own);
    for (; chosen < wanted && chosen < room && give_victim(pager, &victim); chosen++)
        take_victim(round, victim);
    return chosen;
}

/* Nothing of the member's could go lately. */
static bool is_stuck(struct budget *own)
{
    return atomic_load(&own->fruitless) > 0;
}

/* Members at bounds of their own, each time another one first. Returns how many frames that should bring. */
static uint32_t choose_for_members(struct quire_pager *pager, struct round *round)
{
    uint32_t count = pager->members_count, expected = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct quire_member *member = &pager->members[(round->first + i) % count];

        if (member->own) {
            uint32_t chosen = choose_some(pager, round, member, budget_wants(member->own));

            expected += is_stuck(member->own) ? 0 : chosen;
        }
    }
    round->first++;
    return expected;
}

static void choose(struct quire_pager *pager, struct round *round)
{
    uint32_t wanted, expected;

    pthread_mutex_lock(&pager->order);
    order_drain(pager);
    order_advance(pager);
    members_upkeep(pager);
    expected = choose_for_members(pager, round);
    wanted = budget_wants(&pager->budget);
    choose_some(pager, round, NULL, wanted > expected ? wanted - expected : 0);
    if (round->leave_count + round->write_count > 0)
        members_are_even(pager);
    round->clean_count = order_take_to_clean(pager, round->clean, BATCH_PAGES);
    pthread_mutex_unlock(&pager->order);
}

/* ------------------------------------------------------------------ a round */

static void return_to_policy(struct quire_pager *pager, struct place *places, uint32_t count)
{
    pthread_mutex_lock(&pager->order);
    for (uint32_t i = 0; i < count; i++)
        order_insert(places[i]);
    pthread_mutex_unlock(&pager->order);
    count_add(pager, COUNT_GIVEN_BACK, count);
}

/* What stays of a member that is stuck at its own bound is no trouble of others. */
static void note_outcome(struct quire_pager *pager, const struct place *places, uint32_t count, bool freed)
{
    struct budget *of_all = &pager->budget;

    for (uint32_t i = 0; i < count; i++) {
        struct budget *own = places[i].region->member->own;

        of_all->freed += freed;
        of_all->refused += !freed && !(own && is_stuck(own));
        if (own) {
            own->freed += freed;
            own->refused += !freed;
        }
    }
}

static void write_victims(struct quire_pager *pager, struct round *round)
{
    enum status status;
    uint32_t written = writer_write(&pager->writer, round->write, round->write_count, WRITE_LEAVE, &status);

    note_outcome(pager, round->write, written, true);
    if (status != ST_OK)
        note_outcome(pager, &round->write[written], round->write_count - written, false);
    places_leave(round->write, written);
    if (written < round->write_count)
        return_to_policy(pager, &round->write[written], round->write_count - written);
}

static void evict_round(struct quire_pager *pager, struct round *round)
{
    uint64_t began, chosen;
    enum status status;

    round->leave_count = round->write_count = round->clean_count = 0;
    began = now_ns();
    choose(pager, round);
    chosen = now_ns();
    count_add(pager, COUNT_POLICY_NS, chosen - began);
    note_outcome(pager, round->leave, round->leave_count, true);
    places_leave(round->leave, round->leave_count);
    if (round->write_count > 0)
        write_victims(pager, round);
    if (round->clean_count > 0)
        writer_write(&pager->writer, round->clean, round->clean_count, WRITE_STAY, &status);
    if (round->write_count + round->clean_count > 0)
        count_add(pager, COUNT_WRITE_NS, now_ns() - chosen);
}

/* After a round, once a nap at most. True: it went well, or was of no great need. */
static bool budget_judge(struct budget *budget)
{
    bool well = budget->freed > budget->refused;
    uint64_t now;

    budget->freed = budget->refused = 0;
    if (!budget->refills)
        return true;
    if (well) {
        atomic_store(&budget->fruitless, 0);
        return true;
    }
    if (budget_free(budget) >= atomic_load(&budget->low)) {
        budget->refills = false;
        return true;
    }
    now = now_ns();
    if (now - budget->counted_ns >= NAP_NS) {
        budget->counted_ns = now;
        atomic_fetch_add(&budget->fruitless, 1);
    }
    return false;
}

/* True: some budget got what it lacked, or a part. */
static bool judge(struct quire_pager *pager)
{
    bool wanted = pager->budget.refills, well = budget_judge(&pager->budget) && wanted;

    for (uint32_t i = 0; i < pager->members_count; i++) {
        struct budget *own = pager->members[i].own;

        if (!own)
            continue;
        wanted |= own->refills;
        well |= own->refills ? budget_judge(own) : !budget_judge(own);
    }
    return well || !wanted;
}

static void sleep_until_wanted(struct quire_pager *pager)
{
    if (anybody_wants(pager))
        return;
    atomic_store(&pager->wanted, 0);
    if (!anybody_wants(pager) && !atomic_load(&pager->stop))
        futex_wait(&pager->wanted, 0, LONG_NAP_NS);
}

static void *evict_forever(void *context)
{
    struct quire_pager *pager = context;
    struct round *round = pager->victims;

    while (!atomic_load(&pager->stop)) {
        bool well;

        sleep_until_wanted(pager);
        if (!anybody_wants(pager))
            continue;
        pthread_mutex_lock(&pager->round);
        evict_round(pager, round);
        well = judge(pager);
        pthread_mutex_unlock(&pager->round);
        if (!well)
            futex_wait(&pager->nobody, 0, NAP_NS);
    }
    return NULL;
}

/* The thread itself allocates nothing: a child of fork() would find the allocator locked, for good. */
enum status evict_start(struct quire_pager *pager)
{
    enum status status;
    sigset_t saved;

    if (!(pager->writer = writer_create()) || !(pager->victims = calloc(1, sizeof(*pager->victims))))
        return ST_NO_MEMORY;
    signals_block(&saved);
    status = thread_start(&pager->evictor, evict_forever, pager, pager->is_child);
    signals_restore(&saved);
    return status;
}

void evict_stop(struct quire_pager *pager)
{
    atomic_store(&pager->stop, true);
    atomic_store(&pager->wanted, 1);
    futex_wake_all(&pager->wanted);
    thread_join(&pager->evictor);
}
