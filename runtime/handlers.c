/*
 * Faults served by threads of the runtime: the way that system calls of the program see as well. The kernel
 * puts who touches an absent page to sleep, also in the midst of a system call, and sends us a message; one
 * of a few threads reads it, brings the page in (fault.c) and wakes who sleeps.
 *
 * It costs two changes of threads a fault, where the faulting thread's own signal costs none (fault.c), and a
 * privilege: so it is asked for by quire_options.handlers.
 *
 * A page that cannot come is poisoned: whoever waits for it gets SIGBUS. The poison is taken away after a
 * while, so that a later access asks the store again. Before Linux 6.6 there is no poison; the thread gets a
 * SIGBUS that is sent, with the address in it.
 *
 * The threads touch no region themselves, get no signals, and end with the pager.
 */
#include "pager.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_HANDLERS = 32, MOST_POISONED = 16, POISON_MS = 200, FAULTERS = 64 };

struct handlers {
    struct quire_pager *pager;
    unsigned count;
    struct thread thread[MOST_HANDLERS];
    int stop;                         /* an eventfd */
    struct streams streams[FAULTERS]; /* by who faults; two threads may share one */
};

/* What one thread has poisoned. */
struct poisoned {
    void *address[MOST_POISONED];
    unsigned count;
};

static void heal(struct poisoned *poisoned)
{
    for (unsigned i = 0; i < poisoned->count; i++) {
        struct region *region = region_at(poisoned->address[i]);

        if (region)
            madvise(poisoned->address[i], PAGE_SIZE, MADV_DONTNEED);
    }
    poisoned->count = 0;
}

static void send_signal(const struct uffd_fault *fault)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = SIGBUS;
    info.si_code = SI_QUEUE; /* Linux lets nobody send a greater one */
    info.si_addr = fault->address;
    syscall(SYS_rt_tgsigqueueinfo, getpid(), fault->thread, SIGBUS, &info);
}

/* The program's handler of SIGBUS is to say it, if there is one. */
static void say_unless_handled(struct place place, enum status status)
{
    struct sigaction now;

    if (sigaction(SIGBUS, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
        fault_say_why(place, status);
}

/* Linux poisons no page that it has noted as write-protected when it went. */
static bool poison(struct quire_pager *pager, void *address)
{
    return uffd_poison(pager->uffd, address) ||
           (uffd_protect(pager->uffd, address, PAGE_SIZE, false) == ST_OK &&
            uffd_poison(pager->uffd, address));
}

static void refuse(struct quire_pager *pager, struct poisoned *poisoned, const struct uffd_fault *fault,
                   struct place place, enum status status)
{
    say_unless_handled(place, status);
    if (poisoned->count == MOST_POISONED)
        heal(poisoned);
    if (poison(pager, fault->address)) {
        poisoned->address[poisoned->count++] = fault->address;
        uffd_wake(pager->uffd, fault->address, PAGE_SIZE);
    } else {
        send_signal(fault);
    }
}

static void serve(struct handlers *handlers, struct poisoned *poisoned, const struct uffd_fault *fault)
{
    struct quire_pager *pager = handlers->pager;
    struct place place = {.region = region_at(fault->address)};
    enum status status;

    if (!place.region) { /* it is being unmapped: the access ends as the kernel says */
        uffd_wake(pager->uffd, fault->address, PAGE_SIZE);
        return;
    }
    place.page = (uint64_t)((const uint8_t *)fault->address - place.region->start) / PAGE_SIZE;
    stream_is_for(&handlers->streams[fault->thread % FAULTERS]);
    status = page_bring(place, fault->write);
    if (status == ST_OK)
        uffd_wake(pager->uffd, fault->address, PAGE_SIZE);
    else
        refuse(pager, poisoned, fault, place, status);
}

static void *handle_forever(void *context)
{
    struct handlers *handlers = context;
    struct quire_pager *pager = handlers->pager;
    struct pollfd ready[2] = {{.fd = pager->uffd, .events = POLLIN},
                              {.fd = handlers->stop, .events = POLLIN}};
    struct poisoned poisoned = {.count = 0};
    struct uffd_fault fault;

    do {
        while (uffd_next(pager->uffd, &fault))
            serve(handlers, &poisoned, &fault);
        if (poll(ready, 2, poisoned.count > 0 ? POISON_MS : -1) == 0)
            heal(&poisoned);
    } while (!(ready[1].revents & POLLIN));
    heal(&poisoned);
    return NULL;
}

enum status handlers_start(struct quire_pager *pager, unsigned count)
{
    struct handlers *handlers = calloc(1, sizeof(*handlers));
    sigset_t saved;

    if (!handlers)
        return ST_NO_MEMORY;
    handlers->pager = pager;
    handlers->stop = descriptor_high(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    pager->handlers = handlers;
    if (handlers->stop < 0)
        return ST_NO_MEMORY;
    if (count > MOST_HANDLERS)
        count = MOST_HANDLERS;
    signals_block(&saved);
    while (handlers->count < count && thread_start(&handlers->thread[handlers->count], handle_forever,
                                                   handlers, pager->is_child) == ST_OK)
        handlers->count++;
    signals_restore(&saved);
    return handlers->count == count ? ST_OK : ST_NO_MEMORY;
}

void handlers_stop(struct quire_pager *pager)
{
    struct handlers *handlers = pager->handlers;
    const uint64_t one = 1;

    if (!handlers)
        return;
    if (handlers->stop >= 0 && write(handlers->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
        for (unsigned i = 0; i < handlers->count; i++)
            thread_join(&handlers->thread[i]);
    if (handlers->stop >= 0)
        close(handlers->stop);
    free(handlers);
    pager->handlers = NULL;
}
