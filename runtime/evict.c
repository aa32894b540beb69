/*
 * The thread that keeps frames free. It sleeps until a fault finds fewer than `low`, and works until there
 * are `high`, in rounds of up to BATCH_PAGES victims:
 *
 *      the policy learns what came ---- victims ---- clean: LEAVING ---------------------- holes punched
 *                                            \------ dirty: WRITING ---- written: LEAVING --/
 *                                                                   \--- used meanwhile: back to the policy
 *
 * A round that frees nothing, or less than what stores refused to take, is followed by a short sleep and
 * counted; a fault that waits for a frame ends in an error after many of them in a row (frame.c): where a few
 * clean pages come and go in a budget of pages that cannot be written, the program would crawl for ever.
 * Errors of writing are noted in the region for quire_sync().
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

struct round {
    struct place leave[BATCH_PAGES], write[BATCH_PAGES], clean[BATCH_PAGES];
    uint32_t leave_count, write_count, clean_count;
    uint32_t refused; /* of those to be written, what had to stay because of an error */
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
    for (uint32_t i = 0; i < count; i++) {
        struct window *window = &places[i].region->windows[places[i].page / WINDOW_PAGES];

        atomic_fetch_sub_explicit(&window->resident, 1, memory_order_relaxed);
        page_settle(place_word(places[i]), PAGE_ABSENT, 0, PAGE_FRESH);
    }
    frames_give(places->region->pager, count);
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
    } else {
        order_insert(pager, victim);
        count_add(pager, COUNT_GIVEN_BACK, 1);
    }
}

static void choose(struct quire_pager *pager, struct round *round)
{
    uint32_t free = atomic_load(&pager->free), wanted = free < pager->high ? pager->high - free : 0;
    struct place victim;

    pthread_mutex_lock(&pager->order);
    order_drain(pager);
    order_advance(pager);
    if (wanted > BATCH_PAGES)
        wanted = BATCH_PAGES;
    for (; wanted > 0 && order_victim(pager, &victim); wanted--)
        take_victim(round, victim);
    round->clean_count = order_take_to_clean(pager, round->clean, BATCH_PAGES);
    pthread_mutex_unlock(&pager->order);
}

static void give_back(struct quire_pager *pager, struct place *places, uint32_t count)
{
    pthread_mutex_lock(&pager->order);
    for (uint32_t i = 0; i < count; i++)
        order_insert(pager, places[i]);
    pthread_mutex_unlock(&pager->order);
    count_add(pager, COUNT_GIVEN_BACK, count);
}

/* How many frames it made free. */
static uint32_t evict_round(struct quire_pager *pager, struct round *round)
{
    uint64_t began, chosen;
    uint32_t written = 0;
    enum status status;

    round->leave_count = round->write_count = round->clean_count = round->refused = 0;
    pthread_mutex_lock(&pager->round);
    began = now_ns();
    choose(pager, round);
    chosen = now_ns();
    count_add(pager, COUNT_POLICY_NS, chosen - began);
    places_leave(round->leave, round->leave_count);
    if (round->write_count > 0) {
        written = writer_write(&pager->writer, round->write, round->write_count, WRITE_LEAVE, &status);
        places_leave(round->write, written);
        round->refused = status == ST_OK ? 0 : round->write_count - written;
        if (written < round->write_count)
            give_back(pager, &round->write[written], round->write_count - written);
    }
    if (round->clean_count > 0)
        writer_write(&pager->writer, round->clean, round->clean_count, WRITE_STAY, &status);
    if (round->write_count + round->clean_count > 0)
        count_add(pager, COUNT_WRITE_NS, now_ns() - chosen);
    pthread_mutex_unlock(&pager->round);
    return round->leave_count + written;
}

static void sleep_until_wanted(struct quire_pager *pager)
{
    if (atomic_load(&pager->free) < pager->low)
        return;
    atomic_store(&pager->wanted, 0);
    if (atomic_load(&pager->free) >= pager->low && !atomic_load(&pager->stop))
        futex_wait(&pager->wanted, 0, LONG_NAP_NS);
}

static void *evict_forever(void *context)
{
    struct quire_pager *pager = context;
    struct round *round = calloc(1, sizeof(*round));

    while (round && !atomic_load(&pager->stop)) {
        sleep_until_wanted(pager);
        while (atomic_load(&pager->free) < pager->high && !atomic_load(&pager->stop)) {
            if (evict_round(pager, round) > round->refused) {
                atomic_store(&pager->fruitless, 0);
                continue;
            }
            if (atomic_load(&pager->free) >= pager->low)
                break;
            atomic_fetch_add(&pager->fruitless, 1);
            futex_wait(&pager->nobody, 0, NAP_NS);
        }
    }
    free(round);
    return NULL;
}

enum status evict_start(struct quire_pager *pager)
{
    enum status status;
    sigset_t saved;

    if (!(pager->writer = writer_create()))
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
