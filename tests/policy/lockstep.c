/*
 * A policy and a naive one side by side.
 */
#include "lockstep.h"

#include "base/check.h"
#include "naive.h"

struct lockstep {
    struct policy *policy;
    struct naive *naive; /* NULL: there is none */
    uint8_t *hidden;     /* by page: bits that the host has and was not asked for */
    bool *spared;        /* by page */
    bool *known;         /* by page: came, was not forgotten */
    uint32_t known_count;
    bool *waiting; /* by page: known, room was made for it, and it could not come */
    struct naive_list cleaned;
    enum lockstep_bits bits;
    bool removing; /* inside of policy_remove() */
    const struct op *op;
    size_t index;
    uint32_t distance;
    uint64_t faults;
};

#define EXPECT(lockstep, condition)                                                                          \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            host_panic("%s:%d: %s, operation %zu (%d, page %u): %s", __FILE__, __LINE__,                     \
                       (lockstep)->policy->type->name, (lockstep)->index, (int)(lockstep)->op->kind,         \
                       (lockstep)->op->page, #condition);                                                    \
    } while (0)

/* ------------------------------------------------------------------ the host */

static void on_harvest(void *context, struct policy *policy, uint32_t page)
{
    struct lockstep *lockstep = context;

    EXPECT(lockstep, page < policy->pages);
    policy->state[page] |= lockstep->hidden[page];
    lockstep->hidden[page] = 0;
}

static void on_clean(void *context, struct policy *policy, uint32_t page)
{
    struct lockstep *lockstep = context;

    EXPECT(lockstep, page < policy->pages && (policy->state[page] & POLICY_RESIDENT));
    EXPECT(lockstep, policy->state[page] & POLICY_DIRTY);
    naive_push_back(&lockstep->cleaned, page);
}

static void on_forget(void *context, struct policy *policy, uint32_t page)
{
    struct lockstep *lockstep = context;

    EXPECT(lockstep, page < policy->pages && lockstep->known[page]);
    EXPECT(lockstep, !lockstep->removing || page != lockstep->op->page);
    lockstep->known[page] = lockstep->waiting[page] = false;
    lockstep->known_count--;
}

static bool on_spares(void *context, const struct policy *policy, uint32_t page)
{
    struct lockstep *lockstep = context;

    return lockstep->spared[page];
}

/* ------------------------------------------------------------------ the comparison */

static void compare_page(struct lockstep *lockstep, uint32_t page)
{
    const struct naive_page *naive = &lockstep->naive->pages[page];
    uint8_t state = lockstep->policy->state[page] | lockstep->hidden[page];

    EXPECT(lockstep, ((state & POLICY_RESIDENT) != 0) == naive->resident);
    EXPECT(lockstep, ((state & POLICY_DIRTY) != 0) == naive->dirty);
    if (naive->resident && lockstep->policy->type->needs == POLICY_BITS)
        EXPECT(lockstep, ((state & POLICY_REFERENCED) != 0) == naive->referenced);
}

static void compare_cleaned(const struct lockstep *lockstep)
{
    const struct naive_list *ours = &lockstep->cleaned, *theirs = &lockstep->naive->cleaned;

    EXPECT(lockstep, ours->count == theirs->count);
    for (size_t i = 0; i < ours->count; i++)
        EXPECT(lockstep, ours->items[i] == theirs->items[i]);
}

static void compare_all(struct lockstep *lockstep)
{
    struct policy *policy = lockstep->policy;
    const char *wrong = policy_check(policy);

    if (wrong)
        host_panic("%s, operation %zu: %s", policy->type->name, lockstep->index, wrong);
    for (uint32_t page = 0; page < policy->pages; page++) {
        EXPECT(lockstep, lockstep->known[page] || !(policy->state[page] & POLICY_RESIDENT));
        if (lockstep->naive)
            compare_page(lockstep, page);
    }
}

/* ------------------------------------------------------------------ the operations */

