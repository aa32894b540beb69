/* Large anonymous ranges, which may be huge pages, cut in pieces. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

static unsigned check(const char *area, size_t from, size_t to, unsigned char want)
{
    unsigned wrong = 0;

    for (size_t i = from; i < to; i += 1024)
        wrong += (unsigned char)area[i] != want;
    return wrong;
}

int main(void)
{
    size_t bytes = 8 * MIB;
    char *area = map_anon_rw(bytes + 2 * MIB);

    area = (char *)(((uintptr_t)area + 2 * MIB - 1) & ~(2 * MIB - 1));
    madvise(area, bytes, MADV_HUGEPAGE);

    part("first touch is zero everywhere");
    area[MIB] = 1;
    area[MIB] = 0;
    printf("wrong %u\n", check(area, 0, bytes, 0));

    part("unmap inside");
    memset(area, 0x11, bytes);
    show("one page", munmap(area + 2 * MIB + 5 * PAGE, PAGE));
    try_read("gone", area + 2 * MIB + 5 * PAGE, area);
    printf("before %u after %u\n", check(area, 2 * MIB, 2 * MIB + 5 * PAGE, 0x11),
           check(area, 2 * MIB + 6 * PAGE, 4 * MIB, 0x11));
    show("map it again", mmap(area + 2 * MIB + 5 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                              -1, 0) != MAP_FAILED);
    try_read("zero", area + 2 * MIB + 5 * PAGE, area);

    part("protect inside");
    show("one page", mprotect(area + 4 * MIB + 9 * PAGE, PAGE, PROT_READ));
    try_write("it", area + 4 * MIB + 9 * PAGE, area);
    try_write("before", area + 4 * MIB + 9 * PAGE - 1, area);
    try_write("after", area + 4 * MIB + 10 * PAGE, area);
    area[4 * MIB + 9 * PAGE - 1] = 0x11;
    area[4 * MIB + 10 * PAGE] = 0x11;
    show("back", mprotect(area + 4 * MIB + 9 * PAGE, PAGE, RW));
    printf("wrong %u\n", check(area, 4 * MIB, 6 * MIB, 0x11));

    part("DONTNEED inside");
    show("64 pages", madvise(area + 6 * MIB + 64 * PAGE, 64 * PAGE, MADV_DONTNEED));
    printf("before %u, inside %u, after %u\n", check(area, 6 * MIB, 6 * MIB + 64 * PAGE, 0x11),
           check(area, 6 * MIB + 64 * PAGE, 6 * MIB + 128 * PAGE, 0),
           check(area, 6 * MIB + 128 * PAGE, 8 * MIB, 0x11));

    part("fork, both write");
    char *other = map_anon_rw(6 * MIB);
    memset(other, 0x22, 6 * MIB);
    pid_t child = fork();
    if (child == 0) {
        unsigned wrong = check(other, 0, 6 * MIB, 0x22);
        other[3 * MIB] = 0x33;
        wrong += check(other, 0, 3 * MIB, 0x22) + check(other, 3 * MIB + 1024, 6 * MIB, 0x22);
        _exit(wrong != 0 || other[3 * MIB] != 0x33);
    }
    int status;
    waitpid(child, &status, 0);
    show_status("child", status);
    printf("wrong %u\n", check(other, 0, 6 * MIB, 0x22));
    memset(other, 0x44, 6 * MIB);
    printf("wrong %u\n", check(other, 0, 6 * MIB, 0x44));

    part("move a part");
    char *target = map_anon(4 * MIB, PROT_NONE, MAP_PRIVATE);
    char *moved = mremap(other + MIB, 2 * MIB, 2 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE);
    show_yes("moved", moved == target + PAGE);
    printf("wrong %u\n", check(moved, 0, 2 * MIB, 0x44));
    try_read("hole", other + MIB, other);
    printf("around %u\n", check(other, 0, MIB, 0x44) + check(other, 3 * MIB, 6 * MIB, 0x44));

    part("unmap over the edge");
    show("half of one to half of the next", munmap(area + MIB, 2 * MIB));
    try_read("before", area + MIB - 1, area);
    try_read("first gone", area + MIB, area);
    try_read("last gone", area + 3 * MIB - 1, area);
    try_read("after", area + 3 * MIB, area);

    part("reading first");
    char *zeros = map_anon_rw(4 * MIB);
    madvise(zeros, 4 * MIB, MADV_HUGEPAGE);
    printf("wrong %u\n", check(zeros, 0, 4 * MIB, 0));
    zeros[2 * MIB + 3] = 1;
    zeros[2 * MIB + 3] = 0;
    printf("wrong %u\n", check(zeros, 0, 4 * MIB, 0));
    return 0;
}
