/*
 * The memory map: sorted, disjoint ranges of physical memory.
 *
 * Firmware maps come unsorted and may overlap (ACPI 6.5, 15.4, lets them, and asks the system to take the
 * stricter type). So a range is added piece by piece: where it meets ranges that are there, the less usable
 * kind keeps or takes the common part; neighbours of one kind that touch become one.
 *
 *   map      |----usable----|      |--reserved--|
 *   add             |-------kernel--------|
 *   result   |usable|----kernel----|--reserved--|
 *
 * Used while booting, by one CPU: no lock.
 */
#include "quire/frame.h"

/* The higher, the less usable. */
static unsigned strictness(enum memory_kind kind)
{
    switch (kind) {
    case MEMORY_USABLE:
        return 0;
    case MEMORY_MODULE:
        return 1;
    case MEMORY_KERNEL:
        return 2;
    case MEMORY_ACPI:
        return 3;
    case MEMORY_RESERVED:
        break;
    }
    return 4;
}

/* Room for one more entry before number `at`, filled with `range`. */
static enum status insert_at(struct memory_map *map, unsigned at, struct memory_range range)
{
    if (map->count == MEMORY_RANGES_MAX)
        return ST_NO_SPACE;
    for (unsigned i = map->count; i > at; i--)
        map->ranges[i] = map->ranges[i - 1];
    map->ranges[at] = range;
    map->count++;
    return ST_OK;
}

/* Entry `at` becomes two, of which the second begins at `address`. */
static enum status cut(struct memory_map *map, unsigned at, uint64_t address)
{
    struct memory_range upper = map->ranges[at];

    upper.start = paddr(address);
    if (insert_at(map, at + 1, upper) != ST_OK)
        return ST_NO_SPACE;
    map->ranges[at].end = paddr(address);
    return ST_OK;
}

/* The first entry that ends above `address`. */
static unsigned find(const struct memory_map *map, uint64_t address)
{
    unsigned at = 0;

    while (at < map->count && map->ranges[at].end.v <= address)
        at++;
    return at;
}

/* Nothing is at `piece` yet: it makes a neighbour of its kind longer, or gets an entry of its own at `at`. */
static enum status fill_gap(struct memory_map *map, unsigned at, struct memory_range piece)
{
    struct memory_range *before = at > 0 ? &map->ranges[at - 1] : NULL;
    struct memory_range *after = at < map->count ? &map->ranges[at] : NULL;

    if (before != NULL && before->kind == piece.kind && before->end.v == piece.start.v)
        before->end = piece.end;
    else if (after != NULL && after->kind == piece.kind && after->start.v == piece.end.v)
        after->start = piece.start;
    else
        return insert_at(map, at, piece);
    return ST_OK;
}

/* Settles the part of `range` that begins at range->start, and moves range->start behind it. */
static enum status add_piece(struct memory_map *map, struct memory_range *range)
{
    unsigned at = find(map, range->start.v);
    struct memory_range *there = &map->ranges[at];
    struct memory_range piece = *range;

    if (at == map->count || there->start.v > range->start.v) { /* nothing here yet */
        if (at < map->count && there->start.v < range->end.v)
            piece.end = there->start;
        range->start = piece.end;
        return fill_gap(map, at, piece);
    }

    if (there->end.v < range->end.v)
        piece.end = there->end;
    range->start = piece.end;
    if (strictness(there->kind) >= strictness(piece.kind)) /* what is there stays */
        return ST_OK;
    if (there->start.v < piece.start.v) {
        if (cut(map, at, piece.start.v) != ST_OK)
            return ST_NO_SPACE;
        there = &map->ranges[++at];
    }
    if (there->end.v > piece.end.v && cut(map, at, piece.end.v) != ST_OK)
        return ST_NO_SPACE;
    there->kind = piece.kind;
    return ST_OK;
}

/* Touching neighbours of one kind become one entry. */
static void join(struct memory_map *map)
{
    unsigned kept = 0;

    for (unsigned i = 1; i < map->count; i++) {
        struct memory_range *last = &map->ranges[kept];

        if (map->ranges[i].kind == last->kind && map->ranges[i].start.v == last->end.v)
            last->end = map->ranges[i].end;
        else
            map->ranges[++kept] = map->ranges[i];
    }
    if (map->count != 0)
        map->count = kept + 1;
}

enum status memory_map_add(struct memory_map *map, struct memory_range range)
{
    struct memory_map before = *map;

    if (range.end.v < range.start.v || (unsigned)range.kind > MEMORY_MODULE)
        return ST_INVALID;
    while (range.start.v < range.end.v) {
        if (add_piece(map, &range) != ST_OK) {
            *map = before;
            return ST_NO_SPACE;
        }
        join(map);
    }
    return ST_OK;
}
