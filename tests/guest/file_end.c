/* Mappings of files: behind the end, truncated, grown. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

int main(void)
{
    int file = scratch_file(2 * PAGE + 100);
    char *area = mmap(NULL, 5 * PAGE, RW, MAP_SHARED, file, 0);
    char byte = 0;

    part("behind the end");
    try_read("last byte", area + 2 * PAGE + 99, area);
    try_read("rest of the last page is zero", area + 2 * PAGE + 100, area);
    try_write("rest of the last page can be written", area + 2 * PAGE + 200, area);
    try_read("next page", area + 3 * PAGE, area);
    try_write("next page", area + 3 * PAGE + 7, area);
    struct stat info;
    fstat(file, &info);
    printf("size is unchanged: %ld\n", (long)info.st_size);
    show("pread behind the end", pread(file, &byte, 1, (off_t)(2 * PAGE + 200)));

    part("grown");
    show("ftruncate to 4 pages", ftruncate(file, (off_t)(4 * PAGE)));
    try_read("page 3 is there", area + 3 * PAGE, area);
    try_write("and writable", area + 3 * PAGE + 7, area);
    try_read("page 4 is not", area + 4 * PAGE, area);
    show("write at the end", pwrite(file, "hello", 5, (off_t)(4 * PAGE)));
    try_read("page 4 is there", area + 4 * PAGE, area);

    part("truncated");
    area[PAGE + 50] = 'a';
    area[PAGE + 150] = 'b';
    area[2 * PAGE] = 'c';
    show("ftruncate to 1 page and 100 bytes", ftruncate(file, (off_t)(PAGE + 100)));
    try_read("before the end", area + PAGE + 50, area);
    try_read("rest of the last page is zero", area + PAGE + 150, area);
    try_read("page 2", area + 2 * PAGE, area);
    show("grown again", ftruncate(file, (off_t)(3 * PAGE)));
    try_read("page 1 rest", area + PAGE + 150, area);
    try_read("page 2 is zero", area + 2 * PAGE, area);
    show("to nothing", ftruncate(file, 0));
    try_read("page 0", area, area);
    try_write("page 0", area, area);

    part("private");
    file = scratch_file(3 * PAGE);
    area = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
    area[PAGE] = 'x';
    try_read("page 3", area + 3 * PAGE, area);
    try_write("page 3", area + 3 * PAGE, area);
    show("ftruncate to 1 page", ftruncate(file, (off_t)PAGE));
    try_read("page 0", area, area);
    try_read("a private copy goes too", area + PAGE, area);
    try_read("page 2", area + 2 * PAGE, area);

    part("in the kernel");
    int ends[2];
    must(pipe(ends) == 0, "pipe");
    show("write(2) of a page behind the end", write(ends[1], area + 2 * PAGE, 10));
    show("write(2) of good memory", write(ends[1], "x", 1));
    show("read(2) into a page behind the end", read(ends[0], area + 2 * PAGE, 1));

    part("empty file");
    file = scratch_file(0);
    area = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);
    show_map("maps", area);
    try_read("read", area, area);
    show("unmap", munmap(area, PAGE));

    part("SIGBUS without a handler");
    area = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);
    int status;
    if (fork() == 0)
        *(volatile char *)area = 1;
    wait(&status);
    show_status("child", status);
    return 0;
}
