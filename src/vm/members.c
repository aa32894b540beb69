/*
 * Members. See members.h.
 *
 * A member that has ended may have frames left: pages of files that it touched first. They are nobody's until
 * somebody touches them (pages_touch()) or they go; until then its number is not given to another one.
 *
 * Invariants (members_check, scope_check): a living member's frames are the enrolled pages that are charged
 * to it; those of the dead and of nobody are `members_nobodys`; a member that is not in memory has none.
 */
#include "vm/members_internal.h"
#include "vm/shadow.h"

#include "vm/space_internal.h"

enum {
    OWN_POOL_FRAMES = 64, /* so many frames, and a member under local scope gets a pool of its own */
    RESIZE_PART = 32,
    IDLE_US = 100 * 1000, /* of others' work without having had a CPU */
    PAUSE_FAULTS = 8,  /* in which one that could not give enough gives nothing: what an instruction needs */
    REFUSALS_MOST = 16 /* in a row: one that is at its maximum gets no more */
};

struct pool pools[POOLS];
uint32_t pools_made;
struct scope members_scope;
struct scope_member members_list[MEMBERS_MAX];
struct record members_records[MEMBERS_MAX];
uint32_t members_nobodys;
uint64_t members_swap_outs, members_swap_ins;

static struct pool_kind kind;
static uint32_t last_given;
static uint32_t window; /* number of the present one, from 1 on */
static bool controls_load;

/* ------------------------------------------------------------------ the beginning */

static void set_policy(const struct policy_type *type, const uint64_t *options)
{
    struct policy_config standard;

    policy_standard(type, &standard);
    for (unsigned i = 0; i < POLICY_OPTIONS; i++)
        kind.options[i] = options ? options[i] : standard.options[i];
    kind.type = type;
}

/* Every frame that may ever hold a page. */
static uint32_t most_frames(void)
{
    return (uint32_t)frames_managed();
}

static enum status set_scope(const struct scope_config *config)
{
    struct scope_config own = *config;

    own.frames = most_frames();
    own.idle = own.strict ? 0 : IDLE_US;
    return scope_init(&members_scope, &own, members_list, 0);
}

void members_init(void)
{
    CHECK_ALWAYS(set_scope(&(struct scope_config){.kind = SCOPE_GLOBAL}) == ST_OK);
    for (unsigned i = 0; i < POOLS; i++)
        pools[i] = (struct pool){0};
    pools_made = 0;
    for (unsigned i = 0; i < MEMBERS_MAX; i++) {
        members_list[i] = (struct scope_member){0};
        members_records[i] = (struct record){0};
    }
    kind = (struct pool_kind){.host = pages_host};
    set_policy(policy_find("clock", 5), NULL);
    last_given = 0;
    members_nobodys = 0;
    window = 1;
    shadows_init();
    victims_chosen = victims_dirty = 0;
    members_swap_outs = members_swap_ins = 0;
    controls_load = false;
}

enum status reclaim_configure(const struct policy_type *type, const struct policy_config *policy,
                              const struct scope_config *config)
{
    enum status status = ST_OK;

    if (type && type->needs != POLICY_BITS)
        return ST_UNSUPPORTED;
    CHECK_ALWAYS(last_given == 0 && !pools[0].policy);
    if (config)
        status = set_scope(config);
    if (status == ST_OK && type)
        set_policy(type, policy ? policy->options : NULL);
    if (status == ST_OK && policy)
        kind.seed = policy->seed;
    return status;
}

void reclaim_control_load(void)
{
    controls_load = true;
}

bool reclaim_controls_load(void)
{
    return controls_load;
}

enum status members_start(void)
{
    enum status status = pools[0].policy ? ST_OK : pool_make(&pools[0], &kind, most_frames());

    if (status == ST_OK && pools_made == 0)
        pools_made = 1;
    if (status == ST_OK)
        shadows_make(most_frames());
    return status;
}

const struct policy_type *members_policy(void)
{
    return kind.type;
}

void members_end(void)
{
    for (unsigned i = 0; i < pools_made; i++)
        pool_end(&pools[i]);
    pools_made = 0;
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        members_records[i].pool = 0;
}

/* ------------------------------------------------------------------ lives */

static bool is_unused(uint32_t member)
{
    const struct record *record = &members_records[member];

    return !member_is_alive(member) && record->left == 0 && record->pool == 0 && record->fixed == 0 &&
           __atomic_load_n(&record->swapped, __ATOMIC_RELAXED) == 0;
}

