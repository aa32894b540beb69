/*
 * quire run: a dynamic program of this system, with its large memory paged by libquire. The command becomes
 * the program (exec), with quire-preload.so in it; runtime/preload/ is what happens there.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/boot.h"
#include "cli/options.h"
#include "quire/policy.h"

#define MEMORY_DEFAULT ((uint64_t)256 << 20)
#define MEMORY_LEAST ((uint64_t)256 << 10)
#define MEMORY_MOST ((uint64_t)4 << 40)
#define SPACE_DEFAULT ((uint64_t)64 << 30)
#define SPACE_LEAST ((uint64_t)16 << 20)
#define SPACE_MOST ((uint64_t)16 << 40)
#define HANDLERS_AUTO UINT64_MAX                /* as many as are good, if they may be */
#define THRESHOLD_DEFAULT ((uint64_t)128 << 10) /* from there on malloc() asks for a mapping of its own */
#define DEADLINE_LEAST_MS 100
#define DEADLINE_MOST_MS 86400000
enum { HANDLERS_MOST = 32, OPTIONS = 13, MOST_INTERPRETERS = 4 };

struct run_options {
    uint64_t memory_bytes, space_bytes, threshold_bytes, handlers;
    int64_t deadline_ms;
    const char *policy, *store, *report, *record, *way;
    bool json, no_files;
    char **program;
};

/* What is behind the command: files, and what the program is told. */
struct run_parts {
    char *program, *preload, *library;
};

static void describe(struct run_options *options, struct option_spec *specs)
{
    const struct option_spec table[OPTIONS] = {
        {"--memory", OPTION_SIZE, &options->memory_bytes, "SIZE", "what is paged has so much memory (256M)"},
        {"--policy", OPTION_TEXT, &options->policy, "NAME", "the page-replacement policy (car)"},
        {"--store", OPTION_TEXT, &options->store, "NAME",
         "where pages go: file:PATH, swap:FOLDER, lz4:SIZE, nbd://..., ... (swap:/var/tmp)"},
        {"--space", OPTION_SIZE, &options->space_bytes, "SIZE",
         "most that the program can have of paged memory; the store is as long, where it can be (64G)"},
        {"--threshold", OPTION_SIZE, &options->threshold_bytes, "SIZE",
         "page what is asked for in pieces of at least that (128K)"},
        {"--handlers", OPTION_NUMBER, &options->handlers, "N",
         "threads that serve faults, for programs that make system calls by themselves; they need a "
         "privilege (0: the program's own threads do)"},
        {"--way", OPTION_TEXT, &options->way, "NAME",
         "what tells of faults: userfaultfd, protect (mprotect() and SIGSEGV), or auto: the first that there "
         "is"},
        {"--deadline", OPTION_SECONDS, &options->deadline_ms, "SECONDS",
         "an access, or a child of fork(), waits for a store no longer than that (30)"},
        {"--no-files", OPTION_FLAG, &options->no_files, NULL, "leave mapped files to Linux"},
        {"--report", OPTION_TEXT, &options->report, "FILE",
         "write at the end what paging did there; -: standard error"},
        {"--json", OPTION_FLAG, &options->json, NULL, "the report as JSON"},
        {"--record", OPTION_TEXT, &options->record, "FILE",
         "write a trace there, for `quire sim`: faults, and references that scans see"},
        {0}};

    memcpy(specs, table, sizeof(table));
}

void cmd_run_help(void)
{
    struct run_options options = {0};
    struct option_spec specs[OPTIONS];

    describe(&options, specs);
    printf("usage: quire run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
           "\n"
           "Runs PROGRAM, a dynamic program of this system, with its large anonymous memory (the heap\n"
           "too) and the files that it maps in a bounded amount of memory. The rest is in the store.\n"
           "\n");
    options_print(specs);
    printf("\n"
           "What is too small, shared, executable or a stack is left to Linux; the report counts it.\n"
           "`quire top` shows a running one, `quire policies` lists policies, docs/RUNTIME.md stores.\n"
           "Programs that PROGRAM starts are not paged.\n"
           "\n"
           "Exit status: that of PROGRAM; 2 when an option is wrong, 125 when paging cannot begin, 126\n"
           "when PROGRAM cannot be run so (it is static, say), 127 when there is none.\n");
}

