/*
 * The table of what is mapped in the arena: extents.h. A sorted array; a change splits at both ends of its
 * range, takes out what lies between, puts in one extent at most, and joins it to its neighbours. Linux
 * allows 65,530 mappings, so a linear move is short.
 */
#include "extents.h"

#include <string.h>

/* The first extent that ends behind the address. */
static size_t find(const struct extents *extents, uintptr_t address)
{
    size_t low = 0, high = extents->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (extents->items[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uintptr_t find_with_room(const struct extents *extents, uint64_t wanted)
{
    uintptr_t free = extents->start;

    for (size_t i = 0; i < extents->count && extents->items[i].start < extents->open_end; i++) {
        if (extents->items[i].start - free >= wanted)
            return free;
        free = extents->items[i].end;
    }
    return free < extents->open_end && extents->open_end - free >= wanted ? free : 0;
}

uintptr_t extents_find(const struct extents *extents, uint64_t length, uint64_t room)
{
    uintptr_t found = room > 0 ? find_with_room(extents, length + room) : 0;

    return found ? found : find_with_room(extents, length);
}

bool extents_are_free(const struct extents *extents, uintptr_t start, uintptr_t end)
{
    size_t at = find(extents, start);

    return at == extents->count || extents->items[at].start >= end;
}

bool extents_cover(const struct extents *extents, uintptr_t start, uintptr_t end)
{
    size_t at = find(extents, start);

    for (; at < extents->count && extents->items[at].start <= start; at++) {
        start = extents->items[at].end;
        if (start >= end)
            return true;
    }
    return false;
}

const struct extent *extents_at(const struct extents *extents, uintptr_t address)
{
    size_t at = find(extents, address);

    return at < extents->count && extents->items[at].start <= address ? &extents->items[at] : NULL;
}

static void put(struct extents *extents, size_t at, struct extent extent)
{
    memmove(&extents->items[at + 1], &extents->items[at], (extents->count - at) * sizeof(extent));
    extents->items[at] = extent;
    extents->count++;
}

static void take(struct extents *extents, size_t at, size_t count)
{
    memmove(&extents->items[at], &extents->items[at + count],
            (extents->count - at - count) * sizeof(struct extent));
    extents->count -= count;
}

static void split(struct extents *extents, uintptr_t address)
{
    size_t at = find(extents, address);

    if (at == extents->count || extents->items[at].start >= address)
        return;
    put(extents, at, extents->items[at]);
    extents->items[at].end = extents->items[at + 1].start = address;
}

static void join(struct extents *extents, size_t at)
{
    if (at + 1 < extents->count && extents->items[at].end == extents->items[at + 1].start &&
        extents->items[at].protection == extents->items[at + 1].protection) {
        extents->items[at].end = extents->items[at + 1].end;
        take(extents, at + 1, 1);
    }
}

bool extents_unset(struct extents *extents, uintptr_t start, uintptr_t end)
{
    size_t first, behind;

    if (extents->count + 2 > extents->most)
        return false;
    split(extents, start);
    split(extents, end);
    first = find(extents, start);
    for (behind = first; behind < extents->count && extents->items[behind].start < end; behind++)
        ;
    take(extents, first, behind - first);
    return true;
}

bool extents_set(struct extents *extents, uintptr_t start, uintptr_t end, int protection)
{
    size_t at;

    if (extents->count + 3 > extents->most)
        return false;
    extents_unset(extents, start, end);
    at = find(extents, start);
    put(extents, at, (struct extent){start, end, protection});
    join(extents, at);
    if (at > 0)
        join(extents, at - 1);
    return true;
}

uint64_t extents_bytes(const struct extents *extents)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < extents->count; i++)
        bytes += extents->items[i].end - extents->items[i].start;
    return bytes;
}

const char *extents_check(const struct extents *extents)
{
    uintptr_t before = extents->start;

    for (size_t i = 0; i < extents->count; i++) {
        const struct extent *extent = &extents->items[i];

        if (extent->start >= extent->end || extent->start < before || extent->end > extents->end)
            return "extents overlap, are not in order, or are not within the arena";
        if (i > 0 && extent->start == before && extent->protection == extents->items[i - 1].protection)
            return "neighbours of one protection are two extents";
        before = extent->end;
    }
    return NULL;
}
