/*
 * LRU: the page that was not referenced for the longest time goes.
 *
 * P. J. Denning, "The Working Set Model for Program Behavior", 1968, and R. L. Mattson and others,
 * "Evaluation Techniques for Storage Hierarchies", 1970, which shows that a larger memory holds all that a
 * smaller one does (inclusion).
 *
 * The order is not a list but a log of references, which costs two stores a reference instead of moves of
 * links that wait for one another:
 *
 *      log   | 3 | 9 | 3 | 4 | 9 | 7 |          an entry counts if place[page] names it:
 *              .       ^   ^   ^   ^            the oldest page that counts is 3
 *          oldest                     end
 *
 * A log that is full is packed: entries that do not count go. It has room for four entries a frame, so that
 * at least three references in four are between two packings.
 *
 * Invariants: the entries from `oldest` to `end` that count are the resident pages, in the order of their
 * last references; place[] of other pages is NO_PLACE.
 */
#include "policy_internal.h"
#include "run.h"

enum { LOG_ROUNDS = 4, LOG_LEAST = 64 };
enum { NO_PLACE }; /* the log begins at 1 */

struct lru {
    struct policy base;
    uint32_t *log;
    uint32_t *place; /* by page: its entry that counts */
    uint32_t oldest, end, size;
};

static struct lru *lru_of(struct policy *policy)
{
    return (struct lru *)policy;
}

static size_t log_entries(const struct policy_config *config)
{
    return (size_t)config->most_frames * LOG_ROUNDS + LOG_LEAST;
}

static size_t lru_bytes(const struct policy_config *config)
{
    return sizeof(struct lru) + (log_entries(config) + config->pages) * sizeof(uint32_t) +
           2 * sizeof(uint64_t);
}

static void lru_init(struct policy *policy, const struct policy_config *config)
{
    struct lru *lru = lru_of(policy);
    uint8_t *memory = (uint8_t *)(lru + 1);
    size_t entries = log_entries(config);

    lru->size = entries < UINT32_MAX ? (uint32_t)entries : UINT32_MAX;
    lru->oldest = lru->end = NO_PLACE + 1;
    lru->log = policy_carve(&memory, entries * sizeof(uint32_t));
    lru->place = policy_carve(&memory, config->pages * sizeof(uint32_t));
}

static __attribute__((noinline)) void lru_pack(struct lru *lru)
{
    uint32_t kept = NO_PLACE + 1;

    for (uint32_t i = lru->oldest; i < lru->end; i++) {
        uint32_t page = lru->log[i];
        bool counts = lru->place[page] == i;

        lru->log[kept] = page;
        lru->place[page] = counts ? kept : lru->place[page];
        kept += counts;
    }
    lru->oldest = NO_PLACE + 1;
    lru->end = kept;
}

static void lru_touch(struct policy *policy, uint32_t page)
{
    struct lru *lru = lru_of(policy);

    if (__builtin_expect(lru->end == lru->size, 0))
        lru_pack(lru);
    lru->log[lru->end] = page;
    lru->place[page] = lru->end++;
}

static uint32_t lru_victim(struct policy *policy, uint32_t incoming)
{
    struct lru *lru = lru_of(policy);

    while (lru->place[lru->log[lru->oldest]] != lru->oldest)
        lru->oldest++;
    for (uint32_t i = lru->oldest; i < lru->end; i++) {
        uint32_t page = lru->log[i];

        if (lru->place[page] != i || policy_is_pinned(policy, page))
            continue;
        lru->place[page] = NO_PLACE;
        return page;
    }
    return POLICY_NO_PAGE;
}

static void lru_remove(struct policy *policy, uint32_t page)
{
    lru_of(policy)->place[page] = NO_PLACE;
}

static const char *lru_check(const struct policy *policy)
{
    const struct lru *lru = (const struct lru *)policy;
    uint32_t counting = 0;

    if (lru->oldest == NO_PLACE || lru->oldest > lru->end || lru->end > lru->size)
        return "the log ends before it begins, or after its room";
    for (uint32_t i = lru->oldest; i < lru->end; i++)
        counting += lru->place[lru->log[i]] == i;
    if (counting != policy->resident)
        return "the entries that count are not as many as resident pages";
    for (uint32_t page = 0; page < policy->pages; page++)
        if (policy_is_resident(policy, page) != (lru->place[page] != NO_PLACE))
            return "a page has an entry and is not resident, or the other way round";
    return NULL;
}

static void lru_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    policy_run(policy, block, tally, lru_touch, lru_touch, lru_victim);
}

const struct policy_type policy_lru = {
    .name = "lru",
    .title = "the page whose last reference is longest ago goes",
    .source = "Mattson, Gecsei, Slutz and Traiger, Evaluation Techniques for Storage Hierarchies, 1970",
    .needs = POLICY_EVERY_REFERENCE,
    .page_bytes = sizeof(uint32_t),
    .frame_bytes = LOG_ROUNDS * sizeof(uint32_t),
    .bytes = lru_bytes,
    .init = lru_init,
    .insert = lru_touch,
    .touch = lru_touch,
    .victim = lru_victim,
    .remove = lru_remove,
    .check = lru_check,
    .run = lru_run,
};
