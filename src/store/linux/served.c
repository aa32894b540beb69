/*
 * served.h. The thread's lists:
 *
 *      arrivals   pushed by any thread, newest first; the thread takes all of them and wakes by an eventfd
 *      waiting    in the order of coming; begun as there are places and a connection
 *      flushes    one is begun at a time, and none while pages are in doubt: those are read first, by a
 * request of the store's own (`verify`)
 *
 * A connection that is lost is sought again while requests wait, RETRY_NS apart, until their deadlines. One
 * that shows another store than before (shorter, or in use by somebody else) is given up for ever: `broken`.
 */
#include "served.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "served_pages.h"
#include "wait.h"

#define RETRY_NS 50000000u
#define MOST_CONNECT_NS 2000000000u
#define IDLE_NS 1000000000u
enum { VERIFY_PAGES = 32 };

struct list_of_requests {
    struct store_request *first, **last;
};

struct served_state {
    _Atomic(struct store_request *) arrivals;
    _Atomic uint32_t under_way, ended; /* requests; a count of all that ended, which poll sleeps on */
    _Atomic bool stop;
    _Atomic uint32_t opened; /* 0: not yet; else its status + 1 */
    int wake;                /* eventfd */
    pthread_t thread;
    /* The thread's. */
    struct served_place places[SERVED_PLACES];
    struct list_of_requests waiting, flushes;
    struct served_pages pages;
    bool connected, broken, flushing;
    uint64_t connect_at; /* ns: not before */
    struct store_request verify;
    bool verifying, verified; /* it is under way; it has ended well */
    uint64_t verify_at;
    void *verify_pages[VERIFY_PAGES];
    uint8_t *verify_memory;
};

/* ------------------------------------------------------------------ lists */

static void list_add(struct list_of_requests *list, struct store_request *request)
{
    request->next = NULL;
    *list->last = request;
    list->last = &request->next;
}

static struct store_request *list_take(struct list_of_requests *list)
{
    struct store_request *request = list->first;

    if (request && !(list->first = request->next))
        list->last = &list->first;
    return request;
}

static void list_push(struct list_of_requests *list, struct store_request *request)
{
    if (!(request->next = list->first))
        list->last = &request->next;
    list->first = request;
}

/* The deadline of a request that waits is in its `private`. */
static uint64_t deadline_of(const struct store_request *request)
{
    return (uint64_t)(uintptr_t)request->private;
}

/* ------------------------------------------------------------------ ends */

static void end_request(struct served_state *state, struct store_request *request, enum status status)
{
    request->done(request, status);
    if (request == &state->verify)
        return;
    atomic_fetch_sub(&state->under_way, 1);
    atomic_fetch_add(&state->ended, 1);
    wait_wake(&state->ended);
}

/* What was read is what must be there; what was written is noted. */
static enum status note_pages(struct served_state *state, const struct store_request *request,
                              enum status status)
{
    for (uint32_t i = 0; i < request->count; i++) {
        uint64_t page = request->first + i;

        if (request->op == STORE_READ && status == ST_OK) {
            if (!served_pages_read(&state->pages, page, request->pages[i]))
                status = ST_IO_ERROR;
        } else if (request->op == STORE_WRITE && status == ST_OK) {
            served_pages_written(&state->pages, page, request->pages[i]);
        } else if (request->op != STORE_READ) {
            served_pages_forget(&state->pages, page);
        }
    }
    return status;
}

static void note_flush(struct served_state *state, enum status status)
{
    state->flushing = false;
    if (status == ST_OK)
        served_pages_flushed(&state->pages);
    else
        served_pages_flush_failed(&state->pages);
}

static void place_end(struct served_state *state, struct served_place *place, enum status status)
{
    struct store_request *request = place->request;

    if (request->op == STORE_FLUSH)
        note_flush(state, status);
    else
        status = note_pages(state, request, status);
    *place = (struct served_place){.request = NULL};
    end_request(state, request, status);
}

static void place_end_if_over(struct served_state *state, struct served_place *place)
{
    if (place->begun && place->pieces == 0)
        place_end(state, place, place->status);
}

void served_piece_ended(struct served *served, struct served_place *place, enum status status)
{
    if (place->status == ST_OK)
        place->status = status;
    place->pieces--;
    place_end_if_over(served->state, place);
}

/* ------------------------------------------------------------------ connection */

