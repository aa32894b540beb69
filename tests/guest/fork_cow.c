/* Copy on write between parents, children and grandchildren. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE, PAGES = 64 };

static unsigned check(const char *area, char want, size_t except)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < PAGES; i++)
        for (size_t at = 0; at < PAGE; at += 512)
            wrong += i != except && area[i * PAGE + at] != want;
    return wrong;
}

static void parent_and_child(void)
{
    char *area = map_anon_rw(PAGES * PAGE);
    int there[2], back[2], status;
    char byte;

    part("parent and child write in turns");
    memset(area, 'a', PAGES * PAGE);
    must(pipe(there) == 0 && pipe(back) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        unsigned wrong = check(area, 'a', PAGES);

        area[3 * PAGE] = 'c';
        must(write(back[1], "x", 1) == 1 && read(there[0], &byte, 1) == 1, "turn");
        wrong += check(area, 'a', 3); /* what the parent wrote meanwhile is not seen */
        area[5 * PAGE] = 'd';
        wrong += area[3 * PAGE] != 'c' || area[4 * PAGE] != 'a';
        must(write(back[1], "x", 1) == 1 && read(there[0], &byte, 1) == 1, "turn");
        _exit(wrong != 0);
    }
    must(read(back[0], &byte, 1) == 1, "turn");
    printf("child's page 3 is not seen: %c\n", area[3 * PAGE]);
    area[4 * PAGE] = 'p';
    must(write(there[1], "x", 1) == 1 && read(back[0], &byte, 1) == 1, "turn");
    printf("child's page 5 is not seen: %c\n", area[5 * PAGE]);
    printf("own page 4: %c\n", area[4 * PAGE]);
    must(write(there[1], "x", 1) == 1, "turn");
    waitpid(child, &status, 0);
    show_status("child", status);
    memset(area, 'b', PAGES * PAGE);
    printf("wrong %u\n", check(area, 'b', PAGES));
}

/* Every generation writes its own page and checks all before it. */
static int generation(char *area, unsigned depth, unsigned deepest)
{
    unsigned wrong = 0;
    int status;

    for (unsigned i = 0; i < PAGES; i++)
        wrong += area[i * PAGE] != (i < depth ? (char)(i + 1) : 0);
    area[depth * PAGE] = (char)(depth + 1);
    if (depth < deepest) {
        pid_t child = fork();
        if (child == 0)
            _exit(generation(area, depth + 1, deepest));
        waitpid(child, &status, 0);
        wrong += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        for (unsigned i = depth + 1; i < PAGES; i++)
            wrong += area[i * PAGE] != 0;
    }
    return wrong != 0;
}

static void many_children(void)
{
    enum { CHILDREN = 20 };
    char *area = map_anon_rw(PAGES * PAGE);
    unsigned wrong = 0;
    int status;

    part("twenty children at once");
    memset(area, 'm', PAGES * PAGE);
    for (int i = 0; i < CHILDREN; i++)
        if (fork() == 0) {
            memset(area + (size_t)i * PAGE, 'A' + i, 2 * PAGE);
            unsigned bad = area[(size_t)i * PAGE] != 'A' + i;
            for (size_t j = 0; j < PAGES; j++)
                bad += j != (size_t)i && j != (size_t)i + 1 && area[j * PAGE + 9] != 'm';
            _exit(bad != 0);
        }
    for (int i = 0; i < CHILDREN; i++) {
        wait(&status);
        wrong += status != 0;
    }
    printf("children with wrong pages %u, parent's wrong pages %u\n", wrong, check(area, 'm', PAGES));
}

