/*
 * quire top: what a pager of a running process does, asked of the process itself (runtime/live.c), again and
 * again.
 */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/options.h"

enum { OPTIONS = 6, MOST_FOUND = 64, MOST_ANSWER = 1 << 20, PATIENCE_S = 5, LEAST_MS = 100 };
#define SECOND_NS 1000000000.0

struct top_options {
    bool once, json, openmetrics;
    int64_t interval_ms;
    long pid; /* 0: the only one */
};

static void describe(struct top_options *options, struct option_spec *specs)
{
    const struct option_spec table[OPTIONS] = {
        {"--interval", OPTION_SECONDS, &options->interval_ms, "SECONDS", "between two looks (1)"},
        {"--once", OPTION_FLAG, &options->once, NULL, "look once"},
        {"--json", OPTION_FLAG, &options->json, NULL, "look once, and print it as JSON"},
        {"--openmetrics", OPTION_FLAG, &options->openmetrics, NULL,
         "look once, and print it as OpenMetrics text"},
        {0}};

    memcpy(specs, table, sizeof(table));
}

void cmd_top_help(void)
{
    struct top_options options = {0};
    struct option_spec specs[OPTIONS];

    describe(&options, specs);
    printf("usage: quire top [OPTION...] [PID]\n"
           "\n"
           "Shows what the pager of process PID does: its members where there are several, its\n"
           "regions, faults by kind, memory and where time goes. Without PID: the one process of this\n"
           "system that has a pager to be seen, which is what `quire run` started, or a program with\n"
           "libquire that asks for it (`publish` of its options, or QUIRE_PUBLISH=1 in its\n"
           "environment).\n"
           "\n");
    options_print(specs);
    printf("\n"
           "`hits` is the part of pages found in use, by faults and by scans of reference bits, that\n"
           "was in memory. Times are sums over threads.\n"
           "\n"
           "Exit status: 0, also when PID ends; 1 when there is nothing to be seen; 2 when an option\n"
           "is wrong.\n");
}

/* ------------------------------------------------------------------ finding and asking */

/* The processes with pagers, by the names of their sockets. */
static size_t find_pids(long *pids, size_t most)
{
    FILE *sockets = fopen("/proc/net/unix", "re");
    char line[512];
    size_t count = 0;

    while (sockets && count < most && fgets(line, sizeof(line), sockets)) {
        const char *name = strstr(line, "@quire/");
        char *end = NULL;
        long pid = name ? strtol(name + strlen("@quire/"), &end, 10) : 0;
        bool listens = name && strstr(line, " 00010000 "); /* __SO_ACCEPTCON */

        if (listens && pid > 0 && *end == '/' && (count == 0 || pids[count - 1] != pid)) {
            pids[count++] = pid;
        }
    }
    if (sockets) {
        fclose(sockets);
    }
    return count;
}

static int open_socket(long pid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "quire/%ld/0", pid);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* What it says of itself; NULL: it does not. */
static json_t *ask(long pid)
{
    int fd = open_socket(pid);
    char *answer = must_alloc(MOST_ANSWER);
    size_t length = 0;
    ssize_t got;
    json_t *object;

    while (fd >= 0 && (got = read(fd, answer + length, MOST_ANSWER - length)) > 0) {
        length += (size_t)got;
    }
    if (fd >= 0) {
        close(fd);
    }
    object = json_loadb(answer, length, 0, NULL);
    free(answer);
    return object;
}

static bool choose(struct top_options *options)
{
    long pids[MOST_FOUND];
    size_t count = options->pid ? 1 : find_pids(pids, MOST_FOUND);

    if (options->pid) {
        return true;
    }
    if (count == 1) {
        options->pid = pids[0];
        return true;
    }
    if (count == 0) {
        say("top: no process has a pager to be seen");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        say("top: process %ld has a pager; say which", pids[i]);
    }
    return false;
}

/* ------------------------------------------------------------------ numbers */

