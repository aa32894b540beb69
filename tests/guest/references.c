/*
 * References that a recording must have (tests/e2e/events.py): says at which address its pages are, then
 *
 *     references pages    writes 64 pages, and reads them backwards
 *     references fork     the same, and a child reads them, and writes to every second one; then the parent
 * reads references kernel   has the kernel write to them, and read them, through a pipe references sum N
 * writes and reads N pages in an order that depends on nothing, and says what it found
 */
#include "guest.h"

enum { PAGES = 64, PAGE_BYTES = 4096 };

static _Alignas(4096) volatile char memory[PAGES][PAGE_BYTES];

static void write_up(int step)
{
    for (int i = 0; i < PAGES; i += step)
        memory[i][8] = (char)i;
}

static int read_down(void)
{
    int sum = 0;

    for (int i = PAGES; i-- > 0;)
        sum += memory[i][16];
    return sum;
}

static void fork_and_share(void)
{
    write_up(1);
    if (fork() == 0) {
        read_down();
        write_up(2);
        _exit(0);
    }
    wait(NULL);
    read_down();
}

static void copy_in_kernel(void)
{
    int ends[2];

    must(pipe(ends) == 0, "pipe");
    for (int i = 0; i < PAGES; i++) {
        must(write(ends[1], "abcdefgh", 8) == 8, "write");
        must(read(ends[0], (void *)memory[i], 8) == 8, "read");
    }
    for (int i = PAGES; i-- > 0;) {
        char bytes[8];

        must(write(ends[1], (const void *)memory[i], 8) == 8, "write");
        must(read(ends[0], bytes, sizeof(bytes)) == 8, "read");
    }
}

/* A permutation that is no pattern: i * 7919 mod a prime. */
static void sum_pages(int count)
{
    volatile uint32_t *pages = map_anon_rw((size_t)count * PAGE_BYTES);
    uint64_t sum = 0, prime = 1000003;

    for (int i = 0; i < count; i++)
        pages[i * 1024] = (uint32_t)i + 1;
    for (int round = 0; round < 4; round++)
        for (int i = 0; i < count; i++) {
            uint64_t at = (uint64_t)i * 7919 % prime % (uint64_t)count;

            sum = sum * 31 + pages[at * 1024];
        }
    printf("%016llx\n", (unsigned long long)sum);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    printf("%lx\n", (unsigned long)(uintptr_t)memory);
    fflush(stdout);
    if (strcmp(what, "fork") == 0) {
        fork_and_share();
    } else if (strcmp(what, "kernel") == 0) {
        copy_in_kernel();
    } else if (strcmp(what, "sum") == 0 && argc == 3) {
        sum_pages(atoi(argv[2]));
    } else {
        write_up(1);
        read_down();
    }
    return 3;
}
