/*
 * The text of a library that two dynamic programs share: one frame a page for both, taken from both at once
 * when memory gets short, read once for both, and kept when one of them ends.
 *
 *   sharing ONE TWO     two programs that are sharer.c
 *
 * The programs wait for input while this one looks at their pagemaps and takes memory. In Quire only. Prints
 * a line a step; status 0: all was right.
 */
#include "guest.h"

enum { MOST_PAGES = 4096, STEP = 256 * KIB, MOST_MEMORY = 64 * MIB };

#define PRESENT ((uint64_t)1 << 63)
#define SOLE ((uint64_t)1 << 56)
#define FRAME (((uint64_t)1 << 55) - 1)

static void expect(bool right, const char *what)
{
    if (right)
        return;
    printf("wrong: %s\n", what);
    exit(1);
}

struct program {
    int pid;
    FILE *to, *from;
    uint64_t start;
    size_t pages; /* of the library's text */
    uint64_t map[MOST_PAGES];
};

static struct program one, two;

static void begin(struct program *program, const char *path)
{
    int to[2], from[2];
    size_t bytes;

    expect(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0, "pipes");
    program->pid = fork();
    expect(program->pid >= 0, "fork");
    if (program->pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execl(path, path, NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    program->to = fdopen(to[1], "w");
    program->from = fdopen(from[0], "r");
    expect(fscanf(program->from, "%lx %zx", &program->start, &bytes) == 2, "where the text is");
    program->pages = bytes / PAGE;
    expect(program->pages > 100 && program->pages <= MOST_PAGES, "the text's size");
}

static long tell(struct program *program, char what, long *minor)
{
    long major;

    fprintf(program->to, "%c\n", what);
    fflush(program->to);
    expect(fscanf(program->from, "%ld %ld", minor, &major) == 2, "an answer");
    return major;
}

static void look(struct program *program)
{
    char path[64];
    int file;

    snprintf(path, sizeof path, "/proc/%d/pagemap", program->pid);
    file = open(path, O_RDONLY);
    expect(file >= 0 && pread(file, program->map, program->pages * sizeof(uint64_t),
                              (off_t)(program->start / PAGE * sizeof(uint64_t))) ==
                            (ssize_t)(program->pages * sizeof(uint64_t)),
           "pagemap");
    close(file);
}

static size_t count(const struct program *program, uint64_t bit)
{
    size_t pages = 0;

    for (size_t i = 0; i < program->pages; i++)
        pages += (program->map[i] & bit) != 0;
    return pages;
}

/* kB of a line of the text's part of smaps. */
static long smaps(const struct program *program, const char *name)
{
    char path[64], line[512], begins[32];
    bool here = false;
    long value = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps", program->pid);
    snprintf(begins, sizeof begins, "%lx-", program->start);
    file = fopen(path, "r");
    expect(file != NULL, "smaps");
    while (value < 0 && fgets(line, sizeof line, file)) {
        here |= strncmp(line, begins, strlen(begins)) == 0;
        if (here && strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    }
    fclose(file);
    return value;
}

/* ------------------------------------------------------------------ steps */

/* Each page is there for both, in one frame. */
static void expect_shared(void)
{
    long kbytes = (long)(one.pages * PAGE / KIB);

    look(&one);
    look(&two);
    expect(count(&one, PRESENT) == one.pages && count(&two, PRESENT) == two.pages, "a page is missing");
    expect(count(&one, SOLE) + count(&two, SOLE) == 0, "a page is one program's alone");
    for (size_t i = 0; i < one.pages; i++)
        expect((one.map[i] & FRAME) == (two.map[i] & FRAME), "a page in two frames");
    expect(smaps(&one, "Rss:") == kbytes && smaps(&two, "Rss:") == kbytes, "Rss");
    expect(smaps(&one, "Pss:") == kbytes / 2 && smaps(&two, "Pss:") == kbytes / 2, "Pss");
    expect(smaps(&one, "Shared_Clean:") == kbytes && smaps(&one, "Private_Clean:") == 0, "Shared_Clean");
}

static void share(void)
{
    long minor;

    (void)tell(&one, 't', &minor);
    expect(tell(&two, 't', &minor) == 0, "the second program read a page that the first one had");
    expect_shared();
    printf("shared\n");
}

/* Memory is taken in small steps. After each, what has gone has gone from both. */
static void evict(void)
{
    char *memory = map_anon_rw(MOST_MEMORY);
    size_t taken = 0, left = one.pages, steps = 0;

    while (left > 0) {
        expect(taken + STEP <= MOST_MEMORY, "pages of the text stay in memory");
        memset(memory + taken, 1, STEP);
        taken += STEP;
        look(&one);
        look(&two);
        for (size_t i = 0; i < one.pages; i++)
            expect(!((one.map[i] ^ two.map[i]) & PRESENT), "a page has gone from one program only");
        steps += count(&one, PRESENT) < left && count(&one, PRESENT) > 0;
        left = count(&one, PRESENT);
    }
    expect(steps > 0, "pages that go some at a time");
    expect(munmap(memory, MOST_MEMORY) == 0, "munmap");
    printf("evicted from both\n");
}

static void read_back(void)
{
    long minor, ignored;

    (void)tell(&one, 'p', &ignored);
    expect(tell(&one, 't', &minor) > 0, "the first program reads nothing");
    (void)tell(&two, 'p', &ignored);
    expect(tell(&two, 't', &minor) == 0 && minor > 0, "the second program reads what the first one read");
    expect_shared();
    printf("read once\n");
}

static void end(struct program *program)
{
    int status = -1;

    fclose(program->to);
    expect(waitpid(program->pid, &status, 0) == program->pid && status == 0, "how a program ended");
}

static void keep(void)
{
    static uint64_t before[MOST_PAGES];
    long minor;

    memcpy(before, two.map, sizeof before);
    end(&one);
    look(&two);
    expect(count(&two, PRESENT) == two.pages && count(&two, SOLE) == two.pages,
           "the page of one program alone");
    for (size_t i = 0; i < two.pages; i++)
        expect((two.map[i] & FRAME) == (before[i] & FRAME), "a page has moved");
    expect(smaps(&two, "Pss:") == smaps(&two, "Rss:"), "Pss of one program alone");
    expect(tell(&two, 't', &minor) == 0 && minor == 0, "a fault for a page that was kept");
    end(&two);
    printf("kept\n");
}

int main(int count, char **arguments)
{
    if (count != 3)
        return fprintf(stderr, "usage: sharing ONE TWO\n"), 2;
    begin(&one, arguments[1]);
    begin(&two, arguments[2]);
    expect(one.pages == two.pages, "two libraries");
    share();
    evict();
    read_back();
    keep();
    return 0;
}
