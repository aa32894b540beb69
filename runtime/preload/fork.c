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
 * A child that cannot have its memory ends, with status 125 and a line that says why.
 */
#include "gate.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    EXIT_MACHINE = 125,
    THREAD_WORDS = 576 /* in which a thread's identity is sought */,
    LONGEST_MS = 600000
};

static size_t identity_at; /* the word of a thread's descriptor that is its identity */

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

static _Noreturn void give_up(const char *why)
{
    char line[320];
    int length = snprintf(line, sizeof(line), "quire: run: fork: %s\n", why);

    (void)!syscall(SYS_write, STDERR_FILENO, line, length);
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

/* Until the child has its copy, or has ended. */
static void wait_for_child(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    while (poll(&ready, 1, LONGEST_MS) < 0 && errno == EINTR)
        ;
    syscall(SYS_close, fd);
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
    int told[2];
    long child;

    if (pipe(told) != 0)
        return -1;
    syscall(SYS_get_robust_list, 0, &robust, &robust_bytes);
    child = syscall(SYS_clone, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL,
                    &thread_words()[identity_at], 0);
    if (child == 0) {
        syscall(SYS_close, told[0]);
        be_child(robust, robust_bytes);
        syscall(SYS_close, told[1]);
        return 0;
    }
    syscall(SYS_close, told[1]);
    wait_for_child(told[0]);
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
