/*
 * System calls that wait for several files: poll, select, epoll.
 */
#include <asm/poll.h>
#include <linux/eventpoll.h>
#include <linux/posix_types.h>
#include <linux/resource.h>
#include <linux/time_types.h>

#include "kernel/fs/poll.h"
#include "kernel/klib.h"
#include "kernel/linux/file_args.h"
#include "quire/slab.h"

enum {
    SIGSET_BYTES = 8,
    POLL_INLINE = 8,
    SELECT_WORD_BITS = 64,
    SELECT_MAX = 1024, /* descriptors of a select(); more than FD_SETSIZE are not offered */
    SELECT_WORDS = SELECT_MAX / SELECT_WORD_BITS,
};
static const uint64_t SECOND_NS = 1000000000, MILLISECOND_NS = 1000000;

/* ---------------------------------------------------------------- deadlines and masks */

/* host_now_ns() time; 0: do not wait. */
static uint64_t deadline_after(uint64_t ns)
{
    uint64_t deadline;

    if (ns == 0)
        return 0;
    return __builtin_add_overflow(host_now_ns(), ns, &deadline) ? UINT64_MAX : deadline;
}

static uint64_t deadline_of_ms(int timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : deadline_after((uint64_t)timeout_ms * MILLISECOND_NS);
}

static int deadline_of_spec(uint64_t address, uint64_t *deadline)
{
    struct __kernel_timespec spec;

    *deadline = UINT64_MAX;
    if (address == 0)
        return 0;
    if (user_read(&spec, address, sizeof spec) != 0)
        return -EFAULT;
    if (spec.tv_sec < 0 || spec.tv_nsec < 0 || spec.tv_nsec >= (int64_t)SECOND_NS)
        return -EINVAL;
    if ((uint64_t)spec.tv_sec < INT64_MAX / SECOND_NS)
        *deadline = deadline_after((uint64_t)spec.tv_sec * SECOND_NS + (uint64_t)spec.tv_nsec);
    return 0;
}

static uint64_t time_left(uint64_t deadline)
{
    uint64_t now = host_now_ns();

    return deadline > now ? deadline - now : 0;
}

/* ppoll and pselect say how much of the timeout was left. */
static void spec_back(uint64_t address, uint64_t deadline)
{
    uint64_t left = time_left(deadline);
    struct __kernel_timespec spec = {.tv_sec = (int64_t)(left / SECOND_NS),
                                     .tv_nsec = (int64_t)(left % SECOND_NS)};

    if (address != 0 && deadline != UINT64_MAX && user_write(address, &spec, sizeof spec) != 0)
        return; /* read-only timeouts are allowed */
}

/* The mask of signals that is in force while waiting. */
static int mask_begin(uint64_t mask, size_t mask_bytes)
{
    sigset_t set;

    if (mask == 0)
        return 0;
    if (mask_bytes != SIGSET_BYTES)
        return -EINVAL;
    if (user_read(&set, mask, sizeof set) != 0)
        return -EFAULT;
    signal_mask_for_wait(set);
    return 0;
}

static void mask_end(uint64_t mask, long result)
{
    if (mask != 0 && result != -EINTR)
        signal_mask_restore();
}

/* ---------------------------------------------------------------- waiting */

/* Looks at every descriptor once; with `waits`, registers for what has not come yet. The number of those that
 * have events. */
static long poll_look(struct pollfd *fds, unsigned count, struct poll_waits *waits)
{
    long ready = 0;

    for (unsigned i = 0; i < count; i++) {
        struct pollfd *entry = &fds[i];
        struct file *file = entry->fd < 0 ? NULL : file_get(entry->fd);
        unsigned events;

        entry->revents = 0;
        if (file == NULL) {
            if (entry->fd >= 0) {
                entry->revents = POLLNVAL;
                ready++;
            }
            continue;
        }
        events = file_poll(file, waits != NULL && ready == 0 ? poll_waits_next(waits, file) : NULL);
        entry->revents = (short)(events & ((unsigned short)entry->events | POLLERR | POLLHUP));
        ready += entry->revents != 0;
        file_unref(file);
    }
    return ready;
}

static long poll_wait_for(struct pollfd *fds, unsigned count, uint64_t deadline)
{
    for (;;) {
        struct poll_waits waits;
        long ready;
        int error = 0;

        if (deadline == 0)
            return poll_look(fds, count, NULL);
        if (!poll_waits_begin(&waits, count))
            return -ENOMEM;
        ready = poll_look(fds, count, &waits);
        if (ready == 0)
            error = waitq_sleep_added(deadline, true);
        poll_waits_end(&waits);
        if (ready != 0)
            return ready;
        if (error == -ETIMEDOUT)
            return poll_look(fds, count, NULL);
        if (error != 0)
            return error;
    }
}

