/*
 * Allocation, classes and load control: decisions of quire/scope.h. Whose page goes: scope_give.c.
 *
 * Equal and proportional allocation: as textbooks have them (Silberschatz, Galvin, Gagne, Operating System
 * Concepts, "Allocation of Frames": 93 frames for 5 processes are 18 each; 62 frames for processes of 10 and
 * 127 pages are 4 and 57). What division leaves over stays free. Departure: classes put a floor under a
 * target, and the rest is divided among those above theirs.
 *
 * Page-fault frequency: W. W. Chu and H. Opderbeck, "Program Behavior and the Page-Fault-Frequency
 * Replacement Algorithm", Computer 9(11), 1976, in the form with two bounds. Departure: the rate is counted
 * over a window of the member's time rather than from one fault to the next, a step is an eighth of the
 * target, and a member above the upper bound takes from one below the lower when no frame is free.
 *
 * Load control: P. J. Denning, "Working Sets Past and Present", IEEE TSE 6(1), 1980: the sum of the working
 * sets of those in memory shall not outgrow it. Departure: so that nobody waits for ever, one that has been
 * out for a turn takes the place of one that has been in for a turn.
 *
 * Invariants (scope_check): targets of members in memory are at least 1 and add up to at most all frames,
 * those of others are 0; nobody who is not in memory has frames.
 */
#include "quire/scope.h"

#include "base/check.h"

enum { MILLION = 1000000, STEP = 8, IDLE_WINDOWS = 2 };

static void divide(struct scope *scope);

/* ------------------------------------------------------------------ members */

static bool is_in(const struct scope_member *member)
{
    return member->place == MEMBER_IN;
}

static uint32_t count_in(const struct scope *scope)
{
    uint32_t in = 0;

    for (uint32_t i = 0; i < scope->count; i++)
        in += is_in(&scope->members[i]);
    return in;
}

/* What everybody who is not gone has in any case: a vvip its minimum, others a frame. */
static uint64_t guaranteed(const struct scope_member *member)
{
    if (member->place == MEMBER_GONE)
        return 0;
    return member->class == CLASS_VVIP && member->minimum > 1 ? member->minimum : 1;
}

static uint64_t all_guaranteed(const struct scope *scope)
{
    uint64_t frames = 0;

    for (uint32_t i = 0; i < scope->count; i++)
        frames += guaranteed(&scope->members[i]);
    return frames;
}

enum status scope_init(struct scope *scope, const struct scope_config *config, struct scope_member *members,
                       uint32_t count)
{
    uint64_t needed = 0;

    if (config->frames == 0 || config->pff_low > config->pff_high ||
        (config->rule == SCOPE_PFF && config->pff_window == 0))
        return ST_INVALID;
    for (uint32_t i = 0; i < count; i++)
        needed += members[i].class == CLASS_VVIP && members[i].minimum > 1 ? members[i].minimum : 1;
    if (needed > config->frames)
        return ST_LIMIT;
    *scope = (struct scope){.config = *config, .members = members, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        members[i].place = MEMBER_IN;
        members[i].target = 0;
        members[i].since = 0;
    }
    divide(scope);
    return ST_OK;
}

void scope_leave(struct scope *scope, uint32_t member)
{
    CHECK(scope->members[member].frames == 0);
    scope->members[member].place = MEMBER_GONE;
    scope->members[member].working_set = 0;
    divide(scope);
}

enum status scope_join(struct scope *scope, uint32_t number)
{
    struct scope_member *member = &scope->members[number];

    member->place = MEMBER_IN;
    if ((number < scope->count ? all_guaranteed(scope) : all_guaranteed(scope) + guaranteed(member)) >
        scope->config.frames) {
        member->place = MEMBER_GONE;
        return ST_LIMIT;
    }
    for (; scope->count <= number; scope->count++)
        if (scope->count < number)
            scope->members[scope->count] = (struct scope_member){0};
    member->target = 0;
    member->since = scope->now;
    divide(scope);
    return ST_OK;
}

enum status scope_reclass(struct scope *scope, uint32_t number, enum scope_class class, uint32_t minimum)
{
    struct scope_member *member = &scope->members[number], old = *member;

