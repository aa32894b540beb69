/*
 * CLOCK-Pro: LIRS with reference bits. One clock holds hot pages, cold pages and, while their test period
 * lasts, cold pages that have gone. A cold page that is referenced in its test period becomes hot.
 *
 *      from the oldest on   | H | c | C | H | c | H | C |       H: hot, C: cold, c: a cold page that has gone
 *                             ^hot    ^cold
 *
 * The cold hand looks for a victim: a cold page that was not referenced goes (its test period runs on); one
 * that was becomes hot in its test period, begins a new one otherwise. The hot hand makes the oldest hot page
 * that was not referenced cold, and ends the test periods of the cold pages that it passes. The test hand
 * does that when more pages that have gone are remembered than there are frames. The share of cold pages
 * grows by one with each page that was referenced in its test period, and shrinks with each that was not.
 *
 * S. Jiang, F. Chen and X. Zhang, "CLOCK-Pro: An Effective Improvement of the CLOCK Replacement", USENIX
 * 2005.
 *
 * Departure: where the paper leaves it open, the share of cold pages begins with the whole memory and is at
 * least one frame; a cold page that is referenced outside of a test period begins one at the newest end; the
 * test hand makes room for the ghost of a victim before there is one too many. After two bits were looked at
 * for each page of the clock, bits count no more for this victim; when no cold page may go, a hot one does.
 *
 * Invariants: the clock holds the resident pages and those in a test period; the hands are pages of it (the
 * head when it is empty). Hot pages are in no test period. A page that is hot and not resident is about to
 * come back.
 */
#include "order.h"
#include "run.h"

enum { PRO_HOT = 0x10, PRO_TEST = 0x20 };

/* A page that comes is put behind the hot hand: it is the newest, and the page under the hand the oldest. */
struct clock_pro {
    struct policy base;
    struct order_link *links; /* the hands move along `prev` */
    uint32_t hot_hand, cold_hand, test_hand;
    uint32_t listed, hot, gone; /* pages in the clock, hot ones, those that have gone */
    uint32_t cold_share;        /* 1 … frames */
    uint64_t looks;             /* at bits, that are left for this call */
    uint64_t promoted, returned;
};

static struct clock_pro *pro_of(struct policy *policy)
{
    return (struct clock_pro *)policy;
}

static size_t pro_bytes(const struct policy_config *config)
{
    return sizeof(struct clock_pro) + order_bytes(config, 1);
}

static void pro_init(struct policy *policy, const struct policy_config *config)
{
    struct clock_pro *pro = pro_of(policy);
    uint8_t *memory = (uint8_t *)(pro + 1);

    pro->links = order_carve(&memory, config, 1);
    pro->hot_hand = pro->cold_hand = pro->test_hand = config->pages;
    pro->cold_share = policy->frames;
}

static uint32_t pro_next(const struct clock_pro *pro, uint32_t page)
{
    uint32_t next = pro->links[page].prev;

    return next == pro->base.pages ? pro->links[next].prev : next;
}

static void pro_put(struct clock_pro *pro, uint32_t page)
{
    order_add(pro->links, pro->hot_hand, page);
    if (pro->listed++ == 0)
        pro->hot_hand = pro->cold_hand = pro->test_hand = page;
}

static void pro_take(struct clock_pro *pro, uint32_t page)
{
    uint32_t next = --pro->listed > 0 ? pro_next(pro, page) : pro->base.pages;

    pro->hot_hand = pro->hot_hand == page ? next : pro->hot_hand;
    pro->cold_hand = pro->cold_hand == page ? next : pro->cold_hand;
    pro->test_hand = pro->test_hand == page ? next : pro->test_hand;
    order_remove(pro->links, page);
}

static void pro_begin(struct clock_pro *pro)
{
    pro->looks = 2 * (uint64_t)pro->listed;
}

/* Was the page referenced? Clears its bit. */
static bool pro_look(struct policy *policy, uint32_t page)
{
    struct clock_pro *pro = pro_of(policy);

    if (pro->looks == 0)
        return false;
    pro->looks--;
    return policy_take_reference(policy, page);
}

