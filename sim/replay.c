/*
 * A recording as the kernel pages it: sim/replay.h.
 *
 *     reference --there----> its bit is set
 *               --not------> it comes into the pool of who refers to it; then, as in reclaim_upkeep():
 *                            time passes, a tick, the member gives what it has too much, the cleaner is
 * called
 *
 * A *pool* is a policy: number 0 has everybody's pages under global scope, those of nobody under local scope.
 * All pools have room for all pages, by the same numbers.
 *
 * Invariants (replay_check): a page with IN is in the order of the pool of its owner, once policies know of
 * pages; the owners' frames add up to `there`.
 */
#include "sim/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/mix.h"

enum {
    IN = 1,
    WRITTEN = 2,
    SEEN = 4,
    TO_CLEAN = 32,
    ALIGNMENT = 64,
    SLACK_PART = 64,
    SLACK_MOST = 16,
    NOBODY = 0
};

struct pool {
    struct policy *policy; /* NULL: nobody's yet */
    struct policy_host host;
    struct replay *replay;
    void *memory;
    size_t bytes;
};

struct replay {
    const struct replay_config *config;
    struct trace *trace;
    struct replay_result *result;
    struct trace_error *error;
    uint32_t pages, there, nobodys, known;
    uint8_t *state;  /* by page: IN, WRITTEN (before policies know it), SEEN */
    uint16_t *owner; /* by page */
    bool watched;
    uint64_t now_us, policies_now, next_tick;
    uint32_t who;     /* refers to pages now */
    uint32_t pending; /* pages that the cleaner is still to evict */
    struct pool pools[REPLAY_MEMBERS];
    struct scope scope;
    struct scope_member members[REPLAY_MEMBERS];
    uint32_t to_clean[TO_CLEAN], unclean; /* pages */
};

static bool is_local(const struct replay *replay)
{
    return replay->config->scope.kind == SCOPE_LOCAL;
}

static struct pool *pool_of(struct replay *replay, uint32_t member)
{
    return &replay->pools[is_local(replay) ? member : NOBODY];
}

static uint32_t all_frames(const struct replay *replay)
{
    return replay->config->frames + replay->config->low;
}

/* ------------------------------------------------------------------ pools */

/* policy_host: it is written when the cleaner comes by. */
static void note_unclean(void *context, struct policy *policy, uint32_t page)
{
    struct replay *replay = ((struct pool *)context)->replay;

    (void)policy;
    if (replay->unclean < TO_CLEAN)
        replay->to_clean[replay->unclean++] = page;
}

static bool pool_make(struct replay *replay, struct pool *pool)
{
    uint32_t frames = all_frames(replay) + 1 < replay->pages ? all_frames(replay) + 1 : replay->pages;
    struct policy_config config = {.pages = replay->pages,
                                   .frames = frames,
                                   .most_frames = frames,
                                   .removes = true,
                                   .seed = replay->config->seed,
                                   .host = &pool->host};
    size_t states = (replay->pages + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);

    if (pool->policy)
        return true;
    memcpy(config.options, replay->config->options, sizeof(config.options));
    pool->bytes = states + policy_bytes(replay->config->type, &config);
    pool->memory =
        mmap(NULL, pool->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pool->memory == MAP_FAILED) {
        pool->memory = NULL;
        snprintf(replay->error->text, sizeof(replay->error->text), "not enough memory for the policies");
        return false;
    }
    pool->replay = replay;
    pool->host = (struct policy_host){.clean = note_unclean, .context = pool};
    config.state = pool->memory;
    pool->policy = policy_create(replay->config->type, &config, config.state + states);
    return true;
}

static void pool_put(struct replay *replay, uint32_t page, uint32_t owner, bool dirty)
{
    struct policy *policy = pool_of(replay, owner)->policy;

    policy->now = replay->policies_now;
    policy_insert(policy, page);
    policy->state[page] |= dirty ? POLICY_DIRTY : 0;
}

/* ------------------------------------------------------------------ who has what */

static uint32_t *frames_of(struct replay *replay, uint32_t owner)
{
    return owner == NOBODY ? &replay->nobodys : &replay->members[owner].frames;
}

static void charge(struct replay *replay, uint32_t page, uint32_t owner)
{
    uint32_t frames = ++*frames_of(replay, owner);

    replay->owner[page] = (uint16_t)owner;
    replay->there++;
    if (frames > replay->result->members[owner].most_frames)
        replay->result->members[owner].most_frames = frames;
}

