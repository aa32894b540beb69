/*
 * Names of pages: an open hash table with linear probing, at most half full. A slot that becomes empty is
 * filled from behind, so that no search meets slots of the dead.
 *
 * D. E. Knuth, The Art of Computer Programming 3, 6.4, algorithms L (search) and R (deletion).
 *
 * Invariants: every number in use is in one slot, and all slots from the one that its name's hash points to
 * up to that one are taken; the chain from `free` holds the other numbers below `used`.
 */
#include "names.h"

#include "base/check.h"
#include "policy_internal.h"

uint32_t names_capacity(const struct policy_type *type, uint32_t frames)
{
    uint64_t numbers = frames * ((uint64_t)type->ghosts + 1) + 1;

    return numbers < POLICY_MAX_PAGES ? (uint32_t)numbers : POLICY_MAX_PAGES;
}

/* Of the number of slots: twice the capacity at least. */
static unsigned slot_bits(uint32_t capacity)
{
    unsigned bits = 1;

    while (((uint64_t)1 << bits) < 2 * (uint64_t)capacity)
        bits++;
    return bits;
}

size_t names_bytes(uint32_t capacity)
{
    return capacity * sizeof(uint64_t) + (sizeof(uint32_t) << slot_bits(capacity));
}

void names_init(struct policy_names *names, uint32_t capacity, void *memory)
{
    unsigned bits = slot_bits(capacity);
    uint8_t *at = memory;

    CHECK_ALWAYS(capacity >= 1 && capacity <= POLICY_MAX_PAGES);
    *names = (struct policy_names){
        .mask = (uint32_t)(((uint64_t)1 << bits) - 1),
        .shift = 64 - bits,
        .capacity = capacity,
        .free = POLICY_NO_PAGE,
    };
    names->name = policy_carve(&at, capacity * sizeof(uint64_t));
    names->slots = policy_carve(&at, sizeof(uint32_t) << bits);
}

/* Where the search for the name begins. Neighbours (pages of one file) must not be neighbours in the table.
 */
static uint32_t first_slot(const struct policy_names *names, uint64_t name)
{
    name = (name ^ (name >> 32)) * 0x9e3779b97f4a7c15u;
    name = (name ^ (name >> 29)) * 0xbf58476d1ce4e5b9u;
    return (uint32_t)(name >> names->shift);
}

/* The slot of the name, or the empty one where it would be. */
static uint32_t search(const struct policy_names *names, uint64_t name)
{
    uint32_t slot = first_slot(names, name);

    while (names->slots[slot] != 0 && names->name[names->slots[slot] - 1] != name)
        slot = (slot + 1) & names->mask;
    return slot;
}

void names_prefetch(const struct policy_names *names, uint64_t name)
{
    __builtin_prefetch(&names->slots[first_slot(names, name)], 1);
}

uint32_t names_find(const struct policy_names *names, uint64_t name)
{
    return names->slots[search(names, name)] - 1; /* POLICY_NO_PAGE of an empty one */
}

uint32_t names_add(struct policy_names *names, uint64_t name)
{
    uint32_t slot = search(names, name), number = names->free;

    CHECK(names->slots[slot] == 0);
    if (number != POLICY_NO_PAGE)
        names->free = (uint32_t)names->name[number];
    else if (names->used < names->capacity)
        number = names->used++;
    else
        return POLICY_NO_PAGE;
    names->name[number] = name;
    names->slots[slot] = number + 1;
    names->count++;
    return number;
}

/* Empties the slot: a later one that was put off by it, or by what has moved, takes its place, and so on. */
static void vacate(struct policy_names *names, uint32_t slot)
{
    uint32_t next = slot;

    for (;;) {
        uint32_t home;

        next = (next + 1) & names->mask;
        if (names->slots[next] == 0)
            break;
        home = first_slot(names, names->name[names->slots[next] - 1]);
        if (((next - home) & names->mask) < ((next - slot) & names->mask))
            continue; /* its search begins behind the empty slot */
        names->slots[slot] = names->slots[next];
        slot = next;
    }
    names->slots[slot] = 0;
}

void names_forget(struct policy_names *names, uint32_t number)
{
    uint32_t slot;

    CHECK(number < names->used);
    slot = search(names, names->name[number]);
    CHECK_ALWAYS(names->slots[slot] == number + 1);
    vacate(names, slot);
    names->name[number] = names->free;
    names->free = number;
    names->count--;
}

const char *names_check(const struct policy_names *names)
{
    uint32_t taken = 0, free = 0;

    for (uint64_t slot = 0; slot <= names->mask; slot++) {
        uint32_t number = names->slots[slot] - 1;

        if (number == POLICY_NO_PAGE)
            continue;
        taken++;
        if (number >= names->used)
            return "a slot holds a number that was never given out";
        if (search(names, names->name[number]) != slot)
            return "a name is not found where it is";
    }
    for (uint32_t number = names->free; number != POLICY_NO_PAGE; number = (uint32_t)names->name[number])
        if (number >= names->used || ++free > names->used)
            return "the chain of free numbers is broken";
    if (taken != names->count || taken + free != names->used || names->used > names->capacity)
        return "numbers are lost";
    return NULL;
}
