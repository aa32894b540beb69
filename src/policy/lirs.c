/*
 * LIRS: pages with a short time between their last two references (LIR) stay; the others (HIR) get a
 * hundredth of memory. Stack S holds pages by recency down to the oldest LIR page, also HIR pages that have
 * gone. A HIR page that is referenced while it is in S has the shorter time and becomes LIR; the oldest LIR
 * page becomes HIR for it. Queue Q holds the HIR pages that are in memory; its oldest goes.
 *
 *      S:  newest | L | h | L | H | h | L | oldest      always LIR: HIR pages below it are pruned
 *      Q:         | H | H |                             H: a HIR page in memory, h: one that has gone
 *
 * S. Jiang and X. Zhang, "LIRS: An Efficient Low Inter-reference Recency Set Replacement Policy to Improve
 * Buffer Cache Performance", SIGMETRICS 2002, and the authors' own program of the same year: the HIR pages
 * have 1 % of memory but at least 2 frames, repeated references to one page count once, S is not limited.
 *
 * Departure: in a memory of 1 or 2 frames the HIR pages have one. With nothing in Q that may go, the oldest
 * LIR page gives.
 *
 * Invariants: S holds the pages with LIRS_IN_S, Q the resident ones without LIRS_LIR; LIR pages are resident
 * and in S; the oldest page of S is LIR. There are at most lir_limit LIR pages.
 */
#include "order.h"
#include "run.h"

enum { HIR_PERCENT }; /* options */
enum { LIRS_LIR = 0x10, LIRS_IN_S = 0x20, HIR_LEAST = 2 };

struct lirs {
    struct policy base;
    struct order_link *s, *q; /* each with one head past the pages */
    uint32_t in_s, in_q, lir, lir_limit;
    uint64_t hir_percent;
    uint64_t promoted, returned;
};

static struct lirs *lirs_of(struct policy *policy)
{
    return (struct lirs *)policy;
}

static size_t lirs_bytes(const struct policy_config *config)
{
    return sizeof(struct lirs) + 2 * order_bytes(config, 1);
}

static void put_in_s(struct policy *policy, uint32_t page)
{
    order_add(lirs_of(policy)->s, policy->pages, page);
    policy->state[page] |= LIRS_IN_S;
    lirs_of(policy)->in_s++;
}

static void take_from_s(struct policy *policy, uint32_t page)
{
    order_remove(lirs_of(policy)->s, page);
    policy->state[page] &= (uint8_t)~LIRS_IN_S;
    lirs_of(policy)->in_s--;
}

static void put_in_q(struct policy *policy, uint32_t page)
{
    order_add(lirs_of(policy)->q, policy->pages, page);
    lirs_of(policy)->in_q++;
}

static void take_from_q(struct policy *policy, uint32_t page)
{
    order_remove(lirs_of(policy)->q, page);
    lirs_of(policy)->in_q--;
}

/* HIR pages leave the bottom of S, so that a LIR page is there. */
static void lirs_prune(struct policy *policy)
{
    struct lirs *lirs = lirs_of(policy);
    uint32_t page;

    while ((page = order_oldest(lirs->s, policy->pages)) != policy->pages &&
           !(policy->state[page] & LIRS_LIR)) {
        take_from_s(policy, page);
        if (!policy_is_resident(policy, page))
            policy_forget(policy, page);
    }
}

/* The oldest LIR pages become HIR. */
static void lirs_demote(struct policy *policy)
{
    struct lirs *lirs = lirs_of(policy);

    while (lirs->lir > lirs->lir_limit) {
        uint32_t page = order_oldest(lirs->s, policy->pages);

        take_from_s(policy, page);
        policy->state[page] &= (uint8_t)~LIRS_LIR;
        lirs->lir--;
        put_in_q(policy, page);
        lirs_prune(policy);
    }
}

static void lirs_resize(struct policy *policy)
{
    struct lirs *lirs = lirs_of(policy);
    uint64_t hir = policy->frames * lirs->hir_percent / 100;

    if (hir < HIR_LEAST)
        hir = policy->frames > HIR_LEAST ? HIR_LEAST : 1;
    lirs->lir_limit = policy->frames - (uint32_t)hir;
    lirs_demote(policy);
}

static void lirs_init(struct policy *policy, const struct policy_config *config)
{
    struct lirs *lirs = lirs_of(policy);
    uint8_t *memory = (uint8_t *)(lirs + 1);

    lirs->s = order_carve(&memory, config, 1);
    lirs->q = order_carve(&memory, config, 1);
    lirs->hir_percent = config->options[HIR_PERCENT];
    lirs_resize(policy);
}

/* A HIR page of S (it is in no queue now) becomes LIR. */
static void lirs_promote(struct policy *policy, uint32_t page)
{
    struct lirs *lirs = lirs_of(policy);

    order_move(lirs->s, policy->pages, page);
    policy->state[page] |= LIRS_LIR;
    lirs->lir++;
    lirs_demote(policy);
    lirs_prune(policy);
}

