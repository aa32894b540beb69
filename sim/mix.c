/*
 * Several processes over one memory: sim/mix.h.
 *
 * A *pool* is a policy with its pages: one for all processes, or one for each. A page's number in its pool is
 * the process's first number there and the page's number in the trace, so under local scope the same arrays
 * are cut at the processes' bounds.
 *
 *      state  | process 0      | process 1   | process 2 ...
 *             ^first of 0      ^first of 1                     (global: numbers in the one pool)
 *
 * Invariants (mix_check, scope_check): a member's frames are the pages of its process that are resident, and
 * all of them together are at most the memory.
 */
#include "sim/mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/trace_cursor.h"

enum { PROGRESS_ROUNDS = 64 };

struct mix;

struct pool {
    struct policy *policy;
    struct policy_host host;
    struct mix *mix;
    uint32_t base; /* the number among all pages of the pool's page 0 */
    uint64_t until_tick;
    void *memory;
    size_t bytes;
};

struct process {
    const struct mix_process *given;
    struct mix_result *result;
    struct pool *pool;
    uint32_t first; /* its pages' first number in the pool */
    struct trace_cursor cursor;
    uint32_t *used;            /* by page: the last window it was used in, from 1 on; NULL: no matter */
    uint32_t window, used_now; /* the present one, and the pages used in it */
    uint64_t window_left;
};

struct mix {
    const struct mix_config *config;
    struct mix_total *total;
    struct trace_error *error;
    struct scope scope;
    struct scope_member *members;
    struct process *processes;
    uint32_t count;
    struct pool *pools; /* 1, or one for each process */
    uint32_t pool_count;
    uint32_t pages;  /* of all */
    uint32_t frames; /* in use */
    uint8_t *state;  /* of all pages */
    uint16_t *owner; /* of all pages: the process */
    uint32_t taker;  /* whose fault a victim is sought for */
    unsigned round;  /* of scope_spares() */
};

static bool fail(struct mix *mix, const char *what)
{
    snprintf(mix->error->text, sizeof(mix->error->text), "%s", what);
    return false;
}

/* ------------------------------------------------------------------ pages that go */

static struct process *owner_of(struct mix *mix, const struct pool *pool, uint32_t page)
{
    return &mix->processes[mix->owner[pool->base + page]];
}

static uint32_t number_of(const struct mix *mix, const struct process *process)
{
    return (uint32_t)(process - mix->processes);
}

static void write_back(struct process *process, struct pool *pool, uint32_t page)
{
    process->result->tally.write_backs += (pool->policy->state[page] & POLICY_DIRTY) != 0;
    pool->policy->state[page] &= (uint8_t)~POLICY_DIRTY;
}

/* policy_host: the disk of the simulator is quick. */
static void pool_clean(void *context, struct policy *policy, uint32_t page)
{
    struct pool *pool = context;

    write_back(owner_of(pool->mix, pool, page), pool, page);
}

static bool pool_spares(void *context, const struct policy *policy, uint32_t page)
{
    const struct pool *pool = context;
    const struct mix *mix = pool->mix;

    return scope_spares(&mix->scope, mix->owner[pool->base + page], mix->taker, mix->round);
}

static void less_frames(struct mix *mix, struct process *process)
{
    mix->members[number_of(mix, process)].frames--;
    mix->frames--;
}

/* The policy has given up the page. */
static void evict(struct mix *mix, struct pool *pool, uint32_t page, bool lost)
{
    struct process *owner = owner_of(mix, pool, page);

    write_back(owner, pool, page);
    owner->result->tally.evictions++;
    owner->result->lost += lost;
    less_frames(mix, owner);
}

