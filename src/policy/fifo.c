/*
 * FIFO: the page that came first goes first.
 *
 * L. A. Belady, "A Study of Replacement Algorithms for a Virtual-Storage Computer", IBM Systems Journal 5(2),
 * 1966; more memory may cost more faults (Belady, Nelson, Shedler, CACM 12(6), 1969).
 *
 * Departure: a pinned page whose turn it is goes to the end of the queue, as if it had just come.
 *
 * Invariants: the queue holds the resident pages.
 */
#include "queue.h"
#include "run.h"

struct fifo {
    struct policy base;
    struct policy_queue queue;
};

static struct fifo *fifo_of(struct policy *policy)
{
    return (struct fifo *)policy;
}

static size_t fifo_bytes(const struct policy_config *config)
{
    return sizeof(struct fifo) + queue_bytes(config->most_frames, config->pages, config->removes);
}

static void fifo_init(struct policy *policy, const struct policy_config *config)
{
    struct fifo *fifo = fifo_of(policy);
    uint8_t *memory = (uint8_t *)(fifo + 1);

    queue_init(&fifo->queue, &memory, config->most_frames, config->pages, config->removes);
}

static void fifo_insert(struct policy *policy, uint32_t page)
{
    queue_push(&fifo_of(policy)->queue, page);
}

static uint32_t fifo_victim(struct policy *policy, uint32_t incoming)
{
    struct fifo *fifo = fifo_of(policy);

    for (uint32_t left = policy->resident; left > 0; left--) {
        uint32_t page = queue_pop(&fifo->queue);

        if (!policy_is_pinned(policy, page))
            return page;
        queue_push(&fifo->queue, page);
    }
    return POLICY_NO_PAGE;
}

static void fifo_remove(struct policy *policy, uint32_t page)
{
    if (policy_is_resident(policy, page))
        queue_remove(&fifo_of(policy)->queue, page);
}

static const char *fifo_check(const struct policy *policy)
{
    uint32_t pages;
    const char *wrong = queue_check(&((const struct fifo *)policy)->queue, policy->pages, &pages);

    return wrong ? wrong : pages != policy->resident ? "a resident page is not in the queue" : NULL;
}

static void fifo_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, NULL, fifo_insert, fifo_victim);
}

const struct policy_type policy_fifo = {
    .name = "fifo",
    .title = "the page that came first goes first",
    .source = "Belady, A Study of Replacement Algorithms for a Virtual-Storage Computer, 1966",
    .needs = POLICY_BITS,
    .blind = true,
    .frame_bytes = sizeof(uint32_t),
    .bytes = fifo_bytes,
    .init = fifo_init,
    .insert = fifo_insert,
    .victim = fifo_victim,
    .remove = fifo_remove,
    .check = fifo_check,
    .run = fifo_run,
};
