/*
 * OPT's stack, at all sizes of memory in one pass.
 *
 * Mattson's stack for a policy with priorities: the page that is referenced goes to the top, and the page
 * that was there is carried down. At each place the page there and the carried one are compared: the one that
 * comes again sooner stays, the other is carried on, to the place that the referenced page has left. (With c
 * frames the page carried past place c is the victim, so this is L. A. Belady's OPT, 1966, for every c.)
 *
 * Done place by place that costs as many steps as the page is deep. But the carried page changes only where
 * one comes later than all above it, so each step here goes straight to the next place that holds a later
 * page: by looking along the next few places, and further down through maxima of FAN places, of FAN of those,
 * and so on.
 *
 * Departure: none in what is counted. Pages that never come again are all equally late, and of these the one
 * that is carried goes on.
 *
 * Invariants: stack[place[page] - 1] == page for the `seen` pages that have come; whens[0] holds when each
 * place's page comes again, whens[level] the maxima; what is not used of them is 0.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/clones.h"
#include "sim/stack.h"

enum { FAN = 16, FAN_SHIFT = 4, LEVELS = 8, LEAST_PLACES = 4096 };
#define NEVER INT64_MAX /* a time in references; signed, since processors compare those at once */

struct places {
    uint32_t count; /* a power of two */
    unsigned levels;
    int64_t *whens[LEVELS];
    uint32_t *stack; /* pages */
};

struct stack_opt {
    struct places places;
    uint32_t *place; /* by page, from 1; 0: has not come */
    uint32_t pages, seen;
    int64_t now;
};

static void places_free(struct places *places)
{
    for (unsigned level = 0; level < places->levels; level++)
        free(places->whens[level]);
    free(places->stack);
    *places = (struct places){0};
}

/* The level's groups are complete: what is behind its end is 0. */
static size_t level_size(uint32_t count, unsigned level)
{
    return (((size_t)count >> level * FAN_SHIFT) + 2 * FAN) & ~(size_t)(FAN - 1);
}

static bool places_init(struct places *places, uint32_t count)
{
    *places = (struct places){.count = count};
    places->stack = malloc((size_t)count * sizeof(places->stack[0]));
    for (unsigned level = 0; places->stack && (level == 0 || count >> level * FAN_SHIFT > 0); level++) {
        places->whens[level] = calloc(level_size(count, level), sizeof(places->whens[0][0]));
        if (!places->whens[level])
            break;
        places->levels++;
    }
    if (places->levels > 0 && count >> places->levels * FAN_SHIFT == 0)
        return true;
    places_free(places);
    return false;
}

INLINE int64_t latest(const int64_t *whens)
{
    int64_t most = 0;

    for (unsigned i = 0; i < FAN; i++)
        most = whens[i] > most ? whens[i] : most;
    return most;
}

/* The page comes again at another time than the one that was in the place. */
INLINE void places_set(struct places *places, uint32_t at, uint32_t page, int64_t when)
{
    int64_t old = places->whens[0][at];

    places->stack[at] = page;
    places->whens[0][at] = when;
    for (unsigned level = 1; level < places->levels; level++) {
        uint32_t group = at >> FAN_SHIFT;
        int64_t *most = &places->whens[level][group];

        if (when > *most)
            *most = when;
        else if (old == *most && when < old)
            *most = latest(&places->whens[level - 1][(size_t)group << FAN_SHIFT]);
        else
            return;
        at = group;
    }
}

/* The first of [at, end) that is later than `when`; `end` if none. */
INLINE uint32_t find_later(const int64_t *whens, uint32_t at, uint32_t end, int64_t when)
{
    while (at < end && whens[at] <= when)
        at++;
    return at;
}

/* The same over any distance: up through the maxima until one is later, then down to what made it so. */
INLINE uint32_t places_find_later(const struct places *places, uint32_t at, uint32_t end, int64_t when)
{
    unsigned level = 0;
    uint32_t stop = (at + FAN - 1) & ~(uint32_t)(FAN - 1);

    if (stop >= end)
        return find_later(places->whens[0], at, end, when);
    for (;;) {
        uint32_t found = find_later(places->whens[level], at, stop, when);

        at = found;
        if (found < stop)
            break;
        if ((uint64_t)at << level * FAN_SHIFT >= end)
            return end;
        at >>= FAN_SHIFT;
        level++;
        stop = (at + FAN) & ~(uint32_t)(FAN - 1);
    }
    while (level > 0) {
        at <<= FAN_SHIFT;
        level--;
        at = find_later(places->whens[level], at, at + FAN, when);
    }
    return at < end ? at : end;
}

