/*
 * System calls on memory that is paged out: for `quire run` with a budget far smaller than what this touches.
 * Each check first pushes everything out of memory, then has the kernel read or write it. Prints "right" at
 * the end; what is wrong is told with its line, and status 1. Run in a folder that it may write to.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096 };

static void fail(int line, const char *what)
{
    fprintf(stderr, "line %d: %s: %s\n", line, what, strerror(errno));
    exit(1);
}
#define must(what) ((what) ? (void)0 : fail(__LINE__, #what))

/* ------------------------------------------------------------------ memory that is not there */

enum { CROWD = 3 * MIB / 2 };
static unsigned char *crowd;

/* Touches so much else that nothing of before stays: with a budget of 1 MiB, and FIFO, which forgets at once.
 */
static void push_out(void)
{
    for (size_t i = 0; i < CROWD; i += PAGE)
        crowd[i]++;
}

static unsigned char byte_of(size_t at)
{
    return (unsigned char)(at * 31 + at / PAGE * 7 + 3);
}

static unsigned char *fill(unsigned char *memory, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        memory[i] = byte_of(i);
    return memory;
}

static int is_filled(const unsigned char *memory, size_t from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (memory[i] != byte_of(from + i))
            return 0;
    return 1;
}

static unsigned char *fresh(size_t bytes)
{
    unsigned char *memory = malloc(bytes);

    must(memory);
    memset(memory, 0xee, bytes);
    push_out();
    return memory;
}

static unsigned char *filled(size_t bytes)
{
    unsigned char *memory = fill(malloc(bytes), bytes);

    push_out();
    return memory;
}

static void *copied(const void *from, size_t bytes)
{
    void *memory = memcpy(malloc(bytes), from, bytes);

    push_out();
    return memory;
}

/* ------------------------------------------------------------------ files */

static void check_files(void)
{
    const size_t bytes = 3 * MIB + 777;
    unsigned char *out = filled(bytes), *in = fresh(bytes);
    char *name = copied("calls.data", 11);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct stat *stat = (struct stat *)fresh(sizeof(*stat));

    must(fd >= 0);
    must(write(fd, out, bytes) == (ssize_t)bytes);
    must(fstat(fd, stat) == 0 && stat->st_size == (off_t)bytes);
    must(lseek(fd, 0, SEEK_SET) == 0 && read(fd, in, bytes) == (ssize_t)bytes && is_filled(in, 0, bytes));
    in = fresh(bytes);
    must(pread(fd, in, bytes, 1000) == (ssize_t)bytes - 1000 && is_filled(in, 1000, bytes - 1000));
    push_out();
    must(pwrite(fd, out + 5, MIB, 5) == MIB);
    push_out();
    must(lstat(copied("calls.data", 11), stat) == 0 && stat->st_size == (off_t)bytes);
    must(read(fd, in, 0) == 0 && read(fd, in, 10) == 0);
    must(close(fd) == 0);
    free(out);
    free(in);
}

static void check_vectors(void)
{
    enum { PIECES = 100, EACH = 9001 };
    unsigned char *out = filled(PIECES * EACH), *in = fresh(PIECES * EACH);
    struct iovec *list = malloc(PIECES * sizeof(*list));
    int fd = open("calls.data", O_RDWR | O_TRUNC);

    for (int i = 0; i < PIECES; i++)
        list[i] = (struct iovec){out + i * EACH, EACH};
    push_out();
    must(writev(fd, list, PIECES) == PIECES * EACH);
    for (int i = 0; i < PIECES; i++)
        list[i].iov_base = in + i * EACH;
    push_out();
    must(preadv(fd, list, PIECES, 0) == PIECES * EACH && is_filled(in, 0, PIECES * EACH));
    push_out();
    must(pwritev(fd, list, PIECES, 12) == PIECES * EACH);
    push_out();
    must(preadv(fd, list, PIECES, 12) == PIECES * EACH && is_filled(in, 0, PIECES * EACH));
    must(close(fd) == 0);
    free(list);
    free(out);
    free(in);
}

