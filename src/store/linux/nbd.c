/*
 * The module quire-store-nbd.so: an export of any NBD server, by libnbd. Names are NBD URIs:
 *
 *      nbd://host:port/export   nbd+unix:///export?socket=/path   nbds://… (TLS) …&quire-deadline=SECONDS
 *
 * A request becomes a command for each run of its pages that are neighbours in memory and that the server
 * takes at once. Commands that end are collected while libnbd works and told of afterwards: when a connection
 * breaks, libnbd ends all of its commands with an error, and those are begun again instead (served.h).
 *
 * One process of this machine at a time may have an export open for writing: it binds a socket of an abstract
 * name made of the URI (unix(7)), which the kernel gives back when the process ends. NBD itself has no locks.
 *
 * What it follows: the NBD protocol document; libnbd(3).
 */
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "served.h"
#include "wait.h"

enum { MOST_COMMANDS = 1024, MOST_BYTES = 1 << 20 };

struct command {
    struct nbd_store *store;
    struct served_place *place; /* NULL: free */
    int error;
    bool over;
    uint32_t next; /* of those that are over, or free; number + 1 */
};

struct nbd_store {
    struct served served;
    char *uri;
    int lock;
    struct nbd_handle *nbd;
    uint64_t most_bytes; /* that one command may move */
    struct command commands[MOST_COMMANDS];
    uint32_t free, over; /* lists */
};

static struct nbd_store *nbd_of(struct served *served)
{
    return (struct nbd_store *)served;
}

/* ------------------------------------------------------------------ commands */

static struct command *command_take(struct nbd_store *store, struct served_place *place)
{
    struct command *command = store->free ? &store->commands[store->free - 1] : NULL;

    if (!command)
        return NULL;
    store->free = command->next;
    *command = (struct command){.store = store, .place = place};
    return command;
}

static void command_give(struct nbd_store *store, struct command *command)
{
    command->place = NULL;
    command->next = store->free;
    store->free = (uint32_t)(command - store->commands) + 1;
}

/* Inside of libnbd: nothing of it may be called. */
static int completed(void *context, int *error)
{
    struct command *command = context;

    command->error = *error;
    command->next = command->store->over;
    command->store->over = (uint32_t)(command - command->store->commands) + 1;
    return 1;
}

static enum status status_of(int error)
{
    switch (error) {
    case 0:
        return ST_OK;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ST_NO_SPACE;
    case ENOMEM:
        return ST_NO_MEMORY;
    default:
        return ST_IO_ERROR;
    }
}

static bool is_alive(const struct nbd_store *store)
{
    return nbd_aio_is_dead(store->nbd) == 0 && nbd_aio_is_closed(store->nbd) == 0;
}

/* False: the connection is lost, and what ended is to be begun again. */
static bool tell_ends(struct nbd_store *store)
{
    while (is_alive(store) && store->over) {
        struct command *command = &store->commands[store->over - 1];
        struct served_place *place = command->place;
        int error = command->error;

        store->over = command->next;
        command_give(store, command);
        served_piece_ended(&store->served, place, status_of(error));
    }
    return is_alive(store);
}

/* ------------------------------------------------------------------ requests */

static int64_t send_command(struct nbd_store *store, const struct store_request *request, void *memory,
                            uint64_t at, uint64_t bytes, struct command *command)
{
    nbd_completion_callback end = {.callback = completed, .user_data = command};

    switch (request->op) {
    case STORE_READ:
        return nbd_aio_pread(store->nbd, memory, bytes, at, end, 0);
    case STORE_WRITE:
        return nbd_aio_pwrite(store->nbd, memory, bytes, at, end, 0);
    case STORE_DISCARD:
        return nbd_aio_trim(store->nbd, bytes, at, end, 0);
    default:
        return nbd_aio_flush(store->nbd, end, 0);
    }
}