static uint32_t take_victim(struct lockstep *lockstep, uint32_t incoming)
{
    struct policy *policy = lockstep->policy;
    struct naive *naive = lockstep->naive;
    uint32_t page = policy_victim(policy, incoming);

    if (naive) {
        uint32_t expected = naive->resident ? naive->type->victim(naive, incoming) : POLICY_NO_PAGE;

        if (page != expected)
            host_panic("%s, operation %zu: victim %d, expected %d", policy->type->name, lockstep->index,
                       (int)page, (int)expected);
    }
    if (page == POLICY_NO_PAGE)
        return page;
    if (incoming != POLICY_NO_PAGE)
        lockstep->waiting[incoming] = lockstep->known[incoming];
    EXPECT(lockstep, page < policy->pages && !(policy->state[page] & POLICY_RESIDENT));
    EXPECT(lockstep, !(policy->state[page] & POLICY_PINNED) && !lockstep->spared[page]);
    EXPECT(lockstep, !lockstep->known[page] || policy->type->ghosts > 0);
    lockstep->hidden[page] = 0;
    if (page % 4 != 3) /* others are written at their leisure */
        policy->state[page] &= (uint8_t)~POLICY_DIRTY;
    if (naive) {
        naive->pages[page].resident = naive->pages[page].referenced = false;
        naive->pages[page].dirty = (policy->state[page] & POLICY_DIRTY) != 0;
        naive->resident--;
    }
    return page;
}

static bool make_room(struct lockstep *lockstep, uint32_t incoming, uint32_t most)
{
    while (lockstep->policy->resident > most)
        if (take_victim(lockstep, incoming) == POLICY_NO_PAGE)
            return false;
    return true;
}

static void come(struct lockstep *lockstep, uint32_t page)
{
    struct naive *naive = lockstep->naive;

    policy_insert(lockstep->policy, page);
    lockstep->waiting[page] = false;
    lockstep->known_count += !lockstep->known[page];
    lockstep->known[page] = true;
    if (naive) {
        naive->type->insert(naive, page);
        naive->pages[page].resident = true;
        naive->resident++;
    }
}

static void touch(struct lockstep *lockstep, uint32_t page)
{
    struct policy *policy = lockstep->policy;
    struct naive *naive = lockstep->naive;

    if (lockstep->bits == BITS_WHEN_ASKED && policy->type->needs == POLICY_BITS)
        lockstep->hidden[page] |= POLICY_REFERENCED;
    else
        policy_touch(policy, page);
    if (naive) {
        naive->pages[page].referenced = true;
        if (naive->type->touch)
            naive->type->touch(naive, page);
    }
}

static void dirty(struct lockstep *lockstep, uint32_t page)
{
    if (lockstep->bits == BITS_WHEN_ASKED)
        lockstep->hidden[page] |= POLICY_DIRTY;
    else
        lockstep->policy->state[page] |= POLICY_DIRTY;
    if (lockstep->naive)
        lockstep->naive->pages[page].dirty = true;
}

static void reference(struct lockstep *lockstep, uint32_t page, bool write)
{
    struct policy *policy = lockstep->policy;
    bool there = (policy->state[page] & POLICY_RESIDENT) != 0;

    policy->distance = lockstep->distance;
    if (lockstep->naive)
        lockstep->naive->distance = lockstep->distance;
    if (there) {
        touch(lockstep, page);
    } else if (make_room(lockstep, page, policy->frames - 1)) {
        lockstep->faults++;
        come(lockstep, page);
        there = true;
    }
    if (there && write)
        dirty(lockstep, page);
    policy->now++;
    if (lockstep->naive)
        lockstep->naive->now++;
}

static void pin(struct lockstep *lockstep, uint32_t page, bool pinned)
{
    uint8_t *state = &lockstep->policy->state[page];

    if (page % 2)
        lockstep->spared[page] = pinned;
    else
        *state = pinned ? *state | POLICY_PINNED : *state & (uint8_t)~POLICY_PINNED;
    if (lockstep->naive)
        lockstep->naive->pages[page].pinned = pinned;
}

static void remove_page(struct lockstep *lockstep, uint32_t page)
{
    struct naive *naive = lockstep->naive;

    lockstep->removing = true;
    policy_remove(lockstep->policy, page);
    lockstep->removing = false;
    EXPECT(lockstep, lockstep->policy->state[page] == 0);
    lockstep->known_count -= lockstep->known[page];
    lockstep->known[page] = lockstep->spared[page] = lockstep->waiting[page] = false;
    lockstep->hidden[page] = 0;
    while (naive_drop(&lockstep->cleaned, page))
        continue;
    if (naive) {
        naive->type->remove(naive, page);
        naive->resident -= naive->pages[page].resident;
        naive->pages[page] = (struct naive_page){0};
        while (naive_drop(&naive->cleaned, page))
            continue;
    }
}

