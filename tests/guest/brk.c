/* brk: growth, shrinking, contents, limits. The raw call: it returns where the break is. */
#include "guest.h"
#include <sys/resource.h>

static char *raw_brk(const void *wanted)
{
    return (char *)syscall(SYS_brk, wanted);
}

int main(void)
{
    char *start = raw_brk(NULL);

    setvbuf(stdout, NULL, _IONBF, 0); /* no heap of its own */
    start = raw_brk(NULL);
    /* The rest of the page is of no interest: begin at a page. */
    char *base = (char *)(((uintptr_t)start + 4095) & ~(uintptr_t)4095);

    part("growth");
    show_yes("brk(0) tells", start != NULL);
    show_yes("grow by 4 pages", raw_brk(base + 4 * PAGE) == base + 4 * PAGE);
    try_read("first page", base, base);
    try_write("last byte", base + 4 * PAGE - 1, base);
    try_read("behind", base + 4 * PAGE, base);
    show_yes("not a page's end", raw_brk(base + 4 * PAGE + 1) == base + 4 * PAGE + 1);
    try_write("all of that page is there", base + 5 * PAGE - 1, base);
    try_read("not the next", base + 5 * PAGE, base);
    show_yes("brk(0)", raw_brk(NULL) == base + 4 * PAGE + 1);

    part("shrinking");
    base[2 * PAGE] = 'x';
    base[0] = 'y';
    show_yes("to one page", raw_brk(base + PAGE) == base + PAGE);
    try_read("gone", base + 2 * PAGE, base);
    try_read("kept", base, base);
    show_yes("grow again", raw_brk(base + 4 * PAGE) == base + 4 * PAGE);
    try_read("zero again", base + 2 * PAGE, base);

    part("what it refuses");
    show_yes("below the start", raw_brk((void *)4096) == base + 4 * PAGE);
    show_yes("kernel space", raw_brk((void *)0xffff800000000000) == base + 4 * PAGE);
    show_yes("everything", raw_brk((void *)-1) == base + 4 * PAGE);
    char *wall = mmap(base + 16 * PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    must(wall == base + 16 * PAGE, "mmap behind the break");
    show_yes("into a mapping", raw_brk(base + 32 * PAGE) == base + 4 * PAGE);
    show_yes("up to before it", raw_brk(base + 8 * PAGE) == base + 8 * PAGE);
    munmap(wall, PAGE);
    show_yes("when it is gone", raw_brk(base + 32 * PAGE) == base + 32 * PAGE);
    struct rlimit limit = {.rlim_cur = 64 * 4096, .rlim_max = RLIM_INFINITY};
    show("setrlimit RLIMIT_DATA", setrlimit(RLIMIT_DATA, &limit));
    show_yes("beyond the limit", raw_brk(base + 4096 * PAGE) == base + 32 * PAGE);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_DATA, &limit);

    part("a large heap");
    show_yes("grow by 32 MiB", raw_brk(base + 32 * MIB) == base + 32 * MIB);
    for (size_t i = 0; i < 32; i++)
        base[i * MIB + 77] = (char)(i + 1);
    unsigned sum = 0;
    for (size_t i = 0; i < 32; i++)
        sum += (unsigned char)base[i * MIB + 77];
    printf("sum %u\n", sum);
    show_yes("shrink to 1 MiB", raw_brk(base + MIB) == base + MIB);
    try_read("gone", base + 2 * MIB + 77, base);
    try_read("kept", base + 77, base);

    part("fork");
    base[1] = 'p';
    pid_t child = fork();
    if (child == 0) {
        bool same = raw_brk(NULL) == base + MIB && base[1] == 'p';
        base[1] = 'c';
        raw_brk(base + 2 * MIB);
        base[2 * MIB - 1] = 1;
        _exit(same ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    show_status("child", status);
    show_yes("parent's break is unchanged", raw_brk(NULL) == base + MIB);
    printf("parent has %c\n", base[1]);
    return 0;
}
