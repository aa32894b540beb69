/*
 * Out of memory.
 *
 *   oomtest ROUNDS    a child takes all there is, while its parent and a small brother live on
 *   oomtest signals   a child holds nearly all; its parent reads a file into the rest and beyond, while a
 * brother who always wants the processor sends it signals: the child ends, and the read is whole
 *   oomtest calls     a child holds nearly all; its parent makes processes, writes to pipes and to a file in
 * memory, for the rest and beyond: the child ends, and no call of the parent's fails
 *
 * Not for the host: it would take the host's memory.
 */
#include "guest.h"

#include <sched.h>

static void takes_all(void)
{
    for (;;) {
        char *area = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (area == MAP_FAILED)
            _exit(3);
        for (size_t at = 0; at < MIB; at += PAGE)
            area[at] = 1;
    }
}

/* ------------------------------------------------------------------ a read while signals are pending */

enum { FILE_BYTES = 4 * MIB, LEFT_BYTES = 2 * MIB };

static volatile sig_atomic_t signals;

static void count_signal(int signo)
{
    (void)signo;
    signals++;
}

static size_t free_bytes(void)
{
    FILE *file = fopen("/proc/meminfo", "r");
    unsigned long long kibibytes = 0;
    char line[100];

    must(file != NULL, "/proc/meminfo");
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "MemFree: %llu", &kibibytes) != 1)
        ;
    fclose(file);
    return kibibytes * KIB;
}

/* Takes memory until hardly any is left, says so, and keeps it. */
static void hold_memory(int say)
{
    while (free_bytes() > LEFT_BYTES)
        memset(map_anon_rw(MIB / 2), 'h', MIB / 2);
    must(write(say, "", 1) == 1, "write");
    for (;;)
        pause();
}

/* Whoever gives the processor away meets this one, who sends a signal. */
static void send_signals(pid_t parent)
{
    while (kill(parent, SIGUSR1) == 0)
        sched_yield();
}

static pid_t begin_holder(void)
{
    int said[2];
    pid_t holder;
    char byte;

    must(pipe(said) == 0, "pipe");
    holder = fork();
    must(holder >= 0, "the holder");
    if (holder == 0)
        hold_memory(said[1]);
    must(read(said[0], &byte, 1) == 1, "the holder");
    return holder;
}

static pid_t begin_sender(void)
{
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
    pid_t sender;

    must(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    sender = fork();
    must(sender >= 0, "the sender");
    if (sender == 0)
        send_signals(getppid());
    return sender;
}

/* A byte for each page, so that no second try of a copy that failed hides it. */
static size_t read_bytes(int file, char *area)
{
    size_t pages = 0;

    while (pages < FILE_BYTES / PAGE && pread(file, area + pages * PAGE, 1, (off_t)(pages * PAGE)) == 1 &&
           area[pages * PAGE] == (char)(pages + 1))
        pages++;
    if (pages < FILE_BYTES / PAGE)
        printf("page %zu: %s\n", pages, error_name(errno));
    return pages;
}

static void read_among_signals(void)
{
    int file = scratch_file(FILE_BYTES), status = 0, before;
    char *area = map_anon_rw(FILE_BYTES);
    pid_t holder = begin_holder(), sender = begin_sender();

    while (signals == 0) /* the sender has all the memory that it needs */
        sched_yield();
    before = signals;
    show("pages read", (long)read_bytes(file, area));
    show_yes("a signal came", signals > before);
    must(kill(sender, SIGKILL) == 0 && waitpid(sender, NULL, 0) == sender, "the sender's end");
    show_yes("the holder was ended",
             waitpid(holder, &status, WNOHANG) == holder && WTERMSIG(status) == SIGKILL);
}

/* ------------------------------------------------------------------ calls that need memory */

enum { PIPES = 24, PIPE_BYTES = 16 * 4096 };

static bool has_ended(pid_t child)
{
    int status = 0;

    return waitpid(child, &status, WNOHANG) == child && WTERMSIG(status) == SIGKILL;
}

static void go_beyond(const char *what, bool (*some)(void))
{
    pid_t holder = begin_holder();
    bool ended = false;

    for (unsigned i = 0; i < 100 && !ended && some(); i++)
        ended = has_ended(holder);
    show_yes(what, ended);
    if (!ended)
        must(kill(holder, SIGKILL) == 0 && waitpid(holder, NULL, 0) == holder, "the holder's end");
}

static bool fill_pipes(void)
{
    static char block[PIPE_BYTES];

    for (unsigned i = 0; i < PIPES; i++) {
        int ends[2];
        ssize_t wrote;

        must(pipe(ends) == 0, "pipe");
        wrote = write(ends[1], block, sizeof block);
        if (wrote != sizeof block) {
            show("pipe: write", wrote);
            return false;
        }
    }
    return true;
}

static bool fill_file(void)
{
    static char block[MIB];
    static int file = -1;
    ssize_t wrote;

    if (file < 0)
        file = memfd_create("large", 0);
    wrote = write(file, block, sizeof block);
    if (wrote != sizeof block)
        show("file: write", wrote);
    return wrote == sizeof block;
}

/* They wait until the last of their parent's ends of the pipe is closed. */
static bool fork_many(void)
{
    enum { CHILDREN = 50 };
    int ends[2];
    bool all = true;
    char byte;

    must(pipe(ends) == 0, "pipe");
    for (unsigned i = 0; i < CHILDREN && all; i++) {
        pid_t child = fork();

        if (child == 0) {
            close(ends[1]);
            _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
        }
        all = child > 0;
        if (!all)
            perror("fork");
    }
    if (!all)
        close(ends[1]);
    return all;
}

int main(int count, char **arguments)
{
    int rounds = count > 1 ? atoi(arguments[1]) : 1;
    char *kept = map_anon_rw(MIB);
    int status, lives[2];
    pid_t brother;
    char byte;

    if (count < 2) {
        fprintf(stderr, "usage: oomtest ROUNDS | signals | calls\n");
        return 2;
    }
    if (strcmp(arguments[1], "signals") == 0)
        return read_among_signals(), 0;
    if (strcmp(arguments[1], "calls") == 0) {
        go_beyond("processes: the holder was ended", fork_many);
        go_beyond("pipes: the holder was ended", fill_pipes);
        go_beyond("a file: the holder was ended", fill_file);
        return 0;
    }
    memset(kept, 'k', MIB);
    must(pipe(lives) == 0, "pipe");
    brother = fork();
    if (brother == 0) {
        close(lives[1]);
        (void)!read(lives[0], &byte, 1);
        _exit(kept[MIB - 1] == 'k' ? 4 : 5);
    }
    close(lives[0]);
    for (int i = 0; i < rounds; i++)
        show_status("the greedy one", in_child(takes_all));
    show_yes("the parent's memory is right", kept[0] == 'k' && kept[MIB - 1] == 'k');
    close(lives[1]);
    waitpid(brother, &status, 0);
    show_status("the small brother", status);
    return 0;
}
