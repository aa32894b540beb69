/*
 * What the modes of `quire sim` share in writing: numbers, JSON, CSV, pictures.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/sim.h"

int sim_finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    say("sim: standard output: %s", strerror(errno));
    return 1;
}

/* 15 digits are as many as a double keeps. */
int sim_print_json(json_t *root)
{
    if (!root || json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(15)) != 0 ||
        putchar('\n') == EOF) {
        json_decref(root);
        say("sim: standard output: %s", errno ? strerror(errno) : "out of memory");
        return 1;
    }
    json_decref(root);
    return sim_finish_output();
}

json_t *sim_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *sim_json_count(double value)
{
    return value == floor(value) && fabs(value) < 9e15 ? json_integer((json_int_t)value)
                                                       : sim_json_number(value);
}

bool sim_write_svg(const char *path, const struct picture *picture)
{
    FILE *file = fopen(path, "w");
    bool done = file != NULL;

    if (file) {
        picture_svg(picture, file);
        done = !ferror(file);
        done = fclose(file) == 0 && done;
    }
    if (!done)
        say("sim: --svg: %s: %s", path, strerror(errno));
    return done;
}

void sim_csv_text(const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

const char *sim_bytes(char out[32], uint64_t bytes)
{
    static const char units[] = " KMGTPE";
    unsigned unit = 0;
    double value = (double)bytes;

    for (; value >= 1024 && unit + 2 < sizeof(units); unit++)
        value /= 1024;
    if (unit == 0)
        snprintf(out, 32, "%llu", (unsigned long long)bytes);
    else
        snprintf(out, 32, value == floor(value) ? "%.0f%c" : "%.1f%c", value, units[unit]);
    return out;
}

const char *sim_count(char out[32], uint64_t count)
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count), at = 0;

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *sim_time(char out[32], double seconds)
{
    if (seconds < 1e-3)
        snprintf(out, 32, "%.3g us", seconds * 1e6);
    else if (seconds < 1)
        snprintf(out, 32, "%.3g ms", seconds * 1e3);
    else if (seconds < 600)
        snprintf(out, 32, "%.3g s", seconds);
    else if (seconds < 36000)
        snprintf(out, 32, "%.0f min", seconds / 60);
    else
        snprintf(out, 32, "%.1f h", seconds / 3600);
    return out;
}
