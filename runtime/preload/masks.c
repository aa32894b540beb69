/*
 * Signals, as the program sees them: the one that tells of faults (SIGBUS; without userfaultfd, SIGSEGV too)
 * is ours. It is never blocked, since the kernel ends a process that faults while it is; and its handler
 * stays libquire's, who calls the program's for what is none of ours.
 *
 * A mask that the program sets loses these signals on the way. When it reads it back it does not see them.
 */
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "gate.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* The kernel's struct sigaction. */
struct kernel_action {
    void *handler;
    uint64_t flags;
    void *restorer;
    uint64_t mask;
};

static uint64_t ours; /* a bit for each signal */

static uint64_t bit_of(unsigned signal)
{
    return (uint64_t)1 << (signal - 1);
}

void masks_start(bool by_protection)
{
    ours = bit_of(SIGBUS) | (by_protection ? bit_of(SIGSEGV) : 0);
}

/* Which word of the call is the address of a mask; -1: none. */
static int mask_word(long number)
{
    switch (number) {
    case SYS_rt_sigsuspend:
        return 0;
    case SYS_rt_sigprocmask:
        return 1;
    case SYS_ppoll:
        return 3;
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
        return 4;
    case SYS_pselect6:
        return 5;
    default:
        return -1;
    }
}

bool masks_are(long number)
{
    return mask_word(number) >= 0;
}

void masks_strip(struct call *call, struct own_mask *own)
{
    int word = mask_word(call->number);
    uint64_t address = word >= 0 ? call->words[word] : 0;

    if (address == 0 || (call->number == SYS_rt_sigprocmask && call->words[0] == SIG_UNBLOCK))
        return;
    call->words[word] = (uintptr_t)&own->mask;
    if (call->number == SYS_pselect6) {
        own->pair.address = ((const uint64_t *)(uintptr_t)address)[0];
        own->pair.bytes = ((const uint64_t *)(uintptr_t)address)[1];
        address = own->pair.address;
        if (address != 0)
            own->pair.address = (uintptr_t)&own->mask;
        call->words[word] = (uintptr_t)&own->pair;
    }
    if (address != 0)
        own->mask = *(const uint64_t *)(uintptr_t)address & ~ours;
}

/* ------------------------------------------------------------------ handlers */

static void to_kernel(const struct sigaction *action, struct kernel_action *kernel)
{
    kernel->handler =
        action->sa_flags & SA_SIGINFO ? (void *)action->sa_sigaction : (void *)action->sa_handler;
    kernel->flags = (uint32_t)action->sa_flags;
    kernel->restorer = (void *)action->sa_restorer;
    memcpy(&kernel->mask, &action->sa_mask, sizeof(kernel->mask));
}

static void from_kernel(const struct kernel_action *kernel, struct sigaction *action)
{
    memset(action, 0, sizeof(*action));
    action->sa_flags = (int)kernel->flags;
    if (kernel->flags & SA_SIGINFO)
        action->sa_sigaction = (void (*)(int, siginfo_t *, void *))kernel->handler;
    else
        action->sa_handler = (void (*)(int))kernel->handler;
    action->sa_restorer = (void (*)(void))kernel->restorer;
    memcpy(&action->sa_mask, &kernel->mask, sizeof(kernel->mask));
}

static long change_ours(int signal, const struct kernel_action *wanted, struct kernel_action *before)
{
    struct sigaction next, last;

    if (wanted)
        from_kernel(wanted, &next);
    library.quire_chain(signal, wanted ? &next : NULL, &last);
    if (before)
        to_kernel(&last, before);
    return 0;
}

long masks_action(const struct call *call)
{
    const struct kernel_action *wanted = (const struct kernel_action *)(uintptr_t)call->words[1];
    struct kernel_action *before = (struct kernel_action *)(uintptr_t)call->words[2], without = {0}, last;
    int signal = (int)call->words[0];
    uint64_t words[6] = {call->words[0], 0, (uintptr_t)&last, call->words[3]};
    long result;

    if (signal > 0 && signal <= 64 && (bit_of((unsigned)signal) & ours))
        return change_ours(signal, wanted, before);
    if (wanted) {
        without = *wanted;
        without.mask &= ~ours;
        words[1] = (uintptr_t)&without;
    }
    result = gate_make(SYS_rt_sigaction, words);
    if (result == 0 && before)
        *before = last;
    return result;
}
