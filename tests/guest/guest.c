/*
 * What the guest programs share (guest.h). The probing functions catch SIGSEGV and SIGBUS on a stack of their
 * own, so that they also work where the ordinary stack is what is being tested.
 */
#include "guest.h"
#include <dirent.h>

/* Lines leave at once, so that a child that ends by _exit() or a signal loses none. */
__attribute__((constructor)) static void print_by_lines(void)
{
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
}

const char *error_name(int error)
{
    const char *name = strerrorname_np(error);
    return name ? name : "E?";
}

const char *signal_name(int signal)
{
    static char text[40];
    const char *abbreviation = sigabbrev_np(signal);

    if (abbreviation)
        snprintf(text, sizeof text, "SIG%s", abbreviation);
    else
        snprintf(text, sizeof text, "SIG#%d", signal);
    return text;
}

const char *code_name(int signal, int code)
{
    if (code == SI_USER)
        return "SI_USER";
    if (code == SI_QUEUE)
        return "SI_QUEUE";
    if (code == SI_TKILL)
        return "SI_TKILL";
    if (code == SI_TIMER)
        return "SI_TIMER";
    if (code == SI_KERNEL)
        return "SI_KERNEL";
    if (signal == SIGSEGV && code == SEGV_MAPERR)
        return "SEGV_MAPERR";
    if (signal == SIGSEGV && code == SEGV_ACCERR)
        return "SEGV_ACCERR";
    if (signal == SIGBUS && code == BUS_ADRERR)
        return "BUS_ADRERR";
    if (signal == SIGBUS && code == BUS_ADRALN)
        return "BUS_ADRALN";
    if (signal == SIGFPE && code == FPE_INTDIV)
        return "FPE_INTDIV";
    if (signal == SIGILL && code == ILL_ILLOPN)
        return "ILL_ILLOPN";
    if (signal == SIGTRAP && code == TRAP_BRKPT)
        return "TRAP_BRKPT";
    if (signal == SIGTRAP && code == TRAP_TRACE)
        return "TRAP_TRACE";
    if (signal == SIGCHLD && code == CLD_EXITED)
        return "CLD_EXITED";
    if (signal == SIGCHLD && code == CLD_KILLED)
        return "CLD_KILLED";
    if (signal == SIGCHLD && code == CLD_DUMPED)
        return "CLD_DUMPED";
    if (signal == SIGCHLD && code == CLD_STOPPED)
        return "CLD_STOPPED";
    if (signal == SIGCHLD && code == CLD_CONTINUED)
        return "CLD_CONTINUED";
    return "code?";
}

void part(const char *name)
{
    printf("== %s\n", name);
    fflush(stdout);
}

void show(const char *what, long value)
{
    if (value == -1)
        printf("%s: %s\n", what, error_name(errno));
    else
        printf("%s: %ld\n", what, value);
    fflush(stdout);
}

void show_ok(const char *what, long value)
{
    printf("%s: %s\n", what, value == -1 ? error_name(errno) : "ok");
    fflush(stdout);
}

void show_map(const char *what, const void *mapped)
{
    show_ok(what, mapped == MAP_FAILED ? -1 : 0);
}

void show_yes(const char *what, bool yes)
{
    printf("%s: %s\n", what, yes ? "yes" : "no");
    fflush(stdout);
}

