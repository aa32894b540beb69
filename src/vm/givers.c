/*
 * Whose pages go: the search for victims over members and their pools. See members.h.
 *
 * Global scope: the policy chooses among all, and scope_spares() keeps what classes protect. Local scope: who
 * is idle gives, then who has more than his target, whoever it is that wants a frame; when nobody has, the
 * one who wants it. Pages that nobody is charged for go before anybody's.
 */
#include "vm/floor.h"
#include "vm/members_internal.h"

enum { WORD_BITS = 64 };

uint64_t victims_chosen, victims_dirty;

static struct {
    struct search for_whom;
    uint32_t only;  /* whose pages can go; MEMBER_NOBODY: nobody's. Not for a global search for anybody */
    unsigned round; /* of scope_spares() */
    bool unpinned;  /* notes of pinned pages have been taken back */
    uint64_t empty[MEMBERS_MAX / WORD_BITS]; /* nothing was found of these */
} search;

bool members_spare(const struct frame *frame)
{
    uint32_t owner = members_is_free(frame) ? MEMBER_NOBODY : frame->paging.member;

    if (scope_is_local() || search.for_whom.what == SEARCH_OWN)
        return owner != search.only;
    return owner != MEMBER_NOBODY &&
           scope_spares(&members_scope, owner, search.for_whom.member, search.round);
}

bool members_keep_file(const struct frame *frame)
{
    uint32_t owner = frame->paging.member;

    if (members_is_free(frame))
        return floor_keeps(0, 0);
    return floor_keeps(members_records[owner].file, members_list[owner].frames);
}

static void begin_again(void)
{
    search.round = 0;
    search.only = search.for_whom.member;
    for (unsigned i = 0; i < MEMBERS_MAX / WORD_BITS; i++)
        search.empty[i] = 0;
}

void members_begin(const struct search *for_whom)
{
    search.for_whom = *for_whom;
    search.unpinned = false;
    begin_again();
    members_fit_pools();
}

/* A victim of the pool. One of locked memory is passed over from now on. */
static struct frame *from_pool(struct pool *pool, bool *dirty)
{
    struct frame *frame = NULL;

    while (pool->policy && (frame = pool_victim(pool, dirty)) != NULL) {
        if (pages_may_go(frame, dirty))
            return frame;
        pool_pin(pool, frame);
    }
    return NULL;
}

/* One of search.only. The dead may have pools, too. */
static struct frame *of_one(bool *dirty)
{
    uint32_t own = search.only == MEMBER_NOBODY ? 0 : members_records[search.only].pool;
    struct frame *frame = own != 0 ? from_pool(&pools[own], dirty) : NULL;

    if (!frame)
        frame = from_pool(&pools[0], dirty);
    for (uint32_t i = 1; !frame && search.only == MEMBER_NOBODY && i < pools_made; i++)
        if (pools[i].policy && !member_is_alive(pools[i].member))
            frame = from_pool(&pools[i], dirty);
    return frame;
}

/* Whose page is next; false: nobody's. */
static bool next_giver(void)
{
    uint32_t taker = search.for_whom.member, giver;

    search.only = MEMBER_NOBODY;
    if (members_nobodys > 0 && !(search.empty[0] & 1))
        return true;
    giver = scope_giver(&members_scope, taker == MEMBER_NOBODY ? SCOPE_NOBODY : taker, search.empty);
    if (giver != SCOPE_NOBODY)
        search.only = giver;
    return giver != SCOPE_NOBODY;
}

static struct frame *local_victim(bool *dirty)
{
    while (next_giver()) {
        struct frame *frame = of_one(dirty);

        if (frame)
            return frame;
        search.empty[search.only / WORD_BITS] |= (uint64_t)1 << search.only % WORD_BITS;
    }
    return NULL;
}

static struct frame *global_victim(bool *dirty)
{
    struct frame *frame = NULL;

    while (search.round < SCOPE_ROUNDS && !(frame = from_pool(&pools[0], dirty)))
        search.round++;
    return frame;
}

static struct frame *any_victim(bool *dirty)
{
    if (search.for_whom.what == SEARCH_OWN)
        return of_one(dirty);
    return scope_is_local() ? local_victim(dirty) : global_victim(dirty);
}

static void unpin_all(void)
{
    for (unsigned i = 0; i < pools_made; i++)
        if (pools[i].policy)
            pool_unpin(&pools[i]);
    search.unpinned = true;
}

static void count_victim(const struct frame *frame, bool dirty)
{
    uint32_t owner = frame->paging.member;

    victims_chosen++;
    victims_dirty += dirty;
    if (!member_is_alive(owner))
        return;
    members_records[owner].evicted++;
    members_records[owner].dirty += dirty;
    members_records[owner].lost += owner != search.for_whom.member;
    members_records[owner].lost_protected +=
        owner != search.for_whom.member && members_list[owner].frames < scope_protected(&members_list[owner]);
}

struct frame *members_victim(bool *dirty)
{
    struct frame *frame = any_victim(dirty);

    if (!frame && !search.unpinned) {
        unpin_all();
        begin_again();
        frame = any_victim(dirty);
    }
    if (frame)
        count_victim(frame, *dirty);
    return frame;
}