static void uncharge(struct replay *replay, uint32_t page)
{
    replay->there--;
    --*frames_of(replay, replay->owner[page]);
}

/* It is there, and somebody else's from now on. */
static void give(struct replay *replay, uint32_t page, uint32_t owner)
{
    struct policy *from = pool_of(replay, replay->owner[page])->policy;
    uint8_t state = replay->watched ? from->state[page] : 0;

    if (replay->watched && is_local(replay))
        policy_remove(from, page);
    uncharge(replay, page);
    charge(replay, page, owner);
    if (replay->watched && is_local(replay)) {
        pool_put(replay, page, owner, (state & POLICY_DIRTY) != 0);
        pool_of(replay, owner)->policy->state[page] |= state & POLICY_REFERENCED;
    }
}

/* A member comes when it first refers to a page. */
static bool member_comes(struct replay *replay, uint32_t number, uint32_t process)
{
    replay->result->members[number].process = process;
    if (replay->result->count <= number)
        replay->result->count = number + 1;
    if (number == NOBODY || replay->members[number].place == MEMBER_IN)
        return true;
    if (scope_join(&replay->scope, number) != ST_OK) {
        snprintf(replay->error->text, sizeof(replay->error->text),
                 "the memory is too small for so many programs");
        return false;
    }
    return !is_local(replay) || pool_make(replay, &replay->pools[number]);
}

/* Its pages are nobody's. */
static void member_goes(struct replay *replay, uint32_t number)
{
    if (number == NOBODY || replay->members[number].place != MEMBER_IN)
        return;
    for (uint32_t page = 0; replay->members[number].frames > 0 && page < replay->pages; page++)
        if (replay->state[page] & IN && replay->owner[page] == number)
            give(replay, page, NOBODY);
    scope_leave(&replay->scope, number);
}

/* ------------------------------------------------------------------ pages that go */

/* False: the member has none that may go. */
static bool evict_one(struct replay *replay, uint32_t from)
{
    struct policy *policy = pool_of(replay, from)->policy;
    uint32_t page;
    bool dirty;

    policy->now = replay->policies_now;
    page = policy_victim(policy, POLICY_NO_PAGE);
    if (page == POLICY_NO_PAGE)
        return false;
    dirty = (policy->state[page] & POLICY_DIRTY) != 0;
    policy->state[page] &= (uint8_t)~POLICY_DIRTY;
    replay->state[page] &= (uint8_t)~IN;
    replay->result->evictions++;
    replay->result->write_backs += dirty;
    replay->result->members[replay->owner[page]].evictions++;
    replay->result->members[replay->owner[page]].write_backs += dirty;
    uncharge(replay, page);
    return true;
}

/* Local scope: nobody's first, then of the one that has most above its target; then of the one with most. */
static uint32_t giver(const struct replay *replay)
{
    uint32_t best = NOBODY, most = 0;

    if (!is_local(replay) || replay->nobodys > 0)
        return NOBODY;
    for (uint32_t i = 1; i < replay->scope.count; i++) {
        const struct scope_member *member = &replay->members[i];

        if (member->frames > member->target && member->frames - member->target > most) {
            most = member->frames - member->target;
            best = i;
        }
    }
    for (uint32_t i = 1; best == NOBODY && i < replay->scope.count; i++)
        if (replay->members[i].frames > most) {
            most = replay->members[i].frames;
            best = i;
        }
    return best;
}

/* What was to be written has been, unless it has gone meanwhile. */
static void write_unclean(struct replay *replay)
{
    while (replay->unclean > 0) {
        uint32_t page = replay->to_clean[--replay->unclean];
        struct policy *policy = pool_of(replay, replay->owner[page])->policy;

        if (!(replay->state[page] & IN) || !(policy->state[page] & POLICY_DIRTY))
            continue;
        policy->state[page] &= (uint8_t)~POLICY_DIRTY;
        replay->result->write_backs++;
        replay->result->members[replay->owner[page]].write_backs++;
    }
}

/* One batch for each fault: while it is being written, about one more page is wanted. */
static void clean(struct replay *replay)
{
    uint32_t batch;

    if (replay->there >= replay->config->frames && replay->pending == 0)
        replay->pending = replay->config->ahead;
    if (replay->pending == 0)
        return;
    write_unclean(replay);
    batch = replay->pending < REPLAY_BATCH ? replay->pending : REPLAY_BATCH;
    replay->pending -= batch;
    while (batch > 0 && evict_one(replay, giver(replay)))
        batch--;
    write_unclean(replay);
}

