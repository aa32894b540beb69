/*
 * The module quire-store-redis.so: pages in a Redis server, by hiredis, pipelined. Names:
 *
 *      redis://[[USER]:PASSWORD@]HOST[:PORT]/NAME     redis+unix:///PATH/TO/SOCKET?name=NAME
 * …&quire-deadline=SECONDS
 *
 * What a store NAME is there:
 *
 *      quire:NAME:bytes    how long it is                          quire:NAME:N    page N, 4,096 bytes
 *      quire:NAME:pages    a bit for each page that there is; others read as zeroes
 *
 * A page whose bit is set and that is not there is an error of the read, never zeroes; a server that throws
 * keys away when its memory is full (maxmemory-policy allkeys-*) is refused.
 *
 * One at a time: the connection is given the store's name (CLIENT SETNAME), and is refused when another one
 * has it (CLIENT LIST). So the lock ends with the connection, and with the process.
 *
 * A flush is ST_OK only where the server writes its log for every command (appendonly yes, appendfsync
 * always).
 *
 * Requests are sent as commands in a row, whose replies come in that order: `expected` says what each one is.
 */
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "served.h"

enum { EXPECTED = 1 << 16, STANDARD_PORT = 6379 };
#define MOST_PAGES ((uint64_t)1 << 32)

struct expected {
    struct served_place *place;
    void *page; /* of a read */
};

struct redis_store {
    struct served served;
    char *name; /* what the user wrote, cut in pieces: */
    const char *host, *socket, *user, *password, *store;
    int port;
    redisContext *redis;
    uint64_t wanted_bytes;
    bool known;       /* it was connected before */
    bool loading;     /* the server has just begun, and reads its own file */
    bool lasts;       /* every command is in the server's log when it is answered */
    bool unsent;      /* there is more to be sent */
    uint8_t *present; /* a bit for each page, as Redis numbers them: the highest of a byte first */
    size_t present_bytes;
    uint32_t head, tail; /* of expected */
    struct expected expected[EXPECTED];
};

static struct redis_store *redis_of(struct served *served)
{
    return (struct redis_store *)served;
}

static bool is_present(const struct redis_store *store, uint64_t page)
{
    return page / 8 < store->present_bytes && (store->present[page / 8] & (0x80u >> page % 8)) != 0;
}

static void set_present(struct redis_store *store, uint64_t page, bool present)
{
    uint8_t bit = (uint8_t)(0x80u >> page % 8);

    if (present)
        store->present[page / 8] |= bit;
    else
        store->present[page / 8] &= (uint8_t)~bit;
}

/* ------------------------------------------------------------------ requests */

static bool is_room_for(const struct redis_store *store, uint32_t commands)
{
    return EXPECTED - (store->tail - store->head) >= commands;
}

static bool send_command(struct redis_store *store, struct served_place *place, void *page,
                         const char *format, ...)
{
    va_list arguments;
    int failed;

    va_start(arguments, format);
    failed = redisvAppendCommand(store->redis, format, arguments);
    va_end(arguments);
    if (failed)
        return false;
    store->expected[store->tail++ % EXPECTED] = (struct expected){place, page};
    store->unsent = true;
    served_piece_begun(place);
    return true;
}

static bool send_page(struct redis_store *store, struct served_place *place, uint32_t i)
{
    const struct store_request *request = place->request;
    unsigned long long page = request->first + i;

    switch (request->op) {
    case STORE_READ:
        if (is_present(store, page))
            return send_command(store, place, request->pages[i], "GET quire:%s:%llu", store->store, page);
        memset(request->pages[i], 0, PAGE_SIZE);
        return true;
    case STORE_WRITE: /* once it is sent, it may be there */
        set_present(store, page, true);
        return send_command(store, place, NULL, "SET quire:%s:%llu %b", store->store, page, request->pages[i],
                            (size_t)PAGE_SIZE) &&
               send_command(store, place, NULL, "SETBIT quire:%s:pages %llu 1", store->store, page);
    default:
        if (!is_present(store, page))
            return true;
        set_present(store, page, false);
        return send_command(store, place, NULL, "SETBIT quire:%s:pages %llu 0", store->store, page) &&
               send_command(store, place, NULL, "UNLINK quire:%s:%llu", store->store, page);
    }
}

