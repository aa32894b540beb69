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
 * A log that is full is packed: entries that do not count go. It has room for four entries a frame and some,
 * so that at least three references in four are between two packings. The entries that are next to go are
 * sifted in the same way, some at a time (before `sifted`): few of them cease to count before they are
 * wanted.
 *
 * Invariants: the entries from `oldest` to `end` that count are the resident pages, in the order of their
 * last references; place[] of other pages is NO_PLACE. oldest <= sifted <= end.
 */
#include "policy_internal.h"
#include "run.h"

enum { LOG_ROUNDS = 4, LOG_LEAST = 896, LOG_SIFT = 32 };
enum { NO_PLACE }; /* the log begins at 1 */

struct lru {
    struct policy base;
    uint32_t *log;
    uint32_t *place; /* by page: its entry that counts */
    uint32_t oldest, sifted, end, size;
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
    lru->oldest = lru->sifted = lru->end = NO_PLACE + 1;
    lru->log = policy_carve(&memory, entries * sizeof(uint32_t));
    lru->place = policy_carve(&memory, config->pages * sizeof(uint32_t));
}

/* No branch depends on which entries count, which nobody can predict. */
static __attribute__((noinline)) void lru_pack(struct lru *lru)
{
    uint32_t *log = lru->log, *place = lru->place, kept = NO_PLACE + 1;

    for (uint32_t i = lru->oldest; i < lru->end; i++) {
        uint32_t page = log[i];

        log[kept] = page;
        kept += place[page] == i;
    }
    for (uint32_t i = NO_PLACE + 1; i < kept; i++)
        place[log[i]] = i;
    lru->oldest = NO_PLACE + 1;
    lru->sifted = lru->end = kept;
}

/* The same for the next few entries, towards newer ones: they are the next to go. */
static __attribute__((noinline)) void lru_sift(struct lru *lru)
{
    uint32_t *log = lru->log, *place = lru->place, first = lru->sifted, end = first + LOG_SIFT;
    uint32_t kept;

    if (end > lru->end)
        end = lru->end;
    kept = end;
    for (uint32_t i = end; i-- > first;) {
        uint32_t page = log[i];

        log[kept - 1] = page;
        kept -= place[page] == i;
    }
    for (uint32_t i = kept; i < end; i++)
        place[log[i]] = i;
    lru->oldest = kept;
    lru->sifted = end;
}

/* Moves `oldest` on to an entry that counts; there is one. */
static inline void lru_find_oldest(struct lru *lru)
{
    for (;;) {
        if (lru->oldest == lru->sifted)
            lru_sift(lru);
        else if (lru->place[lru->log[lru->oldest]] == lru->oldest)
            return;
        else
            lru->oldest++;
    }
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

    lru_find_oldest(lru);
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

    if (lru->oldest == NO_PLACE || lru->oldest > lru->sifted || lru->sifted > lru->end ||
        lru->end > lru->size)
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

/* As many references as the log has room for: each makes one entry. What the log is made of stays in
 * registers while pages are hit. */
__attribute__((flatten)) static void lru_run_some(struct policy *policy, const uint32_t *references,
                                                  size_t count, struct policy_tally *tally)
{
    struct lru *lru = lru_of(policy);
    uint8_t *state = policy->state;
    uint32_t *log = lru->log, *place = lru->place, end = lru->end;

    for (size_t i = 0; i < count; i++) {
        uint32_t page = references[i] >> 1;
        uint8_t dirty = (uint8_t)((references[i] & 1) * POLICY_DIRTY);

        if (__builtin_expect((state[page] & POLICY_RESIDENT) != 0, 1)) {
            state[page] |= POLICY_REFERENCED | dirty;
            log[end] = page;
            place[page] = end++;
        } else {
            lru->end = end++;
            policy_run_fault(policy, page, tally, lru_touch, lru_victim);
            state[page] |= dirty;
        }
    }
    lru->end = end;
}

static void lru_run(struct policy *policy, const struct policy_block *block, struct policy_tally *tally)
{
    struct lru *lru = lru_of(policy);
    size_t done = 0;

    while (done < block->count) {
        size_t count = block->count - done;

        if (lru->end == lru->size)
            lru_pack(lru);
        if (count > lru->size - lru->end)
            count = lru->size - lru->end;
        lru_run_some(policy, block->references + done, count, tally);
        done += count;
    }
    policy->now += block->timed ? 0 : done;
    tally->references += done;
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
