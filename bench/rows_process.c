/* Rows of vmbench: processes and pipes. */
#include "vmbench.h"
#include <stdlib.h>
#include <sys/wait.h>

static void fork_and_wait(struct sample *sample, int turns)
{
    sample_begin(sample);
    for (int i = 0; i < turns; i++) {
        pid_t child = fork();

        if (child == 0)
            _exit(0);
        must(waitpid(child, NULL, 0) == child, "fork and wait");
    }
    sample_end(sample, (uint64_t)turns, (uint64_t)turns);
}

static void fork_touched(struct sample *sample, size_t bytes)
{
    char *area = area_create(bytes, PAGES_SMALL);
    struct sample unused = {0};

    sample_writes(&unused, area, bytes);
    fork_and_wait(sample, 10);
    area_destroy(area, bytes);
}

static void run_fork(struct sample *sample)
{
    fork_and_wait(sample, 50);
}

static void run_fork_16(struct sample *sample)
{
    fork_touched(sample, 16 * MIB);
}

static void run_fork_64(struct sample *sample)
{
    fork_touched(sample, 64 * MIB);
}

/* The program that is executed is this one, which then ends at once. */
static void run_fork_exec(struct sample *sample)
{
    enum { TURNS = 20 };

    sample_begin(sample);
    for (int i = 0; i < TURNS; i++) {
        pid_t child = fork();
        int status = 0;

        if (child == 0) {
            execl("/proc/self/exe", "vmbench", "--exit", (char *)NULL);
            _exit(1);
        }
        waitpid(child, &status, 0);
        must(status == 0, "exec");
    }
    sample_end(sample, TURNS, TURNS);
}

static void run_pipe(struct sample *sample)
{
    enum { TURNS = 1000 };
    int ends[2];
    char byte = 1;

    must(pipe(ends) == 0, "pipe");
    sample_begin(sample);
    for (int i = 0; i < TURNS; i++)
        must(write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1, "pipe");
    sample_end(sample, TURNS, TURNS);
    close(ends[0]);
    close(ends[1]);
}

static void answer(int from, int to)
{
    char byte;

    while (read(from, &byte, 1) == 1)
        if (write(to, &byte, 1) != 1)
            break;
    _exit(0);
}

static void run_ping_pong(struct sample *sample)
{
    enum { TURNS = 500 };
    int there[2], back[2];
    char byte = 1;
    pid_t child;

    must(pipe(there) == 0 && pipe(back) == 0, "pipe");
    child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        close(there[1]);
        close(back[0]);
        answer(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    sample_begin(sample);
    for (int i = 0; i < TURNS; i++)
        must(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "ping-pong");
    sample_end(sample, 2 * TURNS, TURNS);
    close(there[1]);
    close(back[0]);
    waitpid(child, NULL, 0);
}

const struct row process_rows[] = {
    {"fork + exit + wait, nothing touched", run_fork},
    {"fork + exit + wait, 16 MiB touched", run_fork_16},
    {"fork + exit + wait, 64 MiB touched", run_fork_64},
    {"fork + exec + exit + wait (static)", run_fork_exec},
    {"pipe write + read, same process", run_pipe},
    {"pipe ping-pong, one way", run_ping_pong},
    {NULL, NULL},
};
