/* What /proc and getrusage say of memory: smaps, smaps_rollup, pagemap, clear_refs, status, statm,
 * oom_score_adj; limits on data, stack and address space; overcommit; process_vm_readv. */
#include <sys/resource.h>
#include <sys/uio.h>

#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

/* A number behind `name` in a file of /proc, after the line that holds `after` ("" : from the start). */
static long number_in(const char *path, const char *after, const char *name)
{
    FILE *file = fopen(path, "r");
    char line[512];
    bool there = after[0] == '\0';
    long value = -1;

    while (file && value < 0 && fgets(line, sizeof line, file)) {
        if (there && strncmp(line, name, strlen(name)) == 0)
            value = atol(line + strlen(name));
        there |= after[0] != '\0' && strncmp(line, after, strlen(after)) == 0;
    }
    if (file)
        fclose(file);
    return value;
}

static bool write_to(const char *path, const char *text)
{
    int file = open(path, O_WRONLY);
    bool done = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    int error = errno;

    if (file >= 0)
        close(file);
    errno = error;
    return done;
}

/* Its own start, so that other mappings do not join it. */
static char *area_of(size_t pages, int flags)
{
    char *area = map_anon((pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE);

    munmap(area, (pages + 2) * PAGE);
    return mmap(area + PAGE, pages * PAGE, RW, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void smaps_of(const char *what, const char *area)
{
    static const char *const names[] = {
        "Size:",          "Rss:",           "Pss:",       "Shared_Clean:", "Shared_Dirty:",
        "Private_Clean:", "Private_Dirty:", "Anonymous:", "Swap:",         "Locked:"};
    char start[32];

    snprintf(start, sizeof start, "%lx-", (unsigned long)area);
    printf("%s:", what);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        printf(" %s%ld", names[i], number_in("/proc/self/smaps", start, names[i]));
    printf("\n");
}

static void smaps(void)
{
    char *area = area_of(8, MAP_PRIVATE), *shared = area_of(8, MAP_SHARED);
    int file = scratch_file(4 * PAGE), status;
    char *mapped;

    part("smaps");
    smaps_of("untouched", area);
    memset(area, 1, 3 * PAGE);
    smaps_of("3 pages written", area);
    mlock(area, 8 * PAGE);
    smaps_of("locked", area);
    munlock(area, 8 * PAGE);
    memset(shared, 1, 2 * PAGE);
    smaps_of("shared", shared);
    mapped = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
    madvise(mapped, 4 * PAGE, MADV_RANDOM);
    mapped[0] = 1;
    smaps_of("a copy of a file's page", mapped);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        smaps_of("in a child", area);
        area[0] = 2;
        smaps_of("after it wrote", area);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    smaps_of("after the child", area);
    show_yes("rollup", number_in("/proc/self/smaps_rollup", "", "Rss:") >= 9 * 4 &&
                           number_in("/proc/self/smaps_rollup", "", "Anonymous:") >= 9 * 4);
    munmap(area, 8 * PAGE);
    munmap(shared, 8 * PAGE);
    munmap(mapped, 4 * PAGE);
}

static void pagemap_of(const char *what, const void *area, size_t pages)
{
    int file = open("/proc/self/pagemap", O_RDONLY);
    uint64_t entry;

    printf("%s:", what);
    for (size_t i = 0; i < pages; i++) {
        if (pread(file, &entry, 8, (off_t)(((uintptr_t)area / PAGE + i) * 8)) != 8)
            printf(" %s", error_name(errno));
        else
            printf(" %s%s%s%s", entry >> 63 ? "p" : "-", entry >> 62 & 1 ? "s" : "-",
                   entry >> 61 & 1 ? "f" : "-", entry >> 56 & 1 ? "x" : "-");
    }
    printf("\n");
    close(file);
}

static void pagemap(void)
{
    char *area = area_of(4, MAP_PRIVATE), *shared = area_of(2, MAP_SHARED);
    int file = open("/proc/self/pagemap", O_RDONLY), status;
    uint64_t entries[4];

    part("pagemap");
    pagemap_of("untouched", area, 4);
    memset(area + PAGE, 1, 2 * PAGE);
    pagemap_of("written", area, 4);
    shared[0] = 1;
    pagemap_of("shared", shared, 2);
    show("odd offset", pread(file, entries, 8, 4));
    show("odd length", pread(file, entries, 7, 0));
    show("nothing is at page 0", pread(file, entries, 8, 0));
    printf("entry %lx\n", (unsigned long)entries[0]);
    must(pread(file, entries, sizeof entries, (off_t)((uintptr_t)area / PAGE * 8)) == sizeof entries,
         "pread");
    show_yes("frames differ", (entries[1] & 0x7fffffffffffff) != (entries[2] & 0x7fffffffffffff) &&
                                  (entries[1] & 0x7fffffffffffff) != 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        pagemap_of("in a child", area, 4);
        area[PAGE] = 2;
        pagemap_of("after it wrote", area, 4);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    close(file);
    munmap(area, 4 * PAGE);
    munmap(shared, 2 * PAGE);
}

static void references(void)
{
    char *area = area_of(8, MAP_PRIVATE), start[32];

    part("clear_refs");
    memset(area, 1, 8 * PAGE);
    snprintf(start, sizeof start, "%lx-", (unsigned long)area);
    printf("referenced %ld kB\n", number_in("/proc/self/smaps", start, "Referenced:"));
    show("clear", write_to("/proc/self/clear_refs", "1"));
    printf("referenced %ld kB\n", number_in("/proc/self/smaps", start, "Referenced:"));
    show_yes("a wrong number", !write_to("/proc/self/clear_refs", "7") && errno == EINVAL);
    show_yes("no number", !write_to("/proc/self/clear_refs", "x") && errno == EINVAL);
    munmap(area, 8 * PAGE);
}

static void status(void)
{
    long before[4], after[4];
    static const char *const names[] = {"VmSize:", "VmData:", "VmRSS:", "RssAnon:"};
    char *area;

    part("status");
    for (int i = 0; i < 4; i++)
        before[i] = number_in("/proc/self/status", "", names[i]);
    area = area_of(1024, MAP_PRIVATE);
    madvise(area, 1024 * PAGE, MADV_NOHUGEPAGE);
    memset(area, 1, 512 * PAGE);
    for (int i = 0; i < 4; i++) {
        after[i] = number_in("/proc/self/status", "", names[i]);
        printf("%s more by %ld kB\n", names[i], (after[i] - before[i]) / 100 * 100);
    }
    munmap(area, 1024 * PAGE);
    show_yes("VmPeak stays", number_in("/proc/self/status", "", "VmPeak:") >= after[0]);
    show_yes("VmHWM stays", number_in("/proc/self/status", "", "VmHWM:") >= after[2] - 512);
    show_yes("VmSize falls", number_in("/proc/self/status", "", "VmSize:") < after[0]);
    show_yes("VmStk", number_in("/proc/self/status", "", "VmStk:") >= 8);
    show_yes("VmExe", number_in("/proc/self/status", "", "VmExe:") > 0);
    show_yes("VmPTE", number_in("/proc/self/status", "", "VmPTE:") > 0);
}

static void out_of_memory(void)
{
    part("oom_score_adj");
    printf("at first %ld\n", number_in("/proc/self/oom_score_adj", "", ""));
    show_yes("set", write_to("/proc/self/oom_score_adj", "500\n"));
    printf("now %ld\n", number_in("/proc/self/oom_score_adj", "", ""));
    show_yes("score is higher", number_in("/proc/self/oom_score", "", "") > 900);
    show_yes("too high", !write_to("/proc/self/oom_score_adj", "1001") && errno == EINVAL);
    show_yes("no number", !write_to("/proc/self/oom_score_adj", "high") && errno == EINVAL);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(number_in("/proc/self/oom_score_adj", "", "") == 500);
    int result;
    waitpid(child, &result, 0);
    show_status("a child has it too", result);
    show_yes("back", write_to("/proc/self/oom_score_adj", "0"));
}

static void usage(void)
{
    struct rusage self, children;
    int result;

    part("getrusage");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char *area = area_of(4096, MAP_PRIVATE);
        struct rusage one, two;

        madvise(area, 4096 * PAGE, MADV_NOHUGEPAGE);
        getrusage(RUSAGE_SELF, &one);
        memset(area, 1, 4096 * PAGE);
        getrusage(RUSAGE_SELF, &two);
        show_yes("faults", two.ru_minflt - one.ru_minflt >= 4096 && two.ru_minflt - one.ru_minflt < 4200);
        show_yes("peak", two.ru_maxrss >= 16384 && two.ru_maxrss < 24576);
        munmap(area, 4096 * PAGE);
        getrusage(RUSAGE_SELF, &one);
        show_yes("peak stays", one.ru_maxrss >= 16384 && one.ru_maxrss < 24576);
        fflush(stdout);
        _exit(0);
    }
    wait4(child, &result, 0, &self);
    show_yes("of a child that ended", self.ru_maxrss >= 16384 && self.ru_maxrss < 24576);
    getrusage(RUSAGE_CHILDREN, &children);
    show_yes("of all children", children.ru_maxrss >= 16384 && children.ru_maxrss < 24576);
    getrusage(RUSAGE_SELF, &self);
    show_yes("one's own is less", self.ru_maxrss > 100 && self.ru_maxrss < 16384);
}

static long microseconds(struct timeval time)
{
    return time.tv_sec * 1000000 + time.tv_usec;
}

/* What part of the time that `work` took was the kernel's, in percent; it is repeated for long enough to
 * tell. */
static long system_part(void (*work)(void))
{
    struct rusage before, now;
    long user, system;

    getrusage(RUSAGE_SELF, &before);
    do {
        work();
        getrusage(RUSAGE_SELF, &now);
        user = microseconds(now.ru_utime) - microseconds(before.ru_utime);
        system = microseconds(now.ru_stime) - microseconds(before.ru_stime);
    } while (user + system < 100000);
    return system * 100 / (user + system);
}

/* Within bounds in one of a few tries: a busy machine stops at any place. */
static bool part_is(void (*work)(void), long least, long most)
{
    for (int tries = 0; tries < 8; tries++) {
        long part = system_part(work);

        if (part >= least && part <= most)
            return true;
    }
    return false;
}

static void compute(void)
{
    volatile long sum = 0;

    for (long i = 0; i < 300000; i++)
        sum += i;
}

static void call(void)
{
    static char block[64 * 1024];
    int zero = open("/dev/zero", O_RDONLY);

    for (int i = 0; i < 100; i++)
        must(read(zero, block, sizeof block) == sizeof block, "read");
    close(zero);
}

static void touch(void)
{
    char *area = area_of(512, MAP_PRIVATE);

    for (size_t i = 0; i < 512; i++)
        area[i * PAGE] = 1;
    munmap(area, 512 * PAGE);
}

static void times(void)
{
    part("user and system time");
    show_yes("computing is the user's", part_is(compute, 0, 20));
    show_yes("a system call is the kernel's", part_is(call, 60, 100));
    show_yes("faults are the kernel's", part_is(touch, 60, 100));
}

static void set_limit(int which, size_t bytes)
{
    struct rlimit limit;

    getrlimit(which, &limit);
    limit.rlim_cur = bytes;
    must(setrlimit(which, &limit) == 0, "setrlimit");
}

static void data_limit(void)
{
    size_t data = (size_t)number_in("/proc/self/status", "", "VmData:") * KIB;
    char *area = map_anon(64 * PAGE, PROT_READ, MAP_PRIVATE), *heap = sbrk(0);

    part("RLIMIT_DATA");
    set_limit(RLIMIT_DATA, data + 16 * PAGE);
    show_map("17 pages", mmap(NULL, 17 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("read-only memory", mmap(NULL, 17 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("shared memory", mmap(NULL, 17 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    show("make 17 pages writable", mprotect(area, 17 * PAGE, RW));
    show("make 4 pages writable", mprotect(area, 4 * PAGE, RW));
    show("and 13 more", mprotect(area + 4 * PAGE, 13 * PAGE, RW));
    show_map("12 pages", mmap(NULL, 12 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("one more", mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_yes("the heap does not grow", brk(heap + 2 * PAGE) != 0);
}

static void space_limit(void)
{
    size_t mapped = (size_t)number_in("/proc/self/status", "", "VmSize:") * KIB;
    char *area = map_anon(4 * PAGE, RW, MAP_PRIVATE);

    part("RLIMIT_AS");
    set_limit(RLIMIT_AS, mapped + 16 * PAGE);
    show_map("16 pages", mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("12 pages", mmap(NULL, 12 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("one more", mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("grow", mremap(area, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE));
    show_yes("the heap does not grow", sbrk(2 * (long)PAGE) == (void *)-1);
}

static size_t deep(size_t bytes)
{
    volatile char block[4096];

    block[0] = block[4095] = (char)(bytes >> 12);
    return bytes <= sizeof block ? 1 : deep(bytes - sizeof block) + (size_t)(block[0] != block[4095]);
}

static void stack_limit(void)
{
    part("RLIMIT_STACK, set while running");
    set_limit(RLIMIT_STACK, MIB);
    printf("%d\n", deep(256 * KIB) != 12345);
    fflush(stdout);
    deep(2 * MIB);
    printf("went too deep\n");
}

static void overcommit(void)
{
    size_t total = (size_t)number_in("/proc/meminfo", "", "MemTotal:") * KIB;
    long mode = number_in("/proc/sys/vm/overcommit_memory", "", "");

    part("overcommit");
    printf("mode %ld, ratio %ld\n", mode, number_in("/proc/sys/vm/overcommit_ratio", "", ""));
    show_map("a part of memory", mmap(NULL, total / 2, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("ten times all", mmap(NULL, total * 10, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("without reservation",
             mmap(NULL, total * 10, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    show_map("read-only", mmap(NULL, total * 10, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("shared", mmap(NULL, total * 10, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    show_yes("CommitLimit", number_in("/proc/meminfo", "", "CommitLimit:") >= (long)(total / KIB / 2) - 4);
    show_yes("Committed_AS", number_in("/proc/meminfo", "", "Committed_AS:") > 0);
    show_yes("a wrong mode", !write_to("/proc/sys/vm/overcommit_memory", "3") && errno == EINVAL);
}

static void in_a_child(void (*body)(void))
{
    fflush(stdout);
    int status = in_child(body);

    show_status("child", status);
}

int main(void)
{
    smaps();
    pagemap();
    references();
    status();
    out_of_memory();
    usage();
    times();
    in_a_child(data_limit);
    in_a_child(space_limit);
    in_a_child(stack_limit);
    in_a_child(overcommit);
    return 0;
}