    member->class = class;
    member->minimum = minimum;
    if (all_guaranteed(scope) > scope->config.frames) {
        *member = old;
        return ST_LIMIT;
    }
    divide(scope);
    return ST_OK;
}

void scope_resize(struct scope *scope, uint32_t frames)
{
    uint64_t least = all_guaranteed(scope);

    scope->config.frames = frames > least ? frames : least > 0 ? (uint32_t)least : 1;
    divide(scope);
}

/* ------------------------------------------------------------------ dividing the frames */

/* A member's floor is one frame, or what its class protects. What is guaranteed always fits, what is
 * protected as a vip's is as far as there is room, in the order of their numbers; `room` is what is left of
 * it. */
static uint32_t floor_of(const struct scope_member *member, uint64_t *room)
{
    uint64_t sure = guaranteed(member);
    uint64_t extra = scope_protected(member) > sure ? scope_protected(member) - sure : 0;

    extra = extra < *room ? extra : *room;
    *room -= extra;
    return (uint32_t)(sure + extra);
}

/* What vip members can have above one frame each when everybody else has his floor. */
static uint64_t room_for_vips(const struct scope *scope)
{
    uint64_t room = scope->config.frames;

    for (uint32_t i = 0; i < scope->count; i++) {
        const struct scope_member *member = &scope->members[i];

        if (is_in(member))
            room -= guaranteed(member);
    }
    return room;
}

static uint64_t weight_of(const struct scope *scope, const struct scope_member *member)
{
    return scope->config.rule == SCOPE_PROPORTIONAL && member->pages > 0 ? member->pages : 1;
}

/* Among members without a target yet: those whose share of `left` would be below their floor get that, and
 * the others' share changes. False: there was none. */
static bool raise_to_floors(struct scope *scope, uint64_t *left, uint64_t *weights)
{
    uint64_t room = room_for_vips(scope), share_left = *left, share_weights = *weights;
    bool raised = false;

    for (uint32_t i = 0; i < scope->count; i++) {
        struct scope_member *member = &scope->members[i];
        uint32_t least;

        if (!is_in(member))
            continue;
        least = floor_of(member, &room);
        if (member->target != 0 || share_left * weight_of(scope, member) / share_weights >= least)
            continue;
        member->target = least;
        *left -= least;
        *weights -= weight_of(scope, member);
        raised = true;
    }
    return raised;
}

static void divide_anew(struct scope *scope)
{
    uint64_t left = scope->config.frames, weights = 0;

    for (uint32_t i = 0; i < scope->count; i++) {
        scope->members[i].target = 0;
        if (is_in(&scope->members[i]))
            weights += weight_of(scope, &scope->members[i]);
    }
    while (weights > 0 && raise_to_floors(scope, &left, &weights))
        continue;
    for (uint32_t i = 0; i < scope->count; i++) {
        struct scope_member *member = &scope->members[i];

        if (is_in(member) && member->target == 0)
            member->target = (uint32_t)(left * weight_of(scope, member) / weights);
    }
}

/* ------------------------------------------------------------------ page-fault frequency */

static uint64_t pool(const struct scope *scope)
{
    uint64_t targets = 0;

    for (uint32_t i = 0; i < scope->count; i++)
        targets += scope->members[i].target;
    return scope->config.frames - targets;
}

/* How much of its target a member can be made to give. */
static uint32_t above_floor(const struct scope_member *member, bool also_vips_minimum)
{
    uint64_t least = guaranteed(member);

    if (!also_vips_minimum && scope_protected(member) > least)
        least = scope_protected(member);
    return is_in(member) && member->target > least ? member->target - (uint32_t)least : 0;
}

/* Of that, what it did not use lately. */
static uint32_t unused(const struct scope_member *member, bool also_vips_minimum)
{
    uint32_t above = above_floor(member, also_vips_minimum);
    uint32_t idle = member->target > member->working_set ? member->target - member->working_set : 0;

    return above < idle ? above : idle;
}

/* It faults seldom; or it hardly runs at all, and so is not measured. */
static bool can_spare(const struct scope *scope, const struct scope_member *member)
{
    uint64_t passed = scope->now - member->began;

    return member->rate < scope->config.pff_low ||
           passed / IDLE_WINDOWS / count_in(scope) >= scope->config.pff_window;
}

