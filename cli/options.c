/*
 * Options of a verb: reads the words by the verb's table, and prints the table as help.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"
#include "cli/options.h"

static const struct option_spec *option_find(const struct option_spec *specs, const char *word,
                                             size_t length);
static bool option_set(const char *verb, const struct option_spec *spec, char *value);

int options_parse(const char *verb, const struct option_spec *specs, int argc, char **argv)
{
    int at = 1;

    while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0') {
        char *word = argv[at++];

        if (strcmp(word, "--") == 0) {
            break;
        }
        size_t length = strcspn(word, "=");
        const struct option_spec *spec = option_find(specs, word, length);
        char *value = word[length] == '=' ? word + length + 1 : NULL;

        if (!spec) {
            say("%s: %.*s: no such option; `quire help %s` lists them", verb, (int)length, word, verb);
            return -1;
        }
        if (spec->kind == OPTION_FLAG && value) {
            say("%s: %s: takes no value, got '%s'", verb, spec->name, value);
            return -1;
        }
        if (spec->kind != OPTION_FLAG && !value) {
            if (at == argc) {
                say("%s: %s: expected %s behind it", verb, spec->name, spec->argument);
                return -1;
            }
            value = argv[at++];
        }
        if (!option_set(verb, spec, value)) {
            return -1;
        }
    }
    return at;
}

bool options_parse_mixed(const char *verb, const struct option_spec *specs, int argc, char **argv,
                         struct strings *words)
{
    int at = 0;

    /* argv[at] is a word, the verb at first; what is behind it may be options. */
    while (at < argc) {
        int next = options_parse(verb, specs, argc - at, argv + at);

        if (next < 0) {
            return false;
        }
        bool rest = next > 1 && strcmp(argv[at + next - 1], "--") == 0;

        at += next;
        do {
            if (at < argc) {
                strings_add(words, must_copy(argv[at]));
            }
        } while (rest && ++at < argc);
    }
    return true;
}

static const struct option_spec *option_find(const struct option_spec *specs, const char *word, size_t length)
{
    for (; specs->name; specs++) {
        if (strlen(specs->name) == length && memcmp(specs->name, word, length) == 0) {
            return specs;
        }
    }
    return NULL;
}

bool parse_size(const char *text, uint64_t *bytes)
{
    return words_size(text, text + strlen(text), bytes) && *bytes <= UINT64_MAX >> 1;
}

bool parse_number(const char *text, uint64_t *number)
{
    return words_number(text, text + strlen(text), number);
}

static void add_parts(struct strings *list, const char *text)
{
    for (;;) {
        size_t length = strcspn(text, ",");

        strings_add(list, must_format("%.*s", (int)length, text));
        if (!text[length]) {
            return;
        }
        text += length + 1;
    }
}

static bool parse_seconds(const char *text, int64_t *ms)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(seconds) || seconds <= 0 || seconds > 1e9) {
        return false;
    }
    *ms = (int64_t)(seconds * 1000 + 0.999);
    return true;
}

static bool option_set(const char *verb, const struct option_spec *spec, char *value)
{
    switch (spec->kind) {
    case OPTION_FLAG:
        *(bool *)spec->value = true;
        return true;
    case OPTION_TEXT:
        if (!*value) {
            say("%s: %s: expected %s, got nothing", verb, spec->name, spec->argument);
            return false;
        }
        *(const char **)spec->value = value;
        return true;
    case OPTION_SIZE:
        if (!parse_size(value, spec->value)) {
            say("%s: %s: expected a size such as 64M, got '%s'", verb, spec->name, value);
            return false;
        }
        return true;
    case OPTION_NUMBER:
        if (!parse_number(value, spec->value)) {
            say("%s: %s: expected a whole number, got '%s'", verb, spec->name, value);
            return false;
        }
        return true;
    case OPTION_SECONDS:
        if (!parse_seconds(value, spec->value)) {
            say("%s: %s: expected a number of seconds above 0, got '%s'", verb, spec->name, value);
            return false;
        }
        return true;
    case OPTION_LIST:
        strings_add(spec->value, must_copy(value));
        return true;
    case OPTION_COMMAS:
        add_parts(spec->value, value);
        return true;
    }
    return false;
}

void options_print(const struct option_spec *specs)
{
    for (; specs->name; specs++) {
        char left[64];

        snprintf(left, sizeof(left), "%s%s%s", specs->name, specs->argument ? " " : "",
                 specs->argument ? specs->argument : "");
        printf("  %-20s %s\n", left, specs->help);
    }
}
