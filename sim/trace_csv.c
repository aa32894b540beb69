/*
 * CSV as libCacheSim reads it (its README, "use a csv trace"): lines of fields; one is the object, one the
 * time, one the size. Which ones is said by options.csv_columns in libCacheSim's words,
 *
 *     time-col=2, obj-id-col=5, obj-size-col=4, delimiter=;, has-header=true, obj-id-is-num=false
 *
 * or else by the names in a header line, or else it is the first, the second and the third. op-col is ours:
 * an operation that writes marks the reference. As there, a record of size 0 is no reference.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "sim/hash.h"
#include "sim/trace_internal.h"

enum { COLUMN_MOST = 1000, BILLION = 1000000000 };

struct field {
    const char *at;
    size_t length;
};

static bool take_record(struct trace *trace, const struct source_text *text, size_t *count,
                        struct trace_error *error);

/* ------------------------------------------------------------------ words */

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static struct field trim(struct field field)
{
    while (field.length > 0 && is_blank(field.at[0])) {
        field.at++;
        field.length--;
    }
    while (field.length > 0 && is_blank(field.at[field.length - 1]))
        field.length--;
    if (field.length >= 2 && field.at[0] == '"' && field.at[field.length - 1] == '"') {
        field.at++;
        field.length -= 2;
    }
    return field;
}

static bool is_word(struct field field, const char *word)
{
    size_t i = 0;

    while (i < field.length && word[i] && tolower((unsigned char)field.at[i]) == word[i])
        i++;
    return i == field.length && word[i] == '\0';
}

static bool is_one_of(struct field field, const char *const *words)
{
    for (; *words; words++)
        if (is_word(field, *words))
            return true;
    return false;
}

/* A whole number of 64 bits, decimal or 0x. */
static bool parse_number(struct field field, uint64_t *number)
{
    unsigned base = field.length > 2 && field.at[0] == '0' && (field.at[1] | 0x20) == 'x' ? 16 : 10;
    size_t i = base == 16 ? 2 : 0;

    for (*number = 0; i < field.length; i++) {
        unsigned char byte = (unsigned char)field.at[i];
        unsigned digit = isdigit(byte)   ? (unsigned)(byte - '0')
                         : isalpha(byte) ? (unsigned)((byte | 0x20) - 'a' + 10)
                                         : 99;

        if (digit >= base || *number > (UINT64_MAX - digit) / base)
            return false;
        *number = *number * base + digit;
    }
    return field.length > 0;
}

/* A number with decimals: the whole part, and billionths. */
static bool parse_time(struct field field, uint64_t *whole, uint32_t *billionths)
{
    const char *point = memchr(field.at, '.', field.length);
    struct field before = {field.at, point ? (size_t)(point - field.at) : field.length};
    uint32_t unit = BILLION / 10;

    *billionths = 0;
    for (size_t i = before.length + 1; i < field.length; i++, unit /= 10) {
        if (!isdigit((unsigned char)field.at[i]))
            return false;
        *billionths += (uint32_t)(field.at[i] - '0') * unit;
    }
    return parse_number(before, whole);
}

/* The first field of what is left of a line; *left loses it. False: nothing is left. */
static bool next_field(struct field *left, char delimiter, struct field *field)
{
    if (!left->at)
        return false;
    bool quoted = left->length > 0 && left->at[0] == '"';
    const char *close = quoted ? memchr(left->at + 1, '"', left->length - 1) : NULL;
    size_t from = close ? (size_t)(close - left->at) : 0;
    const char *end = memchr(left->at + from, delimiter, left->length - from);

    field->at = left->at;
    field->length = end ? (size_t)(end - left->at) : left->length;
    *field = trim(*field);
    if (end) {
        left->length -= (size_t)(end + 1 - left->at);
        left->at = end + 1;
    } else {
        left->at = NULL;
    }
    return true;
}

/* ------------------------------------------------------------------ the options */

static bool option_fail(const struct trace *trace, const char *option, struct trace_error *error)
{
    return trace_fail(
        error, trace->source->path,
        "columns '%s', expected time-col=N, obj-id-col=N, obj-size-col=N, op-col=N, delimiter=C, "
        "has-header=true|false or obj-id-is-num=true|false",
        option);
}

static bool parse_truth(struct field value, bool *truth)
{
    *truth = is_word(value, "true") || is_word(value, "1");
    return *truth || is_word(value, "false") || is_word(value, "0");
}