/* ---------------------------------------------------------------- poll */

static long poll_user(uint64_t fds, unsigned count, uint64_t deadline)
{
    struct pollfd inline_fds[POLL_INLINE], *entries = inline_fds;
    long result;

    if (count > process_current()->limits[RLIMIT_NOFILE][0])
        return -EINVAL;
    if (count > POLL_INLINE)
        entries = fs_alloc(count * sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    result = user_read(entries, fds, count * sizeof *entries);
    if (result == 0)
        result = poll_wait_for(entries, count, deadline);
    if (result >= 0 && count != 0 && user_write(fds, entries, count * sizeof *entries) != 0)
        result = -EFAULT;
    if (entries != inline_fds)
        slab_free(entries);
    return result;
}

long sys_poll(uint64_t fds, unsigned count, int timeout_ms)
{
    return poll_user(fds, count, deadline_of_ms(timeout_ms));
}

long sys_ppoll(uint64_t fds, unsigned count, uint64_t timeout, uint64_t mask, size_t mask_bytes)
{
    uint64_t deadline;
    long result = deadline_of_spec(timeout, &deadline);

    if (result == 0)
        result = mask_begin(mask, mask_bytes);
    if (result != 0)
        return result;
    result = poll_user(fds, count, deadline);
    mask_end(mask, result);
    spec_back(timeout, deadline);
    return result;
}

/* ---------------------------------------------------------------- select */

enum select_kind { SELECT_IN, SELECT_OUT, SELECT_EXCEPT, SELECT_KINDS };

/* What poll's events mean to select(2). */
static const unsigned select_events[SELECT_KINDS] = {
    [SELECT_IN] = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
    [SELECT_OUT] = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
    [SELECT_EXCEPT] = POLLPRI,
};

struct select_sets {
    unsigned words;
    uint64_t address[SELECT_KINDS];
    uint64_t bits[SELECT_KINDS][SELECT_WORDS];
};

static int select_read(struct select_sets *sets, int count)
{
    memset(sets->bits, 0, sizeof sets->bits);
    sets->words = ((unsigned)count + SELECT_WORD_BITS - 1) / SELECT_WORD_BITS;
    for (int kind = 0; kind < SELECT_KINDS; kind++)
        if (sets->address[kind] != 0 &&
            user_read(sets->bits[kind], sets->address[kind], sets->words * sizeof(uint64_t)) != 0)
            return -EFAULT;
    return 0;
}

static bool select_has(const struct select_sets *sets, int kind, unsigned fd)
{
    return (sets->bits[kind][fd / SELECT_WORD_BITS] >> (fd % SELECT_WORD_BITS) & 1) != 0;
}

/* The sets as a list for poll. The number of descriptors, or -EBADF. */
static long select_list(const struct select_sets *sets, unsigned count, struct pollfd *fds)
{
    unsigned used = 0;

    for (unsigned fd = 0; fd < count; fd++) {
        unsigned events = 0;
        struct file *file;

        for (int kind = 0; kind < SELECT_KINDS; kind++)
            if (select_has(sets, kind, fd))
                events |= select_events[kind];
        if (events == 0)
            continue;
        file = file_get((int)fd);
        if (file == NULL)
            return -EBADF;
        file_unref(file);
        fds[used++] = (struct pollfd){.fd = (int)fd, .events = (short)events};
    }
    return used;
}

/* The events back into the sets; the number of bits. */
static long select_result(struct select_sets *sets, const struct pollfd *fds, unsigned used)
{
    struct select_sets out = *sets;
    long bits = 0;

    memset(out.bits, 0, sizeof out.bits);
    for (unsigned i = 0; i < used; i++) {
        unsigned fd = (unsigned)fds[i].fd;

        for (int kind = 0; kind < SELECT_KINDS; kind++) {
            if (!select_has(sets, kind, fd) || ((unsigned short)fds[i].revents & select_events[kind]) == 0)
                continue;
            out.bits[kind][fd / SELECT_WORD_BITS] |= (uint64_t)1 << (fd % SELECT_WORD_BITS);
            bits++;
        }
    }
    for (int kind = 0; kind < SELECT_KINDS; kind++)
        if (out.address[kind] != 0 &&
            user_write(out.address[kind], out.bits[kind], out.words * sizeof(uint64_t)) != 0)
            return -EFAULT;
    return bits;
}

static long select_user(int count, uint64_t in, uint64_t out, uint64_t except, uint64_t deadline)
{
    struct select_sets sets = {.address = {in, out, except}};
    struct pollfd *fds;
    long used, result;

    if (count < 0)
        return -EINVAL;
    if (count > SELECT_MAX)
        count = SELECT_MAX;
    result = select_read(&sets, count);
    if (result != 0)
        return result;
    fds = fs_alloc(((size_t)count + 1) * sizeof *fds);
    if (fds == NULL)
        return -ENOMEM;
    used = select_list(&sets, (unsigned)count, fds);
    result = used < 0 ? used : poll_wait_for(fds, (unsigned)used, deadline);
    if (result >= 0)
        result = select_result(&sets, fds, (unsigned)used);
    slab_free(fds);
    return result;
}

long sys_select(int count, uint64_t in, uint64_t out, uint64_t except, uint64_t timeout)
{
    struct __kernel_old_timeval value;
    uint64_t deadline = UINT64_MAX;
    long result;

    if (timeout != 0) {
        if (user_read(&value, timeout, sizeof value) != 0)
            return -EFAULT;
        if (value.tv_sec < 0 || value.tv_usec < 0)
            return -EINVAL;
        if ((uint64_t)value.tv_sec < INT64_MAX / SECOND_NS / 2)
            deadline = deadline_after((uint64_t)value.tv_sec * SECOND_NS + (uint64_t)value.tv_usec * 1000);
    }
    result = select_user(count, in, out, except, deadline);
    if (timeout != 0 && deadline != UINT64_MAX) {
        uint64_t left = time_left(deadline);

        value.tv_sec = (long)(left / SECOND_NS);
        value.tv_usec = (long)(left % SECOND_NS / 1000);
        if (user_write(timeout, &value, sizeof value) != 0)
            return result; /* as Linux: the sets count */
    }
    return result;
}

long sys_pselect6(int count, uint64_t in, uint64_t out, uint64_t except, uint64_t timeout, uint64_t mask)
{
    struct {
        uint64_t set, bytes;
    } wanted = {0, 0};
    uint64_t deadline;
    long result = deadline_of_spec(timeout, &deadline);

    if (result == 0 && mask != 0)
        result = user_read(&wanted, mask, sizeof wanted);
    if (result == 0)
        result = mask_begin(wanted.set, wanted.bytes);
    if (result != 0)
        return result;
    result = select_user(count, in, out, except, deadline);
    mask_end(wanted.set, result);
    spec_back(timeout, deadline);
    return result;
}

/* ---------------------------------------------------------------- epoll */

enum { EPOLL_EVENTS_ONCE = 128 }; /* how many one call gives at most */

long sys_epoll_create1(int flags)
{
    struct file *file;
    int error;

    if ((flags & ~EPOLL_CLOEXEC) != 0)
        return -EINVAL;
    error = epoll_create(&file);
    return error != 0 ? error : files_install(process_current()->files, file, 0, flags != 0);
}

long sys_epoll_create(int size)
{
    return size <= 0 ? -EINVAL : sys_epoll_create1(0);
}

long sys_epoll_ctl(int epoll, int operation, int fd, uint64_t event)
{
    struct file *set = file_get(epoll), *file = file_get(fd);
    struct epoll_event wanted = {0};
    long result = set == NULL || file == NULL ? -EBADF : 0;

    if (result == 0 && operation != EPOLL_CTL_DEL && user_read(&wanted, event, sizeof wanted) != 0)
        result = -EFAULT;
    if (result == 0)
        result = epoll_control(set, operation, fd, file, wanted.events, wanted.data);
    if (set != NULL)
        file_unref(set);
    if (file != NULL)
        file_unref(file);
    return result;
}

static long epoll_user(int epoll, uint64_t events, int count, uint64_t deadline)
{
    struct file *set = file_get(epoll);
    struct epoll_event *found;
    long result;

    if (set == NULL)
        return -EBADF;
    if (set->ops != &epoll_file_ops || count <= 0) {
        file_unref(set);
        return -EINVAL;
    }
    if (count > EPOLL_EVENTS_ONCE)
        count = EPOLL_EVENTS_ONCE;
    found = fs_alloc((size_t)count * sizeof *found);
    result = found == NULL ? -ENOMEM : epoll_wait_events(set, found, (unsigned)count, deadline);
    if (result > 0 && user_write(events, found, (size_t)result * sizeof *found) != 0)
        result = -EFAULT;
    slab_free(found);
    file_unref(set);
    return result;
}

long sys_epoll_wait(int epoll, uint64_t events, int count, int timeout_ms)
{
    return epoll_user(epoll, events, count, deadline_of_ms(timeout_ms));
}

long sys_epoll_pwait(int epoll, uint64_t events, int count, int timeout_ms, uint64_t mask, size_t mask_bytes)
{
    long result = mask_begin(mask, mask_bytes);

    if (result != 0)
        return result;
    result = epoll_user(epoll, events, count, deadline_of_ms(timeout_ms));
    mask_end(mask, result);
    return result;
}