static void lose_connection(struct served *served)
{
    struct served_state *state = served->state;

    if (!state->connected)
        return;
    state->connected = false;
    served->backend->disconnect(served);
    if (state->flushing)
        served_pages_flush_failed(&state->pages);
    state->flushing = false;
    served_pages_connection_lost(&state->pages);
    state->verify_at = 0;
    for (unsigned i = 0; i < SERVED_PLACES; i++) {
        struct served_place *place = &state->places[i];

        if (!place->request)
            continue;
        place->begun = false;
        place->pieces = 0;
        place->status = ST_OK;
        if (place->request->op == STORE_FLUSH) { /* after what is in doubt has been looked at */
            place->request->private = (void *)(uintptr_t)place->until;
            list_push(&state->flushes, place->request);
            *place = (struct served_place){.request = NULL};
        }
    }
}

static uint64_t soonest_deadline(const struct served_state *state)
{
    uint64_t soonest = UINT64_MAX;

    for (unsigned i = 0; i < SERVED_PLACES; i++)
        if (state->places[i].request && state->places[i].until < soonest)
            soonest = state->places[i].until;
    if (state->waiting.first && deadline_of(state->waiting.first) < soonest)
        soonest = deadline_of(state->waiting.first);
    if (state->flushes.first && deadline_of(state->flushes.first) < soonest)
        soonest = deadline_of(state->flushes.first);
    return soonest;
}

static void seek_connection(struct served *served)
{
    struct served_state *state = served->state;
    uint64_t now = wait_now_ns(), soonest = soonest_deadline(state);
    uint64_t most = soonest <= now ? 0 : soonest - now < MOST_CONNECT_NS ? soonest - now : MOST_CONNECT_NS;
    enum status status;

    if (state->connected || state->broken || soonest == UINT64_MAX || now < state->connect_at)
        return;
    status = served->backend->connect(served, (unsigned)(most / 1000000 + 1));
    state->connected = status == ST_OK;
    state->broken = status == ST_DENIED || status == ST_INVALID;
    state->connect_at = wait_now_ns() + RETRY_NS;
}

/* ------------------------------------------------------------------ beginnings */

static struct served_place *free_place(struct served_state *state)
{
    for (unsigned i = 0; i < SERVED_PLACES; i++)
        if (!state->places[i].request)
            return &state->places[i];
    return NULL;
}

static bool place_begin(struct served *served, struct served_place *place)
{
    bool well;

    place->pieces = 1; /* ours, so that it does not end while it is begun */
    well = served->backend->begin(served, place);
    if (!well) {
        lose_connection(served);
        return false;
    }
    place->begun = true;
    served_piece_ended(served, place, ST_OK);
    return true;
}

static bool begin_request(struct served *served, struct store_request *request)
{
    struct served_place *place = free_place(served->state);

    *place = (struct served_place){.request = request, .until = deadline_of(request)};
    if (request->op == STORE_FLUSH) {
        served->state->flushing = true;
        served_pages_flush_begins(&served->state->pages);
    }
    return place_begin(served, place);
}

static void verify_over(struct store_request *request, enum status status)
{
    struct served_state *state = request->context;

    state->verifying = false;
    state->verified = status == ST_OK;
}

static void fail_flushes(struct served_state *state)
{
    struct store_request *request;

    while ((request = list_take(&state->flushes)))
        end_request(state, request, ST_IO_ERROR);
}

/* Reads the next pages that are in doubt. False: there are none left. */
static bool verify_next(struct served_state *state)
{
    uint32_t count = served_pages_doubtful(&state->pages, &state->verify_at, VERIFY_PAGES);

    if (count == 0)
        return false;
    state->verify = (struct store_request){.op = STORE_READ,
                                           .count = count,
                                           .first = state->verify_at,
                                           .pages = state->verify_pages,
                                           .done = verify_over,
                                           .context = state,
                                           .private = state->flushes.first->private};
    state->verify_at += count;
    state->verifying = true;
    list_push(&state->waiting, &state->verify);
    return true;
}

/* Before any flush: what is in doubt. True: a flush may be begun. */
static bool nothing_is_in_doubt(struct served_state *state)
{
    if (state->verifying)
        return false;
    if (state->pages.doubtful == 0) {
        state->verify_at = 0;
        return true;
    }
    if (!verify_next(state)) { /* all were looked at, and some are not there */
        state->verify_at = 0;
        fail_flushes(state);
    }
    return false;
}

static void begin_flush(struct served *served)
{
    struct served_state *state = served->state;

    if (!state->connected || !state->flushes.first || state->flushing || !nothing_is_in_doubt(state) ||
        !free_place(state))
        return;
    begin_request(served, list_take(&state->flushes));
}

static void begin_requests(struct served *served)
{
    struct served_state *state = served->state;

    for (unsigned i = 0; state->connected && i < SERVED_PLACES; i++)
        if (state->places[i].request && !state->places[i].begun && !place_begin(served, &state->places[i]))
            return;
    begin_flush(served);
    while (state->connected && state->waiting.first && free_place(state))
        begin_request(served, list_take(&state->waiting));
}

