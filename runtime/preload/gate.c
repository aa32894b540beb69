/*
 * What system calls do with memory, as a table: for each argument that is an address, how much is read or
 * written there. Calls that are not in it, and addresses that no argument tells (of io_uring, of the kernel's
 * asynchronous I/O, of another process), are made as they are; the manual of each is in section 2 of the
 * Linux man-pages, the sizes are those of the kernel's structures on x86-64.
 */
#include "gate.h"

#include <cpuid.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#define FUTEX_LOCK_PI2_ 13

/* How many bytes an operand has. */
enum extent {
    NO_OPERAND,
    FIXED,   /* `size` */
    COUNTED, /* `size` times the argument `by`, which is an int where `size` is not 1 */
    STRING,
    THROUGH, /* as the int says that argument `by` points to: which is written to as well */
    BITS     /* a set of as many bits as argument 0 says */
};

struct operand {
    uint8_t extent, argument, by, write;
    uint16_t size;
};

enum { MOST_OPERANDS = 5, EVERYTHING = UINT8_MAX };
struct kind {
    struct operand operands[MOST_OPERANDS];
};

#define READ(argument, size)                                                                                 \
    {                                                                                                        \
        FIXED, argument, 0, false, size                                                                      \
    }
#define WRITE(argument, size)                                                                                \
    {                                                                                                        \
        FIXED, argument, 0, true, size                                                                       \
    }
#define READ_OF(argument, by, size)                                                                          \
    {                                                                                                        \
        COUNTED, argument, by, false, size                                                                   \
    }
#define WRITE_OF(argument, by, size)                                                                         \
    {                                                                                                        \
        COUNTED, argument, by, true, size                                                                    \
    }
#define TEXT(argument)                                                                                       \
    {                                                                                                        \
        STRING, argument, 0, false, 0                                                                        \
    }
#define RESULT(argument, by)                                                                                 \
    {                                                                                                        \
        THROUGH, argument, by, true, 0                                                                       \
    }
#define SET(argument)                                                                                        \
    {                                                                                                        \
        BITS, argument, 0, true, 0                                                                           \
    }
#define CALL(name, ...) [SYS_##name] = {{__VA_ARGS__}}

