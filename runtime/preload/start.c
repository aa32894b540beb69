/*
 * The beginning and the end: settings from the environment, libquire in a namespace of its own, the pager,
 * the arena; and at exit the statistics.
 *
 * $QUIRE_RUN holds lines of NAME=VALUE, as cli/cmd_run.c writes them. It and our place in $LD_PRELOAD are
 * taken out of the environment, so programs that this one starts are ordinary.
 *
 * What goes wrong here ends the program before its main(), with status 125 (2: an option) and a line that
 * says why.
 */
#include "gate.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_MACHINE = 125 };

struct library library;
struct settings settings;
struct quire_pager *pager;

static char text[4096]; /* what settings point into */

static _Noreturn void give_up(const char *what, const char *why, int status)
{
    fprintf(stderr, "quire: run: %s: %s\n", what, why);
    _exit(status);
}

static enum quire_way way_of(const char *name)
{
    if (strcmp(name, "protect") == 0)
        return QUIRE_WAY_PROTECT;
    return strcmp(name, "userfaultfd") == 0 ? QUIRE_WAY_USERFAULTFD : QUIRE_WAY_BEST;
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
    else if (strcmp(name, "deadline") == 0)
        settings.deadline_ms = number;
    else if (strcmp(name, "way") == 0)
        settings.way = way_of(value);
    else if (strcmp(name, "handlers") == 0)
        settings.handlers = strcmp(value, "auto") == 0 ? (unsigned)HANDLERS_AUTO : (unsigned)number;
    else if (strcmp(name, "files") == 0)
        settings.files = number != 0;
    else if (strcmp(name, "policy") == 0)
        settings.policy = value;
    else if (strcmp(name, "store") == 0)
        settings.store = value;
    else if (strcmp(name, "library") == 0)
        settings.library = value;
    else if (strcmp(name, "report") == 0)
        settings.report = value;
    else if (strcmp(name, "record") == 0)
        settings.record = value;
    else if (strcmp(name, "json") == 0)
        settings.json = number != 0;
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
#define LIBRARY_MEMBER(function) {#function, &library.function},
        LIBRARY_FUNCTIONS(LIBRARY_MEMBER)
#undef LIBRARY_MEMBER
    };
    void *handle = dlmopen(LM_ID_NEWLM, settings.library, RTLD_NOW | RTLD_LOCAL);

    if (!handle)
        give_up(settings.library, dlerror(), EXIT_MACHINE);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *function = dlsym(handle, functions[i].name);

        if (!function)
            give_up(settings.library, "it is not the libquire that belongs to this command", EXIT_MACHINE);
        memcpy(functions[i].at, &function, sizeof(function));
    }
}

struct quire_options pager_options(void)
{
    return (struct quire_options){.memory_bytes = settings.memory_bytes,
                                  .policy = settings.policy,
                                  .seed = settings.seed,
                                  .deadline_ms = settings.deadline_ms,
                                  .way = settings.way,
                                  .handlers = settings.handlers,
                                  .publish = true,
                                  .record = settings.record};
}

static enum status try_pager(unsigned handlers, struct quire_error *error)
{
    struct quire_options options;

    settings.handlers = handlers;
    options = pager_options();
    return library.quire_open(&options, &pager, error);
}

/* Before the pager: nothing is paged yet. Without handler threads the kernel finds no page by itself that a
 * system call wants. */
static void open_gate(void)
{
    if (settings.handlers > 0 && settings.handlers != (unsigned)HANDLERS_AUTO)
        return;
    masks_start(false);
    if (gate_start(settings.memory_bytes))
        return;
    if (settings.handlers == 0)
        give_up("this C library",
                "its system calls cannot be changed (not x86-64 glibc): --handlers, and its privilege, are "
                "needed",
                EXIT_MACHINE);
    settings.handlers = HANDLERS_STANDARD;
}

/* The program's own threads serve their faults, unless it is asked for others, or there is no way. */
static void open_pager(void)
{
    bool automatic = settings.handlers == (unsigned)HANDLERS_AUTO;
    struct quire_error error = {{0}}, other;
    enum status status = try_pager(automatic ? 0 : settings.handlers, &error);

    if (status == ST_UNSUPPORTED && automatic && try_pager(HANDLERS_STANDARD, &other) == ST_OK)
        status = ST_OK;
    if (status != ST_OK)
        give_up("the pager", error.text, status == ST_INVALID ? EXIT_USAGE : EXIT_MACHINE);
    paged_by_protection = library.quire_way(pager) == QUIRE_WAY_PROTECT;
    if (settings.handlers == 0)
        masks_start(paged_by_protection);
}

static struct store *open_store(void)
{
    struct quire_error error = {{0}};
    struct store *store = NULL;

    if (library.quire_store_open(settings.store, settings.arena_bytes, &store, &error) != ST_OK)
        give_up("--store", error.text, EXIT_USAGE);
    return store;
}

static void *map_arena(void)
{
    struct quire_mapping mapping = {
        .store = open_store(), .length = settings.arena_bytes, .flags = QUIRE_FRESH};
    struct quire_error error = {{0}};
    void *arena = NULL;

    if (library.quire_map(pager, &mapping, &arena, &error) != ST_OK)
        give_up("the arena", error.text, EXIT_MACHINE);
    return arena;
}

__attribute__((constructor)) static void start(void)
{
    if (!read_settings())
        return; /* preloaded by somebody else: the program is as it was */
    restore_environment();
    if (settings.report)
        report_start();
    load_library();
    /* What it allocates serves faults in children, so it comes before the heap is paged. */
    if (!library.quire_fork_prepare(settings.handlers == (unsigned)HANDLERS_AUTO ? HANDLERS_STANDARD
                                                                                 : settings.handlers))
        give_up("this C library", "threads of its cannot be made for children", EXIT_MACHINE);
    open_gate();
    open_pager();
    if (!memory_start(map_arena()) || !fork_start())
        give_up("this C library", "its mmap() cannot be changed (a hardened system, or not x86-64 glibc)",
                EXIT_MACHINE);
}

__attribute__((destructor)) static void end(void)
{
    if (pager && settings.report && *settings.report)
        report_write();
}
