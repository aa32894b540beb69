/*
 * Compressed pages in memory. See quire/store_compressed.h.
 *
 *     places[page]  --> 0: behind, or nowhere    PLACE_ZERO: zeroes    else: a cell with the packed page
 *
 * A request that needs the store behind for some of its pages has a job, which goes over its pages in order:
 * what memory can do is done at once, and neighbours that cannot become one request to the store behind.
 * There are JOBS of them, made with the store, so that writing pages to make memory free needs none; more
 * requests wait in the order in which they came.
 *
 * A page's old contents go before its new ones come: their memory may be what the new ones need.
 */
#include "quire/store_compressed.h"

#include <string.h>

#include "base/check.h"
#include "store/cells.h"

enum { JOBS = 16, PLACE_NONE = 0, PLACE_ZERO = 1 };
enum { PACKED_MOST = 3 * 1024 - 2 }; /* three quarters of a page, with the cell's head: not worth it above */
_Static_assert((int)PLACE_ZERO < (int)CELL_LEAST, "no cell is called so");

struct job {
    struct store_request behind;
    struct store_request *owner; /* NULL: the job is free */
    struct compressed *store;
    uint32_t at; /* pages that are done */
    enum status status;
    bool running, ended; /* in job_run(); the request to the store behind has ended */
};

struct compressed {
    struct store store;
    struct compressed_config config;
    struct cells cells;
    uint32_t *places;
    void *state;  /* the packer's */
    void *packed; /* a page: what was packed, or did not lie in one piece */
    struct job jobs[JOBS];
    struct store_request *first, **last; /* that wait */
    bool beginning;                      /* in begin_waiting() */
    struct compressed_counts counts;
};

static const struct store_type compressed_type;

static struct compressed *compressed_of(struct store *store)
{
    return container_of(store, struct compressed, store);
}

/* ------------------------------------------------------------------ one page */

static bool is_zero(const void *page)
{
    const uint64_t *words = page;

    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*words); i += 4)
        if ((words[i] | words[i + 1] | words[i + 2] | words[i + 3]) != 0)
            return false;
    return true;
}

static void drop(struct compressed *c, uint64_t page)
{
    uint32_t place = c->places[page];

    if (place == PLACE_ZERO) {
        c->counts.zero--;
    } else if (place != PLACE_NONE) {
        c->counts.packed_bytes -= cells_bytes(&c->cells, place);
        c->counts.packed--;
        cells_drop(&c->cells, place);
    }
    c->places[page] = PLACE_NONE;
}

/* Puts the contents into memory. False: they must go behind. */
static bool keep(struct compressed *c, uint64_t page, const void *contents)
{
    size_t bytes;

    drop(c, page);
    if (is_zero(contents)) {
        c->places[page] = PLACE_ZERO;
        c->counts.zero++;
        return true;
    }
    bytes = c->config.packer->pack(c->state, contents, c->packed, PACKED_MOST);
    if (bytes == 0 || bytes > PACKED_MOST) {
        c->counts.large++;
        return false;
    }
    c->places[page] = cells_put(&c->cells, c->packed, bytes);
    if (c->places[page] == PLACE_NONE) {
        c->counts.no_room++;
        return false;
    }
    c->counts.packed++;
    c->counts.packed_bytes += bytes;
    return true;
}

/* The contents from memory. */
static enum status fetch(struct compressed *c, uint64_t page, void *contents)
{
    const void *packed;
    size_t bytes;

    if (c->places[page] == PLACE_ZERO) {
        memset(contents, 0, PAGE_SIZE);
        return ST_OK;
    }
    packed = cells_look(&c->cells, c->places[page], c->packed, &bytes);
    return c->config.packer->unpack(c->state, packed, bytes, contents) ? ST_OK : ST_IO_ERROR;
}

/* ------------------------------------------------------------------ requests */

/* Does what memory can do with the page that comes `offset` behind the first. False: it is the store's
 * behind. */
