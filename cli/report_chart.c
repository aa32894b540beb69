/*
 * The report's chart: a line of characters a process, each character the frames that it held during a part of
 * the run, from a blank (none) to # (as many as anybody ever had), and beside it its faults.
 *
 *     frames over time, a character 12.5 ms                      most     faults, major
 *     free        #####+.                                        6,012
 *     1 sort         .-=+**######***+=-                          3,210     4,411      201
 */
#include <string.h>

#include "cli/report.h"

enum { NAME_COLUMNS = 18, CHART_MOST = 64 };

static const char shades[] = " .:-=+*#";

static json_int_t at(const json_t *list, size_t index)
{
    return json_integer_value(json_array_get(list, index));
}

static json_int_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static json_int_t most_of(const json_t *list)
{
    json_int_t most = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        most = at(list, i) > most ? at(list, i) : most;
    }
    return most;
}

/* The least that is not nothing gets a mark. */
static char shade(json_int_t value, json_int_t most)
{
    json_int_t steps = (json_int_t)sizeof(shades) - 2;

    return most > 0 && value > 0 ? shades[1 + (value * steps - 1) / most * (steps - 1) / steps] : ' ';
}

static void put_line(FILE *out, const char *name, const json_t *figures, json_int_t most)
{
    char line[CHART_MOST + 1];
    size_t count = json_array_size(figures) < CHART_MOST ? json_array_size(figures) : CHART_MOST;

    for (size_t i = 0; i < count; i++) {
        line[i] = shade(at(figures, i), most);
    }
    line[count] = '\0';
    fprintf(out, "    %-*.*s|%-*s|%9lld", NAME_COLUMNS, NAME_COLUMNS, name, (int)count, line,
            (long long)most_of(figures));
}

void report_chart(FILE *out, json_t *over_time)
{
    const json_t *processes = json_object_get(over_time, "processes");
    const json_t *free_frames = json_object_get(over_time, "free");
    const json_t *swapped = json_object_get(over_time, "swapped");
    json_int_t most = most_of(free_frames);

    if (json_array_size(free_frames) == 0) {
        return;
    }
    for (size_t i = 0; i < json_array_size(processes); i++) {
        json_int_t peak = most_of(json_object_get(json_array_get(processes, i), "frames"));

        most = peak > most ? peak : most;
    }
    fprintf(out, "  frames over time, a character %.1f ms; then the most, faults, and those that read\n",
            (double)number(over_time, "interval_ns") / 1e6);
    put_line(out, "free", free_frames, most);
    fputc('\n', out);
    if (most_of(swapped) > 0) {
        put_line(out, "in swap", swapped, most_of(swapped));
        fputc('\n', out);
    }
    for (size_t i = 0; i < json_array_size(processes); i++) {
        const json_t *one = json_array_get(processes, i);
        char name[64];

        snprintf(name, sizeof(name), "%lld %s", (long long)number(one, "pid"),
                 json_string_value(json_object_get(one, "name")));
        put_line(out, name, json_object_get(one, "frames"), most);
        fprintf(out, " %9lld %8lld\n", (long long)number(one, "faults_minor"),
                (long long)number(one, "faults_major"));
    }
}
