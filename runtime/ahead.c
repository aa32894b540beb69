/*
 * The threads that read ahead. Streams (stream.c) ask for pages by a place in a table, which may be in a
 * signal's handler; whichever thread is free takes it, makes the pages that are absent COMING, reads them and
 * puts them in place. Who touches one of them meanwhile waits, as for any other thread's work.
 *
 *      FREE ---- asking: FILLING ---- ASKED ---- a reader: READING, copied ---- FREE
 *
 * What is asked for is a wish: it is dropped when the table is full, when frames are few, or when its region
 * goes. An error is nobody's: the page is absent again, and whoever needs it sees the error for himself.
 *
 * Locking: each reader holds `work` of its own while it is at work on a region; so who has them all knows
 * that nothing is being read. Order: round, work, regions_lock.
 */
#include "pager.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { READERS = AHEAD_THREADS, WISHES = 32, TOGETHER = 64, SINGLES = 8 };
#define PATIENCE_NS 100000000u /* for frames; then memory is too short to read ahead */
#define LONG_NAP_NS 1000000000u

enum wish_state { WISH_FREE, WISH_FILLING, WISH_ASKED, WISH_TAKEN };

struct wish {
    _Atomic uint32_t state; /* enum wish_state */
    uint32_t region;        /* its index */
    uint32_t count;
    uint64_t page;
    int64_t stride;
};

struct reader {
    struct quire_pager *pager;
    struct thread thread;
    pthread_mutex_t work;
    uint8_t *memory; /* TOGETHER pages to read into */
};

struct ahead {
    struct wish wish[WISHES];
    _Atomic uint32_t asked; /* counts wishes; readers sleep on it */
    _Atomic bool stop;
    uint32_t started;
    struct reader reader[READERS];
};

/* ------------------------------------------------------------------ asking */

static bool wish_post(struct ahead *ahead, const struct region *region, uint64_t page, int64_t stride,
                      uint32_t count)
{
    for (unsigned i = 0; i < WISHES; i++) {
        struct wish *wish = &ahead->wish[i];
        uint32_t free = WISH_FREE;

        if (!atomic_compare_exchange_strong(&wish->state, &free, WISH_FILLING))
            continue;
        wish->region = region->index;
        wish->page = page;
        wish->stride = stride;
        wish->count = count;
        atomic_store(&wish->state, WISH_ASKED);
        return true;
    }
    return false;
}

/* How many of `count` pages from `page` on are within the region. */
static uint32_t within(const struct region *region, uint64_t page, int64_t stride, uint32_t count)
{
    uint32_t i = 0;

    while (i < count && page + (uint64_t)(stride * (int64_t)i) < region->pages)
        i++;
    return i;
}

uint32_t ahead_ask(struct region *region, uint64_t page, int64_t stride, uint32_t count)
{
    struct ahead *ahead = region->pager->ahead;
    uint32_t done = 0, part;

    count = within(region, page, stride, count);
    for (; done < count; done += part) {
        uint64_t first = page + (uint64_t)(stride * (int64_t)done);
        uint32_t most = stride == 1 || stride == -1 ? TOGETHER : SINGLES;

        part = count - done < most ? count - done : most;
        if (stride == -1)
            first -= part - 1;
        if (!wish_post(ahead, region, first, stride == -1 ? 1 : stride, part))
            break;
    }
    if (done > 0) {
        atomic_fetch_add(&ahead->asked, 1);
        futex_wake_all(&ahead->asked);
    }
    return done;
}

/* ------------------------------------------------------------------ reading */

