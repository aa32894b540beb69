/*
 * Members. See members.h.
 */
#include "vm/members.h"

#include "base/check.h"

struct pool pools[POOLS];

static struct pool_kind kind;
static struct scope_config scope_config;

/* What victims are sought for. */
static struct {
    bool unpinned; /* notes of pinned pages have been taken back */
} search;

static void set_options(const struct policy_type *type, const uint64_t *options)
{
    struct policy_config standard;

    policy_standard(type, &standard);
    for (unsigned i = 0; i < POLICY_OPTIONS; i++)
        kind.options[i] = options ? options[i] : standard.options[i];
    kind.type = type;
}

void members_init(void)
{
    for (unsigned i = 0; i < POOLS; i++)
        pools[i] = (struct pool){0};
    kind = (struct pool_kind){.host = pages_host};
    set_options(policy_find("clock", 5), NULL);
    scope_config = (struct scope_config){.kind = SCOPE_GLOBAL};
}

enum status reclaim_configure(const struct policy_type *type, const struct policy_config *policy,
                              const struct scope_config *scope)
{
    if (type && type->needs != POLICY_BITS)
        return ST_UNSUPPORTED;
    if (type)
        set_options(type, policy ? policy->options : NULL);
    if (policy)
        kind.seed = policy->seed;
    if (scope)
        scope_config = *scope;
    return ST_OK;
}

/* Every frame that may ever hold a page. */
static uint32_t most_frames(void)
{
    struct frame_counts counts;

    frames_count(&counts);
    return (uint32_t)(counts.total - counts.by_use[FRAME_RESERVED]);
}

enum status members_start(void)
{
    return pools[0].policy ? ST_OK : pool_make(&pools[0], &kind, most_frames());
}

void members_end(void)
{
    for (unsigned i = 0; i < POOLS; i++)
        pool_end(&pools[i]);
}

uint32_t members_pool(const struct frame *frame)
{
    return 0;
}

void members_begin(uint32_t taker)
{
    search.unpinned = false;
    pool_fit(&pools[0], pool_resident(&pools[0]) + frames_free());
}

/* A page of locked memory is passed over from now on. */
static bool is_locked(struct pool *pool, struct frame *frame)
{
    if (!(frame->paging.spare & PAGING_LOCKED))
        return false;
    pool_pin(pool, frame);
    return true;
}

struct frame *members_victim(void)
{
    for (;;) {
        struct frame *frame = pool_victim(&pools[0]);

        if (frame && !is_locked(&pools[0], frame))
            return frame;
        if (frame)
            continue;
        if (search.unpinned)
            return NULL;
        pool_unpin(&pools[0]);
        search.unpinned = true;
    }
}
