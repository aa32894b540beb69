/*
 * Options of paging.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/paging_options.h"

enum { READ_AHEAD_MOST = 32 }; /* SWAP_CLUSTER of quire/swap.h */
/* Of all of them together, on a command line of 1,024 characters. */
enum { WORDS_MOST = 600 };

/* ------------------------------------------------------------------ single options */

static void print_policies(bool bits_only, const char *more)
{
    char line[900];
    size_t at = 0;

    for (size_t i = 0; policy_types[i] && at < sizeof(line); i++) {
        if (!bits_only || policy_types[i]->needs == POLICY_BITS)
            at += (size_t)snprintf(line + at, sizeof(line) - at, "%s%s", at > 0 ? ", " : "",
                                   policy_types[i]->name);
    }
    fprintf(stderr, "  %s%s\n", line, more);
}

static void print_policy_options(const struct policy_type *type)
{
    for (unsigned i = 0; i < POLICY_OPTIONS && type->options[i].name; i++) {
        const struct policy_option *option = &type->options[i];

        if (option->words)
            fprintf(stderr, "  %s=%s: %s\n", option->name, option->words, option->meaning);
        else
            fprintf(stderr, "  %s=N, %llu to %llu: %s\n", option->name, (unsigned long long)option->least,
                    (unsigned long long)option->most, option->meaning);
    }
}

void paging_say_policy(const char *verb, const char *text, const struct policy_type *type,
                       const struct policy_error *error, const char *more)
{
    say("%s: --policy: %s: '%.*s': expected %s%s", verb, text, (int)error->length, text + error->at,
        error->expected,
        type && !type->options[0].name ? "; it has none"
        : type                         ? ", of:"
                                       : ", one of:");
    if (type)
        print_policy_options(type);
    else
        print_policies(false, more);
}

bool paging_check_scope(const char *verb, const char *scope, const char *allocation,
                        struct scope_config *config)
{
    struct scope_error error;

    if (scope_parse_kind(scope ? scope : "global", &config->kind, &error) != ST_OK) {
        say("%s: --scope: expected %s, got '%s'", verb, error.expected, scope);
        return false;
    }
    if (allocation && config->kind != SCOPE_LOCAL) {
        say("%s: --allocation: expected --scope local with it", verb);
        return false;
    }
    if (scope_parse_rule(allocation ? allocation : "equal", config, &error) != ST_OK) {
        say("%s: --allocation: '%.*s': expected %s", verb, (int)error.length, allocation + error.at,
            error.expected);
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------ of a machine */

static bool check_policy(const char *verb, const char *text)
{
    struct policy_config config = {0};
    struct policy_error error;
    const struct policy_type *type;

    if (policy_parse(text, &type, &config, &error) != ST_OK) {
        paging_say_policy(verb, text, type, &error, "");
        return false;
    }
    if (type->needs != POLICY_BITS) {
        say("%s: --policy: %s needs %s, which page tables do not tell; expected one of:", verb, type->name,
            type->needs == POLICY_FUTURE ? "the future" : "every reference");
        print_policies(true, "");
        return false;
    }
    return true;
}

static bool check_class(const char *verb, const char *text, uint64_t memory_bytes)
{
    struct scope_class_word word;

    if (scope_parse_class(text, &word) != ST_OK || memchr(text, ' ', word.name_length)) {
        say("%s: --class: expected PROGRAM=vvip:SIZE, PROGRAM=vip:SIZE or PROGRAM=ordinary, got '%s'", verb,
            text);
        return false;
    }
    if (word.bytes > memory_bytes) {
        say("%s: --class: %s: expected at most the machine's memory, %lluK", verb, text,
            (unsigned long long)(memory_bytes >> 10));
        return false;
    }
    return true;
}

static bool check_classes(const char *verb, const struct strings *classes, uint64_t memory_bytes)
{
    for (size_t i = 0; i < classes->count; i++)
        if (!check_class(verb, classes->items[i], memory_bytes))
            return false;
    return true;
}

/* The kernel's command line has an end. */
static bool check_length(const char *verb, const struct paging_options *options)
{
    char *words = paging_words(options);
    size_t length = strlen(words);

    free(words);
    if (length > WORDS_MOST)
        say("%s: --class and the other options of paging: expected at most %d characters together, got %zu",
            verb, WORDS_MOST, length);
    return length <= WORDS_MOST;
}

bool paging_check(const char *verb, const struct paging_options *options, uint64_t memory_bytes,
                  bool has_swap)
{
    struct scope_config scope = {0};

    if ((options->policy && !check_policy(verb, options->policy)) ||
        !paging_check_scope(verb, options->scope, options->allocation, &scope) ||
        !check_classes(verb, &options->classes, memory_bytes))
        return false;
    if (options->load_control && !has_swap) {
        say("%s: --load-control: expected --swap or --swap-compress with it", verb);
        return false;
    }
    if (options->read_ahead != PAGING_NOT_GIVEN &&
        (options->read_ahead == 0 || options->read_ahead > READ_AHEAD_MOST)) {
        say("%s: --read-ahead: expected 1 (none) to %d pages, got %llu", verb, READ_AHEAD_MOST,
            (unsigned long long)options->read_ahead);
        return false;
    }
    return check_length(verb, options);
}

static void add_word(char **words, const char *name, const char *value)
{
    char *longer = must_format("%s %s%s", *words, name, value);

    free(*words);
    *words = longer;
}

char *paging_words(const struct paging_options *options)
{
    char *words = must_copy("");

    if (options->policy)
        add_word(&words, "policy=", options->policy);
    if (options->scope)
        add_word(&words, "scope=", options->scope);
    if (options->allocation)
        add_word(&words, "allocation=", options->allocation);
    for (size_t i = 0; i < options->classes.count; i++)
        add_word(&words, "class=", options->classes.items[i]);
    if (options->load_control)
        add_word(&words, "load-control", "");
    if (options->read_ahead != PAGING_NOT_GIVEN) {
        char *pages = must_format("%llu", (unsigned long long)options->read_ahead);

        add_word(&words, "read-ahead=", pages);
        free(pages);
    }
    return words;
}
