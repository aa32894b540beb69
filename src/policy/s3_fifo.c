/*
 * S3-FIFO: three FIFO queues. A page comes into SMALL; when it is the oldest there it moves on to MAIN if it
 * was referenced at least twice meanwhile, and goes otherwise, remembered in GHOST. A page that comes back
 * while it is remembered comes into MAIN. MAIN is a clock with a count of up to 3 in place of a bit.
 *
 * J. Yang and others, "FIFO Queues are All You Need for Cache Eviction", SOSP 2023. The counts need every
 * reference; they are two bits of the state byte.
 *
 * Departure: which queue gives is decided as in the authors' own program: MAIN if it has more than its share
 * or SMALL is empty. In a memory of under ten frames SMALL's share is 0 pages.
 *
 * Invariants: SMALL and MAIN hold the resident pages, which S3_MAIN tells apart; GHOST holds those with
 * S3_GHOST. A page that is neither but has S3_MAIN is about to come back.
 */
#include "order.h"
#include "run.h"

enum { SMALL_PERCENT, GHOST_PERCENT, PROMOTE }; /* options */
enum { SMALL, GHOST, MAIN, HEADS };             /* lists; their heads are past the pages */
enum {
    S3_MAIN = 0x10,
    S3_GHOST = 0x20,
    S3_LIST = POLICY_RESIDENT | S3_MAIN | S3_GHOST,
    S3_ONE = 0x40, /* one reference */
    S3_COUNT = 0xc0
};

struct s3_fifo {
    struct policy base;
    struct order_link *links;
    uint32_t count[HEADS];
    uint32_t small_limit, ghost_limit;
    uint64_t small_percent, ghost_percent;
    uint8_t promote; /* a count, in its place in the state byte */
    uint64_t promoted, returned;
};

static struct s3_fifo *s3_of(struct policy *policy)
{
    return (struct s3_fifo *)policy;
}

static size_t s3_bytes(const struct policy_config *config)
{
    return sizeof(struct s3_fifo) + order_bytes(config, HEADS);
}

static void put(struct policy *policy, unsigned list, uint32_t page)
{
    order_add(s3_of(policy)->links, policy->pages + list, page);
    s3_of(policy)->count[list]++;
}

static void take(struct policy *policy, unsigned list, uint32_t page)
{
    order_remove(s3_of(policy)->links, page);
    s3_of(policy)->count[list]--;
}

static void forget_ghosts(struct policy *policy)
{
    struct s3_fifo *s3 = s3_of(policy);

    while (s3->count[GHOST] > s3->ghost_limit) {
        uint32_t page = order_oldest(s3->links, policy->pages + GHOST);

        take(policy, GHOST, page);
        policy->state[page] &= (uint8_t)~S3_GHOST;
        policy_forget(policy, page);
    }
}

static void s3_resize(struct policy *policy)
{
    struct s3_fifo *s3 = s3_of(policy);

    s3->small_limit = (uint32_t)(policy->frames * s3->small_percent / 100);
    s3->ghost_limit = (uint32_t)(policy->frames * s3->ghost_percent / 100);
    forget_ghosts(policy);
}

static void s3_init(struct policy *policy, const struct policy_config *config)
{
    struct s3_fifo *s3 = s3_of(policy);
    uint8_t *memory = (uint8_t *)(s3 + 1);

    s3->links = order_carve(&memory, config, HEADS);
    s3->small_percent = config->options[SMALL_PERCENT];
    s3->ghost_percent = config->options[GHOST_PERCENT];
    s3->promote = (uint8_t)(config->options[PROMOTE] * S3_ONE);
    s3_resize(policy);
}

static void s3_touch(struct policy *policy, uint32_t page)
{
    uint8_t state = policy->state[page];

    policy->state[page] = state < S3_COUNT ? (uint8_t)(state + S3_ONE) : state;
}

/* A ghost is wanted: it will go to MAIN. */
static void bring_back(struct policy *policy, uint32_t page)
{
    if (!(policy->state[page] & S3_GHOST))
        return;
    take(policy, GHOST, page);
    policy->state[page] ^= S3_GHOST | S3_MAIN;
    s3_of(policy)->returned++;
}

static void s3_insert(struct policy *policy, uint32_t page)
{
    bring_back(policy, page);
    put(policy, policy->state[page] & S3_MAIN ? MAIN : SMALL, page);
}

