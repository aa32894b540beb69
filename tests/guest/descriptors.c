/* Descriptors: dup, fcntl, close-on-exec, limits, sharing after fork. */
#include "guest.h"
#include <sys/file.h>
#include <sys/resource.h>

static void duplicates(int file)
{
    char byte;

    part("dup");
    int copy = dup(file);
    show_yes("lowest free number", copy == file + 1);
    show("dup2", dup2(file, 50));
    show("dup2 onto itself", dup2(file, file) == file);
    show("dup2 of a bad one", dup2(999, 51));
    show("dup2 of a bad one onto itself", dup2(999, 999));
    show("dup2 to a bad number", dup2(file, -1));
    show("dup2 to a large number", dup2(file, 1 << 30));
    show("dup3", dup3(file, 52, O_CLOEXEC));
    show("dup3 onto itself", dup3(file, file, 0));
    show("dup3, bad flags", dup3(file, 53, O_APPEND));
    lseek(file, 7, SEEK_SET);
    show("positions are shared", lseek(50, 0, SEEK_CUR));
    int other = open("/proc/self/fd/50", O_RDONLY);
    close(other);
    show("close", close(copy));
    show("close again", close(copy));
    show("read of a closed one", read(copy, &byte, 1));
    show("close of -1", close(-1));
    close(50);
}

static void controls(int file)
{
    part("fcntl");
    show("F_GETFD", fcntl(file, F_GETFD));
    show("F_GETFD of the one with O_CLOEXEC", fcntl(52, F_GETFD));
    show("F_SETFD", fcntl(file, F_SETFD, FD_CLOEXEC));
    show("F_GETFD", fcntl(file, F_GETFD));
    fcntl(file, F_SETFD, 0);
    show("F_DUPFD from 60", fcntl(file, F_DUPFD, 60));
    show("F_DUPFD from 60 again", fcntl(file, F_DUPFD, 60));
    show("F_DUPFD_CLOEXEC", fcntl(file, F_DUPFD_CLOEXEC, 60));
    show("its F_GETFD", fcntl(62, F_GETFD));
    show("F_DUPFD negative", fcntl(file, F_DUPFD, -1));
    show("F_GETFL", fcntl(file, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    show("F_SETFL", fcntl(file, F_SETFL, O_APPEND | O_NONBLOCK));
    show("F_GETFL", fcntl(file, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    fcntl(file, F_SETFL, 0);
    show("F_GETFL of a copy follows", fcntl(60, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    show("bad command", fcntl(file, 9999));
    show("bad descriptor", fcntl(999, F_GETFD));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    show("F_SETLK", fcntl(file, F_SETLK, &lock));
    lock.l_type = F_UNLCK;
    show("F_SETLK unlock", fcntl(file, F_SETLK, &lock));
    show("flock", flock(file, LOCK_EX));
    show("flock unlock", flock(file, LOCK_UN));
}

static void limits(void)
{
    struct rlimit old, limit = {.rlim_cur = 100};
    int null, last = -1, count = 0;

    part("the limit");
    getrlimit(RLIMIT_NOFILE, &old);
    limit.rlim_max = old.rlim_max;
    show("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
    while ((null = open("/dev/null", O_RDWR)) >= 0) {
        last = null;
        count++;
    }
    show("open", null);
    show("the last", last);
    show("dup", dup(0));
    show("dup2 beyond", dup2(0, 100));
    int ends[2];
    close(last);
    show("pipe with one left", pipe(ends));
    show("close_range", (int)syscall(SYS_close_range, 70, 98, 0));
    null = open("/dev/null", O_RDWR);
    show_yes("numbers are free again", null >= 0);
    setrlimit(RLIMIT_NOFILE, &old);
    for (int i = 3; i < 100; i++)
        close(i);
}

static void forked(void)
{
    int file = scratch_file(100);
    char byte;
    int status;

    part("after fork");
    pid_t child = fork();
    if (child == 0) {
        must(read(file, &byte, 1) == 1, "read");
        lseek(file, 10, SEEK_CUR);
        close(file);
        _exit(0);
    }
    waitpid(child, &status, 0);
    show("the position is shared", lseek(file, 0, SEEK_CUR));
    show("a child's close is its own", read(file, &byte, 1));
    close(file);
}

static void devices(void)
{
    char buffer[16];
    int null = open("/dev/null", O_RDWR);
    int zero = open("/dev/zero", O_RDWR);

    part("devices");
    show("read of /dev/null", read(null, buffer, 16));
    show("write to /dev/null", write(null, buffer, 16));
    show("read of /dev/zero", read(zero, buffer, 16));
    show("write to /dev/zero", write(zero, buffer, 16));
    int full = open("/dev/full", O_RDWR);
    show_yes("/dev/full", full >= 0);
    if (full >= 0)
        show("write to it", write(full, "x", 1));
    int random = open("/dev/urandom", O_RDONLY);
    show("read of /dev/urandom", read(random, buffer, 16));
    show("lseek of /dev/null", lseek(null, 5, SEEK_SET));
    struct stat info;
    fstat(null, &info);
    printf("character device %d, number %lx\n", S_ISCHR(info.st_mode), (unsigned long)info.st_rdev);
    fstat(zero, &info);
    printf("character device %d, number %lx\n", S_ISCHR(info.st_mode), (unsigned long)info.st_rdev);
    close(null);
    close(zero);
    close(full);
    close(random);
}

int main(void)
{
    /* Only the first three are open, whatever the caller had. */
    for (int i = 3; i < 100; i++)
        close(i);
    int file = scratch_file(100);
    duplicates(file);
    controls(file);
    for (int i = 3; i < 100; i++)
        close(i);
    limits();
    forked();
    devices();
    return 0;
}