static bool redis_begin(struct served *served, struct served_place *place)
{
    struct redis_store *store = redis_of(served);
    bool well = true;

    if (place->request->op == STORE_FLUSH) {
        place->status = store->lasts ? ST_OK : ST_UNSUPPORTED;
        return true;
    }
    if (!is_room_for(store, 2 * place->request->count)) {
        place->status = ST_NO_MEMORY;
        return true;
    }
    for (uint32_t i = 0; i < place->request->count && well; i++)
        well = send_page(store, place, i);
    return well;
}

static enum status status_of_reply(const redisReply *reply, void *page)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return strncmp(reply->str, "OOM", 3) == 0 ? ST_NO_SPACE : ST_IO_ERROR;
    if (!page)
        return ST_OK;
    if (reply->type != REDIS_REPLY_STRING || reply->len != PAGE_SIZE)
        return ST_IO_ERROR;
    memcpy(page, reply->str, PAGE_SIZE);
    return ST_OK;
}

static bool take_replies(struct redis_store *store)
{
    void *reply;

    while (redisGetReplyFromReader(store->redis, &reply) == REDIS_OK) {
        struct expected *expected = &store->expected[store->head % EXPECTED];
        enum status status;

        if (!reply)
            return true;
        if (store->head == store->tail) { /* nobody asked */
            freeReplyObject(reply);
            return false;
        }
        status = status_of_reply(reply, expected->page);
        freeReplyObject(reply);
        store->head++;
        served_piece_ended(&store->served, expected->place, status);
    }
    return false;
}

/* ------------------------------------------------------------------ the connection */

static int redis_watch(struct served *served, short *events)
{
    struct redis_store *store = redis_of(served);

    *events = (short)(POLLIN | (store->unsent ? POLLOUT : 0));
    return store->redis->fd;
}

static bool redis_progress(struct served *served, short ready)
{
    struct redis_store *store = redis_of(served);
    int all = 0;

    if (store->unsent) {
        if (redisBufferWrite(store->redis, &all) != REDIS_OK)
            return false;
        store->unsent = !all;
    }
    if (!(ready & (POLLIN | POLLHUP | POLLERR)))
        return true;
    return redisBufferRead(store->redis) == REDIS_OK && take_replies(store);
}

static void redis_disconnect(struct served *served)
{
    struct redis_store *store = redis_of(served);

    if (store->redis)
        redisFree(store->redis);
    store->redis = NULL;
    store->head = store->tail = 0;
    store->unsent = false;
}

/* A command and its answer, when connecting. NULL, and said: none, or an error. */
static redisReply *ask(struct redis_store *store, const char *format, ...)
{
    redisReply *reply;
    va_list arguments;

    va_start(arguments, format);
    reply = redisvCommand(store->redis, format, arguments);
    va_end(arguments);
    if (reply && reply->type != REDIS_REPLY_ERROR)
        return reply;
    served_say(&store->served, "%s", reply ? reply->str : store->redis->errstr);
    store->loading = reply && strncmp(reply->str, "LOADING", 7) == 0;
    if (reply)
        freeReplyObject(reply);
    return NULL;
}

static enum status sign_in(struct redis_store *store)
{
    redisReply *reply;

    if (!store->password)
        return ST_OK;
    reply = store->user ? ask(store, "AUTH %s %s", store->user, store->password)
                        : ask(store, "AUTH %s", store->password);
    if (!reply)
        return ST_IO_ERROR;
    freeReplyObject(reply);
    return ST_OK;
}

/* How many lines of the list have that name. */
static unsigned count_named(const char *list, const char *name)
{
    char wanted[160];
    unsigned count = 0;

    snprintf(wanted, sizeof(wanted), " name=%s ", name);
    for (const char *at = list; (at = strstr(at, wanted)); at++)
        count++;
    return count;
}

/* Two that come at the same moment both see two, and both are refused: none ever has it with another. */
static enum status take_lock(struct redis_store *store)
{
    char name[128];
    redisReply *reply;
    unsigned count;

