/*
 * The signals that the kernel sends when a page of a region is touched that is not there, or written to and
 * not open: SIGBUS with userfaultfd, SIGSEGV with mprotect() (appear.c). The handler has the page brought in
 * (fault.c), and the access is made again.
 *
 * What is not ours goes on to the handler that was there before. A page that cannot be brought in is SIGBUS
 * to the program, whichever signal told us of it.
 *
 * Only async-signal-safe calls are made here, nothing is allocated and no lock is taken: the interrupted code
 * may be anything, malloc() included. All signals are blocked while the handler runs.
 */
#include "pager.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    MOST_SPURIOUS = 100000 /* faults in a row of one thread at one address where all was well already */
};

/* initial-exec: an access never allocates. */
static _Thread_local __attribute__((tls_model("initial-exec"))) struct {
    const void *address;
    unsigned count;
} spurious;

/* To whom goes what is not ours. Changed while faults are served, so the next one has a place of its own. */
enum { CHAIN = 16 };
static struct chain {
    struct sigaction of[CHAIN];
    _Atomic uint32_t now;
} bus_chain, segv_chain;

static struct chain *chain_of(int signal)
{
    return signal == SIGBUS ? &bus_chain : &segv_chain;
}

static const struct sigaction *chain_now(const struct chain *chain)
{
    return &chain->of[atomic_load(&chain->now)];
}

static void chain_set(struct chain *chain, const struct sigaction *action)
{
    uint32_t next = (atomic_load(&chain->now) + 1) % CHAIN;

    chain->of[next] = *action;
    atomic_store(&chain->now, next);
}