/* `end`: the place that the referenced page has left. */
INLINE void carry_down(struct stack_opt *stack, uint32_t end, uint32_t page, int64_t when)
{
    struct places *places = &stack->places;

    for (uint32_t at = 1; (at = places_find_later(places, at, end, when)) < end; at++) {
        uint32_t there = places->stack[at];
        int64_t later = places->whens[0][at];

        places_set(places, at, page, when);
        stack->place[page] = at + 1;
        page = there;
        when = later;
    }
    places_set(places, end, page, when);
    stack->place[page] = end + 1;
}

INLINE uint32_t reference(struct stack_opt *stack, uint32_t page, int64_t when)
{
    struct places *places = &stack->places;
    uint32_t depth = stack->place[page], end = depth ? depth - 1 : stack->seen++;

    if (end > 0)
        carry_down(stack, end, places->stack[0], places->whens[0][0]);
    places_set(places, 0, page, when);
    stack->place[page] = 1;
    return depth;
}

CLONES static void references(struct stack_opt *stack, const struct policy_block *block, uint32_t *distances)
{
    for (size_t i = 0; i < block->count; i++) {
        uint32_t ahead = block->distances[i];

        distances[i] = reference(stack, block->references[i] >> 1,
                                 ahead == UINT32_MAX ? NEVER : stack->now + (int64_t)ahead);
        stack->now++;
    }
}

struct stack_opt *stack_opt_create(void)
{
    struct stack_opt *stack = calloc(1, sizeof(*stack));

    if (stack && !places_init(&stack->places, LEAST_PLACES)) {
        free(stack);
        return NULL;
    }
    return stack;
}

void stack_opt_destroy(struct stack_opt *stack)
{
    if (!stack)
        return;
    places_free(&stack->places);
    free(stack->place);
    free(stack);
}

static bool places_grow(struct stack_opt *stack, uint32_t wanted)
{
    struct places larger, *places = &stack->places;
    uint32_t count = places->count;

    if (wanted <= count)
        return true;
    while (count < wanted)
        count *= 2;
    if (!places_init(&larger, count))
        return false;
    for (uint32_t at = 0; at < stack->seen; at++)
        places_set(&larger, at, places->stack[at], places->whens[0][at]);
    places_free(places);
    *places = larger;
    return true;
}

static bool pages_grow(struct stack_opt *stack, uint32_t pages)
{
    uint32_t wanted = stack->pages + stack->pages / 2;
    uint32_t *place;

    if (pages <= stack->pages)
        return true;
    wanted = wanted > pages ? wanted : pages;
    place = realloc(stack->place, (size_t)wanted * sizeof(*place));
    if (!place)
        return false;
    memset(place + stack->pages, 0, (size_t)(wanted - stack->pages) * sizeof(*place));
    stack->place = place;
    stack->pages = wanted;
    return true;
}

bool stack_opt_block(struct stack_opt *stack, const struct policy_block *block, uint32_t pages,
                     uint32_t *distances)
{
    if (!pages_grow(stack, pages) || !places_grow(stack, pages))
        return false;
    references(stack, block, distances);
    return true;
}

const char *stack_opt_check(const struct stack_opt *stack)
{
    const struct places *places = &stack->places;

    for (uint32_t at = 0; at < places->count; at++) {
        if (at >= stack->seen && places->whens[0][at] != 0)
            return "a place below the stack is in use";
        if (at < stack->seen && stack->place[places->stack[at]] != at + 1)
            return "a page does not know its place";
    }
    for (unsigned level = 1; level < places->levels; level++)
        for (uint32_t i = 0; i < places->count >> level * FAN_SHIFT; i++)
            if (places->whens[level][i] != latest(&places->whens[level - 1][(size_t)i << FAN_SHIFT]))
                return "a maximum is wrong";
    return NULL;
}
