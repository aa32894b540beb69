/*
 * LRU's stack: the depth of a page is how many different pages have come since it last did, itself included.
 *
 * Each page has a slot, in the order of when it last came, and slots have a bit that is cleared when their
 * page moves to the next slot. The depth is then a count of bits from a page's slot on. (F. Olken, 1981, and
 * later writers keep a tree for that count. A bitmap with sums above it does the same with fewer and nearer
 * words, since most pages come again soon.)
 *
 *     slot   1   2   3   4   5   6   7
 *     bit    1   0   0   1   1 | 1   1 ...     slots from `next` on are free, and count as ones
 *     page   a           c   b |next
 *
 *     sums[0] the bitmap's words, of 64 slots each
 *     sums[1] ones in FAN words        sums[2] ones in FAN of those        up to a top with few of them
 *
 * When the slots are used up, pages are numbered anew, without gaps: that is rare, for there are four times
 * as many slots as pages.
 *
 * Invariants: last[page] is a slot whose bit is set, or 0; every other slot below `next` has its bit cleared,
 * but for slot 0, which belongs to nobody. A sum counts the ones below it.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/clones.h"
#include "sim/stack.h"

enum { FAN = 16, FAN_SHIFT = 4, WORD_SHIFT = 6, LEVELS = 8, SLOTS_A_PAGE = 4, LEAST_SLOTS = 1 << 16 };
#define MOST_SLOTS ((uint32_t)1 << 31) /* so that a slot is 32 bits wide */

struct slots {
    uint32_t count, next;
    unsigned levels; /* of sums above the bitmap */
    uint64_t *bits;
    uint32_t *sums[LEVELS]; /* [0] is not used */
};

struct stack_lru {
    struct slots slots;
    uint32_t *last; /* by page */
    uint32_t pages, seen;
};

static unsigned level_shift(unsigned level)
{
    return WORD_SHIFT + level * FAN_SHIFT;
}

static void slots_free(struct slots *slots)
{
    free(slots->bits);
    for (unsigned level = 1; level <= slots->levels; level++)
        free(slots->sums[level]);
    *slots = (struct slots){0};
}

/* All free. A sum may reach over the end: there are ones as well. */
static void slots_clear(struct slots *slots)
{
    memset(slots->bits, 0xff, (slots->count >> WORD_SHIFT) * sizeof(slots->bits[0]));
    for (unsigned level = 1; level <= slots->levels; level++)
        for (uint32_t i = 0; i < slots->count >> level_shift(level); i++)
            slots->sums[level][i] = (uint32_t)1 << level_shift(level);
    slots->next = 1;
}

static uint32_t level_count(const struct slots *slots, unsigned level)
{
    return (slots->count >> level_shift(level)) + 1;
}

/* `count`: a power of two, so that every level ends where a sum does. */
static bool slots_init(struct slots *slots, uint32_t count)
{
    *slots = (struct slots){.count = count};
    slots->bits = malloc((count >> WORD_SHIFT) * sizeof(slots->bits[0]));
    if (!slots->bits)
        return false;
    while (count >> level_shift(slots->levels) > 2 * FAN) {
        uint32_t *sums = malloc(level_count(slots, slots->levels + 1) * sizeof(uint32_t));

        if (!sums) {
            slots_free(slots);
            return false;
        }
        slots->sums[++slots->levels] = sums;
    }
    slots_clear(slots);
    return true;
}

INLINE uint32_t count_words(const uint64_t *words, uint32_t count)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < count; i++)
        total += (uint32_t)__builtin_popcountll(words[i]);
    return total;
}

INLINE uint32_t add_up(const uint32_t *sums, uint32_t count)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < count; i++)
        total += sums[i];
    return total;
}

/* Ones from `slot` on, without the free ones: level by level up, and never down again, since what is behind
 * `next` is known to be ones. */
INLINE uint32_t slots_from(const struct slots *slots, uint32_t slot)
{
    uint32_t next = slots->next;
    uint32_t at = (slot >> WORD_SHIFT) + 1, end = (next >> WORD_SHIFT) + 1, stop;
    uint32_t total = (uint32_t)__builtin_popcountll(slots->bits[at - 1] >> (slot & 63));

    if (end - at <= 2 * FAN)
        return total + count_words(slots->bits + at, end - at) - ((end << WORD_SHIFT) - next);
    stop = (at + FAN - 1) & ~(uint32_t)(FAN - 1);
    total += count_words(slots->bits + at, stop - at);
    for (unsigned level = 1;; level++) {
        unsigned shift = level_shift(level);

        at = stop >> FAN_SHIFT;
        end = (next >> shift) + 1;
        if (end - at <= 2 * FAN || level == slots->levels)
            return total + add_up(slots->sums[level] + at, end - at) - ((end << shift) - next);
        stop = (at + FAN - 1) & ~(uint32_t)(FAN - 1);
        total += add_up(slots->sums[level] + at, stop - at);
    }
}

INLINE void slots_leave(struct slots *slots, uint32_t slot)
{
    slots->bits[slot >> WORD_SHIFT] &= ~((uint64_t)1 << (slot & 63));
    for (unsigned level = 1; level <= slots->levels; level++)
        slots->sums[level][slot >> level_shift(level)]--;
}

struct stack_lru *stack_lru_create(void)
{
    struct stack_lru *stack = calloc(1, sizeof(*stack));

