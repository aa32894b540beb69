/*
 * Policies by name, and their options: "wsclock:tau=5000,batch=8".
 */
#include <string.h>

#include "quire/policy.h"

#define POLICY(name) extern const struct policy_type policy_##name;
#include "policies.h"
#undef POLICY

const struct policy_type *const policy_types[] = {
#define POLICY(name) &policy_##name,
#include "policies.h"
#undef POLICY
    NULL,
};

/* A piece of the text that is being parsed. */
struct word {
    const char *text;
    size_t length;
};

static size_t text_length(const char *text)
{
    size_t length = 0;

    while (text[length])
        length++;
    return length;
}

/* Up to the first of `ends`, or the end. */
static struct word word_at(const char *text, const char *ends)
{
    struct word word = {text, 0};

    for (; text[word.length]; word.length++)
        for (const char *end = ends; *end; end++)
            if (text[word.length] == *end)
                return word;
    return word;
}

static bool word_is(struct word word, const char *name)
{
    return text_length(name) == word.length && memcmp(word.text, name, word.length) == 0;
}

const struct policy_type *policy_find(const char *name, size_t length)
{
    for (const struct policy_type *const *type = policy_types; *type; type++)
        if (word_is((struct word){name, length}, (*type)->name))
            return *type;
    return NULL;
}

void policy_standard(const struct policy_type *type, struct policy_config *config)
{
    for (unsigned i = 0; i < POLICY_OPTIONS; i++)
        config->options[i] = type->options[i].name ? type->options[i].standard : 0;
}

static bool parse_number(struct word word, uint64_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < word.length; i++) {
        unsigned digit = (unsigned)(word.text[i] - '0');

        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return word.length > 0;
}

static bool parse_name(struct word word, const char *names, uint64_t *out)
{
    uint64_t value = 0;

    for (struct word name = word_at(names, " "); name.length > 0; value++) {
        if (name.length == word.length && memcmp(name.text, word.text, word.length) == 0) {
            *out = value;
            return true;
        }
        name = name.text[name.length] ? word_at(name.text + name.length + 1, " ") : (struct word){names, 0};
    }
    return false;
}

static enum status parse_value(const struct policy_option *option, struct word word, uint64_t *out,
                               struct policy_error *error)
{
    uint64_t value;

    if (option->words ? parse_name(word, option->words, &value) : parse_number(word, &value))
        if (value >= option->least && value <= option->most) {
            *out = value;
            return ST_OK;
        }
    error->expected = option->words ? option->words : "a number within the option's bounds";
    return ST_INVALID;
}

static enum status parse_option(const struct policy_type *type, struct word word,
                                struct policy_config *config, struct policy_error *error)
{
    struct word name = word_at(word.text, "=,");

    for (unsigned i = 0; i < POLICY_OPTIONS && type->options[i].name; i++)
        if (word_is(name, type->options[i].name)) {
            struct word value = name.length < word.length ? (struct word){word.text + name.length + 1,
                                                                          word.length - name.length - 1}
                                                          : (struct word){word.text + name.length, 0};

            return parse_value(&type->options[i], value, &config->options[i], error);
        }
    error->expected = "an option of this policy";
    return ST_INVALID;
}

enum status policy_parse(const char *text, const struct policy_type **type, struct policy_config *config,
                         struct policy_error *error)
{
    struct word word = word_at(text, ":");

    *error = (struct policy_error){0, word.length, "the name of a policy"};
    *type = policy_find(word.text, word.length);
    if (!*type)
        return ST_INVALID;
    policy_standard(*type, config);
    while (word.text[word.length]) {
        word = word_at(word.text + word.length + 1, ",");
        error->at = (size_t)(word.text - text);
        error->length = word.length;
        if (parse_option(*type, word, config, error) != ST_OK)
            return ST_INVALID;
    }
    return ST_OK;
}
