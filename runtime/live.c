/*
 * What `quire top` asks a process: a thread that answers on an abstract Unix socket, "quire/PID/N" for the
 * N-th pager of the process, with one object of JSON on a line, and closes. Who may ask: the same user, or
 * root. Nothing is left behind however the process ends.
 *
 * The thread allocates nothing and holds regions_lock while it looks at the regions. Times are told as they
 * were summed up: several threads may spend them at once.
 */
#include "pager.h"

#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST_PAGERS = 16, BUFFER_BYTES = 128 << 10, MOST_MS = 1000 };

struct live {
    struct quire_pager *pager;
    int socket, stop;
    struct thread thread;
    size_t at;
    char text[BUFFER_BYTES];
};

static void put(struct live *live, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct live *live, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(live->text + live->at, BUFFER_BYTES - live->at, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < BUFFER_BYTES - live->at)
        live->at += (size_t)length;
}

static bool is_dirty(uint32_t word)
{
    return page_state(word) == PAGE_DIRTY || page_state(word) == PAGE_OPENING ||
           page_state(word) == PAGE_WRITING;
}

static void put_region(struct region *region, void *context)
{
    struct live *live = context;
    uint64_t resident = 0, dirty = 0;

    for (uint64_t window = 0; window < region_windows(region); window++) {
        uint64_t page = window * WINDOW_PAGES, end = page + WINDOW_PAGES;
        uint32_t here = atomic_load_explicit(&region->windows[window].resident, memory_order_relaxed);

        resident += here;
        for (end = end < region->pages ? end : region->pages; here > 0 && page < end; page++)
            dirty += is_dirty(page_look(&region->words[page]));
    }
    put(live,
        "%s{\"address\": \"0x%llx\", \"bytes\": %llu, \"resident_bytes\": %llu, \"dirty_bytes\": %llu, "
        "\"store\": \"%s\", \"member\": \"%s\"}",
        live->text[live->at - 1] == '[' ? "" : ", ", (unsigned long long)(uintptr_t)region->start,
        (unsigned long long)(region->pages * PAGE_SIZE), (unsigned long long)(resident * PAGE_SIZE),
        (unsigned long long)(dirty * PAGE_SIZE), region->mapping.store->type->name, region->member->name);
}

static void put_member(struct live *live, const struct quire_member_stats *stats)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"guaranteed_bytes", stats->guaranteed_bytes},
        {"protected_bytes", stats->protected_bytes},
        {"maximum_bytes", stats->maximum_bytes},
        {"target_bytes", stats->target_bytes},
        {"resident_bytes", stats->resident_bytes},
        {"mapped_bytes", stats->mapped_bytes},
        {"faults", stats->faults},
        {"read_ahead", stats->read_ahead},
        {"evictions", stats->evictions},
        {"written", stats->written},
        {"lost", stats->lost},
        {"lost_protected", stats->lost_protected},
        {"fault_rate", stats->fault_rate},
    };

    put(live, "%s{\"name\": \"%s\", \"class\": \"%s\"", live->text[live->at - 1] == '[' ? "" : ", ",
        stats->name, stats->class);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        put(live, ", \"%s\": %llu", numbers[i].name, (unsigned long long)numbers[i].value);
    put(live, "}");
}

static void put_members(struct live *live)
{
    const struct scope_config *scope = &live->pager->scope.config;
    struct quire_member_stats stats;
    char name[MEMBER_NAME_BYTES];

    put(live, ", \"scope\": \"%s\"", scope_kind_names[scope->kind]);
    if (scope->kind == SCOPE_LOCAL)
        put(live, ", \"allocation\": \"%s%s\"", scope_rule_names[scope->rule],
            scope->strict ? ":strict" : "");
    put(live, ", \"members\": [");
    for (uint32_t i = 0; i < MOST_MEMBERS; i++)
        if (member_look(live->pager, i, &stats, name))
            put_member(live, &stats);
    put(live, "]");
}

