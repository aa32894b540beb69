/*
 * Prints the report as JSON or as a table. The kernel names the figures; this only lays them out: a section
 * for each object, a row for each number, with the digits in groups of three.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/report.h"

enum { NAME_WIDTH = 22, NUMBER_WIDTH = 16 };

static void report_table(FILE *out, json_t *report);

int report_print(const char *text, size_t length, const struct boot_options *options)
{
    bool to_file = options->report && strcmp(options->report, "-") != 0;
    json_error_t error;

    if (!report_wanted(options)) {
        return 0;
    }
    if (!text) {
        if (options->report || options->json) {
            say("boot: the machine ended without a report");
        }
        return 0;
    }
    json_t *report = json_loadb(text, length, 0, &error);

    if (!json_is_object(report)) {
        say("boot: the kernel's report is not a JSON object: %s", report ? "something else" : error.text);
        json_decref(report);
        return EXIT_MACHINE;
    }
    FILE *out = to_file ? fopen(options->report, "we") : stderr;

    if (!out) {
        say("boot: --report: %s: %s", options->report, strerror(errno));
        json_decref(report);
        return EXIT_USAGE;
    }
    if (options->json) {
        json_dumpf(report, out, JSON_INDENT(2));
        fputc('\n', out);
    } else {
        report_table(out, report);
    }
    json_decref(report);
    bool failed = fflush(out) != 0 || ferror(out) != 0;

    if (to_file) {
        failed = fclose(out) != 0 || failed;
    }
    if (failed) {
        say("boot: --report: %s: %s", options->report ? options->report : "standard error", strerror(errno));
    }
    return failed ? EXIT_USAGE : 0;
}

bool report_wanted(const struct boot_options *options)
{
    return options->report || options->json || isatty(STDERR_FILENO);
}

/* 1234567 as 1,234,567. */
static void format_number(char *to, size_t size, json_int_t number)
{
    char digits[32];
    size_t at = 0;
    int length = snprintf(digits, sizeof(digits), "%lld", (long long)number);

    for (int i = 0; i < length && at + 2 < size; i++) {
        int left = length - i;

        if (i > 0 && left % 3 == 0 && digits[i - 1] != '-') {
            to[at++] = ',';
        }
        to[at++] = digits[i];
    }
    to[at] = '\0';
}

static void format_name(char *to, size_t size, const char *key)
{
    size_t at = 0;

    for (; key[at] && at + 1 < size; at++) {
        to[at] = key[at] == '_' ? ' ' : key[at];
    }
    to[at] = '\0';
}

static void report_row(FILE *out, unsigned indent, const char *section, const char *key, const json_t *value)
{
    char name[64];
    char text[64];

    format_name(name, sizeof(name), key);
    if (json_is_integer(value)) {
        format_number(text, sizeof(text), json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(text, sizeof(text), "%.3f", json_real_value(value));
    } else if (json_is_string(value)) {
        snprintf(text, sizeof(text), "%s", json_string_value(value));
    } else if (json_is_boolean(value)) {
        snprintf(text, sizeof(text), "%s", json_is_true(value) ? "yes" : "no");
    } else {
        snprintf(text, sizeof(text), "-");
    }
    const char *words = report_words(section, key);

    fprintf(out, "%*s%-*s%*s%s%s\n", (int)indent, "", NAME_WIDTH - (int)indent, name, NUMBER_WIDTH, text,
            *words ? "  " : "", words);
}

/* A list of objects with a name and a count: a row for each. */
static void report_list(FILE *out, unsigned indent, const json_t *list)
{
    size_t at;
    json_t *one;

    json_array_foreach(list, at, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        char from[32];

        if (!name && json_object_get(one, "from")) {
            snprintf(from, sizeof(from), "from %lld",
                     (long long)json_integer_value(json_object_get(one, "from")));
            name = from;
        }
        report_row(out, indent, "", name ? name : "?", json_object_get(one, "count"));
    }
}

static void report_rows(FILE *out, unsigned indent, const char *section, json_t *object)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        if (!json_is_object(value) && !json_is_array(value)) {
            report_row(out, indent, section, key, value);
        }
    }
    json_object_foreach(object, key, value)
    {
        char name[64];

        if (json_object_size(value) == 0 && json_array_size(value) == 0) {
            continue;
        }
        if (strcmp(key, "over_time") == 0) {
            report_chart(out, value);
            continue;
        }
        format_name(name, sizeof(name), key);
        fprintf(out, "%*s%s\n", (int)indent, "", name);
        if (json_is_array(value)) {
            report_list(out, indent + 2, value);
        } else {
            report_rows(out, indent + 2, key, value);
        }
    }
}

static void report_table(FILE *out, json_t *report)
{
    fprintf(out, "paging report\n");
    report_rows(out, 2, "", report);
}
