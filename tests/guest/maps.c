/* /proc/self/maps: rights, sizes and offsets of what this program maps; other files of /proc. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

/* Prints the lines that lie in [start, start + bytes), addresses in pages from start. */
static void show_maps(const char *what, const char *start, size_t bytes)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], rights[8], name[256];
    unsigned long low, high, offset, inode;
    unsigned major, minor;
    unsigned long first = (unsigned long)start, last = first + bytes;

    must(maps != NULL, "/proc/self/maps");
    printf("%s\n", what);
    while (fgets(line, sizeof line, maps)) {
        name[0] = '\0';
        int fields = sscanf(line, "%lx-%lx %7s %lx %x:%x %lu %255s", &low, &high, rights, &offset, &major,
                            &minor, &inode, name);
        if (fields < 7) {
            printf("  malformed: %s", line);
            continue;
        }
        if (high <= first || low >= last)
            continue;
        printf("  %ld+%lu %s offset %lu", (long)(low - first) / 4096, (high - low) / 4096, rights,
               offset / 4096);
        printf(" %s\n", name[0] == '/' ? "file" : inode ? "inode" : "-");
    }
    fclose(maps);
}

/* Is there a line with this name, and what are its rights? */
static void show_named(const char *wanted)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], rights[8], name[256];

    while (fgets(line, sizeof line, maps)) {
        name[0] = '\0';
        sscanf(line, "%*x-%*x %7s %*x %*x:%*x %*u %255s", rights, name);
        if (strcmp(name, wanted) == 0)
            printf("%s %s\n", wanted, rights);
    }
    fclose(maps);
}

static void ordered(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    unsigned long low, high, before = 0;
    bool good = true;

    while (fgets(line, sizeof line, maps)) {
        good = good && sscanf(line, "%lx-%lx", &low, &high) == 2 && low >= before && high > low &&
               low % 4096 == 0;
        before = high;
    }
    fclose(maps);
    show_yes("ordered, not overlapping", good);
}

int main(void)
{
    char *ground = map_anon(64 * PAGE, PROT_NONE, MAP_PRIVATE);
    int file = scratch_file(8 * PAGE);
    int fixed = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS;

    part("pieces of a range");
    show_maps("one reservation", ground, 64 * PAGE);
    mmap(ground + 4 * PAGE, 4 * PAGE, RW, fixed, -1, 0);
    show_maps("a writable part", ground, 64 * PAGE);
    mprotect(ground + 5 * PAGE, PAGE, PROT_READ);
    show_maps("split by mprotect", ground, 64 * PAGE);
    mprotect(ground + 5 * PAGE, PAGE, RW);
    show_maps("merged again", ground, 64 * PAGE);
    ground[4 * PAGE] = 1;
    ground[7 * PAGE] = 1;
    show_maps("touching changes nothing", ground, 64 * PAGE);
    munmap(ground + 6 * PAGE, PAGE);
    show_maps("a hole", ground, 64 * PAGE);
    mmap(ground + 16 * PAGE, 4 * PAGE, PROT_READ, MAP_FIXED | MAP_SHARED, file, (off_t)(2 * PAGE));
    show_maps("a shared file", ground + 16 * PAGE, 4 * PAGE);
    mmap(ground + 20 * PAGE, 2 * PAGE, RW, MAP_FIXED | MAP_PRIVATE, file, (off_t)(6 * PAGE));
    show_maps("and a private one", ground + 16 * PAGE, 6 * PAGE);
    ground[20 * PAGE] = 5;
    show_maps("written", ground + 16 * PAGE, 6 * PAGE);
    munmap(ground + 17 * PAGE, PAGE);
    show_maps("a hole in a file: offsets", ground + 16 * PAGE, 4 * PAGE);
    mmap(ground + 32 * PAGE, 2 * PAGE, RW | PROT_EXEC, fixed, -1, 0);
    mmap(ground + 34 * PAGE, 2 * PAGE, PROT_WRITE, fixed, -1, 0);
    mmap(ground + 36 * PAGE, 2 * PAGE, RW, MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    show_maps("other rights", ground + 32 * PAGE, 4 * PAGE);

    part("the whole");
    ordered();
    show_named("[stack]");
    sbrk(4096);
    show_named("[heap]");
    static char data[3 * 4096];
    data[1] = 1;
    const char *page = (const char *)((uintptr_t)(data + 4096) & ~(uintptr_t)4095);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    while (fgets(line, sizeof line, maps)) {
        unsigned long low, high;
        char rights[8];
        sscanf(line, "%lx-%lx %7s", &low, &high, rights);
        if (low <= (unsigned long)page && high > (unsigned long)page)
            printf("data %s\n", rights);
        if (low <= (unsigned long)main && high > (unsigned long)main)
            printf("text %s\n", rights);
    }
    fclose(maps);

    part("other files");
    char target[256] = "";
    ssize_t got = readlink("/proc/self/exe", target, sizeof target - 1);
    show_yes("/proc/self/exe is a path", got > 0 && target[0] == '/');
    show_yes("/proc/self is the process", ({
                 char number[32] = "";
                 must(readlink("/proc/self", number, sizeof number - 1) > 0, "readlink");
                 atoi(number) == getpid();
             }));
    unsigned long total = 0, free_memory = 0;
    FILE *info = fopen("/proc/meminfo", "r");
    while (info && fgets(line, sizeof line, info)) {
        sscanf(line, "MemTotal: %lu kB", &total);
        sscanf(line, "MemFree: %lu kB", &free_memory);
    }
    show_yes("MemTotal and MemFree are there", total > 0 && free_memory > 0 && free_memory < total);
    return 0;
}
