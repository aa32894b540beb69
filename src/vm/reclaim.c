/*
 * Reclaim: when pages leave memory, and how many. include/quire/reclaim.h, and docs/RECLAIM.md as a whole.
 *
 *            free frames
 *   ------- an eighth of memory: policies learn of all pages, once (watch)
 *   ------- high: the cleaner stops
 *   ------- low: the cleaner begins; faults go on meanwhile
 *   ------- the reserve: whoever wants a frame evicts pages himself
 *
 * Each fault that ends while memory is short comes by here (reclaim_upkeep), without any lock: time passes
 * for policies and members, a member that has more than it may gives, the cleaner is woken.
 *
 * Locking: pages_lock for what is below, too.
 */
#include "quire/reclaim.h"

#include "quire/slab.h"
#include "quire/work.h"
#include "vm/evict.h"
#include "vm/floor.h"
#include "vm/members.h"
#include "vm/pages.h"
#include "vm/shadow.h"
#include "vm/space_internal.h"

enum {
    /* So many batches in a row from which nothing could be freed (their pages were wanted again, or could not
     * be written) are enough to say that nothing can: all pages once, as compressed memory may refuse one
     * page and take another. */
    FRUITLESS_LEAST = 8,
    FRUITLESS_MOST = 1024,
    LOW_PART = 256, /* of memory */
    LOW_LEAST = 16,
    WINDOW_TICKS = 4,
    LEAST_PAGES = 16,
    SPARE_PART = 4,  /* the cleaner leaves alone what is less than so many times its high mark */
    SLACK_PART = 64, /* of a member's frames */
    SLACK_MOST = 16
};

static struct {
    uint64_t low, high; /* marks */
    struct work_clock clock;
    uint64_t worked; /* microseconds of it, and of faults */
    uint64_t began;  /* of these, when memory first fell short */
    uint64_t now;    /* microseconds of it, when somebody last came by */
    uint64_t since;  /* of that, when memory first fell short */
    uint64_t idle;   /* a: microseconds of load control in which nobody worked and nobody waited for memory */
    uint64_t next_tick;
    unsigned window_ticks;   /* so far */
    uint64_t window_returns; /* shadow_returns() when it began */
    uint64_t window_began;   /* time_of_all() then */
    unsigned patience;       /* the cleaner found nothing: so many wake-ups are passed over */
    bool cleaner_called;
    uint64_t direct, background; /* evictions */
    uint64_t known_first;        /* pages */
    uint64_t rounds, room_sum;   /* of the cleaner; what policies had when each began */
    uint64_t given,
        divided_sum; /* how often a member gave what it had too much; the frames that members shared then */
} state;

void reclaim_init(void)
{
    state = (__typeof__(state)){0};
    pages_init();
    members_init();
}

/* ------------------------------------------------------------------ memory gets short */

static void set_marks(void)
{
    struct frame_counts counts;
    uint64_t total, least;

    frames_count(&counts);
    total = counts.total - counts.by_use[FRAME_RESERVED];
    least = total / LOW_PART > LOW_LEAST ? total / LOW_PART : LOW_LEAST;
    floor_set(total);
    state.low = counts.reserve + least;
    state.high = state.low + 2 * least;
}

bool reclaim_watch(void)
{
    uint64_t worked_ns;
    enum status status;

    if (__atomic_load_n(&pages_watched, __ATOMIC_ACQUIRE))
        return true;
    lock_take(&pages_lock);
    status = members_start();
    if (status == ST_OK && !__atomic_load_n(&pages_watched, __ATOMIC_RELAXED)) {
        set_marks();
        worked_ns = host_worked_ns();
        work_fault_begins(&state.clock, worked_ns, NULL);
        state.worked = state.began = worked_ns / 1000;
        pool_now = state.now = state.since = state.clock.counted_ns / 1000;
        __atomic_store_n(&pages_watched, true, __ATOMIC_RELEASE);
    }
    lock_drop(&pages_lock);
    if (status != ST_OK)
        return false;
    host_tell(EVENT_SHORT, 0, frames_free());
    frames_set_mark(UINT64_MAX); /* faults come by from now on, also when memory is plentiful again */
    pages_sweep();
    state.known_first = pages_enrolled();
    return true;
}

/* ------------------------------------------------------------------ frames are wanted */

