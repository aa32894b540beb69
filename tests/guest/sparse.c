/* Huge reservations, touched here and there. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

static void touch_sparsely(char *area, size_t bytes, size_t step)
{
    unsigned wrong = 0, count = 0;

    for (size_t i = 0; i < bytes; i += step) {
        area[i + 4095] = (char)(i / step + 1);
        count++;
    }
    for (size_t i = 0; i < bytes; i += step) {
        wrong += area[i + 4095] != (char)(i / step + 1);
        wrong += area[i] != 0;
    }
    printf("touched %u, wrong %u\n", count, wrong);
}

int main(void)
{
    size_t tib = (size_t)1 << 40;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *area;

    part("1 TiB");
    area = mmap(NULL, tib, RW, flags, -1, 0);
    show_map("map", area);
    madvise(area, tib, MADV_NOHUGEPAGE);
    touch_sparsely(area, tib, 16 * GIB + PAGE);
    show("unmap the second half", munmap(area + tib / 2, tib / 2));
    try_read("first half", area + 16 * GIB + PAGE + 4095, area);
    try_read("second half", area + tib / 2, area);
    show("protect 256 GiB", mprotect(area, tib / 4, PROT_READ));
    try_write("read-only now", area + 4095, area);
    try_read("and kept", area + 4095, area);
    show("DONTNEED of it all", madvise(area, tib / 2, MADV_DONTNEED));
    try_read("zero", area + 4095, area);
    show("unmap", munmap(area, tib / 2));

    part("reserve 16 TiB, open parts");
    area = mmap(NULL, 16 * tib, PROT_NONE, flags, -1, 0);
    show_map("map", area);
    try_read("reserved", area + tib, area);
    show("open 1 MiB", mprotect(area + 5 * tib, MIB, RW));
    try_write("inside", area + 5 * tib + MIB - 1, area);
    try_write("behind", area + 5 * tib + MIB, area);
    show("fixed mapping inside",
         mmap(area + 7 * tib, MIB, RW, flags | MAP_FIXED, -1, 0) == area + 7 * tib ? 0 : -1);
    try_write("write", area + 7 * tib + 5, area);
    pid_t child = fork();
    if (child == 0)
        _exit(area[5 * tib + MIB - 1] == (char)0xc3 && !can_read(area + tib) ? 0 : 1);
    int status;
    waitpid(child, &status, 0);
    show_status("child sees the same", status);
    show("unmap", munmap(area, 16 * tib));
    try_read("gone", area + 5 * tib, area);

    part("many reservations");
    size_t got = 0;
    for (size_t i = 0; i < 50; i++) {
        area = mmap(NULL, tib, PROT_NONE, flags, -1, 0);
        got += area != MAP_FAILED;
    }
    printf("50 of 1 TiB: %zu\n", got);

    part("a sparse file, shared");
    int file = scratch_file(0);
    show("ftruncate to 2 GiB", ftruncate(file, (off_t)(2 * GIB)));
    area = mmap(NULL, 2 * GIB, RW, MAP_SHARED, file, 0);
    show_map("map", area);
    area[GIB + 5] = 'm';
    char three[3];
    show("pread", pread(file, three, 3, (off_t)(GIB + 4)));
    printf("%d %c %d\n", three[0], three[1], three[2]);
    try_read("a hole reads as zero", area + 3 * GIB / 2, area);
    return 0;
}