static const struct kind kinds[GATE_CALLS] = {
    /* files, by name */
    CALL(open, TEXT(0)),
    CALL(openat, TEXT(1)),
    CALL(openat2, TEXT(1), READ_OF(2, 3, 1)),
    CALL(creat, TEXT(0)),
    CALL(stat, TEXT(0), WRITE(1, 144)),
    CALL(lstat, TEXT(0), WRITE(1, 144)),
    CALL(newfstatat, TEXT(1), WRITE(2, 144)),
    CALL(statx, TEXT(1), WRITE(4, 256)),
    CALL(access, TEXT(0)),
    CALL(faccessat, TEXT(1)),
    CALL(faccessat2, TEXT(1)),
    CALL(readlink, TEXT(0), WRITE_OF(1, 2, 1)),
    CALL(readlinkat, TEXT(1), WRITE_OF(2, 3, 1)),
    CALL(getcwd, WRITE_OF(0, 1, 1)),
    CALL(chdir, TEXT(0)),
    CALL(chroot, TEXT(0)),
    CALL(mkdir, TEXT(0)),
    CALL(mkdirat, TEXT(1)),
    CALL(rmdir, TEXT(0)),
    CALL(rename, TEXT(0), TEXT(1)),
    CALL(renameat, TEXT(1), TEXT(3)),
    CALL(renameat2, TEXT(1), TEXT(3)),
    CALL(link, TEXT(0), TEXT(1)),
    CALL(linkat, TEXT(1), TEXT(3)),
    CALL(symlink, TEXT(0), TEXT(1)),
    CALL(symlinkat, TEXT(0), TEXT(2)),
    CALL(unlink, TEXT(0)),
    CALL(unlinkat, TEXT(1)),
    CALL(chmod, TEXT(0)),
    CALL(fchmodat, TEXT(1)),
    CALL(chown, TEXT(0)),
    CALL(lchown, TEXT(0)),
    CALL(fchownat, TEXT(1)),
    CALL(truncate, TEXT(0)),
    CALL(utime, TEXT(0), READ(1, 16)),
    CALL(utimes, TEXT(0), READ(1, 32)),
    CALL(futimesat, TEXT(1), READ(2, 32)),
    CALL(utimensat, TEXT(1), READ(2, 32)),
    CALL(mknod, TEXT(0)),
    CALL(mknodat, TEXT(1)),
    CALL(statfs, TEXT(0), WRITE(1, 120)),
    CALL(setxattr, TEXT(0), TEXT(1), READ_OF(2, 3, 1)),
    CALL(lsetxattr, TEXT(0), TEXT(1), READ_OF(2, 3, 1)),
    CALL(getxattr, TEXT(0), TEXT(1), WRITE_OF(2, 3, 1)),
    CALL(lgetxattr, TEXT(0), TEXT(1), WRITE_OF(2, 3, 1)),
    CALL(listxattr, TEXT(0), WRITE_OF(1, 2, 1)),
    CALL(llistxattr, TEXT(0), WRITE_OF(1, 2, 1)),
    CALL(removexattr, TEXT(0), TEXT(1)),
    CALL(lremovexattr, TEXT(0), TEXT(1)),
    CALL(memfd_create, TEXT(0)),
    CALL(inotify_add_watch, TEXT(1)),
    CALL(mq_open, TEXT(0), READ(3, 64)),
    CALL(mq_unlink, TEXT(0)),
    CALL(mount, TEXT(0), TEXT(1), TEXT(2), TEXT(4)),
    CALL(umount2, TEXT(0)),
    /* files, by descriptor; those that read and write are in transfer.c */
    CALL(fstat, WRITE(1, 144)),
    CALL(fstatfs, WRITE(1, 120)),
    CALL(fsetxattr, TEXT(1), READ_OF(2, 3, 1)),
    CALL(fgetxattr, TEXT(1), WRITE_OF(2, 3, 1)),
    CALL(flistxattr, WRITE_OF(1, 2, 1)),
    CALL(fremovexattr, TEXT(1)),
    CALL(getdents, WRITE_OF(1, 2, 1)),
    CALL(getdents64, WRITE_OF(1, 2, 1)),
    CALL(fcntl, WRITE(2, 32)),
    CALL(sendfile, WRITE(2, 8)),
    CALL(copy_file_range, WRITE(1, 8), WRITE(3, 8)),
    CALL(splice, WRITE(1, 8), WRITE(3, 8)),
    CALL(pipe, WRITE(0, 8)),
    CALL(pipe2, WRITE(0, 8)),
    /* waiting */
    CALL(poll, WRITE_OF(0, 1, 8)),
    CALL(ppoll, WRITE_OF(0, 1, 8), WRITE(2, 16)),
    CALL(select, SET(1), SET(2), SET(3), WRITE(4, 16)),
    CALL(pselect6, SET(1), SET(2), SET(3), WRITE(4, 16)),
    CALL(epoll_ctl, READ(3, 12)),
    CALL(epoll_wait, WRITE_OF(1, 2, 12)),
    CALL(epoll_pwait, WRITE_OF(1, 2, 12)),
    CALL(epoll_pwait2, WRITE_OF(1, 2, 12), READ(3, 16)),
    CALL(wait4, WRITE(1, 4), WRITE(3, 144)),
    CALL(waitid, WRITE(2, 128), WRITE(4, 144)),
    /* sockets */
    CALL(socketpair, WRITE(3, 8)),
    CALL(bind, READ_OF(1, 2, 1)),
    CALL(connect, READ_OF(1, 2, 1)),
    CALL(accept, RESULT(1, 2)),
    CALL(accept4, RESULT(1, 2)),
    CALL(getsockname, RESULT(1, 2)),
    CALL(getpeername, RESULT(1, 2)),
    CALL(setsockopt, READ_OF(3, 4, 1)),
    CALL(getsockopt, RESULT(3, 4)),
    /* time */
    CALL(time, WRITE(0, 8)),
    CALL(times, WRITE(0, 32)),
    CALL(gettimeofday, WRITE(0, 16), WRITE(1, 8)),
    CALL(clock_gettime, WRITE(1, 16)),
    CALL(clock_getres, WRITE(1, 16)),
    CALL(clock_settime, READ(1, 16)),
    CALL(nanosleep, READ(0, 16), WRITE(1, 16)),
    CALL(clock_nanosleep, READ(2, 16), WRITE(3, 16)),
    CALL(getitimer, WRITE(1, 32)),
    CALL(setitimer, READ(1, 32), WRITE(2, 32)),
    CALL(timer_create, READ(1, 64), WRITE(2, 4)),
    CALL(timer_gettime, WRITE(1, 32)),
    CALL(timer_settime, READ(2, 32), WRITE(3, 32)),
    CALL(timerfd_gettime, WRITE(1, 32)),
    CALL(timerfd_settime, READ(2, 32), WRITE(3, 32)),
    /* processes and the system */
    CALL(uname, WRITE(0, 390)),
    CALL(sysinfo, WRITE(0, 112)),
    CALL(syslog, WRITE_OF(1, 2, 1)),
    CALL(getrusage, WRITE(1, 144)),
    CALL(getrlimit, WRITE(1, 16)),
    CALL(setrlimit, READ(1, 16)),
    CALL(prlimit64, READ(2, 16), WRITE(3, 16)),
    CALL(getgroups, WRITE_OF(1, 0, 4)),
    CALL(setgroups, READ_OF(1, 0, 4)),
    CALL(getresuid, WRITE(0, 4), WRITE(1, 4), WRITE(2, 4)),
    CALL(getresgid, WRITE(0, 4), WRITE(1, 4), WRITE(2, 4)),
    CALL(capget, WRITE(0, 8), WRITE(1, 24)),
    CALL(capset, WRITE(0, 8), READ(1, 24)),
    CALL(getcpu, WRITE(0, 4), WRITE(1, 4)),
    CALL(sched_getaffinity, WRITE_OF(2, 1, 1)),
    CALL(sched_setaffinity, READ_OF(2, 1, 1)),
    CALL(sched_getparam, WRITE(1, 4)),
    CALL(sched_setparam, READ(1, 4)),
    CALL(sched_setscheduler, READ(2, 4)),
    CALL(sched_rr_get_interval, WRITE(1, 16)),
    CALL(prctl, WRITE(1, 64)),
    CALL(rt_sigprocmask, WRITE(2, 8)),
    CALL(sigaltstack, READ(0, 24), WRITE(1, 24)),
    CALL(rt_sigpending, WRITE_OF(0, 1, 1)),
    CALL(rt_sigqueueinfo, READ(2, 128)),
    CALL(rt_tgsigqueueinfo, READ(3, 128)),
    CALL(rt_sigtimedwait, READ(0, 8), WRITE(1, 128), READ(2, 16)),
    CALL(signalfd, READ(1, 8)),
    CALL(signalfd4, READ(1, 8)),
    /* System V, and queues */
    CALL(semop, READ_OF(1, 2, 6)),
    CALL(semtimedop, READ_OF(1, 2, 6), READ(3, 16)),
    CALL(semctl, WRITE(3, 128)),
    CALL(shmctl, WRITE(2, 112)),
    CALL(msgctl, WRITE(2, 120)),
    CALL(msgsnd, READ(1, 8), READ_OF(1, 2, 1)),
    CALL(msgrcv, WRITE(1, 8), WRITE_OF(1, 2, 1)),
    CALL(mq_timedsend, READ_OF(1, 2, 1), READ(4, 16)),
    CALL(mq_timedreceive, WRITE_OF(1, 2, 1), WRITE(3, 4), READ(4, 16)),
};

