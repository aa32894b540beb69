/* madvise: each advice and each error. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

static void show_page_values(const char *what, const char *area, size_t pages)
{
    printf("%s:", what);
    for (size_t i = 0; i < pages; i++)
        printf(" %d", (unsigned char)area[i * PAGE]);
    printf("\n");
}

static char *numbered(size_t pages, int flags)
{
    char *area = map_anon(pages * PAGE, RW, flags);

    for (size_t i = 0; i < pages; i++)
        area[i * PAGE] = (char)(i + 1);
    return area;
}

static void harmless(void)
{
    static const struct {
        const char *name;
        int advice;
    } all[] = {{"NORMAL", MADV_NORMAL},     {"RANDOM", MADV_RANDOM},     {"SEQUENTIAL", MADV_SEQUENTIAL},
               {"WILLNEED", MADV_WILLNEED}, {"HUGEPAGE", MADV_HUGEPAGE}, {"NOHUGEPAGE", MADV_NOHUGEPAGE},
               {"DONTFORK", MADV_DONTFORK}, {"DOFORK", MADV_DOFORK},     {"DONTDUMP", MADV_DONTDUMP},
               {"DODUMP", MADV_DODUMP}};
    char *area = numbered(6, MAP_PRIVATE);
    char label[64];

    part("advice that keeps contents");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        snprintf(label, sizeof label, "MADV_%s", all[i].name);
        show(label, madvise(area + PAGE, 3 * PAGE, all[i].advice));
    }
    show_page_values("values", area, 6);
    int file = scratch_file(6 * PAGE);
    char *mapped = mmap(NULL, 6 * PAGE, RW, MAP_SHARED, file, 0);
    show("WILLNEED on a file", madvise(mapped, 6 * PAGE, MADV_WILLNEED));
    show("RANDOM on a file", madvise(mapped, 6 * PAGE, MADV_RANDOM));
    show("SEQUENTIAL on a file", madvise(mapped, 6 * PAGE, MADV_SEQUENTIAL));
    show_page_values("values", mapped, 6);
}

static void dont_need(void)
{
    char *area = numbered(6, MAP_PRIVATE);
    int file = scratch_file(6 * PAGE);

    part("DONTNEED, anonymous private");
    show("middle", madvise(area + 2 * PAGE, 2 * PAGE, MADV_DONTNEED));
    show_page_values("values", area, 6);
    area[2 * PAGE] = 9;
    show_page_values("written again", area, 6);
    show("length is rounded up", madvise(area, 1, MADV_DONTNEED));
    show_page_values("values", area, 6);
    mprotect(area, 6 * PAGE, PROT_READ);
    show("read-only memory", madvise(area, 6 * PAGE, MADV_DONTNEED));
    show_page_values("values", area, 6);
    mprotect(area, 6 * PAGE, PROT_NONE);
    show("no access", madvise(area, 6 * PAGE, MADV_DONTNEED));

    part("DONTNEED, anonymous shared");
    area = numbered(4, MAP_SHARED);
    show("all", madvise(area, 4 * PAGE, MADV_DONTNEED));
    show_page_values("values stay", area, 4);

    part("DONTNEED, file private");
    area = mmap(NULL, 6 * PAGE, RW, MAP_PRIVATE, file, 0);
    area[0] = 77;
    area[PAGE] = 78;
    show_page_values("changed", area, 6);
    show("first page", madvise(area, PAGE, MADV_DONTNEED));
    show_page_values("the file's page is back", area, 6);

    part("DONTNEED, file shared");
    area = mmap(NULL, 6 * PAGE, RW, MAP_SHARED, file, 0);
    area[0] = 55;
    show("all", madvise(area, 6 * PAGE, MADV_DONTNEED));
    show_page_values("values stay", area, 6);

    part("DONTNEED, after fork");
    area = numbered(3, MAP_PRIVATE);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        madvise(area, 2 * PAGE, MADV_DONTNEED);
        show_page_values("child", area, 3);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    show_page_values("parent", area, 3);
    show("parent too", madvise(area, 3 * PAGE, MADV_DONTNEED));
    show_page_values("parent", area, 3);

    part("DONTNEED, large");
    area = map_anon_rw(8 * MIB);
    memset(area, 3, 8 * MIB);
    show("3 MiB inside", madvise(area + MIB, 3 * MIB, MADV_DONTNEED));
    size_t sum = 0;
    for (size_t i = 0; i < 8 * MIB; i += 512)
        sum += (unsigned char)area[i];
    printf("sum %zu\n", sum);
}

static void fork_advice(void)
{
    char *area = numbered(3, MAP_PRIVATE);

    part("DONTFORK");
    show("middle page", madvise(area + PAGE, PAGE, MADV_DONTFORK));
    pid_t child = fork();
    if (child == 0) {
        int seen = can_read(area) | can_read(area + PAGE) << 1 | can_read(area + 2 * PAGE) << 2;
        _exit(seen);
    }
    int status;
    waitpid(child, &status, 0);
    show_status("child sees pages", status);
    show("DOFORK", madvise(area + PAGE, PAGE, MADV_DOFORK));
    child = fork();
    if (child == 0)
        _exit(area[PAGE]);
    waitpid(child, &status, 0);
    show_status("child reads", status);

    part("WIPEONFORK");
    area = numbered(3, MAP_PRIVATE);
    show("middle page", madvise(area + PAGE, PAGE, MADV_WIPEONFORK));
    child = fork();
    if (child == 0)
        _exit(area[0] * 16 + area[PAGE] * 4 + area[2 * PAGE]);
    waitpid(child, &status, 0);
    show_status("child reads", status);
    show_page_values("parent keeps", area, 3);
    show("KEEPONFORK", madvise(area + PAGE, PAGE, MADV_KEEPONFORK));
    child = fork();
    if (child == 0)
        _exit(area[0] * 16 + area[PAGE] * 4 + area[2 * PAGE]);
    waitpid(child, &status, 0);
    show_status("child reads", status);
    int file = scratch_file(PAGE);
    char *mapped = mmap(NULL, PAGE, RW, MAP_PRIVATE, file, 0);
    show("WIPEONFORK on a file", madvise(mapped, PAGE, MADV_WIPEONFORK));
}

static void others(void)
{
    char *area = numbered(4, MAP_PRIVATE);

    part("others");
    show("POPULATE_WRITE", madvise(area, 4 * PAGE, MADV_POPULATE_WRITE));
    show("POPULATE_READ", madvise(area, 4 * PAGE, MADV_POPULATE_READ));
    mprotect(area, PAGE, PROT_NONE);
    show("POPULATE_READ without rights", madvise(area, 4 * PAGE, MADV_POPULATE_READ));
    mprotect(area, PAGE, PROT_READ);
    show("POPULATE_WRITE on read-only", madvise(area, 4 * PAGE, MADV_POPULATE_WRITE));
    munmap(area + PAGE, PAGE);
    show("POPULATE_READ on a hole", madvise(area, 4 * PAGE, MADV_POPULATE_READ));
    area = numbered(2, MAP_PRIVATE);
    show("FREE", madvise(area, 2 * PAGE, MADV_FREE));
    area[0] = 5;
    printf("written after FREE: %d\n", area[0]);
    int file = scratch_file(PAGE);
    char *mapped = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);
    show("FREE on a file", madvise(mapped, PAGE, MADV_FREE));
    show("COLD", madvise(area, 2 * PAGE, MADV_COLD));
    show("PAGEOUT", madvise(area, 2 * PAGE, MADV_PAGEOUT));
    printf("kept: %d\n", area[0]);
}

/* What is given up is as it was until it must go; PAGEOUT makes it go. */
static void free_lazily(void)
{
    enum { PAGES = 40 };
    char *area = numbered(PAGES, MAP_PRIVATE);
    int status;

    part("FREE");
    show("all", madvise(area, PAGES * PAGE, MADV_FREE));
    show_page_values("not gone yet", area, 6);
    area[PAGE] = 50;
    area[2 * PAGE + 100] = 51;
    show("PAGEOUT", madvise(area, PAGES * PAGE, MADV_PAGEOUT));
    show_page_values("gone, but for what was written", area, 6);
    printf("in page 2: %d\n", area[2 * PAGE + 100]);
    show("PAGEOUT again", madvise(area, PAGES * PAGE, MADV_PAGEOUT));
    show_page_values("kept", area, 6);

    area = numbered(PAGES, MAP_PRIVATE);
    show("a child's copy: FREE", madvise(area, PAGES * PAGE, MADV_FREE));
    area[0] = 60;
    pid_t child = fork();
    if (child == 0) {
        area[PAGE] = 61;
        madvise(area, PAGES * PAGE, MADV_FREE);
        madvise(area, PAGES * PAGE, MADV_PAGEOUT);
        _exit(area[0] == 60 ? 0 : 1);
    }
    waitpid(child, &status, 0);
    show_status("child has what was written before it", status);
    show("PAGEOUT", madvise(area, PAGES * PAGE, MADV_PAGEOUT));
    show_page_values("parent", area, 4);

    area = numbered(4, MAP_PRIVATE);
    show("locked", mlock(area + PAGE, PAGE));
    show("FREE with a locked page", madvise(area, 4 * PAGE, MADV_FREE));
    munlock(area + PAGE, PAGE);
    area = numbered(4, MAP_PRIVATE);
    madvise(area, 4 * PAGE, MADV_FREE);
    mlock(area, 2 * PAGE);
    show("PAGEOUT of locked pages", madvise(area, 4 * PAGE, MADV_PAGEOUT));
    show_page_values("kept", area, 2);
    munlock(area, 2 * PAGE);

    area = numbered(4, MAP_PRIVATE);
    mprotect(area, 4 * PAGE, PROT_READ);
    show("FREE, read-only", madvise(area, 4 * PAGE, MADV_FREE));
    show("PAGEOUT", madvise(area, 4 * PAGE, MADV_PAGEOUT));
    show_page_values("gone", area, 4);
}

static void errors(void)
{
    char *area = numbered(6, MAP_PRIVATE);

    part("errors");
    show("misaligned", madvise(area + 1, PAGE, MADV_NORMAL));
    show("length 0", madvise(area, 0, MADV_NORMAL));
    show("length 0, unknown advice", madvise(area, 0, 9999));
    show("unknown advice", madvise(area, PAGE, 9999));
    show("negative advice", madvise(area, PAGE, -1));
    show("length wraps", madvise(area, (size_t)-1, MADV_NORMAL));
    munmap(area + 3 * PAGE, PAGE);
    show("hole: NORMAL", madvise(area, 6 * PAGE, MADV_NORMAL));
    show("hole: DONTNEED", madvise(area, 6 * PAGE, MADV_DONTNEED));
    show_page_values("  both sides were dropped", area, 3);
    show_page_values("  ", area + 4 * PAGE, 2);
    show("hole alone: DONTNEED", madvise(area + 3 * PAGE, PAGE, MADV_DONTNEED));
    show("hole alone: WILLNEED", madvise(area + 3 * PAGE, PAGE, MADV_WILLNEED));
}

int main(void)
{
    harmless();
    dont_need();
    fork_advice();
    others();
    free_lazily();
    errors();
    return 0;
}