/* False: the connection is lost. */
static bool begin_piece(struct nbd_store *store, struct served_place *place, void *memory, uint64_t at,
                        uint64_t bytes)
{
    struct command *command = command_take(store, place);

    if (!command) {
        place->status = ST_NO_MEMORY;
        return true;
    }
    served_piece_begun(place);
    if (send_command(store, place->request, memory, at, bytes, command) >= 0)
        return true;
    place->pieces--;
    place->status = status_of(nbd_get_errno() ? nbd_get_errno() : EIO);
    command_give(store, command);
    return is_alive(store);
}

/* Neighbours in memory from page `i` on, as many as a command can move. */
static uint32_t run_at(const struct nbd_store *store, const struct store_request *request, uint32_t i)
{
    uint32_t run = 1;

    while (i + run < request->count && (run + 1) * PAGE_SIZE <= store->most_bytes &&
           (uint8_t *)request->pages[i + run] == (uint8_t *)request->pages[i] + run * PAGE_SIZE)
        run++;
    return run;
}

static bool begin_range(struct nbd_store *store, struct served_place *place)
{
    const struct store_request *request = place->request;
    bool well = true;

    for (uint32_t i = 0, run; i < request->count && well && place->status == ST_OK; i += run) {
        run = request->pages ? run_at(store, request, i) : request->count;
        well = begin_piece(store, place, request->pages ? request->pages[i] : NULL,
                           (request->first + i) * PAGE_SIZE, run * PAGE_SIZE);
    }
    return well;
}

static bool nbd_begin(struct served *served, struct served_place *place)
{
    struct nbd_store *store = nbd_of(served);

    if (place->request->op == STORE_DISCARD && nbd_can_trim(store->nbd) != 1)
        return true;
    if (place->request->op != STORE_FLUSH)
        return begin_range(store, place);
    if (nbd_can_flush(store->nbd) == 1)
        return begin_piece(store, place, NULL, 0, 0);
    place->status = ST_UNSUPPORTED; /* the server does not say what lasts */
    return true;
}

/* ------------------------------------------------------------------ the connection */

