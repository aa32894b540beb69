/* mremap: in place, moved, shrunk, fixed, files, errors. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

static char *numbered(size_t pages)
{
    char *area = map_anon_rw(pages * PAGE);

    for (size_t i = 0; i < pages; i++)
        area[i * PAGE] = (char)(i + 1);
    return area;
}

static void show_page_values(const char *what, const char *area, size_t pages)
{
    printf("%s:", what);
    for (size_t i = 0; i < pages; i++) {
        if (can_read(area + i * PAGE))
            printf(" %d", (unsigned char)area[i * PAGE]);
        else
            printf(" -");
    }
    printf("\n");
}

int main(void)
{
    /* A playground in which nothing else is put. */
    char *ground = map_anon(256 * PAGE, PROT_NONE, MAP_PRIVATE);
    char *area;
    char *moved;

    part("in place");
    munmap(ground, 32 * PAGE);
    area = mmap(ground, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for (size_t i = 0; i < 4; i++)
        area[i * PAGE] = (char)(i + 1);
    moved = mremap(area, 4 * PAGE, 8 * PAGE, 0);
    show_yes("grow where there is room", moved == area);
    show_page_values("  values", area, 10);
    moved = mremap(area, 8 * PAGE, 3 * PAGE, 0);
    show_yes("shrink", moved == area);
    show_page_values("  values", area, 10);
    moved = mremap(area, 3 * PAGE, 3 * PAGE, 0);
    show_yes("same size", moved == area);
    show_yes("same size in pages", mremap(area, 3 * PAGE - 5, 3 * PAGE - 100, 0) == area);
    mmap(area + 3 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    show_map("grow without room", mremap(area, 2 * PAGE, 4 * PAGE, 0));
    show_page_values("  nothing changed", area, 5);

    part("moved");
    area = numbered(4);
    moved = mremap(area, 4 * PAGE, 600 * PAGE, MREMAP_MAYMOVE);
    show_map("grow to 600 pages", moved);
    show_page_values("  values", moved, 6);
    moved[599 * PAGE] = 9;
    show_yes("last page is there", moved[599 * PAGE] == 9);
    munmap(moved, 600 * PAGE);

    part("fixed");
    ground = map_anon(256 * PAGE, PROT_NONE, MAP_PRIVATE);
    area = numbered(4);
    moved = mremap(area, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ground + 8 * PAGE);
    show_yes("to a place", moved == ground + 8 * PAGE);
    show_page_values("  values", moved, 4);
    show_yes("old place is empty", !can_read(area));
    try_read("  neighbour of the new place", ground + 12 * PAGE, ground);
    area = numbered(4);
    moved = mremap(area + PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ground + 9 * PAGE);
    show_yes("over another mapping", moved == ground + 9 * PAGE);
    show_page_values("  new place", ground + 8 * PAGE, 4);
    show_page_values("  old place", area, 4);
    area = numbered(6);
    moved = mremap(area, 6 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ground + 32 * PAGE);
    show_yes("moved and shrunk", moved == ground + 32 * PAGE);
    show_page_values("  new place", moved, 2);
    show_page_values("  old place", area, 6);
    area = numbered(2);
    moved = mremap(area, 2 * PAGE, 5 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ground + 64 * PAGE);
    show_yes("moved and grown", moved == ground + 64 * PAGE);
    show_page_values("  new place", moved, 5);

    part("kept: DONTUNMAP");
    area = numbered(3);
    moved = (char *)syscall(SYS_mremap, area, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0L);
    show_map("anonymous", moved);
    if (moved != MAP_FAILED) {
        show_page_values("  new place", moved, 3);
        show_page_values("  old place", area, 3);
    }
    show_map("with another size",
             (void *)syscall(SYS_mremap, area, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0L));

    part("contents and rights move");
    area = numbered(8);
    mprotect(area, 8 * PAGE, PROT_READ);
    moved = mremap(area, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ground + 128 * PAGE);
    show_page_values("values", moved, 8);
    try_write("still read-only", moved, moved);
    area = map_anon_rw(4 * MIB);
    for (size_t i = 0; i < 4 * MIB / PAGE; i++)
        area[i * PAGE + 1] = (char)(i % 251);
    char *target = map_anon(8 * MIB, PROT_NONE, MAP_PRIVATE);
    moved = mremap(area, 4 * MIB, 4 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, target + 3 * PAGE);
    bool same = moved == target + 3 * PAGE;
    for (size_t i = 0; same && i < 4 * MIB / PAGE; i++)
        same = moved[i * PAGE + 1] == (char)(i % 251);
    show_yes("4 MiB to an odd page", same);

    part("files");
    int file = scratch_file(6 * PAGE);
    area = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, (off_t)PAGE);
    area[0] = 40;
    moved = mremap(area, 3 * PAGE, 5 * PAGE, MREMAP_MAYMOVE);
    show_map("shared, grown", moved);
    show_page_values("  values", moved, 5);
    moved[PAGE] = 41;
    char byte = 0;
    show("pread", pread(file, &byte, 1, (off_t)(2 * PAGE)));
    printf("  %d\n", byte);
    show_map("beyond the file's end is fine", moved = mremap(moved, 5 * PAGE, 9 * PAGE, MREMAP_MAYMOVE));
    try_read("  a page behind the end", moved + 7 * PAGE, moved);
    area = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, file, 0);
    area[PAGE] = 50;
    moved = mremap(area, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ground + 200 * PAGE);
    show_page_values("private, with a copy", moved, 3);
    area = map_anon(2 * PAGE, RW, MAP_SHARED);
    area[0] = 'o';
    moved = mremap(area, 0, 2 * PAGE, MREMAP_MAYMOVE);
    show_map("old length 0 of a shared mapping: a second view", moved);
    if (moved != MAP_FAILED) {
        moved[1] = 'k';
        printf("  %c%c\n", moved[0], area[1]);
    }

    part("errors");
    area = numbered(4);
    show_map("misaligned", mremap(area + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    show_map("new length 0", mremap(area, PAGE, 0, MREMAP_MAYMOVE));
    show_map("old length 0 of a private mapping", mremap(area, 0, PAGE, MREMAP_MAYMOVE));
    show_map("unknown flag", mremap(area, PAGE, PAGE, 64));
    show_map("FIXED without MAYMOVE", mremap(area, PAGE, PAGE, MREMAP_FIXED, ground));
    show_map("FIXED, misaligned", mremap(area, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ground + 1));
    show_map("FIXED, overlapping",
             mremap(area, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + PAGE));
    show_map("FIXED, in kernel space",
             mremap(area, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0xffff888000000000));
    show_map("nothing there", mremap(NULL, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    munmap(area + PAGE, PAGE);
    show_map("grow over a hole", mremap(area, 3 * PAGE, 8 * PAGE, MREMAP_MAYMOVE));
    area = numbered(4);
    mprotect(area + 2 * PAGE, PAGE, PROT_READ);
    show_map("grow two kinds", mremap(area, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE));
    show_page_values("nothing changed", area, 4);
    return 0;
}
