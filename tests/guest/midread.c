/*
 * Processes that end while a page of theirs is read from swap, made to happen: the disk takes its time for a
 * read (tests/e2e/swap.py), the parent waits until the child stands in its fault, ends it, and sees that the
 * read is not over yet.
 *
 *   midread ends     each way to end, several times; afterwards as many frames, slots and cells are free as
 *                    before, the children's group is charged for nothing, and who still wants the page has
 *                    the right bytes
 *   midread starve   what is out of memory in another group does not wait for such a process
 *
 * In Quire only, with swap on a slow disk. Prints a line a case; status 0: all was right.
 */
#include "guest.h"

#include <pthread.h>
#include <time.h>

#define GROUP "/sys/fs/cgroup/ending/"
#define OTHER "/sys/fs/cgroup/other/"

enum { PAGES = 4, ROUNDS = 2, TRIES = 20, PATIENCE_MS = 20000 };

/* What parent and children share; in memory all the time. */
static struct scene {
    volatile bool ready, go; /* the child's pages are in swap; it may touch one */
    volatile int waiting;    /* the task that will wait for it */
    volatile bool end;       /* the child is to end itself */
    volatile bool touched;   /* the page has come */
} * scene;

static char *area, *burnt, *shared_area; /* of the parent, and of its children by fork */
static const char *doing = "";

static void expect(bool right, const char *what)
{
    if (right)
        return;
    printf("%s: wrong: %s\n", doing, what);
    exit(1);
}

/* ------------------------------------------------------------------ what the system says */

static size_t read_text(const char *path, char *to, size_t size)
{
    int file = open(path, O_RDONLY);
    ssize_t length = file < 0 ? -1 : read(file, to, size - 1);

    if (file >= 0)
        close(file);
    to[length < 0 ? 0 : length] = 0;
    return length < 0 ? 0 : (size_t)length;
}

/* The number behind `name` in a file of names and numbers. */
static long figure(const char *path, const char *name)
{
    char text[8192];
    const char *line;

    expect(read_text(path, text, sizeof text) > 0, path);
    line = strstr(text, name);
    expect(line != NULL, name);
    return strtol(line + strlen(name), NULL, 10);
}

static long page_ins(void)
{
    return figure("/proc/vmstat", "pswpin ");
}

/* 'D' and so on; 0: there is no such task. */
static char state_of(int process, int task)
{
    char path[64], text[512];
    const char *end;

    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", process, task);
    if (read_text(path, text, sizeof text) == 0)
        return 0;
    end = strrchr(text, ')');
    return end != NULL ? end[2] : 0;
}

static bool in_memory(char *at)
{
    unsigned char in = 0;

    expect(mincore(at, PAGE, &in) == 0, "mincore");
    return (in & 1) != 0;
}

static void send_out(char *pages, size_t count)
{
    expect(madvise(pages, count * PAGE, MADV_PAGEOUT) == 0, "MADV_PAGEOUT");
    for (size_t i = 0; i < count; i++)
        expect(!in_memory(pages + i * PAGE), "a page that is to be in swap is in memory");
}

static void wait_a_little(unsigned *waited_ms)
{
    usleep(1000);
    expect(++*waited_ms < PATIENCE_MS, "waited too long");
}

/* ------------------------------------------------------------------ children */

static char pattern(size_t at)
{
    return (char)((at * 2654435761u) >> 13 | 1);
}

static void fill(char *pages)
{
    for (size_t i = 0; i < PAGES * PAGE; i++)
        pages[i] = pattern(i);
}

/* Private memory of the child's own, in swap. */
static char *own_area(void)
{
    char *pages = map_anon_rw(PAGES * PAGE);

    fill(pages);
    send_out(pages, PAGES);
    return pages;
}

static void write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY);

    expect(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text), path);
    close(file);
}

/* Says that all is ready, and touches the page when it may. */
static char touch(const char *page)
{
    char byte;

    scene->waiting = (int)syscall(SYS_gettid);
    scene->ready = true;
    while (!scene->go)
        usleep(1000);
    byte = *(const volatile char *)page;
    scene->touched = true;
    return byte;
}

static void *touch_in_thread(void *page)
{
    (void)touch(page);
    return NULL;
}

static void wait_for_end(void)
{
    while (!scene->end)
        usleep(1000);
}

static pthread_t in_a_thread(char *page)
{
    pthread_t thread;

    expect(pthread_create(&thread, NULL, touch_in_thread, page) == 0, "pthread_create");
    wait_for_end();
    return thread;
}

static void touch_own(void)
{
    (void)touch(own_area());
}

static void touch_fork(void)
{
    _exit(touch(area) == pattern(0) ? 0 : 1);
}