/* ------------------------------------------------------------------ options */

static bool check_range(const char *name, uint64_t value, uint64_t least, uint64_t most, const char *expected)
{
    if (value >= least && value <= most) {
        return true;
    }
    say("run: %s: expected %s, got %llu", name, expected, (unsigned long long)value);
    return false;
}

static bool check_policy(const char *text)
{
    const struct policy_type *type = NULL;
    struct policy_config config = {0};
    struct policy_error error;

    if (policy_parse(text, &type, &config, &error) != ST_OK) {
        paging_say_policy("run", text, type, &error, "");
        return false;
    }
    if (type->needs == POLICY_FUTURE) {
        say("run: --policy: %s needs the future: only `quire sim` has it", text);
        return false;
    }
    return true;
}

static bool check_way(const struct run_options *options)
{
    bool protect = strcmp(options->way, "protect") == 0;

    if (!protect && strcmp(options->way, "auto") != 0 && strcmp(options->way, "userfaultfd") != 0) {
        say("run: --way: expected auto, userfaultfd or protect, got %s", options->way);
        return false;
    }
    if (protect && options->handlers != HANDLERS_AUTO && options->handlers > 0) {
        say("run: --handlers: threads serve faults by userfaultfd only, not with --way protect");
        return false;
    }
    return true;
}