/* What `member` gives to `taker`: to a higher class all above its floor, to others what it does not use, if
 * it faults seldom. */
static uint32_t gives(const struct scope *scope, const struct scope_member *member,
                      const struct scope_member *taker, bool also_vips_minimum)
{
    if (member == taker)
        return 0;
    if (member->class < taker->class)
        return above_floor(member, also_vips_minimum);
    return can_spare(scope, member) ? unused(member, also_vips_minimum) : 0;
}

/* Who gives: the one that faults least; NULL: nobody. */
static struct scope_member *giver(const struct scope *scope, const struct scope_member *taker,
                                  bool also_vips_minimum)
{
    struct scope_member *best = NULL;

    for (uint32_t i = 0; i < scope->count; i++) {
        struct scope_member *member = &scope->members[i];

        if (gives(scope, member, taker, also_vips_minimum) > 0 &&
            (!best || member->rate < best->rate ||
             (member->rate == best->rate && member->target > best->target)))
            best = member;
    }
    return best;
}

static uint32_t step_of(const struct scope_member *member)
{
    return member->target / STEP > 1 ? member->target / STEP : 1;
}

/* Up to `wanted` frames from other members; only a vvip below its minimum gets at a vip's. */
static uint32_t take_from_others(struct scope *scope, const struct scope_member *taker, uint32_t wanted)
{
    bool needy = taker->class == CLASS_VVIP && taker->target < taker->minimum;
    uint32_t got = 0;

    while (got < wanted) {
        struct scope_member *from = giver(scope, taker, false);
        uint32_t part;

        if (!from && needy)
            from = giver(scope, taker, true);
        if (!from)
            break;
        part = gives(scope, from, taker, needy);
        part = part < step_of(from) ? part : step_of(from);
        part = part < wanted - got ? part : wanted - got;
        from->target -= part;
        got += part;
    }
    scope->moved += got;
    return got;
}

static bool grow(struct scope *scope, struct scope_member *member)
{
    uint32_t wanted = step_of(member), got;
    uint64_t free = pool(scope);

    if (member->pages > 0 && member->target + wanted > member->pages)
        wanted = member->pages > member->target ? member->pages - member->target : 0;
    got = free < wanted ? (uint32_t)free : wanted;
    got += take_from_others(scope, member, wanted - got);
    scope->starved += got < wanted;
    member->target += got;
    return got > 0;
}

static bool shrink(struct scope_member *member)
{
    uint32_t part = unused(member, false);

    part = part < step_of(member) ? part : step_of(member);
    member->target -= part;
    return part > 0;
}

static void begin_window(const struct scope *scope, struct scope_member *member)
{
    member->began = scope->now;
    member->window = member->time;
    member->measured = member->faults;
}

bool scope_measure(struct scope *scope, uint32_t number)
{
    struct scope_member *member = &scope->members[number];
    uint64_t passed = member->time - member->window, rate;

    if (scope->config.kind != SCOPE_LOCAL || scope->config.rule != SCOPE_PFF || !is_in(member) ||
        passed < scope->config.pff_window)
        return false;
    rate = (member->faults - member->measured) * MILLION / passed;
    member->rate = rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX;
    begin_window(scope, member);
    if (member->rate > scope->config.pff_high)
        return grow(scope, member);
    return member->rate < scope->config.pff_low && shrink(member);
}

/* The one with most above its floor, for who must have his. */
static struct scope_member *richest(const struct scope *scope)
{
    struct scope_member *best = NULL;

    for (uint32_t i = 0; i < scope->count; i++) {
        struct scope_member *member = &scope->members[i];

        if (above_floor(member, true) > (best ? above_floor(best, true) : 0))
            best = member;
    }
    return best;
}

/* Frames above an equal share that a member may have, and has never taken. */
static uint32_t untaken(const struct scope_member *member, uint64_t share)
{
    uint32_t above = above_floor(member, false);
    uint64_t keeps = member->frames > share ? member->frames : share;
    uint32_t rest = member->target > keeps ? member->target - (uint32_t)keeps : 0;

    return above < rest ? above : rest;
}

