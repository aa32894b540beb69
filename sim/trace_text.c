/*
 * Plain text: page numbers in white space, decimal or 0x and hexadecimal; `w` behind one, with or without
 * white space between, marks a write. Words of any other kind are errors.
 */
#include <ctype.h>

#include "sim/trace_internal.h"

enum { WORD_MOST = 32 }; /* words of so many bytes are no page numbers; the window always has that many */

static bool is_space(unsigned char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* Moves the source to the next word; false at the end (*good) or when reading failed. */
static bool next_word(struct trace *trace, bool *good, struct trace_error *error)
{
    struct trace_source *source = trace->source;

    while (true) {
        *good = source_need(source, WORD_MOST, error);
        if (!*good || source_left(source) == 0)
            return false;
        while (source->at < source->end && is_space(*source->at))
            trace->line += *source->at++ == '\n';
        if (source_left(source) >= WORD_MOST || (source->ended && source_left(source) > 0))
            return true;
    }
}

static int digit_value(unsigned char byte, unsigned base)
{
    int value = isdigit(byte) ? byte - '0' : isxdigit(byte) ? (byte | 0x20) - 'a' + 10 : -1;

    return value < (int)base ? value : -1;
}

/* The number at `at`; NULL: there is none, or it does not fit into 64 bits. */
static const unsigned char *scan_number(const unsigned char *at, const unsigned char *end, uint64_t *number)
{
    const unsigned char *first;
    unsigned base = 10;

    if (end - at > 2 && at[0] == '0' && (at[1] | 0x20) == 'x') {
        base = 16;
        at += 2;
    }
    first = at;
    for (*number = 0; at < end; at++) {
        int digit = digit_value(*at, base);

        if (digit < 0)
            break;
        if (*number > (UINT64_MAX - (unsigned)digit) / base)
            return NULL;
        *number = *number * base + (unsigned)digit;
    }
    return at > first ? at : NULL;
}

static bool refuse_word(const struct trace *trace, struct trace_error *error)
{
    const struct trace_source *source = trace->source;
    char word[WORD_MOST + 1];
    size_t length = 0;

    for (; length < source_left(source) && length < WORD_MOST && !is_space(source->at[length]); length++)
        word[length] = (char)(isprint(source->at[length]) ? source->at[length] : '?');
    word[length] = '\0';
    return trace_fail_at(error, source->path, source_offset(source),
                         "line %llu: '%s', expected a page number, or 'w' behind one",
                         (unsigned long long)trace->line, word);
}

/* Is there a `w` that marks what was read last? It may be a word of its own. */
static bool take_write(struct trace *trace, bool *write, struct trace_error *error)
{
    struct trace_source *source = trace->source;
    bool good;

    *write = false;
    if (!next_word(trace, &good, error))
        return good;
    if (*source->at != 'w' && *source->at != 'W')
        return true;
    if (source_left(source) > 1 && !is_space(source->at[1]))
        return refuse_word(trace, error);
    source->at++;
    *write = true;
    return true;
}

bool text_read(struct trace *trace, size_t *count, struct trace_error *error)
{
    struct trace_source *source = trace->source;
    bool good = true;

    for (*count = 0; *count < TRACE_BLOCK && next_word(trace, &good, error); (*count)++) {
        uint64_t page, offset = source_offset(source);
        const unsigned char *behind = scan_number(source->at, source->end, &page);
        bool write;

        if (!behind || behind - source->at >= WORD_MOST ||
            (behind < source->end && !is_space(*behind) && (*behind | 0x20) != 'w'))
            return refuse_word(trace, error);
        source->at = behind;
        if (!take_write(trace, &write, error))
            return false;
        if (!trace_refer(trace, page, write, &trace->block[*count]))
            return trace_refuse_page(trace, page, offset, error);
    }
    return good;
}
