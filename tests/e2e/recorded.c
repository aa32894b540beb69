/*
 * A program to be recorded (tests/e2e/trace.py): touches pages of its own in a known order and says where
 * they are.
 *
 *     recorded pages     writes 64 pages, then reads them backwards
 *     recorded threads   the same in four threads at once, 64 pages each
 *     recorded child     a child process touches the pages; the parent waits
 *     recorded exec      replaces itself by `recorded pages`
 *     recorded closed    closes every descriptor but the first three, opens others, then as pages
 *     recorded killed    as pages, and kills itself
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 64, THREADS = 4, PAGE_BYTES = 4096 };

static _Alignas(PAGE_BYTES) volatile char memory[THREADS][PAGES][PAGE_BYTES];

static void *touch(void *argument)
{
    volatile char(*pages)[PAGE_BYTES] = argument;
    int sum = 0;

    for (int i = 0; i < PAGES; i++)
        pages[i][8] = (char)i;
    for (int i = PAGES; i-- > 0;)
        sum += pages[i][16];
    return (void *)(intptr_t)sum;
}

static void touch_in_threads(void)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, touch, (void *)memory[i]) != 0)
            exit(1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void close_all(void)
{
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    for (int i = 0; i < 20; i++)
        if (dup(1) < 0)
            exit(1);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    printf("%lx\n", (unsigned long)(uintptr_t)memory / PAGE_BYTES);
    fflush(stdout);
    if (strcmp(what, "exec") == 0)
        execl("/proc/self/exe", argv[0], "pages", NULL);
    if (strcmp(what, "child") == 0) {
        if (fork() == 0) {
            touch((void *)memory[0]);
            _exit(0);
        }
        wait(NULL);
        return 3;
    }
    if (strcmp(what, "closed") == 0)
        close_all();
    if (strcmp(what, "threads") == 0)
        touch_in_threads();
    else
        touch((void *)memory[0]);
    if (strcmp(what, "killed") == 0)
        kill(getpid(), SIGKILL);
    return 3;
}
