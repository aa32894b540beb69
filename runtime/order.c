/*
 * The policy, and what it knows pages by.
 *
 * Pages get a number when they come (policy/names.h) and lose it when the policy forgets them. A policy may
 * forget its victim while it is still choosing, so numbers are given back only when the victim's name has
 * been read (`forgotten`).
 *
 * What a policy asks: is the page used (reference.c)? Is it dirty (its word)? May it go: it has no pins, and
 * nobody is at work on it.
 *
 * Policies that need every reference get those that scans see, each window of memory once in an interval: the
 * order among pages of one scan is that of their addresses. docs/RUNTIME.md says what that costs.
 *
 * Locking: pager->order, everywhere.
 */
#include "pager.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NO_NAME UINT64_MAX
enum { LEAST_TICK = 1024, MEMORY_ALIGNMENT = 64 };
/* For policies that remember every page that ever was: 256 GiB of them. */
#define MOST_NUMBERS ((uint32_t)1 << 26)

static struct place place_of_number(const struct quire_pager *pager, uint32_t number)
{
    return place_of_name(pager->name_of[number]);
}

/* ------------------------------------------------------------------ what the policy asks */

static void harvest(void *context, struct policy *policy, uint32_t number)
{
    struct quire_pager *pager = context;
    struct place place = place_of_number(pager, number);
    bool dirty = page_state(page_look(place_word(place))) == PAGE_DIRTY;

    if (window_is_stale(place.region, place.page / WINDOW_PAGES))
        window_scan(place.region, place.page / WINDOW_PAGES, false);
    policy->state[number] = (uint8_t)((policy->state[number] & ~POLICY_DIRTY) | (dirty ? POLICY_DIRTY : 0));
}

/* A page is judged once for each choice of a victim: its word may change meanwhile, and a policy that has
 * chosen it must not find that it should not have. Whoever takes the victim looks again. */
static bool spares(void *context, const struct policy *policy, uint32_t number)
{
    struct quire_pager *pager = context;
    uint32_t *verdict = &pager->verdicts[number], word;

    if (*verdict >> 1 == pager->choice)
        return (*verdict & 1) != 0;
    word = page_look(place_word(place_of_number(pager, number)));
    *verdict = pager->choice << 1 | (page_pins(word) > 0 || (word & PAGE_FLIGHT) || !page_is_settled(word));
    return (*verdict & 1) != 0;
}

static void forget(void *context, struct policy *policy, uint32_t number)
{
    struct quire_pager *pager = context;

    pager->forgotten[pager->forgotten_count++] = number;
}