static void touch_shared(void)
{
    (void)touch(shared_area);
}

static void exit_beside_thread(void)
{
    (void)in_a_thread(own_area());
    _exit(7);
}

static void exec_beside_thread(void)
{
    (void)in_a_thread(own_area());
    execl("/proc/self/exe", "midread", "nothing", NULL);
    _exit(1);
}

static void unmap_beside_thread(void)
{
    char *pages = own_area();
    pthread_t thread = in_a_thread(pages);

    expect(munmap(pages, PAGES * PAGE) == 0, "munmap");
    (void)pthread_join(thread, NULL);
}

/* ------------------------------------------------------------------ cases */

struct ending {
    const char *name;
    void (*child)(void);
    bool kill; /* else it ends by itself when it is told to */
    int status;
    bool brother; /* another one waits for the same page, and lives */
    bool shared;  /* the page is an object's */
};

static const struct ending endings[] = {
    {"killed", touch_own, true, SIGKILL, false, false},
    {"killed, its brother waits for the page", touch_fork, true, SIGKILL, true, false},
    {"killed, the page is shared memory", touch_shared, true, SIGKILL, false, true},
    {"another thread exits", exit_beside_thread, false, 7 << 8, false, false},
    {"another thread executes a program", exec_beside_thread, false, 0, false, false},
    {"another thread unmaps the page", unmap_beside_thread, false, SIGSEGV, false, false},
};

static int begin(void (*body)(void))
{
    int child;

    *scene = (struct scene){.ready = false};
    child = fork();
    expect(child >= 0, "fork");
    if (child == 0) {
        write_text(GROUP "cgroup.procs", "0");
        body();
        _exit(99);
    }
    for (unsigned ms = 0; !scene->ready;)
        wait_a_little(&ms);
    return child;
}

static void wait_for_wait(int child, int task)
{
    for (unsigned ms = 0; state_of(child, task) != 'D' && !scene->touched;)
        wait_a_little(&ms);
}

/* The disk gives so many reads in a second: after one of the parent's the next must wait. */
static void make_the_disk_busy(void)
{
    expect(!in_memory(burnt), "the page that keeps the disk busy is in memory");
    expect(*(volatile char *)burnt == pattern(0), "the page that keeps the disk busy");
}

static void end(const struct ending *ending, int child)
{
    if (ending->kill)
        expect(kill(child, SIGKILL) == 0, "kill");
    else
        scene->end = true;
}

static int status_of(int child)
{
    int status = -1;

    expect(waitpid(child, &status, 0) == child, "waitpid");
    return status;
}

/* False: the page had come before the end did, which a busy host may bring about. */
static bool run_once(const struct ending *ending)
{
    bool happened;
    int child, task, brother = 0;
    long before;

    if (ending->brother)
        send_out(area, PAGES);
    if (ending->shared)
        send_out(shared_area, PAGES);
    send_out(burnt, 1);
    if (ending->brother)
        brother = begin(ending->child);
    child = begin(ending->child);
    task = scene->waiting;
    make_the_disk_busy();
    before = page_ins();
    scene->go = true;
    wait_for_wait(child, task);
    if (ending->brother)
        wait_for_wait(brother, brother);
    end(ending, child);
    if (!ending->kill)
        usleep(20000); /* the other thread has its turn */
    happened = page_ins() == before;
    expect(status_of(child) == ending->status || !happened, "how it ended");
    if (ending->brother)
        expect(status_of(brother) == 0, "what the brother read");
    for (size_t i = 0; i < PAGES * PAGE; i++) {
        expect(area[i] == pattern(i), "the parent's page");
        expect(shared_area[i] == pattern(i), "the shared page");
    }
    return happened;
}

/* So often must it happen. */
static void run(const struct ending *ending, unsigned rounds)
{
    unsigned tries = 0;

    while (rounds > 0) {
        expect(tries++ < TRIES, "the disk is too fast");
        rounds -= run_once(ending);
    }
}

/* ------------------------------------------------------------------ what is left */

struct counts {
    long free, slots, cached, cells, tables;
    long charged, charged_slots; /* to the group */
};

static struct counts count_now(void)
{
    return (struct counts){
        .free = figure("/proc/meminfo", "MemFree:"),
        .slots = figure("/proc/meminfo", "SwapFree:"),
        .cached = figure("/proc/meminfo", "SwapCached:"),
        .cells = figure("/proc/meminfo", "Slab:"),
        .tables = figure("/proc/meminfo", "PageTables:"),
        .charged = figure(GROUP "memory.current", ""),
        .charged_slots = figure(GROUP "memory.swap.current", ""),
    };
}

