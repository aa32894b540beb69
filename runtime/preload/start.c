/*
 * The beginning and the end: settings from the environment, libquire in a namespace of its own, the pager,
 * the arena; and at exit the statistics.
 *
 * $QUIRE_RUN holds lines of NAME=VALUE, as cli/cmd_run.c writes them. It and our place in $LD_PRELOAD are
 * taken out of the environment, so programs that this one starts are ordinary.
 *
 * What goes wrong here ends the program before its main(), with status 125 and a line that says why.
 */
#include "preload.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_MACHINE = 125 };

struct library library;
struct settings settings;
struct quire_pager *pager;

static char text[4096]; /* what settings point into */

static _Noreturn void give_up(const char *what, const char *why)
{
    fprintf(stderr, "quire: run: %s: %s\n", what, why);
    _exit(EXIT_MACHINE);
}

static void set(const char *name, const char *value)
{
    uint64_t number = strtoull(value, NULL, 10);

    if (strcmp(name, "memory") == 0)
        settings.memory_bytes = number;
    else if (strcmp(name, "arena") == 0)
        settings.arena_bytes = number;
    else if (strcmp(name, "threshold") == 0)
        settings.threshold_bytes = number;
    else if (strcmp(name, "seed") == 0)
        settings.seed = number;
    else if (strcmp(name, "handlers") == 0)
        settings.handlers = (unsigned)number;
    else if (strcmp(name, "files") == 0)
        settings.files = number != 0;
    else if (strcmp(name, "policy") == 0)
        settings.policy = value;
    else if (strcmp(name, "store") == 0)
        settings.store = value;
    else if (strcmp(name, "library") == 0)
        settings.library = value;
    else if (strcmp(name, "statistics") == 0)
        settings.statistics = value;
}

static bool read_settings(void)
{
    const char *environment = getenv("QUIRE_RUN");
    char *rest = NULL;

    if (!environment || strlen(environment) >= sizeof(text))
        return false;
    strcpy(text, environment);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *equals = strchr(line, '=');

        if (equals) {
            *equals = '\0';
            set(line, equals + 1);
        }
    }
    return settings.library && settings.store && settings.memory_bytes > 0;
}

/* $LD_PRELOAD is our path, and behind a colon what it was. */
static void restore_environment(void)
{
    const char *preload = getenv("LD_PRELOAD"), *rest = preload ? strchr(preload, ':') : NULL;

    if (rest && rest[1])
        setenv("LD_PRELOAD", rest + 1, 1);
    else
        unsetenv("LD_PRELOAD");
    unsetenv("QUIRE_RUN");
}

static void load_library(void)
{
    const struct {
        const char *name;
        void *at;
    } functions[] = {
        {"quire_open", &library.open},       {"quire_map", &library.map},
        {"quire_discard", &library.discard}, {"quire_sync", &library.sync},
        {"quire_clear", &library.clear},     {"quire_advise", &library.advise},
        {"quire_stats", &library.stats},     {"quire_file", &library.file},
        {"quire_swap", &library.swap},       {"status_name", &library.status_name},
    };
    void *handle = dlmopen(LM_ID_NEWLM, settings.library, RTLD_NOW | RTLD_LOCAL);

    if (!handle)
        give_up(settings.library, dlerror());
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *function = dlsym(handle, functions[i].name);

        if (!function)
            give_up(settings.library, "it is not the libquire that belongs to this command");
        memcpy(functions[i].at, &function, sizeof(function));
    }
}

static void open_pager(void)
{
    struct quire_options options = {.memory_bytes = settings.memory_bytes,
                                    .policy = settings.policy,
                                    .seed = settings.seed,
                                    .handlers = settings.handlers};
    struct quire_error error = {{0}};

    if (library.open(&options, &pager, &error) != ST_OK)
        give_up("the pager", error.text);
}

static struct store *open_store(void)
{
    struct quire_error error = {{0}};
    struct store *store = NULL;
    enum status status;

    if (strncmp(settings.store, "swap:", 5) == 0)
        status = library.swap(settings.store + 5, settings.arena_bytes, &store, &error);
    else
        status = library.file(settings.store + 5,
                              access(settings.store + 5, F_OK) == 0 ? QUIRE_FILE_OPEN : QUIRE_FILE_CREATE,
                              settings.arena_bytes, &store, &error);
    if (status != ST_OK)
        give_up("--store", error.text);
    return store;
}

static void *map_arena(void)
{
    struct quire_mapping mapping = {
        .store = open_store(), .length = settings.arena_bytes, .flags = QUIRE_FRESH};
    struct quire_error error = {{0}};
    void *arena = NULL;

    if (library.map(pager, &mapping, &arena, &error) != ST_OK)
        give_up("the arena", error.text);
    return arena;
}

__attribute__((constructor)) static void start(void)
{
    if (!read_settings())
        return; /* preloaded by somebody else: the program is as it was */
    restore_environment();
    load_library();
    open_pager();
    if (!memory_start(map_arena()))
        give_up("this C library", "its mmap() cannot be changed (a hardened system, or not x86-64 glibc)");
}

static void write_statistics(FILE *file)
{
    struct quire_stats stats;
    const char *before = "";

    library.stats(pager, &stats);
    fprintf(file,
            "{\"way\": \"%s\", \"policy\": \"%s\", \"memory_bytes\": %llu, \"resident_bytes\": %llu, "
            "\"mapped_bytes\": %llu, \"faults\": %llu, \"zero_faults\": %llu, \"write_faults\": %llu, "
            "\"read_ahead\": %llu, \"evictions\": %llu, \"write_backs\": %llu, \"read_errors\": %llu, "
            "\"write_errors\": %llu, \"reserve_waits\": %llu, \"left\": {",
            stats.way, stats.policy, (unsigned long long)stats.memory_bytes,
            (unsigned long long)stats.resident_bytes, (unsigned long long)memory_mapped_bytes(),
            (unsigned long long)stats.faults, (unsigned long long)stats.zero_faults,
            (unsigned long long)stats.write_faults, (unsigned long long)stats.read_ahead,
            (unsigned long long)stats.evictions, (unsigned long long)stats.write_backs,
            (unsigned long long)stats.read_errors, (unsigned long long)stats.write_errors,
            (unsigned long long)stats.reserve_waits);
    for (unsigned i = 0; i < LEFTS; i++) {
        fprintf(file, "%s\"%s\": {\"calls\": %llu, \"bytes\": %llu}", before, left_names[i],
                (unsigned long long)atomic_load(&left_counts[i].calls),
                (unsigned long long)atomic_load(&left_counts[i].bytes));
        before = ", ";
    }
    fprintf(file, "}}\n");
}

__attribute__((destructor)) static void end(void)
{
    FILE *file = pager && settings.statistics ? fopen(settings.statistics, "we") : NULL;

    if (!file)
        return;
    write_statistics(file);
    fclose(file);
}
