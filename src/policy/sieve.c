/*
 * SIEVE: a queue in the order of arrival and a hand that moves from the oldest page to the newest. A page
 * under the hand that was referenced stays where it is, its bit cleared; the first that was not goes. New
 * pages come in at the newest end, behind the hand's back, so that old pages that are in use are kept.
 *
 * Y. Zhang and others, "SIEVE is Simpler than LRU", NSDI 2024.
 *
 * It was made for web caches. On traces of program pages, whose phases change, old pages that were referenced
 * once keep new ones out, and it does badly.
 *
 * Invariants: the list holds the resident pages, the one that came last first; the hand is one of them or
 * the head, which stands for the oldest.
 */
#include "order.h"
#include "run.h"

struct sieve {
    struct policy base;
    struct order_link *links;
    uint32_t hand;
    uint64_t spared;
};

static struct sieve *sieve_of(struct policy *policy)
{
    return (struct sieve *)policy;
}

static size_t sieve_bytes(const struct policy_config *config)
{
    return sizeof(struct sieve) + order_bytes(config, 1);
}

static void sieve_init(struct policy *policy, const struct policy_config *config)
{
    struct sieve *sieve = sieve_of(policy);
    uint8_t *memory = (uint8_t *)(sieve + 1);

    sieve->links = order_carve(&memory, config, 1);
    sieve->hand = config->pages;
}

static void sieve_insert(struct policy *policy, uint32_t page)
{
    order_add(sieve_of(policy)->links, policy->pages, page);
}

static void sieve_take(struct sieve *sieve, uint32_t page)
{
    if (sieve->hand == page)
        sieve->hand = sieve->links[page].prev;
    order_remove(sieve->links, page);
}

static uint32_t sieve_victim(struct policy *policy, uint32_t incoming)
{
    struct sieve *sieve = sieve_of(policy);
    uint32_t head = policy->pages, page = sieve->hand;

    /* Two rounds: in the first, every bit may be set. Bits that come back meanwhile do not make it endless.
     */
    for (uint64_t left = 2 * (uint64_t)policy->resident; left > 0; left--) {
        if (page == head)
            page = order_oldest(sieve->links, head);
        if (!policy_is_pinned(policy, page)) {
            if (!policy_take_reference(policy, page) || left <= policy->resident) {
                sieve->hand = page;
                sieve_take(sieve, page);
                return page;
            }
            sieve->spared++;
        }
        page = sieve->links[page].prev;
    }
    return POLICY_NO_PAGE;
}

static void sieve_remove(struct policy *policy, uint32_t page)
{
    if (policy_is_resident(policy, page))
        sieve_take(sieve_of(policy), page);
}

static size_t sieve_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    if (most > 0)
        out[0] = (struct policy_counter){"spared", ((const struct sieve *)policy)->spared};
    return most > 0;
}

static const char *sieve_check(const struct policy *policy)
{
    const struct sieve *sieve = (const struct sieve *)policy;

    if (sieve->hand > policy->pages ||
        (sieve->hand != policy->pages && !policy_is_resident(policy, sieve->hand)))
        return "the hand is not on a resident page";
    return order_holds(policy, sieve->links, policy->pages, POLICY_RESIDENT, POLICY_RESIDENT,
                       policy->resident)
               ? NULL
               : "the list is not that of the resident pages";
}

__attribute__((flatten)) static void sieve_run(struct policy *policy, const struct policy_block *block,
                                               struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, sieve_insert, sieve_victim);
}

const struct policy_type policy_sieve = {
    .name = "sieve",
    .title = "arrival order and a hand; referenced pages stay in place",
    .source = "Zhang and others, SIEVE is Simpler than LRU, NSDI 2024",
    .needs = POLICY_BITS,
    .page_bytes = sizeof(struct order_link),
    .bytes = sieve_bytes,
    .init = sieve_init,
    .insert = sieve_insert,
    .victim = sieve_victim,
    .remove = sieve_remove,
    .counters = sieve_counters,
    .check = sieve_check,
    .run = sieve_run,
};
