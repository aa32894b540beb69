/* msync: what is written, and every error. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

int main(void)
{
    int file = scratch_file(4 * PAGE);
    char *area = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
    char *anonymous = map_anon_rw(2 * PAGE);

    part("works");
    area[3] = 'q';
    show("MS_SYNC", msync(area, 4 * PAGE, MS_SYNC));
    show("MS_ASYNC", msync(area, 4 * PAGE, MS_ASYNC));
    show("MS_INVALIDATE", msync(area, 4 * PAGE, MS_INVALIDATE));
    show("MS_SYNC|MS_INVALIDATE", msync(area, 4 * PAGE, MS_SYNC | MS_INVALIDATE));
    show("no flag", msync(area, 4 * PAGE, 0));
    show("length 0", msync(area, 0, MS_SYNC));
    show("length is rounded up", msync(area, 1, MS_SYNC));
    show("anonymous", msync(anonymous, 2 * PAGE, MS_SYNC));
    char byte = 0;
    show("pread", pread(file, &byte, 1, 3));
    printf("  %c\n", byte);
    char *private = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
    private[3] = 'p';
    show("private mapping", msync(private, 4 * PAGE, MS_SYNC));
    show("pread", pread(file, &byte, 1, 3));
    printf("  still %c\n", byte);
    area[5] = 'd';
    show("fsync", fsync(file));
    show("fdatasync", fdatasync(file));
    show("mprotect to none", mprotect(area, PAGE, PROT_NONE));
    show("MS_SYNC without rights", msync(area, PAGE, MS_SYNC));

    part("errors");
    show("misaligned", msync(area + 1, PAGE, MS_SYNC));
    show("both SYNC and ASYNC", msync(area, PAGE, MS_SYNC | MS_ASYNC));
    show("unknown flag", msync(area, PAGE, 64));
    show("length wraps", msync(area, (size_t)-1 & ~(size_t)4095, MS_SYNC));
    munmap(area + PAGE, PAGE);
    show("hole", msync(area, 4 * PAGE, MS_SYNC));
    show("hole, asynchronous", msync(area, 4 * PAGE, MS_ASYNC));
    show("hole alone", msync(area + PAGE, PAGE, MS_SYNC));
    show("page 0", msync(NULL, PAGE, MS_SYNC));
    show("kernel space", msync((void *)0xffff888000000000, PAGE, MS_SYNC));
    show("fsync of a pipe", ({
             int ends[2];
             must(pipe(ends) == 0, "pipe");
             fsync(ends[0]);
         }));
    show("fsync of a bad descriptor", fsync(555));
    return 0;
}