static uint8_t *memory_make(void)
{
    void *memory =
        mmap(NULL, TOGETHER * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* In pieces as large as a store is asked for at once. ST_INTERRUPTED: the store may still write to the
 * memory. */
static enum status read_run(struct place place, bool stored, uint8_t *memory, uint32_t count)
{
    enum status status = ST_OK;

    for (uint32_t done = 0, part; done < count && status == ST_OK; done += part) {
        part = count - done < SLOT_PAGES ? count - done : SLOT_PAGES;
        status = pages_read((struct place){place.region, place.page + done}, stored,
                            memory + done * PAGE_SIZE, part);
    }
    return status;
}

uint32_t ahead_bring(struct place place, uint32_t most, uint8_t *memory, enum status *status)
{
    struct quire_pager *pager = place.region->pager;
    uint32_t word = page_look(place_word(place)), count;
    bool stored = region_page_is_stored(place.region, word);

    *status = ST_OK;
    if (page_state(word) != PAGE_ABSENT || (!stored && !place.region->mapping.base))
        return 1;
    count = pages_claim(place, 0, most, stored, RESERVE_WHOLE);
    if (count == 0)
        return 1;
    *status = read_run(place, stored, memory, count);
    if (*status == ST_OK)
        *status = pages_put(place, memory, &count, 0);
    if (*status != ST_OK) {
        pages_give_up(place, 0, count);
        return count;
    }
    pages_came(place, count, 0, 0);
    count_add(pager, COUNT_READ_AHEAD, count);
    return count;
}

static void fulfil(struct reader *reader, struct wish wish)
{
    struct region *region;
    enum status status = ST_OK;

    pthread_mutex_lock(&reader->work);
    region = region_open_by_index(reader->pager, wish.region);
    for (uint32_t done = 0; region && done < wish.count && reader->memory;) {
        struct place place = {region, wish.page + (uint64_t)(wish.stride * (int64_t)done)};

        if (place.page >= region->pages || /* another one, in the place of the one that was meant */
            !frames_wait(region->member, RESERVE_WHOLE, now_ns() + PATIENCE_NS))
            break;
        done += ahead_bring(place, wish.stride == 1 ? wish.count - done : 1, reader->memory, &status);
        if (status == ST_INTERRUPTED)
            reader->memory = memory_make();
    }
    pthread_mutex_unlock(&reader->work);
}

static bool wish_take(struct ahead *ahead, struct wish *taken)
{
    for (unsigned i = 0; i < WISHES; i++) {
        struct wish *wish = &ahead->wish[i];
        uint32_t asked = WISH_ASKED;

        if (!atomic_compare_exchange_strong(&wish->state, &asked, WISH_TAKEN))
            continue;
        taken->region = wish->region;
        taken->page = wish->page;
        taken->stride = wish->stride;
        taken->count = wish->count;
        atomic_store(&wish->state, WISH_FREE);
        return true;
    }
    return false;
}

static void *read_forever(void *context)
{
    struct reader *reader = context;
    struct ahead *ahead = reader->pager->ahead;
    struct wish wish;

    while (!atomic_load(&ahead->stop)) {
        uint32_t asked = atomic_load(&ahead->asked);

        if (wish_take(ahead, &wish))
            fulfil(reader, wish);
        else
            futex_wait(&ahead->asked, asked, LONG_NAP_NS);
    }
    return NULL;
}

/* ------------------------------------------------------------------ all of them */

void ahead_hold(struct quire_pager *pager)
{
    for (unsigned i = 0; i < READERS; i++)
        pthread_mutex_lock(&pager->ahead->reader[i].work);
}

void ahead_release(struct quire_pager *pager)
{
    for (unsigned i = READERS; i-- > 0;)
        pthread_mutex_unlock(&pager->ahead->reader[i].work);
}

static enum status reader_start(struct reader *reader)
{
    reader->memory = memory_make();
    return reader->memory ? thread_start(&reader->thread, read_forever, reader, reader->pager->is_child)
                          : ST_NO_MEMORY;
}

enum status ahead_start(struct quire_pager *pager)
{
    struct ahead *ahead = calloc(1, sizeof(*ahead));
    enum status status = ST_OK;
    sigset_t saved;

    if (!ahead)
        return ST_NO_MEMORY;
    pager->ahead = ahead;
    for (unsigned i = 0; i < READERS; i++) {
        ahead->reader[i].pager = pager;
        pthread_mutex_init(&ahead->reader[i].work, NULL);
    }
    signals_block(&saved);
    while (status == ST_OK && ahead->started < READERS)
        if ((status = reader_start(&ahead->reader[ahead->started])) == ST_OK)
            ahead->started++;
    signals_restore(&saved);
    return status;
}

void ahead_stop(struct quire_pager *pager)
{
    struct ahead *ahead = pager->ahead;

    if (!ahead)
        return;
    atomic_store(&ahead->stop, true);
    atomic_fetch_add(&ahead->asked, 1);
    futex_wake_all(&ahead->asked);
    for (unsigned i = 0; i < ahead->started; i++)
        thread_join(&ahead->reader[i].thread);
    for (unsigned i = 0; i < READERS; i++) {
        if (ahead->reader[i].memory)
            munmap(ahead->reader[i].memory, TOGETHER * PAGE_SIZE);
        pthread_mutex_destroy(&ahead->reader[i].work);
    }
    free(ahead);
    pager->ahead = NULL;
}
