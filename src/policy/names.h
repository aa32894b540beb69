/*
 * Names of pages: what a kernel or a runtime calls a page (64 bits: object and index, or address) becomes one
 * of the dense numbers that policies work with, and a number whose page is forgotten goes to another one.
 *
 *      names_find()  known: its number       names_add()  the number of a page that is new
 *      names_forget() from policy_host.forget and after policy_remove()
 *
 * A host needs numbers for the pages in memory and those that the policy remembers: names_capacity() says how
 * many. Locking: the caller's, as for the policy.
 */
#ifndef QUIRE_POLICY_NAMES_H
#define QUIRE_POLICY_NAMES_H

#include "quire/policy.h"

struct policy_names {
    uint64_t *name;  /* by number; of a number that is free the next free one */
    uint32_t *slots; /* hash table, linear probing: number + 1, or 0 */
    uint32_t mask;   /* of slots, a power of two, less one */
    unsigned shift;  /* 64 less the number of bits of a slot's index */
    uint32_t capacity;
    uint32_t used; /* numbers ever given out */
    uint32_t free; /* the first of the chain of free numbers below `used`, or POLICY_NO_PAGE */
    uint32_t count;
};

/* For a policy of that type over `frames` frames: those, what it remembers, and one that is on its way.
 * POLICY_MAX_PAGES for a policy that remembers all. */
MUST_USE uint32_t names_capacity(const struct policy_type *type, uint32_t frames);

/* `memory`: names_bytes() zeroes, aligned to 8, the caller's. Only what is used is ever touched. */
MUST_USE size_t names_bytes(uint32_t capacity);
void names_init(struct policy_names *names, uint32_t capacity, void *memory);

/* The number; POLICY_NO_PAGE when the name is not known. */
MUST_USE uint32_t names_find(const struct policy_names *names, uint64_t name);
/* It will be asked for soon: the table is larger than a processor's first caches. */
void names_prefetch(const struct policy_names *names, uint64_t name);
/* A number for a name that is not known. POLICY_NO_PAGE, and nothing has changed, when all are taken. */
MUST_USE uint32_t names_add(struct policy_names *names, uint64_t name);
/* The number, which has a name, is free. */
void names_forget(struct policy_names *names, uint32_t number);

static inline uint64_t names_name(const struct policy_names *names, uint32_t number)
{
    return names->name[number];
}

/* NULL, or what is wrong. */
MUST_USE const char *names_check(const struct policy_names *names);

#endif