/* ------------------------------------------------------------------ deadlines */

static void expire_list(struct served_state *state, struct list_of_requests *list, uint64_t now)
{
    while (list->first && (state->broken || deadline_of(list->first) <= now))
        end_request(state, list_take(list), ST_IO_ERROR);
}

/* A request that is late takes its connection with it: only then is its memory nobody's. */
static void expire(struct served *served)
{
    struct served_state *state = served->state;
    uint64_t now = wait_now_ns();

    for (unsigned i = 0; i < SERVED_PLACES; i++) {
        struct served_place *place = &state->places[i];

        if (!place->request || (place->until > now && !state->broken))
            continue;
        lose_connection(served); /* which puts a flush back on its list */
        if (place->request)
            place_end(state, place, ST_IO_ERROR);
    }
    expire_list(state, &state->waiting, now);
    expire_list(state, &state->flushes, now);
}

/* ------------------------------------------------------------------ the thread */

static void take_arrivals(struct served *served)
{
    struct served_state *state = served->state;
    struct store_request *newest = atomic_exchange(&state->arrivals, NULL), *oldest = NULL, *next;
    uint64_t until = wait_now_ns() + served->deadline_ns;

    for (; newest; newest = next) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    for (; oldest; oldest = next) {
        next = oldest->next;
        oldest->private = (void *)(uintptr_t)until;
        list_add(oldest->op == STORE_FLUSH ? &state->flushes : &state->waiting, oldest);
    }
}

static int wait_ms(const struct served_state *state)
{
    uint64_t now = wait_now_ns(), until = soonest_deadline(state), most = IDLE_NS;

    if (until == UINT64_MAX)
        return (int)(most / 1000000);
    if (!state->connected && state->connect_at < until)
        until = state->connect_at;
    return until <= now ? 0 : (int)((until - now < most ? until - now : most) / 1000000 + 1);
}

static void wait_for_something(struct served *served)
{
    struct served_state *state = served->state;
    struct pollfd ready[2] = {{.fd = state->wake, .events = POLLIN}};
    uint64_t count;

    if (state->connected)
        ready[1].fd = served->backend->watch(served, &ready[1].events);
    poll(ready, state->connected ? 2 : 1, wait_ms(state));
    if (ready[0].revents)
        (void)!read(state->wake, &count, sizeof(count));
    if (state->connected && !served->backend->progress(served, ready[1].revents))
        lose_connection(served);
}

static enum status check_length(struct served *served)
{
    if (served->base.pages == 0 || served->wanted_bytes / PAGE_SIZE > served->base.pages ||
        (served->wanted_bytes / PAGE_SIZE == served->base.pages && served->wanted_bytes % PAGE_SIZE != 0)) {
        served_say(served, "it has %llu pages of 4 KiB, and %llu bytes are wanted",
                   (unsigned long long)served->base.pages, (unsigned long long)served->wanted_bytes);
        return ST_BEYOND_END;
    }
    return ST_OK;
}

static enum status open_first(struct served *served)
{
    struct served_state *state = served->state;
    uint64_t until = wait_now_ns() + served->deadline_ns;
    unsigned most_ms = (unsigned)(served->deadline_ns / 1000000);
    enum status status;

    while ((status = served->backend->connect(served, most_ms)) == ST_RETRY && wait_now_ns() < until)
        wait_while(&state->opened, 0, RETRY_NS);
    status = status == ST_RETRY ? ST_IO_ERROR : status;
    state->connected = status == ST_OK;
    if (status == ST_OK)
        status = check_length(served);
    return status == ST_OK ? served_pages_init(&state->pages, served->base.pages) : status;
}

static void *serve(void *context)
{
    struct served *served = context;
    struct served_state *state = served->state;
    enum status status = open_first(served);

    served->why = NULL;
    atomic_store(&state->stop, status != ST_OK);
    atomic_store(&state->opened, 1 + (uint32_t)status);
    wait_wake(&state->opened);
    while (!atomic_load(&state->stop)) {
        take_arrivals(served);
        seek_connection(served);
        begin_requests(served);
        expire(served);
        wait_for_something(served);
    }
    CHECK(status != ST_OK || served_pages_check(&state->pages) == NULL);
    return NULL;
}

/* ------------------------------------------------------------------ the store */

static enum status check_request(const struct served *served, const struct store_request *request)
{
    if (!store_request_fits(&served->base, request))
        return ST_INVALID;
    return request->op == STORE_WRITE && served->read_only ? ST_DENIED : ST_OK;
}

