/* Pipes: end of file, broken ones, sizes, atomic writes, non-blocking. */
#include "guest.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static volatile int broken;

static void notes(int signal)
{
    (void)signal;
    broken++;
}

static void ends_of_life(void)
{
    int ends[2], status;
    char buffer[64];

    part("end of file");
    must(pipe(ends) == 0, "pipe");
    show("write", write(ends[1], "hello", 5));
    show("read less", read(ends[0], buffer, 2));
    show("read the rest", read(ends[0], buffer, 64));
    close(ends[1]);
    show("read at the end", read(ends[0], buffer, 64));
    show("read again", read(ends[0], buffer, 64));
    close(ends[0]);

    part("nobody reads");
    must(pipe(ends) == 0, "pipe");
    close(ends[0]);
    signal(SIGPIPE, notes);
    show("write", write(ends[1], "x", 1));
    show("SIGPIPE came", broken);
    signal(SIGPIPE, SIG_IGN);
    show("write, ignored", write(ends[1], "x", 1));
    signal(SIGPIPE, SIG_DFL);
    pid_t child = fork();
    if (child == 0) {
        (void)!write(ends[1], "x", 1);
        _exit(0);
    }
    waitpid(child, &status, 0);
    show_status("write, default", status);
    close(ends[1]);

    part("wrong ends");
    must(pipe(ends) == 0, "pipe");
    show("read of the writing end", read(ends[1], buffer, 1));
    show("write to the reading end", write(ends[0], "x", 1));
    show("lseek", lseek(ends[0], 0, SEEK_SET));
    show("pread", pread(ends[0], buffer, 1, 0));
    show("ftruncate", ftruncate(ends[1], 0));
    struct stat info;
    fstat(ends[0], &info);
    show_yes("S_ISFIFO", S_ISFIFO(info.st_mode));
    show("bad flags", syscall(SYS_pipe2, ends, 0x40000000));
}

static void capacity(void)
{
    int ends[2];
    static char block[65536];
    long total = 0;
    ssize_t got;

    part("capacity");
    must(pipe2(ends, O_NONBLOCK) == 0, "pipe2");
    show("read of an empty one", read(ends[0], block, 1));
    while ((got = write(ends[1], block, 4096)) > 0)
        total += got;
    show("write to a full one", got);
    printf("held %ld\n", total);
    int waiting = 0;
    ioctl(ends[0], FIONREAD, &waiting);
    printf("FIONREAD %d\n", waiting);
    show("read one byte", read(ends[0], block, 1));
    show("no room for a page: write of 4096", write(ends[1], block, 4096));
    show("read a page", read(ends[0], block, 4095));
    show("room for a page: write of 4096", write(ends[1], block, 4096));
    show("F_GETPIPE_SZ", fcntl(ends[0], F_GETPIPE_SZ));
    while (read(ends[0], block, sizeof block) > 0)
        ;
    show("large write is partial: 100000 in 65536", ({
             static char large[100000];
             write(ends[1], large, sizeof large);
         }));
    close(ends[0]);
    close(ends[1]);
}

/* Writes of up to PIPE_BUF bytes are not mixed. */
static void atomic(void)
{
    enum { WRITERS = 4, EACH = 200, SIZE = 600 };
    int ends[2];
    char block[SIZE];
    unsigned mixed = 0, blocks = 0;

    part("atomic writes");
    must(pipe(ends) == 0, "pipe");
    for (int i = 0; i < WRITERS; i++)
        if (fork() == 0) {
            memset(block, 'a' + i, SIZE);
            for (int j = 0; j < EACH; j++)
                if (write(ends[1], block, SIZE) != SIZE)
                    _exit(1);
            _exit(0);
        }
    close(ends[1]);
    for (;;) {
        size_t have = 0;
        ssize_t got;

        while (have < SIZE && (got = read(ends[0], block + have, SIZE - have)) > 0)
            have += (size_t)got;
        if (have < SIZE)
            break;
        blocks++;
        for (size_t i = 1; i < SIZE; i++)
            mixed += block[i] != block[0];
    }
    while (wait(NULL) > 0)
        ;
    printf("blocks %u, mixed bytes %u\n", blocks, mixed);
    close(ends[0]);
}

static void large_transfers(void)
{
    int ends[2], status;
    static unsigned char block[50000];
    unsigned long sum = 0, total = 0;
    ssize_t got;

    part("3 MB through a pipe");
    must(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        unsigned value = 1;
        close(ends[0]);
        for (int i = 0; i < 60; i++) {
            for (size_t j = 0; j < sizeof block; j++)
                block[j] = (unsigned char)(value = value * 1103515245u + 12345u);
            if (write(ends[1], block, sizeof block) != sizeof block)
                _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], block, 7777)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            sum += block[i];
        total += (unsigned long)got;
    }
    waitpid(child, &status, 0);
    show_status("writer", status);
    printf("bytes %lu sum %lu\n", total, sum);
    close(ends[0]);
}

static void vectors(void)
{
    int ends[2];
    char a[4] = "", b[10] = "";
    struct iovec out[3] = {{"abc", 3}, {NULL, 0}, {"defgh", 5}};
    struct iovec in[2] = {{a, 2}, {b, 9}};

    part("vectors");
    must(pipe(ends) == 0, "pipe");
    show("writev", writev(ends[1], out, 3));
    show("readv", readv(ends[0], in, 2));
    printf("%.2s %.6s\n", a, b);
    show("count 0", writev(ends[1], out, 0));
    show("negative count", (long)syscall(SYS_writev, ends[1], out, -1L));
    show("too many", (long)syscall(SYS_writev, ends[1], out, 2000L));
    close(ends[0]);
    close(ends[1]);
}

static void named(void)
{
    char byte = 0;
    int status;

    part("named pipes");
    scratch_enter();
    show("mkfifo", mkfifo("p", 0600));
    show("open to write, nobody reads, non-blocking", open("p", O_WRONLY | O_NONBLOCK));
    pid_t child = fork();
    if (child == 0) {
        int out = open("p", O_WRONLY);
        _exit(write(out, "n", 1) == 1 ? 0 : 1);
    }
    int in = open("p", O_RDONLY);
    show("read", read(in, &byte, 1));
    printf("%c\n", byte);
    show("end", read(in, &byte, 1));
    waitpid(child, &status, 0);
    show_status("writer", status);
    close(in);
    in = open("p", O_RDONLY | O_NONBLOCK);
    show_yes("open to read, non-blocking", in >= 0);
    show("read, nobody writes", read(in, &byte, 1));
    close(in);
    scratch_leave();
}

int main(void)
{
    ends_of_life();
    capacity();
    atomic();
    large_transfers();
    vectors();
    named();
    return 0;
}
