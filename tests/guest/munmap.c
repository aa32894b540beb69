/* munmap: holes, splits, errors. */
#include "guest.h"

static void show_pages(const char *what, char *area, size_t pages)
{
    printf("%s: ", what);
    for (size_t i = 0; i < pages; i++) {
        if (can_read(area + i * PAGE))
            printf("%c", area[i * PAGE] ? area[i * PAGE] : '0');
        else
            printf(".");
    }
    printf("\n");
}

static char *lettered(size_t pages)
{
    char *area = map_anon_rw(pages * PAGE);

    for (size_t i = 0; i < pages; i++)
        area[i * PAGE] = (char)('a' + i);
    return area;
}

int main(void)
{
    char *area = lettered(12);

    part("pieces");
    show("first page", munmap(area, PAGE));
    show_pages("  left", area, 12);
    show("last page", munmap(area + 11 * PAGE, PAGE));
    show_pages("  left", area, 12);
    show("middle page", munmap(area + 5 * PAGE, PAGE));
    show_pages("  left", area, 12);
    show("the hole again", munmap(area + 5 * PAGE, PAGE));
    show("one byte of a page takes it all", munmap(area + 7 * PAGE, 1));
    show_pages("  left", area, 12);
    show("over holes", munmap(area + 4 * PAGE, 5 * PAGE));
    show_pages("  left", area, 12);
    show("all of it", munmap(area, 12 * PAGE));
    show_pages("  left", area, 12);
    show("nothing there", munmap(area, 12 * PAGE));

    part("memory comes back zeroed");
    area = lettered(4);
    munmap(area, 4 * PAGE);
    char *again =
        mmap(area, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    show_yes("same place", again == area);
    show_pages("  pages", area, 4);

    part("errors");
    area = lettered(4);
    show("misaligned", munmap(area + 1, PAGE));
    show("length 0", munmap(area, 0));
    show("misaligned and length 0", munmap(area + 1, 0));
    show("kernel space", munmap((void *)0xffff888000000000, PAGE));
    show("non-canonical", munmap((void *)0x800000000000, PAGE));
    show("into kernel space", munmap((void *)0x7ffffffff000, 2 * PAGE));
    show("length wraps", munmap(area, (size_t)-1));
    show("length rounds to 0", munmap(area, (size_t)-4095));
    show("user space's end", munmap((void *)0x7fffffffe000, 0x800000000000));
    show_pages("  nothing changed", area, 4);

    part("files");
    int file = scratch_file(4 * PAGE);
    char *shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    shared[PAGE] = 'Z';
    show("unmap the dirty page", munmap(shared + PAGE, PAGE));
    char byte = 0;
    show("pread", pread(file, &byte, 1, (off_t)PAGE));
    printf("  byte %c\n", byte);
    show_yes("  neighbour is still there", can_read(shared + 2 * PAGE));
    show_yes("  the page is not", !can_read(shared + PAGE));

    part("large ranges, small holes");
    size_t pages = 3000;
    area = map_anon_rw(pages * PAGE);
    for (size_t i = 0; i < pages; i++)
        area[i * PAGE] = 1;
    for (size_t i = 0; i < pages; i += 3)
        must(munmap(area + i * PAGE, PAGE) == 0, "munmap");
    size_t readable = 0;
    for (size_t i = 0; i < pages; i++)
        readable += can_read(area + i * PAGE);
    printf("readable: %zu of %zu\n", readable, pages);
    show("all", munmap(area, pages * PAGE));
    readable = 0;
    for (size_t i = 0; i < pages; i++)
        readable += can_read(area + i * PAGE);
    printf("readable: %zu\n", readable);
    return 0;
}