/* By number: words that may be addresses, a bit each; EVERYTHING: it is ours whatever they are. Read by
 * gate.S, look.c. */
uint8_t gate_asks[GATE_CALLS];
uint64_t gate_state_bytes; /* of the vector registers, as gate.S saves them */
uint8_t gate_state_is_compact;
struct sites gate_sites;

long gate_call(const struct call *call);

long gate_make(long number, const uint64_t words[6])
{
#ifdef __x86_64__
    register uint64_t fourth __asm__("r10") = words[3], fifth __asm__("r8") = words[4],
                             sixth __asm__("r9") = words[5];
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(words[0]), "S"(words[1]), "d"(words[2]), "r"(fourth), "r"(fifth),
                       "r"(sixth)
                     : "rcx", "r11", "memory");
    return result;
#else
    return -ENOSYS;
#endif
}

bool paged_part(uintptr_t start, size_t *bytes)
{
    uint64_t left = paged_arena_start + paged_arena_bytes - start;

    if (start - paged_arena_start >= paged_arena_bytes)
        return files_part(start, bytes);
    if (*bytes > left)
        *bytes = left;
    return true;
}

/* ------------------------------------------------------------------ special ones */

/* Waiting begins with a look at the word, and waking may change it. Nothing has happened when the kernel says
 * EFAULT, and who waits is found by the address: so nothing is held meanwhile. */