static void served_submit(struct store *store, struct store_request *request)
{
    struct served *served = (struct served *)store;
    struct served_state *state = served->state;
    struct store_request *first = atomic_load(&state->arrivals);
    enum status status = check_request(served, request);
    uint64_t one = 1;

    if (status != ST_OK || (served->read_only && request->op != STORE_READ)) {
        request->done(request, status);
        return;
    }
    atomic_fetch_add(&state->under_way, 1);
    do
        request->next = first;
    while (!atomic_compare_exchange_weak(&state->arrivals, &first, request));
    if (!first) /* by syscall(): a thread may not be cancelled in a fault */
        syscall(SYS_write, state->wake, &one, sizeof(one));
}

static unsigned served_poll(struct store *store, uint64_t wait_ns)
{
    struct served_state *state = ((struct served *)store)->state;
    uint32_t before = atomic_load(&state->ended);

    if (atomic_load(&state->under_way) == 0)
        return 0;
    if (wait_ns > 0)
        wait_while(&state->ended, before, wait_ns);
    return atomic_load(&state->ended) - before;
}

static void state_free(struct served_state *state)
{
    if (!state)
        return;
    if (state->verify_memory)
        munmap(state->verify_memory, VERIFY_PAGES * PAGE_SIZE);
    if (state->wake >= 0)
        close(state->wake);
    served_pages_destroy(&state->pages);
    free(state);
}

static void served_free(struct served *served)
{
    if (served->state && served->state->connected)
        served->backend->disconnect(served);
    state_free(served->state);
    served->backend->destroy(served);
}

static void served_close(struct store *store)
{
    struct served *served = (struct served *)store;
    uint64_t one = 1;

    atomic_store(&served->state->stop, true);
    (void)!write(served->state->wake, &one, sizeof(one));
    pthread_join(served->state->thread, NULL);
    served_free(served);
}

/* ------------------------------------------------------------------ opening */

void served_say(struct served *served, const char *format, ...)
{
    va_list arguments;

    if (!served->why)
        return;
    va_start(arguments, format);
    vsnprintf(served->why, served->why_bytes, format, arguments);
    va_end(arguments);
}

bool served_take_deadline(char *name, uint64_t *deadline_ns)
{
    static const char key[] = "quire-deadline=";
    char *query = strchr(name, '?'), *at = query ? strstr(query, key) : NULL, *end;
    unsigned long seconds;

    *deadline_ns = (uint64_t)SERVED_DEADLINE_MS * 1000000;
    if (!at || (at[-1] != '?' && at[-1] != '&'))
        return true;
    seconds = strtoul(at + sizeof(key) - 1, &end, 10);
    if (end == at + sizeof(key) - 1 || (*end != '\0' && *end != '&') || seconds == 0 || seconds > 86400)
        return false;
    *deadline_ns = seconds * 1000000000;
    if (*end == '&') /* what follows takes its place */
        memmove(at, end + 1, strlen(end + 1) + 1);
    else
        at[-1] = '\0';
    return true;
}

static struct served_state *state_make(void)
{
    struct served_state *state = calloc(1, sizeof(*state));

    if (!state)
        return NULL;
    state->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    state->verify_memory =
        mmap(NULL, VERIFY_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (state->verify_memory == MAP_FAILED)
        state->verify_memory = NULL;
    if (state->wake < 0 || !state->verify_memory) {
        state_free(state);
        return NULL;
    }
    for (unsigned i = 0; i < VERIFY_PAGES; i++)
        state->verify_pages[i] = state->verify_memory + i * PAGE_SIZE;
    state->waiting.last = &state->waiting.first;
    state->flushes.last = &state->flushes.first;
    return state;
}

static enum status begin_thread(struct served *served)
{
    sigset_t all, saved;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    failed = pthread_create(&served->state->thread, NULL, serve, served);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return failed ? ST_NO_MEMORY : ST_OK;
}

/* What it comes to when the thread has connected, or not. */
static enum status wait_until_opened(struct served *served)
{
    while (atomic_load(&served->state->opened) == 0)
        wait_while(&served->state->opened, 0, IDLE_NS);
    return (enum status)(atomic_load(&served->state->opened) - 1);
}

enum status served_start(struct served *served, const struct store_opening *opening)
{
    enum status status = ST_NO_MEMORY;

    served->type = (struct store_type){
        .name = served->backend->name, .submit = served_submit, .poll = served_poll, .close = served_close};
    served->base.type = &served->type;
    served->wanted_bytes = opening->bytes;
    served->why = opening->why;
    served->why_bytes = opening->why_bytes;
    served_say(served, "no memory");
    if ((served->state = state_make()))
        status = begin_thread(served);
    if (status != ST_OK) {
        served_free(served);
        return status;
    }
    status = wait_until_opened(served);
    if (status != ST_OK)
        served_close(&served->base);
    return status;
}