static bool in_memory(struct compressed *c, const struct store_request *request, uint32_t offset,
                      enum status *status)
{
    uint64_t page = request->first + offset;

    if (request->op == STORE_WRITE)
        return keep(c, page, request->pages[offset]);
    if (c->places[page] == PLACE_NONE)
        return false;
    *status = fetch(c, page, request->pages[offset]);
    return true;
}

/* The next pages of the request, up to the first that memory cannot do. True: all are done, or one was an
 * error. */
static bool advance(struct compressed *c, const struct store_request *request, uint32_t *at,
                    enum status *status)
{
    while (*status == ST_OK && *at < request->count && in_memory(c, request, *at, status))
        (*at)++;
    return *status != ST_OK || *at == request->count;
}

static void behind_ended(struct store_request *request, enum status status);

/* The page at job->at goes behind, and its neighbours that must, too. */
static void send_behind(struct compressed *c, struct job *job)
{
    const struct store_request *owner = job->owner;
    enum status status = ST_OK;
    uint32_t first = job->at;
    uint32_t count = 1;

    while (first + count < owner->count && !in_memory(c, owner, first + count, &status))
        count++;
    /* The page that ended the run, if one did, is done already. */
    job->at = first + count + (first + count < owner->count);
    job->status = status;
    job->ended = false;
    job->behind = (struct store_request){.op = owner->op,
                                         .count = count,
                                         .first = owner->first + first,
                                         .pages = owner->pages + first,
                                         .done = behind_ended,
                                         .context = job};
    if (owner->op == STORE_READ)
        c->counts.behind_reads += count;
    else
        c->counts.behind_writes += count;
    store_submit(c->config.behind, &job->behind);
}

static void begin_waiting(struct compressed *c);

static void job_end(struct compressed *c, struct job *job)
{
    struct store_request *owner = job->owner;

    job->owner = NULL;
    owner->done(owner, job->status);
    begin_waiting(c);
}

/* Until all is done, or the store behind has something to do: then behind_ended() goes on. */
static void job_run(struct compressed *c, struct job *job)
{
    job->running = true;
    while (!advance(c, job->owner, &job->at, &job->status)) {
        send_behind(c, job);
        if (!job->ended) {
            job->running = false;
            return;
        }
    }
    job->running = false;
    job_end(c, job);
}

/* May be inside of send_behind(). */
static void behind_ended(struct store_request *request, enum status status)
{
    struct job *job = request->context;

    if (status != ST_OK)
        job->status = status;
    job->ended = true;
    if (!job->running)
        job_run(job->store, job);
}

static struct job *free_job(struct compressed *c)
{
    for (unsigned i = 0; i < JOBS; i++)
        if (c->jobs[i].owner == NULL)
            return &c->jobs[i];
    return NULL;
}

/* Requests that end at once come back here: the first call begins them all. */
static void begin_waiting(struct compressed *c)
{
    struct job *job;

    if (c->beginning)
        return;
    c->beginning = true;
    while (c->first != NULL && (job = free_job(c)) != NULL) {
        job->owner = c->first;
        c->first = c->first->next;
        if (c->first == NULL)
            c->last = &c->first;
        job->at = 0;
        job->status = ST_OK;
        job_run(c, job);
    }
    c->beginning = false;
}

static void wait_for_job(struct compressed *c, struct store_request *request)
{
    request->next = NULL;
    *c->last = request;
    c->last = &request->next;
    begin_waiting(c);
}

static void transfer_alone(struct compressed *c, struct store_request *request)
{
    enum status status = ST_OK;
    uint32_t at = 0;

    if (!advance(c, request, &at, &status))
        status = request->op == STORE_WRITE ? ST_NO_SPACE : ST_IO_ERROR;
    request->done(request, status);
}

static void discard(struct compressed *c, struct store_request *request)
{
    for (uint32_t i = 0; i < request->count; i++)
        drop(c, request->first + i);
    request->done(request, ST_OK);
}

