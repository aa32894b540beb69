/*
 * quire boot: boots the kernel under QEMU and runs a program in it. The exit status is the program's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/boot.h"
#include "cli/options.h"
#include "quire/event.h"

#define RECORD_WINDOW 16 /* as the traces of `quire trace record` have */
#define MEMORY_DEFAULT ((uint64_t)64 << 20)
#define MEMORY_LEAST ((uint64_t)2 << 20) /* less than a kernel and its loader */
#define MEMORY_MOST ((uint64_t)1 << 40)
/* What there must be beside the initial files to load the kernel; whether it is enough, the kernel says. */
#define MEMORY_FOR_KERNEL                                                                                    \
    ((uint64_t)2304 << 10) /* its image, up to 2 MiB, and the tables that QEMU puts behind the files */

enum { OPTIONS = 30 };

static void describe(struct boot_options *options, struct option_spec *specs);
static int check(struct boot_options *options);
static int boot(const struct boot_options *options);

void cmd_boot_help(void)
{
    struct boot_options options = {0};
    struct option_spec specs[OPTIONS];

    describe(&options, specs);
    printf("usage: quire boot [OPTION...] [--] [PROGRAM [ARGUMENT...]]\n"
           "\n"
           "Boots the kernel under QEMU and runs PROGRAM in it, with standard input, output and\n"
           "error passed through. PROGRAM is an applet of busybox, bash, a path below /share, or a\n"
           "static program of this host (a path, or a name in PATH), which is copied to /bin of the\n"
           "machine; with --root, a program of that folder, static or dynamic. Without PROGRAM: an\n"
           "interactive shell; Ctrl-] three times ends the machine.\n"
           "\n");
    options_print(specs);
    printf("\n"
           "The paging report goes to standard error when that is a terminal, or when --report or\n"
           "--json is given; else it is left out.\n"
           "\n"
           "Exit status: that of PROGRAM, 128 and the signal's number when a signal ended it; 2 when\n"
           "an option is wrong, 124 after --timeout, 125 when the kernel or QEMU failed, 126 when\n"
           "PROGRAM cannot be run, 127 when there is none.\n");
}

int cmd_boot(int argc, char **argv)
{
    struct boot_options options = {.memory_bytes = MEMORY_DEFAULT,
                                   .paging.read_ahead = PAGING_NOT_GIVEN,
                                   .record_window = RECORD_WINDOW};
    struct option_spec specs[OPTIONS];

    describe(&options, specs);
    int at = options_parse("boot", specs, argc, argv);

    if (at < 0) {
        return EXIT_USAGE;
    }
    options.program = argv + at;
    int status = check(&options);

    if (!status) {
        status = boot(&options);
    }
    strings_free(&options.environment);
    strings_free(&options.paging.classes);
    return status;
}

static void describe(struct boot_options *options, struct option_spec *specs)
{
    const struct option_spec table[OPTIONS] = {
        {"--memory", OPTION_SIZE, &options->memory_bytes, "SIZE", "memory of the machine (64M)"},
        {"--swap", OPTION_TEXT, &options->swap.disk, "SIZE[:FILE]",
         "a disk for pages that leave memory; in FILE, or a temporary file"},
        {"--swap-compress", OPTION_TEXT, &options->swap.compress, "lz4[:SIZE]",
         "first compressed in SIZE of the memory (a quarter); none:SIZE: a RAM disk, no other"},
        {"--policy", OPTION_TEXT, &options->paging.policy, "NAME[:OPTIONS]",
         "which page goes (clock); quire policies lists them"},
        {"--scope", OPTION_TEXT, &options->paging.scope, "SCOPE",
         "whose pages may go: global (everybody's, the default) or local"},
        {"--allocation", OPTION_TEXT, &options->paging.allocation, "RULE",
         "local scope: equal (default), proportional, or pff:low=N,high=N,window=N; with :strict no frames "
         "are lent"},
        {"--class", OPTION_LIST, &options->paging.classes, "PROGRAM=CLASS",
         "a program's: vvip:16M (guaranteed), vip:16M (protected), ordinary; repeatable"},
        {"--load-control", OPTION_FLAG, &options->paging.load_control, NULL,
         "swap whole programs out while the working sets do not fit"},
        {"--read-ahead", OPTION_NUMBER, &options->paging.read_ahead, "N",
         "pages that are read from swap at once at most; 1: no more than is wanted"},
        {"--root", OPTION_TEXT, &options->root, "DIR",
         "folder of this host as the root: read there, changed in memory only"},
        {"--share", OPTION_TEXT, &options->share, "DIR", "folder of this host at /share, to read and write"},
        {"--timeout", OPTION_SECONDS, &options->timeout_ms, "SECONDS", "end the machine after this time"},
        {"--report", OPTION_TEXT, &options->report, "FILE",
         "write the paging report there; -: standard error"},
        {"--json", OPTION_FLAG, &options->json, NULL, "the report as JSON"},
        {"--events", OPTION_TEXT, &options->events, "FILE",
         "stream paging events there while the machine runs, a JSON object a line; -: standard error"},
        {"--record", OPTION_TEXT, &options->record, "FILE",
         "record the pages that programs refer to, for quire trace convert; slow"},
        {"--record-window", OPTION_NUMBER, &options->record_window, "N",
         "references to the last N pages are not recorded (16)"},
        {"--env", OPTION_LIST, &options->environment, "NAME=VALUE", "a variable for the program; repeatable"},
        {"--no-aslr", OPTION_FLAG, &options->no_aslr, NULL, "the same addresses each time"},
        {"--icount", OPTION_FLAG, &options->icount, NULL, "count instructions: figures repeat to the digit"},
        {"--cpu", OPTION_TEXT, &options->cpu, "MODEL", "QEMU's processor model (max)"},
        {"--demo", OPTION_TEXT, &options->demo, "NAME", "run a demonstration: paging"},
        {"--screenshot", OPTION_TEXT, &options->screenshot, "FILE",
         "with --demo: its screen, as a PPM picture"},
        {"--name", OPTION_TEXT, &options->name, "NAME", "the machine's name for `quire dump` (a number)"},
        {"--kernel", OPTION_TEXT, &options->kernel, "FILE", "another kernel image"},
        {"--append", OPTION_TEXT, &options->append, "WORDS", "more words for the kernel's command line"},
        {"--log", OPTION_TEXT, &options->log, "FILE", "write the kernel's log there; -: standard output"},
        {"--check", OPTION_FLAG, &options->check, NULL,
         "at the end the kernel checks itself: every invariant, and that nothing was leaked"},
        {"--verbose", OPTION_FLAG, &options->verbose, NULL, "show QEMU's command line and the kernel's log"},
        {0}};

    memcpy(specs, table, sizeof(table));
}