/* A HIR page that is in memory. */
static void touch_hir(struct policy *policy, uint32_t page)
{
    struct lirs *lirs = lirs_of(policy);

    if (policy->state[page] & LIRS_IN_S) {
        take_from_q(policy, page);
        lirs->promoted++;
        lirs_promote(policy, page);
        return;
    }
    order_move(lirs->q, policy->pages, page);
    if (lirs->lir > 0)
        put_in_s(policy, page);
}

static void lirs_touch(struct policy *policy, uint32_t page)
{
    struct lirs *lirs = lirs_of(policy);

    if (page == order_newest(lirs->s, policy->pages))
        return;
    if (policy->state[page] & LIRS_LIR) {
        bool was_oldest = page == order_oldest(lirs->s, policy->pages);

        order_move(lirs->s, policy->pages, page);
        if (was_oldest)
            lirs_prune(policy);
        return;
    }
    touch_hir(policy, page);
}

static void lirs_insert(struct policy *policy, uint32_t page)
{
    struct lirs *lirs = lirs_of(policy);

    if (policy->state[page] & LIRS_IN_S) {
        lirs->returned++;
        lirs_promote(policy, page);
        return;
    }
    if (lirs->lir < lirs->lir_limit) {
        policy->state[page] |= LIRS_LIR;
        lirs->lir++;
    } else {
        put_in_q(policy, page);
    }
    if (lirs->lir > 0)
        put_in_s(policy, page);
}

static uint32_t take_lir(struct policy *policy)
{
    struct lirs *lirs = lirs_of(policy);

    for (uint32_t page = order_oldest(lirs->s, policy->pages); page != policy->pages;
         page = lirs->s[page].prev)
        if ((policy->state[page] & LIRS_LIR) && !policy_is_pinned(policy, page)) {
            take_from_s(policy, page);
            policy->state[page] &= (uint8_t)~LIRS_LIR;
            lirs->lir--;
            lirs_prune(policy);
            policy_forget(policy, page);
            return page;
        }
    return POLICY_NO_PAGE;
}

static uint32_t lirs_victim(struct policy *policy, uint32_t incoming)
{
    uint32_t page = order_oldest_free(policy, lirs_of(policy)->q, policy->pages);

    if (page == POLICY_NO_PAGE)
        return take_lir(policy);
    take_from_q(policy, page);
    if (!(policy->state[page] & LIRS_IN_S))
        policy_forget(policy, page);
    return page;
}

static void lirs_remove(struct policy *policy, uint32_t page)
{
    uint8_t state = policy->state[page];

    if ((state & POLICY_RESIDENT) && !(state & LIRS_LIR))
        take_from_q(policy, page);
    if (state & LIRS_IN_S)
        take_from_s(policy, page);
    lirs_of(policy)->lir -= (state & LIRS_LIR) != 0;
    lirs_prune(policy);
}

static size_t lirs_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    const struct lirs *lirs = (const struct lirs *)policy;
    const struct policy_counter all[] = {{"promoted", lirs->promoted},
                                         {"returned", lirs->returned},
                                         {"stack", lirs->in_s},
                                         {"ghosts", lirs->in_s - lirs->lir}};

    return policy_copy_counters(all, sizeof(all) / sizeof(all[0]), out, most);
}

static const char *lirs_check(const struct policy *policy)
{
    const struct lirs *lirs = (const struct lirs *)policy;
    uint32_t oldest = order_oldest(lirs->s, policy->pages);

    if (!order_holds(policy, lirs->s, policy->pages, LIRS_IN_S, LIRS_IN_S, lirs->in_s))
        return "the stack does not hold the pages that are marked as in it";
    if (!order_holds(policy, lirs->q, policy->pages, POLICY_RESIDENT | LIRS_LIR, POLICY_RESIDENT, lirs->in_q))
        return "the queue does not hold the HIR pages that are resident";
    if (policy->resident != lirs->in_q + lirs->lir || lirs->lir > lirs->lir_limit)
        return "the count of LIR pages is wrong, or above its limit";
    if (oldest != policy->pages && !(policy->state[oldest] & LIRS_LIR))
        return "the oldest page of the stack is not LIR";
    return NULL;
}

__attribute__((flatten)) static void lirs_run(struct policy *policy, const struct policy_block *block,
                                              struct policy_tally *tally)
{
    policy_run(policy, block, tally, lirs_touch, lirs_insert, lirs_victim);
}

const struct policy_type policy_lirs = {
    .name = "lirs",
    .title = "pages with a short time between their last two references stay",
    .source = "Jiang and Zhang, LIRS: An Efficient Low Inter-reference Recency Set Policy, SIGMETRICS 2002",
    .needs = POLICY_EVERY_REFERENCE,
    .ghosts = POLICY_ALL_GHOSTS,
    .page_bytes = 2 * sizeof(struct order_link),
    .options = {{"hir", 1, 1, 99, NULL, "percent of memory for pages with a long time between references"}},
    .bytes = lirs_bytes,
    .init = lirs_init,
    .insert = lirs_insert,
    .touch = lirs_touch,
    .victim = lirs_victim,
    .remove = lirs_remove,
    .resize = lirs_resize,
    .counters = lirs_counters,
    .check = lirs_check,
    .run = lirs_run,
};
