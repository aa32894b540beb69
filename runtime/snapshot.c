/*
 * snapshot.h.
 */
#include "snapshot.h"

#define NAP_NS 10000000u

/* ------------------------------------------------------------------ the door */

enum status region_write_enter(struct region *region)
{
    uint64_t until = 0;

    for (;;) {
        atomic_fetch_add(&region->writing, 1);
        if (atomic_load(&region->door) == 0)
            return ST_OK;
        region_write_leave(region);
        if (until == 0)
            until = now_ns() + region->pager->deadline_ns;
        else if (now_ns() > until)
            return ST_IO_ERROR;
        futex_wait(&region->door, 1, NAP_NS);
    }
}

void region_write_leave(struct region *region)
{
    if (atomic_fetch_sub(&region->writing, 1) == 1 && atomic_load(&region->door) != 0)
        futex_wake_all(&region->writing);
}

static void door_open(struct region *region)
{
    atomic_store(&region->door, 0);
    futex_wake_all(&region->door);
    pthread_mutex_unlock(&region->door_lock);
}

/* With door_lock, which an error gives back. Nobody is in a write section when it returns ST_OK. */
static enum status wait_for_writers(struct region *region)
{
    uint64_t until = now_ns() + region->pager->deadline_ns;
    uint32_t writing;

    atomic_store(&region->door, 1);
    while ((writing = atomic_load(&region->writing)) != 0) {
        if (now_ns() > until) {
            door_open(region);
            return ST_IO_ERROR;
        }
        futex_wait(&region->writing, writing, NAP_NS);
    }
    return ST_OK;
}

static enum status door_close(struct region *region)
{
    pthread_mutex_lock(&region->door_lock);
    return wait_for_writers(region);
}

/* ------------------------------------------------------------------ what views keep */

static bool has_own(const struct region *view, uint64_t page)
{
    uint32_t word = page_look(&view->words[page]);

    return (word & PAGE_STORED) || page_state(word) == PAGE_DIRTY || page_state(word) == PAGE_WRITING;
}

static enum status view_keep(struct region *view, uint64_t page)
{
    enum status status = ST_OK;

    while (status == ST_OK && !has_own(view, page))
        status = page_bring((struct place){view, page}, true);
    return status;
}

enum status views_keep(struct place place)
{
    struct region *region = place.region;
    enum status status = ST_OK;

    for (unsigned i = 0; i < MOST_SNAPSHOTS && status == ST_OK; i++)
        if (region->views[i])
            status = view_keep(region->views[i], place.page);
    return status;
}

/* ------------------------------------------------------------------ reading the live region */

/* Pages from there on that are absent, and come from the same place. */
static uint32_t absent_run(struct place place, bool stored, uint32_t most)
{
    uint32_t run = 1;

    while (run < most && page_state(page_look(place_word(place) + run)) == PAGE_ABSENT &&
           region_page_is_stored(place.region, page_look(place_word(place) + run)) == stored)
        run++;
    return run;
}

/* One page that is in memory, or some that are not: *done. In memory it is pinned meanwhile, and so does not
 * leave. */
static enum status read_some(struct place place, uint8_t *to, uint32_t most, uint32_t *done)
{
    uint64_t until = 0;

    for (;;) {
        uint32_t seen = page_look(place_word(place));
        bool stored = region_page_is_stored(place.region, seen);
        enum status status;

        *done = 1;
        if (page_is_settled(seen) && page_pin(place, false)) {
            status = pages_copy_out(place, 1, to) ? ST_OK : ST_IO_ERROR;
            page_unpin(place);
            return status;
        }
        if (page_state(seen) == PAGE_ABSENT) {
            *done = absent_run(place, stored, most);
            return region_read(place, stored, to, *done);
        }
        status = page_wait(place, seen, &until);
        if (status != ST_OK)
            return status;
    }
}

enum status view_read(struct place first, uint8_t *memory, uint32_t count)
{
    struct place live = {first.region->live, first.page};
    enum status status = ST_OK;

    for (uint32_t done; count > 0 && status == ST_OK; count -= done) {
        status = read_some(live, memory, count, &done);
        live.page += done;
        memory += done * PAGE_SIZE;
    }
    return status;
}

/* ------------------------------------------------------------------ the moment */

/* The page is not open to any thread any more, or *pinned. ST_IO_ERROR: its writing takes longer than the
 * deadline. */
static enum status page_close(struct place place, bool *closed, bool *pinned)
{
    uint64_t until = 0;

    *closed = *pinned = false;
    for (;;) {
        uint32_t seen = page_look(place_word(place));
        enum status status;

        if (page_state(seen) == PAGE_OPENING) { /* about to be written: it will be WRITING, or DIRTY again */
            status = page_wait(place, seen, &until);
            if (status != ST_OK)
                return status;
            continue;
        }
        if (page_state(seen) != PAGE_DIRTY)
            return ST_OK;
        if (page_pins(seen) > 0)
            *pinned = true;
        else if (!page_change(place_word(place), &seen, seen | PAGE_CLOSED))
            continue;
        else
            *closed = true;
        return ST_OK;
    }
}

