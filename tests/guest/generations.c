/*
 * Writes generations into a file, some pages at a time, makes them reach the store, and then says what must
 * be in the file. By the way that is named: through a shared mapping and msync, or by pwrite and the call, or
 * the flag of open, that promises it.
 */
#include "guest.h"

enum { PAGES = 64, AT_ONCE = 5 };

static uint64_t random_state = 88172645463325252u;

static unsigned next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 20);
}

/* All of the page says the same, so that half a page is seen. */
static void fill(uint64_t *page, uint64_t generation)
{
    for (size_t i = 0; i < PAGE / sizeof *page; i++)
        page[i] = generation;
}

static uint64_t *area;
static int file;
static bool mapped;

static int by_msync(void)
{
    return msync(area, PAGES * PAGE, MS_SYNC);
}

static int by_fsync(void)
{
    return fsync(file);
}

static int by_fdatasync(void)
{
    return fdatasync(file);
}

static int by_syncfs(void)
{
    return syncfs(file);
}

static int by_sync(void)
{
    sync();
    return 0;
}

static int by_nothing(void)
{
    return 0;
}

static const struct way {
    const char *name;
    int (*keep)(void);
    int flags; /* of open() */
    bool mapped;
} ways[] = {
    {"msync", by_msync, 0, true},
    {"mapped-fsync", by_fsync, 0, true},
    {"fsync", by_fsync, 0, false},
    {"fdatasync", by_fdatasync, 0, false},
    {"sync", by_sync, 0, false},
    {"syncfs", by_syncfs, 0, false},
    {"O_DSYNC", by_nothing, O_DSYNC, false},
};

static const struct way *way_named(const char *name)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (strcmp(ways[i].name, name) == 0)
            return &ways[i];
    return NULL;
}

static void begin(const char *name, const struct way *way)
{
    file = open(name, O_RDWR | O_CREAT | way->flags, 0644);
    must(file >= 0 && ftruncate(file, PAGES * PAGE) == 0, "the file");
    mapped = way->mapped;
    area = map_anon_rw(PAGES * PAGE);
    if (mapped)
        area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    must(area != MAP_FAILED, "mmap");
}

static void change(unsigned page, uint64_t generation)
{
    uint64_t *at = area + page * (PAGE / sizeof *area);

    fill(at, generation);
    if (!mapped)
        must(pwrite(file, at, PAGE, (off_t)(page * PAGE)) == (ssize_t)PAGE, "pwrite");
}

int main(int count, char **words)
{
    const struct way *way = count == 3 ? way_named(words[2]) : NULL;

    must(way != NULL,
         "usage: generations FILE msync | mapped-fsync | fsync | fdatasync | sync | syncfs | O_DSYNC");
    begin(words[1], way);
    for (uint64_t generation = 1;; generation++) {
        unsigned pages[AT_ONCE];
        char line[80];
        int length = snprintf(line, sizeof line, "%llu", (unsigned long long)generation);

        for (unsigned i = 0; i < AT_ONCE; i++) {
            pages[i] = next_random() % PAGES;
            change(pages[i], generation);
            length += snprintf(line + length, sizeof line - (size_t)length, " %u", pages[i]);
        }
        must(way->keep() == 0, way->name);
        line[length++] = '\n';
        must(write(STDOUT_FILENO, line, (size_t)length) == length, "write");
    }
}