/* In turn, so that a number comes back late. */
static uint32_t unused_number(void)
{
    for (uint32_t i = 1; i < MEMBERS_MAX; i++) {
        uint32_t number = 1 + (last_given + i - 1) % (MEMBERS_MAX - 1);

        if (is_unused(number))
            return number;
    }
    return MEMBER_NOBODY;
}

uint32_t member_create(void)
{
    uint32_t number;

    lock_take(&pages_lock);
    number = unused_number();
    if (number != MEMBER_NOBODY) {
        members_list[number] = (struct scope_member){.ran = members_scope.now};
        if (scope_join(&members_scope, number) != ST_OK)
            number = MEMBER_NOBODY;
    }
    if (number != MEMBER_NOBODY) {
        members_records[number] = (struct record){.refs = 1, .high = UINT64_MAX, .maximum = UINT64_MAX};
        last_given = number;
    }
    lock_drop(&pages_lock);
    return number;
}

void member_ref(uint32_t member)
{
    if (member != MEMBER_NOBODY)
        __atomic_fetch_add(&members_records[member].refs, 1, __ATOMIC_RELAXED);
}

static void end_pool_if_empty(uint32_t member)
{
    uint32_t pool = members_records[member].pool;

    if (pool == 0 || pool_resident(&pools[pool]) > 0)
        return;
    pool_end(&pools[pool]);
    members_records[member].pool = 0;
}

