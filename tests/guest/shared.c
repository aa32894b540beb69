/* Shared memory: anonymous across forks, files in /dev/shm, memfd. */
#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE };

int main(void)
{
    volatile int *counter = map_anon(PAGE, RW, MAP_SHARED);
    char *area = map_anon(8 * PAGE, RW, MAP_SHARED);
    int status;

    part("anonymous");
    for (int i = 0; i < 8; i++)
        if (fork() == 0) {
            for (int j = 0; j < 1000; j++)
                __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
            area[(size_t)i * PAGE] = (char)('a' + i);
            _exit(0);
        }
    while (wait(&status) > 0)
        ;
    printf("counter %d\n", *counter);
    for (size_t i = 0; i < 8; i++)
        printf("%c", area[i * PAGE]);
    printf("\n");

    part("untouched before the fork");
    char *late = map_anon(4 * PAGE, RW, MAP_SHARED);
    pid_t child = fork();
    if (child == 0) {
        late[PAGE] = 'x';
        munmap(late, 4 * PAGE);
        _exit(0);
    }
    waitpid(child, &status, 0);
    printf("parent reads %c\n", late[PAGE]);
    child = fork();
    if (child == 0)
        _exit(late[PAGE] == 'x' && late[2 * PAGE] == 0 ? 0 : 1);
    waitpid(child, &status, 0);
    show_status("another child", status);

    part("the creator unmaps, the child keeps it");
    int ends[2];
    must(pipe(ends) == 0, "pipe");
    char *kept = map_anon(2 * PAGE, RW, MAP_SHARED);
    kept[PAGE] = 'k';
    child = fork();
    if (child == 0) {
        char byte;
        must(read(ends[0], &byte, 1) == 1, "read");
        _exit(kept[PAGE] == 'k' ? 0 : 1);
    }
    munmap(kept, 2 * PAGE);
    must(write(ends[1], "x", 1) == 1, "write");
    waitpid(child, &status, 0);
    show_status("child", status);

    part("protection of a shared mapping is the process's own");
    char *both = map_anon(PAGE, RW, MAP_SHARED);
    child = fork();
    if (child == 0) {
        mprotect(both, PAGE, PROT_READ);
        _exit(can_write(both));
    }
    waitpid(child, &status, 0);
    show_status("child", status);
    try_write("parent", both, both);

    part("a file in /dev/shm");
    int file = open("/dev/shm/guest-shared", O_RDWR | O_CREAT | O_TRUNC, 0600);
    show_yes("open", file >= 0);
    show("ftruncate", ftruncate(file, (off_t)(3 * PAGE)));
    char *first = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0);
    char *second = mmap(NULL, PAGE, RW, MAP_SHARED, file, (off_t)PAGE);
    first[PAGE] = '1';
    printf("second view %c\n", second[0]);
    child = fork();
    if (child == 0) {
        int own = open("/dev/shm/guest-shared", O_RDWR);
        char *third = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, own, 0);
        third[PAGE] = '3';
        _exit(0);
    }
    waitpid(child, &status, 0);
    printf("after the child %c %c\n", first[PAGE], second[0]);
    show("unlink", unlink("/dev/shm/guest-shared"));
    printf("after unlink %c\n", first[PAGE]);
    show("msync", msync(first, 3 * PAGE, MS_SYNC));

    part("memfd");
    file = memfd_create("name", MFD_CLOEXEC);
    show_yes("memfd_create", file >= 0);
    if (file >= 0) {
        show("write", write(file, "hello", 5));
        char *view = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);
        printf("%.5s\n", view);
        view[0] = 'J';
        char back[6] = "";
        show("pread", pread(file, back, 5, 0));
        printf("%s\n", back);
        show("FD_CLOEXEC", fcntl(file, F_GETFD));
    }
    return 0;
}
