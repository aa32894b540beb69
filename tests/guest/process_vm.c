/* process_vm_readv, process_vm_writev, pidfd_open, process_madvise; remap_file_pages. */
#include <poll.h>
#include <sys/uio.h>

#include "guest.h"

enum { RW = PROT_READ | PROT_WRITE, NOBODY = 65534 };

static void transfers(void)
{
    char *shared = map_anon(PAGE, RW, MAP_SHARED), *area = map_anon(4 * PAGE, RW, MAP_PRIVATE);
    char buffer[3 * 4096] = "", word[16] = "written";
    struct iovec here[3] = {{buffer, 10}, {buffer + 10, 0}, {buffer + 10, sizeof buffer - 10}};
    struct iovec there[2] = {{area + PAGE - 5, 2 * PAGE}, {area + 3 * PAGE, 8}};
    int status;

    part("process_vm_readv");
    strcpy(area + PAGE - 5, "parent's");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        strcpy(area + PAGE - 5, "child's");
        strcpy(area + 3 * PAGE, "second");
        shared[0] = 1;
        while (shared[0] != 2)
            usleep(1000);
        printf("child has %s, %s\n", area, area + PAGE - 5);
        fflush(stdout);
        _exit(0);
    }
    while (shared[0] != 1)
        usleep(1000);
    show("read", process_vm_readv(child, here, 3, there, 2, 0));
    printf("%s, %s\n", buffer, buffer + 2 * PAGE);
    show("nothing here", process_vm_readv(child, here, 0, there, 2, 0));
    show("nothing there", process_vm_readv(child, here, 3, there, 0, 0));
    show("flags", process_vm_readv(child, here, 3, there, 2, 1));
    show("too many", process_vm_readv(child, here, 2000, there, 2, 0));
    show("no process", process_vm_readv(0x3ffffff, here, 3, there, 2, 0));
    show("bad pieces", process_vm_readv(child, (void *)8, 1, there, 2, 0));
    there[1] = (struct iovec){(void *)8, 8};
    show("a bad address there", process_vm_readv(child, here, 3, there, 2, 0));
    show("only that", process_vm_readv(child, here, 3, there + 1, 1, 0));
    there[1] = (struct iovec){area, (size_t)-1};
    show("too long", process_vm_readv(child, here, 3, there, 2, 0));
    there[1] = (struct iovec){area, 8};
    here[0] = (struct iovec){(void *)8, 8};
    show("a bad address here", process_vm_readv(child, here, 1, there + 1, 1, 0));

    part("process_vm_writev");
    here[0] = (struct iovec){word, 8};
    show("write", process_vm_writev(child, here, 1, there + 1, 1, 0));
    there[1] = (struct iovec){(void *)(uintptr_t)transfers, 8};
    show("to code", process_vm_writev(child, here, 1, there + 1, 1, 0));
    fflush(stdout);
    pid_t other = fork();
    if (other == 0) {
        there[1] = (struct iovec){area, 8};
        must(setresuid(NOBODY, NOBODY, NOBODY) == 0, "setresuid");
        show("of another user", process_vm_readv(child, here, 1, there + 1, 1, 0));
        show("of oneself", process_vm_readv(getpid(), here, 1, there + 1, 1, 0));
        fflush(stdout);
        _exit(0);
    }
    waitpid(other, &status, 0);
    shared[0] = 2;
    waitpid(child, &status, 0);
    show_status("child", status);
    printf("parent has %s, %s\n", area, area + PAGE - 5);
}

static void remapping(void)
{
    int file = scratch_file(8 * PAGE);
    char *area = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, file, 0), *private;

    part("remap_file_pages");
    show("pages 6 and 7 at 1 and 2", remap_file_pages(area + PAGE, 2 * PAGE, 0, 6, 0));
    for (int i = 0; i < 8; i++)
        printf("%d ", area[(size_t)i * PAGE]);
    area[PAGE] = 99;
    printf("and %d\n", area[6 * PAGE]);
    show("with rights", remap_file_pages(area, PAGE, PROT_READ, 1, 0));
    show("length 0", remap_file_pages(area, 0, 0, 1, 0));
    show("length wraps", remap_file_pages(area, (size_t)-4096, 0, 1, 0));
    private = mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE, file, 0);
    show("private", remap_file_pages(private, PAGE, 0, 1, 0));
    munmap(private, 8 * PAGE);
    show("nothing there", remap_file_pages(private, PAGE, 0, 1, 0));
}

static void advising(void)
{
    char *area = map_anon(4 * PAGE, RW, MAP_PRIVATE);
    struct iovec pieces[2] = {{area, PAGE}, {area + 2 * PAGE, 2 * PAGE}};
    int status, file;

    part("process_madvise");
    memset(area, 7, 4 * PAGE);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    show("no such process", syscall(SYS_pidfd_open, 0x3ffffff, 0));
    show("unknown flag", syscall(SYS_pidfd_open, child, 1));
    file = (int)syscall(SYS_pidfd_open, child, 0);
    show_ok("pidfd_open", file);
    show("closes on exec", fcntl(file, F_GETFD));
    show("COLD", syscall(SYS_process_madvise, file, pieces, 2, MADV_COLD, 0));
    show("PAGEOUT", syscall(SYS_process_madvise, file, pieces, 2, MADV_PAGEOUT, 0));
    show("WILLNEED", syscall(SYS_process_madvise, file, pieces, 2, MADV_WILLNEED, 0));
    show("advice for oneself alone", syscall(SYS_process_madvise, file, pieces, 2, MADV_DONTNEED, 0));
    show("flags", syscall(SYS_process_madvise, file, pieces, 2, MADV_COLD, 1));
    show("no pidfd", syscall(SYS_process_madvise, 0, pieces, 2, MADV_COLD, 0));
    show("no descriptor", syscall(SYS_process_madvise, 999, pieces, 2, MADV_COLD, 0));
    pieces[1].iov_base = area + 1;
    show("misaligned piece", syscall(SYS_process_madvise, file, pieces, 2, MADV_COLD, 0));
    show("only that", syscall(SYS_process_madvise, file, pieces + 1, 1, MADV_COLD, 0));
    struct pollfd watched = {file, POLLIN, 0};
    show("poll", poll(&watched, 1, 0));
    show("pidfd_send_signal", syscall(SYS_pidfd_send_signal, file, SIGTERM, NULL, 0));
    show("poll", poll(&watched, 1, 10000));
    show("events", watched.revents & POLLIN);
    waitpid(child, &status, 0);
    show_status("child", status);
    show("when it is gone", syscall(SYS_process_madvise, file, pieces, 1, MADV_COLD, 0));
    show("a signal", syscall(SYS_pidfd_send_signal, file, SIGTERM, NULL, 0));
}

int main(void)
{
    transfers();
    advising();
    remapping();
    return 0;
}
