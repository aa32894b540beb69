/*
 * Chains of pages, linked by page number: pages go to the end, and leave from the front. Several chains share
 * one array of links. Links back are kept only if pages are removed from the middle.
 *
 * Invariants: first and last are both POLICY_NO_PAGE or both pages; next of the last is POLICY_NO_PAGE; prev
 * of a page is the page before it, of the first POLICY_NO_PAGE.
 */
#ifndef QUIRE_POLICY_CHAIN_H
#define QUIRE_POLICY_CHAIN_H

#include "policy_internal.h"

struct policy_links {
    uint32_t *next, *prev; /* by page; prev is NULL when nothing is removed */
};

struct policy_chain {
    uint32_t first, last;
};

static inline size_t links_bytes(const struct policy_config *config)
{
    return (size_t)config->pages * sizeof(uint32_t) * (config->removes ? 2 : 1) + 2 * sizeof(uint64_t);
}

static inline void links_init(struct policy_links *links, uint8_t **memory,
                              const struct policy_config *config)
{
    links->next = policy_carve(memory, config->pages * sizeof(uint32_t));
    links->prev = config->removes ? policy_carve(memory, config->pages * sizeof(uint32_t)) : NULL;
}

static inline struct policy_chain chain_empty(void)
{
    return (struct policy_chain){POLICY_NO_PAGE, POLICY_NO_PAGE};
}

static inline void chain_push(const struct policy_links *links, struct policy_chain *chain, uint32_t page)
{
    links->next[page] = POLICY_NO_PAGE;
    if (links->prev)
        links->prev[page] = chain->last;
    if (chain->last == POLICY_NO_PAGE)
        chain->first = page;
    else
        links->next[chain->last] = page;
    chain->last = page;
}

/* The first page; the chain may not be empty. */
static inline uint32_t chain_pop(const struct policy_links *links, struct policy_chain *chain)
{
    uint32_t page = chain->first;

    chain->first = links->next[page];
    if (chain->first == POLICY_NO_PAGE)
        chain->last = POLICY_NO_PAGE;
    else if (links->prev)
        links->prev[chain->first] = POLICY_NO_PAGE;
    return page;
}

/* All of `more` behind `chain`; `more` is empty then. */
static inline void chain_join(const struct policy_links *links, struct policy_chain *chain,
                              struct policy_chain *more)
{
    if (chain->last == POLICY_NO_PAGE) {
        chain->first = more->first;
    } else if (more->first != POLICY_NO_PAGE) {
        links->next[chain->last] = more->first;
        if (links->prev)
            links->prev[more->first] = chain->last;
    }
    if (more->last != POLICY_NO_PAGE)
        chain->last = more->last;
    *more = chain_empty();
}

static inline bool chain_is_empty(const struct policy_chain *chain)
{
    return chain->first == POLICY_NO_PAGE;
}

/* Takes the page out of whichever of the chains it is in. */
static inline void chain_unlink(const struct policy_links *links, struct policy_chain *chains, unsigned count,
                                uint32_t page)
{
    uint32_t next = links->next[page], prev = links->prev[page];

    for (unsigned i = 0; i < count; i++) {
        if (chains[i].first == page)
            chains[i].first = next;
        if (chains[i].last == page)
            chains[i].last = prev;
    }
    if (next != POLICY_NO_PAGE)
        links->prev[next] = prev;
    if (prev != POLICY_NO_PAGE)
        links->next[prev] = next;
}

/* The resident pages, each in one of the chains? NULL, or what is wrong. */
static inline const char *chain_check(const struct policy_links *links, const struct policy_chain *chains,
                                      unsigned count, const struct policy *policy)
{
    uint32_t pages = 0;

    for (unsigned i = 0; i < count; i++) {
        uint32_t before = POLICY_NO_PAGE;

        for (uint32_t page = chains[i].first; page != POLICY_NO_PAGE; page = links->next[page]) {
            if (page >= policy->pages || !policy_is_resident(policy, page))
                return "a page of a chain is not resident";
            if (links->prev && links->prev[page] != before)
                return "a page of a chain does not know the one before it";
            if (++pages > policy->resident)
                return "the chains have more pages than are resident";
            before = page;
        }
        if (chains[i].last != before)
            return "a chain does not know its last page";
    }
    return pages != policy->resident ? "a resident page is in no chain" : NULL;
}

#endif