/* The page under a hand is cold: if it is in its test period, that ends. Moves the hand on. */
static void end_test(struct policy *policy, uint32_t *hand)
{
    struct clock_pro *pro = pro_of(policy);
    uint32_t page = *hand;

    *hand = pro_next(pro, page);
    if (!(policy->state[page] & PRO_TEST))
        return;
    policy->state[page] &= (uint8_t)~PRO_TEST;
    pro->cold_share -= pro->cold_share > 1;
    if (policy_is_resident(policy, page))
        return;
    pro_take(pro, page);
    pro->gone--;
    policy_forget(policy, page);
}

/* Hot pages become cold until their share is kept; the hand stops at a hot page. */
static void run_hot_hand(struct policy *policy)
{
    struct clock_pro *pro = pro_of(policy);

    while (pro->hot > policy->frames - pro->cold_share) {
        uint32_t page = pro->hot_hand;

        if (!(policy->state[page] & PRO_HOT)) {
            end_test(policy, &pro->hot_hand);
            continue;
        }
        if (!pro_look(policy, page)) {
            policy->state[page] &= (uint8_t)~PRO_HOT;
            pro->hot--;
        }
        pro->hot_hand = pro_next(pro, page);
    }
    while (pro->hot > 0 && !(policy->state[pro->hot_hand] & PRO_HOT))
        end_test(policy, &pro->hot_hand);
}

/* A cold page was referenced in its test period and is hot now. */
static void pro_promoted(struct policy *policy)
{
    struct clock_pro *pro = pro_of(policy);

    pro->hot++;
    pro->cold_share += pro->cold_share < policy->frames;
    run_hot_hand(policy);
}

static void run_test_hand(struct policy *policy, uint32_t most)
{
    struct clock_pro *pro = pro_of(policy);

    while (pro->gone > most)
        end_test(policy, &pro->test_hand);
}

/* A page that has gone is wanted in its test period: it will be hot. */
static void bring_back(struct policy *policy, uint32_t page)
{
    struct clock_pro *pro = pro_of(policy);

    if (!(policy->state[page] & PRO_TEST))
        return;
    pro_take(pro, page);
    pro->gone--;
    policy->state[page] ^= PRO_TEST | PRO_HOT;
    pro->returned++;
}

static void pro_insert(struct policy *policy, uint32_t page)
{
    struct clock_pro *pro = pro_of(policy);

    pro_begin(pro);
    bring_back(policy, page);
    pro_put(pro, page);
    if (policy->state[page] & PRO_HOT)
        pro_promoted(policy);
    else
        policy->state[page] |= PRO_TEST;
}

/* A cold page was referenced. */
static void pro_spare(struct policy *policy, uint32_t page)
{
    struct clock_pro *pro = pro_of(policy);
    bool promote = (policy->state[page] & PRO_TEST) != 0;

    pro_take(pro, page);
    pro_put(pro, page);
    policy->state[page] ^= promote ? PRO_TEST | PRO_HOT : PRO_TEST;
    if (!promote)
        return;
    pro->promoted++;
    pro_promoted(policy);
}

/* The next cold page that was not referenced; the cold hand has moved past it. */
static uint32_t run_cold_hand(struct policy *policy)
{
    struct clock_pro *pro = pro_of(policy);

    for (uint64_t left = 4 * (uint64_t)pro->listed; left > 0; left--) {
        uint32_t page = pro->cold_hand;

        pro->cold_hand = pro_next(pro, page);
        if (!policy_is_resident(policy, page) || (policy->state[page] & PRO_HOT) ||
            policy_is_pinned(policy, page))
            continue;
        if (!pro_look(policy, page))
            return page;
        pro_spare(policy, page);
    }
    return POLICY_NO_PAGE;
}

/* The first page from the hot hand on that may go. */
static uint32_t any_page(struct policy *policy)
{
    struct clock_pro *pro = pro_of(policy);
    uint32_t page = pro->hot_hand;

    for (uint32_t left = pro->listed; left > 0; left--, page = pro_next(pro, page))
        if (policy_is_resident(policy, page) && !policy_is_pinned(policy, page))
            return page;
    return POLICY_NO_PAGE;
}

