/* fork, exit and wait: statuses, order, orphans, groups, stops. */
#include "guest.h"
#include <sys/resource.h>

static int child_that(void (*act)(void))
{
    pid_t child = fork();

    if (child == 0) {
        act();
        _exit(0);
    }
    return child;
}

static void exits_3(void)
{
    _exit(3);
}

static void exits_256(void)
{
    _exit(256 + 7);
}

static void aborts(void)
{
    abort();
}

static void killed(void)
{
    kill(getpid(), SIGKILL);
}

static void traps(void)
{
    kill(getpid(), SIGTERM);
}

static void sleeps(void)
{
    for (;;)
        pause();
}

static void statuses(void)
{
    int status;

    part("statuses");
    waitpid(child_that(exits_3), &status, 0);
    show_status("exit 3", status);
    waitpid(child_that(exits_256), &status, 0);
    show_status("exit 263", status);
    waitpid(child_that(aborts), &status, 0);
    show_status("abort", status);
    waitpid(child_that(killed), &status, 0);
    show_status("kill -9", status);
    waitpid(child_that(traps), &status, 0);
    show_status("kill", status);

    part("stop and continue");
    pid_t child = child_that(sleeps);
    kill(child, SIGSTOP);
    show_yes("WUNTRACED", waitpid(child, &status, WUNTRACED) == child);
    show_status("  status", status);
    kill(child, SIGCONT);
    show_yes("WCONTINUED", waitpid(child, &status, WCONTINUED) == child);
    show_status("  status", status);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    kill(child, SIGKILL);
    show_yes("killed while stopped", waitpid(child, &status, 0) == child);
    show_status("  status", status);
}

static void choices(void)
{
    int status = 0;
    siginfo_t info;
    struct rusage usage;

    part("whom to wait for");
    show("nobody", waitpid(-1, &status, 0));
    show("not a child", waitpid(1, &status, 0));
    show("bad option", waitpid(-1, &status, 0x100));
    pid_t first = child_that(exits_3);
    pid_t second = child_that(sleeps);
    show_yes("the first", waitpid(first, &status, 0) == first);
    show("WNOHANG while it runs", waitpid(second, &status, WNOHANG));
    kill(second, SIGTERM);
    show_yes("any", wait4(-1, &status, 0, &usage) == second);
    show_status("  status", status);
    first = child_that(exits_3);
    memset(&info, 0, sizeof info);
    show("waitid, left as it is", waitid(P_PID, (id_t)first, &info, WEXITED | WNOWAIT));
    printf("  %s status %d, signal %s\n", code_name(SIGCHLD, info.si_code), info.si_status,
           signal_name(info.si_signo));
    show("waitid, reaped", waitid(P_ALL, 0, &info, WEXITED));
    show("waitid, gone", waitid(P_PID, (id_t)first, &info, WEXITED));
    show("waitid without options", waitid(P_ALL, 0, &info, 0));
    first = child_that(exits_3);
    setpgid(first, first);
    show_yes("a process group", waitpid(-first, &status, 0) == first);
    show("another group", waitpid(-first, &status, 0));

    part("SIGCHLD ignored: no zombies");
    signal(SIGCHLD, SIG_IGN);
    child_that(exits_3);
    child_that(exits_3);
    show("wait", wait(&status));
    signal(SIGCHLD, SIG_DFL);
}

static void orphan(void)
{
    int ends[2];
    char answer = '?';

    part("orphans go to another parent");
    must(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        pid_t parent = getpid();
        if (fork() == 0) {
            while (getppid() == parent)
                usleep(1000);
            must(write(ends[1], "y", 1) == 1, "write");
            _exit(0);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
    must(read(ends[0], &answer, 1) == 1, "read");
    printf("new parent: %c\n", answer);
}

static void groups(void)
{
    int ends[2], status;
    char byte;

    part("groups and sessions");
    must(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        bool good = setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid();
        good = good && setsid() == -1 && errno == EPERM;
        _exit(good ? 0 : 1);
    }
    waitpid(child, &status, 0);
    show_status("setsid", status);
    pid_t leader = fork();
    if (leader == 0) {
        setpgid(0, 0);
        for (int i = 0; i < 3; i++)
            if (fork() == 0) {
                must(write(ends[1], "x", 1) == 1, "write");
                sleeps();
            }
        must(write(ends[1], "x", 1) == 1, "write");
        sleeps();
    }
    for (int i = 0; i < 4; i++)
        must(read(ends[0], &byte, 1) == 1, "read");
    close(ends[1]);
    show("kill the group", kill(-leader, SIGTERM));
    waitpid(leader, &status, 0);
    show_status("leader", status);
    show("all are gone: the pipe ends", read(ends[0], &byte, 1));
    show("getpgid of nobody", getpgid(0x3fffffff));
    show("setpgid of nobody", setpgid(0x3fffffff, 0));
    show("setpgid negative", setpgid(0, -1));
}

static int exit_words;

static void at_exit_1(void)
{
    printf("first registered, %d words\n", ++exit_words);
}

static void at_exit_2(void)
{
    printf("last registered, %d words\n", ++exit_words);
}

static void exits_17(void)
{
    atexit(at_exit_1);
    atexit(at_exit_2);
    exit(17);
}

int main(void)
{
    statuses();
    choices();
    orphan();
    groups();
    part("many children in any order");
    pid_t children[50];
    unsigned sum = 0;
    int status;
    for (int i = 0; i < 50; i++)
        if ((children[i] = fork()) == 0)
            _exit(i);
    for (int i = 49; i >= 0; i--) {
        must(waitpid(children[i], &status, 0) == children[i], "waitpid");
        sum += (unsigned)WEXITSTATUS(status);
    }
    printf("sum %u\n", sum);
    part("exit");
    show_status("functions at exit", in_child(exits_17));
    return 0;
}