static bool evict_globally(struct mix *mix, struct pool *pool, uint32_t taker, uint32_t incoming)
{
    mix->taker = taker;
    for (mix->round = 0; mix->round < SCOPE_ROUNDS; mix->round++) {
        uint32_t page = policy_victim(pool->policy, incoming);

        if (page == POLICY_NO_PAGE)
            continue;
        evict(mix, pool, page, number_of(mix, owner_of(mix, pool, page)) != taker);
        return true;
    }
    return fail(mix, "no page may go: the classes' minima leave no frame for this process");
}

static bool make_room(struct mix *mix, struct process *process, uint32_t incoming)
{
    uint32_t number = number_of(mix, process);
    const struct scope_member *member = &mix->members[number];

    if (mix->config->scope.kind == SCOPE_GLOBAL)
        return mix->frames < mix->config->scope.frames ||
               evict_globally(mix, process->pool, number, incoming);
    if (member->frames >= member->target)
        evict(mix, process->pool, policy_victim(process->pool->policy, incoming), false);
    return true;
}

/* As many of its frames as a process can use. */
static uint32_t policy_frames(const struct process *process, const struct scope_member *member)
{
    return member->target < process->given->pages ? member->target : process->given->pages;
}

/* Local scope, targets have changed: those who have too much give it now. */
static void apply_targets(struct mix *mix)
{
    for (uint32_t i = 0; mix->config->scope.kind == SCOPE_LOCAL && i < mix->count; i++) {
        struct process *process = &mix->processes[i];
        struct policy *policy = process->pool->policy;

        if (mix->members[i].place != MEMBER_IN)
            continue;
        if (policy->frames != policy_frames(process, &mix->members[i]))
            policy_resize(policy, policy_frames(process, &mix->members[i]));
        while (policy->resident > policy->frames)
            evict(mix, process->pool, policy_victim(policy, POLICY_NO_PAGE), true);
    }
}

/* All pages of the process leave; `write`: they are to come back. Returns how many were resident. */
static uint32_t take_all_out(struct mix *mix, struct process *process, bool write)
{
    struct policy *policy = process->pool->policy;
    uint32_t out = 0;

    for (uint32_t i = 0; i < process->given->pages; i++) {
        uint32_t page = process->first + i;

        if (policy->state[page] & POLICY_RESIDENT) {
            if (write)
                write_back(process, process->pool, page);
            less_frames(mix, process);
            out++;
        } else if (write) {
            continue; /* it may be remembered */
        }
        policy_remove(policy, page);
    }
    return out;
}

/* ------------------------------------------------------------------ references */

static bool fault(struct mix *mix, struct process *process, uint32_t page)
{
    struct scope_member *member = &mix->members[number_of(mix, process)];

    process->result->tally.faults++;
    member->faults++;
    if (!make_room(mix, process, page))
        return false;
    policy_insert(process->pool->policy, page);
    mix->frames++;
    if (++member->frames > process->result->most_frames)
        process->result->most_frames = member->frames;
    return true;
}

static bool make_references(struct mix *mix, struct process *process, const uint32_t *references,
                            size_t count)
{
    struct policy *policy = process->pool->policy;

    for (size_t i = 0; i < count; i++) {
        uint32_t page = process->first + (references[i] >> 1);
        uint8_t *state = &policy->state[page];

        if (*state & POLICY_RESIDENT)
            policy_touch(policy, page);
        else if (!fault(mix, process, page))
            return false;
        *state |= (uint8_t)((references[i] & 1) * POLICY_DIRTY);
        policy->now++;
    }
    return true;
}

