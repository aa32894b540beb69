/*
 * Pools: a policy, and what it knows pages by.
 *
 * Pages get a number when they come (policy/names.h) and lose it when the policy forgets them. A policy may
 * forget its victim while it is still choosing, so numbers are given back only when the victim's name has
 * been read (`forgotten`).
 *
 * What a policy asks: is the page used (reference.c)? Is it dirty (its word)? May it go: it has no pins,
 * nobody is at work on it, and its member's class lets it go (give.c).
 *
 * Locking: pager->order, everywhere.
 */
#include "pager.h"

#include <string.h>
#include <sys/mman.h>

#define NO_NAME UINT64_MAX
enum { LEAST_TICK = 1024, MEMORY_ALIGNMENT = 64, FIT_PART = 32 };
/* For policies that remember every page that ever was: 256 GiB of them. */
#define MOST_NUMBERS ((uint32_t)1 << 26)

static struct place place_of_number(const struct pool *pool, uint32_t number)
{
    return place_of_name(pool->name_of[number]);
}

/* ------------------------------------------------------------------ what the policy asks */

/* Pins since it was asked last. */
static bool was_pinned(struct place place)
{
    return (page_look(place_word(place)) & PAGE_USED) &&
           (atomic_fetch_and(place_word(place), ~(uint32_t)PAGE_USED) & PAGE_USED);
}

static void harvest(void *context, struct policy *policy, uint32_t number)
{
    const struct pool *pool = context;
    struct place place = place_of_number(pool, number);
    bool dirty = page_state(page_look(place_word(place))) == PAGE_DIRTY;

    if (window_is_stale(place.region, place.page / WINDOW_PAGES))
        window_scan(place.region, place.page / WINDOW_PAGES, false);
    if (was_pinned(place)) {
        policy->now++;
        record_reference(place, false);
        policy->state[number] |= POLICY_REFERENCED;
    }
    policy->state[number] = (uint8_t)((policy->state[number] & ~POLICY_DIRTY) | (dirty ? POLICY_DIRTY : 0));
}

static bool must_stay(const struct pool *pool, uint32_t number)
{
    struct place place = place_of_number(pool, number);
    uint32_t word = page_look(place_word(place));

    return page_pins(word) > 0 || (word & PAGE_FLIGHT) || !page_is_settled(word) ||
           give_spares(pool->pager, place.region->member);
}

/* A page is judged once for each choice of a victim: its word may change meanwhile, and a policy that has
 * chosen it must not find that it should not have. Whoever takes the victim looks again. */
static bool spares(void *context, const struct policy *policy, uint32_t number)
{
    const struct pool *pool = context;
    uint32_t *verdict = &pool->verdicts[number];

    if (*verdict >> 1 != pool->choice)
        *verdict = pool->choice << 1 | must_stay(pool, number);
    return (*verdict & 1) != 0;
}

static void forget(void *context, struct policy *policy, uint32_t number)
{
    struct pool *pool = context;

    pool->forgotten[pool->forgotten_count++] = number;
}

static void clean(void *context, struct policy *policy, uint32_t number)
{
    const struct pool *pool = context;

    order_note_to_clean(pool->pager, place_of_number(pool, number));
}

static void give_numbers_back(struct pool *pool)
{
    while (pool->forgotten_count > 0) {
        uint32_t number = pool->forgotten[--pool->forgotten_count];

        pool->policy->state[number] = 0;
        pool->name_of[number] = NO_NAME;
        names_forget(&pool->names, number);
    }
}

/* ------------------------------------------------------------------ pages come and go */

static bool is_resident(const struct pool *pool, uint32_t number)
{
    return (pool->policy->state[number] & POLICY_RESIDENT) != 0;
}

static void resize(struct pool *pool, uint32_t frames)
{
    policy_resize(pool->policy, frames);
    give_numbers_back(pool);
}

bool pool_insert(struct pool *pool, struct place place)
{
    uint64_t name = place_name(place);
    const struct policy *policy = pool->policy;
    uint32_t number;

    /* What is lent to its member. First, for it may forget what the page was known by. */
    if (policy->resident == policy->frames && policy->frames < policy->most_frames)
        resize(pool, policy->frames + 1);
    number = names_find(&pool->names, name);
    if (number == POLICY_NO_PAGE) {
        number = names_add(&pool->names, name);
        pool->name_of[number] = name;
    }
    if (is_resident(pool, number))
        return false;
    policy_insert(pool->policy, number);
    give_numbers_back(pool);
    return true;
}

static bool remove_number(struct pool *pool, uint32_t number)
{
    bool resident = is_resident(pool, number);

    policy_remove(pool->policy, number);
    give_numbers_back(pool);
    if (pool->name_of[number] != NO_NAME) {
        pool->name_of[number] = NO_NAME;
        names_forget(&pool->names, number);
    }
    return resident;
}

bool pool_remove(struct pool *pool, struct place place)
{
    uint32_t number = names_find(&pool->names, place_name(place));

    return number != POLICY_NO_PAGE && remove_number(pool, number);
}

uint32_t pool_remove_region(struct pool *pool, const struct region *region)
{
    uint32_t removed = 0;

    for (uint32_t number = 0; number < pool->names.used; number++)
        if (pool->name_of[number] != NO_NAME && pool->name_of[number] >> 48 == region->index)
            removed += remove_number(pool, number);
    return removed;
}

