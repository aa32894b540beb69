/*
 * The pages of a trace, numbered. Linear probing; nothing is ever removed.
 *
 * Invariant: slots holds every number below `count` once, or is NULL when trace_names_append() alone is used.
 */
#include "sim/trace_names.h"

#include <stdlib.h>

enum { FIRST_SLOTS_BITS = 12, FIRST_NAMES = 1024 };
#define NAMES_MOST (POLICY_MAX_PAGES - 1) /* so that twice the count fits in 32 bits */

void trace_names_free(struct trace_names *names)
{
    free(names->names);
    free(names->slots);
    *names = (struct trace_names){0};
}

bool trace_names_append(struct trace_names *names, uint64_t name)
{
    if (names->count == names->size) {
        uint32_t size = names->size ? names->size * 2 : FIRST_NAMES;
        uint64_t *larger;

        if (names->count >= NAMES_MOST)
            return false;
        larger = realloc(names->names, size * sizeof(*larger));
        if (!larger)
            return false;
        names->names = larger;
        names->size = size;
    }
    names->names[names->count++] = name;
    return true;
}

static size_t slot_count(const struct trace_names *names)
{
    return names->slots ? (size_t)1 << (64 - names->shift) : 0;
}

/* The slot of the name, or the empty one where it belongs. */
static struct trace_names_slot *find_slot(const struct trace_names *names, uint64_t name)
{
    size_t mask = slot_count(names) - 1, at = trace_names_hash(name) >> names->shift;

    while (names->slots[at].number != 0 && names->slots[at].name != name)
        at = (at + 1) & mask;
    return &names->slots[at];
}

static bool grow(struct trace_names *names)
{
    unsigned bits = names->slots ? 64 - names->shift + 1 : FIRST_SLOTS_BITS;
    struct trace_names_slot *larger = calloc((size_t)1 << bits, sizeof(*larger));

    if (!larger)
        return false;
    free(names->slots);
    names->slots = larger;
    names->shift = 64 - bits;
    for (uint32_t number = 0; number < names->count; number++)
        *find_slot(names, names->names[number]) =
            (struct trace_names_slot){names->names[number], (uint64_t)number + 1};
    return true;
}

uint32_t trace_names_add(struct trace_names *names, uint64_t name)
{
    struct trace_names_slot *slot;

    if (names->slots) {
        slot = find_slot(names, name);
        if (slot->number != 0)
            return (uint32_t)(slot->number - 1);
    }
    if ((uint64_t)(names->count + 1) * 8 > (uint64_t)slot_count(names) * 5 && !grow(names))
        return POLICY_NO_PAGE;
    if (!trace_names_append(names, name))
        return POLICY_NO_PAGE;
    *find_slot(names, name) = (struct trace_names_slot){name, names->count};
    return names->count - 1;
}

const char *trace_names_check(const struct trace_names *names)
{
    size_t used = 0;

    if (names->count > names->size)
        return "more names than there is room for";
    for (size_t i = 0; i < slot_count(names); i++)
        used += names->slots[i].number != 0;
    if (names->slots && used != names->count)
        return "not one slot for each name";
    for (uint32_t number = 0; names->slots && number < names->count; number++)
        if (find_slot(names, names->names[number])->number != (uint64_t)number + 1)
            return "a name whose slot has another number";
    return NULL;
}