/* NULL: there is no column of that name. */
static unsigned *find_column(struct csv_columns *columns, struct field name)
{
    if (is_word(name, "time-col"))
        return &columns->time;
    if (is_word(name, "obj-id-col"))
        return &columns->object;
    if (is_word(name, "obj-size-col"))
        return &columns->size;
    return is_word(name, "op-col") ? &columns->operation : NULL;
}

static bool set_delimiter(struct csv_columns *columns, struct field value)
{
    if (value.length == 2 && value.at[0] == '\\' && value.at[1] == 't')
        columns->delimiter = '\t';
    else if (value.length == 1)
        columns->delimiter = value.at[0];
    else
        return false;
    return true;
}

static bool set_option(struct csv_columns *columns, struct field name, struct field value)
{
    unsigned *column = find_column(columns, name);
    uint64_t number;
    bool truth;

    if (column) {
        columns->known = true;
        if (!parse_number(value, &number) || number == 0 || number > COLUMN_MOST)
            return false;
        *column = (unsigned)number;
        return true;
    }
    if (is_word(name, "delimiter"))
        return set_delimiter(columns, value);
    if (!parse_truth(value, &truth))
        return false;
    if (is_word(name, "has-header"))
        columns->header = truth ? HEADER_THERE : HEADER_NONE;
    else if (is_word(name, "obj-id-is-num"))
        columns->words = !truth;
    else
        return false;
    return true;
}

/* "name=value, name=value"; the value of `delimiter` may itself be a comma. */
bool csv_open(struct trace *trace, struct trace_error *error)
{
    const char *at = trace->options.csv_columns;

    while (at && *at) {
        size_t length = strcspn(at, "=");
        const char *value = at + length + (at[length] == '=');
        size_t value_length = *value == ',' ? 1 : strcspn(value, ",");

        if (at[length] != '=' || !set_option(&trace->columns, trim((struct field){at, length}),
                                             trim((struct field){value, value_length})))
            return option_fail(trace, at, error);
        at = value + value_length;
        at += strspn(at, ", ");
    }
    if (trace->columns.known && trace->columns.object == 0)
        return trace_fail(error, trace->source->path, "columns '%s', expected obj-id-col=N among them",
                          trace->options.csv_columns);
    return true;
}

/* ------------------------------------------------------------------ the first line */

/* As libCacheSim, the one that is there most often; the commoner one if it is a draw. */
static char guess_delimiter(struct field line)
{
    static const char possible[] = {',', '\t', ';', '|', ':', ' '};
    size_t most = 0;
    char best = ',';

    for (size_t i = 0; i < sizeof(possible); i++) {
        size_t count = 0;

        for (size_t at = 0; at < line.length; at++)
            count += line.at[at] == possible[i];
        if (count > most) {
            most = count;
            best = possible[i];
        }
    }
    return best;
}

/* Names of columns have letters, and none of the fields is a number. */
static bool is_header(struct field line, char delimiter)
{
    struct field field;
    uint64_t number;

    while (next_field(&line, delimiter, &field))
        if (field.length == 0 || parse_number(field, &number))
            return false;
    return true;
}

static void name_columns(struct csv_columns *columns, struct field line)
{
    static const char *const times[] = {"time", "timestamp", "clock_time", "real_time", "ts", NULL};
    static const char *const objects[] = {"obj_id", "object", "obj",   "id",   "key",
                                          "lbn",    "lba",    "block", "page", NULL};
    static const char *const sizes[] = {"size", "obj_size", "object_size", "length", "bytes", NULL};
    static const char *const operations[] = {"op", "operation", NULL};
    struct field field;

    for (unsigned column = 1; next_field(&line, columns->delimiter, &field); column++) {
        unsigned *meant = is_one_of(field, times)        ? &columns->time
                          : is_one_of(field, objects)    ? &columns->object
                          : is_one_of(field, sizes)      ? &columns->size
                          : is_one_of(field, operations) ? &columns->operation
                                                         : NULL;

        if (meant && *meant == 0)
            *meant = column;
    }
}