/* Nothing was found that can go. True: look again. */
static bool look_again(void)
{
    return pages_wait() || pages_sweep() > 0;
}

static uint64_t fruitless_batches(void)
{
    uint64_t all = pages_enrolled() / EVICT_BATCH;

    return all < FRUITLESS_LEAST ? FRUITLESS_LEAST : all > FRUITLESS_MOST ? FRUITLESS_MOST : all;
}

static uint64_t evict_some(uint64_t wanted, const struct search *search)
{
    uint64_t freed = 0, fruitless = 0, most = fruitless_batches();

    while (freed < wanted && fruitless < most) {
        uint64_t left = wanted - freed;
        struct evicted evicted = evict(left < EVICT_BATCH ? (unsigned)left : EVICT_BATCH, search);

        freed += evicted.freed;
        fruitless = evicted.freed > 0 ? 0 : fruitless + 1;
        if (evicted.chosen == 0 && (freed > 0 || !look_again()))
            break;
    }
    return freed;
}

static uint64_t reclaim_for(uint64_t wanted, uint32_t member)
{
    uint64_t freed = 0;

    if (reclaim_watch())
        freed = evict_some(wanted, &(struct search){SEARCH_ANYBODY, member});
    __atomic_fetch_add(&state.direct, freed, __ATOMIC_RELAXED);
    return freed > 0 ? freed : slab_trim();
}

uint64_t reclaim(uint64_t wanted)
{
    return reclaim_for(wanted, MEMBER_NOBODY);
}

/* With so few pages left that can go, a program that needs two of them at once would fetch each in the place
 * of the other for ever. */
static bool make_room(uint32_t member)
{
    if (reclaim_watch() && pages_enrolled() < LEAST_PAGES)
        return pages_wait() || slab_trim() > 0;
    return reclaim_for(EVICT_BATCH, member) > 0;
}

bool vm_make_room(void)
{
    return make_room(MEMBER_NOBODY) || host_memory_out(MEMBER_NOBODY);
}

bool vm_make_room_for(const struct space *space)
{
    return make_room(space_member(space));
}

uint64_t member_shrink(uint32_t member, uint64_t frames)
{
    return reclaim_watch() ? evict_some(frames, &(struct search){SEARCH_OWN, member}) : 0;
}

/* ------------------------------------------------------------------ time passes */

struct upkeep {
    uint64_t excess; /* frames that the member must give */
    uint64_t slack;  /* and these with them: one page a time would be one flush and one write for each */
    bool tick, window;
    bool wake;
};

static uint64_t slack_of(uint64_t frames)
{
    return frames / SLACK_PART < SLACK_MOST ? frames / SLACK_PART : SLACK_MOST;
}

void reclaim_fault_begins(const struct space *space)
{
    uint64_t worked_ns = host_worked_ns();

    lock_take(&pages_lock);
    work_fault_begins(&state.clock, worked_ns, space);
    lock_drop(&pages_lock);
}

/* Time since, in microseconds; 0 when the host's time has gone back meanwhile (host_worked_ns()). */
static uint64_t since(uint64_t then, uint64_t now)
{
    return now > then ? now - then : 0;
}

/* Locked. The microseconds worked since somebody last came by, faults included: turns and rates of faults go
 * by them, because programs that wait for pages have little time of their own. */
static uint64_t move_clock(void)
{
    uint64_t worked_ns = host_worked_ns(), passed = since(state.worked, worked_ns / 1000);

    state.now = work_now(&state.clock, worked_ns) / 1000;
    state.worked += passed;
    return passed;
}

/* What turns go by: work, faults included, and idle time. */
static uint64_t time_of_all(uint64_t worked)
{
    return since(state.began, worked) + __atomic_load_n(&state.idle, __ATOMIC_RELAXED);
}

void reclaim_ran(const struct space *space)
{
    if (__atomic_load_n(&pages_watched, __ATOMIC_ACQUIRE))
        members_ran(space_member(space), time_of_all(host_worked_ns() / 1000));
}

static bool tick_is_due(void)
{
    bool first = state.next_tick == 0;

    if (state.now < state.next_tick)
        return false;
    state.next_tick = state.now + policy_tick_us(pool_resident(&pools[0]));
    return !first;
}

