/*
 * What a program asks of its regions: quire_sync(), quire_advise(), quire_pin(), quire_unpin().
 *
 * Signals are blocked while pages are brought in here: a handler that touched the page that is on its way
 * would wait for the thread that it has interrupted.
 */
#include "pager.h"

#define NAP_NS 10000000u

/* The first page from `page` on in a window that has any in memory. */
static uint64_t skip_empty_windows(const struct region *region, uint64_t page, uint64_t end)
{
    while (page < end &&
           atomic_load_explicit(&region->windows[page / WINDOW_PAGES].resident, memory_order_relaxed) == 0)
        page = (page / WINDOW_PAGES + 1) * WINDOW_PAGES;
    return page < end ? page : end;
}

/* ------------------------------------------------------------------ writing */

/* Neither on its way to the store, nor being opened; ST_IO_ERROR at the deadline. */
static enum status wait_for_flight(struct place place, uint64_t until)
{
    for (;;) {
        uint32_t seen = page_look(place_word(place));

        if (!(seen & PAGE_FLIGHT) && page_state(seen) != PAGE_OPENING)
            return ST_OK;
        if (now_ns() > until)
            return ST_IO_ERROR;
        if ((seen & PAGE_WAITED) || page_change(place_word(place), &seen, seen | PAGE_WAITED))
            futex_wait(place_word(place), seen | PAGE_WAITED, NAP_NS);
    }
}

static bool is_to_be_written(uint32_t word)
{
    return (word & PAGE_FLIGHT) || page_state(word) == PAGE_DIRTY || page_state(word) == PAGE_OPENING;
}

static enum status write_range(struct range range, struct writer **writer)
{
    uint64_t deadline = range.region->pager->deadline_ns;
    struct place batch[BATCH_PAGES];
    uint32_t count = 0;
    enum status status = ST_OK, wrote;

    for (uint64_t page = range.first; page < range.end && status == ST_OK;) {
        struct place place = {range.region, page = skip_empty_windows(range.region, page, range.end)};

        if (page < range.end && is_to_be_written(page_look(place_word(place)))) {
            if (page_take_to_write(place, true)) {
                batch[count++] = place;
            } else if (count == 0) { /* never waiting while it has pages that others wait for */
                status = wait_for_flight(place, now_ns() + deadline);
                if (status == ST_OK && is_to_be_written(page_look(place_word(place))))
                    continue;
            } else {
                writer_write(writer, batch, count, WRITE_STAY, &status);
                count = 0;
                continue;
            }
        }
        page++;
        if (count == BATCH_PAGES && status == ST_OK) {
            writer_write(writer, batch, count, WRITE_STAY, &status);
            count = 0;
        }
    }
    if (count == 0)
        return status;
    writer_write(writer, batch, count, WRITE_STAY, &wrote);
    return status == ST_OK ? wrote : status;
}

/* The error of an earlier write-back, once. */
static enum status noted_error(struct region *region)
{
    return (enum status)atomic_exchange(&region->write_status, ST_OK);
}

enum status quire_sync(void *address, size_t length)
{
    struct writer *writer = NULL;
    struct range range;
    enum status status = region_range(address, length, &range), noted;
    sigset_t saved;

    if (status != ST_OK)
        return status;
    signals_block(&saved);
    status = write_range(range, &writer);
    writer_destroy(writer);
    if (status == ST_OK)
        status = io_transfer(range.region->mapping.store, STORE_FLUSH, 0, 0, NULL,
                             range.region->pager->deadline_ns);
    signals_restore(&saved);
    noted = noted_error(range.region);
    if (status != ST_OK)
        return status == ST_NO_SPACE || status == ST_NO_MEMORY || status == ST_UNSUPPORTED ? status
                                                                                           : ST_IO_ERROR;
    return noted;
}

/* ------------------------------------------------------------------ pins */

static void count_pinned(struct quire_member *member, uint32_t change)
{
    atomic_fetch_add_explicit(&member->pager->budget.pinned, change, memory_order_relaxed);
    if (member->own)
        atomic_fetch_add_explicit(&member->own->pinned, change, memory_order_relaxed);
}

/* A pin is a reference, but for the first after the page has come; of a memfd's pages scans tell. */
static uint32_t with_pin(struct place place, uint32_t seen)
{
    uint32_t next = seen + PAGE_PIN;

    if (place.region->memory >= 0)
        return next;
    return seen & PAGE_FRESH ? next & ~(uint32_t)PAGE_FRESH : next | PAGE_USED;
}

bool page_pin(struct place place, bool write)
{
    uint32_t seen = page_look(place_word(place));

    while (write ? page_is_open(seen) : page_is_settled(seen)) {
        if (page_pins(seen) == PAGE_MOST_PINS)
            return false;
        if (page_change(place_word(place), &seen, with_pin(place, seen))) {
            if (page_pins(seen) == 0)
                count_pinned(place.region->member, 1);
            return true;
        }
    }
    return false;
}

void page_unpin(struct place place)
{
    uint32_t seen = page_look(place_word(place));

    while (page_pins(seen) > 0)
        if (page_change(place_word(place), &seen, seen - PAGE_PIN)) {
            if (page_pins(seen) == 1)
                count_pinned(place.region->member, UINT32_MAX);
            return;
        }
}

