/*
 * Numbers and sizes as users write them, for the command and for the kernel's command line. Freestanding.
 */
#ifndef QUIRE_BASE_WORDS_H
#define QUIRE_BASE_WORDS_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits from `text` up to `end`, at least one and nothing else. False, too, where 64 bits do not
 * hold it. */
static inline bool words_number(const char *text, const char *end, uint64_t *value)
{
    *value = 0;
    if (text == end)
        return false;
    for (; text != end; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(*value, 10u, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*text - '0'), value))
            return false;
    }
    return true;
}

/* Bits that a letter behind a size stands for: K, M or G, in either case; 0: it is no such letter. */
static inline unsigned words_unit(char letter)
{
    switch (letter) {
    case 'K':
    case 'k':
        return 10;
    case 'M':
    case 'm':
        return 20;
    case 'G':
    case 'g':
        return 30;
    default:
        return 0;
    }
}

/* A number with at most one such letter behind it. */
static inline bool words_size(const char *text, const char *end, uint64_t *bytes)
{
    unsigned shift = text == end ? 0 : words_unit(end[-1]);

    if (!words_number(text, end - (shift != 0), bytes) || *bytes > UINT64_MAX >> shift)
        return false;
    *bytes <<= shift;
    return true;
}

#endif