static bool is_write(const void *context)
{
#ifdef __x86_64__
    return (((const ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2) != 0; /* W/R of the error code */
#else
    return true; /* not known: pages then count as written */
#endif
}

/* The same access again and again, though the page is there: a fault that is not about paging. */
static bool goes_on(const void *address)
{
    if (spurious.address != address) {
        spurious.address = address;
        spurious.count = 0;
    }
    return ++spurious.count < MOST_SPURIOUS;
}

static size_t put_text(char *line, size_t at, const char *text)
{
    for (; *text; text++)
        line[at++] = *text;
    return at;
}

static size_t put_number(char *line, size_t at, uint64_t number, unsigned base)
{
    char digits[20];
    unsigned count = 0;

    do
        digits[count++] = "0123456789abcdef"[number % base];
    while ((number /= base) > 0);
    while (count > 0)
        line[at++] = digits[--count];
    return at;
}

/* The process is about to end by the signal. */
void fault_say_why(struct place place, enum status status)
{
    char line[256];
    size_t at = put_text(line, 0, "quire: page ");

    at = put_number(line, at, place.page, 10);
    at = put_text(line, at, " of the region at 0x");
    at = put_number(line, at, (uintptr_t)place.region->start, 16);
    at = put_text(line, at,
                  status == ST_LIMIT ? " cannot come: no page of the budget can go (pinned, or not to be "
                                       "written to their stores)\n"
                  : status == ST_OK  ? ": the kernel says SIGBUS, and the page is there\n"
                                     : " cannot be brought in: ");
    if (status != ST_LIMIT && status != ST_OK) {
        at = put_text(line, at, status_name(status));
        at = put_text(line, at, "\n");
    }
    (void)!write(STDERR_FILENO, line, at);
}

/* Does the signal say that a page is to be brought in? */
static bool is_ours(int signal, const struct region *region, bool write)
{
    switch (region->pager->way) {
    case QUIRE_WAY_PROTECT:
        return signal == SIGSEGV && !(write && (region->mapping.flags & QUIRE_READ_ONLY));
    case QUIRE_WAY_PINS:
        return false;
    default:
        return signal == SIGBUS;
    }
}

/* ST_NOT_MAPPED: it is not ours. */
static enum status serve(int signal, const siginfo_t *info, const void *context, struct place *place)
{
    bool write = is_write(context);

    place->region = info->si_code > 0 ? region_at(info->si_addr) : NULL;
    if (!place->region)
        return ST_NOT_MAPPED;
    place->page = (uint64_t)((const uint8_t *)info->si_addr - place->region->start) / PAGE_SIZE;
    if (!is_ours(signal, place->region, write))
        return ST_NOT_MAPPED;
    if (!goes_on(info->si_addr))
        return ST_DIFFERENT;
    return page_bring(*place, write);
}

bool quire_fault(int signal, void *info, void *context)
{
    struct place place;
    int saved = errno;
    bool served = (signal == SIGBUS || signal == SIGSEGV) && serve(signal, info, context, &place) == ST_OK;

    errno = saved;
    return served;
}

static bool has_handler(const struct sigaction *before)
{
    return (before->sa_flags & SA_SIGINFO) ||
           (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN);
}

/* What the program blocks while its handler runs; but never what tells us of faults, which it may make. */
static void set_mask_of(const struct sigaction *action, int signal, const ucontext_t *context)
{
    sigset_t mask;

    sigorset(&mask, &context->uc_sigmask, &action->sa_mask);
    if (!(action->sa_flags & SA_NODEFER))
        sigaddset(&mask, signal);
    sigdelset(&mask, SIGBUS);
    sigdelset(&mask, SIGSEGV);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* To whom it went before. Without a handler, the access is made again and ends the process. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    const struct sigaction before = *chain_now(chain_of(signal)), standard = {.sa_handler = SIG_DFL};

    if (has_handler(&before)) {
        set_mask_of(&before, signal, context);
        if (before.sa_flags & (int)SA_RESETHAND)
            chain_set(chain_of(signal), &standard);
        if (before.sa_flags & SA_SIGINFO)
            before.sa_sigaction(signal, info, context);
        else
            before.sa_handler(signal);
    } else {
        sigaction(signal, &standard, NULL);
        if (info->si_code <= 0) /* sent by kill(): nothing is made again */
            raise(signal);
    }
}

/* The page cannot come. */
static void refuse(siginfo_t *info, void *context, struct place place, enum status status)
{
    siginfo_t bus = *info;

    if (!has_handler(chain_now(&bus_chain))) {
        struct sigaction standard = {.sa_handler = SIG_DFL};

        fault_say_why(place, status);
        sigaction(SIGBUS, &standard, NULL);
        if (info->si_signo != SIGBUS)
            raise(SIGBUS); /* comes when the handler returns, before the access is made again */
        return;
    }
    bus.si_signo = SIGBUS;
    bus.si_code = BUS_ADRERR;
    pass_on(SIGBUS, &bus, context);
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    struct place place = {0};
    int saved = errno;
    enum status status = serve(signal, info, context, &place);

    if (status == ST_NOT_MAPPED)
        pass_on(signal, info, context);
    else if (status != ST_OK)
        refuse(info, context, place, status);
    errno = saved;
}

static enum status install(int signal)
{
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART},
                     before;

    sigfillset(&ours.sa_mask);
    if (sigaction(signal, NULL, &before) != 0)
        return ST_UNSUPPORTED;
    if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction == on_fault)
        return ST_OK;
    chain_set(chain_of(signal), &before);
    return sigaction(signal, &ours, NULL) == 0 ? ST_OK : ST_UNSUPPORTED;
}

enum status fault_handler_install(enum quire_way way)
{
    enum status status = way == QUIRE_WAY_PINS ? ST_OK : install(SIGBUS);

    return status == ST_OK && way == QUIRE_WAY_PROTECT ? install(SIGSEGV) : status;
}

void quire_chain(int signal, const struct sigaction *next, struct sigaction *last)
{
    struct chain *chain = chain_of(signal);

    if (last)
        *last = *chain_now(chain);
    if (next)
        chain_set(chain, next);
}