static void orphans(void)
{
    char *area = map_anon_rw(PAGES * PAGE);
    int ends[2];
    char answer = '?';

    part("a grandchild outlives its parents");
    memset(area, 'g', PAGES * PAGE);
    must(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        area[0] = 'h';
        if (fork() == 0) {
            /* The child ends at once; the pages are the grandchild's alone now. */
            usleep(20000);
            unsigned wrong = area[0] != 'h' || check(area, 'g', 0) != 0;
            memset(area, 'i', PAGES * PAGE);
            wrong += check(area, 'i', PAGES);
            char byte = wrong ? 'n' : 'y';
            must(write(ends[1], &byte, 1) == 1, "write");
            _exit(0);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
    memset(area, 'j', PAGES * PAGE);
    must(read(ends[0], &answer, 1) == 1, "read");
    printf("grandchild's pages are right: %c\n", answer);
    printf("parent's wrong pages %u\n", check(area, 'j', PAGES));
}

static void changes_after_fork(void)
{
    char *area = map_anon_rw(PAGES * PAGE);
    int status;

    part("mappings change after a fork");
    memset(area, 'k', PAGES * PAGE);
    pid_t child = fork();
    if (child == 0) {
        munmap(area + 2 * PAGE, 2 * PAGE);
        mprotect(area + 8 * PAGE, PAGE, PROT_READ);
        mmap(area + 10 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        char *moved =
            mremap(area + 20 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + 30 * PAGE);
        unsigned wrong = can_read(area + 2 * PAGE) || can_write(area + 8 * PAGE) || area[10 * PAGE] != 0;
        wrong += moved != area + 30 * PAGE || can_read(area + 20 * PAGE) || area[30 * PAGE] != 'k';
        _exit(wrong != 0);
    }
    waitpid(child, &status, 0);
    show_status("child", status);
    printf("parent's wrong pages %u\n", check(area, 'k', PAGES));
    child = fork();
    munmap(area + 2 * PAGE, 2 * PAGE); /* in both */
    if (child == 0) {
        usleep(10000);
        area[0] = 1;
        _exit(can_read(area + 2 * PAGE) || area[PAGE] != 'k');
    }
    mprotect(area, PAGES * PAGE, PROT_READ);
    waitpid(child, &status, 0);
    show_status("child", status);
    mprotect(area, PAGES * PAGE, RW);
    printf("parent's first byte %c\n", area[0]);
}

static void kernel_writes(void)
{
    char *area = map_anon_rw(2 * PAGE);
    int ends[2], status;

    part("the kernel writes into shared pages");
    memset(area, 'w', 2 * PAGE);
    must(pipe(ends) == 0, "pipe");
    must(write(ends[1], "12345678", 8) == 8, "write");
    pid_t child = fork();
    if (child == 0) {
        must(read(ends[0], area + PAGE - 4, 8) == 8, "read");
        _exit(memcmp(area + PAGE - 4, "12345678", 8) != 0);
    }
    waitpid(child, &status, 0);
    show_status("child", status);
    printf("parent reads %c%c\n", area[PAGE - 1], area[PAGE]);
    char *again = map_anon_rw(PAGE);
    again[0] = 'x';
    child = fork();
    if (child == 0)
        _exit(again[0] == 'x' ? 0 : 1);
    struct stat info;
    must(stat("/", &info) == 0, "stat");
    must(fstat(ends[0], (struct stat *)again) == 0, "fstat into a shared page");
    waitpid(child, &status, 0);
    show_status("child still sees its own", status);
}

static void large(void)
{
    size_t bytes = 24 * MIB;
    unsigned char *area = (unsigned char *)map_anon_rw(bytes);
    unsigned wrong = 0;
    int status;

    part("24 MiB, ten forks, one page each");
    for (size_t at = 0; at < bytes; at += PAGE)
        area[at] = (unsigned char)(at / PAGE);
    for (size_t round = 0; round < 10; round++) {
        pid_t child = fork();
        if (child == 0) {
            area[round * 2 * MIB + 3 * PAGE] ^= 0xff;
            for (size_t at = 0; at < bytes; at += PAGE)
                wrong += area[at] != (unsigned char)(at / PAGE);
            _exit(wrong == 1 ? 0 : 1);
        }
        waitpid(child, &status, 0);
        wrong += status != 0;
        for (size_t at = 0; at < bytes; at += 64 * PAGE)
            wrong += area[at] != (unsigned char)(at / PAGE);
    }
    printf("wrong %u\n", wrong);
}

int main(void)
{
    parent_and_child();
    part("a chain of 40 generations");
    char *area = map_anon_rw(PAGES * PAGE);
    show("wrong", generation(area, 0, 40));
    show("first page in the first generation", area[0]);
    many_children();
    orphans();
    changes_after_fork();
    kernel_writes();
    large();
    return 0;
}
