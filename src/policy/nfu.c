/*
 * NFU, not frequently used: at every tick each page's count grows by its reference bit. The page with the
 * lowest count goes. Counts never shrink, so what was used much long ago stays; and what comes between two
 * ticks has a count of 0, so it is the first to go when there are many faults in an interval. Aging is the
 * remedy.
 *
 * A. S. Tanenbaum, Modern Operating Systems, "Simulating LRU in Software".
 *
 * Pages are kept in the order of their counts, in chains:
 *
 *      idle   not looked at since the last tick
 *      fresh  came since: referenced, with a count of 0
 *      used   found referenced since
 *      held   found pinned since: looked at again when there is nothing else, or after the next tick
 *
 * Departures: the bit of the running interval counts already, as if a tick came now. Among pages with the
 * same count first idle ones go, then fresh, then used, each kind in its order. A page that is held has at
 * least the count of the one that was held before it, so that they need not be sorted.
 *
 * Invariants: each resident page is in one of the chains; counts do not fall along a chain, and are 0 in
 * fresh.
 */
#include "chain.h"
#include "run.h"

enum { IDLE, FRESH, USED, HELD, CHAINS };

struct nfu {
    struct policy base;
    struct policy_links links;
    uint32_t *count; /* by page: ticks at which its bit was set; stays at UINT32_MAX */
    struct policy_chain chains[CHAINS];
};

static struct nfu *nfu_of(struct policy *policy)
{
    return (struct nfu *)policy;
}

static size_t nfu_bytes(const struct policy_config *config)
{
    return sizeof(struct nfu) + links_bytes(config) + (size_t)config->pages * sizeof(uint32_t) + 8;
}

static void nfu_init(struct policy *policy, const struct policy_config *config)
{
    struct nfu *nfu = nfu_of(policy);
    uint8_t *memory = (uint8_t *)(nfu + 1);

    links_init(&nfu->links, &memory, config);
    nfu->count = policy_carve(&memory, config->pages * sizeof(uint32_t));
    for (unsigned i = 0; i < CHAINS; i++)
        nfu->chains[i] = chain_empty();
}

static void nfu_insert(struct policy *policy, uint32_t page)
{
    struct nfu *nfu = nfu_of(policy);

    nfu->count[page] = 0;
    chain_push(&nfu->links, &nfu->chains[FRESH], page);
    policy->state[page] |= POLICY_REFERENCED;
}

/* The count that the first page of the chain would have if a tick came now and its bit were `referenced`;
 * higher than any when there is none. */
static uint64_t nfu_first_count(const struct nfu *nfu, unsigned chain, unsigned referenced)
{
    uint32_t page = nfu->chains[chain].first;

    return page == POLICY_NO_PAGE ? UINT64_MAX : (uint64_t)nfu->count[page] + referenced;
}

/* The chain whose first page is to be looked at. */
static unsigned nfu_lowest(const struct nfu *nfu)
{
    uint64_t idle = nfu_first_count(nfu, IDLE, 0), fresh = nfu_first_count(nfu, FRESH, 1),
             used = nfu_first_count(nfu, USED, 1);

    if (idle <= fresh && idle <= used)
        return idle == UINT64_MAX ? HELD : IDLE;
    return fresh <= used ? FRESH : USED;
}

static void nfu_hold(struct nfu *nfu, uint32_t page)
{
    uint32_t last = nfu->chains[HELD].last;

    if (last != POLICY_NO_PAGE && nfu->count[last] > nfu->count[page])
        nfu->count[page] = nfu->count[last];
    chain_push(&nfu->links, &nfu->chains[HELD], page);
}

static uint32_t nfu_victim(struct policy *policy, uint32_t incoming)
{
    struct nfu *nfu = nfu_of(policy);

    /* A page is looked at when it is idle, used, and held. */
    for (uint64_t left = 3 * (uint64_t)policy->resident; left > 0; left--) {
        unsigned chain = nfu_lowest(nfu);
        uint32_t page = chain_pop(&nfu->links, &nfu->chains[chain]);

        if (policy_is_pinned(policy, page))
            nfu_hold(nfu, page);
        else if (chain == IDLE && (policy_state(policy, page) & POLICY_REFERENCED))
            chain_push(&nfu->links, &nfu->chains[USED], page);
        else
            return page;
    }
    return POLICY_NO_PAGE;
}

static void nfu_remove(struct policy *policy, uint32_t page)
{
    struct nfu *nfu = nfu_of(policy);

    if (policy_is_resident(policy, page))
        chain_unlink(&nfu->links, nfu->chains, CHAINS, page);
}

/* All pages of two chains, in the order of their counts; `first` before `second` where they are the same. */
static struct policy_chain nfu_merge(struct nfu *nfu, struct policy_chain *first, struct policy_chain *second)
{
    struct policy_chain all = chain_empty();

    while (!chain_is_empty(first) && !chain_is_empty(second)) {
        bool second_is_less = nfu->count[second->first] < nfu->count[first->first];

        chain_push(&nfu->links, &all, chain_pop(&nfu->links, second_is_less ? second : first));
    }
    chain_join(&nfu->links, &all, first);
    chain_join(&nfu->links, &all, second);
    return all;
}

static void nfu_tick(struct policy *policy)
{
    struct nfu *nfu = nfu_of(policy);
    struct policy_chain idle = chain_empty(), referenced = chain_empty(), all;

    chain_join(&nfu->links, &nfu->chains[FRESH], &nfu->chains[USED]);
    all = nfu_merge(nfu, &nfu->chains[FRESH], &nfu->chains[IDLE]);
    all = nfu_merge(nfu, &all, &nfu->chains[HELD]);
    while (!chain_is_empty(&all)) {
        uint32_t page = chain_pop(&nfu->links, &all);
        bool counts = policy_take_reference(policy, page);

        nfu->count[page] += counts && nfu->count[page] < UINT32_MAX;
        chain_push(&nfu->links, counts ? &referenced : &idle, page);
    }
    nfu->chains[IDLE] = nfu_merge(nfu, &idle, &referenced);
}

static const char *nfu_check(const struct policy *policy)
{
    const struct nfu *nfu = (const struct nfu *)policy;

    for (unsigned i = 0; i < CHAINS; i++)
        for (uint32_t page = nfu->chains[i].first, least = 0; page != POLICY_NO_PAGE;
             page = nfu->links.next[page]) {
            if (nfu->count[page] < least || (i == FRESH && nfu->count[page] > 0))
                return "pages are not in the order of their counts";
            least = nfu->count[page];
        }
    return chain_check(&nfu->links, nfu->chains, CHAINS, policy);
}

static void nfu_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, nfu_insert, nfu_victim);
}

const struct policy_type policy_nfu = {
    .name = "nfu",
    .title = "not frequently used: counts the ticks at which a page was referenced",
    .source = "Tanenbaum, Modern Operating Systems, simulating LRU in software",
    .needs = POLICY_BITS,
    .page_bytes = 2 * sizeof(uint32_t),
    .bytes = nfu_bytes,
    .init = nfu_init,
    .insert = nfu_insert,
    .victim = nfu_victim,
    .remove = nfu_remove,
    .tick = nfu_tick,
    .check = nfu_check,
    .run = nfu_run,
};