static double number(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

static double mib(const json_t *object, const char *name)
{
    return number(object, name) / (1 << 20);
}

static double dirty_bytes(const json_t *object)
{
    const json_t *region;
    double dirty = 0;
    size_t i;

    json_array_foreach(json_object_get(object, "regions"), i, region)
    {
        dirty += number(region, "dirty_bytes");
    }
    return dirty;
}

/* ------------------------------------------------------------------ for people */

struct look {
    const json_t *now, *before; /* `before`: NULL the first time: since the start */
    double seconds;
};

static double rate(const struct look *look, const char *name)
{
    return (number(look->now, name) - (look->before ? number(look->before, name) : 0)) /
           (look->before ? look->seconds : 1);
}

static void print_rates(const struct look *look)
{
    double faults = rate(look, "faults"), zeroes = rate(look, "zero_faults"), hits = rate(look, "referenced");

    printf("%-12s %9s %9s %9s %9s %9s %9s\n", look->before ? "a second" : "since start", "faults", "zeroes",
           "reads", "writes", "ahead", "evicted");
    printf("%-12s %9.0f %9.0f %9.0f %9.0f %9.0f %9.0f\n", "", faults, zeroes, faults - zeroes,
           rate(look, "write_faults"), rate(look, "read_ahead"), rate(look, "evictions"));
    printf("written back %.0f, waits %.0f, without a frame %.0f, errors %.0f, hits %.1f %%\n",
           rate(look, "write_backs"), rate(look, "waits"), rate(look, "reserve_waits"),
           rate(look, "read_errors") + rate(look, "write_errors"),
           faults + hits > 0 ? 100 * hits / (faults + hits) : 100.0);
}

static void print_times(const struct look *look)
{
    const char *unit = look->before ? "%" : "s";
    double scale = look->before ? 100 / SECOND_NS : 1 / SECOND_NS;

    printf("time: faults %.1f %s (for frames %.1f %s), reads %.1f %s, policy %.1f %s, writing %.1f %s\n",
           rate(look, "fault_ns") * scale, unit, rate(look, "frame_wait_ns") * scale, unit,
           rate(look, "read_ns") * scale, unit, rate(look, "policy_ns") * scale, unit,
           rate(look, "write_ns") * scale, unit);
}

/* What a member of the same name had counted before. */
static double before_of(const struct look *look, const json_t *member, const char *name)
{
    const json_t *other;
    size_t i;

    json_array_foreach(json_object_get(look->before, "members"), i, other)
    {
        if (json_equal(json_object_get(other, "name"), json_object_get(member, "name"))) {
            return number(other, name);
        }
    }
    return 0;
}

static double rate_of(const struct look *look, const json_t *member, const char *name)
{
    double since = number(member, name) - (look->before ? before_of(look, member, name) : 0);

    return since / (look->before ? look->seconds : 1);
}

/* Only where there are several. */
static void print_members(const struct look *look)
{
    const json_t *members = json_object_get(look->now, "members"), *member;
    const json_t *rule = json_object_get(look->now, "allocation");
    size_t i;

    if (json_array_size(members) < 2) {
        return;
    }
    printf("\nscope %s%s%s\n", json_string_value(json_object_get(look->now, "scope")), rule ? ", " : "",
           rule ? json_string_value(rule) : "");
    printf("%-18s %-9s %9s %9s %9s %9s %9s %9s %9s %9s\n", "member", "class", "MiB", "in memory", "protected",
           "maximum", "target", "faults", "evicted", "lost");
    json_array_foreach(members, i, member)
    {
        printf("%-18s %-9s %9.1f %9.1f %9.1f %9.1f %9.1f %9.0f %9.0f %9.0f\n",
               json_string_value(json_object_get(member, "name")),
               json_string_value(json_object_get(member, "class")), mib(member, "mapped_bytes"),
               mib(member, "resident_bytes"), mib(member, "protected_bytes"), mib(member, "maximum_bytes"),
               mib(member, "target_bytes"), rate_of(look, member, "faults"),
               rate_of(look, member, "evictions"), rate_of(look, member, "lost"));
    }
}

static void print_look(const struct look *look)
{
    const json_t *now = look->now, *region;
    size_t i;

    printf("process %.0f, %s, %s\n", number(now, "pid"), json_string_value(json_object_get(now, "policy")),
           json_string_value(json_object_get(now, "way")));
    printf("memory %.1f MiB: %.1f in use, %.1f dirty, %.1f free, %.1f pinned\n\n", mib(now, "memory_bytes"),
           mib(now, "resident_bytes"), dirty_bytes(now) / (1 << 20), mib(now, "free_bytes"),
           mib(now, "pinned_bytes"));
    print_rates(look);
    print_times(look);
    print_members(look);
    printf("\n%-18s %12s %12s %12s  %s\n", "region", "MiB", "in memory", "dirty", "store");
    json_array_foreach(json_object_get(now, "regions"), i, region)
    {
        printf("%-18s %12.1f %12.1f %12.1f  %s\n", json_string_value(json_object_get(region, "address")),
               mib(region, "bytes"), mib(region, "resident_bytes"), mib(region, "dirty_bytes"),
               json_string_value(json_object_get(region, "store")));
    }
}

/* ------------------------------------------------------------------ OpenMetrics */

static void print_region_metrics(const json_t *now, int pid)
{
    static const char *const kinds[] = {"bytes", "resident_bytes", "dirty_bytes"};
    static const char *const names[] = {"mapped", "resident", "dirty"};
    const json_t *region;
    size_t i;

    printf("# TYPE quire_region_bytes gauge\n# UNIT quire_region_bytes bytes\n"
           "# HELP quire_region_bytes Of a region: mapped, in memory, dirty.\n");
    json_array_foreach(json_object_get(now, "regions"), i, region)
    {
        for (size_t kind = 0; kind < 3; kind++) {
            printf("quire_region_bytes{pid=\"%d\",address=\"%s\",store=\"%s\",member=\"%s\",kind=\"%s\"} "
                   "%.0f\n",
                   pid, json_string_value(json_object_get(region, "address")),
                   json_string_value(json_object_get(region, "store")),
                   json_string_value(json_object_get(region, "member")), names[kind],
                   number(region, kinds[kind]));
        }
    }
}

static void print_member_metrics(const json_t *now, int pid)
{
    static const struct {
        const char *name, *member, *help;
    } counters[] = {
        {"quire_member_faults", "faults", "Of a member: pages brought in because somebody touched them."},
        {"quire_member_read_ahead", "read_ahead", "Of a member: pages brought in besides."},
        {"quire_member_evictions", "evictions", "Of a member: pages that left memory."},
        {"quire_member_lost", "lost", "Of these, for another member."},
    };
    static const char *const kinds[] = {"mapped", "resident", "guaranteed", "protected", "maximum", "target"};
    const json_t *members = json_object_get(now, "members"), *member;
    size_t i;

    printf("# TYPE quire_member_bytes gauge\n# UNIT quire_member_bytes bytes\n"
           "# HELP quire_member_bytes Of a member: mapped, in memory, and what its class and scope say.\n");
    json_array_foreach(members, i, member)
    {
        for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
            char *name = must_format("%s_bytes", kinds[kind]);

            printf("quire_member_bytes{pid=\"%d\",member=\"%s\",class=\"%s\",kind=\"%s\"} %.0f\n", pid,
                   json_string_value(json_object_get(member, "name")),
                   json_string_value(json_object_get(member, "class")), kinds[kind], number(member, name));
            free(name);
        }
    }
    for (size_t counter = 0; counter < sizeof(counters) / sizeof(counters[0]); counter++) {
        printf("# TYPE %s counter\n# HELP %s %s\n", counters[counter].name, counters[counter].name,
               counters[counter].help);
        json_array_foreach(members, i, member)
        {
            printf("%s_total{pid=\"%d\",member=\"%s\"} %.0f\n", counters[counter].name, pid,
                   json_string_value(json_object_get(member, "name")),
                   number(member, counters[counter].member));
        }
    }
}

