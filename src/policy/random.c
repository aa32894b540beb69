/*
 * Random: any page, each with the same chance. What every other policy must be better than to be worth its
 * trouble.
 *
 * L. A. Belady, "A Study of Replacement Algorithms for a Virtual-Storage Computer", IBM Systems Journal 5(2),
 * 1966 (RAND). The numbers: policy_random_below().
 *
 * Departure: if the page that was drawn is pinned, the next one in the table goes.
 *
 * Invariants: the first `resident` entries of the table are the resident pages, in no order; place[page]
 * (kept only if pages are removed) says where each is.
 */
#include "policy_internal.h"
#include "run.h"

struct random_policy {
    struct policy base;
    uint32_t *table;
    uint32_t *place; /* by page, or NULL */
    uint64_t random;
};

static struct random_policy *random_of(struct policy *policy)
{
    return (struct random_policy *)policy;
}

static size_t random_bytes(const struct policy_config *config)
{
    size_t words = (size_t)config->most_frames + (config->removes ? config->pages : 0);

    return sizeof(struct random_policy) + words * sizeof(uint32_t) + 2 * sizeof(uint64_t);
}

static void random_init(struct policy *policy, const struct policy_config *config)
{
    struct random_policy *random = random_of(policy);
    uint8_t *memory = (uint8_t *)(random + 1);

    random->table = policy_carve(&memory, config->most_frames * sizeof(uint32_t));
    random->place = config->removes ? policy_carve(&memory, config->pages * sizeof(uint32_t)) : NULL;
    random->random = config->seed;
}

static void random_put(struct random_policy *random, uint32_t place, uint32_t page)
{
    random->table[place] = page;
    if (random->place)
        random->place[page] = place;
}

static void random_insert(struct policy *policy, uint32_t page)
{
    random_put(random_of(policy), policy->resident, page);
}

/* The last page of the table moves to the place. */
static void random_take(struct policy *policy, uint32_t place)
{
    struct random_policy *random = random_of(policy);

    random_put(random, place, random->table[policy->resident - 1]);
}

static uint32_t random_victim(struct policy *policy, uint32_t incoming)
{
    struct random_policy *random = random_of(policy);
    uint32_t place = policy_random_below(&random->random, policy->resident);

    for (uint32_t left = policy->resident; left > 0; left--) {
        uint32_t page = random->table[place];

        if (!policy_is_pinned(policy, page)) {
            random_take(policy, place);
            return page;
        }
        place = place + 1 == policy->resident ? 0 : place + 1;
    }
    return POLICY_NO_PAGE;
}

static void random_remove(struct policy *policy, uint32_t page)
{
    if (policy_is_resident(policy, page))
        random_take(policy, random_of(policy)->place[page]);
}

static const char *random_check(const struct policy *policy)
{
    const struct random_policy *random = (const struct random_policy *)policy;

    for (uint32_t place = 0; place < policy->resident; place++) {
        uint32_t page = random->table[place];

        if (page >= policy->pages || !policy_is_resident(policy, page))
            return "the table holds a page that is not resident";
        if (random->place && random->place[page] != place)
            return "a page does not know its place";
    }
    return NULL;
}

static void random_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, random_insert, random_victim);
}

const struct policy_type policy_random = {
    .name = "random",
    .title = "any page, each with the same chance",
    .source = "Belady, A Study of Replacement Algorithms for a Virtual-Storage Computer, 1966",
    .needs = POLICY_BITS,
    .blind = true,
    .frame_bytes = sizeof(uint32_t),
    .bytes = random_bytes,
    .init = random_init,
    .insert = random_insert,
    .victim = random_victim,
    .remove = random_remove,
    .check = random_check,
    .run = random_run,
};