void member_unref(uint32_t member)
{
    if (member == MEMBER_NOBODY ||
        __atomic_sub_fetch(&members_records[member].refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    lock_take(&pages_lock);
    members_records[member].left = members_list[member].frames;
    members_nobodys += members_list[member].frames;
    members_list[member].frames = 0;
    scope_leave(&members_scope, member);
    end_pool_if_empty(member);
    lock_drop(&pages_lock);
}

static uint32_t as_frames(uint64_t frames)
{
    return frames < UINT32_MAX ? (uint32_t)frames : UINT32_MAX;
}

enum status member_set_class(uint32_t member, enum scope_class class, uint64_t minimum_frames)
{
    enum status status;

    lock_take(&pages_lock);
    status =
        scope_reclass(&members_scope, member, class, class == CLASS_ORDINARY ? 0 : as_frames(minimum_frames));
    lock_drop(&pages_lock);
    return status;
}

void member_set_bounds(uint32_t member, uint64_t high, uint64_t maximum)
{
    lock_take(&pages_lock);
    members_records[member].high = high;
    members_records[member].maximum = maximum;
    lock_drop(&pages_lock);
}

void member_set_low(uint32_t member, uint64_t frames)
{
    lock_take(&pages_lock);
    members_list[member].low = as_frames(frames);
    lock_drop(&pages_lock);
}

bool member_count_all(uint32_t member)
{
    if (!reclaim_watch())
        return false;
    lock_take(&pages_lock);
    members_records[member].counts_all = true;
    lock_drop(&pages_lock);
    return true;
}

bool members_counts_all(uint32_t member)
{
    return member < MEMBERS_MAX && member_is_alive(member) && members_records[member].counts_all;
}

void space_set_member(struct space *space, uint32_t member)
{
    uint32_t before;

    member_ref(member);
    before = __atomic_exchange_n(&space->member, member, __ATOMIC_RELAXED);
    member_unref(before);
}

uint32_t space_member(const struct space *space)
{
    return __atomic_load_n(&space->member, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ charging */

/* One that is swapped out as a whole has no frames. */
static bool can_be_charged(uint32_t member)
{
    return member < MEMBERS_MAX && member_is_alive(member) && members_list[member].place == MEMBER_IN;
}

bool members_is_free(const struct frame *frame)
{
    uint32_t member = frame_member(frame);

    return member >= MEMBERS_MAX || !member_is_alive(member);
}

static void count_kind(struct record *record, const struct frame *frame, uint32_t change)
{
    if (frame->use == FRAME_FILE)
        record->file += change;
    else if (frame->use == FRAME_SHARED)
        record->shared += change;
}

void members_charge(struct frame *frame, enum arrival how)
{
    uint32_t member = frame->paging.member;
    struct record *record = &members_records[member < MEMBERS_MAX ? member : MEMBER_NOBODY];

    if (!can_be_charged(member)) {
        frame_set_member(frame, MEMBER_NOBODY);
        members_nobodys++;
        return;
    }
    if (frame->paging.spare == POOL_NONE)
        record->fixed++;
    else
        members_list[member].frames++;
    count_kind(record, frame, 1);
    if (member_total(member) > record->frames_peak)
        record->frames_peak = member_total(member);
    members_list[member].faults += how == ARRIVED;
}

void members_uncharge(struct frame *frame)
{
    uint32_t member = frame->paging.member;

    if (member_is_alive(member))
        count_kind(&members_records[member], frame, UINT32_MAX);
    if (frame->paging.spare == POOL_NONE) {
        members_records[member].fixed--;
        return;
    }
    if (member_is_alive(member)) {
        members_list[member].frames--;
        return;
    }
    members_nobodys--;
    if (members_records[member].left > 0 && --members_records[member].left == 0)
        end_pool_if_empty(member);
}

void members_looked_at(const struct frame *frame)
{
    if (member_is_alive(frame->paging.member))
        members_records[frame->paging.member].looked_at++;
}

void members_refault(struct frame *frame)
{
    if (!member_is_alive(frame->paging.member))
        return;
    members_records[frame->paging.member].refaults[frame->use == FRAME_FILE]++;
    members_records[frame->paging.member].files_back += frame->use == FRAME_FILE;
    members_note_use(frame);
}

void members_swapped_pages(uint32_t member, int change)
{
    if (member != MEMBER_NOBODY)
        __atomic_fetch_add(&members_records[member].swapped, (uint32_t)change, __ATOMIC_RELAXED);
}

uint32_t members_in_swap(uint32_t member)
{
    return __atomic_load_n(&members_records[member].swapped, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ pools */

uint32_t members_pool(const struct frame *frame)
{
    return member_is_alive(frame->paging.member) ? members_records[frame->paging.member].pool : 0;
}

static uint32_t unused_pool(void)
{
    for (uint32_t i = 1; i < POOLS; i++)
        if (!pools[i].policy)
            return i;
    return 0;
}

/* The member's pages move from the shared pool to its own. */
static void move_pages(uint32_t member, uint32_t to)
{
    for (uint32_t number = 0; number < pools[0].names.used; number++) {
        struct frame *frame = pool_frame(&pools[0], number);
        uint8_t state = pools[0].policy->state[number];

        if (!frame || frame->paging.member != member)
            continue;
        if (pool_resident(&pools[to]) == pools[to].policy->most_frames)
            return;
        pool_remove(&pools[0], frame);
        CHECK_ALWAYS(pool_insert(&pools[to], frame, 0, pool_name(frame)));
        pools[to].policy->state[frame->paging.number] |= state & (POLICY_REFERENCED | POLICY_DIRTY);
        frame->paging.spare = to;
    }
}

/* As large as its target, or twice what it has, or its pool (pages that are charged to nobody any more, too):
 * it is made anew when that is not enough. */
static uint32_t pool_size(uint32_t member)
{
    uint32_t number = members_records[member].pool;
    uint64_t frames = number != 0 ? pool_resident(&pools[number]) : 0;

    if (frames < members_list[member].frames)
        frames = members_list[member].frames;
    frames *= 2;
    if (frames < members_list[member].target)
        frames = members_list[member].target;
    return frames < most_frames() ? (uint32_t)frames : most_frames();
}

void members_fit(uint32_t member)
{
    struct record *record = &members_records[member];
    uint32_t number = record->pool;

    if (!scope_is_local() || !member_is_alive(member) || members_list[member].frames < OWN_POOL_FRAMES)
        return;
    if (number != 0) {
        if (pool_resident(&pools[number]) == pools[number].policy->most_frames &&
            pools[number].policy->most_frames < most_frames())
            (void)!pool_grow(&pools[number], &kind,
                             pool_size(member)); /* else the rest is in the shared one */
        return;
    }
    number = unused_pool();
    if (number == 0 || pool_make(&pools[number], &kind, pool_size(member)) != ST_OK)
        return;
    pools[number].member = member;
    if (pools_made <= number)
        pools_made = number + 1;
    record->pool = number;
    move_pages(member, number);
}

void members_fit_pools(void)
{
    pool_fit(&pools[0], pool_resident(&pools[0]) + frames_free());
    for (uint32_t i = 1; i < pools_made; i++)
        if (pools[i].policy)
            pool_fit(&pools[i], members_list[pools[i].member].target); /* or what is lent to it */
}

uint32_t members_divided(void)
{
    return members_scope.config.frames;
}

void members_resize(uint64_t frames)
{
    uint32_t now = members_scope.config.frames, then = as_frames(frames);

    if ((then > now ? then - now : now - then) > now / RESIZE_PART)
        scope_resize(&members_scope, then);
}

/* ------------------------------------------------------------------ what members use */

bool members_measure_use(void)
{
    return controls_load || (scope_is_local() && members_scope.config.rule == SCOPE_PFF);
}

void members_note_use(struct frame *frame)
{
    if (frame->window == window || !member_is_alive(frame->paging.member))
        return;
    frame->window = window;
    members_records[frame->paging.member].used++;
}

bool members_turned_over(uint64_t refaults)
{
    return refaults >= members_scope.config.frames;
}

/* A page that went and came back several times was counted each time, so no more than it has. */
static uint32_t used_by(uint32_t member)
{
    const struct record *record = &members_records[member];
    uint64_t has =
        member_total(member) + __atomic_load_n(&record->swapped, __ATOMIC_RELAXED) + record->files_back;

    return record->used < has ? record->used : (uint32_t)has;
}

void members_end_window(void)
{
    for (uint32_t i = 1; i < members_scope.count; i++) {
        if (members_list[i].place == MEMBER_IN)
            members_list[i].working_set = used_by(i);
        members_records[i].used = members_records[i].files_back = 0;
    }
    window++;
}

void members_ran(uint32_t member, uint64_t now)
{
    if (member < MEMBERS_MAX)
        __atomic_store_n(&members_list[member].ran, now, __ATOMIC_RELAXED);
}

void members_pass(uint64_t now)
{
    if (members_scope.now < now)
        members_scope.now = now;
}

uint64_t members_run(uint32_t member, uint64_t time, uint64_t pages)
{
    struct record *record = &members_records[member];
    uint64_t bound = record->maximum, frames;

    if (!member_is_alive(member))
        return 0;
    members_list[member].time += time;
    members_ran(member, members_scope.now);
    members_list[member].pages = as_frames(pages);
    (void)scope_measure(&members_scope,
                        member); /* who has too much now gives when frames are wanted, or when he runs */
    frames = member_total(member);
    record->above_maximum += frames > record->maximum;
    record->above_high += frames > record->high;
    if (record->high < bound)
        bound = record->high;
    if (scope_is_local() && members_scope.config.strict &&
        members_list[member].target + (uint64_t)record->fixed < bound)
        bound = members_list[member].target + (uint64_t)record->fixed;
    if (frames <= bound)
        return 0;
    if (record->patience == 0)
        return frames - bound;
    record->patience--;
    return 0;
}

bool members_gave(uint32_t member, uint64_t given, uint64_t wanted)
{
    struct record *record = &members_records[member];
    bool starves;

    if (!member_is_alive(member))
        return false;
    record->refusals = given < wanted ? record->refusals + 1 : 0;
    starves = (given == 0 || record->refusals > REFUSALS_MOST) && member_total(member) > record->maximum;
    record->patience = given < wanted && !starves ? PAUSE_FAULTS : 0;
    record->starved += starves;
    return starves;
}

/* ------------------------------------------------------------------ load control */

enum scope_swap members_balance(uint32_t *member)
{
    return scope_balance(&members_scope, member);
}

uint64_t members_turn(void)
{
    return members_scope.config.turn;
}

bool member_is_out(uint32_t member)
{
    bool out;

    lock_take(&pages_lock);
    out = member_is_alive(member) && members_list[member].place == MEMBER_OUT;
    lock_drop(&pages_lock);
    return out;
}

/* What could not go (somebody holds it) is nobody's from now on. */
static void disown(uint32_t member)
{
    for (uint32_t i = 0; i < pools_made; i++)
        for (uint32_t number = 0; pools[i].policy && number < pools[i].names.used; number++) {
            struct frame *frame = pool_frame(&pools[i], number);

            if (!frame || frame->paging.member != member)
                continue;
            members_uncharge(frame);
            frame_set_member(frame, MEMBER_NOBODY);
            members_charge(frame, FOUND);
        }
}

void members_swapped(uint32_t member, enum scope_swap how)
{
    if (!member_is_alive(member) || (how == SWAP_IN) != (members_list[member].place == MEMBER_OUT))
        return;
    if (how == SWAP_OUT) {
        disown(member);
        members_records[member].swap_outs++;
        members_swap_outs++;
    } else {
        members_swap_ins++;
    }
    scope_swapped(&members_scope, member, how);
}

uint32_t members_frames(uint32_t member)
{
    return member_is_alive(member) ? members_list[member].frames : 0;
}