/* Besides the reserve, and as many as that for the pages that come and go, and `kept`. */
static bool has_room_to_pin(struct budget *budget, uint32_t kept)
{
    uint64_t kept_all = (uint64_t)2 * atomic_load_explicit(&budget->high, memory_order_relaxed) + kept;

    return atomic_load_explicit(&budget->pinned, memory_order_relaxed) + kept_all <
           atomic_load_explicit(&budget->frames, memory_order_relaxed);
}

/* What others are guaranteed nobody pins away. */
static bool may_pin_more(const struct quire_member *member)
{
    struct quire_pager *pager = member->pager;
    uint32_t guaranteed = atomic_load_explicit(&pager->guaranteed, memory_order_relaxed);
    uint32_t own = atomic_load_explicit((_Atomic uint32_t *)&member->guaranteed, memory_order_relaxed);

    return has_room_to_pin(&pager->budget, guaranteed > own ? guaranteed - own : 0) &&
           (!member->own || has_room_to_pin(member->own, 0));
}

static enum status page_bring_and_pin(struct place place, bool write)
{
    enum status status = ST_OK;
    sigset_t saved;

    if (!may_pin_more(place.region->member) || page_pins(page_look(place_word(place))) == PAGE_MOST_PINS)
        return ST_LIMIT;
    signals_block(&saved);
    while (status == ST_OK && !page_pin(place, write))
        status = page_bring(place, write);
    signals_restore(&saved);
    return status;
}

static bool is_pinnable_at_once(struct place place, bool write)
{
    return (page_pins(page_look(place_word(place))) > 0 || may_pin_more(place.region->member)) &&
           page_pin(place, write);
}

enum status quire_pin(void *address, size_t length, enum access access)
{
    bool write = (access & ACCESS_WRITE) != 0;
    struct range range;
    enum status status = region_range(address, length, &range);

    if (status == ST_OK && write && (range.region->mapping.flags & QUIRE_READ_ONLY))
        status = ST_DENIED;
    if (status != ST_OK)
        return status;
    for (uint64_t page = range.first; page < range.end; page++) {
        struct place place = {range.region, page};

        if (is_pinnable_at_once(place, write))
            continue;
        status = page_bring_and_pin(place, write);
        if (status == ST_OK)
            continue;
        while (page-- > range.first)
            page_unpin((struct place){range.region, page});
        return status;
    }
    return ST_OK;
}

void quire_unpin(void *address, size_t length)
{
    struct range range;

    if (region_range(address, length, &range) != ST_OK)
        return;
    for (uint64_t page = range.first; page < range.end; page++)
        page_unpin((struct place){range.region, page});
}

/* ------------------------------------------------------------------ advice */

/* As far as there are frames. Pages that no store has contents of are no work to come. */
static enum status will_need(struct range range)
{
    struct quire_pager *pager = range.region->pager;
    enum status status;
    unsigned slot;
    sigset_t saved;

    signals_block(&saved);
    status = slot_take(pager, &slot);
    if (status != ST_OK) {
        signals_restore(&saved);
        return status;
    }
    for (uint64_t page = range.first;
         page < range.end && status == ST_OK && frames_beyond(range.region->member, RESERVE_WHOLE);) {
        uint64_t left = range.end - page;

        page +=
            ahead_bring((struct place){range.region, page}, left < SLOT_PAGES ? (uint32_t)left : SLOT_PAGES,
                        pager->slots[slot].memory, &status);
    }
    if (status != ST_INTERRUPTED) /* else the store may still write into it: it is lost */
        slot_give(pager, slot);
    signals_restore(&saved);
    return status;
}

/* Out of the policy's hands, then out of memory. */
static void send_away(struct quire_pager *pager, struct place *places, uint32_t count)
{
    uint32_t leaving = 0;

    pthread_mutex_lock(&pager->order);
    order_drain_all(pager);
    for (uint32_t i = 0; i < count; i++)
        if (page_take_to_leave(places[i])) {
            order_remove(places[i]);
            places[leaving++] = places[i];
        }
    pthread_mutex_unlock(&pager->order);
    places_leave(places, leaving);
}

static enum status done_with(struct range range)
{
    struct quire_pager *pager = range.region->pager;
    struct place batch[BATCH_PAGES];
    struct writer *writer = NULL;
    uint32_t count = 0;
    enum status status;
    sigset_t saved;

    signals_block(&saved);
    status = write_range(range, &writer);
    writer_destroy(writer);
    pthread_mutex_lock(&pager->round);
    for (uint64_t page = range.first; status == ST_OK && page < range.end; page++) {
        page = skip_empty_windows(range.region, page, range.end);
        if (page < range.end && page_state(page_look(&range.region->words[page])) == PAGE_CLEAN)
            batch[count++] = (struct place){range.region, page};
        if (count == BATCH_PAGES || page + 1 >= range.end) {
            send_away(pager, batch, count);
            count = 0;
        }
    }
    pthread_mutex_unlock(&pager->round);
    signals_restore(&saved);
    return status;
}

enum status quire_advise(void *address, size_t length, enum quire_advice advice)
{
    struct range range;
    enum status status = region_range(address, length, &range);

    if (status != ST_OK)
        return status;
    switch (advice) {
    case QUIRE_NORMAL:
    case QUIRE_RANDOM:
    case QUIRE_SEQUENTIAL:
        atomic_store(&range.region->advice, (int)advice);
        return ST_OK;
    case QUIRE_WILL_NEED:
        return will_need(range);
    case QUIRE_DONE_WITH:
        return done_with(range);
    default:
        return ST_INVALID;
    }
}
