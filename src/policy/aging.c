/*
 * Aging: at every tick each page's age takes in its reference bit from the left, so that an age is the
 * history of a page, the last interval first. The page with the lowest age goes.
 *
 * A. S. Tanenbaum, Modern Operating Systems, "Simulating LRU in Software"; A. Silberschatz and others,
 * Operating System Concepts, "Additional-Reference-Bits Algorithm".
 *
 * Ages are not kept, only their order: taking in a bit from the left parts the pages into those that were not
 * referenced and those that were, and leaves the order within both as it was. So a tick moves the referenced
 * pages to the end.
 *
 *      idle   pages in the order of their ages at the last tick; not looked at since
 *      fresh  pages that came since: referenced, without a history
 *      used   pages that were found referenced since, in the order of their ages
 *
 * A victim is the first page of idle whose bit is clear; the others move to used. Behind them come fresh and
 * used, which is the order at the next tick.
 *
 * Departures: ages do not end after eight bits. Among pages of the same age the one that has been in that
 * order longest goes. The bit of the running interval counts already. A pinned page whose turn it is counts
 * as referenced; when every page was, it goes behind all others.
 *
 * Invariants: each resident page is in one of the chains; no page of fresh and used has its bit clear, unless
 * somebody else cleared it.
 */
#include "chain.h"
#include "run.h"

enum { IDLE, FRESH, USED, CHAINS };

struct aging {
    struct policy base;
    struct policy_links links;
    struct policy_chain chains[CHAINS];
    uint64_t taken_in_use;
};

static struct aging *aging_of(struct policy *policy)
{
    return (struct aging *)policy;
}

static size_t aging_bytes(const struct policy_config *config)
{
    return sizeof(struct aging) + links_bytes(config);
}

static void aging_init(struct policy *policy, const struct policy_config *config)
{
    struct aging *aging = aging_of(policy);
    uint8_t *memory = (uint8_t *)(aging + 1);

    links_init(&aging->links, &memory, config);
    for (unsigned i = 0; i < CHAINS; i++)
        aging->chains[i] = chain_empty();
}

static void aging_insert(struct policy *policy, uint32_t page)
{
    struct aging *aging = aging_of(policy);

    chain_push(&aging->links, &aging->chains[FRESH], page);
    policy->state[page] |= POLICY_REFERENCED;
}

/* The first idle page that was not referenced since the tick; those before it are used. */
static uint32_t aging_idle(struct policy *policy)
{
    struct aging *aging = aging_of(policy);

    while (!chain_is_empty(&aging->chains[IDLE])) {
        uint32_t page = chain_pop(&aging->links, &aging->chains[IDLE]);

        if (policy_is_pinned(policy, page))
            policy->state[page] |= POLICY_REFERENCED;
        else if (!(policy_state(policy, page) & POLICY_REFERENCED))
            return page;
        chain_push(&aging->links, &aging->chains[USED], page);
    }
    return POLICY_NO_PAGE;
}

static uint32_t aging_victim(struct policy *policy, uint32_t incoming)
{
    struct aging *aging = aging_of(policy);
    uint32_t page = aging_idle(policy);

    if (page != POLICY_NO_PAGE)
        return page;
    for (uint32_t left = policy->resident; left > 0; left--) {
        bool fresh = !chain_is_empty(&aging->chains[FRESH]);

        page = chain_pop(&aging->links, &aging->chains[fresh ? FRESH : USED]);
        if (!policy_is_pinned(policy, page)) {
            aging->taken_in_use++;
            return page;
        }
        policy->state[page] |= POLICY_REFERENCED;
        chain_push(&aging->links, &aging->chains[USED], page);
    }
    return POLICY_NO_PAGE;
}

static void aging_remove(struct policy *policy, uint32_t page)
{
    struct aging *aging = aging_of(policy);

    if (policy_is_resident(policy, page))
        chain_unlink(&aging->links, aging->chains, CHAINS, page);
}

static void aging_tick(struct policy *policy)
{
    struct aging *aging = aging_of(policy);
    struct policy_chain idle = chain_empty(), referenced = chain_empty();

    chain_join(&aging->links, &aging->chains[FRESH], &aging->chains[USED]);
    chain_join(&aging->links, &aging->chains[FRESH], &aging->chains[IDLE]);
    while (!chain_is_empty(&aging->chains[FRESH])) {
        uint32_t page = chain_pop(&aging->links, &aging->chains[FRESH]);

        chain_push(&aging->links, policy_take_reference(policy, page) ? &referenced : &idle, page);
    }
    chain_join(&aging->links, &idle, &referenced);
    aging->chains[IDLE] = idle;
}

static size_t aging_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    if (most > 0)
        out[0] = (struct policy_counter){"taken_in_use", ((const struct aging *)policy)->taken_in_use};
    return most > 0;
}

static const char *aging_check(const struct policy *policy)
{
    const struct aging *aging = (const struct aging *)policy;

    return chain_check(&aging->links, aging->chains, CHAINS, policy);
}

static void aging_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, aging_insert, aging_victim);
}

const struct policy_type policy_aging = {
    .name = "aging",
    .title = "ages take in the reference bit at each tick; the lowest age goes",
    .source = "Tanenbaum, Modern Operating Systems, simulating LRU in software",
    .needs = POLICY_BITS,
    .page_bytes = sizeof(uint32_t),
    .bytes = aging_bytes,
    .init = aging_init,
    .insert = aging_insert,
    .victim = aging_victim,
    .remove = aging_remove,
    .tick = aging_tick,
    .counters = aging_counters,
    .check = aging_check,
    .run = aging_run,
};
