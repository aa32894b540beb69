/*
 * fork() in the program: the child has a pager of its own, with the same budget, and a copy of all paged
 * memory.
 *
 * The C library's fork() looks at memory of its own (streams, malloc()'s arenas) as soon as the child runs,
 * so the copy must be there before: its _Fork(), which makes the child, is replaced. Ours does what that does
 * (clone, the thread's identity, the list of robust mutexes), with libquire's quire_fork_*() around it. The
 * parent waits until the child has its copy, which takes as long as reading and writing what the store has of
 * the program. vfork(), posix_spawn(), system() and popen() share memory until the new program begins: they
 * need none of this.
 *
 * A child that cannot have its memory ends, with status 125 and a line that says why. One that does not get
 * on with its copy for as long as a store may take (--deadline) is ended, and fork() says EAGAIN: meanwhile
 * the parent's threads cannot write, so it may not be for ever.
 */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_MACHINE = 125,
    THREAD_WORDS = 576 /* in which a thread's identity is sought */,
    REAP_TRIES = 100,
    REAP_MS = 10
};
#define PIECE_BYTES ((size_t)4 << 20) /* the child tells after each that it gets on */

static size_t identity_at; /* the word of a thread's descriptor that is its identity */
static int told_fd;        /* in a child that takes its copy: where it tells so */

static int *thread_words(void)
{
    return (int *)__builtin_thread_pointer();
}

/* The kernel writes the child's identity there. */
static bool find_identity(void)
{
    int self = (int)syscall(SYS_gettid);

    for (size_t i = 0; i < THREAD_WORDS; i++)
        if (thread_words()[i] == self) {
            identity_at = i;
            return true;
        }
    return false;
}

static void say(const char *what)
{
    char line[320];
    int length = snprintf(line, sizeof(line), "quire: run: fork: %s\n", what);

    (void)!syscall(SYS_write, STDERR_FILENO, line, length);
}

static _Noreturn void give_up(const char *why)
{
    say(why);
    syscall(SYS_exit_group, EXIT_MACHINE);
    __builtin_unreachable();
}

static bool store_is(const char *kind)
{
    return strncmp(settings.store, kind, strlen(kind)) == 0;
}

static const char *why_not_copied(void)
{
    return store_is("swap:") || store_is("file:")
               ? "the memory of the parent cannot be copied to a file of the child's (no room, or an error)"
               : "the memory of the parent cannot be copied, only its own process can read such a --store: "
                 "programs that fork want swap:FOLDER or file:PATH";
}

static struct store *reopen(const struct quire_mapping *mapping, void *context)
{
    /* A file of a name is the parent's. */
    const char *name =
        store_is("swap:") || store_is("lz4:") || store_is("zstd:") ? settings.store : "swap:/var/tmp";
    struct store *store = NULL;

    return library.quire_store_open(name, mapping->offset + mapping->length, &store, context) == ST_OK ? store
                                                                                                       : NULL;
}

static void be_child(struct robust_list_head *robust, size_t robust_bytes)
{
    struct quire_options options = pager_options();
    struct quire_error error = {"no memory"};

    options.record = NULL; /* the trace is the parent's */
    if (robust) {          /* the child holds no mutex */
        robust->list.next = &robust->list;
        syscall(SYS_set_robust_list, robust, robust_bytes);
    }
    held_by_nobody();
    if (library.quire_fork_child(pager, &options, reopen, &error, &pager, &error) != ST_OK)
        give_up(error.text);
    if (!memory_inherit() || !files_inherit())
        give_up(why_not_copied());
    if (library.quire_inherited(pager, options.handlers) != ST_OK)
        give_up("no memory for threads");
}

bool fork_inherit(uintptr_t start, size_t length)
{
    bool good = true;

    for (size_t at = 0, bytes; at < length && good; at += bytes) {
        bytes = length - at < PIECE_BYTES ? length - at : PIECE_BYTES;
        good = library.quire_inherit((void *)(start + at), bytes) == ST_OK;
        (void)!syscall(SYS_write, told_fd, "", 1);
    }
    return good;
}

/* Until the child has its copy, or has ended. False: it does not get on. */
static bool wait_for_child(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char pieces[64];
    int polled;

    do
        polled = poll(&ready, 1, (int)settings.deadline_ms);
    while (polled < 0 ? errno == EINTR : polled > 0 && syscall(SYS_read, fd, pieces, sizeof(pieces)) > 0);
    return polled != 0;
}

/* The program never hears of it. One that the kernel cannot end yet is left for it to wait for. */
static void end_child(pid_t child)
{
    struct timespec time = {.tv_nsec = REAP_MS * 1000000};

    say("a child did not get on with the copy of its memory for as long as --deadline says, and was ended");
    syscall(SYS_kill, child, SIGKILL);
    for (int i = 0; i < REAP_TRIES && syscall(SYS_wait4, child, NULL, WNOHANG, NULL) == 0; i++)
        syscall(SYS_nanosleep, &time, NULL);
}

static void hold(bool begin)
{
    if (!begin)
        files_hold(false);
    memory_hold(begin);
    if (begin)
        files_hold(true);
}

static pid_t make_child(void)
{
    struct robust_list_head *robust = NULL;
    size_t robust_bytes = 0;
    int told[2]; /* closed in programs that other threads start meanwhile */
    long child;
    bool done;

    if (pipe2(told, O_CLOEXEC) != 0)
        return -1;
    syscall(SYS_get_robust_list, 0, &robust, &robust_bytes);
    child = syscall(SYS_clone, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL,
                    &thread_words()[identity_at], 0);
    if (child == 0) {
        syscall(SYS_close, told[0]);
        told_fd = told[1];
        be_child(robust, robust_bytes);
        syscall(SYS_close, told[1]);
        return 0;
    }
    syscall(SYS_close, told[1]);
    done = child < 0 || wait_for_child(told[0]);
    syscall(SYS_close, told[0]);
    if (!done) {
        end_child((pid_t)child);
        errno = EAGAIN;
        return -1;
    }
    return (pid_t)child;
}

static pid_t our_fork(void)
{
    sigset_t all, saved;
    pid_t child = -1;
    int error;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &saved);
    hold(true);
    if (library.quire_fork_begin(pager) == ST_OK) {
        struct quire_pager *ours = pager;

        child = make_child();
        error = errno;
        if (child != 0)
            library.quire_fork_end(ours);
    } else {
        error = EAGAIN;
    }
    hold(false);
    sigprocmask(SIG_SETMASK, &saved, NULL);
    errno = error;
    return child;
}

bool fork_start(void)
{
    return find_identity() && patch_function("_Fork", our_fork);
}