static long make_futex(const struct call *call)
{
    int op = (int)call->words[1] & FUTEX_CMD_MASK;
    bool changes = op == FUTEX_LOCK_PI || op == FUTEX_UNLOCK_PI || op == FUTEX_TRYLOCK_PI ||
                   op == FUTEX_LOCK_PI2_ || op == FUTEX_WAIT_REQUEUE_PI;
    bool two = op == FUTEX_REQUEUE || op == FUTEX_CMP_REQUEUE || op == FUTEX_WAKE_OP ||
               op == FUTEX_WAIT_REQUEUE_PI || op == FUTEX_CMP_REQUEUE_PI;
    bool timed = op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET || op == FUTEX_LOCK_PI ||
                 op == FUTEX_LOCK_PI2_ || op == FUTEX_WAIT_REQUEUE_PI;
    struct held held;

    held_begin_loose(&held);
    held_add(&held, call->words[0], 4, changes);
    if (two)
        held_add(&held, call->words[4], 4, true);
    if (timed)
        held_add(&held, call->words[3], 16, false);
    return held_call(&held, call->number, call->words);
}

/* The encoding says how much, of most. */
static long make_ioctl(const struct call *call)
{
    enum { UNKNOWN = 256 };
    uint64_t size = call->words[1] >> 16 & 0x3fff;
    struct held *held = held_begin();
    long result;

    if (!held)
        return -ENOMEM;
    held_add(held, call->words[2], size ? size : UNKNOWN, true);
    result = held_call(held, call->number, call->words);
    held_end(held);
    return result;
}

/* NULL-terminated, in memory that may be paged; all is read before the program is replaced, and a failure has
 * changed nothing. Nothing is held: a program that begins gives nothing back. */
static void bring_list(struct held *held, uint64_t address)
{
    const char *const volatile *list = (const char *const volatile *)(uintptr_t)address;

    if (!list)
        return;
    for (; *list; list++)
        held_add_string(held, (uintptr_t)*list);
    held_add(held, address, (uintptr_t)(list + 1) - address, false);
}

static long make_exec(const struct call *call)
{
    enum { TRIES = 1000 };
    unsigned first = call->number == SYS_execveat, tries = 0;
    struct held held;
    long result;

    do {
        held_begin_loose(&held);
        held_add_string(&held, call->words[first]);
        bring_list(&held, call->words[first + 1]);
        bring_list(&held, call->words[first + 2]);
        result = gate_make(call->number, call->words);
    } while (result == -EFAULT && tries++ < TRIES);
    return result;
}

/* ------------------------------------------------------------------ by the table */

static uint64_t bytes_of(const struct operand *operand, const struct call *call)
{
    uint64_t by = call->words[operand->by];

    switch (operand->extent) {
    case COUNTED:
        return operand->size == 1 ? by : (uint64_t)(uint32_t)by * operand->size;
    case BITS:
        return ((uint64_t)(uint32_t)call->words[0] + 63) / 64 * 8;
    default:
        return operand->size;
    }
}