void show_status(const char *what, int status)
{
    if (WIFEXITED(status))
        printf("%s: exit %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        printf("%s: %s\n", what, signal_name(WTERMSIG(status)));
    else if (WIFSTOPPED(status))
        printf("%s: stopped by %s\n", what, signal_name(WSTOPSIG(status)));
    else if (WIFCONTINUED(status))
        printf("%s: continued\n", what);
    else
        printf("%s: status?\n", what);
    fflush(stdout);
}

/* ------------------------------------------------------------------ accesses that may fail */

enum access_kind { ACCESS_READ, ACCESS_WRITE, ACCESS_CALL };

static sigjmp_buf probe_return;
static siginfo_t probe_info;
static char probe_stack[64 * 1024];

static void probe_caught(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    probe_info = *info;
    siglongjmp(probe_return, 1);
}

/* Makes the access; *byte is what was read. False when a signal came, which is then in probe_info. */
static bool probe(enum access_kind kind, void *at, unsigned char *byte)
{
    static const int caught[] = {SIGSEGV, SIGBUS, SIGILL};
    struct sigaction action = {.sa_sigaction = probe_caught, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction before[3];
    stack_t stack = {.ss_sp = probe_stack, .ss_size = sizeof probe_stack};
    stack_t stack_before;
    volatile bool worked = false;

    sigaltstack(&stack, &stack_before);
    for (size_t i = 0; i < 3; i++)
        sigaction(caught[i], &action, &before[i]);
    if (sigsetjmp(probe_return, 1) == 0) {
        volatile unsigned char *memory = at;

        if (kind == ACCESS_READ)
            *byte = *memory;
        else if (kind == ACCESS_WRITE)
            *memory = *byte;
        else
            ((void (*)(void))at)();
        worked = true;
    }
    for (size_t i = 0; i < 3; i++)
        sigaction(caught[i], &before[i], NULL);
    sigaltstack(&stack_before, NULL);
    return worked;
}

static void print_offset(const void *at, const void *base)
{
    intptr_t offset = (intptr_t)at - (intptr_t)base;

    if (offset < 0)
        printf("-0x%lx", -offset);
    else
        printf("+0x%lx", offset);
}

static void print_failure(const char *what, const void *base)
{
    printf("%s: %s %s ", what, signal_name(probe_info.si_signo),
           code_name(probe_info.si_signo, probe_info.si_code));
    print_offset(probe_info.si_addr, base);
    printf("\n");
    fflush(stdout);
}

bool try_read(const char *what, const void *at, const void *base)
{
    unsigned char byte = 0;

    if (probe(ACCESS_READ, (void *)(uintptr_t)at, &byte)) {
        printf("%s: ok %u\n", what, byte);
        return true;
    }
    print_failure(what, base);
    return false;
}

bool try_write(const char *what, void *at, const void *base)
{
    unsigned char byte = 0xc3;

    if (probe(ACCESS_WRITE, at, &byte)) {
        printf("%s: ok\n", what);
        return true;
    }
    print_failure(what, base);
    return false;
}

bool try_call(const char *what, const void *at, const void *base)
{
    unsigned char byte = 0;

    if (probe(ACCESS_CALL, (void *)(uintptr_t)at, &byte)) {
        printf("%s: ok\n", what);
        return true;
    }
    print_failure(what, base);
    return false;
}

bool can_read(const void *at)
{
    unsigned char byte = 0;
    return probe(ACCESS_READ, (void *)(uintptr_t)at, &byte);
}

bool can_write(void *at)
{
    unsigned char byte = 0xc3;
    return probe(ACCESS_WRITE, at, &byte);
}

/* ------------------------------------------------------------------ scenery */

void must(bool worked, const char *what)
{
    if (worked)
        return;
    printf("FAILED %s: %s\n", what, error_name(errno));
    exit(99);
}

void *map_anon(size_t bytes, int protection, int flags)
{
    void *mapped = mmap(NULL, bytes, protection, MAP_ANONYMOUS | flags, -1, 0);

    must(mapped != MAP_FAILED, "mmap of anonymous memory");
    return mapped;
}

void *map_anon_rw(size_t bytes)
{
    return map_anon(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

int scratch_file(size_t bytes)
{
    char name[] = "/tmp/guest-file-XXXXXX";
    int file = mkstemp(name);
    char page[4096];

    must(file >= 0, "mkstemp");
    unlink(name);
    for (size_t done = 0; done < bytes; done += PAGE) {
        size_t part_bytes = bytes - done < PAGE ? bytes - done : PAGE;

        memset(page, (int)(unsigned char)(done / PAGE + 1), sizeof page);
        must(pwrite(file, page, part_bytes, (off_t)done) == (ssize_t)part_bytes, "pwrite");
    }
    return file;
}

static char scratch_name[32];

void scratch_enter(void)
{
    strcpy(scratch_name, "/tmp/guest-dir-XXXXXX");
    must(mkdtemp(scratch_name) != NULL, "mkdtemp");
    must(chdir(scratch_name) == 0, "chdir");
    umask(022);
}

void scratch_leave(void)
{
    DIR *directory = opendir(scratch_name);
    struct dirent *entry;

    while (directory && (entry = readdir(directory)) != NULL)
        if (unlinkat(dirfd(directory), entry->d_name, 0) != 0)
            unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
    if (directory)
        closedir(directory);
    must(chdir("/") == 0, "chdir /");
    show("scratch directory removed", rmdir(scratch_name));
}

int in_child(void (*body)(void))
{
    int status = 0;
    pid_t child;

    fflush(stdout);
    child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        body();
        fflush(stdout);
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child, "waitpid");
    return status;
}
