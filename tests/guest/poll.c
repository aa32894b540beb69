/* poll and select: readiness, timeouts, errors. */
#include "guest.h"
#include <poll.h>
#include <sys/select.h>
#include <time.h>

static long milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void show_events(const char *what, struct pollfd *one, int timeout)
{
    int got = poll(one, 1, timeout);
    short events = one->revents;

    printf("%s: %d", what, got);
    if (events & POLLIN)
        printf(" IN");
    if (events & POLLOUT)
        printf(" OUT");
    if (events & POLLERR)
        printf(" ERR");
    if (events & POLLHUP)
        printf(" HUP");
    if (events & POLLNVAL)
        printf(" NVAL");
    printf("\n");
}

static void nothing(int signal)
{
    (void)signal;
}

static void polls(void)
{
    int ends[2];
    struct pollfd one;

    part("poll");
    must(pipe(ends) == 0, "pipe");
    one = (struct pollfd){.fd = ends[0], .events = POLLIN};
    show_events("empty pipe", &one, 0);
    must(write(ends[1], "x", 1) == 1, "write");
    show_events("with a byte", &one, 1000);
    one = (struct pollfd){.fd = ends[1], .events = POLLOUT};
    show_events("writing end", &one, 0);
    static char block[65536];
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], block, 4096) > 0)
        ;
    show_events("full pipe", &one, 0);
    close(ends[0]);
    show_events("nobody reads", &one, 0);
    close(ends[1]);
    one = (struct pollfd){.fd = ends[1], .events = POLLIN};
    show_events("closed descriptor", &one, 0);
    one = (struct pollfd){.fd = -5, .events = POLLIN};
    show_events("negative descriptor", &one, 0);
    must(pipe(ends) == 0, "pipe");
    close(ends[1]);
    one = (struct pollfd){.fd = ends[0], .events = POLLIN};
    show_events("nobody writes", &one, 1000);
    close(ends[0]);
    int file = scratch_file(10);
    one = (struct pollfd){.fd = file, .events = POLLIN | POLLOUT};
    show_events("ordinary file", &one, 0);

    part("timeouts");
    long start = milliseconds();
    show("poll of nothing, 30 ms", poll(NULL, 0, 30));
    show_yes("took 30 ms", milliseconds() - start >= 30);
    must(pipe(ends) == 0, "pipe");
    one = (struct pollfd){.fd = ends[0], .events = POLLIN};
    pid_t child = fork();
    if (child == 0) {
        usleep(20000);
        _exit(write(ends[1], "x", 1) != 1);
    }
    show_events("a byte that comes later", &one, 5000);
    waitpid(child, NULL, 0);
    char byte;
    must(read(ends[0], &byte, 1) == 1, "read");
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    child = fork();
    if (child == 0) {
        usleep(20000);
        kill(getppid(), SIGALRM);
        _exit(0);
    }
    show("a signal", poll(&one, 1, 5000));
    waitpid(child, NULL, 0);
    struct timespec short_time = {0, 10000000};
    sigset_t mask;
    sigemptyset(&mask);
    show("ppoll", ppoll(&one, 1, &short_time, &mask));
    struct timespec bad = {0, 2000000000};
    show("ppoll, bad time", ppoll(&one, 1, &bad, NULL));
    show("two ready, one not", ({
             int other[2];
             must(pipe(other) == 0, "pipe");
             struct pollfd three[3] = {{file, POLLIN, 0}, {other[0], POLLIN, 0}, {other[1], POLLOUT, 0}};
             int got = poll(three, 3, -1);
             printf("%d %d %d\n", three[0].revents, three[1].revents, three[2].revents);
             close(other[0]);
             close(other[1]);
             got;
         }));
}

static void selects(void)
{
    int ends[2];
    fd_set in, out;
    struct timeval time = {0, 20000};

    part("select");
    must(pipe(ends) == 0, "pipe");
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(ends[0], &in);
    FD_SET(ends[1], &out);
    show("one writable", select(ends[1] + 1, &in, &out, NULL, NULL));
    printf("in %d out %d\n", FD_ISSET(ends[0], &in) != 0, FD_ISSET(ends[1], &out) != 0);
    FD_SET(ends[0], &in);
    show("timeout", select(ends[0] + 1, &in, NULL, NULL, &time));
    printf("in %d\n", FD_ISSET(ends[0], &in) != 0);
    must(write(ends[1], "x", 1) == 1, "write");
    FD_ZERO(&in);
    FD_SET(ends[0], &in);
    show("readable", select(ends[0] + 1, &in, NULL, NULL, NULL));
    close(ends[0]);
    FD_ZERO(&in);
    FD_SET(ends[0], &in);
    show("closed descriptor", select(ends[0] + 1, &in, NULL, NULL, NULL));
    show("negative count", select(-1, NULL, NULL, NULL, NULL));
    time = (struct timeval){0, -1};
    show("bad time", select(0, NULL, NULL, NULL, &time));
    time = (struct timeval){0, 10000};
    show("as a sleep", select(0, NULL, NULL, NULL, &time));
}

int main(void)
{
    polls();
    selects();
    return 0;
}