static void begin_window(uint64_t now)
{
    state.window_ticks = 0;
    state.window_returns = shadow_returns();
    state.window_began = now;
}

/* After some ticks; or when so many pages have come back that memory does not hold what is wanted: programs
 * that wait for pages use little time. */
static bool window_is_over(bool tick)
{
    state.window_ticks += tick;
    if (state.window_ticks < WINDOW_TICKS && !members_turned_over(shadow_returns() - state.window_returns))
        return false;
    begin_window(time_of_all(state.worked));
    return true;
}

/* Locked. */
static void pass_time(struct upkeep *upkeep, const struct space *space)
{
    uint64_t passed = move_clock();

    pool_now = state.now;
    members_pass(time_of_all(state.worked));
    upkeep->excess = members_run(space ? space_member(space) : MEMBER_NOBODY, passed,
                                 space ? __atomic_load_n(&space->mapped_pages, __ATOMIC_RELAXED) : 0);
    if (upkeep->excess > 0) {
        state.given++;
        state.divided_sum += members_divided();
        upkeep->slack = slack_of(members_frames(space_member(space)));
    }
    upkeep->tick = tick_is_due();
    upkeep->window = members_measure_use() && window_is_over(upkeep->tick);
}

static void look_at_free_frames(struct upkeep *upkeep, uint64_t free, uint64_t enrolled)
{
    if (free >= state.low || enrolled < SPARE_PART * state.high)
        return; /* what little there is is in use: it goes only when somebody must have a frame */
    if (state.patience > 0)
        state.patience--;
    else
        upkeep->wake = state.cleaner_called = true;
}

static void tick(const struct upkeep *upkeep)
{
    if (upkeep->tick)
        pages_tick();
    if (upkeep->window)
        pages_end_window();
    if (pages_must_flush()) {
        STAT(flush_all);
        host_flush_all();
    }
}

static enum status keep_up(struct space *space)
{
    uint32_t member = space ? space_member(space) : MEMBER_NOBODY;
    struct upkeep upkeep = {0};
    uint64_t free, enrolled, wanted, given;
    bool starved;

    if (!reclaim_watch())
        return ST_OK; /* without memory for it now: the next one tries again */
    free = frames_free();
    lock_take(&pages_lock);
    pass_time(&upkeep, space);
    members_fit(member);
    enrolled = pages_enrolled_locked();
    members_resize(enrolled + free);
    look_at_free_frames(&upkeep, free, enrolled);
    lock_drop(&pages_lock);
    if (upkeep.tick || upkeep.window)
        tick(&upkeep);
    if (upkeep.wake)
        host_wake_soon(&state);
    if (upkeep.excess == 0)
        return ST_OK;
    wanted = upkeep.excess + upkeep.slack;
    host_stall_begin();
    given = evict_some(wanted, &(struct search){SEARCH_OWN, member});
    host_stall_end();
    lock_take(&pages_lock);
    starved = members_gave(member, given, wanted);
    lock_drop(&pages_lock);
    return starved ? ST_NO_MEMORY : ST_OK;
}

enum status reclaim_upkeep(struct space *space)
{
    enum status status = keep_up(space);

    if (space) {
        lock_take(&pages_lock);
        work_fault_ends(&state.clock, host_worked_ns(), space);
        lock_drop(&pages_lock);
    }
    return status;
}

/* ------------------------------------------------------------------ the cleaner */

/* What is left over would be a flush and a write for a few pages. */
static uint64_t whole_batches(uint64_t wanted)
{
    return wanted > EVICT_BATCH ? align_down(wanted, EVICT_BATCH) : wanted;
}

static void note_room(void)
{
    struct pages_counts counts;

    pages_count(&counts);
    lock_take(&pages_lock);
    state.room_sum += pages_enrolled_locked() + counts.leaving;
    state.rounds++;
    lock_drop(&pages_lock);
}

void reclaim_background(void)
{
    bool unclean;
    uint64_t freed;

    lock_take(&pages_lock);
    while (!state.cleaner_called && !pages_has_unclean())
        host_sleep(&state, &pages_lock);
    state.cleaner_called = false;
    unclean = pages_has_unclean();
    lock_drop(&pages_lock);
    if (unclean)
        evict_clean();
    if (frames_free() >= state.low)
        return;
    note_room();
    freed = evict_some(whole_batches(state.high - frames_free()),
                       &(struct search){SEARCH_ANYBODY, MEMBER_NOBODY});
    lock_take(&pages_lock);
    state.background += freed;
    state.patience = freed == 0 ? EVICT_BATCH : 0;
    lock_drop(&pages_lock);
}