/* https://openmetrics.io, version 1.0: a counter's samples end in _total, times are seconds. */
static void print_openmetrics(const json_t *now)
{
    static const struct {
        const char *name, *member, *help;
    } gauges[] =
        {
            {"quire_memory_bytes", "memory_bytes", "The budget."},
            {"quire_resident_bytes", "resident_bytes", "Of the budget in use."},
            {"quire_free_bytes", "free_bytes", "Of the budget free."},
            {"quire_pinned_bytes", "pinned_bytes", "Pages that must stay."},
            {"quire_mapped_bytes", "mapped_bytes", "Addresses of regions."},
        },
      counters[] = {
          {"quire_faults", "faults", "Pages brought in because somebody touched them."},
          {"quire_zero_faults", "zero_faults", "Of these, never written before."},
          {"quire_write_faults", "write_faults", "First writes to clean pages."},
          {"quire_read_ahead", "read_ahead", "Pages brought in besides."},
          {"quire_waits", "waits", "Accesses that waited for another thread."},
          {"quire_reserve_waits", "reserve_waits", "Faults that found no free frame."},
          {"quire_evictions", "evictions", "Pages that left memory."},
          {"quire_write_backs", "write_backs", "Pages written to their stores."},
          {"quire_read_errors", "read_errors", "Pages that could not be read."},
          {"quire_write_errors", "write_errors", "Pages that could not be written."},
          {"quire_scans", "scans", "Windows whose reference bits were gathered."},
          {"quire_referenced", "referenced", "Pages that scans found in use."},
      };
    static const char *const times[] = {"fault", "frame_wait", "read", "policy", "write"};
    int pid = (int)number(now, "pid");
    size_t i;

    for (i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        printf("# TYPE %s gauge\n# UNIT %s bytes\n# HELP %s %s\n%s{pid=\"%d\"} %.0f\n", gauges[i].name,
               gauges[i].name, gauges[i].name, gauges[i].help, gauges[i].name, pid,
               number(now, gauges[i].member));
    }
    for (i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        printf("# TYPE %s counter\n# HELP %s %s\n%s_total{pid=\"%d\"} %.0f\n", counters[i].name,
               counters[i].name, counters[i].help, counters[i].name, pid, number(now, counters[i].member));
    }
    printf("# TYPE quire_time_seconds counter\n# UNIT quire_time_seconds seconds\n"
           "# HELP quire_time_seconds Where time goes, summed up over threads.\n");
    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char *member = must_format("%s_ns", times[i]);

        printf("quire_time_seconds_total{pid=\"%d\",in=\"%s\"} %.9f\n", pid, times[i],
               number(now, member) / SECOND_NS);
        free(member);
    }
    print_region_metrics(now, pid);
    print_member_metrics(now, pid);
    printf("# EOF\n");
}