/* The oldest page of SMALL that does not move on to MAIN. */
static uint32_t small_victim(struct policy *policy)
{
    struct s3_fifo *s3 = s3_of(policy);
    uint32_t head = policy->pages + SMALL, newer;

    for (uint32_t page = order_oldest(s3->links, head); page != head; page = newer) {
        newer = s3->links[page].prev;
        if ((policy->state[page] & S3_COUNT) >= s3->promote) {
            take(policy, SMALL, page);
            policy->state[page] = (policy->state[page] & (uint8_t)~S3_COUNT) | S3_MAIN;
            put(policy, MAIN, page);
            s3->promoted++;
        } else if (!policy_is_pinned(policy, page)) {
            take(policy, SMALL, page);
            policy->state[page] = (policy->state[page] & (uint8_t)~S3_COUNT) | S3_GHOST;
            put(policy, GHOST, page);
            forget_ghosts(policy);
            return page;
        }
    }
    return POLICY_NO_PAGE;
}

/* The oldest page of MAIN with a count of 0; each that is passed loses one, so four rounds find it. */
static uint32_t main_victim(struct policy *policy)
{
    struct s3_fifo *s3 = s3_of(policy);
    uint32_t head = policy->pages + MAIN;

    for (uint64_t left = 4 * (uint64_t)s3->count[MAIN]; left > 0; left--) {
        uint32_t page = order_oldest(s3->links, head);
        uint8_t state = policy->state[page];

        if ((state & S3_COUNT) || policy_is_pinned(policy, page)) {
            policy->state[page] = state & S3_COUNT ? (uint8_t)(state - S3_ONE) : state;
            order_move(s3->links, head, page);
            continue;
        }
        take(policy, MAIN, page);
        policy->state[page] &= (uint8_t)~S3_MAIN;
        policy_forget(policy, page);
        return page;
    }
    return POLICY_NO_PAGE;
}

static uint32_t s3_victim(struct policy *policy, uint32_t incoming)
{
    struct s3_fifo *s3 = s3_of(policy);
    uint32_t page = POLICY_NO_PAGE;

    if (!order_either_free(policy, s3->links, policy->pages + SMALL, policy->pages + MAIN))
        return POLICY_NO_PAGE;
    if (incoming != POLICY_NO_PAGE)
        bring_back(policy, incoming);
    if (s3->count[MAIN] <= policy->frames - s3->small_limit)
        page = small_victim(policy);
    if (page == POLICY_NO_PAGE)
        page = main_victim(policy);
    return page != POLICY_NO_PAGE ? page : small_victim(policy);
}

static void s3_remove(struct policy *policy, uint32_t page)
{
    uint8_t state = policy->state[page];

    if (state & S3_GHOST)
        take(policy, GHOST, page);
    else if (state & POLICY_RESIDENT)
        take(policy, state & S3_MAIN ? MAIN : SMALL, page);
}

static size_t s3_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    const struct s3_fifo *s3 = (const struct s3_fifo *)policy;
    const struct policy_counter all[] = {
        {"promoted", s3->promoted}, {"returned", s3->returned}, {"ghosts", s3->count[GHOST]}};

    return policy_copy_counters(all, sizeof(all) / sizeof(all[0]), out, most);
}

static const char *s3_check(const struct policy *policy)
{
    static const uint8_t state[HEADS] = {POLICY_RESIDENT, S3_GHOST, POLICY_RESIDENT | S3_MAIN};
    const struct s3_fifo *s3 = (const struct s3_fifo *)policy;

    for (unsigned list = 0; list < HEADS; list++)
        if (!order_holds(policy, s3->links, policy->pages + list, S3_LIST, state[list], s3->count[list]))
            return "a queue does not hold the pages that are marked as its own";
    return s3->count[GHOST] > s3->ghost_limit ? "more ghosts than are allowed" : NULL;
}

__attribute__((flatten)) static void s3_run(struct policy *policy, const struct policy_block *block,
                                            struct policy_tally *tally)
{
    policy_run(policy, block, tally, s3_touch, s3_insert, s3_victim);
}

const struct policy_type policy_s3_fifo = {
    .name = "s3-fifo",
    .title = "a small queue sifts what the main queue, a clock with counts, is to keep",
    .source = "Yang and others, FIFO Queues are All You Need for Cache Eviction, SOSP 2023",
    .needs = POLICY_EVERY_REFERENCE,
    .ghosts = 1,
    .page_bytes = sizeof(struct order_link),
    .options = {{"small", 10, 0, 100, NULL, "percent of memory for pages that have just come"},
                {"ghost", 90, 0, 100, NULL, "ghosts in percent of memory"},
                {"promote", 2, 1, 3, NULL, "references that a page needs to move on"}},
    .bytes = s3_bytes,
    .init = s3_init,
    .insert = s3_insert,
    .touch = s3_touch,
    .victim = s3_victim,
    .remove = s3_remove,
    .resize = s3_resize,
    .counters = s3_counters,
    .check = s3_check,
    .run = s3_run,
};
