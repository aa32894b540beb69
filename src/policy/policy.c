/*
 * The calls of a policy: what all have in common around the functions of each file.
 *
 * Invariants: POLICY_RESIDENT of a page's state says whether it is in the policy's order, and policy.resident
 * counts those pages; resident <= frames after an insert.
 */
#include "quire/policy.h"

#include "base/check.h"
#include "policy_internal.h"

static const struct policy_host no_host;

size_t policy_bytes(const struct policy_type *type, const struct policy_config *config)
{
    return type->bytes(config);
}

struct policy *policy_create(const struct policy_type *type, const struct policy_config *config, void *memory)
{
    struct policy *policy = memory;

    CHECK_ALWAYS(config->pages <= POLICY_MAX_PAGES && config->frames >= 1 &&
                 config->frames <= config->most_frames);
    policy->type = type;
    policy->host = config->host ? config->host : &no_host;
    policy->state = config->state;
    policy->pages = config->pages;
    policy->frames = config->frames;
    policy->most_frames = config->most_frames;
    type->init(policy, config);
    return policy;
}

void policy_insert(struct policy *policy, uint32_t page)
{
    CHECK(page < policy->pages && !policy_is_resident(policy, page) && policy->resident < policy->frames);
    policy->type->insert(policy, page);
    policy->state[page] |= POLICY_RESIDENT;
    policy->resident++;
}

void policy_touch(struct policy *policy, uint32_t page)
{
    CHECK(policy_is_resident(policy, page));
    policy->state[page] |= POLICY_REFERENCED;
    if (policy->type->touch)
        policy->type->touch(policy, page);
}

uint32_t policy_victim(struct policy *policy, uint32_t incoming)
{
    uint32_t page = policy->resident > 0 ? policy->type->victim(policy, incoming) : POLICY_NO_PAGE;

    if (page == POLICY_NO_PAGE)
        return page;
    /* The host is not asked again whether it spares the page: its answer may be another one by now. */
    CHECK(policy_is_resident(policy, page) && !(policy->state[page] & POLICY_PINNED));
    policy->state[page] &= (uint8_t) ~(POLICY_RESIDENT | POLICY_REFERENCED);
    policy->resident--;
    if (!policy->type->ghosts)
        policy_forget(policy, page);
    return page;
}

void policy_remove(struct policy *policy, uint32_t page)
{
    policy->type->remove(policy, page);
    policy->resident -= policy_is_resident(policy, page);
    policy->state[page] = 0;
}

void policy_resize(struct policy *policy, uint32_t frames)
{
    CHECK(frames >= 1 && frames <= policy->most_frames);
    policy->frames = frames;
    if (policy->type->resize)
        policy->type->resize(policy);
}

void policy_tick(struct policy *policy)
{
    if (policy->type->tick)
        policy->type->tick(policy);
}

size_t policy_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    return policy->type->counters ? policy->type->counters(policy, out, most) : 0;
}

const char *policy_check(const struct policy *policy)
{
    uint32_t resident = 0;

    for (uint32_t page = 0; page < policy->pages; page++)
        resident += policy_is_resident(policy, page);
    if (resident != policy->resident)
        return "the count of resident pages is wrong";
    return policy->type->check(policy);
}

void policy_reference(struct policy *policy, uint32_t page, bool write, uint32_t distance,
                      struct policy_tally *tally)
{
    uint8_t *state = policy->state;

    policy->distance = distance;
    if (state[page] & POLICY_RESIDENT) {
        policy_touch(policy, page);
    } else {
        tally->faults++;
        if (policy->resident >= policy->frames) {
            uint32_t out = policy_victim(policy, page);

            tally->evictions++;
            tally->write_backs += (state[out] & POLICY_DIRTY) != 0;
            state[out] &= (uint8_t)~POLICY_DIRTY;
        }
        policy_insert(policy, page);
    }
    if (write)
        state[page] |= POLICY_DIRTY;
    policy->now++;
    tally->references++;
}
