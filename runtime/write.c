/*
 * Writing pages back.
 *
 *      taken (OPENING, FLIGHT) ---- write-protected ---- WRITING ---- copied out of the region ---- written
 * ---- done
 *
 * Nobody can write to a page between its protection and the copy without a fault, which makes it DIRTY again:
 * it will be written once more, and what is written now is what it held before or, in part, after. FLIGHT
 * keeps a second write of the page from overtaking the first. A pinned page may not be protected, since
 * system calls write to it: it is copied as it is and stays DIRTY.
 *
 * Neighbours in memory are protected and copied together, and are one request to the store.
 *
 * A request ends in `written()`, whoever polls the store, and that is where its pages' words change: so one
 * that misses its deadline still ends well, and only its memory stays behind until then.
 */
#include "pager.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define POLL_NS 1000000u

enum request_state { UNDER_WAY, ENDING, OVER, LATE };

struct piece {
    struct store_request request;
    struct writer *writer;
    struct place first;
    enum writing how;
    enum status status;
    _Atomic uint32_t state; /* enum request_state */
};

struct writer {
    _Atomic uint32_t under_way; /* requests, and one for who waits for them */
    uint32_t pieces;
    struct piece piece[BATCH_PAGES];
    void *pages[BATCH_PAGES];
    uint8_t *memory; /* BATCH_PAGES */
};

struct writer *writer_create(void)
{
    struct writer *writer = calloc(1, sizeof(*writer));

    if (!writer)
        return NULL;
    writer->memory =
        mmap(NULL, BATCH_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (writer->memory == MAP_FAILED) {
        free(writer);
        return NULL;
    }
    for (uint32_t i = 0; i < BATCH_PAGES; i++)
        writer->pages[i] = writer->memory + i * PAGE_SIZE;
    return writer;
}

void writer_destroy(struct writer *writer)
{
    if (!writer)
        return;
    munmap(writer->memory, BATCH_PAGES * PAGE_SIZE);
    free(writer);
}

/* ------------------------------------------------------------------ places in order */

static int compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->region != y->region)
        return x->region < y->region ? -1 : 1;
    return x->page < y->page ? -1 : x->page > y->page;
}

void places_sort(struct place *places, uint32_t count)
{
    qsort(places, count, sizeof(*places), compare);
}

uint32_t places_run(const struct place *places, uint32_t count)
{
    uint32_t run = 1;

    while (run < count && places[run].region == places->region && places[run].page == places->page + run)
        run++;
    return run;
}

/* ------------------------------------------------------------------ one page */

bool page_take_to_write(struct place place, bool even_pinned)
{
    uint32_t seen = page_look(place_word(place));

    while (page_state(seen) == PAGE_DIRTY && !(seen & PAGE_FLIGHT) && (even_pinned || page_pins(seen) == 0)) {
        uint32_t state = page_pins(seen) > 0 ? PAGE_DIRTY : PAGE_OPENING;

        if (page_change(place_word(place), &seen, (seen & ~(uint32_t)PAGE_STATE) | state | PAGE_FLIGHT))
            return true;
    }
    return false;
}

static void page_written(struct place place, enum writing how)
{
    page_word *word = place_word(place);
    uint32_t seen = page_look(word), next;

    do {
        next = (seen & ~(uint32_t)(PAGE_FLIGHT | PAGE_WAITED)) | (place.region->plain ? 0 : PAGE_STORED);
        if (page_state(seen) == PAGE_WRITING)
            next = (next & ~(uint32_t)PAGE_STATE) |
                   (how == WRITE_LEAVE && page_pins(seen) == 0 ? PAGE_LEAVING : PAGE_CLEAN);
    } while (!page_change(word, &seen, next));
    if (seen & PAGE_WAITED)
        futex_wake_all(word);
}

/* It is as before: DIRTY; and closed, if it was protected. */
static void page_not_written(struct place place)
{
    page_word *word = place_word(place);
    uint32_t seen = page_look(word), next;

    do {
        next = seen & ~(uint32_t)(PAGE_FLIGHT | PAGE_WAITED);
        if (page_state(seen) == PAGE_WRITING)
            next = (next & ~(uint32_t)PAGE_STATE) | PAGE_DIRTY | PAGE_CLOSED;
    } while (!page_change(word, &seen, next));
    if (seen & PAGE_WAITED)
        futex_wake_all(word);
}

/* Taken, and nothing more. */
static void places_untake(struct place *places, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        page_settle(place_word(places[i]), PAGE_DIRTY, 0, PAGE_FLIGHT);
}

/* ------------------------------------------------------------------ requests */

static void writer_end_one(struct writer *writer)
{
    if (atomic_fetch_sub(&writer->under_way, 1) == 1)
        writer_destroy(writer);
}

static void note_error(struct region *region, enum status status)
{
    uint32_t fine = ST_OK;

    atomic_compare_exchange_strong(&region->write_status, &fine, (uint32_t)status);
}

static void written(struct store_request *request, enum status status)
{
    struct piece *piece = request->context;
    struct region *region = piece->first.region;
    uint32_t state = UNDER_WAY, count = request->count;
    /* Who gave up waiting lets nothing leave any more. */
    bool late = !atomic_compare_exchange_strong(&piece->state, &state, ENDING);

    piece->status = status;
    count_add(region->pager, status == ST_OK ? COUNT_WRITE_BACKS : COUNT_WRITE_ERRORS, count);
    if (status != ST_OK)
        note_error(region, status);
    for (uint32_t i = 0; i < count; i++) {
        struct place place = {region, piece->first.page + i};

        if (status == ST_OK)
            page_written(place, late ? WRITE_STAY : piece->how);
        else
            page_not_written(place);
    }
    if (!late)
        atomic_store(&piece->state, OVER);
    writer_end_one(piece->writer);
}

