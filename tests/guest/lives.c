/*
 * After so many process lives there is as much free memory as before.
 *
 * Only where nobody else uses memory meanwhile: in Quire. Each life forks, maps, writes, opens a file and a
 * pipe, and ends in one of several ways; every tenth executes a program.
 */
#include "guest.h"

static long free_kib(void)
{
    static char text[4096];
    int file = open("/proc/meminfo", O_RDONLY);
    ssize_t got = read(file, text, sizeof text - 1);
    char *at;

    close(file);
    must(got > 0, "/proc/meminfo");
    text[got] = '\0';
    at = strstr(text, "MemFree:");
    must(at != NULL, "MemFree");
    return strtol(at + 8, NULL, 10);
}

static void live(int i)
{
    int ends[2];
    char *area = map_anon_rw(64 * PAGE);
    char *shared = map_anon(16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

    memset(area, i, 64 * PAGE);
    memset(shared, i, 16 * PAGE);
    must(pipe(ends) == 0, "pipe");
    must(write(ends[1], area, 100) == 100, "write");
    int file = open("/tmp/lives", O_RDWR | O_CREAT | O_TRUNC, 0600);
    must(write(file, area, 3 * PAGE) == (ssize_t)(3 * PAGE), "write");
    char *mapped = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    mapped[PAGE] = 1;
    unlink("/tmp/lives");
    munmap(area + 8 * PAGE, 8 * PAGE);
    mprotect(area + 32 * PAGE, PAGE, PROT_READ);
    switch (i % 10) {
    case 0:
        execl("/proc/self/exe", "lives", "--end", (char *)NULL);
        _exit(1);
    case 1:
        kill(getpid(), SIGKILL);
        break;
    case 2:
        *(volatile char *)8 = 1;
        break;
    case 3:
        if (fork() == 0)
            area[0] = 1;
        break;
    default:
        break;
    }
    _exit(0);
}

static void run_lives(int count)
{
    for (int i = 0; i < count; i++) {
        if (fork() == 0)
            live(i);
        while (wait(NULL) > 0)
            ;
    }
}

int main(int count, char **arguments)
{
    int lives = count > 1 ? atoi(arguments[1]) : 1000;
    long before, after;

    if (count > 1 && strcmp(arguments[1], "--end") == 0)
        return 0;
    signal(SIGCHLD, SIG_DFL);
    run_lives(40); /* caches fill */
    before = free_kib();
    run_lives(lives);
    after = free_kib();
    printf("%d lives, %ld KiB less free\n", lives, before - after);
    return before != after;
}