/* Looks at the first line; a header is read. */
static bool open_header(struct trace *trace, const struct source_text *text, struct trace_error *error)
{
    struct csv_columns *columns = &trace->columns;
    struct field line = {(const char *)text->line, text->length};
    bool header;

    if (!columns->delimiter)
        columns->delimiter = guess_delimiter(line);
    header = columns->header == HEADER_UNKNOWN ? is_header(line, columns->delimiter)
                                               : columns->header == HEADER_THERE;
    if (!columns->known && header)
        name_columns(columns, line);
    else if (!columns->known)
        *columns = (struct csv_columns){.time = 1,
                                        .object = 2,
                                        .size = 3,
                                        .delimiter = columns->delimiter,
                                        .header = columns->header,
                                        .words = columns->words};
    columns->known = true;
    columns->header = header ? HEADER_THERE : HEADER_NONE;
    if (columns->object == 0)
        return trace_fail_at(
            error, trace->source->path, source_offset(trace->source),
            "no column of the header is called obj_id, object, id, key, lbn or page; expected "
            "one, or columns such as obj-id-col=2");
    return true;
}

/* ------------------------------------------------------------------ records */

bool csv_read(struct trace *trace, size_t *count, struct trace_error *error)
{
    struct source_text text;

    *count = 0;
    while (*count < TRACE_BLOCK) {
        if (!source_line(trace->source, &text, error))
            return false;
        if (!text.line)
            return true;
        if (trace->line == 1 && !open_header(trace, &text, error))
            return false;
        bool skip = text.length == 0 || (trace->line == 1 && trace->columns.header == HEADER_THERE);

        if (!skip && !take_record(trace, &text, count, error))
            return false;
        trace->source->at += text.whole;
        trace->line++;
    }
    return true;
}

static bool refuse_field(const struct trace *trace, struct field field, const char *expected,
                         struct trace_error *error)
{
    uint64_t offset =
        source_offset(trace->source) + (uint64_t)((const unsigned char *)field.at - trace->source->at);

    return trace_fail_at(error, trace->source->path, offset, "line %llu: '%.*s', expected %s",
                         (unsigned long long)trace->line,
                         trace_printable((const unsigned char *)field.at, field.length), field.at, expected);
}

/* SCSI's commands are in hexadecimal, as in the CloudPhysics traces: SBC-4, WRITE (6), (10), (12), (16). */
static bool is_write(struct field field)
{
    static const char *const words[] = {"w", "write", "set", "put", "store", "2a", "8a", "aa", "0a", NULL};

    return is_one_of(field, words);
}

struct record {
    uint64_t object, time, size;
    uint32_t billionths;
    bool write, has_object;
};

static bool take_field(const struct trace *trace, struct field field, unsigned column, struct record *record,
                       struct trace_error *error)
{
    const struct csv_columns *columns = &trace->columns;

    if (column == columns->time && !parse_time(field, &record->time, &record->billionths))
        return refuse_field(trace, field, "a time", error);
    if (column == columns->size && !parse_number(field, &record->size))
        return refuse_field(trace, field, "a size", error);
    if (column == columns->operation)
        record->write = is_write(field);
    if (column != columns->object)
        return true;
    record->has_object = true;
    if (columns->words)
        record->object = xxh64(field.at, field.length, 0);
    else if (!parse_number(field, &record->object))
        return refuse_field(trace, field, "the number of an object (of other names: obj-id-is-num=false)",
                            error);
    return true;
}

static bool take_record(struct trace *trace, const struct source_text *text, size_t *count,
                        struct trace_error *error)
{
    const struct csv_columns *columns = &trace->columns;
    struct field line = {(const char *)text->line, text->length}, field;
    struct record record = {.size = 1, .time = trace->last_time, .billionths = trace->last_billionths};
    unsigned column = 0;

    while (next_field(&line, columns->delimiter, &field))
        if (!take_field(trace, field, ++column, &record, error))
            return false;
    if (!record.has_object || column < columns->time || column < columns->size || column < columns->operation)
        return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                             "line %llu has %u fields, expected more: the object is the %u. of them",
                             (unsigned long long)trace->line, column, columns->object);
    if (record.time < trace->last_time ||
        (record.time == trace->last_time && record.billionths < trace->last_billionths))
        return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                             "line %llu: time %llu behind %llu, expected lines in the order of time",
                             (unsigned long long)trace->line, (unsigned long long)record.time,
                             (unsigned long long)trace->last_time);
    trace->last_time = record.time;
    trace->last_billionths = record.billionths;
    if (record.size == 0)
        return true;
    if (!trace_refer(trace, record.object, record.write, &trace->block[*count]))
        return trace_refuse_page(trace, record.object, source_offset(trace->source), error);
    (*count)++;
    return true;
}
