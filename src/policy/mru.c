/*
 * MRU: the page that was referenced last goes. Best for a loop that is larger than memory.
 *
 * H.-T. Chou and D. J. DeWitt, "An Evaluation of Buffer Management Strategies for Relational Database
 * Systems", 1985.
 *
 * Invariants: the list holds the resident pages in the order of their last references.
 */
#include "order.h"
#include "run.h"

struct mru {
    struct policy base;
    struct order_link *links;
};

static struct mru *mru_of(struct policy *policy)
{
    return (struct mru *)policy;
}

static size_t mru_bytes(const struct policy_config *config)
{
    return sizeof(struct mru) + order_bytes(config, 1);
}

static void mru_init(struct policy *policy, const struct policy_config *config)
{
    uint8_t *memory = (uint8_t *)(mru_of(policy) + 1);

    mru_of(policy)->links = order_carve(&memory, config, 1);
}

static void mru_insert(struct policy *policy, uint32_t page)
{
    order_add(mru_of(policy)->links, policy->pages, page);
}

static void mru_touch(struct policy *policy, uint32_t page)
{
    order_move(mru_of(policy)->links, policy->pages, page);
}

static uint32_t mru_victim(struct policy *policy, uint32_t incoming)
{
    struct order_link *links = mru_of(policy)->links;

    for (uint32_t page = order_newest(links, policy->pages); page != policy->pages; page = links[page].next)
        if (!policy_is_pinned(policy, page)) {
            order_remove(links, page);
            return page;
        }
    return POLICY_NO_PAGE;
}

static void mru_remove(struct policy *policy, uint32_t page)
{
    if (policy_is_resident(policy, page))
        order_remove(mru_of(policy)->links, page);
}

static const char *mru_check(const struct policy *policy)
{
    return order_holds(policy, ((const struct mru *)policy)->links, policy->pages, POLICY_RESIDENT,
                       POLICY_RESIDENT, policy->resident)
               ? NULL
               : "the list is not that of the resident pages";
}

static void mru_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, mru_touch, mru_insert, mru_victim);
}

const struct policy_type policy_mru = {
    .name = "mru",
    .title = "the page that was referenced last goes",
    .source = "Chou and DeWitt, An Evaluation of Buffer Management Strategies, 1985",
    .needs = POLICY_EVERY_REFERENCE,
    .page_bytes = sizeof(struct order_link),
    .bytes = mru_bytes,
    .init = mru_init,
    .insert = mru_insert,
    .touch = mru_touch,
    .victim = mru_victim,
    .remove = mru_remove,
    .check = mru_check,
    .run = mru_run,
};