/* The page goes. In its test period it stays in the clock. */
static void pro_leave(struct policy *policy, uint32_t page)
{
    struct clock_pro *pro = pro_of(policy);

    if (policy->state[page] & PRO_TEST)
        run_test_hand(policy, policy->frames - 1);
    if (policy->state[page] & PRO_TEST) {
        pro->gone++;
        return;
    }
    pro->hot -= (policy->state[page] & PRO_HOT) != 0;
    policy->state[page] &= (uint8_t)~PRO_HOT;
    pro_take(pro, page);
    policy_forget(policy, page);
}

static uint32_t pro_victim(struct policy *policy, uint32_t incoming)
{
    uint32_t page;

    if (any_page(policy) == POLICY_NO_PAGE)
        return POLICY_NO_PAGE;
    pro_begin(pro_of(policy));
    if (incoming != POLICY_NO_PAGE)
        bring_back(policy, incoming);
    page = pro_of(policy)->hot < policy->resident ? run_cold_hand(policy) : POLICY_NO_PAGE;
    if (page == POLICY_NO_PAGE)
        page = any_page(policy);
    if (page != POLICY_NO_PAGE)
        pro_leave(policy, page);
    return page;
}

static void pro_remove(struct policy *policy, uint32_t page)
{
    struct clock_pro *pro = pro_of(policy);
    uint8_t state = policy->state[page];

    if (!(state & (POLICY_RESIDENT | PRO_TEST)))
        return;
    pro_take(pro, page);
    pro->hot -= (state & PRO_HOT) != 0;
    pro->gone -= !(state & POLICY_RESIDENT);
}

static void pro_resize(struct policy *policy)
{
    struct clock_pro *pro = pro_of(policy);

    pro_begin(pro);
    if (pro->cold_share > policy->frames)
        pro->cold_share = policy->frames;
    run_hot_hand(policy);
    run_test_hand(policy, policy->frames);
}

static size_t pro_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    const struct clock_pro *pro = (const struct clock_pro *)policy;
    const struct policy_counter all[] = {{"hot", pro->hot},
                                         {"cold-share", pro->cold_share},
                                         {"promoted", pro->promoted},
                                         {"returned", pro->returned},
                                         {"ghosts", pro->gone}};

    return policy_copy_counters(all, sizeof(all) / sizeof(all[0]), out, most);
}

static const char *pro_check(const struct policy *policy)
{
    const struct clock_pro *pro = (const struct clock_pro *)policy;
    uint32_t listed = 0, hot = 0, gone = 0;

    for (uint32_t page = order_oldest(pro->links, policy->pages); page != policy->pages;
         page = pro->links[page].prev) {
        uint8_t state = policy->state[page];

        if (!(state & (POLICY_RESIDENT | PRO_TEST)) || pro->links[pro->links[page].prev].next != page)
            return "a page of the clock is not resident nor in its test period, or its links are broken";
        if ((state & PRO_HOT) && (state & (POLICY_RESIDENT | PRO_TEST)) != POLICY_RESIDENT)
            return "a hot page is in a test period, or not resident";
        hot += (state & PRO_HOT) != 0;
        gone += !(state & POLICY_RESIDENT);
        if (++listed > pro->listed)
            return "the clock holds more pages than it counts";
    }
    if (listed != pro->listed || hot != pro->hot || gone != pro->gone || listed != policy->resident + gone)
        return "the counts of the clock's pages are wrong";
    if (hot > policy->frames - pro->cold_share || pro->cold_share == 0 || gone > policy->frames)
        return "a share is not kept";
    return NULL;
}

static void pro_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, pro_insert, pro_victim);
}

const struct policy_type policy_clock_pro = {
    .name = "clock-pro",
    .title = "hot and cold pages in one clock, told apart by their time between references",
    .source = "Jiang, Chen and Zhang, CLOCK-Pro: An Effective Improvement of CLOCK, USENIX 2005",
    .needs = POLICY_BITS,
    .ghosts = 1,
    .page_bytes = sizeof(struct order_link),
    .bytes = pro_bytes,
    .init = pro_init,
    .insert = pro_insert,
    .victim = pro_victim,
    .remove = pro_remove,
    .resize = pro_resize,
    .counters = pro_counters,
    .check = pro_check,
    .run = pro_run,
};