/* Up to `wanted` of those, from whoever has most. */
static uint32_t take_untaken(struct scope *scope, uint64_t share, uint32_t wanted)
{
    uint32_t got = 0;

    while (got < wanted) {
        struct scope_member *from = &scope->members[0];
        uint32_t part;

        for (uint32_t i = 1; i < scope->count; i++)
            if (untaken(&scope->members[i], share) > untaken(from, share))
                from = &scope->members[i];
        part = untaken(from, share) < wanted - got ? untaken(from, share) : wanted - got;
        if (part == 0)
            break;
        from->target -= part;
        got += part;
    }
    return got;
}

/* One that comes gets an equal share as far as it is free, and in any case its floor. */
static void settle(struct scope *scope, struct scope_member *member)
{
    uint64_t share = scope->config.frames / count_in(scope), free = pool(scope);
    uint32_t least = member->class == CLASS_VVIP && member->minimum > 1 ? member->minimum : 1;
    uint64_t wanted = share > least ? share : least;
    uint32_t target = (uint32_t)(free < wanted ? free : wanted);

    target += take_untaken(scope, share, (uint32_t)wanted - target);
    while (target < least) {
        struct scope_member *from = richest(scope);

        CHECK_ALWAYS(from != NULL); /* scope_init(): every floor fits */
        from->target--;
        target++;
    }
    member->target = target;
    member->rate = scope->config.pff_low;
    begin_window(scope, member);
}

/* Targets that no longer fit, or are below a floor that has risen: all give in proportion to what they have
 * above their floors. */
static void fit_targets(struct scope *scope)
{
    uint64_t room = room_for_vips(scope), floors = 0, above = 0, left;

    for (uint32_t i = 0; i < scope->count; i++) {
        struct scope_member *member = &scope->members[i];
        uint32_t least;

        if (member->target == 0)
            continue;
        least = floor_of(member, &room);
        member->target = member->target > least ? member->target : least;
        floors += least;
        above += member->target - least;
    }
    left = scope->config.frames > floors ? scope->config.frames - floors : 0;
    if (above <= left)
        return;
    room = room_for_vips(scope);
    for (uint32_t i = 0; i < scope->count; i++) {
        struct scope_member *member = &scope->members[i];

        if (member->target == 0)
            continue;
        floors = floor_of(member, &room);
        member->target = (uint32_t)(floors + (member->target - floors) * left / above);
    }
}

static void divide_by_need(struct scope *scope)
{
    for (uint32_t i = 0; i < scope->count; i++)
        if (!is_in(&scope->members[i]))
            scope->members[i].target = 0;
    fit_targets(scope);
    for (uint32_t i = 0; i < scope->count; i++)
        if (is_in(&scope->members[i]) && scope->members[i].target == 0)
            settle(scope, &scope->members[i]);
}

/* The members in memory have changed: who may have how many? */
static void divide(struct scope *scope)
{
    if (scope->config.kind != SCOPE_LOCAL)
        return;
    if (scope->config.rule == SCOPE_PFF)
        divide_by_need(scope);
    else
        divide_anew(scope);
}

/* ------------------------------------------------------------------ load control */

uint64_t scope_demand(const struct scope *scope)
{
    uint64_t demand = 0;

    for (uint32_t i = 0; i < scope->count; i++)
        if (is_in(&scope->members[i]))
            demand += scope->members[i].working_set;
    return demand;
}

/* Could it be swapped out, and would that make room? Who sleeps uses nothing. */
static bool is_movable(const struct scope_member *member)
{
    return is_in(member) && member->class != CLASS_VVIP && member->working_set > 0;
}

static uint32_t count_movable(const struct scope *scope)
{
    uint32_t movable = 0;

    for (uint32_t i = 0; i < scope->count; i++)
        movable += is_movable(&scope->members[i]);
    return movable;
}

/* Who goes: of the lowest class, the one that came in first (of several: the last). */
static uint32_t longest_in(const struct scope *scope)
{
    uint32_t best = SCOPE_NOBODY;

    for (uint32_t i = 0; i < scope->count; i++) {
        const struct scope_member *member = &scope->members[i], *other;

        if (!is_movable(member))
            continue;
        other = best == SCOPE_NOBODY ? NULL : &scope->members[best];
        if (!other || member->class < other->class ||
            (member->class == other->class && member->since <= other->since))
            best = i;
    }
    return best;
}