/* Private pages of the parent's as new; those of the shared area are in memory. */
static void begin_anew(void)
{
    expect(madvise(area, PAGES * PAGE, MADV_DONTNEED) == 0, "MADV_DONTNEED");
    expect(madvise(burnt, PAGES * PAGE, MADV_DONTNEED) == 0, "MADV_DONTNEED");
    fill(area);
    fill(burnt);
    fill(shared_area);
}

/* What a child reads that is its parent's, too, it is charged for. */
static void expect_same(const struct ending *ending, const struct counts *now, const struct counts *before)
{
    long most = ending->brother || ending->shared ? (long)(2 * PAGES * PAGE) : 0;
    char what[200];

    snprintf(what, sizeof what,
             "kB left behind: frames %ld, slots %ld, swap cache %ld, cells %ld, tables %ld",
             before->free - now->free, before->slots - now->slots, now->cached - before->cached,
             now->cells - before->cells, now->tables - before->tables);
    expect(memcmp(now, before, offsetof(struct counts, charged)) == 0, what);
    expect(labs(now->charged - before->charged) <= most, "frames that the group is charged for");
    expect(labs(now->charged_slots - before->charged_slots) <= most, "slots that the group is charged for");
}

static void check(const struct ending *ending)
{
    struct counts before, now;

    doing = ending->name;
    run(ending, 1); /* what is made only once is made */
    begin_anew();
    before = count_now();
    run(ending, ROUNDS);
    begin_anew();
    now = count_now();
    expect_same(ending, &now, &before);
    printf("%s: right\n", ending->name);
    fflush(stdout);
}

/* ------------------------------------------------------------------ out of memory meanwhile */

enum { LARGE = 512 };

static void touch_large(void)
{
    char *pages = map_anon_rw(LARGE * PAGE);

    for (size_t i = 0; i < LARGE; i++)
        pages[i * PAGE] = pattern(i);
    send_out(pages, LARGE);
    (void)touch(pages);
}

/* A child that wants more memory than its group may have, none of which can go. */
static int starving(const char *procs)
{
    int child = fork();
    char *pages;

    expect(child >= 0, "fork");
    if (child > 0)
        return child;
    write_text(procs, "0");
    pages = map_anon_rw(LARGE * PAGE);
    expect(mlock2(pages, LARGE * PAGE, MLOCK_ONFAULT) == 0, "mlock2");
    for (size_t i = 0; i < LARGE; i++)
        pages[i * PAGE] = 1;
    _exit(1);
}

/* In the first group the largest process is ended while it waits for a page, so its memory does not come back
 * at once. False: the read was over too early. */
static bool starve_once(void)
{
    long before, kills;
    int dying, first, second;
    bool waits;

    send_out(burnt, 1);
    dying = begin(touch_large);
    make_the_disk_busy();
    before = page_ins();
    kills = figure(GROUP "memory.events", "oom_kill ");
    scene->go = true;
    wait_for_wait(dying, dying);
    first = starving(GROUP "cgroup.procs");
    for (unsigned ms = 0; figure(GROUP "memory.events", "oom_kill ") == kills;)
        wait_a_little(&ms);
    second = starving(OTHER "cgroup.procs");
    expect(status_of(second) == SIGKILL, "how the other group's ended");
    waits = page_ins() == before;
    expect(status_of(dying) == SIGKILL, "how the largest ended");
    expect(status_of(first) == SIGKILL || !waits, "how the group's other process ended");
    return waits;
}

/* Who is out of memory in a group waits for nobody of another group. */
static void starve(void)
{
    unsigned tries = 0;

    doing = "starve";
    expect(mkdir(OTHER, 0755) == 0, "mkdir of a group");
    write_text(GROUP "memory.max", "1M");
    write_text(OTHER "memory.max", "1M");
    while (!starve_once())
        expect(tries++ < TRIES, "it waited for a process of another group");
    printf("starve: right\n");
}

static void check_all(void)
{
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        check(&endings[i]);
    expect(rmdir(GROUP) == 0, "rmdir of the group");
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";

    if (strcmp(what, "nothing") == 0)
        return 0;
    if (strcmp(what, "ends") != 0 && strcmp(what, "starve") != 0)
        return fprintf(stderr, "usage: midread ends | starve\n"), 2;
    scene = map_anon(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
    area = map_anon_rw(PAGES * PAGE);
    burnt = map_anon_rw(PAGES * PAGE);
    shared_area = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
    begin_anew();
    expect(mkdir(GROUP, 0755) == 0, "mkdir of a group");
    if (strcmp(what, "ends") == 0)
        check_all();
    else
        starve();
    return 0;
}
