/*
 * quire: the command. Each verb is in a file of its own, cmd_<verb>.c.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

const struct verb verbs[] = {
    {"boot", "boot the kernel and run a program in it", cmd_boot, cmd_boot_help},
    {"dump", "print the page tables of a running machine", cmd_dump, cmd_dump_help},
    {"help", "explain a verb", cmd_help, cmd_help_help},
    {"pagesize", "what each page size costs a program", cmd_pagesize, cmd_pagesize_help},
    {"policies", "list the page-replacement policies", cmd_policies, cmd_policies_help},
    {"run", "run a Linux program with its memory paged by libquire", cmd_run, cmd_run_help},
    {"sim", "simulate paging of a trace of references", cmd_sim, cmd_sim_help},
    {"top", "show what a running quire run, or program with libquire, is doing", cmd_top, cmd_top_help},
    {"trace", "record, convert and describe traces of page references", cmd_trace, cmd_trace_help},
};
const size_t verb_count = sizeof(verbs) / sizeof(verbs[0]);

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* A descriptor below 3 that is closed would be given to the next file that is opened. */
static void fill_standard_streams(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    if (fd > 2) {
        close(fd);
    }
}

static int print_version(void)
{
    printf("quire %s\n", QUIRE_VERSION);
    return 0;
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        cmd_help(0, NULL);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        return print_version();
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return cmd_help(0, NULL);
    }
    const struct verb *verb = verb_find(argv[1]);

    if (!verb) {
        say("%s: no such verb; `quire help` lists them", argv[1]);
        return EXIT_USAGE;
    }
    if (argc > 2 && strcmp(argv[2], "--help") == 0) {
        verb->help();
        return 0;
    }
    return verb->run(argc - 1, argv + 1);
}
