/*
 * What files in memory take: blocks come with what is written, touched or asked for by fallocate, and go with
 * what is cut off or punched. Contents stay what they must be.
 */
#include <sys/statfs.h>

#include "guest.h"

enum { PAGES = 8, KEEP_SIZE = 1, PUNCH_HOLE = 2, ZERO_RANGE = 16 };

static int file;

static void count(const char *what)
{
    struct stat info;

    must(fstat(file, &info) == 0, "fstat");
    printf("%s: %ld pages of %ld bytes\n", what, (long)info.st_blocks / 8, (long)info.st_size);
}

static void writing(void)
{
    char block[2 * PAGE];

    part("writing and reading");
    memset(block, 'w', sizeof block);
    count("new");
    show("grow", ftruncate(file, PAGES * PAGE));
    count("grown");
    show("write", pwrite(file, block, sizeof block, PAGE + 10));
    count("written");
    show("write again", pwrite(file, block, 100, PAGE + 10));
    show("read a hole", pread(file, block, PAGE, 5 * PAGE));
    printf("byte %d\n", block[7]);
    count("read");
    show("cut", ftruncate(file, 2 * PAGE));
    count("cut");
}

static void mapping(void)
{
    char *area;

    part("mapping");
    show("grow", ftruncate(file, PAGES * PAGE));
    area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    must(area != MAP_FAILED, "mmap");
    count("mapped");
    area[6 * PAGE] = 'm';
    count("written");
    show("punch", fallocate(file, PUNCH_HOLE | KEEP_SIZE, 6 * PAGE, PAGE));
    count("punched");
    printf("byte %d\n", area[6 * PAGE]);
    area[6 * PAGE] = 'n';
    show("punch a part", fallocate(file, PUNCH_HOLE | KEEP_SIZE, PAGE + 20, 6 * PAGE - 20 - PAGE + 5));
    printf("bytes %d %d %d\n", area[PAGE + 19], area[PAGE + 20], area[6 * PAGE]);
    count("punched");
    show("punch within a page", fallocate(file, PUNCH_HOLE | KEEP_SIZE, PAGE + 12, 4));
    printf("bytes %d %d %d %d\n", area[PAGE + 11], area[PAGE + 12], area[PAGE + 15], area[PAGE + 16]);
    count("punched");
    munmap(area, PAGES * PAGE);
}

static void private_copies(void)
{
    char *area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);

    part("private copies");
    must(area != MAP_FAILED, "mmap");
    area[3 * PAGE] = 'p';
    must(pwrite(file, "x", 1, 4 * PAGE) == 1, "pwrite");
    printf("byte %d\n", area[4 * PAGE]);
    show("punch", fallocate(file, PUNCH_HOLE | KEEP_SIZE, 0, PAGES * PAGE));
    printf("bytes %d %d\n", area[3 * PAGE], area[4 * PAGE]);
    munmap(area, PAGES * PAGE);
}

static void allocating(void)
{
    struct statfs about;

    part("fallocate");
    show("empty", ftruncate(file, 0));
    show("two pages", fallocate(file, 0, 10, PAGE));
    count("allocated");
    show("further on", fallocate(file, 0, 5 * PAGE, PAGE + 1));
    count("allocated");
    show("all of it", fallocate(file, KEEP_SIZE, 0, 6 * PAGE));
    count("allocated");
    show("zeroes", fallocate(file, ZERO_RANGE, 0, PAGE));
    show("punch without keeping the size", fallocate(file, PUNCH_HOLE, 0, PAGE));
    show("punch behind the end", fallocate(file, PUNCH_HOLE | KEEP_SIZE, 20 * PAGE, PAGE));
    show("punch over the end", fallocate(file, PUNCH_HOLE | KEEP_SIZE, 5 * PAGE, 20 * PAGE));
    count("punched");
    show("statfs", fstatfs(file, &about));
    printf("blocks %ld free %ld\n", (long)about.f_blocks, (long)about.f_bfree);
}

int main(void)
{
    file = memfd_create("blocks", 0);
    must(file >= 0, "memfd_create");
    writing();
    mapping();
    private_copies();
    allocating();
    return 0;
}