static bool are_shut(struct place first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!(page_look(place_word(first) + i) & PAGE_SHUT))
            return false;
    return true;
}

/* Where a flush of the TLBs for each run can be spared: part by part. */
static void shut_parts(const struct place *places, uint32_t count)
{
    for (uint32_t i = 0, same; i < count; i += same) {
        const struct region *region = places[i].region;
        bool any = false;

        for (same = 0; i + same < count && places[i + same].region == region &&
                       places[i + same].page / SHUT_PAGES == places[i].page / SHUT_PAGES;
             same++)
            any |= !are_shut(places[i + same], 1);
        if (any && region->memory < 0)
            places_shut(&places[i], same);
    }
}

/* Those that are not pinned: runs of OPENING pages become WRITING. */
static bool protect_run(struct place first, uint32_t count)
{
    bool fine = true;

    for (uint32_t i = 0, run; i < count; i += run) {
        struct place place = {first.region, first.page + i};

        for (run = 0; i + run < count && page_state(page_look(place_word(place) + run)) == PAGE_OPENING;
             run++)
            ;
        if (run == 0) {
            run = 1;
            continue;
        }
        if (!are_shut(place, run) && pages_protect(place, run, false) != ST_OK)
            fine = false;
        for (uint32_t j = 0; j < run; j++)
            page_settle(place_word(place) + j, PAGE_WRITING, 0, PAGE_CLOSED | PAGE_SHUT | PAGE_REOPENED);
    }
    return fine;
}

static void piece_begin(struct writer *writer, struct place first, uint32_t count, uint32_t at,
                        enum writing how)
{
    struct region *region = first.region;
    struct store *store = region->mapping.store;
    struct piece *piece = &writer->piece[writer->pieces++];
    bool ready = protect_run(first, count) && pages_copy_out(first, count, writer->memory + at * PAGE_SIZE);

    *piece = (struct piece){.writer = writer, .first = first, .how = how};
    piece->request = (struct store_request){.op = STORE_WRITE,
                                            .count = count,
                                            .first = region->first + first.page,
                                            .pages = &writer->pages[at],
                                            .done = written,
                                            .context = piece};
    atomic_fetch_add(&writer->under_way, 1);
    if (!ready)
        written(&piece->request, ST_NO_MEMORY);
    else
        store_submit(store, &piece->request);
}

/* What is still with its store keeps the writer, and lets nothing leave. True: there is such. */
static bool give_up_waiting(struct writer *writer)
{
    bool late = false;

    for (uint32_t i = 0; i < writer->pieces; i++) {
        struct piece *piece = &writer->piece[i];
        uint32_t state = UNDER_WAY;

        if (atomic_compare_exchange_strong(&piece->state, &state, LATE)) {
            note_error(piece->first.region, ST_IO_ERROR);
            late = true;
        }
        while (atomic_load(&piece->state) == ENDING)
            sched_yield();
    }
    return late;
}

/* False: the deadline has passed, and the writer is not ours any more. */
static bool pieces_wait(struct writer *writer, uint64_t deadline_ns)
{
    uint64_t until = now_ns() + deadline_ns;

    for (uint32_t i = 0; i < writer->pieces; i++)
        while (atomic_load(&writer->piece[i].state) <= ENDING) {
            store_poll(writer->piece[i].first.region->mapping.store, POLL_NS);
            if (now_ns() > until && give_up_waiting(writer))
                return false;
        }
    while (atomic_load(&writer->under_way) > 1)
        sched_yield(); /* the last word of one that is over */
    return true;
}

static enum status first_error(const struct writer *writer)
{
    for (uint32_t i = 0; i < writer->pieces; i++)
        if (writer->piece[i].status != ST_OK)
            return writer->piece[i].status;
    return ST_OK;
}

/* Those that are LEAVING to the front. */
static uint32_t sort_leaving(struct place *places, uint32_t count)
{
    uint32_t leaving = 0;

    for (uint32_t i = 0; i < count; i++)
        if (page_state(page_look(place_word(places[i]))) == PAGE_LEAVING) {
            struct place place = places[i];

            places[i] = places[leaving];
            places[leaving++] = place;
        }
    return leaving;
}

uint32_t writer_write(struct writer **used, struct place *places, uint32_t count, enum writing how,
                      enum status *status)
{
    struct writer *writer = *used ? *used : writer_create();

    *used = writer;
    if (!writer) {
        *status = ST_NO_MEMORY;
        places_untake(places, count);
        return 0;
    }
    places_sort(places, count);
    shut_parts(places, count);
    writer->pieces = 0;
    atomic_store(&writer->under_way, 1);
    for (uint32_t i = 0, run; i < count; i += run) {
        run = places_run(&places[i], count - i);
        piece_begin(writer, places[i], run, i, how);
    }
    if (pieces_wait(writer, places->region->pager->deadline_ns)) {
        *status = first_error(writer);
    } else {
        *status = ST_IO_ERROR;
        *used = NULL;
        writer_end_one(writer);
    }
    return how == WRITE_LEAVE ? sort_leaving(places, count) : 0;
}
