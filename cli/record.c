/*
 * quire trace record: runs a program under QEMU's user mode with the recorder (sim/record/plugin.c) in it,
 * takes the references out of the memory that both share, and writes the trace. The program has our standard
 * streams; its exit status is ours.
 */
#include "cli/record.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/boot.h"
#include "cli/options.h"
#include "sim/record/drain.h"
#include "sim/record/recording.h"

enum { STANDARD_FILTER = 16 };

struct record_request {
    const char *output;
    uint64_t page_size, filter;
    char **program;
};

/* The words of the command, and what they are made of. */
struct command {
    struct strings words;
    char *path; /* of the program itself */
};

static void record_specs(struct record_request *request, struct option_spec specs[6])
{
    const struct option_spec all[6] = {
        {"-o", OPTION_TEXT, &request->output, "FILE", "the trace; default PROGRAM.qtrace"},
        {"--output", OPTION_TEXT, &request->output, "FILE", "the same"},
        {"--page-size", OPTION_SIZE, &request->page_size, "SIZE",
         "of a page; default 4K; traces of small ones can be "
         "read with larger ones"},
        {"--filter", OPTION_NUMBER, &request->filter, "N",
         "leave out what is among the last pages of a thread, in a table of N entries; default 16; 0: every "
         "reference"},
        {0}};

    memcpy(specs, all, sizeof(all));
}

void record_help(void)
{
    struct record_request request;
    struct option_spec specs[6];

    record_specs(&request, specs);
    options_print(specs);
}

static bool check_request(const struct record_request *request)
{
    if (!trace_page_size_fits(request->page_size)) {
        say("trace record: --page-size: expected a power of two from 1K to 1G, got %llu",
            (unsigned long long)request->page_size);
        return false;
    }
    if (request->filter > FILTER_MOST || (request->filter & (request->filter - 1)) != 0) {
        say("trace record: --filter: expected 0 or a power of two, at most %d, got %llu", FILTER_MOST,
            (unsigned long long)request->filter);
        return false;
    }
    if (!request->program[0]) {
        say("trace record: expected a program behind the options");
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------ the program */

/* How a file begins: an x86-64 program, a script (*line is its interpreter's line), or neither. */
enum beginning { BEGINS_AS_PROGRAM, BEGINS_AS_SCRIPT, BEGINS_AS_NEITHER, CANNOT_BE_READ };

static enum beginning look_at_program(const char *path, char line[256])
{
    unsigned char bytes[256] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, bytes, sizeof(bytes) - 1) : -1;
    Elf64_Ehdr head;

    if (fd >= 0)
        close(fd);
    if (length < 0)
        return CANNOT_BE_READ;
    memcpy(&head, bytes, sizeof(head));
    if (memcmp(bytes, ELFMAG, SELFMAG) == 0 && head.e_ident[EI_CLASS] == ELFCLASS64 &&
        head.e_machine == EM_X86_64)
        return BEGINS_AS_PROGRAM;
    if (bytes[0] != '#' || bytes[1] != '!')
        return BEGINS_AS_NEITHER;
    snprintf(line, 256, "%.*s", (int)strcspn((char *)bytes + 2, "\n"), (char *)bytes + 2);
    return BEGINS_AS_SCRIPT;
}

/* A script's interpreter, with the rest of its line as one word (as Linux does), takes the script's place.
 * False: the line names none. */
static bool take_interpreter(struct command *command, char *line)
{
    struct strings words = {0};
    char *name = line + strspn(line, " \t"), *rest = name + strcspn(name, " \t\r");

    if (*name == '\0')
        return false;
    if (*rest) {
        *rest++ = '\0';
        rest += strspn(rest, " \t");
        rest[strcspn(rest, "\r")] = '\0';
    }
    strings_add(&words, must_copy(name));
    if (*rest)
        strings_add(&words, must_copy(rest));
    strings_add(&words, command->path);
    command->path = must_copy(name);
    for (size_t i = 1; i < command->words.count; i++)
        strings_add(&words, must_copy(command->words.items[i]));
    strings_free(&command->words);
    command->words = words;
    return true;
}

/* 0, or an exit status when a message has been printed. */
static int find_program(struct command *command, char **program)
{
    enum { SCRIPTS_MOST = 4 }; /* as Linux, BINPRM_MAX_RECURSION */
    char line[256];

    for (; *program; program++)
        strings_add(&command->words, must_copy(*program));
    const char *name = command->words.items[0];

    command->path = strchr(name, '/') ? must_copy(name) : locate_in_path(name);
    for (int depth = 0; command->path && depth <= SCRIPTS_MOST; depth++) {
        if (access(command->path, F_OK) != 0)
            break;
        switch (access(command->path, X_OK) == 0 ? look_at_program(command->path, line) : CANNOT_BE_READ) {
        case BEGINS_AS_PROGRAM:
            return 0;
        case BEGINS_AS_SCRIPT:
            if (take_interpreter(command, line))
                continue;
            break;
        case BEGINS_AS_NEITHER:
            break;
        case CANNOT_BE_READ:
            say("trace record: %s: cannot be run: %s", command->path, strerror(errno));
            return EXIT_NOT_RUNNABLE;
        }
        say("trace record: %s: expected an x86-64 program or a script", command->path);
        return EXIT_NOT_RUNNABLE;
    }
    say("trace record: %s: no such program", command->path ? command->path : name);
    return EXIT_NOT_FOUND;
}

/* ------------------------------------------------------------------ running it */

static volatile sig_atomic_t child_pid;

static void pass_on(int number)
{
    if (child_pid > 0)
        kill((pid_t)child_pid, number);
}

/* Ctrl-C reaches the program by the terminal; we stay, for the trace. The program gets back what there was.
 */
static struct sigaction before_int, before_quit;

static void set_signals(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN}, pass = {.sa_handler = pass_on};

    sigaction(SIGINT, &ignore, &before_int);
    sigaction(SIGQUIT, &ignore, &before_quit);
    sigaction(SIGTERM, &pass, NULL);
    sigaction(SIGHUP, &pass, NULL);
}

