/*
 * Whose page goes: what the kernel and the runtime ask of quire/scope.h when a frame is wanted.
 *
 * Lending. Textbooks keep a process to its allocation whether frames are free or not (`strict`). Otherwise a
 * target only says who gives when none is free: then members share what there is by their targets, but a
 * program that runs alone has all of memory.
 */
#include "quire/scope.h"

enum { WORD_BITS = 64 };

/* ------------------------------------------------------------------ global scope */

bool scope_spares(const struct scope *scope, uint32_t owner, uint32_t taker, unsigned round)
{
    const struct scope_member *member = &scope->members[owner];

    if (member->frames > (round == 0 ? scope_protected(member) : member->minimum) ||
        (round > 0 && member->class != CLASS_VVIP))
        return false;
    return round < 2 || owner != taker;
}

/* ------------------------------------------------------------------ local scope */

bool scope_is_idle(const struct scope *scope, uint32_t number)
{
    uint64_t ran = __atomic_load_n(&scope->members[number].ran, __ATOMIC_RELAXED);

    return scope->config.idle > 0 && scope->now > ran && scope->now - ran >= scope->config.idle;
}

uint32_t scope_excess(const struct scope *scope, uint32_t number)
{
    const struct scope_member *member = &scope->members[number];
    uint32_t keeps = scope_is_idle(scope, number) ? scope_protected(member) : member->target;

    return member->frames > keeps ? member->frames - keeps : 0;
}

static uint32_t idle_excess(const struct scope *scope, uint32_t number)
{
    return scope_is_idle(scope, number) ? scope_excess(scope, number) : 0;
}

static uint32_t unprotected(const struct scope *scope, uint32_t number)
{
    const struct scope_member *member = &scope->members[number];
    uint32_t keeps = scope_protected(member);

    return member->frames > keeps ? member->frames - keeps : 0;
}

static uint32_t not_guaranteed(const struct scope *scope, uint32_t number)
{
    const struct scope_member *member = &scope->members[number];
    uint32_t sure = member->class == CLASS_VVIP ? member->minimum : 0;

    return member->frames > sure ? member->frames - sure : 0;
}

static bool can_give(const struct scope *scope, uint32_t number, const uint64_t *empty)
{
    return scope->members[number].frames > 0 && !(empty[number / WORD_BITS] >> number % WORD_BITS & 1);
}

/* Who has most of it; SCOPE_NOBODY: nobody has any. */
static uint32_t worst(const struct scope *scope, const uint64_t *empty,
                      uint32_t (*measure)(const struct scope *scope, uint32_t number))
{
    uint32_t best = SCOPE_NOBODY;

    for (uint32_t i = 0; i < scope->count; i++)
        if (can_give(scope, i, empty) &&
            measure(scope, i) > (best != SCOPE_NOBODY ? measure(scope, best) : 0))
            best = i;
    return best;
}

uint32_t scope_giver(const struct scope *scope, uint32_t taker, const uint64_t *empty)
{
    bool taker_gives = taker != SCOPE_NOBODY && can_give(scope, taker, empty);
    uint32_t giver;

    if (taker_gives && scope->config.strict && scope->members[taker].frames >= scope->members[taker].target)
        return taker;
    giver = worst(scope, empty, idle_excess);
    if (giver == SCOPE_NOBODY)
        giver = worst(scope, empty, scope_excess);
    if (giver == SCOPE_NOBODY && taker_gives && unprotected(scope, taker) > 0)
        giver = taker;
    if (giver == SCOPE_NOBODY)
        giver = worst(scope, empty, unprotected);
    if (giver == SCOPE_NOBODY)
        giver = worst(scope, empty, not_guaranteed);
    return giver == SCOPE_NOBODY && taker_gives ? taker : giver;
}
