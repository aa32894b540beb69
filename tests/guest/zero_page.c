/* Reading untouched memory, then writing it. */
#include "guest.h"

int main(void)
{
    size_t pages = 64;
    char *area = map_anon_rw(pages * PAGE);
    unsigned sum = 0;

    part("reads");
    madvise(area, pages * PAGE, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < pages * PAGE; i++)
        sum += (unsigned char)area[i];
    printf("sum %u\n", sum);

    part("then writes");
    for (size_t i = 0; i < pages; i += 2)
        area[i * PAGE + i] = (char)i;
    for (size_t i = 0; i < pages; i++)
        for (size_t j = 0; j < PAGE; j++)
            if (area[i * PAGE + j] != (j == i && i % 2 == 0 ? (char)i : 0))
                sum++;
    printf("wrong bytes %u\n", sum);

    part("read, fork, write");
    area = map_anon_rw(4 * PAGE);
    (void)*(volatile char *)area;
    (void)*(volatile char *)(area + PAGE);
    pid_t child = fork();
    if (child == 0) {
        area[0] = 'c';
        _exit(area[0] == 'c' && area[PAGE] == 0 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    show_status("child", status);
    printf("parent reads %d\n", area[0]);
    area[0] = 'p';
    printf("parent reads %c %d\n", area[0], area[PAGE]);

    part("from the kernel");
    area = map_anon_rw(4 * PAGE);
    int ends[2];
    must(pipe(ends) == 0, "pipe");
    show("write(2) of untouched memory", write(ends[1], area, 3));
    char three[3] = {1, 1, 1};
    show("read(2)", read(ends[0], three, 3));
    printf("%d %d %d\n", three[0], three[1], three[2]);
    show("write(2)", write(ends[1], "abc", 3));
    show("read(2) into untouched memory", read(ends[0], area + PAGE - 1, 3));
    printf("%c%c%c %d\n", area[PAGE - 1], area[PAGE], area[PAGE + 1], area[PAGE + 2]);
    show("write(2)", write(ends[1], "xyz", 3));
    (void)*(volatile char *)(area + 2 * PAGE);
    show("read(2) into a page that was read", read(ends[0], area + 2 * PAGE, 3));
    printf("%c%c%c\n", area[2 * PAGE], area[2 * PAGE + 1], area[2 * PAGE + 2]);
    char *other = map_anon_rw(PAGE);
    printf("another untouched page: %d\n", other[0]);

    part("/dev/zero and private mappings read as zero");
    int zero = open("/dev/zero", O_RDONLY);
    memset(area, 7, PAGE);
    show("read(2) of /dev/zero", read(zero, area, PAGE));
    sum = 0;
    for (size_t i = 0; i < PAGE; i++)
        sum += (unsigned char)area[i];
    printf("sum %u\n", sum);
    return 0;
}