static void give_excess(struct replay *replay, uint32_t number)
{
    const struct scope_member *member = &replay->members[number];
    uint32_t excess, slack;

    if (!is_local(replay) || number == NOBODY || member->frames <= member->target)
        return;
    slack = member->frames / SLACK_PART < SLACK_MOST ? member->frames / SLACK_PART : SLACK_MOST;
    for (excess = member->frames - member->target + slack; excess > 0 && evict_one(replay, number);)
        excess--;
}

/* ------------------------------------------------------------------ time */

static void tick(struct replay *replay)
{
    uint64_t interval = replay->config->tick_us ? replay->config->tick_us
                                                : policy_tick_us(replay->pools[NOBODY].policy->resident);
    bool first = replay->next_tick == 0;

    if (replay->now_us < replay->next_tick)
        return;
    replay->next_tick = replay->now_us + interval;
    if (first)
        return;
    replay->result->ticks++;
    for (uint32_t i = 0; i < REPLAY_MEMBERS; i++)
        if (replay->pools[i].policy) {
            replay->pools[i].policy->now = replay->policies_now;
            policy_tick(replay->pools[i].policy);
        }
}

/* After each fault. */
static void keep_up(struct replay *replay)
{
    replay->policies_now = replay->now_us;
    if (replay->who != NOBODY)
        replay->members[replay->who].pages = replay->members[replay->who].frames;
    tick(replay);
    give_excess(replay, replay->who);
    clean(replay);
}

/* ------------------------------------------------------------------ memory falls short */

struct named {
    uint64_t name;
    uint32_t page;
};

static int by_name(const void *a, const void *b)
{
    const struct named *first = a, *second = b;

    if (first->name != second->name)
        return first->name < second->name ? -1 : 1;
    return first->page < second->page ? -1 : first->page > second->page;
}

/* Names of objects' pages come before those of private memory, which are by addresses: the kernel's order. */
static bool watch(struct replay *replay)
{
    struct named *all = malloc((size_t)replay->there * sizeof(*all));
    uint32_t count = 0;

    if (!all) {
        snprintf(replay->error->text, sizeof(replay->error->text), "not enough memory for the pages");
        return false;
    }
    for (uint32_t page = 0; page < replay->pages; page++)
        if (replay->state[page] & IN)
            all[count++] = (struct named){trace_page_name(replay->trace, page), page};
    qsort(all, count, sizeof(*all), by_name);
    replay->watched = true;
    replay->policies_now = replay->now_us;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t page = all[i].page;
        bool dirty = (replay->state[page] & WRITTEN) != 0;

        pool_put(replay, page, replay->owner[page], dirty);
        pool_of(replay, replay->owner[page])->policy->state[page] |= POLICY_REFERENCED;
    }
    free(all);
    return true;
}

/* ------------------------------------------------------------------ references */

static bool fault(struct replay *replay, uint32_t page, bool write)
{
    struct replay_member *member = &replay->result->members[replay->who];

    if (replay->state[page] & SEEN) {
        replay->result->back++;
        member->back++;
    } else {
        replay->result->first++;
        member->first++;
    }
    replay->state[page] |= IN | SEEN;
    charge(replay, page, replay->who);
    if (!replay->watched) {
        replay->state[page] |= write ? WRITTEN : 0;
        return replay->there < replay->known || (watch(replay) && (keep_up(replay), true));
    }
    pool_put(replay, page, replay->who, write);
    keep_up(replay);
    return true;
}

static bool refer(struct replay *replay, uint32_t reference)
{
    uint32_t page = reference >> 1;
    bool write = reference & 1;
    struct policy *policy;

    replay->result->references++;
    if (!(replay->state[page] & IN))
        return fault(replay, page, write);
    if (replay->owner[page] == NOBODY && replay->who != NOBODY)
        give(replay, page, replay->who);
    if (!replay->watched) {
        replay->state[page] |= write ? WRITTEN : 0;
        return true;
    }
    policy = pool_of(replay, replay->owner[page])->policy;
    policy_touch(policy, page);
    policy->state[page] |= write ? POLICY_DIRTY : 0;
    return true;
}

