/*
 * Pools. See pool.h.
 *
 *   area   | policy | state bytes | frames by number | names |
 */
#include "vm/pool.h"

#include "vm/object_internal.h"

enum { AREA_ALIGN = 64, FIT_PART = 32 };

uint64_t pool_now;

/* ------------------------------------------------------------------ making */

static size_t rounded(size_t bytes)
{
    return (bytes + AREA_ALIGN - 1) & ~(size_t)(AREA_ALIGN - 1);
}

static void config_fill(struct policy_config *config, const struct pool_kind *kind, uint32_t most_frames)
{
    *config = (struct policy_config){
        .pages = names_capacity(kind->type, most_frames),
        .frames = most_frames,
        .most_frames = most_frames,
        .removes = true,
        .seed = kind->seed,
    };
    for (unsigned i = 0; i < POLICY_OPTIONS; i++)
        config->options[i] = kind->options[i];
}

/* policy_host: the number's page has gone and is no ghost. */
static void forget(void *context, struct policy *policy, uint32_t number)
{
    struct pool *pool = context;

    names_forget(&pool->names, number);
}

enum status pool_make(struct pool *pool, const struct pool_kind *kind, uint32_t most_frames)
{
    struct policy_config config;
    size_t policy, state, frames;
    uint8_t *at;

    config_fill(&config, kind, most_frames);
    policy = rounded(policy_bytes(kind->type, &config));
    state = rounded(config.pages);
    frames = rounded(config.pages * sizeof(uint32_t));
    *pool =
        (struct pool){.host = kind->host, .area_bytes = policy + state + frames + names_bytes(config.pages)};
    pool->area = host_area_alloc(pool->area_bytes);
    if (!pool->area)
        return ST_NO_MEMORY;
    at = pool->area;
    pool->host.context = pool;
    pool->host.forget = forget;
    pool->frames = (uint32_t *)(void *)(at + policy + state);
    config.host = &pool->host;
    config.state = at + policy;
    names_init(&pool->names, config.pages, at + policy + state + frames);
    pool->policy = policy_create(kind->type, &config, at);
    return ST_OK;
}

void pool_end(struct pool *pool)
{
    if (pool->area)
        host_area_free(pool->area, pool->area_bytes);
    *pool = (struct pool){0};
}

enum status pool_grow(struct pool *pool, const struct pool_kind *kind, uint32_t most_frames)
{
    struct pool old = *pool, fresh;
    enum status status = pool_make(&fresh, kind, most_frames);

    if (status != ST_OK)
        return status;
    *pool = fresh;
    pool->member = old.member;
    pool->host.context = pool;
    pool->policy->host = &pool->host;
    for (uint32_t number = 0; number < old.names.used; number++) {
        struct frame *frame = pool_frame(&old, number);
        uint8_t state = old.policy->state[number];

        if (!frame)
            continue;
        CHECK_ALWAYS(pool_insert(pool, frame, 0, names_name(&old.names, number)));
        pool->policy->state[frame->paging.number] |= state & (POLICY_REFERENCED | POLICY_DIRTY);
    }
    host_area_free(old.area, old.area_bytes);
    return ST_OK;
}

/* ------------------------------------------------------------------ names */

uint64_t pool_name(const struct frame *frame)
{
    if (frame->use == FRAME_ANON)
        return NAME_ANON | frame_pfn(frame).v;
    return object_payload(frame->page.object->id, frame->page.index);
}

/* The number's name becomes another one. The number stays: it is the last one freed, and taken at once. */
static void set_name(struct pool *pool, uint32_t number, uint64_t name)
{
    uint32_t again;

    names_forget(&pool->names, number);
    again = names_add(&pool->names, name);
    CHECK_ALWAYS(again == number);
}

/* Forgets what has the name and is not in memory. */
void pool_forget(struct pool *pool, uint64_t name)
{
    uint32_t number = pool_has_ghosts(pool) ? names_find(&pool->names, name) : POLICY_NO_PAGE;

    if (number == POLICY_NO_PAGE || pool->frames[number] != 0)
        return;
    policy_remove(pool->policy, number);
    names_forget(&pool->names, number);
}

void pool_rename(struct pool *pool, uint64_t from, uint64_t to)
{
    uint32_t number = pool_has_ghosts(pool) ? names_find(&pool->names, from) : POLICY_NO_PAGE;

    if (number == POLICY_NO_PAGE || pool->frames[number] != 0 || from == to)
        return;
    pool_forget(pool, to);
    if (names_find(&pool->names, to) == POLICY_NO_PAGE)
        set_name(pool, number, to);
}

/* ------------------------------------------------------------------ pages */