static void check_streams(void)
{
    const size_t bytes = MIB + 17;
    unsigned char *out = filled(bytes), *in;
    FILE *file = fopen("calls.data", "w");
    char *line = NULL;
    size_t room = 0;

    must(file && fwrite(out, 1, bytes, file) == bytes && fclose(file) == 0);
    in = fresh(bytes);
    file = fopen("calls.data", "r");
    must(file && fread(in, 1, bytes, file) == bytes && is_filled(in, 0, bytes) && fclose(file) == 0);
    file = fopen("calls.data", "w");
    setvbuf(file, malloc(300000), _IOFBF, 300000);
    for (int i = 0; i < 20000; i++) {
        must(fprintf(file, "line %d\n", i) > 0);
        if (i % 5000 == 0)
            push_out();
    }
    must(fclose(file) == 0);
    file = fopen("calls.data", "r");
    setvbuf(file, malloc(300000), _IOFBF, 300000);
    for (int i = 0; i < 20000; i++) {
        if (i % 5000 == 0)
            push_out();
        must(getline(&line, &room, file) > 0 && atoi(line + 5) == i);
    }
    must(fclose(file) == 0);
    free(out);
    free(in);
}

static void check_names(void)
{
    char *name = copied("calls.folder", 13), *path = (char *)fresh(PATH_MAX), *target = (char *)fresh(100);
    DIR *folder;
    int count = 0;

    must(mkdir(name, 0700) == 0 && chdir(name) == 0);
    push_out();
    must(getcwd(path, PATH_MAX) && strstr(path, "calls.folder"));
    must(symlink(copied("somewhere", 10), copied("link", 5)) == 0);
    must(readlink(copied("link", 5), target, 100) == 9 && memcmp(target, "somewhere", 9) == 0);
    folder = opendir(".");
    push_out();
    while (folder && readdir(folder))
        count++;
    must(count == 3 && closedir(folder) == 0);
    push_out();
    must(rename(copied("link", 5), copied("other", 6)) == 0 && unlink(copied("other", 6)) == 0);
    must(access(copied("other", 6), F_OK) != 0 && errno == ENOENT);
    must(chdir("..") == 0 && rmdir(name) == 0);
}

/* ------------------------------------------------------------------ sockets and pipes */

struct writer {
    int fd;
    const unsigned char *from;
    size_t bytes;
};

static void *write_all(void *context)
{
    struct writer *writer = context;

    for (size_t done = 0; done < writer->bytes;) {
        ssize_t wrote = write(writer->fd, writer->from + done, writer->bytes - done);

        must(wrote > 0);
        done += (size_t)wrote;
    }
    must(close(writer->fd) == 0);
    return NULL;
}

static void check_flow(int from, int to)
{
    const size_t bytes = 2 * MIB + 5;
    struct writer writer = {to, filled(bytes), bytes};
    unsigned char *in = fresh(bytes);
    pthread_t thread;
    size_t done = 0;
    ssize_t got;

    must(pthread_create(&thread, NULL, write_all, &writer) == 0);
    while ((got = read(from, in + done, bytes - done)) > 0)
        done += (size_t)got;
    must(got == 0 && done == bytes && pthread_join(thread, NULL) == 0 && is_filled(in, 0, bytes));
    must(close(from) == 0);
    free((void *)writer.from);
    free(in);
}

static void check_packets(void)
{
    enum { BYTES = 150000, HALF = 70000 };
    int pair[2], passed;
    unsigned char *out = filled(BYTES), *in = fresh(BYTES);
    struct iovec *parts =
        copied(((struct iovec[]){{out, HALF}, {out + HALF, BYTES - HALF}}), 2 * sizeof(*parts));
    char *control = (char *)fresh(CMSG_SPACE(sizeof(int)));
    struct msghdr *message = copied(&(struct msghdr){.msg_iov = parts,
                                                     .msg_iovlen = 2,
                                                     .msg_control = control,
                                                     .msg_controllen = CMSG_SPACE(sizeof(int))},
                                    sizeof(*message));
    struct cmsghdr *header = CMSG_FIRSTHDR(message);

    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    push_out();
    must(send(pair[0], out, BYTES, 0) == BYTES && recv(pair[1], in, BYTES, 0) == BYTES &&
         is_filled(in, 0, BYTES));
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &pair[0], sizeof(int));
    push_out();
    must(sendmsg(pair[0], message, 0) == BYTES);
    parts[0].iov_base = in;
    parts[1].iov_base = in + HALF;
    memset(in, 0, BYTES);
    memset(control, 0, CMSG_SPACE(sizeof(int)));
    push_out();
    must(recvmsg(pair[1], message, 0) == BYTES && is_filled(in, 0, BYTES));
    header = CMSG_FIRSTHDR(message);
    must(header && header->cmsg_type == SCM_RIGHTS);
    memcpy(&passed, CMSG_DATA(header), sizeof(int));
    must(close(passed) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
    free(out);
    free(in);
}