static void resize(struct lockstep *lockstep, uint32_t frames)
{
    struct naive *naive = lockstep->naive;

    policy_resize(lockstep->policy, frames);
    if (naive) {
        naive->frames = frames;
        if (naive->type->resize)
            naive->type->resize(naive);
    }
    make_room(lockstep, POLICY_NO_PAGE, frames);
}

static void written(struct lockstep *lockstep)
{
    for (size_t i = 0; i < lockstep->cleaned.count; i++) {
        uint32_t page = lockstep->cleaned.items[i];

        lockstep->policy->state[page] &= (uint8_t)~POLICY_DIRTY;
        lockstep->hidden[page] &= (uint8_t)~POLICY_DIRTY;
        if (lockstep->naive)
            lockstep->naive->pages[page].dirty = false;
    }
    lockstep->cleaned.count = 0;
    if (lockstep->naive)
        lockstep->naive->cleaned.count = 0;
}

static void tick(struct lockstep *lockstep)
{
    struct naive *naive = lockstep->naive;

    policy_tick(lockstep->policy);
    if (naive && naive->type->tick)
        naive->type->tick(naive);
}

static void operate(struct lockstep *lockstep, const struct op *op)
{
    switch (op->kind) {
    case OP_READ:
    case OP_WRITE:
        reference(lockstep, op->page, op->kind == OP_WRITE);
        break;
    case OP_PIN:
    case OP_UNPIN:
        pin(lockstep, op->page, op->kind == OP_PIN);
        break;
    case OP_REMOVE:
        remove_page(lockstep, op->page);
        break;
    case OP_RESIZE:
        resize(lockstep, op->page);
        break;
    case OP_TICK:
        tick(lockstep);
        break;
    default:
        written(lockstep);
        break;
    }
}

/* ------------------------------------------------------------------ a run */

struct policy *lockstep_create(const struct policy_type *type, struct policy_config *config)
{
    size_t bytes = policy_bytes(type, config);
    void *memory = NULL;

    CHECK_ALWAYS(posix_memalign(&memory, 64, bytes) == 0);
    memset(memory, 0, bytes);
    config->state = calloc(config->pages, 1);
    CHECK_ALWAYS(config->state);
    return policy_create(type, config, memory);
}

void lockstep_destroy(struct policy *policy)
{
    free(policy->state);
    free(policy);
}

static void *must_calloc(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);

    CHECK_ALWAYS(memory);
    return memory;
}

/* How many more ghosts there might be. */
static int64_t ghost_room(const struct lockstep *lockstep)
{
    const struct policy *policy = lockstep->policy;

    return (int64_t)policy->type->ghosts * policy->most_frames -
           (int64_t)(lockstep->known_count - policy->resident);
}

static int64_t waiting_count(const struct lockstep *lockstep)
{
    int64_t count = 0;

    for (uint32_t page = 0; page < lockstep->policy->pages; page++)
        count += lockstep->waiting[page];
    return count;
}

/* Also without looking at everything after each step when there is much to look at. */
static void run_all(struct lockstep *lockstep, const struct op *ops, size_t count)
{
    struct policy *policy = lockstep->policy;
    size_t every = policy->pages <= 64 ? 1 : 997;
    uint32_t *distances = ops_distances(ops, count, policy->pages);

    for (size_t i = 0; i < count; i++) {
        lockstep->index = i;
        lockstep->op = &ops[i];
        lockstep->distance = distances[i];
        operate(lockstep, &ops[i]);
        EXPECT(lockstep, ghost_room(lockstep) >= 0 || ghost_room(lockstep) + waiting_count(lockstep) >= 0);
        if (lockstep->naive)
            compare_cleaned(lockstep);
        if (i % every == 0 || i + 1 == count)
            compare_all(lockstep);
    }
    free(distances);
}