static bool check(const struct run_options *options)
{
    if (!check_range("--memory", options->memory_bytes, MEMORY_LEAST, MEMORY_MOST, "256K to 4T") ||
        !check_range("--space", options->space_bytes, SPACE_LEAST, SPACE_MOST, "16M to 16T") ||
        !check_range("--threshold", options->threshold_bytes, 1, SPACE_MOST, "at least 1") ||
        (options->handlers != HANDLERS_AUTO &&
         !check_range("--handlers", options->handlers, 0, HANDLERS_MOST, "0 to 32")) ||
        !check_range("--deadline (milliseconds)", (uint64_t)options->deadline_ms, DEADLINE_LEAST_MS,
                     DEADLINE_MOST_MS, "100 to 86400000") ||
        !check_way(options) || !check_policy(options->policy)) {
        return false;
    }
    if (!strchr(options->store, ':') || strchr(options->store, '\n')) {
        say("run: --store: %s: expected KIND:REST, as swap:/var/tmp", options->store);
        return false;
    }
    if (!options->program[0]) {
        say("run: expected a program behind the options");
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------ the program */

/* What a script's first line names; NULL: it is no script. */
static char *interpreter_of(const char *path)
{
    char line[PATH_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, line, sizeof(line) - 1) : -1;
    size_t from = 2;

    if (fd >= 0) {
        close(fd);
    }
    line[got > 0 ? got : 0] = '\0';
    if (strncmp(line, "#!", 2) != 0) {
        return NULL;
    }
    from += strspn(line + from, " \t");
    line[from + strcspn(line + from, " \t\n")] = '\0';
    return must_copy(line + from);
}

/* Has it a dynamic linker of 64 bits, who preloads for us? A message otherwise. */
static bool is_dynamic(const char *path)
{
    char *at = must_copy(path), *next;
    bool dynamic = false;

    for (unsigned i = 0; i < MOST_INTERPRETERS && (next = interpreter_of(at)); i++) {
        free(at);
        at = next;
    }
    next = locate_interpreter(at);
    dynamic = next && !strstr(next, "ld-musl") && !strstr(next, "ld-linux.so.2");
    if (!dynamic) {
        say("run: %s: expected a dynamic program of this system's C library (64 bits); `quire boot` pages "
            "static ones",
            at);
    } else if (access(at, R_OK) != 0) {
        say("run: %s: %s", at, strerror(errno));
        dynamic = false;
    }
    free(next);
    free(at);
    return dynamic;
}

static int find_program(struct run_parts *parts, const char *name)
{
    parts->program = strchr(name, '/') ? must_copy(name) : locate_in_path(name);
    if (!parts->program || access(parts->program, F_OK) != 0) {
        say("run: %s: no such program", name);
        return EXIT_NOT_FOUND;
    }
    if (access(parts->program, X_OK) != 0) {
        say("run: %s: %s", name, strerror(errno));
        return EXIT_NOT_RUNNABLE;
    }
    return is_dynamic(parts->program) ? 0 : EXIT_NOT_RUNNABLE;
}

/* ------------------------------------------------------------------ the start */

/* Where it is, wherever the program goes; "": none. */
static char *path_for_program(const char *path)
{
    char folder[PATH_MAX];

    if (!path || strcmp(path, "-") == 0 || path[0] == '/' || !getcwd(folder, sizeof(folder))) {
        return must_copy(path ? path : "");
    }
    return must_format("%s/%s", folder, path);
}

static void set_environment(const struct run_options *options, const struct run_parts *parts)
{
    const char *before = getenv("LD_PRELOAD");
    char *preload =
             before && *before ? must_format("%s:%s", parts->preload, before) : must_copy(parts->preload),
         *report = path_for_program(options->report ? options->report
                                    : options->json ? "-"
                                                    : NULL),
         *record = path_for_program(options->record),
         *handlers = options->handlers == HANDLERS_AUTO
                         ? must_copy("auto")
                         : must_format("%llu", (unsigned long long)options->handlers),
         *settings = must_format(
             "library=%s\nstore=%s\npolicy=%s\nmemory=%llu\narena=%llu\nthreshold=%llu\n"
             "handlers=%s\nway=%s\ndeadline=%lld\nfiles=%d\nreport=%s\njson=%d\n"
             "record=%s\n",
             parts->library, options->store, options->policy, (unsigned long long)options->memory_bytes,
             (unsigned long long)(options->space_bytes & ~(uint64_t)0x1fffff),
             (unsigned long long)options->threshold_bytes, handlers, options->way,
             (long long)options->deadline_ms, !options->no_files, report, options->json, record);

    free(report);
    free(record);
    setenv("LD_PRELOAD", preload, 1);
    setenv("QUIRE_RUN", settings, 1);
    free(settings);
    free(handlers);
    free(preload);
}

static int run(const struct run_options *options, struct run_parts *parts)
{
    int status = find_program(parts, options->program[0]);

    if (status != 0) {
        return status;
    }
    if (!(parts->preload = locate_preload()) || !(parts->library = locate_library())) {
        return EXIT_MACHINE;
    }
    set_environment(options, parts);
    execv(parts->program, options->program);
    say("run: %s: %s", parts->program, strerror(errno));
    return EXIT_NOT_RUNNABLE;
}

int cmd_run(int argc, char **argv)
{
    struct run_options options = {.memory_bytes = MEMORY_DEFAULT,
                                  .space_bytes = SPACE_DEFAULT,
                                  .threshold_bytes = THRESHOLD_DEFAULT,
                                  .handlers = HANDLERS_AUTO,
                                  .deadline_ms = 30000,
                                  .way = "auto",
                                  .policy = "car",
                                  .store = "swap:/var/tmp"};
    struct option_spec specs[OPTIONS];
    struct run_parts parts = {0};
    int at, status;

    describe(&options, specs);
    at = options_parse("run", specs, argc, argv);
    if (at < 0) {
        return EXIT_USAGE;
    }
    options.program = argv + at;
    status = check(&options) ? run(&options, &parts) : EXIT_USAGE;
    free(parts.program);
    free(parts.preload);
    free(parts.library);
    return status;
}
