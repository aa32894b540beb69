/* mprotect: parts, holes, contents, errors. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

static void show_rights(const char *what, char *area, size_t pages)
{
    printf("%s: ", what);
    for (size_t i = 0; i < pages; i++)
        printf("%c", !can_read(area + i * PAGE) ? '-' : can_write(area + i * PAGE + 1) ? 'w' : 'r');
    printf("\n");
}

int main(void)
{
    char *area = map_anon_rw(8 * PAGE);

    for (size_t i = 0; i < 8; i++)
        area[i * PAGE] = (char)('a' + i);

    part("parts");
    show("page 3 read-only", mprotect(area + 3 * PAGE, PAGE, PROT_READ));
    show_rights("  rights", area, 8);
    show("page 5 none", mprotect(area + 5 * PAGE, PAGE, PROT_NONE));
    show_rights("  rights", area, 8);
    show("pages 2 to 6 read-only", mprotect(area + 2 * PAGE, 5 * PAGE, PROT_READ));
    show_rights("  rights", area, 8);
    show("all writable", mprotect(area, 8 * PAGE, RW));
    show_rights("  rights", area, 8);
    show("length is rounded up", mprotect(area, 1, PROT_READ));
    show_rights("  rights", area, 8);
    show("all none", mprotect(area, 8 * PAGE, PROT_NONE));
    show_rights("  rights", area, 8);
    show("all writable", mprotect(area, 8 * PAGE, RW));
    printf("contents: ");
    for (size_t i = 0; i < 8; i++)
        printf("%c", area[i * PAGE]);
    printf("\n");

    part("what a fault says");
    mprotect(area, PAGE, PROT_READ);
    try_write("write to read-only", area + 17, area);
    mprotect(area, PAGE, PROT_NONE);
    try_read("read from none", area + 18, area);
    try_write("write to none", area + 19, area);
    area[PAGE] = (char)0xc3;
    try_call("execute writable", area + PAGE, area);
    mprotect(area, 2 * PAGE, RW | PROT_EXEC);
    try_call("execute allowed", area + PAGE, area);
    mprotect(area + PAGE, PAGE, RW);
    try_call("execute withdrawn", area + PAGE, area);
    mprotect(area, PAGE, PROT_WRITE);
    try_read("write-only is readable", area, area);

    part("untouched pages");
    area = map_anon(6 * PAGE, PROT_NONE, MAP_PRIVATE);
    show("two writable", mprotect(area + 2 * PAGE, 2 * PAGE, RW));
    show_rights("  rights", area, 6);
    show("read-only before the first touch", mprotect(area + 4 * PAGE, PAGE, PROT_READ));
    try_read("  read", area + 4 * PAGE, area);
    try_write("  write", area + 4 * PAGE, area);
    show("then writable", mprotect(area + 4 * PAGE, PAGE, RW));
    try_write("  write", area + 4 * PAGE, area);

    part("holes");
    area = map_anon_rw(6 * PAGE);
    munmap(area + 3 * PAGE, PAGE);
    show("hole in the middle", mprotect(area, 6 * PAGE, PROT_READ));
    show_rights("  the part before has changed", area, 6);
    show("hole first", mprotect(area + 3 * PAGE, 2 * PAGE, PROT_READ));
    show_rights("  nothing changed", area, 6);
    show("hole alone", mprotect(area + 3 * PAGE, PAGE, RW));
    show("length 0 on a hole", mprotect(area + 3 * PAGE, 0, RW));

    part("errors");
    show("misaligned", mprotect(area + 1, PAGE, PROT_READ));
    show("length 0", mprotect(area, 0, PROT_READ));
    show("misaligned, length 0", mprotect(area + 1, 0, PROT_READ));
    show("length wraps", mprotect(area, (size_t)-1 & ~(size_t)4095, PROT_READ));
    show("length rounds to 0", mprotect(area, (size_t)-1, PROT_READ));
    show("unknown protection", mprotect(area, PAGE, 0x100));
    show("both directions of growth", mprotect(area, PAGE, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP));
    show("growsdown on an ordinary mapping", mprotect(area, PAGE, PROT_READ | PROT_GROWSDOWN));
    show("kernel space", mprotect((void *)0xffff888000000000, PAGE, PROT_READ));
    show("page 0", mprotect(NULL, PAGE, PROT_READ));

    part("private file pages");
    int file = scratch_file(2 * PAGE);
    area = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    try_read("read", area, area);
    try_write("write", area, area);
    show("writable", mprotect(area, 2 * PAGE, RW));
    try_write("write", area, area);
    show("read-only", mprotect(area, 2 * PAGE, PROT_READ));
    try_read("the copy is kept", area, area);
    char byte = 0;
    show("file is unchanged", pread(file, &byte, 1, 0) == 1 ? byte : -1);

    part("after fork");
    area = map_anon_rw(2 * PAGE);
    area[0] = 'p';
    pid_t child = fork();
    if (child == 0) {
        mprotect(area, PAGE, PROT_READ);
        if (can_write(area))
            _exit(1);
        mprotect(area, PAGE, RW);
        area[0] = 'c';
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    show_status("child", status);
    printf("parent has %c\n", area[0]);
    try_write("parent may write", area, area);

    part("many switches");
    area = map_anon_rw(64 * PAGE);
    for (size_t round = 0; round < 50; round++) {
        size_t page = round * 7 % 64;

        mprotect(area + page * PAGE, (64 - page) * PAGE,
                 round % 3 == 0   ? PROT_NONE
                 : round % 3 == 1 ? PROT_READ
                                  : RW);
    }
    show_rights("rights", area, 64);
    mprotect(area, 64 * PAGE, RW);
    show_rights("rights", area, 64);
    return 0;
}