static void page_ends(struct replay *replay, uint32_t page)
{
    if (replay->state[page] & IN) {
        uncharge(replay, page);
        if (replay->watched)
            policy_remove(pool_of(replay, replay->owner[page])->policy, page);
    }
    replay->state[page] = SEEN;
}

static bool take_mark(struct replay *replay, const struct policy_mark *mark)
{
    uint32_t member = (uint32_t)mark->now_us < REPLAY_MEMBERS ? (uint32_t)mark->now_us : NOBODY;

    switch (mark->page) {
    case POLICY_NO_PAGE:
        replay->now_us = mark->now_us;
        return true;
    case TRACE_MARK_MEMBER:
        replay->who = member;
        return member_comes(replay, member, (uint32_t)(mark->now_us >> 32));
    case TRACE_MARK_MEMBER_ENDS:
        member_goes(replay, member);
        return true;
    default:
        page_ends(replay, mark->page);
        return true;
    }
}

/* The first thing that is wrong, or NULL. */
static const char *replay_check(struct replay *replay)
{
    uint32_t frames = replay->nobodys, in = 0;

    for (uint32_t i = 1; i < REPLAY_MEMBERS; i++)
        frames += replay->members[i].frames;
    for (uint32_t page = 0; page < replay->pages; page++) {
        bool is_in = (replay->state[page] & IN) != 0;
        const struct pool *pool = pool_of(replay, replay->owner[page]);

        in += is_in;
        if (replay->watched && pool->policy && ((pool->policy->state[page] & POLICY_RESIDENT) != 0) != is_in)
            return "a page is not where its owner has it";
    }
    if (frames != replay->there || in != replay->there)
        return "the owners' frames do not add up";
    for (uint32_t i = 0; i < REPLAY_MEMBERS; i++)
        if (replay->pools[i].policy && policy_check(replay->pools[i].policy))
            return policy_check(replay->pools[i].policy);
    return scope_check(&replay->scope);
}

static bool run_block(struct replay *replay, const struct policy_block *block)
{
    size_t mark = 0;

    for (size_t i = 0; i <= block->count; i++) {
        for (; mark < block->mark_count && block->marks[mark].at == i; mark++)
            if (!take_mark(replay, &block->marks[mark]))
                return false;
        if (i < block->count && !refer(replay, block->references[i]))
            return false;
    }
    return true;
}

static bool run(struct replay *replay)
{
    struct policy_block block;
    const char *wrong;

    do {
        if (!trace_next(replay->trace, &block, replay->error) || !run_block(replay, &block))
            return false;
    } while (block.count > 0);
    wrong = replay_check(replay);
    if (wrong)
        snprintf(replay->error->text, sizeof(replay->error->text), "a broken invariant: %s", wrong);
    return wrong == NULL;
}

static bool prepare(struct replay *replay)
{
    struct scope_config scope = replay->config->scope;
    uint32_t frames = replay->config->frames;

    if (!mix_count_pages(replay->trace, &replay->pages, replay->error))
        return false;
    scope.frames = all_frames(replay);
    if (scope_init(&replay->scope, &scope, replay->members, 0) != ST_OK) {
        snprintf(replay->error->text, sizeof(replay->error->text), "such a scope is not possible");
        return false;
    }
    replay->known = replay->config->known ? replay->config->known : frames - frames / 8;
    replay->state = calloc(replay->pages, sizeof(*replay->state));
    replay->owner = calloc(replay->pages, sizeof(*replay->owner));
    if (!replay->state || !replay->owner) {
        snprintf(replay->error->text, sizeof(replay->error->text), "not enough memory for the pages");
        return false;
    }
    replay->result->pages = replay->pages;
    replay->result->count = 1;
    return pool_make(replay, &replay->pools[NOBODY]);
}

bool replay_run(const struct replay_config *config, struct trace *trace, struct replay_result *result,
                struct trace_error *error)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    bool done = false;

    memset(result, 0, sizeof(*result));
    if (replay) {
        *replay = (struct replay){.config = config, .trace = trace, .result = result, .error = error};
        done = prepare(replay) && run(replay);
        for (uint32_t i = 0; i < REPLAY_MEMBERS; i++)
            if (replay->pools[i].memory)
                munmap(replay->pools[i].memory, replay->pools[i].bytes);
        free(replay->state);
        free(replay->owner);
        free(replay);
    } else {
        snprintf(error->text, sizeof(error->text), "not enough memory for the pages");
    }
    return done;
}
