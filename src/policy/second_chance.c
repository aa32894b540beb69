/*
 * Second chance: FIFO, but a page at the head of the queue that was referenced goes to its end, with its bit
 * cleared, instead of leaving.
 *
 * A. S. Tanenbaum, Modern Operating Systems, "The Second-Chance Page Replacement Algorithm"; A. Silberschatz
 * and others, Operating System Concepts, "Second-Chance Algorithm".
 *
 * Departure: a pinned page whose turn it is goes to the end of the queue as well, its bit as it was.
 *
 * Invariants: the queue holds the resident pages.
 */
#include "queue.h"
#include "run.h"

enum { LOAD }; /* options */

struct second_chance {
    struct policy base;
    struct policy_queue queue;
    uint8_t loaded; /* POLICY_REFERENCED, or 0 */
    uint64_t spared;
};

static struct second_chance *chance_of(struct policy *policy)
{
    return (struct second_chance *)policy;
}

static size_t chance_bytes(const struct policy_config *config)
{
    return sizeof(struct second_chance) + queue_bytes(config->most_frames, config->pages, config->removes);
}

static void chance_init(struct policy *policy, const struct policy_config *config)
{
    struct second_chance *chance = chance_of(policy);
    uint8_t *memory = (uint8_t *)(chance + 1);

    queue_init(&chance->queue, &memory, config->most_frames, config->pages, config->removes);
    chance->loaded = config->options[LOAD] ? POLICY_REFERENCED : 0;
}

static void chance_insert(struct policy *policy, uint32_t page)
{
    struct second_chance *chance = chance_of(policy);

    queue_push(&chance->queue, page);
    policy->state[page] |= chance->loaded;
}

static uint32_t chance_victim(struct policy *policy, uint32_t incoming)
{
    struct second_chance *chance = chance_of(policy);

    /* In the first round every bit may be set; bits that come back meanwhile do not make it endless. */
    for (uint64_t left = 2 * (uint64_t)policy->resident; left > 0; left--) {
        uint32_t page = queue_pop(&chance->queue);

        if (!policy_is_pinned(policy, page)) {
            if (!policy_take_reference(policy, page) || left <= policy->resident)
                return page;
            chance->spared++;
        }
        queue_push(&chance->queue, page);
    }
    return POLICY_NO_PAGE;
}

static void chance_remove(struct policy *policy, uint32_t page)
{
    if (policy_is_resident(policy, page))
        queue_remove(&chance_of(policy)->queue, page);
}

static size_t chance_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    if (most > 0)
        out[0] = (struct policy_counter){"spared", ((const struct second_chance *)policy)->spared};
    return most > 0;
}

static const char *chance_check(const struct policy *policy)
{
    uint32_t pages;
    const char *wrong = queue_check(&((const struct second_chance *)policy)->queue, policy->pages, &pages);

    return wrong ? wrong : pages != policy->resident ? "a resident page is not in the queue" : NULL;
}

static void chance_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, chance_insert, chance_victim);
}

const struct policy_type policy_second_chance = {
    .name = "second-chance",
    .title = "FIFO, but referenced pages queue up again",
    .source = "Tanenbaum, Modern Operating Systems, the second-chance algorithm",
    .needs = POLICY_BITS,
    .frame_bytes = sizeof(uint32_t),
    .options = {{"load", 1, 0, 1, "clear set", "the reference bit of a page that has just come"}},
    .bytes = chance_bytes,
    .init = chance_init,
    .insert = chance_insert,
    .victim = chance_victim,
    .remove = chance_remove,
    .counters = chance_counters,
    .check = chance_check,
    .run = chance_run,
};