uint64_t lockstep_run(const struct policy_type *type, const struct policy_config *config,
                      const struct op *ops, size_t count, enum lockstep_bits bits)
{
    const struct naive_type *naive = naive_find(type->name);
    struct policy_config own = *config;
    struct lockstep lockstep = {
        .hidden = must_calloc(config->pages, 1),
        .spared = must_calloc(config->pages, sizeof(bool)),
        .known = must_calloc(config->pages, sizeof(bool)),
        .waiting = must_calloc(config->pages, sizeof(bool)),
        .bits = bits,
    };
    struct policy_host host = {bits == BITS_WHEN_ASKED ? on_harvest : NULL, on_clean, on_forget, on_spares,
                               &lockstep};

    own.host = &host;
    own.removes = true;
    lockstep.policy = lockstep_create(type, &own);
    lockstep.naive = naive ? naive_create(naive, &own) : NULL;
    run_all(&lockstep, ops, count);
    if (lockstep.naive)
        naive_destroy(lockstep.naive);
    lockstep_destroy(lockstep.policy);
    naive_list_free(&lockstep.cleaned);
    free(lockstep.hidden);
    free(lockstep.spared);
    free(lockstep.known);
    free(lockstep.waiting);
    return lockstep.faults;
}

/* ------------------------------------------------------------------ sequences */

static struct op random_operation(struct random *random, uint32_t pages, uint32_t most_frames)
{
    struct op op = {OP_TICK, (uint32_t)random_below(random, pages)};

    switch (random_below(random, 12)) {
    case 0:
    case 1:
        op.kind = OP_PIN;
        break;
    case 2:
    case 3:
    case 4:
        op.kind = OP_UNPIN;
        break;
    case 5:
    case 6:
        op.kind = OP_REMOVE;
        break;
    case 7:
        op = (struct op){OP_RESIZE, 1 + (uint32_t)random_below(random, most_frames)};
        break;
    case 8:
    case 9:
        op.kind = OP_WRITTEN;
        break;
    default:
        break;
    }
    return op;
}

void ops_random(struct random *random, struct op *ops, size_t count, uint32_t pages, uint32_t most_frames,
                bool mixed)
{
    uint32_t next = 0, kind = 0;

    for (size_t i = 0; i < count; i++) {
        if (mixed && random_below(random, 8) == 0) {
            ops[i] = random_operation(random, pages, most_frames);
            continue;
        }
        if (random_below(random, 16) == 0)
            kind = (uint32_t)random_below(random, 4);
        if (kind == 0)
            next = (uint32_t)random_below(random, pages);
        else if (kind == 1)
            next = (uint32_t)random_below(random, 1 + pages / 4);
        else if (kind == 2)
            next = next + 1 < pages ? next + 1 : 0;
        else
            next = (uint32_t)random_below(random, 1 + random_below(random, pages));
        ops[i] = (struct op){random_below(random, 4) == 0 ? OP_WRITE : OP_READ, next};
    }
}

size_t ops_decode(const unsigned char *data, size_t size, struct op *ops, size_t most, uint32_t pages,
                  uint32_t most_frames)
{
    size_t count = 0;

    for (; count < most && 2 * count + 1 < size; count++) {
        unsigned kind = data[2 * count] % 32;
        uint32_t page = data[2 * count + 1] % pages;

        ops[count] = (struct op){kind < OP_KINDS ? (enum op_kind)kind : kind % 4 ? OP_READ : OP_WRITE, page};
        if (kind == OP_RESIZE)
            ops[count].page = 1 + page % most_frames;
    }
    return count;
}

uint32_t *ops_distances(const struct op *ops, size_t count, uint32_t pages)
{
    uint32_t *distances = must_calloc(count + 1, sizeof(uint32_t));
    uint64_t *seen = must_calloc(pages, sizeof(uint64_t)); /* references from it to the end, plus 1 */
    uint64_t left = 0;

    for (size_t i = count; i-- > 0;) {
        uint32_t page = ops[i].page;

        if (ops[i].kind > OP_WRITE)
            continue;
        left++;
        distances[i] = seen[page] ? (uint32_t)(left - seen[page]) : UINT32_MAX;
        seen[page] = left;
    }
    free(seen);
    return distances;
}