static void clean(void *context, struct policy *policy, uint32_t number)
{
    struct quire_pager *pager = context;

    if (pager->to_clean_count < BATCH_PAGES)
        pager->to_clean[pager->to_clean_count++] = place_of_number(pager, number);
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

static void give_numbers_back(struct quire_pager *pager)
{
    while (pager->forgotten_count > 0) {
        uint32_t number = pager->forgotten[--pager->forgotten_count];

        pager->policy->state[number] = 0;
        pager->name_of[number] = NO_NAME;
        names_forget(&pager->names, number);
    }
}

/* ------------------------------------------------------------------ pages come and go */

void order_insert(struct quire_pager *pager, struct place place)
{
    uint64_t name = place_name(place);
    uint32_t number = names_find(&pager->names, name);

    if (atomic_load_explicit(&place.region->closing, memory_order_relaxed))
        return;
    if (number == POLICY_NO_PAGE) {
        number = names_add(&pager->names, name);
        pager->name_of[number] = name;
    }
    if (!(pager->policy->state[number] & POLICY_RESIDENT))
        policy_insert(pager->policy, number);
    give_numbers_back(pager);
}

enum { DRAIN_AHEAD = 8 };

static void prefetch_arrival(struct quire_pager *pager)
{
    uint64_t name = atomic_load_explicit(
        &pager->arrivals[(pager->arrivals_head + DRAIN_AHEAD) & pager->arrivals_mask], memory_order_relaxed);

    if (name != 0)
        names_prefetch(&pager->names, name - 1);
}

void order_drain(struct quire_pager *pager)
{
    for (;;) {
        _Atomic uint64_t *entry = &pager->arrivals[pager->arrivals_head & pager->arrivals_mask];
        uint64_t name = atomic_load_explicit(entry, memory_order_acquire);

        if (name == 0)
            return;
        atomic_store_explicit(entry, 0, memory_order_relaxed);
        prefetch_arrival(pager);
        pager->arrivals_head++;
        pager->clock++;
        order_insert(pager, place_of_name(name - 1));
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

static void remove_number(struct quire_pager *pager, uint32_t number)
{
    policy_remove(pager->policy, number);
    give_numbers_back(pager);
    if (pager->name_of[number] == NO_NAME)
        return;
    pager->name_of[number] = NO_NAME;
    names_forget(&pager->names, number);
}

void order_remove(struct quire_pager *pager, struct place place)
{
    uint32_t number = names_find(&pager->names, place_name(place));

    if (number != POLICY_NO_PAGE)
        remove_number(pager, number);
}

void order_remove_region(struct quire_pager *pager, const struct region *region)
{
    for (uint32_t number = 0; number < pager->names.used; number++)
        if (pager->name_of[number] != NO_NAME && pager->name_of[number] >> 48 == region->index)
            remove_number(pager, number);
    for (uint32_t i = 0; i < pager->to_clean_count;)
        if (pager->to_clean[i].region == region)
            pager->to_clean[i] = pager->to_clean[--pager->to_clean_count];
        else
            i++;
}

bool order_victim(struct quire_pager *pager, struct place *victim)
{
    uint32_t number;

    pager->choice = (pager->choice + 1) & (UINT32_MAX >> 1);
    number = policy_victim(pager->policy, POLICY_NO_PAGE);

    if (number != POLICY_NO_PAGE)
        *victim = place_of_number(pager, number);
    give_numbers_back(pager);
    return number != POLICY_NO_PAGE;
}

void order_referenced(struct quire_pager *pager, struct place place, bool tells)
{
    uint32_t number = names_find(&pager->names, place_name(place));

    if (number == POLICY_NO_PAGE || !(pager->policy->state[number] & POLICY_RESIDENT))
        return;
    pager->policy->now++;
    record_reference(place, false);
    if (tells)
        policy_touch(pager->policy, number);
    else
        pager->policy->state[number] |= POLICY_REFERENCED;
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

void order_advance(struct quire_pager *pager)
{
    uint32_t tick = pager->frames > LEAST_TICK ? pager->frames : LEAST_TICK;

    pager->policy->now += pager->clock - pager->advanced;
    pager->advanced = pager->clock;
    if (pager->type->needs == POLICY_EVERY_REFERENCE && pager->way != QUIRE_WAY_ANONYMOUS)
        sweep(pager);
    if (pager->clock - pager->ticked >= tick) {
        pager->ticked = pager->clock;
        policy_tick(pager->policy);
    }
}

/* ------------------------------------------------------------------ making it */

uint64_t order_most_pages(const struct quire_pager *pager)
{
    return pager->type->ghosts == POLICY_ALL_GHOSTS ? MOST_NUMBERS - 1 : UINT64_MAX;
}

static size_t carve(size_t *total, size_t bytes)
{
    size_t at = *total;

    *total += (bytes + MEMORY_ALIGNMENT - 1) & ~(size_t)(MEMORY_ALIGNMENT - 1);
    return at;
}

enum status order_create(struct quire_pager *pager, struct policy_config *config, struct quire_error *error)
{
    uint32_t numbers = names_capacity(pager->type, pager->frames);
    size_t total = 0, states, names, name_of, forgotten, verdicts, policy;
    uint8_t *memory;

    if (numbers > MOST_NUMBERS)
        numbers = MOST_NUMBERS;
    config->pages = numbers;
    config->frames = config->most_frames = pager->frames;
    config->removes = true;
    pager->host = (struct policy_host){.harvest = pager->type->needs == POLICY_BITS ? harvest : NULL,
                                       .clean = clean,
                                       .forget = forget,
                                       .spares = spares,
                                       .context = pager};
    config->host = &pager->host;
    states = carve(&total, numbers);
    names = carve(&total, names_bytes(numbers));
    name_of = carve(&total, numbers * sizeof(uint64_t));
    forgotten = carve(&total, numbers * sizeof(uint32_t));
    verdicts = carve(&total, numbers * sizeof(uint32_t));
    policy = carve(&total, policy_bytes(pager->type, config));
    memory = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        error_say(error, "memory: %zu MiB of addresses for what the policy %s remembers cannot be had",
                  total >> 20, pager->type->name);
        return ST_NO_MEMORY;
    }
    config->state = memory + states;
    names_init(&pager->names, numbers, memory + names);
    pager->name_of = (uint64_t *)(memory + name_of);
    pager->forgotten = (uint32_t *)(memory + forgotten);
    pager->verdicts = (uint32_t *)(memory + verdicts);
    pager->policy_memory = memory;
    pager->policy_bytes = total;
    pager->policy = policy_create(pager->type, config, memory + policy);
    return ST_OK;
}

void order_destroy(struct quire_pager *pager)
{
    if (pager->policy_memory)
        munmap(pager->policy_memory, pager->policy_bytes);
}

const char *order_check(struct quire_pager *pager)
{
    const char *wrong = policy_check(pager->policy);

    if (!wrong)
        wrong = names_check(&pager->names);
    for (uint32_t i = 0; i < pager->names.used && !wrong; i++)
        if ((pager->policy->state[i] & POLICY_RESIDENT) && pager->name_of[i] == NO_NAME)
            wrong = "a page of the policy has no name";
    return wrong;
}
