/*
 * MGLRU, multi-generational LRU: pages are in a few generations. New ones and those that are found referenced
 * go to the youngest; victims come from the oldest. At every tick the referenced pages of all generations
 * move to a new one.
 *
 * Yu Zhao, "Multi-Gen LRU", in Linux since 6.1 (Documentation/mm/multigen_lru.rst).
 *
 *      chains[0] oldest ... chains[youngest]      at most GENERATIONS; a new one when the last is full makes
 *                                                 one of the two oldest
 *
 * A victim is the first page of the oldest generation whose bit is clear. One whose bit is set goes to the
 * youngest, with its bit cleared, and so does a pinned one. A dirty one is written, where the host can do
 * that without taking it out, and gets one generation more; its turn comes again when it is clean. When the
 * oldest generation is empty the next is the oldest; at least two are kept apart, so that a new page has time
 * to be used.
 *
 * Departures. Linux puts pages that were read through descriptors into tiers by how often they were, and
 * holds back the tiers whose pages come back; the only references here are those through page tables, which
 * Linux has in its first tier, where nothing is held back. Linux walks page tables when generations run out
 * and skips what a Bloom filter says is idle; here that is what a tick does. Its generations are counted in
 * sizes by type and zone; here there is one type.
 *
 * Invariants: each resident page is in one of the chains, of which those above `youngest` are empty;
 * youngest >= 1.
 */
#include "chain.h"
#include "run.h"

enum { LOAD }; /* options */
enum { GENERATIONS = 4 };

#define ASKED ((uint8_t)0x10) /* in the state byte: to be written, as we asked */

struct mglru {
    struct policy base;
    struct policy_links links;
    struct policy_chain chains[GENERATIONS];
    unsigned youngest;
    uint8_t loaded; /* POLICY_REFERENCED, or 0 */
    uint64_t promoted, made;
};

static struct mglru *mglru_of(struct policy *policy)
{
    return (struct mglru *)policy;
}

static size_t mglru_bytes(const struct policy_config *config)
{
    return sizeof(struct mglru) + links_bytes(config);
}

static void mglru_init(struct policy *policy, const struct policy_config *config)
{
    struct mglru *mglru = mglru_of(policy);
    uint8_t *memory = (uint8_t *)(mglru + 1);

    links_init(&mglru->links, &memory, config);
    for (unsigned i = 0; i < GENERATIONS; i++)
        mglru->chains[i] = chain_empty();
    mglru->youngest = 1;
    mglru->loaded = config->options[LOAD] ? POLICY_REFERENCED : 0;
}

static void mglru_insert(struct policy *policy, uint32_t page)
{
    struct mglru *mglru = mglru_of(policy);

    chain_push(&mglru->links, &mglru->chains[mglru->youngest], page);
    policy->state[page] |= mglru->loaded;
}

/* A generation with no pages, younger than all. */
static void mglru_begin(struct mglru *mglru)
{
    mglru->made++;
    if (mglru->youngest + 1 < GENERATIONS) {
        mglru->youngest++;
        return;
    }
    chain_join(&mglru->links, &mglru->chains[0], &mglru->chains[1]);
    for (unsigned i = 1; i + 1 < GENERATIONS; i++)
        mglru->chains[i] = mglru->chains[i + 1];
    mglru->chains[GENERATIONS - 1] = chain_empty();
}

/* While the oldest generation is empty the next takes its place. Somebody is resident. */
static void mglru_end(struct mglru *mglru)
{
    while (chain_is_empty(&mglru->chains[0])) {
        for (unsigned i = 0; i + 1 < GENERATIONS; i++)
            mglru->chains[i] = mglru->chains[i + 1];
        mglru->chains[GENERATIONS - 1] = chain_empty();
        if (--mglru->youngest == 0)
            mglru_begin(mglru);
    }
}

