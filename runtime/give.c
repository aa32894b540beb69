/*
 * Whose page goes: the search for victims over members and their pools. Scopes and classes decide
 * (src/policy/scope_give.c); here their answers become pages.
 *
 * For a member at its own bound: its pool, and nobody is spared. For the pager under local scope: the pool of
 * who gives. Under global scope one policy orders all pages and passes over those that classes protect; a
 * member with a maximum has a pool of its own, because passing over all others' pages to find one of its own
 * would take longer than the fault, and so gives by its part of what is in memory: pools have their turns by
 * their sizes.
 *
 * For whom: the evicting thread works ahead of need, so a victim is charged to members by the pages that came
 * to them since the round before (`debt`).
 *
 * Locking: pager->order.
 */
#include "pager.h"

static bool owns_pool(const struct quire_member *member)
{
    return member->used && member->pool == &member->storage;
}

bool give_spares(const struct quire_pager *pager, const struct quire_member *owner)
{
    const struct search *search = &pager->search;

    return search->spares && scope_spares(&pager->scope, owner->number, search->taker, search->round);
}

/* Does any class protect anything? */
static bool anybody_is_protected(const struct quire_pager *pager)
{
    for (uint32_t i = 0; i < pager->members_count; i++)
        if (pager->members[i].used && scope_protected(&pager->scoped[i]) > 0)
            return true;
    return false;
}

void give_begin(struct quire_pager *pager, struct quire_member *own)
{
    pager->search = (struct search){.own = own,
                                    .taker = own ? own->number : SCOPE_NOBODY,
                                    .spares = !own && pager->scope.config.kind == SCOPE_GLOBAL &&
                                              anybody_is_protected(pager)};
}

/* Who has come to most pages that nobody has gone for yet. */
static uint32_t next_taker(const struct quire_pager *pager)
{
    uint32_t best = SCOPE_NOBODY, debt = 0;

    for (uint32_t i = 0; i < pager->members_count; i++)
        if (pager->members[i].used && pager->members[i].debt > debt) {
            best = i;
            debt = pager->members[i].debt;
        }
    return best;
}

static bool is_empty(const struct search *search, uint32_t number)
{
    return (search->empty >> number & 1) != 0;
}

/* ------------------------------------------------------------------ global scope */

/* The pool whose turn it is, by its member; NULL: none has a page that can go. */
static struct quire_member *next_pool(struct quire_pager *pager)
{
    struct quire_member *best = NULL;
    int64_t all = 0;

    for (uint32_t i = 0; i < pager->members_count; i++) {
        struct quire_member *member = &pager->members[i];

        if (!owns_pool(member) || is_empty(&pager->search, i) || member->storage.policy->resident == 0 ||
            (i > 0 && give_spares(pager, member))) /* all of it is his */
            continue;
        all += member->storage.policy->resident;
        member->storage.credit += member->storage.policy->resident;
        if (!best || member->storage.credit > best->storage.credit)
            best = member;
    }
    if (best)
        best->storage.credit -= all;
    return best;
}

static bool global_victim(struct quire_pager *pager, struct place *victim)
{
    struct search *search = &pager->search;
    struct quire_member *from;

    for (; search->round < SCOPE_ROUNDS; search->round++, search->empty = 0) {
        while ((from = next_pool(pager)) != NULL) {
            if (pool_victim(&from->storage, victim))
                return true;
            search->empty |= (uint64_t)1 << from->number;
        }
        if (!search->spares)
            return false;
    }
    return false;
}

/* ------------------------------------------------------------------ local scope */

static bool local_victim(struct quire_pager *pager, struct place *victim)
{
    struct search *search = &pager->search;
    uint32_t giver;

    while ((giver = scope_giver(&pager->scope, search->taker, &search->empty)) != SCOPE_NOBODY) {
        if (pool_victim(pager->members[giver].pool, victim))
            return true;
        search->empty |= (uint64_t)1 << giver;
    }
    return false;
}

/* ------------------------------------------------------------------ both */

static bool any_victim(struct quire_pager *pager, struct place *victim)
{
    if (pager->search.own)
        return pool_victim(pager->search.own->pool, victim);
    pager->search.taker = next_taker(pager);
    return pager->scope.config.kind == SCOPE_LOCAL ? local_victim(pager, victim)
                                                   : global_victim(pager, victim);
}

static void count_victim(struct quire_pager *pager, struct quire_member *owner)
{
    uint32_t taker = pager->search.taker;
    const struct scope_member *scoped = &pager->scoped[owner->number];

    owner->evicted++;
    if (taker != SCOPE_NOBODY && pager->members[taker].debt > 0)
        pager->members[taker].debt--;
    if (owner->number == taker || taker == SCOPE_NOBODY)
        return;
    owner->lost++;
    owner->lost_protected += scoped->frames < scope_protected(scoped);
}

bool give_victim(struct quire_pager *pager, struct place *victim)
{
    if (!any_victim(pager, victim))
        return false;
    member_uncharge(victim->region->member, 1);
    count_victim(pager, victim->region->member);
    return true;
}