bool pool_victim(struct pool *pool, struct place *victim)
{
    uint32_t number;

    pool->choice = (pool->choice + 1) & (UINT32_MAX >> 1);
    number = policy_victim(pool->policy, POLICY_NO_PAGE);
    if (number != POLICY_NO_PAGE)
        *victim = place_of_number(pool, number);
    give_numbers_back(pool);
    return number != POLICY_NO_PAGE;
}

void pool_referenced(struct pool *pool, struct place place, bool tells)
{
    uint32_t number = names_find(&pool->names, place_name(place));

    if (number == POLICY_NO_PAGE || !is_resident(pool, number))
        return;
    pool->policy->now++;
    record_reference(place, false);
    if (tells)
        policy_touch(pool->policy, number);
    else
        pool->policy->state[number] |= POLICY_REFERENCED;
}

void pool_advance(struct pool *pool)
{
    pool->policy->now += pool->clock - pool->advanced;
    pool->advanced = pool->clock;
}

void pool_tick(struct pool *pool)
{
    uint32_t frames = pool->policy->frames;

    if (pool->clock - pool->ticked < (frames > LEAST_TICK ? frames : LEAST_TICK))
        return;
    pool->ticked = pool->clock;
    policy_tick(pool->policy);
}

static uint32_t scan_interval(const struct pool *pool, uint32_t frames)
{
    return (uint32_t)((uint64_t)frames * pool->pager->scan_percent / 100);
}

void pool_fit(struct pool *pool, uint32_t frames)
{
    const struct policy *policy = pool->policy;
    uint32_t fits = frames > policy->resident ? frames : policy->resident, apart;

    fits = fits < 1 ? 1 : fits > policy->most_frames ? policy->most_frames : fits;
    apart = fits > policy->frames ? fits - policy->frames : policy->frames - fits;
    if (apart <= policy->frames / FIT_PART)
        return;
    resize(pool, fits);
    pool->scan_interval = scan_interval(pool, fits);
}

/* ------------------------------------------------------------------ making it */

uint64_t pool_most_pages(const struct policy_type *type)
{
    return type->ghosts == POLICY_ALL_GHOSTS ? MOST_NUMBERS - 1 : UINT64_MAX;
}

static size_t carve(size_t *total, size_t bytes)
{
    size_t at = *total;

    *total += (bytes + MEMORY_ALIGNMENT - 1) & ~(size_t)(MEMORY_ALIGNMENT - 1);
    return at;
}

static struct policy_config config_of(const struct pool *pool, uint32_t frames)
{
    const struct quire_pager *pager = pool->pager;
    struct policy_config config = pager->policy_config;
    uint32_t numbers = names_capacity(pager->type, pager->frames);

    config.pages = numbers < MOST_NUMBERS ? numbers : MOST_NUMBERS;
    config.frames = frames;
    config.most_frames = pager->frames;
    config.removes = true;
    config.host = &pool->host;
    return config;
}

enum status pool_make(struct pool *pool, struct quire_pager *pager, uint32_t frames,
                      struct quire_error *error)
{
    struct policy_config config;
    size_t total = 0, states, names, name_of, forgotten, verdicts, policy;
    uint8_t *memory;

    *pool = (struct pool){.pager = pager,
                          .host = {.harvest = pager->type->needs == POLICY_BITS ? harvest : NULL,
                                   .clean = clean,
                                   .forget = forget,
                                   .spares = spares,
                                   .context = pool}};
    config = config_of(pool, frames);
    states = carve(&total, config.pages);
    names = carve(&total, names_bytes(config.pages));
    name_of = carve(&total, config.pages * sizeof(uint64_t));
    forgotten = carve(&total, config.pages * sizeof(uint32_t));
    verdicts = carve(&total, config.pages * sizeof(uint32_t));
    policy = carve(&total, policy_bytes(pager->type, &config));
    memory = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        error_say(error, "memory: %zu MiB of addresses for what the policy %s remembers cannot be had",
                  total >> 20, pager->type->name);
        return ST_NO_MEMORY;
    }
    config.state = memory + states;
    names_init(&pool->names, config.pages, memory + names);
    pool->name_of = (uint64_t *)(memory + name_of);
    pool->forgotten = (uint32_t *)(memory + forgotten);
    pool->verdicts = (uint32_t *)(memory + verdicts);
    pool->memory = memory;
    pool->bytes = total;
    pool->scan_interval = scan_interval(pool, frames);
    pool->policy = policy_create(pager->type, &config, memory + policy);
    return ST_OK;
}

void pool_end(struct pool *pool)
{
    if (pool->memory)
        munmap(pool->memory, pool->bytes);
    *pool = (struct pool){0};
}

/* ------------------------------------------------------------------ checking */

uint32_t pool_count(const struct pool *pool, const struct quire_member *member)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < pool->names.used; i++)
        count += pool->name_of[i] != NO_NAME && is_resident(pool, i) &&
                 place_of_number(pool, i).region->member == member;
    return count;
}

const char *pool_check(const struct pool *pool)
{
    const char *wrong = policy_check(pool->policy);

    if (!wrong)
        wrong = names_check(&pool->names);
    for (uint32_t i = 0; i < pool->names.used && !wrong; i++)
        if (is_resident(pool, i) && pool->name_of[i] == NO_NAME)
            wrong = "a page of the policy has no name";
    return wrong;
}