static void compressed_submit(struct store *store, struct store_request *request)
{
    struct compressed *c = compressed_of(store);

    if (!store_request_fits(store, request))
        request->done(request, ST_INVALID);
    else if (request->op == STORE_FLUSH)
        request->done(request, ST_UNSUPPORTED);
    else if (request->op == STORE_DISCARD)
        discard(c, request);
    else if (c->config.behind == NULL)
        transfer_alone(c, request);
    else
        wait_for_job(c, request);
}

static unsigned compressed_poll(struct store *store, uint64_t wait_ns)
{
    struct compressed *c = compressed_of(store);

    return c->config.behind != NULL ? store_poll(c->config.behind, wait_ns) : 0;
}

/* ------------------------------------------------------------------ its life */

static void *take(const struct compressed_config *config, size_t bytes)
{
    return config->memory.area_take(config->memory.context, bytes);
}

static void give(const struct compressed_config *config, void *area, size_t bytes)
{
    if (area != NULL)
        config->memory.area_give(config->memory.context, area, bytes);
}

static void free_areas(const struct compressed_config *config, struct compressed *c)
{
    give(config, c->places, config->pages * sizeof(*c->places));
    give(config, c->state, config->packer->state_bytes);
    give(config, c->packed, PAGE_SIZE);
    give(config, c, sizeof(*c));
}

enum status compressed_create(const struct compressed_config *config, struct store **out)
{
    struct compressed *c;

    if (config->pages == 0 || config->pages > UINT32_MAX ||
        (config->behind != NULL && config->pages > config->behind->pages))
        return ST_INVALID;
    c = take(config, sizeof(*c));
    if (c == NULL)
        return ST_NO_MEMORY;
    c->store = (struct store){&compressed_type, config->pages};
    c->config = *config;
    c->last = &c->first;
    c->places = take(config, config->pages * sizeof(*c->places));
    c->state = take(config, config->packer->state_bytes);
    c->packed = take(config, PAGE_SIZE);
    for (unsigned i = 0; i < JOBS; i++)
        c->jobs[i].store = c;
    if (c->places == NULL || c->state == NULL || c->packed == NULL ||
        cells_init(&c->cells, &c->config.memory, config->memory_pages) != ST_OK) {
        free_areas(config, c);
        return ST_NO_MEMORY;
    }
    *out = &c->store;
    return ST_OK;
}

static void compressed_close(struct store *store)
{
    struct compressed *c = compressed_of(store);
    struct compressed_config config = c->config;

    cells_destroy(&c->cells);
    free_areas(&config, c);
}

static const struct store_type compressed_type = {
    .name = "compressed", .submit = compressed_submit, .poll = compressed_poll, .close = compressed_close};

void compressed_count(const struct store *store, struct compressed_counts *out)
{
    const struct compressed *c = container_of(store, const struct compressed, store);

    *out = c->counts;
    out->memory_pages = c->cells.pages;
}

const char *compressed_check(const struct store *store)
{
    const struct compressed *c = container_of(store, const struct compressed, store);
    uint64_t zero = 0, packed = 0, bytes = 0;

    for (uint64_t page = 0; page < store->pages; page++) {
        uint32_t place = c->places[page];

        zero += place == PLACE_ZERO;
        if (place == PLACE_NONE || place == PLACE_ZERO)
            continue;
        if (place < CELL_LEAST || !cells_is_used(&c->cells, place))
            return "a page is in a cell that is not in use";
        bytes += cells_bytes(&c->cells, place);
        packed++;
    }
    if (zero != c->counts.zero || packed != c->counts.packed || bytes != c->counts.packed_bytes)
        return "the counts of pages";
    /* As many pages as cells, and counted, so none is in two. */
    return packed != c->cells.used ? "a cell that no page is in" : cells_check(&c->cells);
}