/* The working set grows as pages are used, and is set right at the end of each window. */
static void note_use(struct mix *mix, struct process *process, const uint32_t *references, size_t count)
{
    struct scope_member *member = &mix->members[number_of(mix, process)];

    if (!process->used)
        return;
    for (size_t i = 0; i < count; i++) {
        uint32_t *used = &process->used[references[i] >> 1];

        process->used_now += *used != process->window;
        *used = process->window;
    }
    process->window_left -= count;
    if (process->window_left == 0 || member->working_set < process->used_now)
        member->working_set = process->used_now;
    if (process->window_left == 0) {
        process->window_left = mix->config->window;
        process->window++;
        process->used_now = 0;
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* References up to the next moment when something else is to be done. */
static bool run_piece(struct mix *mix, struct process *process, size_t count)
{
    struct scope_member *member = &mix->members[number_of(mix, process)];
    struct pool *pool = process->pool;

    if (!make_references(mix, process, cursor_references(&process->cursor), count))
        return false;
    note_use(mix, process, cursor_references(&process->cursor), count);
    cursor_take(&process->cursor, count);
    process->result->tally.references += count;
    process->result->frame_time += member->frames * count;
    member->time += count;
    mix->scope.now += count;
    if (mix->config->tick > 0 && (pool->until_tick -= count) == 0) {
        policy_tick(pool->policy);
        pool->until_tick = mix->config->tick;
    }
    if (scope_measure(&mix->scope, number_of(mix, process)))
        apply_targets(mix);
    return true;
}

static void end_process(struct mix *mix, struct process *process)
{
    take_all_out(mix, process, false);
    process->result->finished = mix->scope.now;
    scope_leave(&mix->scope, number_of(mix, process));
    apply_targets(mix);
}

/* How far the process can run without anything else to be done. */
static uint64_t undisturbed(const struct mix *mix, const struct process *process, uint64_t left)
{
    if (mix->config->tick > 0)
        left = least(left, process->pool->until_tick);
    return process->used ? least(left, process->window_left) : left;
}

/* One turn of the process. */
static bool run_quantum(struct mix *mix, struct process *process)
{
    uint64_t left = mix->config->quantum;

    while (left > 0) {
        size_t count;

        if (!cursor_fill(&process->cursor, undisturbed(mix, process, left), &count, mix->error))
            return false;
        if (count == 0) {
            end_process(mix, process);
            return true;
        }
        if (!run_piece(mix, process, count))
            return false;
        left -= count;
    }
    return true;
}

/* ------------------------------------------------------------------ who runs */

static void swap(struct mix *mix, uint32_t number, enum scope_swap how)
{
    struct process *process = &mix->processes[number];

    if (how == SWAP_OUT) {
        process->result->swapped += take_all_out(mix, process, true);
        process->result->swap_outs++;
    } else {
        mix->total->swap_ins++;
    }
    scope_swapped(&mix->scope, number, how);
    apply_targets(mix);
}

static void balance(struct mix *mix)
{
    enum scope_swap how;
    uint32_t who;

    if (!mix->config->load_control)
        return;
    while ((how = scope_balance(&mix->scope, &who)) != SWAP_NOTHING)
        swap(mix, who, how);
    if (scope_demand(&mix->scope) > mix->total->most_demand)
        mix->total->most_demand = scope_demand(&mix->scope);
}

static bool check(struct mix *mix)
{
    const char *wrong = scope_check(&mix->scope);

    for (uint32_t i = 0; !wrong && i < mix->pool_count; i++)
        wrong = policy_check(mix->pools[i].policy);
    for (uint32_t i = 0; !wrong && i < mix->count; i++) {
        struct process *process = &mix->processes[i];
        uint32_t resident = 0;

        for (uint32_t page = 0; page < process->given->pages; page++)
            resident += (process->pool->policy->state[process->first + page] & POLICY_RESIDENT) != 0;
        if (resident != mix->members[i].frames)
            wrong = "a member's frames are not its resident pages";
    }
    return wrong ? fail(mix, wrong) : true;
}

/* Every so many rounds of turns. */
static void show_progress(const struct mix *mix, uint64_t round)
{
    double parts = 0;

    if (!mix->config->progress || round % PROGRESS_ROUNDS != 0)
        return;
    for (uint32_t i = 0; i < mix->count; i++)
        parts += mix->members[i].place == MEMBER_GONE ? 1 : cursor_progress(&mix->processes[i].cursor);
    mix->config->progress(mix->config->context, parts / mix->count);
}

/* Turns until all have ended. */
static bool run_all(struct mix *mix)
{
    bool anybody = true;

    for (uint64_t round = 0; anybody; round++) {
        anybody = false;
        show_progress(mix, round);
        for (uint32_t i = 0; i < mix->count; i++) {
            if (mix->members[i].place != MEMBER_GONE)
                anybody = true;
            if (mix->members[i].place != MEMBER_IN)
                continue;
            if (!run_quantum(mix, &mix->processes[i]))
                return false;
            balance(mix);
            if (mix->config->check && !check(mix))
                return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ making and ending it */

static void *zeroes(size_t bytes)
{
    void *memory = mmap(NULL, bytes > 0 ? bytes : 1, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static bool make_pool(struct mix *mix, struct pool *pool, uint32_t base, uint32_t pages, uint32_t frames)
{
    uint32_t most = mix->config->scope.frames < pages ? mix->config->scope.frames : pages;
    struct policy_config config = {.pages = pages,
                                   .frames = frames < most ? frames : most,
                                   .most_frames = most,
                                   .removes = true,
                                   .seed = mix->config->seed,
                                   .host = &pool->host,
                                   .state = mix->state + base};

    memcpy(config.options, mix->config->options, sizeof(config.options));
    pool->mix = mix;
    pool->base = base;
    pool->until_tick = mix->config->tick;
    pool->host = (struct policy_host){.clean = pool_clean, .context = pool};
    if (mix->config->scope.kind == SCOPE_GLOBAL)
        pool->host.spares = pool_spares;
    pool->bytes = policy_bytes(mix->config->type, &config);
    pool->memory = zeroes(pool->bytes);
    if (!pool->memory)
        return fail(mix, "not enough memory for the policy");
    pool->policy = policy_create(mix->config->type, &config, pool->memory);
    return true;
}

static bool make_pools(struct mix *mix)
{
    bool global = mix->config->scope.kind == SCOPE_GLOBAL;
    uint32_t base = 0;

    mix->pool_count = global ? 1 : mix->count;
    if (global && !make_pool(mix, &mix->pools[0], 0, mix->pages, mix->config->scope.frames))
        return false;
    for (uint32_t i = 0; i < mix->count; i++) {
        struct process *process = &mix->processes[i];

        if (!global && !make_pool(mix, &mix->pools[i], base, process->given->pages, mix->members[i].target))
            return false;
        process->pool = &mix->pools[global ? 0 : i];
        process->first = global ? base : 0;
        for (uint32_t page = 0; page < process->given->pages; page++)
            mix->owner[base + page] = (uint16_t)i;
        base += process->given->pages;
    }
    return true;
}

static bool make_scope(struct mix *mix)
{
    for (uint32_t i = 0; i < mix->count; i++) {
        const struct mix_process *given = mix->processes[i].given;

        mix->members[i] =
            (struct scope_member){.class = given->class, .minimum = given->minimum, .pages = given->pages};
    }
    switch (scope_init(&mix->scope, &mix->config->scope, mix->members, mix->count)) {
    case ST_OK:
        return true;
    case ST_LIMIT:
        return fail(mix, "the memory is too small: expected the minima of all vvip processes and a frame for "
                         "each other process");
    default:
        return fail(mix, "the bounds of page-fault frequency are not in order");
    }
}

static bool needs_working_sets(const struct mix_config *config)
{
    return config->load_control || (config->scope.kind == SCOPE_LOCAL && config->scope.rule == SCOPE_PFF);
}

static bool start_process(struct mix *mix, struct process *process)
{
    process->cursor.trace = process->given->trace;
    process->window = 1;
    process->window_left = mix->config->window;
    if (needs_working_sets(mix->config) && !(process->used = calloc(process->given->pages, sizeof(uint32_t))))
        return fail(mix, "not enough memory for the working sets");
    return trace_rewind(process->given->trace, mix->error);
}

static bool make(struct mix *mix, const struct mix_process *processes, struct mix_result *results)
{
    uint64_t pages = 0;

    for (uint32_t i = 0; i < mix->count; i++)
        pages += processes[i].pages;
    for (uint32_t i = 0; i < mix->count; i++)
        if (processes[i].pages == 0)
            return fail(mix, "a trace has no references");
    if (pages >= POLICY_MAX_PAGES)
        return fail(mix, "the traces have too many pages: expected fewer than 2147483648 in all");
    mix->pages = (uint32_t)pages;
    mix->members = calloc(mix->count, sizeof(*mix->members));
    mix->processes = calloc(mix->count, sizeof(*mix->processes));
    mix->pools = calloc(mix->count, sizeof(*mix->pools));
    mix->state = zeroes(mix->pages);
    mix->owner = calloc(mix->pages + 1, sizeof(*mix->owner));
    if (!mix->members || !mix->processes || !mix->pools || !mix->state || !mix->owner)
        return fail(mix, "not enough memory for the pages");
    for (uint32_t i = 0; i < mix->count; i++) {
        mix->processes[i].given = &processes[i];
        mix->processes[i].result = &results[i];
        if (!start_process(mix, &mix->processes[i]))
            return false;
    }
    return make_scope(mix) && make_pools(mix);
}

static void unmake(struct mix *mix)
{
    for (uint32_t i = 0; mix->pools && i < mix->count; i++)
        if (mix->pools[i].memory)
            munmap(mix->pools[i].memory, mix->pools[i].bytes > 0 ? mix->pools[i].bytes : 1);
    for (uint32_t i = 0; mix->processes && i < mix->count; i++)
        free(mix->processes[i].used);
    if (mix->state)
        munmap(mix->state, mix->pages > 0 ? mix->pages : 1);
    free(mix->owner);
    free(mix->pools);
    free(mix->processes);
    free(mix->members);
}

static void add_up(const struct mix *mix, const struct mix_result *results)
{
    struct mix_total *total = mix->total;

    for (uint32_t i = 0; i < mix->count; i++) {
        total->tally.references += results[i].tally.references;
        total->tally.faults += results[i].tally.faults;
        total->tally.evictions += results[i].tally.evictions;
        total->tally.write_backs += results[i].tally.write_backs;
        total->lost += results[i].lost;
        total->swap_outs += results[i].swap_outs;
        total->swapped += results[i].swapped;
    }
    total->moved = mix->scope.moved;
    total->starved = mix->scope.starved;
}

bool mix_run(const struct mix_config *config, const struct mix_process *processes, uint32_t count,
             struct mix_result *results, struct mix_total *total, struct trace_error *error)
{
    struct mix mix = {.config = config, .total = total, .error = error, .count = count};
    bool done;

    memset(results, 0, count * sizeof(*results));
    memset(total, 0, sizeof(*total));
    if (config->type->needs == POLICY_FUTURE)
        return fail(&mix, "this policy needs the future, which several processes do not have");
    if (count == 0 || count > MIX_PROCESSES || config->quantum == 0 || config->window == 0)
        return fail(&mix, "expected 1 to 1000 processes, and a quantum and a window above 0");
    done = make(&mix, processes, results) && run_all(&mix);
    if (done)
        add_up(&mix, results);
    unmake(&mix);
    return done;
}

bool mix_count_pages(struct trace *trace, uint32_t *pages, struct trace_error *error)
{
    struct policy_block block = {.count = 1};
    struct trace_info info;

    trace_get_info(trace, &info);
    while (info.pages == 0 && block.count > 0)
        if (!trace_next(trace, &block, error))
            return false;
    *pages = info.pages > 0 ? (uint32_t)info.pages : trace_pages(trace);
    return trace_rewind(trace, error);
}