    if (stack && !slots_init(&stack->slots, LEAST_SLOTS)) {
        free(stack);
        return NULL;
    }
    return stack;
}

void stack_lru_destroy(struct stack_lru *stack)
{
    if (!stack)
        return;
    slots_free(&stack->slots);
    free(stack->last);
    free(stack);
}

/* Gives the pages the first slots, in the same order. `ranks`: for each word, the ones below it. */
static void pages_close_up(struct stack_lru *stack, const uint32_t *ranks)
{
    const uint64_t *bits = stack->slots.bits;

    for (uint32_t page = 0; page < stack->pages; page++) {
        uint32_t slot = stack->last[page];
        uint64_t below = ((uint64_t)1 << (slot & 63)) - 1;

        if (slot)
            stack->last[page] =
                ranks[slot >> WORD_SHIFT] + (uint32_t)__builtin_popcountll(bits[slot >> WORD_SHIFT] & below);
    }
}

static uint32_t slots_wanted(uint32_t seen, uint32_t more)
{
    uint64_t wanted = ((uint64_t)seen + more) * SLOTS_A_PAGE, count = LEAST_SLOTS;

    while (count < wanted && count < MOST_SLOTS)
        count *= 2;
    return (uint32_t)count;
}

/* Makes room for `more` slots behind the pages that have come. */
static bool stack_compact(struct stack_lru *stack, uint32_t more)
{
    struct slots *slots = &stack->slots, larger = {0};
    uint32_t words = slots->count >> WORD_SHIFT, count = slots_wanted(stack->seen, more), ones = 0;
    uint32_t *ranks = malloc(words * sizeof(*ranks));

    if (!ranks || (count > slots->count && !slots_init(&larger, count))) {
        free(ranks);
        return false;
    }
    for (uint32_t word = 0; word < words; word++) {
        ranks[word] = ones;
        ones += (uint32_t)__builtin_popcountll(slots->bits[word]);
    }
    pages_close_up(stack, ranks);
    free(ranks);
    if (larger.bits) {
        slots_free(slots);
        *slots = larger;
    } else {
        slots_clear(slots);
    }
    slots->next = stack->seen + 1;
    return true;
}

static bool stack_grow(struct stack_lru *stack, uint32_t pages)
{
    uint32_t wanted = stack->pages + stack->pages / 2;
    uint32_t *last;

    if (pages <= stack->pages)
        return true;
    wanted = wanted > pages ? wanted : pages;
    last = realloc(stack->last, (size_t)wanted * sizeof(*last));
    if (!last)
        return false;
    memset(last + stack->pages, 0, (size_t)(wanted - stack->pages) * sizeof(*last));
    stack->last = last;
    stack->pages = wanted;
    return true;
}

CLONES static uint32_t stack_references(struct slots *slots, uint32_t *last, const struct policy_block *block,
                                        uint32_t *distances)
{
    uint32_t cold = 0;

    for (size_t i = 0; i < block->count; i++) {
        uint32_t page = block->references[i] >> 1, slot = last[page];

        distances[i] = STACK_COLD;
        if (slot) {
            distances[i] = slots_from(slots, slot);
            slots_leave(slots, slot);
        }
        cold += slot == 0;
        last[page] = slots->next++;
    }
    return cold;
}

bool stack_lru_block(struct stack_lru *stack, const struct policy_block *block, uint32_t pages,
                     uint32_t *distances)
{
    if (!stack_grow(stack, pages))
        return false;
    if (stack->slots.next + block->count >= stack->slots.count &&
        !stack_compact(stack, (uint32_t)block->count + 1))
        return false;
    stack->seen += stack_references(&stack->slots, stack->last, block, distances);
    return true;
}

uint32_t stack_lru_depth(const struct stack_lru *stack, uint32_t page)
{
    uint32_t slot = page < stack->pages ? stack->last[page] : 0;

    return slot ? slots_from(&stack->slots, slot) : STACK_COLD;
}

static bool slot_is_set(const struct slots *slots, uint32_t slot)
{
    return slots->bits[slot >> WORD_SHIFT] >> (slot & 63) & 1;
}

static bool sums_are_right(const struct slots *slots, unsigned level)
{
    for (uint32_t i = 0; i < slots->count >> level_shift(level); i++) {
        uint32_t ones = level == 1 ? count_words(slots->bits + (size_t)i * FAN, FAN)
                                   : add_up(slots->sums[level - 1] + (size_t)i * FAN, FAN);

        if (slots->sums[level][i] != ones)
            return false;
    }
    return true;
}

const char *stack_lru_check(const struct stack_lru *stack)
{
    const struct slots *slots = &stack->slots;
    uint32_t seen = 0, ones = 0;

    for (uint32_t page = 0; page < stack->pages; page++) {
        uint32_t slot = stack->last[page];

        seen += slot != 0;
        if (slot >= slots->next || (slot && !slot_is_set(slots, slot)))
            return "a page is in a slot that is not its own";
    }
    for (uint32_t slot = 1; slot < slots->next; slot++)
        ones += slot_is_set(slots, slot);
    if (seen != stack->seen || ones != seen)
        return "pages and slots differ in number";
    for (unsigned level = 1; level <= slots->levels; level++)
        if (!sums_are_right(slots, level))
            return "a sum is wrong";
    return NULL;
}