static void check_many_packets(void)
{
    enum { COUNT = 32, EACH = 5000 };
    int pair[2];
    unsigned char *out = filled(COUNT * EACH), *in = fresh(COUNT * EACH);
    struct mmsghdr *messages = calloc(COUNT, sizeof(*messages));
    struct iovec *parts = calloc(COUNT, sizeof(*parts));
    int sent = 0, got = 0, now;

    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    for (int i = 0; i < COUNT; i++) {
        parts[i] = (struct iovec){out + i * EACH, EACH};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    while (got < COUNT) {
        for (int i = 0; i < COUNT; i++)
            parts[i].iov_base = out + i * EACH;
        push_out();
        now = sendmmsg(pair[0], messages + sent, (unsigned)(COUNT - sent), MSG_DONTWAIT);
        must(now > 0 || errno == EAGAIN);
        sent += now > 0 ? now : 0;
        for (int i = 0; i < COUNT; i++)
            parts[i].iov_base = in + i * EACH;
        push_out();
        now = recvmmsg(pair[1], messages + got, (unsigned)(COUNT - got), MSG_DONTWAIT, NULL);
        must(now > 0);
        got += now;
    }
    must(is_filled(in, 0, COUNT * EACH) && close(pair[0]) == 0 && close(pair[1]) == 0);
    free(out);
    free(in);
}

static void check_waiting(void)
{
    int ends[2], poller = epoll_create1(0);
    struct pollfd *polled = (struct pollfd *)fresh(2 * sizeof(*polled));
    struct epoll_event *event = (struct epoll_event *)fresh(16 * sizeof(*event));
    fd_set *set = (fd_set *)fresh(sizeof(*set));
    struct timespec *time = (struct timespec *)fresh(sizeof(*time)), zero = {0};
    int *waiting = (int *)fresh(sizeof(*waiting));

    must(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    polled[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
    polled[1] = (struct pollfd){.fd = ends[1], .events = POLLIN};
    push_out();
    must(poll(polled, 2, 0) == 1 && polled[0].revents == POLLIN);
    must(ppoll(polled, 2, copied(&zero, sizeof(zero)), copied(&(sigset_t){0}, sizeof(sigset_t))) == 1);
    FD_ZERO(set);
    FD_SET(ends[0], set);
    push_out();
    must(select(ends[0] + 1, set, NULL, NULL, NULL) == 1 && FD_ISSET(ends[0], set));
    event->events = EPOLLIN;
    event->data.u64 = 77;
    push_out();
    must(epoll_ctl(poller, EPOLL_CTL_ADD, ends[0], event) == 0);
    memset(event, 0, sizeof(*event));
    push_out();
    must(epoll_wait(poller, event, 16, 0) == 1 && event->data.u64 == 77);
    push_out();
    must(ioctl(ends[0], FIONREAD, waiting) == 0 && *waiting == 1);
    push_out();
    must(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, time) == 0 && time->tv_nsec != 0xeeeeeeee);
    *time = (struct timespec){0, 1000};
    push_out();
    must(nanosleep(time, NULL) == 0);
    must(close(ends[0]) == 0 && close(ends[1]) == 0 && close(poller) == 0);
}

static void check_random(void)
{
    unsigned char *memory = fresh(MIB), last[16];

    must(syscall(SYS_getrandom, memory, MIB, 0) == MIB);
    memset(last, 0xee, sizeof(last));
    must(memcmp(memory + MIB - sizeof(last), last, sizeof(last)) != 0);
    free(memory);
}

/* ------------------------------------------------------------------ threads */

/* In memory that goes: what the kernel looks at when a thread waits. */
struct together {
    pthread_mutex_t lock;
    char far_away[2 * PAGE];
    pthread_cond_t changed;
    char further[2 * PAGE];
    int turn, rounds;
};

static void *take_turns(void *context)
{
    struct together *together = context;

    pthread_mutex_lock(&together->lock);
    for (int i = 0; i < 200; i++) {
        while (together->turn != 1)
            pthread_cond_wait(&together->changed, &together->lock);
        together->turn = 0;
        together->rounds++;
        pthread_cond_signal(&together->changed);
    }
    pthread_mutex_unlock(&together->lock);
    return NULL;
}

static void *crowd_out(void *context)
{
    volatile int *stop = context;

    while (!*stop)
        push_out();
    return NULL;
}

static void check_threads(void)
{
    struct together *together = calloc(1, sizeof(*together));
    pthread_t thread, other;
    int stop = 0;

    pthread_mutex_init(&together->lock, NULL);
    pthread_cond_init(&together->changed, NULL);
    must(pthread_create(&other, NULL, crowd_out, &stop) == 0 &&
         pthread_create(&thread, NULL, take_turns, together) == 0);
    pthread_mutex_lock(&together->lock);
    for (int i = 0; i < 200; i++) {
        struct timespec until;

        together->turn = 1;
        pthread_cond_signal(&together->changed);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 20;
        while (together->turn != 0)
            must(pthread_cond_timedwait(&together->changed, &together->lock, &until) == 0);
    }
    pthread_mutex_unlock(&together->lock);
    must(pthread_join(thread, NULL) == 0 && together->rounds == 200);
    *(volatile int *)&stop = 1;
    must(pthread_join(other, NULL) == 0);
    free(together);
}

static void *read_for_ever(void *context)
{
    unsigned char *memory = fresh(64 << 10);

    pthread_cleanup_push(free, memory);
    (void)!read(*(int *)context, memory, 64 << 10);
    pthread_cleanup_pop(1);
    return NULL;
}

/* More than the budget would have been held, if it was not given back. */
static void check_cancelled(void)
{
    int ends[2];

    must(pipe(ends) == 0);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *result;

        must(pthread_create(&thread, NULL, read_for_ever, &ends[0]) == 0);
        usleep(2000);
        must(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    }
    must(close(ends[0]) == 0 && close(ends[1]) == 0);
    push_out();
}

/* ------------------------------------------------------------------ signals */

static sigjmp_buf back;
static unsigned char *elsewhere;
static volatile sig_atomic_t seen;

static void jump_back(int signal)
{
    siglongjmp(back, signal);
}

static void look_elsewhere(int signal)
{
    seen = elsewhere[5 * PAGE] == byte_of(5 * PAGE);
}

static void check_jumps(void)
{
    int ends[2];
    unsigned char *memory = fresh(64 << 10);
    volatile int jumps = 0;

    must(pipe(ends) == 0);
    signal(SIGALRM, jump_back);
    for (volatile int i = 0; i < 60; i++) {
        if (sigsetjmp(back, 1) == 0) {
            struct itimerval soon = {.it_value.tv_usec = 2000};

            setitimer(ITIMER_REAL, &soon, NULL);
            (void)!read(ends[0], memory, 64 << 10);
        } else {
            jumps++;
        }
    }
    must(jumps == 60);
    push_out();
    free(memory);
    signal(SIGALRM, SIG_DFL);
    must(close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* The program's own handlers of what tells us of faults, and masks that would keep it from us. */
static void check_signals(void)
{
    struct sigaction *action = calloc(1, sizeof(*action)), *last = calloc(1, sizeof(*last));
    int empty = open("calls.empty", O_RDWR | O_CREAT | O_TRUNC, 0600);
    volatile char *nothing = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, empty, 0);
    sigset_t all;

    action->sa_handler = jump_back;
    push_out();
    must(sigaction(SIGBUS, action, NULL) == 0 && sigaction(SIGSEGV, action, NULL) == 0);
    push_out();
    must(sigaction(SIGBUS, NULL, last) == 0 && last->sa_handler == jump_back);
    if (sigsetjmp(back, 1) == 0) {
        must(*nothing == 0);
        must(0);
    }
    if (sigsetjmp(back, 1) == 0) {
        must(*(volatile char *)8 == 0);
        must(0);
    }
    elsewhere = filled(16 * PAGE);
    sigfillset(&action->sa_mask);
    action->sa_handler = look_elsewhere;
    must(sigaction(SIGUSR1, action, NULL) == 0);
    push_out();
    must(raise(SIGUSR1) == 0 && seen);
    sigfillset(&all);
    must(sigprocmask(SIG_SETMASK, copied(&all, sizeof(all)), NULL) == 0);
    push_out();
    must(is_filled(elsewhere, 0, 16 * PAGE));
    sigemptyset(&all);
    must(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
    seen = 0;
    must(sigaction(SIGBUS, action, NULL) == 0);
    push_out();
    must(raise(SIGBUS) == 0 && seen);
    signal(SIGBUS, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    must(close(empty) == 0 && unlink("calls.empty") == 0);
}

static void check_other_stack(void)
{
    stack_t *stack = calloc(1, sizeof(*stack));
    struct sigaction action = {.sa_handler = look_elsewhere, .sa_flags = SA_ONSTACK};

    *stack = (stack_t){.ss_sp = malloc(64 << 10), .ss_size = 64 << 10};
    push_out();
    must(sigaltstack(stack, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
    seen = 0;
    push_out();
    must(raise(SIGUSR2) == 0 && seen);
    *stack = (stack_t){.ss_flags = SS_DISABLE};
    must(sigaltstack(stack, NULL) == 0);
}

/* ------------------------------------------------------------------ processes */

static void check_programs(void)
{
    char **words = malloc(4 * sizeof(*words)), *path = copied("/bin/sh", 8);
    int *status = (int *)fresh(sizeof(*status));
    pid_t child;

    words[0] = strdup("sh");
    words[1] = strdup("-c");
    words[2] = strdup("exit 7");
    words[3] = NULL;
    push_out();
    must(posix_spawn(&child, path, NULL, NULL, words, environ) == 0);
    push_out();
    must(waitpid(child, status, 0) == child && WEXITSTATUS(*status) == 7);
    push_out();
    child = vfork();
    if (child == 0) {
        execv(path, words);
        _exit(9);
    }
    push_out();
    must(child > 0 && waitpid(child, status, 0) == child && WEXITSTATUS(*status) == 7);
    push_out();
    child = fork();
    if (child == 0) {
        push_out();
        must(elsewhere[5 * PAGE] == byte_of(5 * PAGE));
        execv(path, words);
        _exit(9);
    }
    must(child > 0 && waitpid(child, status, 0) == child && WEXITSTATUS(*status) == 7);
}

static void check_limits(void)
{
    unsigned char *memory = fresh(MIB);

    must(mlock(memory, MIB) == 0 && munlock(memory, MIB) == 0);
    must(syscall(SYS_io_uring_setup, 4, memory) == -1);
    must(write(-1, memory, 10) == -1 && errno == EBADF);
    must(read(0, (void *)8, 10) <= 0);
    must(munmap(memory - 16, 0) == -1 && errno == EINVAL);
}

int main(void)
{
    int ends[2];

    crowd = malloc(CROWD);
    check_files();
    check_vectors();
    check_streams();
    check_names();
    must(pipe(ends) == 0);
    check_flow(ends[0], ends[1]);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    check_flow(ends[0], ends[1]);
    check_packets();
    check_many_packets();
    check_waiting();
    check_random();
    check_threads();
    check_cancelled();
    check_jumps();
    check_signals();
    check_other_stack();
    check_programs();
    check_limits();
    must(unlink("calls.data") == 0);
    printf("right\n");
    return 0;
}