void reclaim_call_cleaner(void)
{
    lock_take(&pages_lock);
    state.cleaner_called = true;
    lock_drop(&pages_lock);
    host_wake(&state);
}

/* ------------------------------------------------------------------ load control */

/* Locked. Ticks come with faults: when there are none, those who used memory in this window may long have
 * ceased to. */
static bool window_is_stale(uint64_t now)
{
    uint64_t ticks = WINDOW_TICKS * policy_tick_us(pool_resident(&pools[0])), turn = members_turn();

    return since(state.window_began, now) >= (ticks > turn ? ticks : turn);
}

enum scope_swap reclaim_balance(uint64_t idle_us, uint32_t *member)
{
    struct upkeep upkeep = {0};
    enum scope_swap what;
    uint64_t now;

    if (!reclaim_controls_load() || !__atomic_load_n(&pages_watched, __ATOMIC_ACQUIRE))
        return SWAP_NOTHING;
    lock_take(&pages_lock);
    __atomic_fetch_add(&state.idle, idle_us, __ATOMIC_RELAXED);
    now = time_of_all(host_worked_ns() / 1000);
    members_pass(now);
    upkeep.window = window_is_stale(now);
    if (upkeep.window)
        begin_window(now);
    lock_drop(&pages_lock);
    tick(&upkeep);
    lock_take(&pages_lock);
    what = members_balance(member);
    lock_drop(&pages_lock);
    return what;
}

void reclaim_swap_out(uint32_t member)
{
    uint32_t left;

    do {
        lock_take(&pages_lock);
        left = members_frames(member);
        lock_drop(&pages_lock);
    } while (left > 0 && evict_some(left, &(struct search){SEARCH_OWN, member}) > 0);
    lock_take(&pages_lock);
    members_swapped(member, SWAP_OUT);
    lock_drop(&pages_lock);
}

void reclaim_swap_in(uint32_t member)
{
    lock_take(&pages_lock);
    members_swapped(member, SWAP_IN);
    lock_drop(&pages_lock);
}

/* ------------------------------------------------------------------ reports and checks */

static void add_counters(struct reclaim_report *out, const struct policy *policy)
{
    struct policy_counter counters[RECLAIM_COUNTERS];
    size_t count = policy_counters(policy, counters, RECLAIM_COUNTERS);

    for (size_t i = 0; i < count; i++) {
        uint64_t before = i < out->counters ? out->counter[i].value : 0;

        out->counter[i] = (struct policy_counter){counters[i].name, counters[i].value + before};
    }
    if (count > out->counters)
        out->counters = count;
}

void reclaim_look(struct reclaim_report *out)
{
    struct pages_counts counts;

    pages_count(&counts);
    lock_take(&pages_lock);
    *out = (struct reclaim_report){
        .watched = pages_watched,
        .low = state.low,
        .high = state.high,
        .enrolled = pages_enrolled_locked(),
        .leaving = counts.leaving,
        .direct = state.direct,
        .background = state.background,
        .cleaned = counts.cleaned,
        .returned = counts.returned,
        .waits = counts.waits,
        .ticks = counts.ticks,
        .harvests = counts.harvests,
        .flushes = counts.flushes,
        .known_first = state.known_first,
        .rounds = state.rounds,
        .divided_mean = state.given ? state.divided_sum / state.given : 0,
        .room_mean = state.rounds ? state.room_sum / state.rounds : 0,
        .since_us = state.since,
        .time_us = state.now,
    };
    members_look(out);
    shadows_look(out);
    for (unsigned i = 0; i < pools_made; i++)
        if (pools[i].policy) {
            out->pools++;
            add_counters(out, pools[i].policy);
        }
    lock_drop(&pages_lock);
}

void reclaim_check(void)
{
    pages_check();
}

void reclaim_forget(void)
{
    __atomic_store_n(&pages_watched, false, __ATOMIC_RELAXED);
    pages_forget_all();
    lock_take(&pages_lock);
    members_end();
    shadows_end();
    lock_drop(&pages_lock);
}