static int nbd_watch(struct served *served, short *events)
{
    struct nbd_store *store = nbd_of(served);
    unsigned direction = nbd_aio_get_direction(store->nbd);

    *events = (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                      (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
    return nbd_aio_get_fd(store->nbd);
}

static bool nbd_progress(struct served *served, short ready)
{
    struct nbd_store *store = nbd_of(served);
    unsigned direction = nbd_aio_get_direction(store->nbd);

    if ((ready & (POLLIN | POLLHUP | POLLERR)) && (direction & LIBNBD_AIO_DIRECTION_READ))
        nbd_aio_notify_read(store->nbd);
    else if ((ready & (POLLOUT | POLLHUP | POLLERR)) && (direction & LIBNBD_AIO_DIRECTION_WRITE))
        nbd_aio_notify_write(store->nbd);
    return tell_ends(store);
}

static void forget_commands(struct nbd_store *store)
{
    store->free = store->over = 0;
    for (uint32_t i = MOST_COMMANDS; i > 0; i--)
        command_give(store, &store->commands[i - 1]);
}

static void nbd_disconnect(struct served *served)
{
    struct nbd_store *store = nbd_of(served);

    nbd_close(store->nbd);
    store->nbd = NULL;
    forget_commands(store);
}

static bool wait_until_ready(struct nbd_store *store, unsigned wait_ms)
{
    uint64_t until = wait_now_ns() + (uint64_t)wait_ms * 1000000;

    while (nbd_aio_is_connecting(store->nbd) == 1) {
        uint64_t now = wait_now_ns();

        if (now >= until) {
            served_say(&store->served, "the server does not answer within the deadline");
            return false;
        }
        if (nbd_poll(store->nbd, (int)((until - now) / 1000000 + 1)) < 0)
            break;
    }
    if (nbd_aio_is_ready(store->nbd) == 1)
        return true;
    served_say(&store->served, "%s",
               nbd_get_error() ? nbd_get_error() : "the server broke the connection off");
    return false;
}

/* What of the export matters here; it may not change from connection to connection. */
static enum status look_at_export(struct nbd_store *store)
{
    int64_t bytes = nbd_get_size(store->nbd), least = nbd_get_block_size(store->nbd, LIBNBD_SIZE_MINIMUM),
            most = nbd_get_block_size(store->nbd, LIBNBD_SIZE_MAXIMUM);
    bool read_only = nbd_is_read_only(store->nbd) != 0;
    uint64_t pages = bytes > 0 ? (uint64_t)bytes / PAGE_SIZE : 0;

    if (least > (int64_t)PAGE_SIZE) {
        served_say(&store->served, "it takes no requests of 4 KiB, only of %lld bytes", (long long)least);
        return ST_INVALID;
    }
    if (store->served.base.pages == 0) {
        store->served.base.pages = pages;
        store->served.read_only = read_only;
    } else if (pages < store->served.base.pages || (read_only && !store->served.read_only)) {
        return ST_INVALID;
    }
    store->most_bytes = most >= (int64_t)PAGE_SIZE && most < MOST_BYTES ? (uint64_t)most : MOST_BYTES;
    return ST_OK;
}

static enum status nbd_connect_again(struct served *served, unsigned wait_ms)
{
    struct nbd_store *store = nbd_of(served);
    enum status status = ST_IO_ERROR;

    store->nbd = nbd_create();
    if (!store->nbd)
        return ST_NO_MEMORY;
    nbd_set_uri_allow_local_file(store->nbd, true); /* keys of TLS */
    if (nbd_aio_connect_uri(store->nbd, store->uri) < 0)
        served_say(served, "%s", nbd_get_error());
    else if (wait_until_ready(store, wait_ms))
        status = look_at_export(store);
    if (status != ST_OK)
        nbd_disconnect(served);
    return status;
}

static void nbd_destroy(struct served *served)
{
    struct nbd_store *store = nbd_of(served);

    if (store->lock >= 0)
        close(store->lock);
    free(store->uri);
    free(store);
}

static const struct served_backend nbd_backend = {.name = "nbd",
                                                  .connect = nbd_connect_again,
                                                  .disconnect = nbd_disconnect,
                                                  .begin = nbd_begin,
                                                  .watch = nbd_watch,
                                                  .progress = nbd_progress,
                                                  .destroy = nbd_destroy};

/* ------------------------------------------------------------------ opening */

/* A socket that nobody connects to. */
static int lock_of(const char *uri)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    int lock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), length;

    for (const char *at = uri; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 0x100000001b3u;
    length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "quire-store-nbd-%016llx",
                      (unsigned long long)hash);
    if (lock >= 0 && bind(lock, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) != 0) {
        close(lock);
        return -1;
    }
    return lock;
}

static enum status nbd_open(const struct store_opening *opening, struct store **out)
{
    struct nbd_store *store = calloc(1, sizeof(*store));
    enum status status;

    if (!store || !(store->uri = strdup(opening->name))) {
        free(store);
        return ST_NO_MEMORY;
    }
    store->served.backend = &nbd_backend;
    forget_commands(store);
    if (!served_take_deadline(store->uri, &store->served.deadline_ns)) {
        snprintf(opening->why, opening->why_bytes, "quire-deadline: expected seconds, 1 to 86400");
        store->lock = -1;
        nbd_destroy(&store->served);
        return ST_INVALID;
    }
    store->lock = lock_of(store->uri);
    if (store->lock < 0) {
        snprintf(opening->why, opening->why_bytes, "another process (or store of this one) uses it");
        nbd_destroy(&store->served);
        return ST_DENIED;
    }
    status = served_start(&store->served, opening);
    if (status == ST_OK)
        *out = &store->served.base;
    return status;
}

const struct quire_store_module quire_store_module = {
    .version = QUIRE_STORE_MODULE_VERSION, .name = "nbd", .open = nbd_open};