/* The number of a page that comes; POLICY_NO_PAGE when there is none left. */
static uint32_t number_for(struct pool *pool, uint64_t ghost, uint64_t name)
{
    uint32_t number = POLICY_NO_PAGE;

    if (!pool_has_ghosts(pool))
        return names_add(&pool->names, name); /* nothing is called so: the page is not in memory yet */
    if (ghost != 0)
        number = names_find(&pool->names, ghost);
    if (number != POLICY_NO_PAGE && pool->frames[number] == 0) {
        if (ghost != name) {
            pool_forget(pool, name);
            set_name(pool, number, name);
        }
        return number;
    }
    number = names_find(&pool->names, name);
    if (number == POLICY_NO_PAGE)
        return names_add(&pool->names, name);
    CHECK_ALWAYS(pool->frames[number] == 0);
    return number;
}

bool pool_insert(struct pool *pool, struct frame *frame, uint64_t ghost, uint64_t name)
{
    struct policy *policy = pool->policy;
    uint32_t number;

    if (policy->resident == policy->most_frames)
        return false;
    if (policy->resident == policy->frames) /* first, for it may forget what the page was known by */
        policy_resize(policy, policy->resident + 1);
    number = number_for(pool, ghost, name);
    if (number == POLICY_NO_PAGE)
        return false;
    pool->frames[number] = (uint32_t)frame_pfn(frame).v;
    frame->paging.number = number;
    policy->now = pool_now;
    policy_insert(policy, number);
    return true;
}

void pool_remove(struct pool *pool, struct frame *frame)
{
    uint32_t number = frame->paging.number;

    CHECK_ALWAYS(pool_frame(pool, number) == frame);
    pool->frames[number] = 0;
    policy_remove(pool->policy, number);
    names_forget(&pool->names, number);
}

struct frame *pool_victim(struct pool *pool, bool *dirty)
{
    uint32_t number;
    struct frame *frame;

    pool->policy->now = pool_now;
    number = policy_victim(pool->policy, POLICY_NO_PAGE);
    if (number == POLICY_NO_PAGE)
        return NULL;
    frame = pool_frame(pool, number); /* still there, also if the number has been forgotten meanwhile */
    CHECK_ALWAYS(frame != NULL);
    *dirty = (pool->policy->state[number] & POLICY_DIRTY) != 0;
    pool->frames[number] = 0;
    pool->policy->state[number] &= (uint8_t) ~(POLICY_DIRTY | POLICY_PINNED);
    return frame;
}

void pool_pin(struct pool *pool, struct frame *frame)
{
    CHECK_ALWAYS(pool_insert(pool, frame, pool_name(frame), pool_name(frame)));
    pool->policy->state[frame->paging.number] |= POLICY_PINNED;
    pool->pinned = true;
}

void pool_unpin(struct pool *pool)
{
    if (!pool->pinned)
        return;
    for (uint32_t number = 0; number < pool->names.used; number++)
        pool->policy->state[number] &= (uint8_t)~POLICY_PINNED;
    pool->pinned = false;
}

void pool_tick(struct pool *pool)
{
    pool_unpin(pool);
    pool->policy->now = pool_now;
    policy_tick(pool->policy);
}

void pool_fit(struct pool *pool, uint64_t frames)
{
    struct policy *policy = pool->policy;
    uint64_t fits = frames < policy->resident ? policy->resident : frames;
    uint64_t apart;

    fits = fits < 1 ? 1 : fits > policy->most_frames ? policy->most_frames : fits;
    apart = fits > policy->frames ? fits - policy->frames : policy->frames - fits;
    if (apart > policy->frames / FIT_PART)
        policy_resize(policy, (uint32_t)fits);
}

/* ------------------------------------------------------------------ checking */

static const char *check_number(const struct pool *pool, uint32_t number)
{
    const struct frame *frame = pool_frame(pool, number);
    bool resident = (pool->policy->state[number] & POLICY_RESIDENT) != 0;

    if (resident != (frame != NULL))
        return "a page in the policy's order has no frame, or a frame no place in it";
    if (!frame)
        return NULL;
    if (!(frame_flags(frame) & FRAME_LISTED) || frame->paging.number != number)
        return "a frame does not know its number";
    return names_name(&pool->names, number) == pool_name(frame) ? NULL : "a frame has another page's name";
}

const char *pool_check(const struct pool *pool)
{
    const char *wrong;

    if (!pool->policy)
        return NULL;
    wrong = names_check(&pool->names);
    for (uint32_t number = 0; !wrong && number < pool->names.used; number++)
        wrong = check_number(pool, number);
    return wrong ? wrong : policy_check(pool->policy);
}