/* The `run` pages before `end`. */
static enum status protect_run(struct place end, uint32_t *run)
{
    uint32_t count = *run;

    *run = 0;
    return count == 0 ? ST_OK : pages_protect((struct place){end.region, end.page - count}, count, false);
}

/* Behind a closed door: what is open in the window. Pages that are pinned count. */
static enum status window_close(struct region *region, uint64_t window, uint64_t *pinned_pages)
{
    uint64_t page = window * WINDOW_PAGES, end = page + WINDOW_PAGES;
    uint32_t run = 0;
    enum status status = ST_OK;

    if (end > region->pages)
        end = region->pages;
    for (; page < end && status == ST_OK; page++) {
        bool closed, pinned;

        status = page_close((struct place){region, page}, &closed, &pinned);
        *pinned_pages += pinned;
        if (status == ST_OK && !closed)
            status = protect_run((struct place){region, page}, &run);
        run += closed;
    }
    return status == ST_OK ? protect_run((struct place){region, page}, &run) : status;
}

/* The view's own of each page that stays open because it is pinned. */
static enum status keep_pinned(struct region *region, struct region *view)
{
    enum status status = ST_OK;

    for (uint64_t page = 0; page < region->pages && status == ST_OK; page++) {
        uint32_t word = page_look(&region->words[page]);

        if (page % WINDOW_PAGES == 0 && atomic_load(&region->windows[page / WINDOW_PAGES].resident) == 0)
            page += WINDOW_PAGES - 1;
        else if (page_is_open(word))
            status = view_keep(view, page);
    }
    return status;
}

static enum status close_all(struct region *region, struct region *view)
{
    enum status status = ST_OK;
    uint64_t pinned = 0;

    for (uint64_t window = 0; window < region_windows(region) && status == ST_OK; window++)
        if (atomic_load(&region->windows[window].resident) > 0)
            status = window_close(region, window, &pinned);
    return status == ST_OK && pinned > 0 ? keep_pinned(region, view) : status;
}

static enum status view_enter(struct region *region, struct region *view)
{
    enum status status = door_close(region);
    unsigned i = 0;

    if (status != ST_OK)
        return status;
    while (i < MOST_SNAPSHOTS && region->views[i])
        i++;
    status = i == MOST_SNAPSHOTS ? ST_LIMIT : close_all(region, view);
    if (status == ST_OK)
        region->views[i] = view;
    door_open(region);
    return status;
}

enum status region_freeze(struct region *region)
{
    enum status status;
    uint64_t pinned = 0;

    if (pthread_mutex_trylock(&region->door_lock) != 0)
        return ST_RETRY;
    status = wait_for_writers(region);
    if (status != ST_OK)
        return status;
    for (uint64_t window = 0; window < region_windows(region) && status == ST_OK; window++)
        if (atomic_load(&region->windows[window].resident) > 0)
            status = window_close(region, window, &pinned);
    if (status != ST_OK)
        door_open(region);
    return status;
}

void region_thaw(struct region *region)
{
    door_open(region);
}

enum status view_leave(struct region *view)
{
    struct region *region = view->live;
    enum status status = door_close(region);

    if (status != ST_OK)
        return status;
    for (unsigned i = 0; i < MOST_SNAPSHOTS; i++)
        if (region->views[i] == view)
            region->views[i] = NULL;
    door_open(region);
    return ST_OK;
}

bool region_has_views(const struct region *region)
{
    bool any = false;

    for (unsigned i = 0; i < MOST_SNAPSHOTS; i++)
        any |= region->views[i] != NULL;
    return any;
}

bool region_has_snapshots(struct region *region)
{
    bool any;

    pthread_mutex_lock(&region->door_lock);
    any = region_has_views(region);
    pthread_mutex_unlock(&region->door_lock);
    return any;
}

enum status quire_snapshot(void *address, const struct quire_mapping *mapping, void **view_address,
                           struct quire_error *error)
{
    struct region *region = region_at(address), *view;
    struct quire_mapping how = *mapping;
    enum status status;
    sigset_t saved;

    if (!region || region->start != address || mapping->base || (mapping->flags & QUIRE_FRESH) ||
        (mapping->length != 0 && mapping->length != region->mapping.length)) {
        error_say(
            error,
            "snapshot: expected the address at which a region begins, its length or 0, a store and no base");
        return ST_INVALID;
    }
    if (region->live) {
        error_say(error, "snapshot: of a snapshot there is none");
        return ST_UNSUPPORTED;
    }
    how.length = region->mapping.length;
    status = region_map_view(region, &how, &view, error);
    if (status != ST_OK)
        return status;
    signals_block(&saved);
    status = view_enter(region, view);
    signals_restore(&saved);
    if (status != ST_OK) {
        error_say(error, "snapshot: %s",
                  status == ST_LIMIT ? "the region has as many as it can" : status_name(status));
        if (quire_discard(view->start) != ST_OK)
            error_say(error, "snapshot: its store does not answer");
        return status;
    }
    *view_address = view->start;
    return ST_OK;
}
