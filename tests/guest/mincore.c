/* mincore: residency of anonymous and file pages, and every error. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

static void show_residency(const char *what, char *area, size_t pages)
{
    unsigned char resident[64];
    int got = mincore(area, pages * PAGE, resident);

    if (got != 0) {
        show(what, got);
        return;
    }
    printf("%s: ", what);
    for (size_t i = 0; i < pages; i++)
        printf("%d", resident[i] & 1);
    printf("\n");
}

int main(void)
{
    char *area = map_anon_rw(16 * PAGE);
    unsigned char resident[16];

    part("anonymous");
    madvise(area, 16 * PAGE, MADV_NOHUGEPAGE);
    show_residency("untouched", area, 16);
    area[2 * PAGE] = 1;
    area[9 * PAGE] = 1;
    show_residency("two written", area, 16);
    (void)*(volatile char *)(area + 4 * PAGE);
    show_residency("one read", area, 16);
    madvise(area + 2 * PAGE, PAGE, MADV_DONTNEED);
    show_residency("one dropped", area, 16);
    madvise(area + 4 * PAGE, PAGE, MADV_DONTNEED);
    mprotect(area, 16 * PAGE, PROT_NONE);
    show_residency("without rights", area, 16);

    part("shared anonymous");
    area = map_anon(8 * PAGE, RW, MAP_SHARED);
    area[PAGE] = 1;
    show_residency("one written", area, 8);

    part("file");
    int file = scratch_file(6 * PAGE);
    area = mmap(NULL, 6 * PAGE, RW, MAP_SHARED, file, 0);
    show_residency("in the cache, not yet mapped", area, 6);
    (void)*(volatile char *)area;
    show_residency("one read", area, 6);

    part("errors");
    area = map_anon_rw(4 * PAGE);
    show("misaligned", mincore(area + 1, PAGE, resident));
    show("length 0", mincore(area, 0, resident));
    show("length is rounded up", mincore(area, PAGE + 1, resident));
    munmap(area + 2 * PAGE, PAGE);
    show("hole", mincore(area, 4 * PAGE, resident));
    show("hole alone", mincore(area + 2 * PAGE, PAGE, resident));
    show("bad vector", mincore(area, PAGE, (void *)8));
    show("vector in kernel space", mincore(area, PAGE, (void *)0xffff888000000000));
    show("page 0", mincore(NULL, PAGE, resident));
    show("kernel space", mincore((void *)0xffff888000000000, PAGE, resident));
    show("length wraps", mincore(area, (size_t)-1, resident));
    return 0;
}