static void hold_operand(struct held *held, const struct operand *operand, const struct call *call)
{
    uint64_t address = call->words[operand->argument];

    switch (operand->extent) {
    case STRING:
        held_add_string(held, address);
        break;
    case THROUGH:
        held_add(held, call->words[operand->by], sizeof(uint32_t), true);
        if (address && call->words[operand->by])
            held_add(held, address, *(const uint32_t *)(uintptr_t)call->words[operand->by], true);
        break;
    default:
        held_add(held, address, bytes_of(operand, call), operand->write);
    }
}

static long make_by_table(const struct call *call)
{
    const struct kind *kind = &kinds[call->number];
    struct held *held = held_begin();
    long result;

    if (!held)
        return -ENOMEM;
    for (unsigned i = 0; i < MOST_OPERANDS && kind->operands[i].extent != NO_OPERAND; i++)
        hold_operand(held, &kind->operands[i], call);
    result = held_call(held, call->number, call->words);
    held_end(held);
    return result;
}

/* ------------------------------------------------------------------ the gate */

static long make(const struct call *call)
{
    switch (call->number) {
    case SYS_futex:
        return make_futex(call);
    case SYS_ioctl:
        return make_ioctl(call);
    case SYS_execve:
    case SYS_execveat:
        return make_exec(call);
    case SYS_io_uring_setup: /* the kernel would read and write by itself, at any time */
    case SYS_io_setup:
        return -ENOSYS;
    case SYS_mlock: /* what is paged is not locked, and must not be brought in as a whole */
    case SYS_mlock2:
    case SYS_munlock:
        return 0;
    case SYS_rt_sigaction:
        return masks_action(call);
    case SYS_sigaltstack:
        held_stack(call->words[0]);
        return make_by_table(call);
    default:
        return transfer_is(call->number) ? transfer_make(call) : make_by_table(call);
    }
}

/* From gate.S. */
long gate_call(const struct call *call)
{
    struct call ours = *call;
    struct own_mask own;

    masks_strip(&ours, &own);
    return make(&ours);
}

static uint8_t words_of(long number)
{
    uint8_t words = 0;

    for (unsigned i = 0; i < MOST_OPERANDS && kinds[number].operands[i].extent != NO_OPERAND; i++) {
        words |= (uint8_t)(1 << kinds[number].operands[i].argument);
        if (kinds[number].operands[i].extent == THROUGH)
            words |= (uint8_t)(1 << kinds[number].operands[i].by);
    }
    return words;
}

static void set_asks(void)
{
    static const struct {
        uint16_t number;
        uint8_t asks;
    } others[] = {{SYS_futex, 1 << 0 | 1 << 3 | 1 << 4},
                  {SYS_ioctl, 1 << 2},
                  {SYS_mlock, 1 << 0},
                  {SYS_mlock2, 1 << 0},
                  {SYS_munlock, 1 << 0},
                  {SYS_execve, EVERYTHING},
                  {SYS_execveat, EVERYTHING},
                  {SYS_sigaltstack, EVERYTHING},
                  {SYS_io_uring_setup, EVERYTHING},
                  {SYS_io_setup, EVERYTHING},
                  {SYS_rt_sigaction, EVERYTHING}};

    for (long number = 0; number < GATE_CALLS; number++)
        gate_asks[number] = masks_are(number) ? EVERYTHING : words_of(number) | transfer_words(number);
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        gate_asks[others[i].number] = others[i].asks;
}

/* Intel's manual, volume 1, 13.2: how much XSAVE and XSAVEC write. */
static bool measure_state(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || !(c & bit_OSXSAVE) ||
        !__get_cpuid_count(0xd, 1, &a, &b, &c, &d))
        return false;
    gate_state_is_compact = (a & 2) != 0;
    gate_state_bytes = b;
    if (!gate_state_is_compact) {
        __get_cpuid_count(0xd, 0, &a, &b, &c, &d);
        gate_state_bytes = b;
    }
    return gate_state_bytes > 0;
}

bool gate_start(uint64_t budget)
{
    if (!measure_state() || !held_start(budget))
        return false;
    set_asks();
    return sites_change(&gate_sites);
}
