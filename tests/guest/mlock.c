/* mlock and its family: what is locked, what is present, limits with and without CAP_IPC_LOCK. */
#include <sys/resource.h>

#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE, NOBODY = 65534 };

/* A line of /proc/self/status, in kB. */
static long status_kib(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long value = -1;

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            value = atol(line + strlen(name));
    if (file)
        fclose(file);
    return value;
}

static void locked(const char *what)
{
    printf("%s: %ld kB locked\n", what, status_kib("VmLck:"));
}

static void present(const char *what, const void *area, size_t pages)
{
    unsigned char map[64];

    printf("%s:", what);
    if (mincore((void *)(uintptr_t)area, pages * PAGE, map) != 0)
        printf(" %s", error_name(errno));
    else
        for (size_t i = 0; i < pages; i++)
            printf(" %d", map[i] & 1);
    printf("\n");
}

static void limit_to(size_t bytes)
{
    struct rlimit limit;

    getrlimit(RLIMIT_MEMLOCK, &limit);
    limit.rlim_cur = bytes;
    must(setrlimit(RLIMIT_MEMLOCK, &limit) == 0, "setrlimit");
}

/* Its own start, so that other mappings do not join it. */
static char *area_of(size_t pages, int flags)
{
    char *area = map_anon((pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE);

    munmap(area, (pages + 2) * PAGE);
    return mmap(area + PAGE, pages * PAGE, RW, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void ranges(void)
{
    char *area = area_of(8, MAP_PRIVATE);

    part("ranges");
    locked("at first");
    show("lock two pages", mlock(area + PAGE, 2 * PAGE));
    present("present", area, 8);
    locked("now");
    show("again", mlock(area + PAGE, 2 * PAGE));
    locked("counted once");
    show("parts of pages", mlock(area + 4 * PAGE + 100, PAGE));
    present("present", area, 8);
    locked("now");
    show("unlock a part of a page", munlock(area + PAGE + 5, 1));
    locked("now");
    present("stays present", area, 8);
    show("unlock all", munlock(area, 8 * PAGE));
    locked("now");
    show("unlock what is not locked", munlock(area, 8 * PAGE));
    show("on fault", mlock2(area, 8 * PAGE, MLOCK_ONFAULT));
    present("present", area, 8);
    locked("now");
    show("and for good", mlock2(area, 8 * PAGE, 0));
    present("present", area, 8);
    show("unmap a part", munmap(area + 2 * PAGE, 2 * PAGE));
    locked("now");
    show("map over a part", mmap(area, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == area);
    locked("now");
    show("unmap all", munmap(area, 8 * PAGE));
    locked("now");
}

static void errors(void)
{
    char *area = area_of(6, MAP_PRIVATE);

    part("errors");
    show("length 0", mlock(area, 0));
    show("length 0 in the middle of a page", mlock(area + 5, 0));
    locked("now");
    show("length wraps", mlock(area, (size_t)-1));
    show("length nearly wraps", mlock(area, (size_t)-PAGE));
    show("nothing there", mlock(area - PAGE, PAGE));
    show("page 0", mlock(NULL, PAGE));
    show("behind the end", mlock((void *)0x7ffffffff000, PAGE));
    show("unlock: nothing there", munlock(area - PAGE, PAGE));
    show("unlock: length wraps", munlock(area, (size_t)-1));
    show("unknown flag", mlock2(area, PAGE, 2));
    show("negative flag", mlock2(area, PAGE, (unsigned)-1));
    munmap(area + 2 * PAGE, PAGE);
    show("hole", mlock(area, 6 * PAGE));
    locked("what is before it is locked");
    present("but not made present", area, 2);
    show("unlock over the hole", munlock(area, 6 * PAGE));
    locked("now");
    mprotect(area, PAGE, PROT_NONE);
    show("no access", mlock(area, 2 * PAGE));
    locked("is locked");
    present("what is behind is not made present", area + PAGE, 1);
    show("on fault", mlock2(area, 2 * PAGE, MLOCK_ONFAULT));
    munlock(area, 2 * PAGE);
    munmap(area, 6 * PAGE);
    locked("now");
}

static void kinds(void)
{
    int file = scratch_file(3 * PAGE);
    char *area;

    part("kinds of memory");
    area = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    show("file private, read-only", mlock(area, 3 * PAGE));
    printf("reads %d %d\n", area[0], area[2 * PAGE]);
    munmap(area, 3 * PAGE);
    area = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, file, 0);
    show("file private", mlock(area, 3 * PAGE));
    area[0] = 9;
    printf("reads %d %d\n", area[0], area[2 * PAGE]);
    munmap(area, 3 * PAGE);
    area = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0);
    show("file shared", mlock(area, 3 * PAGE));
    printf("reads %d %d\n", area[0], area[2 * PAGE]);
    munmap(area, 3 * PAGE);
    area = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
    show("behind the end of the file", mlock(area, 4 * PAGE));
    munmap(area, 4 * PAGE);
    area = area_of(3, MAP_SHARED);
    show("shared", mlock(area, 3 * PAGE));
    present("present", area, 3);
    munmap(area, 3 * PAGE);
    area = area_of(3, MAP_PRIVATE);
    mprotect(area, 3 * PAGE, PROT_READ);
    show("read-only zeroes", mlock(area, 3 * PAGE));
    present("present", area, 3);
    munmap(area, 3 * PAGE);
    area = area_of(1024, MAP_PRIVATE);
    show("4 MiB", mlock(area, 1024 * PAGE));
    locked("now");
    show("unlock a page of it", munlock(area + 700 * PAGE, PAGE));
    locked("now");
    munmap(area, 1024 * PAGE);
    locked("now");
}

static void advice(void)
{
    char *area = area_of(4, MAP_PRIVATE);

    part("advice on locked memory");
    memset(area, 7, 4 * PAGE);
    mlock(area + 2 * PAGE, PAGE);
    show("DONTNEED", madvise(area, 4 * PAGE, MADV_DONTNEED));
    printf("values %d %d %d %d\n", area[0], area[PAGE], area[2 * PAGE], area[3 * PAGE]);
    memset(area, 7, 4 * PAGE);
    show("FREE", madvise(area + 2 * PAGE, PAGE, MADV_FREE));
    show("COLD", madvise(area, 4 * PAGE, MADV_COLD));
    show("PAGEOUT", madvise(area, 4 * PAGE, MADV_PAGEOUT));
    printf("value %d\n", area[2 * PAGE]);
    show("DONTNEED_LOCKED", madvise(area, 4 * PAGE, 24));
    printf("value %d\n", area[2 * PAGE]);
    locked("still");
    show("protect", mprotect(area + 2 * PAGE, PAGE, PROT_NONE));
    locked("still");
    show("and back", mprotect(area + 2 * PAGE, PAGE, RW));
    locked("still");
    munmap(area, 4 * PAGE);
}

static void all(void)
{
    char *area = area_of(4, MAP_PRIVATE), *later;
    long before;

    part("mlockall");
    show("no flags", mlockall(0));
    show("ONFAULT alone", mlockall(MCL_ONFAULT));
    show("unknown", mlockall(8));
    show("CURRENT", mlockall(MCL_CURRENT));
    present("present", area, 4);
    printf("all is locked: %d\n", status_kib("VmLck:") > 100);
    before = status_kib("VmLck:");
    later = area_of(4, MAP_PRIVATE);
    printf("later mappings are not: %ld\n", status_kib("VmLck:") - before);
    munmap(later, 4 * PAGE);
    show("munlockall", munlockall());
    locked("now");
    show("FUTURE", mlockall(MCL_FUTURE));
    locked("nothing yet");
    later = area_of(4, MAP_PRIVATE);
    present("present", later, 4);
    locked("a mapping");
    munmap(later, 4 * PAGE);
    char *heap = sbrk(0);
    sbrk(3 * (long)PAGE);
    locked("the heap");
    brk(heap);
    locked("and back");
    show("FUTURE | ONFAULT", mlockall(MCL_FUTURE | MCL_ONFAULT));
    later = area_of(4, MAP_PRIVATE);
    present("not present", later, 4);
    locked("a mapping");
    munmap(later, 4 * PAGE);
    show("munlockall", munlockall());
    later = area_of(4, MAP_PRIVATE);
    present("as ever", later, 4);
    locked("nothing");
    show("CURRENT | ONFAULT", mlockall(MCL_CURRENT | MCL_ONFAULT));
    present("not present", later, 4);
    show("munlockall", munlockall());
    munmap(later, 4 * PAGE);
    later = area_of(4, MAP_PRIVATE | MAP_LOCKED);
    present("MAP_LOCKED", later, 4);
    locked("a mapping");
    munmap(later, 4 * PAGE);
    munmap(area, 4 * PAGE);
}

static void moves(void)
{
    char *area = area_of(4, MAP_PRIVATE), *moved;

    part("mremap");
    mlock(area, 4 * PAGE);
    moved = mremap(area, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    show_map("grow", moved);
    locked("now");
    present("present", moved, 8);
    moved = mremap(moved, 8 * PAGE, 2 * PAGE, 0);
    locked("shrunk");
    munmap(moved, 2 * PAGE);
    area = area_of(4, MAP_PRIVATE);
    mlock2(area, 4 * PAGE, MLOCK_ONFAULT);
    moved = mremap(area, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    show_map("grow, locked on fault", moved);
    locked("now");
    present("not present", moved, 8);
    munmap(moved, 8 * PAGE);
}

static void forks(void)
{
    char *area = area_of(4, MAP_PRIVATE);
    int status;

    part("fork");
    mlock(area, 4 * PAGE);
    mlockall(MCL_FUTURE);
    locked("parent");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        locked("child");
        char *later = area_of(2, MAP_PRIVATE);
        present("a mapping", later, 2);
        locked("child");
        show("locks its own", mlock(area, PAGE));
        locked("child");
        area[0] = 5;
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    show_status("child", status);
    printf("parent's value %d\n", area[0]);
    locked("parent");
    munlockall();
    munmap(area, 4 * PAGE);
}

static void limits(void)
{
    char *area = area_of(16, MAP_PRIVATE);

    part("limits, as root");
    limit_to(2 * PAGE);
    show("more than the limit", mlock(area, 4 * PAGE));
    munlock(area, 4 * PAGE);
    limit_to(0);
    show("limit 0", mlock(area, PAGE));
    munlock(area, PAGE);
    limit_to(4 * PAGE);

    part("limits, as nobody");
    must(setresuid(NOBODY, NOBODY, NOBODY) == 0, "setresuid");
    show("four pages", mlock(area, 4 * PAGE));
    locked("now");
    show("the same again", mlock(area, 4 * PAGE));
    show("a fifth", mlock(area + 4 * PAGE, PAGE));
    show("overlapping", mlock(area + PAGE, 4 * PAGE));
    show("unlock two", munlock(area, 2 * PAGE));
    show("two others", mlock2(area + 8 * PAGE, 2 * PAGE, MLOCK_ONFAULT));
    locked("now");
    show_map("MAP_LOCKED", mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
    show("all", mlockall(MCL_CURRENT));
    show("future", mlockall(MCL_FUTURE));
    show_map("a mapping", mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    printf("heap: %d\n", sbrk(2 * (long)PAGE) == (void *)-1);
    show("munlock one", munlock(area + 8 * PAGE, PAGE));
    show_map("a mapping", mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("grows", mremap(area + 2 * PAGE, 2 * PAGE, 6 * PAGE, MREMAP_MAYMOVE));
    show("munlockall", munlockall());
    locked("now");
    limit_to(0);
    show("limit 0", mlock(area, PAGE));
    show("limit 0, length 0", mlock(area, 0));
    show("limit 0, all", mlockall(MCL_FUTURE));
    show_map("limit 0, MAP_LOCKED", mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
    show("limit 0, unlock", munlock(area, PAGE));
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        part("exec");
        locked("after exec");
        return 0;
    }
    ranges();
    errors();
    kinds();
    advice();
    all();
    moves();
    forks();
    fflush(stdout);
    int status;
    pid_t child = fork();
    if (child == 0) {
        limits();
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    show_status("child", status);
    mlockall(MCL_CURRENT | MCL_FUTURE);
    fflush(stdout);
    execl("/proc/self/exe", "mlock", "again", (char *)NULL);
    return 1;
}
