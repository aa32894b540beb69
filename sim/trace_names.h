/*
 * The pages of a trace: a dense number for each, in the order in which they first come, and back.
 */
#ifndef QUIRE_SIM_TRACE_NAMES_H
#define QUIRE_SIM_TRACE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "quire/policy.h"

struct trace_names_slot {
    uint64_t name;
    uint64_t number; /* plus one; 0: the slot is empty */
};

/* All zero: no names yet. */
struct trace_names {
    uint64_t *names; /* by number */
    uint32_t count, size;
    struct trace_names_slot *slots; /* open hashing, at most 5 in 8 in use; NULL: none */
    unsigned shift;                 /* 64 minus the binary logarithm of the number of slots */
};

void trace_names_free(struct trace_names *names);
/* The next number, for a name that is known to be new; trace_names_find() will not find it. False: no memory,
 * or POLICY_MAX_PAGES. */
bool trace_names_append(struct trace_names *names, uint64_t name);
/* The slow half of trace_names_number(): a name that may be new. POLICY_NO_PAGE: no memory, or too many. */
uint32_t trace_names_add(struct trace_names *names, uint64_t name);
/* NULL, or what is wrong. */
const char *trace_names_check(const struct trace_names *names);

/* Fibonacci hashing (Knuth, volume 3, 6.4): neighbouring pages go far apart, and the high bits are the best.
 */
static inline uint64_t trace_names_hash(uint64_t name)
{
    return (name ^ name >> 32) * 0x9e3779b97f4a7c15u;
}

/* The number of a name, a new one if it has none. POLICY_NO_PAGE: no memory, or too many. */
static inline uint32_t trace_names_number(struct trace_names *names, uint64_t name)
{
    if (names->slots) {
        const struct trace_names_slot *slot = &names->slots[trace_names_hash(name) >> names->shift];

        if (slot->name == name && slot->number != 0)
            return (uint32_t)(slot->number - 1);
    }
    return trace_names_add(names, name);
}

#endif