static int check_environment(const struct strings *environment)
{
    for (size_t i = 0; i < environment->count; i++) {
        const char *equals = strchr(environment->items[i], '=');

        if (!equals || equals == environment->items[i]) {
            say("boot: --env: expected NAME=VALUE, got '%s'", environment->items[i]);
            return EXIT_USAGE;
        }
    }
    return 0;
}

static int check_folder(const char *option, const char *path)
{
    struct stat info;

    if (path && stat(path, &info) < 0) {
        say("boot: %s: %s: expected a folder: %s", option, path, strerror(errno));
        return EXIT_USAGE;
    }
    if (path && !S_ISDIR(info.st_mode)) {
        say("boot: %s: %s: expected a folder, this is a file", option, path);
        return EXIT_USAGE;
    }
    return 0;
}

static int check(struct boot_options *options)
{
    if (options->memory_bytes < MEMORY_LEAST || options->memory_bytes > MEMORY_MOST) {
        say("boot: --memory: expected %lluM to %lluG, got %lluK", (unsigned long long)(MEMORY_LEAST >> 20),
            (unsigned long long)(MEMORY_MOST >> 30), (unsigned long long)(options->memory_bytes >> 10));
        return EXIT_USAGE;
    }
    int status = check_folder("--share", options->share);

    if (!status) {
        status = check_folder("--root", options->root);
    }
    if (status) {
        return status;
    }
    if (!swap_file_check(&options->swap, options->memory_bytes) ||
        !paging_check("boot", &options->paging, options->memory_bytes,
                      options->swap.disk || options->swap.compress)) {
        return EXIT_USAGE;
    }
    if (options->demo && strcmp(options->demo, "paging") != 0) {
        say("boot: --demo: %s: no such demonstration; expected paging", options->demo);
        return EXIT_USAGE;
    }
    if (options->demo && options->program[0]) {
        say("boot: --demo: runs no program, got '%s'", options->program[0]);
        return EXIT_USAGE;
    }
    if (options->record_window < RECORD_WINDOW_LEAST || options->record_window > RECORD_WINDOW_MOST) {
        say("boot: --record-window: expected %d to %d pages, got %llu", RECORD_WINDOW_LEAST,
            RECORD_WINDOW_MOST, (unsigned long long)options->record_window);
        return EXIT_USAGE;
    }
    if (options->screenshot && !options->demo) {
        say("boot: --screenshot: expected --demo with it");
        return EXIT_USAGE;
    }
    return check_environment(&options->environment);
}

/* Opens the swap disk, when there is to be one, and starts QEMU. */
static int start(struct qemu *qemu, const struct boot_options *options, const char *qemu_path,
                 struct qemu_files *files)
{
    files->swap = -1;
    if (options->swap.bytes != 0) {
        files->swap = swap_file_open(&options->swap);
        if (files->swap < 0) {
            return EXIT_USAGE;
        }
    }
    bool started = qemu_start(qemu, options, qemu_path, files);

    if (files->swap >= 0) {
        close(files->swap);
    }
    return started ? 0 : EXIT_MACHINE;
}

static int boot_parts(const struct boot_options *options, const char *qemu_path, const char *kernel)
{
    struct qemu qemu;
    uint64_t files_bytes;
    struct qemu_files files = {.kernel = kernel, .initramfs = guest_files_build(options, &files_bytes)};

    if (files.initramfs < 0) {
        return -1 - files.initramfs;
    }
    if (options->memory_bytes < files_bytes + MEMORY_FOR_KERNEL) {
        say("boot: --memory: %lluK is too little: the initial files take %lluK, the kernel %lluK",
            (unsigned long long)(options->memory_bytes >> 10), (unsigned long long)(files_bytes >> 10),
            (unsigned long long)(MEMORY_FOR_KERNEL >> 10));
        close(files.initramfs);
        return EXIT_USAGE;
    }
    int status = start(&qemu, options, qemu_path, &files);

    close(files.initramfs);
    return status ? status : session_run(&qemu, options);
}

static int boot(const struct boot_options *options)
{
    char *kernel = locate_kernel(options->kernel);
    char *qemu = kernel ? locate_qemu() : NULL;
    int status = kernel && qemu ? boot_parts(options, qemu, kernel) : EXIT_USAGE;

    free(kernel);
    free(qemu);
    return status;
}