/* ------------------------------------------------------------------ the loop */

static int print_once(const struct top_options *options, json_t *now)
{
    struct look look = {now, NULL, 0};

    if (options->json) {
        json_dumpf(now, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (options->openmetrics) {
        print_openmetrics(now);
    } else {
        print_look(&look);
    }
    json_decref(now);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int watch(const struct top_options *options, json_t *now)
{
    const struct timespec nap = {options->interval_ms / 1000, (long)(options->interval_ms % 1000) * 1000000};
    bool terminal = isatty(STDOUT_FILENO);
    struct look look = {now, NULL, 0};
    int64_t looked;
    bool printed;

    do {
        json_t *next;

        looked = now_ms();
        printf("%s", terminal ? "\033[H\033[J" : look.before ? "\n" : "");
        print_look(&look);
        printed = fflush(stdout) == 0;
        nanosleep(&nap, NULL);
        next = ask(options->pid);
        json_decref((json_t *)look.before);
        look.before = look.now;
        look.now = next;
        look.seconds = (double)(now_ms() - looked) / 1000;
    } while (look.now && printed);
    json_decref((json_t *)look.before);
    json_decref((json_t *)look.now);
    return 0;
}

static bool check(struct top_options *options, int count, char **words)
{
    uint64_t pid = 0;

    if (count > 1 || (count == 1 && (!parse_number(words[0], &pid) || pid == 0 || pid > INT32_MAX))) {
        say("top: %s: expected the number of one process", words[count - 1]);
        return false;
    }
    options->pid = (long)pid;
    if (options->json && options->openmetrics) {
        say("top: --json and --openmetrics: expected one of them");
        return false;
    }
    if (options->interval_ms < LEAST_MS) {
        say("top: --interval: expected at least 0.1");
        return false;
    }
    return true;
}

int cmd_top(int argc, char **argv)
{
    struct top_options options = {.interval_ms = 1000};
    struct option_spec specs[OPTIONS];
    int at;
    json_t *now;

    describe(&options, specs);
    at = options_parse("top", specs, argc, argv);
    if (at < 0 || !check(&options, argc - at, argv + at)) {
        return EXIT_USAGE;
    }
    if (!choose(&options)) {
        return 1;
    }
    now = ask(options.pid);
    if (!now) {
        say("top: process %ld has no pager to be seen (or it is another user's)", options.pid);
        return 1;
    }
    return options.once || options.json || options.openmetrics ? print_once(&options, now)
                                                               : watch(&options, now);
}
