/*
 * Messages, memory and strings for the verbs.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"

static bool raw_lines;

void say_raw_lines(bool raw)
{
    raw_lines = raw;
}

void say(const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fflush(stdout);
    fprintf(stderr, "quire: %s%s\n", line, raw_lines ? "\r" : "");
}

static _Noreturn void out_of_memory(void)
{
    say("out of memory on the host");
    abort();
}

void *must_alloc(size_t bytes)
{
    return must_realloc(NULL, bytes);
}

void *must_realloc(void *old, size_t bytes)
{
    void *new = realloc(old, bytes);

    if (!new) {
        out_of_memory();
    }
    return new;
}

char *must_copy(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(must_alloc(size), text, size);
}

char *must_format(const char *format, ...)
{
    char *text;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        out_of_memory();
    }
    va_end(args);
    return text;
}

void strings_add(struct strings *list, char *item)
{
    if (list->count + 1 >= list->size) {
        list->size = list->size ? list->size * 2 : 16;
        list->items = must_realloc(list->items, list->size * sizeof(*list->items));
    }
    list->items[list->count++] = item;
    list->items[list->count] = NULL;
}

void strings_free(struct strings *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct strings){0};
}

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