static void put_all(struct live *live)
{
    struct quire_stats stats;

    quire_stats(live->pager, &stats);
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"memory_bytes", stats.memory_bytes},
        {"resident_bytes", stats.resident_bytes},
        {"free_bytes", stats.free_bytes},
        {"pinned_bytes", stats.pinned_bytes},
        {"mapped_bytes", stats.mapped_bytes},
        {"faults", stats.faults},
        {"zero_faults", stats.zero_faults},
        {"write_faults", stats.write_faults},
        {"read_ahead", stats.read_ahead},
        {"waits", stats.waits},
        {"reserve_waits", stats.reserve_waits},
        {"evictions", stats.evictions},
        {"write_backs", stats.write_backs},
        {"read_errors", stats.read_errors},
        {"write_errors", stats.write_errors},
        {"given_back", stats.given_back},
        {"scans", stats.scans},
        {"referenced", stats.referenced},
        {"fault_ns", stats.fault_ns},
        {"frame_wait_ns", stats.frame_wait_ns},
        {"read_ns", stats.read_ns},
        {"policy_ns", stats.policy_ns},
        {"write_ns", stats.write_ns},
    };

    live->at = 0;
    put(live, "{\"pid\": %d, \"way\": \"%s\", \"policy\": \"%s\"", (int)getpid(), stats.way, stats.policy);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        put(live, ", \"%s\": %llu", numbers[i].name, (unsigned long long)numbers[i].value);
    put_members(live);
    put(live, ", \"regions\": [");
    regions_for_each(live->pager, put_region, live);
    put(live, "]}\n");
}

static bool may_ask(int fd)
{
    struct ucred who;
    socklen_t length = sizeof(who);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 &&
           (who.uid == 0 || who.uid == geteuid());
}

/* Whoever does not read what he asked for does not keep the next one waiting. */
static void answer(struct live *live, int fd)
{
    struct timeval most = {.tv_sec = MOST_MS / 1000};

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
    if (!may_ask(fd))
        return;
    put_all(live);
    for (size_t done = 0; done < live->at;) {
        ssize_t sent = send(fd, live->text + done, live->at - done, MSG_NOSIGNAL);

        if (sent <= 0)
            break;
        done += (size_t)sent;
    }
}

static void *answer_forever(void *context)
{
    struct live *live = context;
    struct pollfd ready[2] = {{.fd = live->socket, .events = POLLIN}, {.fd = live->stop, .events = POLLIN}};

    do {
        int fd = accept4(live->socket, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0) {
            answer(live, fd);
            close(fd);
        }
        poll(ready, 2, -1);
    } while (!(ready[1].revents & POLLIN));
    return NULL;
}

static bool bind_name(struct live *live)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    for (unsigned i = 0; i < MOST_PAGERS; i++) {
        int length =
            snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "quire/%d/%u", (int)getpid(), i);

        if (bind(live->socket, (struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) == 0)
            return listen(live->socket, MOST_PAGERS) == 0;
    }
    return false;
}

enum status live_start(struct quire_pager *pager)
{
    struct live *live = calloc(1, sizeof(*live));
    enum status status = ST_NO_MEMORY;
    sigset_t saved;

    if (!live)
        return ST_NO_MEMORY;
    live->pager = pager;
    live->socket = descriptor_high(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    live->stop = descriptor_high(eventfd(0, EFD_CLOEXEC));
    signals_block(&saved);
    if (live->socket >= 0 && live->stop >= 0 && bind_name(live))
        status = thread_start(&live->thread, answer_forever, live, pager->is_child);
    signals_restore(&saved);
    if (status == ST_OK) {
        pager->live = live;
        return ST_OK;
    }
    if (live->socket >= 0)
        close(live->socket);
    if (live->stop >= 0)
        close(live->stop);
    free(live);
    return status;
}

void live_stop(struct quire_pager *pager)
{
    struct live *live = pager->live;
    const uint64_t one = 1;

    if (!live)
        return;
    if (write(live->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
        thread_join(&live->thread);
    close(live->socket);
    close(live->stop);
    free(live);
    pager->live = NULL;
}

void live_abandon(struct quire_pager *pager)
{
    if (!pager->live)
        return;
    close(pager->live->socket);
    close(pager->live->stop);
}