/* Who comes: of the highest class, the one that went out first, among those whose working set is at most
 * `room`. */
static uint32_t longest_out(const struct scope *scope, uint64_t room)
{
    uint32_t best = SCOPE_NOBODY;

    for (uint32_t i = 0; i < scope->count; i++) {
        const struct scope_member *member = &scope->members[i], *other;

        if (member->place != MEMBER_OUT || member->working_set > room)
            continue;
        other = best == SCOPE_NOBODY ? NULL : &scope->members[best];
        if (!other || member->class > other->class ||
            (member->class == other->class && member->since < other->since))
            best = i;
    }
    return best;
}

/* One that has waited for a whole turn; nobody else may come in before it. */
static uint32_t overdue(const struct scope *scope)
{
    uint32_t first = SCOPE_NOBODY;

    for (uint32_t i = 0; scope->config.turn > 0 && i < scope->count; i++)
        if (scope->members[i].place == MEMBER_OUT &&
            scope->now - scope->members[i].since >= scope->config.turn &&
            (first == SCOPE_NOBODY || scope->members[i].since < scope->members[first].since))
            first = i;
    return first;
}

/* Is it somebody's turn to make room for `waiting`? */
static bool stayed_long(const struct scope *scope, uint32_t member, uint32_t waiting)
{
    return member != SCOPE_NOBODY && scope->now - scope->members[member].since >= scope->config.turn &&
           scope->members[member].class <= scope->members[waiting].class;
}

static enum scope_swap answer(uint32_t who, enum scope_swap how, uint32_t *member)
{
    *member = who;
    return who == SCOPE_NOBODY ? SWAP_NOTHING : how;
}

enum scope_swap scope_balance(const struct scope *scope, uint32_t *member)
{
    uint64_t demand = scope_demand(scope), frames = scope->config.frames;
    uint32_t first = overdue(scope), movable = count_movable(scope);

    if (demand > frames && movable > 1)
        return answer(longest_in(scope), SWAP_OUT, member);
    if (movable == 0)
        return answer(first != SCOPE_NOBODY ? first : longest_out(scope, UINT64_MAX), SWAP_IN, member);
    if (demand > frames && first == SCOPE_NOBODY)
        return answer(SCOPE_NOBODY, SWAP_NOTHING, member);
    if (first == SCOPE_NOBODY)
        return answer(longest_out(scope, frames - demand), SWAP_IN, member);
    if (demand + scope->members[first].working_set <= frames)
        return answer(first, SWAP_IN, member);
    if (stayed_long(scope, longest_in(scope), first))
        return answer(longest_in(scope), SWAP_OUT, member);
    return answer(SCOPE_NOBODY, SWAP_NOTHING, member);
}

void scope_swapped(struct scope *scope, uint32_t number, enum scope_swap how)
{
    struct scope_member *member = &scope->members[number];

    CHECK(how == SWAP_IN ? member->place == MEMBER_OUT : is_in(member) && member->frames == 0);
    member->place = how == SWAP_IN ? MEMBER_IN : MEMBER_OUT;
    member->since = scope->now;
    divide(scope);
}

/* ------------------------------------------------------------------ checking */

const char *scope_check(const struct scope *scope)
{
    uint64_t targets = 0, frames = 0;

    for (uint32_t i = 0; i < scope->count; i++) {
        const struct scope_member *member = &scope->members[i];

        if (!is_in(member) && (member->target != 0 || member->frames != 0))
            return "a member that is not in memory has frames, or may have some";
        if (is_in(member) && scope->config.kind == SCOPE_LOCAL && member->target == 0)
            return "a member in memory may have no frame";
        if (is_in(member) && scope->config.kind == SCOPE_LOCAL && member->class == CLASS_VVIP &&
            member->target < member->minimum)
            return "a vvip's target is below its minimum";
        targets += member->target;
        frames += member->frames;
    }
    return targets > scope->config.frames || frames > scope->config.frames
               ? "members have, or may have, more frames than there are"
               : NULL;
}
