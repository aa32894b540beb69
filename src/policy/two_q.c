/*
 * 2Q: a page comes into a queue (IN) and leaves it in the order of arrival, whatever its references. Only
 * when it comes back while it is remembered (OUT) does it go to the main list (MAIN), which is LRU.
 *
 *      new ->  IN   ->  OUT (ghosts)  -> forgotten      IN: a quarter of memory, more while MAIN is small
 *                        |                              OUT: half as many ghosts as frames
 *              MAIN  <---'  when it comes back
 *
 * T. Johnson and D. Shasha, "2Q: A Low Overhead High Performance Buffer Management Replacement Algorithm",
 * VLDB 1994, the full version.
 *
 * Departure: a page that comes back leaves OUT before a ghost is made of the victim, so it makes room there;
 * the paper does not say when it leaves. With nothing that may go where the paper looks, the other list
 * gives.
 *
 * Invariants: IN and MAIN hold the resident pages, which TWO_Q_MAIN tells apart; OUT holds those with
 * TWO_Q_GHOST. A page that is neither but has TWO_Q_MAIN is about to come back.
 */
#include "order.h"
#include "run.h"

enum { IN_PERCENT, OUT_PERCENT }; /* options */
enum { IN, OUT, MAIN, HEADS };    /* lists; their heads are past the pages */
enum { TWO_Q_MAIN = 0x10, TWO_Q_GHOST = 0x20, TWO_Q_LIST = POLICY_RESIDENT | TWO_Q_MAIN | TWO_Q_GHOST };

struct two_q {
    struct policy base;
    struct order_link *links;
    uint32_t count[HEADS];
    uint32_t in_limit, out_limit;
    uint64_t in_percent, out_percent;
    uint64_t returned;
};

static struct two_q *two_q_of(struct policy *policy)
{
    return (struct two_q *)policy;
}

static size_t two_q_bytes(const struct policy_config *config)
{
    return sizeof(struct two_q) + order_bytes(config, HEADS);
}

static void put(struct policy *policy, unsigned list, uint32_t page)
{
    order_add(two_q_of(policy)->links, policy->pages + list, page);
    two_q_of(policy)->count[list]++;
}

static void take(struct policy *policy, unsigned list, uint32_t page)
{
    order_remove(two_q_of(policy)->links, page);
    two_q_of(policy)->count[list]--;
}

static void forget_ghosts(struct policy *policy)
{
    struct two_q *two_q = two_q_of(policy);

    while (two_q->count[OUT] > two_q->out_limit) {
        uint32_t page = order_oldest(two_q->links, policy->pages + OUT);

        take(policy, OUT, page);
        policy->state[page] &= (uint8_t)~TWO_Q_GHOST;
        policy_forget(policy, page);
    }
}

static void two_q_resize(struct policy *policy)
{
    struct two_q *two_q = two_q_of(policy);

    two_q->in_limit = (uint32_t)(policy->frames * two_q->in_percent / 100);
    two_q->out_limit = (uint32_t)(policy->frames * two_q->out_percent / 100);
    forget_ghosts(policy);
}

static void two_q_init(struct policy *policy, const struct policy_config *config)
{
    struct two_q *two_q = two_q_of(policy);
    uint8_t *memory = (uint8_t *)(two_q + 1);

    two_q->links = order_carve(&memory, config, HEADS);
    two_q->in_percent = config->options[IN_PERCENT];
    two_q->out_percent = config->options[OUT_PERCENT];
    two_q_resize(policy);
}

static void two_q_touch(struct policy *policy, uint32_t page)
{
    if (policy->state[page] & TWO_Q_MAIN)
        order_move(two_q_of(policy)->links, policy->pages + MAIN, page);
}

/* A ghost is wanted: it will go to the main list. */
static void bring_back(struct policy *policy, uint32_t page)
{
    if (!(policy->state[page] & TWO_Q_GHOST))
        return;
    take(policy, OUT, page);
    policy->state[page] ^= TWO_Q_GHOST | TWO_Q_MAIN;
    two_q_of(policy)->returned++;
}

