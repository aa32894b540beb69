/*
 * quire dump: prints the page tables of a running machine, the kernel's or a process's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/machine.h"
#include "cli/options.h"

static const char *choose_machine(const char *wanted, const struct strings *names);
static int ask(const char *name, const char *what);

void cmd_dump_help(void)
{
    printf("usage: quire dump [--machine NAME] [kernel | PID]\n"
           "\n"
           "Prints the page-table tree of the kernel or of process PID of a machine that `quire boot`\n"
           "runs; without an argument the list of its processes. With several machines, --machine says\n"
           "which; `quire boot --name NAME` names one, else it has the number of its `quire boot`.\n");
}

int cmd_dump(int argc, char **argv)
{
    const char *wanted = NULL;
    const struct option_spec specs[] = {{"--machine", OPTION_TEXT, &wanted, "NAME", ""}, {0}};
    int at = options_parse("dump", specs, argc, argv);

    if (at < 0) {
        return EXIT_USAGE;
    }
    const char *what = at < argc ? argv[at++] : "";

    if (at < argc) {
        say("dump: %s: expected nothing behind '%s'", argv[at], what);
        return EXIT_USAGE;
    }
    if (*what && strcmp(what, "kernel") != 0 &&
        (strspn(what, "0123456789") != strlen(what) || strlen(what) > 9)) {
        say("dump: %s: expected 'kernel' or the number of a process", what);
        return EXIT_USAGE;
    }
    struct strings names = {0};

    machine_list(&names);
    const char *name = choose_machine(wanted, &names);
    int status = name ? ask(name, what) : EXIT_USAGE;

    strings_free(&names);
    return status;
}

static const char *choose_machine(const char *wanted, const struct strings *names)
{
    if (names->count == 0) {
        say("dump: no machine is running; start one with `quire boot`");
        return NULL;
    }
    for (size_t i = 0; wanted && i < names->count; i++) {
        if (strcmp(names->items[i], wanted) == 0) {
            return names->items[i];
        }
    }
    if (!wanted && names->count == 1) {
        return names->items[0];
    }
    if (wanted) {
        say("dump: --machine: %s: no such machine; running:", wanted);
    } else {
        say("dump: several machines are running; choose one with --machine:");
    }
    for (size_t i = 0; i < names->count; i++) {
        fprintf(stderr, "  %s\n", names->items[i]);
    }
    return NULL;
}

static int ask(const char *name, const char *what)
{
    char block[16384 + 1] = "";
    uint64_t total = 0;
    static const char error[] = "error: ";
    const size_t error_length = sizeof(error) - 1;
    ssize_t got = -1;
    int fd = machine_connect(name);

    if (fd < 0 || dprintf(fd, "dump %s\n", what) < 0) {
        say("dump: %s: the machine does not answer: %s", name, strerror(errno));
        return EXIT_MACHINE;
    }
    while ((got = read(fd, block, sizeof(block) - 1)) > 0) {
        if (total == 0 && (size_t)got > error_length && memcmp(block, error, error_length) == 0) {
            say("dump: %s: %.*s", what, (int)strcspn(block + error_length, "\n"), block + error_length);
            close(fd);
            return EXIT_USAGE;
        }
        total += (uint64_t)got;
        if (fwrite(block, 1, (size_t)got, stdout) != (size_t)got) {
            break;
        }
    }
    close(fd);
    if (fflush(stdout) != 0) {
        say("dump: standard output: %s", strerror(errno));
        return 1;
    }
    if (got < 0 || total == 0) {
        say("dump: %s: the machine gave no answer", name);
        return EXIT_MACHINE;
    }
    return 0;
}