    snprintf(name, sizeof(name), "quire-store:%s", store->store);
    reply = ask(store, "CLIENT SETNAME %s", name);
    if (reply)
        freeReplyObject(reply);
    if (!reply || !(reply = ask(store, "CLIENT LIST")))
        return ST_IO_ERROR;
    count = reply->type == REDIS_REPLY_STRING ? count_named(reply->str, name) : 0;
    freeReplyObject(reply);
    if (count == 1)
        return ST_OK;
    served_say(&store->served, "another process (or store of this one) uses it");
    /* After a break the server may not have noticed yet that we went: try again. */
    return store->known || count == 0 ? ST_IO_ERROR : ST_DENIED;
}

/* "key:value" of INFO, or "key" then "value" of CONFIG GET. */
static bool says(struct redis_store *store, const char *command, const char *what)
{
    redisReply *reply = redisCommand(store->redis, command);
    bool found = reply && reply->type == REDIS_REPLY_STRING && strstr(reply->str, what) != NULL;

    for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        found |= strcmp(reply->element[i]->str, what) == 0;
    if (reply)
        freeReplyObject(reply);
    return found;
}

static enum status look_at_server(struct redis_store *store)
{
    if (says(store, "INFO memory", "maxmemory_policy:allkeys")) {
        served_say(&store->served, "the server throws pages away when its memory is full "
                                   "(maxmemory-policy allkeys-…): expected noeviction");
        return ST_INVALID;
    }
    store->lasts =
        says(store, "CONFIG GET appendonly", "yes") && says(store, "CONFIG GET appendfsync", "always");
    return ST_OK;
}

/* The length that the server knows, after it has learnt ours. 0: neither is known. */
static enum status agree_on_length(struct redis_store *store, uint64_t *pages)
{
    uint64_t wanted = store->wanted_bytes / PAGE_SIZE + (store->wanted_bytes % PAGE_SIZE != 0);
    redisReply *reply = ask(store, "GET quire:%s:bytes", store->store);

    if (!reply)
        return ST_IO_ERROR;
    *pages = reply->type == REDIS_REPLY_STRING ? strtoull(reply->str, NULL, 10) / PAGE_SIZE : 0;
    freeReplyObject(reply);
    if (wanted > *pages) {
        if (store->known) /* the server has forgotten it */
            return ST_OK;
        reply = ask(store, "SET quire:%s:bytes %llu", store->store, (unsigned long long)(wanted * PAGE_SIZE));
        if (!reply)
            return ST_IO_ERROR;
        freeReplyObject(reply);
        *pages = wanted;
    }
    if (*pages > 0 && *pages <= MOST_PAGES)
        return ST_OK;
    served_say(&store->served, "there is none of that name yet, and no length was given");
    return ST_INVALID;
}

static enum status load_present(struct redis_store *store, uint64_t pages)
{
    redisReply *reply = ask(store, "GET quire:%s:pages", store->store);
    size_t have;

    if (!reply)
        return ST_IO_ERROR;
    store->present_bytes = (size_t)(pages + 7) / 8;
    store->present = calloc(1, store->present_bytes);
    have = reply->type == REDIS_REPLY_STRING ? (size_t)reply->len : 0;
    if (store->present && have > 0)
        memcpy(store->present, reply->str, have < store->present_bytes ? have : store->present_bytes);
    freeReplyObject(reply);
    return store->present ? ST_OK : ST_NO_MEMORY;
}

/* What there is; a second connection goes by what the first one knew. */
static enum status look_at_store(struct redis_store *store)
{
    uint64_t pages = 0;
    enum status status = agree_on_length(store, &pages);

    if (status != ST_OK || store->known)
        return status;
    status = load_present(store, pages);
    if (status == ST_OK)
        store->served.base.pages = pages;
    store->known = status == ST_OK;
    return status;
}

static bool make_context(struct redis_store *store, unsigned wait_ms)
{
    struct timeval wait = {wait_ms / 1000, (suseconds_t)(wait_ms % 1000) * 1000};

    store->redis = store->socket ? redisConnectUnixWithTimeout(store->socket, wait)
                                 : redisConnectWithTimeout(store->host, store->port, wait);
    if (!store->redis || store->redis->err) {
        served_say(&store->served, "%s", store->redis ? store->redis->errstr : "no memory");
        return false;
    }
    return redisSetTimeout(store->redis, wait) == REDIS_OK;
}