/* The generation that a page which was found in the oldest belongs to; 0: it may go. */
static unsigned mglru_generation(struct policy *policy, uint32_t page)
{
    struct mglru *mglru = mglru_of(policy);

    if (policy_is_pinned(policy, page))
        return mglru->youngest;
    if (policy_take_reference(policy, page)) {
        policy->state[page] &= (uint8_t)~ASKED;
        mglru->promoted++;
        return mglru->youngest;
    }
    if (!policy_is_dirty(policy, page) || !policy->host->clean || (policy->state[page] & ASKED))
        return 0;
    policy->state[page] |= ASKED;
    policy_clean(policy, page);
    return 1;
}

static uint32_t mglru_victim(struct policy *policy, uint32_t incoming)
{
    struct mglru *mglru = mglru_of(policy);

    /* In a first round every bit may be set, in a second every page be dirty; in the third only pins count.
     */
    for (uint64_t left = 3 * (uint64_t)policy->resident; left > 0; left--) {
        uint32_t page;
        unsigned generation;

        mglru_end(mglru);
        page = chain_pop(&mglru->links, &mglru->chains[0]);
        generation = mglru_generation(policy, page);
        if (generation == 0 || (left <= policy->resident && !policy_is_pinned(policy, page))) {
            policy->state[page] &= (uint8_t)~ASKED;
            return page;
        }
        chain_push(&mglru->links, &mglru->chains[generation], page);
    }
    return POLICY_NO_PAGE;
}

static void mglru_remove(struct policy *policy, uint32_t page)
{
    struct mglru *mglru = mglru_of(policy);

    if (policy_is_resident(policy, page))
        chain_unlink(&mglru->links, mglru->chains, GENERATIONS, page);
}

static void mglru_tick(struct policy *policy)
{
    struct mglru *mglru = mglru_of(policy);

    mglru_begin(mglru);
    for (unsigned i = 0; i < mglru->youngest; i++) {
        struct policy_chain stay = chain_empty();

        while (!chain_is_empty(&mglru->chains[i])) {
            uint32_t page = chain_pop(&mglru->links, &mglru->chains[i]);
            bool referenced = policy_take_reference(policy, page);

            chain_push(&mglru->links, referenced ? &mglru->chains[mglru->youngest] : &stay, page);
        }
        mglru->chains[i] = stay;
    }
}

static size_t mglru_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    const struct mglru *mglru = (const struct mglru *)policy;

    if (most > 0)
        out[0] = (struct policy_counter){"promoted", mglru->promoted};
    if (most > 1)
        out[1] = (struct policy_counter){"generations_made", mglru->made};
    return most < 2 ? most : 2;
}

static const char *mglru_check(const struct policy *policy)
{
    const struct mglru *mglru = (const struct mglru *)policy;

    if (mglru->youngest < 1 || mglru->youngest >= GENERATIONS)
        return "the youngest generation is none";
    for (unsigned i = mglru->youngest + 1; i < GENERATIONS; i++)
        if (!chain_is_empty(&mglru->chains[i]))
            return "there are pages in a generation that has not begun";
    return chain_check(&mglru->links, mglru->chains, GENERATIONS, policy);
}

static void mglru_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, mglru_insert, mglru_victim);
}

const struct policy_type policy_mglru = {
    .name = "mglru",
    .title = "multi-generational LRU: referenced pages move to younger generations",
    .source = "Yu Zhao, Multi-Gen LRU, Linux 6.1, 2022",
    .needs = POLICY_BITS,
    .page_bytes = sizeof(uint32_t),
    .options = {{"load", 1, 0, 1, "clear set", "the reference bit of a page that has just come"}},
    .bytes = mglru_bytes,
    .init = mglru_init,
    .insert = mglru_insert,
    .victim = mglru_victim,
    .remove = mglru_remove,
    .tick = mglru_tick,
    .counters = mglru_counters,
    .check = mglru_check,
    .run = mglru_run,
};
