/*
 * fork() where it is hard: for `quire run` with a budget far smaller than what this touches. Prints "right";
 * what is wrong is told with its line, and status 1.
 *
 *      run_forks spawning      another thread starts programs all the while, which live on: no fork() may
 * wait for the end of one run_forks stuck         a child that stands still in the midst of its copy: fork()
 * fails with EAGAIN, and nothing is lost (77: this kernel does not tell who the children are) run_forks chain
 * a child forks at once, and so does its child, while threads use the allocator
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, LARGE = 64 * MIB, RIGHT = 7, WRONG = 9, MOST_SPAWNED = 300, MOST_SECONDS = 60 };

static void fail(int line, const char *what)
{
    fprintf(stderr, "line %d: %s: %s\n", line, what, strerror(errno));
    exit(1);
}
#define must(what) ((what) ? (void)0 : fail(__LINE__, #what))

static unsigned char *memory;
static size_t bytes;
static _Atomic int stop;

static unsigned char byte_of(size_t at)
{
    return (unsigned char)(at * 31 + at / 4096 * 7 + 3);
}

static void fill(size_t wanted)
{
    bytes = wanted;
    must(memory = malloc(bytes));
    for (size_t i = 0; i < bytes; i++)
        memory[i] = byte_of(i);
}

static int is_right(void)
{
    for (size_t i = 0; i < bytes; i++)
        if (memory[i] != byte_of(i))
            return 0;
    return 1;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fork_and_look(void)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(is_right() ? RIGHT : WRONG);
    must(child > 0 && waitpid(child, &status, 0) == child && status == RIGHT << 8);
}

/* ------------------------------------------------------------------ spawning */

static pid_t spawned[MOST_SPAWNED];
static int spawned_count;

static void *spawn_for_ever(void *unused)
{
    char *words[] = {"sleep", "100", NULL};

    while (!stop && spawned_count < MOST_SPAWNED) {
        pid_t child = vfork();

        if (child == 0) {
            execv("/bin/sleep", words);
            _exit(WRONG);
        }
        must(child > 0);
        spawned[spawned_count++] = child;
    }
    return unused;
}

/* Memory that quire run leaves to Linux: the kernel takes its time to make a child, and programs are started
 * meanwhile. */
static void be_large(void)
{
    char *large = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    must(large != MAP_FAILED);
    memset(large, 1, LARGE);
}

static void check_spawning(void)
{
    pthread_t thread;
    double longest = 0;

    fill(2 * MIB);
    be_large();
    must(pthread_create(&thread, NULL, spawn_for_ever, NULL) == 0);
    for (int i = 0; i < 30; i++) {
        double began = seconds();

        fork_and_look();
        if (seconds() - began > longest)
            longest = seconds() - began;
    }
    stop = 1;
    must(pthread_join(thread, NULL) == 0);
    for (int i = 0; i < spawned_count; i++)
        kill(spawned[i], SIGKILL);
    must(longest < MOST_SECONDS);
}

/* ------------------------------------------------------------------ stuck */

static int open_children(void)
{
    char name[64];

    snprintf(name, sizeof(name), "/proc/self/task/%d/children", (int)getpid());
    return open(name, O_RDONLY);
}

/* Touches nothing that is paged: who writes to that waits while a child takes its copy. */
static void *stop_a_child(void *context)
{
    int fd = *(const int *)context;
    char text[64];
    ssize_t got;

    while ((got = pread(fd, text, sizeof(text) - 1, 0)) <= 0)
        ;
    text[got] = '\0';
    kill(atoi(text), SIGSTOP);
    return NULL;
}

static void check_stuck(void)
{
    pthread_t thread;
    int fd = open_children();
    double began;

    if (fd < 0)
        exit(77);
    fill(24 * MIB);
    must(pthread_create(&thread, NULL, stop_a_child, &fd) == 0);
    began = seconds();
    errno = 0;
    must(fork() == -1 && errno == EAGAIN);
    must(seconds() - began < MOST_SECONDS && pthread_join(thread, NULL) == 0);
    must(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    fork_and_look();
    must(is_right());
}

/* ------------------------------------------------------------------ chain */

static void *allocate_for_ever(void *unused)
{
    while (!stop) {
        char *some = malloc(300000);

        must(some);
        memset(some, 1, 300000);
        free(some);
    }
    return unused;
}

/* Right, if all below are. */
static int chain(int more)
{
    int status;
    pid_t child = fork();

    if (child < 0)
        return WRONG;
    if (child == 0)
        _exit(more > 0 ? chain(more - 1) : is_right() ? RIGHT : WRONG);
    return waitpid(child, &status, 0) == child && status == RIGHT << 8 && is_right() ? RIGHT : WRONG;
}

static void check_chain(void)
{
    pthread_t threads[2];

    fill(MIB);
    for (int i = 0; i < 2; i++)
        must(pthread_create(&threads[i], NULL, allocate_for_ever, NULL) == 0);
    for (int i = 0; i < 5; i++)
        must(chain(3) == RIGHT);
    stop = 1;
    for (int i = 0; i < 2; i++)
        must(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";

    if (strcmp(how, "spawning") == 0)
        check_spawning();
    else if (strcmp(how, "stuck") == 0)
        check_stuck();
    else if (strcmp(how, "chain") == 0)
        check_chain();
    else
        return 2;
    printf("right\n");
    return 0;
}