/* Behind fork(). */
static _Noreturn void become_program(char **words, int fd, pid_t parent)
{
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGQUIT, &before_quit, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || fcntl(fd, F_SETFD, 0) != 0)
        _exit(EXIT_MACHINE);
    execv(words[0], words);
    say("trace record: %s: %s", words[0], strerror(errno));
    _exit(EXIT_MACHINE);
}

/* Until the program has ended: its status as waitpid() tells it. Sets *failed once the trace is lost. */
static int follow(struct drain *drain, bool *failed, struct trace_error *error)
{
    int status = 0;

    while (waitpid((pid_t)child_pid, &status, WNOHANG) == 0)
        if (!*failed && !drain_some(drain, error)) {
            *failed = true;
            say("trace record: %s; the program goes on without being recorded", error->text);
        } else if (*failed) {
            drain_some(drain, error);
        }
    return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static void tell(const char *output, const struct drain_totals *totals)
{
    if (totals->in_exec)
        say("trace record: the program replaced itself by another one (exec), which is not recorded");
    if (totals->lost > 0)
        say("trace record: %u threads were not recorded: there were too many at a time", totals->lost);
    say("%s: %llu references (of %llu, before the filter) to %u pages", output,
        (unsigned long long)totals->references, (unsigned long long)totals->unfiltered, totals->pages);
}

static int run(char **words, struct drain *drain, const char *output)
{
    struct drain_totals totals;
    struct trace_error error;
    bool failed = false;
    pid_t parent = getpid(), pid;

    set_signals();
    pid = fork();
    if (pid == 0)
        become_program(words, drain_fd(drain), parent);
    if (pid < 0) {
        say("trace record: no process: %s", strerror(errno));
        drain_abandon(drain);
        return EXIT_MACHINE;
    }
    child_pid = pid;
    int status = follow(drain, &failed, &error);

    child_pid = 0;
    bool good = drain_finish(drain, &totals, &error);

    if (!totals.began) {
        say("trace record: QEMU has not begun; no trace was written");
        return EXIT_MACHINE;
    }
    if (good)
        tell(output, &totals);
    else if (!failed)
        say("trace record: %s", error.text);
    return good ? status : EXIT_USAGE;
}

/* QEMU with the recorder, and behind it the program as it is called. */
static char **make_words(struct strings *line, char *qemu, const char *recorder, int fd,
                         const struct command *command)
{
    strings_add(line, qemu);
    strings_add(line, must_copy("-cpu"));
    strings_add(line, must_copy("max"));
    strings_add(line, must_copy("-plugin"));
    strings_add(line, must_format("%s,fd=%d", recorder, fd));
    strings_add(line, must_copy("-0"));
    strings_add(line, must_copy(command->words.items[0]));
    strings_add(line, must_copy(command->path));
    for (size_t i = 1; i < command->words.count; i++)
        strings_add(line, must_copy(command->words.items[i]));
    return line->items;
}

static int record_program(const struct record_request *request, const struct command *command)
{
    const char *slash = strrchr(request->program[0], '/');
    char *standard = must_format("%s.qtrace", slash ? slash + 1 : request->program[0]);
    const char *output = request->output ? request->output : standard;
    char *qemu = locate_qemu_user(), *recorder = qemu ? locate_recorder() : NULL;
    struct strings line = {0};
    struct trace_error error;
    int status = EXIT_MACHINE;

    if (recorder) {
        struct drain *drain = drain_create(output, request->page_size ? request->page_size : 4096,
                                           (uint32_t)request->filter, &error);

        if (drain) {
            status =
                run(make_words(&line, must_copy(qemu), recorder, drain_fd(drain), command), drain, output);
        } else {
            say("trace record: %s", error.text);
            status = EXIT_USAGE;
        }
    }
    strings_free(&line);
    free(recorder);
    free(qemu);
    free(standard);
    return status;
}

int record(int argc, char **argv)
{
    struct record_request request = {.filter = STANDARD_FILTER};
    struct option_spec specs[6];
    struct command command = {0};
    int status = EXIT_USAGE, at;

    record_specs(&request, specs);
    at = options_parse("trace record", specs, argc, argv);
    if (at < 0)
        return EXIT_USAGE;
    request.program = argv + at;
    if (check_request(&request)) {
        status = find_program(&command, request.program);
        if (status == 0)
            status = record_program(&request, &command);
    }
    strings_free(&command.words);
    free(command.path);
    return status;
}
