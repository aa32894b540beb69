/*
 * Scopes, allocation rules and classes as users write them: the same words on every command line.
 */
#include "quire/scope.h"

#include "base/words.h"

/* Standard bounds of page-fault frequency: a fault each thousand references is much, one each ten thousand
 * little. */
enum { PFF_LOW = 100, PFF_HIGH = 1000, PFF_WINDOW = 50000, MILLION = 1000000 };

const char *const scope_kind_names[] = {"global", "local", NULL};
const char *const scope_rule_names[] = {"equal", "proportional", "pff", NULL};
const char *const scope_class_names[] = {"ordinary", "vip", "vvip", NULL};

static size_t length_of(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0')
        length++;
    return length;
}

static bool begins(const char *text, const char *with)
{
    while (*with != '\0')
        if (*text++ != *with++)
            return false;
    return true;
}

/* The place among `names` of what stands before `end` characters; -1: none. */
static int find(const char *const *names, const char *text, size_t length)
{
    for (int i = 0; names[i] != NULL; i++)
        if (length_of(names[i]) == length && begins(text, names[i]))
            return i;
    return -1;
}

static enum status wrong(struct scope_error *error, size_t at, size_t length, const char *expected)
{
    *error = (struct scope_error){at, length, expected};
    return ST_INVALID;
}

enum status scope_parse_kind(const char *text, enum scope_kind *kind, struct scope_error *error)
{
    int found = find(scope_kind_names, text, length_of(text));

    if (found < 0)
        return wrong(error, 0, length_of(text), "global or local");
    *kind = (enum scope_kind)found;
    return ST_OK;
}

static bool is_strict(const char *part, const char *end)
{
    return begins(part, "strict") && part + 6 == end;
}

/* One of "low=N", "high=N", "window=N", "strict", up to `end`. */
static bool pff_option(const char *part, const char *end, struct scope_config *config)
{
    uint64_t value;

    if (is_strict(part, end))
        config->strict = true;
    else if (begins(part, "low=") && words_number(part + 4, end, &value) && value <= MILLION)
        config->pff_low = (uint32_t)value;
    else if (begins(part, "high=") && words_number(part + 5, end, &value) && value <= MILLION)
        config->pff_high = (uint32_t)value;
    else if (begins(part, "window=") && words_number(part + 7, end, &value))
        config->pff_window = value;
    else
        return false;
    return true;
}

static enum status pff_options(const char *text, size_t at, struct scope_config *config,
                               struct scope_error *error)
{
    size_t end;

    for (size_t part = at;; part = end + 1) {
        for (end = part; text[end] != '\0' && text[end] != ',';)
            end++;
        if (!pff_option(text + part, text + end, config))
            return wrong(error, part, end - part,
                         "low= and high= with faults in a million references (up to 1000000), window= with "
                         "references, or strict");
        if (text[end] == '\0')
            break;
    }
    if (config->pff_low > config->pff_high || config->pff_window == 0)
        return wrong(error, 0, end, "low at most as large as high, and a window above 0");
    return ST_OK;
}

enum status scope_parse_rule(const char *text, struct scope_config *config, struct scope_error *error)
{
    struct scope_config parsed = *config;
    size_t name = 0, options;
    int found;
    enum status status = ST_OK;

    while (text[name] != '\0' && text[name] != ':')
        name++;
    found = find(scope_rule_names, text, name);
    options = name + (text[name] != '\0');
    parsed.strict = is_strict(text + options, text + length_of(text));
    if (found < 0 || (text[name] != '\0' && found != SCOPE_PFF && !parsed.strict))
        return wrong(error, 0, length_of(text), "equal, proportional or pff, with :strict or without");
    parsed.rule = (enum scope_rule)found;
    parsed.pff_low = PFF_LOW;
    parsed.pff_high = PFF_HIGH;
    parsed.pff_window = PFF_WINDOW;
    if (text[name] != '\0' && found == SCOPE_PFF)
        status = pff_options(text, options, &parsed, error);
    if (status == ST_OK)
        *config = parsed;
    return status;
}

enum status scope_parse_class(const char *text, struct scope_class_word *out)
{
    size_t end = length_of(text), equals = end, colon;
    struct scope_class_word word = {0};
    int found;

    while (equals > 0 && text[equals] != '=')
        equals--;
    for (colon = equals; colon < end && text[colon] != ':';)
        colon++;
    if (equals == 0)
        return ST_INVALID;
    found = find(scope_class_names, text + equals + 1, colon - equals - 1);
    if (found < 0)
        return ST_INVALID;
    word = (struct scope_class_word){.name_length = equals, .class = (enum scope_class)found};
    if (found == CLASS_ORDINARY
            ? colon != end
            : colon == end || !words_size(text + colon + 1, text + end, &word.bytes) || word.bytes == 0)
        return ST_INVALID;
    *out = word;
    return ST_OK;
}
