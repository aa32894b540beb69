/*
 * What valgrind's lackey prints with --trace-mem=yes (valgrind's manual, "Lackey: an example tool"):
 *
 *     I  04000d30,3      an instruction is fetched: address in hexadecimal, length
 *      L 1ffefffe70,8    load      S: store      M: modify, a load and a store
 *
 * An access is a reference to each page that it touches; M is one that writes. Lines of valgrind's own begin
 * with ==, -- or **.
 */
#include "sim/trace_internal.h"

enum { ACCESS_MOST = 1 << 16 }; /* bytes; what moves more in one access is no processor */

static bool is_own_line(const unsigned char *line, size_t length)
{
    return length == 0 ||
           (length >= 2 && line[0] == line[1] && (line[0] == '=' || line[0] == '-' || line[0] == '*'));
}

static int hex_digit(unsigned char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

struct lackey_access {
    uint64_t address, bytes;
    bool write;
};

/* "I  ADDRESS,LENGTH": false if it is not. */
static bool parse(const unsigned char *line, size_t length, struct lackey_access *access)
{
    const unsigned char *at = line + 3, *end = line + length;
    unsigned char kind = length > 3 ? line[line[0] == 'I' ? 0 : 1] : 0;
    int digit;

    if (kind == 0 || line[line[0] == 'I' ? 1 : 0] != ' ' || line[2] != ' ' ||
        (kind != 'I' && kind != 'L' && kind != 'S' && kind != 'M') || (kind == 'I') != (line[0] == 'I'))
        return false;
    access->write = kind == 'S' || kind == 'M';
    access->address = 0;
    for (; at < end && (digit = hex_digit(*at)) >= 0; at++) {
        if (access->address >> 60)
            return false;
        access->address = access->address << 4 | (unsigned)digit;
    }
    if (at == line + 3 || at == end || *at++ != ',' || at == end)
        return false;
    access->bytes = 0;
    for (; at < end && *at >= '0' && *at <= '9' && access->bytes <= ACCESS_MOST; at++)
        access->bytes = access->bytes * 10 + (*at - '0');
    return at == end && access->bytes > 0 && access->bytes <= ACCESS_MOST;
}

bool lackey_line(const unsigned char *line, size_t length)
{
    struct lackey_access access;

    return (length > 0 && is_own_line(line, length)) || parse(line, length, &access);
}

static bool refuse_line(const struct trace *trace, const struct source_text *text, struct trace_error *error)
{
    return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                         "line %llu: '%.*s', expected I, L, S or M with ADDRESS,LENGTH",
                         (unsigned long long)trace->line, trace_printable(text->line, text->length),
                         (const char *)text->line);
}

/* The pages of the access go to trace->left. */
static bool take_access(struct trace *trace, const struct source_text *text, struct trace_error *error)
{
    uint64_t page_bytes = trace->options.page_bytes;
    struct lackey_access access;

    if (!parse(text->line, text->length, &access) || access.address > UINT64_MAX - access.bytes)
        return refuse_line(trace, text, error);
    trace->left.next = access.address / page_bytes;
    trace->left.end = (access.address + access.bytes - 1) / page_bytes + 1;
    trace->left.write = access.write;
    if (trace->left.end - 1 > trace->last_page)
        return trace_refuse_page(trace, trace->left.end - 1, source_offset(trace->source), error);
    return true;
}

bool lackey_read(struct trace *trace, size_t *count, struct trace_error *error)
{
    struct pages_left *left = &trace->left;
    struct source_text text;

    *count = 0;
    while (true) {
        for (; left->next < left->end && *count < TRACE_BLOCK; left->next++, (*count)++)
            if (!trace_refer(trace, left->next, left->write, &trace->block[*count]))
                return trace_refuse_page(trace, left->next, source_offset(trace->source), error);
        if (*count == TRACE_BLOCK)
            return true;
        if (!source_line(trace->source, &text, error))
            return false;
        if (!text.line)
            return true;
        if (text.cut)
            return trace_fail_at(error, trace->source->path, source_offset(trace->source) + text.whole,
                                 "the file ends within line %llu, expected the rest of it",
                                 (unsigned long long)trace->line);
        if (!is_own_line(text.line, text.length) && !take_access(trace, &text, error))
            return false;
        trace->source->at += text.whole;
        trace->line++;
    }
}