static void two_q_insert(struct policy *policy, uint32_t page)
{
    bring_back(policy, page);
    put(policy, policy->state[page] & TWO_Q_MAIN ? MAIN : IN, page);
}

static void leave_in(struct policy *policy, uint32_t page)
{
    take(policy, IN, page);
    policy->state[page] |= TWO_Q_GHOST;
    put(policy, OUT, page);
    forget_ghosts(policy);
}

static void leave_main(struct policy *policy, uint32_t page)
{
    take(policy, MAIN, page);
    policy->state[page] &= (uint8_t)~TWO_Q_MAIN;
    policy_forget(policy, page);
}

static uint32_t two_q_victim(struct policy *policy, uint32_t incoming)
{
    struct two_q *two_q = two_q_of(policy);
    unsigned list = two_q->count[IN] > two_q->in_limit ? IN : MAIN;
    uint32_t page;

    if (!order_either_free(policy, two_q->links, policy->pages + IN, policy->pages + MAIN))
        return POLICY_NO_PAGE;
    if (incoming != POLICY_NO_PAGE)
        bring_back(policy, incoming);
    page = order_oldest_free(policy, two_q->links, policy->pages + list);
    if (page == POLICY_NO_PAGE) {
        list = IN + MAIN - list;
        page = order_oldest_free(policy, two_q->links, policy->pages + list);
    }
    if (page != POLICY_NO_PAGE)
        (list == IN ? leave_in : leave_main)(policy, page);
    return page;
}

static void two_q_remove(struct policy *policy, uint32_t page)
{
    uint8_t state = policy->state[page];

    if (state & TWO_Q_GHOST)
        take(policy, OUT, page);
    else if (state & POLICY_RESIDENT)
        take(policy, state & TWO_Q_MAIN ? MAIN : IN, page);
}

static size_t two_q_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    const struct two_q *two_q = (const struct two_q *)policy;
    const struct policy_counter all[] = {
        {"returned", two_q->returned}, {"main", two_q->count[MAIN]}, {"ghosts", two_q->count[OUT]}};

    return policy_copy_counters(all, sizeof(all) / sizeof(all[0]), out, most);
}

static const char *two_q_check(const struct policy *policy)
{
    static const uint8_t state[HEADS] = {POLICY_RESIDENT, TWO_Q_GHOST, POLICY_RESIDENT | TWO_Q_MAIN};
    const struct two_q *two_q = (const struct two_q *)policy;

    for (unsigned list = 0; list < HEADS; list++)
        if (!order_holds(policy, two_q->links, policy->pages + list, TWO_Q_LIST, state[list],
                         two_q->count[list]))
            return "a list does not hold the pages that are marked as its own";
    return two_q->count[OUT] > two_q->out_limit ? "more ghosts than are allowed" : NULL;
}

__attribute__((flatten)) static void two_q_run(struct policy *policy, const struct policy_block *block,
                                               struct policy_tally *tally)
{
    policy_run(policy, block, tally, two_q_touch, two_q_insert, two_q_victim);
}

const struct policy_type policy_two_q = {
    .name = "2q",
    .title = "a page that comes back soon after its first stay is kept by LRU",
    .source = "Johnson and Shasha, 2Q: A Low Overhead High Performance Buffer Management, VLDB 1994",
    .needs = POLICY_EVERY_REFERENCE,
    .ghosts = 1,
    .page_bytes = sizeof(struct order_link),
    .options = {{"in", 25, 0, 100, NULL, "percent of memory for pages that have come once (Kin)"},
                {"out", 50, 0, 100, NULL, "ghosts in percent of memory (Kout)"}},
    .bytes = two_q_bytes,
    .init = two_q_init,
    .insert = two_q_insert,
    .touch = two_q_touch,
    .victim = two_q_victim,
    .remove = two_q_remove,
    .resize = two_q_resize,
    .counters = two_q_counters,
    .check = two_q_check,
    .run = two_q_run,
};
