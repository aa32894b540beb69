/*
 * quire policies: the page-replacement policies that there are, what each needs and costs, and its options.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "quire/policy.h"

static bool find_all(int count, char **names);
static void print_table(void);
static void print_one(const struct policy_type *type);
static int print_json(int count, char **names);

void cmd_policies_help(void)
{
    printf("usage: quire policies [--json] [NAME...]\n"
           "\n"
           "Lists the page-replacement policies; with NAMEs, all about these.\n"
           "\n"
           "  --json  the same as one JSON object\n"
           "\n"
           "A policy that needs `bits` works on reference bits, as a kernel has them; one that needs\n"
           "`references` must be told of each; one that needs `future` only a simulator can run.\n"
           "Where a policy is chosen, its options may follow: --policy wsclock:tau=5000,look=8.\n");
}

int cmd_policies(int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = {{"--json", OPTION_FLAG, &json, NULL, ""}, {0}};
    int at = options_parse("policies", specs, argc, argv);

    if (at < 0 || !find_all(argc - at, argv + at)) {
        return EXIT_USAGE;
    }
    if (json) {
        return print_json(argc - at, argv + at);
    }
    if (at == argc) {
        print_table();
    }
    for (; at < argc; at++) {
        print_one(policy_find(argv[at], strlen(argv[at])));
    }
    if (fflush(stdout) != 0) {
        say("policies: standard output: %s", strerror(errno));
        return 1;
    }
    return 0;
}

static bool find_all(int count, char **names)
{
    for (int i = 0; i < count; i++) {
        if (!policy_find(names[i], strlen(names[i]))) {
            say("policies: %s: no such policy; `quire policies` lists them", names[i]);
            return false;
        }
    }
    return true;
}

static const char *needs_name(const struct policy_type *type)
{
    switch (type->needs) {
    case POLICY_BITS:
        return "bits";
    case POLICY_EVERY_REFERENCE:
        return "references";
    default:
        return "future";
    }
}

static void print_table(void)
{
    printf("%-17s %-11s %5s %6s  %s\n", "policy", "needs", "/page", "/frame", "");
    for (const struct policy_type *const *type = policy_types; *type; type++) {
        printf("%-17s %-11s %5u %6u  %s\n", (*type)->name, needs_name(*type), (*type)->page_bytes,
               (*type)->frame_bytes, (*type)->title);
    }
    printf("\n/page, /frame: bytes of memory for each, besides a byte of state a page.\n"
           "`quire policies NAME` says where a policy is from, and its options.\n");
}

/* The n-th of names that are separated by spaces. */
static json_t *word_of(const char *words, uint64_t index)
{
    while (index-- > 0) {
        words += strcspn(words, " ") + 1;
    }
    return json_stringn(words, strcspn(words, " "));
}

static void print_option(const struct policy_option *option)
{
    if (option->words) {
        json_t *standard = word_of(option->words, option->standard);

        printf("  %s=%s  %s; one of: %s\n", option->name, json_string_value(standard), option->meaning,
               option->words);
        json_decref(standard);
    } else {
        printf("  %s=%llu  %s; %llu to %llu\n", option->name, (unsigned long long)option->standard,
               option->meaning, (unsigned long long)option->least, (unsigned long long)option->most);
    }
}

static void print_one(const struct policy_type *type)
{
    printf("%s: %s\n", type->name, type->title);
    printf("  source: %s\n", type->source);
    printf("  needs: %s\n", needs_name(type));
    printf("  memory: %u bytes a page, %u bytes a frame, and a byte of state a page\n", type->page_bytes,
           type->frame_bytes);
    if (type->ghosts > 0) {
        printf("  remembers pages that have gone: at most %u for each frame\n", type->ghosts);
    }
    if (type->prefers_clean) {
        printf("  spares dirty pages while a clean one will do\n");
    }
    if (type->tick) {
        printf("  is to be told of ticks, the intervals of time that the host defines\n");
    }
    for (unsigned i = 0; i < POLICY_OPTIONS && type->options[i].name; i++) {
        print_option(&type->options[i]);
    }
}

static json_t *option_json(const struct policy_option *option)
{
    json_t *object = json_pack("{ss, ss}", "name", option->name, "meaning", option->meaning);

    if (option->words) {
        json_t *values = json_array();
        uint64_t value = 0;

        for (; value <= option->most; value++) {
            json_array_append_new(values, word_of(option->words, value));
        }
        json_object_set_new(object, "standard", word_of(option->words, option->standard));
        json_object_set_new(object, "values", values);
    } else {
        json_object_set_new(object, "standard", json_integer((json_int_t)option->standard));
        json_object_set_new(object, "least", json_integer((json_int_t)option->least));
        json_object_set_new(object, "most", json_integer((json_int_t)option->most));
    }
    return object;
}

static json_t *policy_json(const struct policy_type *type)
{
    json_t *options = json_array();

    for (unsigned i = 0; i < POLICY_OPTIONS && type->options[i].name; i++) {
        json_array_append_new(options, option_json(&type->options[i]));
    }
    return json_pack("{ss, ss, ss, ss, sb, sb, si, si, si, so}", "name", type->name, "title", type->title,
                     "source", type->source, "needs", needs_name(type), "prefers_clean", type->prefers_clean,
                     "ticks", type->tick != NULL, "ghosts_per_frame", (int)type->ghosts, "page_bytes",
                     (int)type->page_bytes, "frame_bytes", (int)type->frame_bytes, "options", options);
}

static int print_json(int count, char **names)
{
    json_t *list = json_array(), *top = json_pack("{so}", "policies", list);
    int status = 0;

    for (const struct policy_type *const *type = policy_types; *type && count == 0; type++) {
        json_array_append_new(list, policy_json(*type));
    }
    for (int i = 0; i < count; i++) {
        json_array_append_new(list, policy_json(policy_find(names[i], strlen(names[i]))));
    }
    if (json_dumpf(top, stdout, JSON_INDENT(2)) != 0 || printf("\n") < 0 || fflush(stdout) != 0) {
        say("policies: standard output: %s", strerror(errno));
        status = 1;
    }
    json_decref(top);
    return status;
}
