/* Private mappings of files: copies on write, what the file's writers change, DONTNEED. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

static void show_page_values(const char *what, const char *area, size_t pages)
{
    printf("%s:", what);
    for (size_t i = 0; i < pages; i++)
        printf(" %d", (unsigned char)area[i * PAGE]);
    printf("\n");
}

int main(void)
{
    int file = scratch_file(5 * PAGE);
    char *private = mmap(NULL, 5 * PAGE, RW, MAP_PRIVATE, file, 0);
    char *shared = mmap(NULL, 5 * PAGE, RW, MAP_SHARED, file, 0);
    char byte = 0;

    part("copy on write");
    show_page_values("private", private, 5);
    private[PAGE] = 20;
    show_page_values("private, page 1 written", private, 5);
    show_page_values("shared view", shared, 5);
    show("pread", pread(file, &byte, 1, (off_t)PAGE));
    printf("  %d\n", byte);
    shared[2 * PAGE] = 30;
    show_page_values("shared view, page 2 written", shared, 5);
    show_page_values("private: unwritten pages follow the file", private, 5);
    shared[PAGE] = 21;
    show_page_values("private: its own copy does not", private, 5);
    show("pwrite page 3", pwrite(file, "\x28", 1, (off_t)(3 * PAGE)));
    show_page_values("private", private, 5);

    part("DONTNEED");
    show("all", madvise(private, 5 * PAGE, MADV_DONTNEED));
    show_page_values("private: the file again", private, 5);

    part("first access is a write");
    char *second = mmap(NULL, 5 * PAGE, RW, MAP_PRIVATE, file, 0);
    second[4 * PAGE + 1] = 1;
    show_page_values("the rest of the page is the file's", second, 5);

    part("fork");
    private[0] = 99;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        show_page_values("child", private, 5);
        private[0] = 98;
        private[PAGE] = 97;
        shared[4 * PAGE] = 50;
        show_page_values("child, two written", private, 5);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    show_page_values("parent", private, 5);
    show_page_values("shared view", shared, 5);

    part("read(2) into a private mapping of the same file");
    lseek(file, 0, SEEK_SET);
    show("read", read(file, private + 2 * PAGE, 10));
    printf("  %d %d\n", private[2 * PAGE], private[2 * PAGE + 10]);
    show("write from it", pwrite(file, private, 2, (off_t)(4 * PAGE)));
    show_page_values("shared view", shared, 5);

    part("the program's own data");
    static int data = 1234;
    child = fork();
    if (child == 0) {
        data = 1;
        _exit(0);
    }
    waitpid(child, NULL, 0);
    printf("data %d\n", data);
    return 0;
}