static enum status redis_connect(struct served *served, unsigned wait_ms)
{
    struct redis_store *store = redis_of(served);
    enum status status = make_context(store, wait_ms) ? ST_OK : ST_IO_ERROR;

    store->loading = false;
    if (status == ST_OK)
        status = sign_in(store);
    if (status == ST_OK)
        status = take_lock(store);
    if (status == ST_OK)
        status = look_at_server(store);
    if (status == ST_OK)
        status = look_at_store(store);
    if (status != ST_OK) {
        redis_disconnect(served);
        return store->loading ? ST_RETRY : status;
    }
    /* From here on nothing waits in hiredis. */
    fcntl(store->redis->fd, F_SETFL, fcntl(store->redis->fd, F_GETFL) | O_NONBLOCK);
    store->redis->flags &= ~REDIS_BLOCK;
    return ST_OK;
}

static void redis_destroy(struct served *served)
{
    struct redis_store *store = redis_of(served);

    free(store->present);
    free(store->name);
    free(store);
}

static const struct served_backend redis_backend = {.name = "redis",
                                                    .connect = redis_connect,
                                                    .disconnect = redis_disconnect,
                                                    .begin = redis_begin,
                                                    .watch = redis_watch,
                                                    .progress = redis_progress,
                                                    .destroy = redis_destroy};

/* ------------------------------------------------------------------ the name */

static char *cut(char *text, const char *at_any)
{
    char *at = strpbrk(text, at_any);

    if (!at)
        return NULL;
    *at = '\0';
    return at + 1;
}

/* [[USER]:PASSWORD@]HOST[:PORT]/NAME */
static bool parse_host(struct redis_store *store, char *text)
{
    char *at = strrchr(text, '@'), *port;

    if (at) {
        *at = '\0';
        store->password = cut(text, ":");
        store->user = *text && store->password ? text : NULL;
        store->password = store->password ? store->password : text;
        text = at + 1;
    }
    store->store = cut(text, "/");
    port = cut(text, ":");
    store->port = port ? atoi(port) : STANDARD_PORT;
    store->host = text;
    return *text && store->port > 0 && store->port < 65536;
}

static bool parse_socket(struct redis_store *store, char *text)
{
    char *query = cut(text, "?");

    store->socket = text;
    store->store = query && strncmp(query, "name=", 5) == 0 ? query + 5 : NULL;
    return *text == '/';
}

static bool is_plain(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t length = name ? strlen(name) : 0;

    return length > 0 && length <= 64 && strspn(name, plain) == length;
}

static bool parse(struct redis_store *store)
{
    bool well;

    if (strncmp(store->name, "redis+unix://", 13) == 0)
        well = parse_socket(store, store->name + 13);
    else
        well = strncmp(store->name, "redis://", 8) == 0 && parse_host(store, store->name + 8);
    return well && is_plain(store->store);
}

static enum status redis_open(const struct store_opening *opening, struct store **out)
{
    struct redis_store *store = calloc(1, sizeof(*store));
    enum status status;

    if (!store || !(store->name = strdup(opening->name))) {
        free(store);
        return ST_NO_MEMORY;
    }
    store->served.backend = &redis_backend;
    store->wanted_bytes = opening->bytes;
    if (!served_take_deadline(store->name, &store->served.deadline_ns) || !parse(store)) {
        snprintf(opening->why, opening->why_bytes,
                 "expected redis://[[USER]:PASSWORD@]HOST[:PORT]/NAME or redis+unix:///SOCKET?name=NAME, a "
                 "NAME of "
                 "letters, digits, '-', '_' and '.', and no more than &quire-deadline=SECONDS");
        redis_destroy(&store->served);
        return ST_INVALID;
    }
    status = served_start(&store->served, opening);
    if (status == ST_OK)
        *out = &store->served.base;
    return status;
}

const struct quire_store_module quire_store_module = {
    .version = QUIRE_STORE_MODULE_VERSION, .name = "redis", .open = redis_open};
