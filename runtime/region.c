/*
 * Regions: mapping, unmapping, and finding one by an address.
 *
 * A region is a shared mapping of a memfd as long as itself, which holds nothing but the pages in memory, or
 * anonymous memory (appear.c). It is aligned to windows of 2 MiB, what one leaf table maps. A child of fork()
 * does not inherit it (MADV_DONTFORK): there nobody would serve its faults, and a page that the child touched
 * would be zeroes in the parent too.
 *
 * The table of regions is written under regions_lock and read by faults without. An entry's bounds are stored
 * last and cleared first, so who finds an address within them finds the region; that nobody touches a region
 * that is being unmapped is the program's part.
 */
#include "pager.h"
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAP_NS 10000000u

static pthread_mutex_t regions_lock = PTHREAD_MUTEX_INITIALIZER;

static struct entry {
    _Atomic uintptr_t start, end; /* 0, 0: free */
    struct region
        *region; /* written under regions_lock and the pager's order, so either will do to read it */
} entries[MOST_REGIONS];
static _Atomic uint32_t entries_used; /* none is taken from here on */
static _Atomic bool forked;           /* in the child there are no regions */
static _Atomic bool addresses_kept;   /* by mappings that regions of a fixed address replace */

static struct region *entry_at(uint32_t i, uintptr_t address)
{
    uintptr_t start = atomic_load_explicit(&entries[i].start, memory_order_acquire);

    return start != 0 && address >= start &&
                   address < atomic_load_explicit(&entries[i].end, memory_order_relaxed)
               ? entries[i].region
               : NULL;
}

struct region *region_at(const void *address)
{
    static _Thread_local uint32_t last __attribute__((tls_model("initial-exec")));
    struct region *region = entry_at(last, (uintptr_t)address);
    uint32_t used = atomic_load_explicit(&entries_used, memory_order_acquire);

    for (uint32_t i = 0; !region && i < used; i++)
        if ((region = entry_at(i, (uintptr_t)address)))
            last = i;
    return region && !atomic_load_explicit(&forked, memory_order_relaxed) ? region : NULL;
}

enum status region_range(const void *address, size_t length, struct range *range)
{
    struct region *region = region_at(address);
    uint64_t at = region ? (uint64_t)((const uint8_t *)address - region->start) : 0;

    if (!region || length > region->pages * PAGE_SIZE - at)
        return ST_NOT_MAPPED;
    *range = (struct range){region, at / PAGE_SIZE, (at + length + PAGE_MASK) / PAGE_SIZE};
    return ST_OK;
}

struct region *region_by_index(uint32_t index)
{
    return entries[index].region;
}

struct region *region_open_by_index(struct quire_pager *pager, uint32_t index)
{
    struct region *region;

    pthread_mutex_lock(&regions_lock);
    region = entries[index].region;
    if (region && (region->pager != pager || atomic_load(&region->closing)))
        region = NULL;
    pthread_mutex_unlock(&regions_lock);
    return region;
}

struct place place_of_name(uint64_t name)
{
    return (struct place){region_by_index((uint32_t)(name >> 48)), name & (((uint64_t)1 << 48) - 1)};
}

void regions_for_each(struct quire_pager *pager, void (*visit)(struct region *region, void *context),
                      void *context)
{
    pthread_mutex_lock(&regions_lock);
    for (uint32_t i = 0; i < entries_used; i++)
        if (entries[i].region && entries[i].region->pager == pager)
            visit(entries[i].region, context);
    pthread_mutex_unlock(&regions_lock);
}

void regions_sweep(struct quire_pager *pager, void (*visit)(struct region *region, void *context),
                   void *context)
{
    for (uint32_t i = 0; i < atomic_load(&entries_used); i++)
        if (entries[i].region && entries[i].region->pager == pager)
            visit(entries[i].region, context);
}

void regions_hold(bool hold)
{
    if (hold)
        pthread_mutex_lock(&regions_lock);
    else
        pthread_mutex_unlock(&regions_lock);
}

bool regions_keep_addresses(struct region *const all[MOST_REGIONS], bool keep)
{
    bool kept = true;

    for (uint32_t i = 0; i < MOST_REGIONS && keep; i++)
        if (all[i])
            kept &=
                mmap(all[i]->start, all[i]->pages * PAGE_SIZE, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED;
    atomic_store(&addresses_kept, keep);
    return kept;
}

void regions_abandon(struct region *all[MOST_REGIONS])
{
    for (uint32_t i = 0; i < MOST_REGIONS; i++) {
        all[i] = entries[i].region;
        entries[i].region = NULL;
        atomic_store(&entries[i].start, 0);
        atomic_store(&entries[i].end, 0);
    }
    pthread_mutex_init(&regions_lock, NULL); /* it is the parent's thread's */
    atomic_store(&forked, false);
}

/* ------------------------------------------------------------------ mapping */

static void in_child(void)
{
    atomic_store(&forked, true);
}

static void watch_forks(void)
{
    static bool watched;

    if (!watched)
        watched = pthread_atfork(NULL, NULL, in_child) == 0;
}

static bool ranges_meet(uint64_t a, uint64_t a_pages, uint64_t b, uint64_t b_pages)
{
    return a < b + b_pages && b < a + a_pages;
}

/* Does a region show a part of these pages of the store already? What both only read may be shown twice. */
static bool is_shown(const struct quire_mapping *mapping, uint64_t pages)
{
    for (uint32_t i = 0; i < entries_used; i++) {
        const struct region *region = entries[i].region;

        if (region && region->mapping.store == mapping->store &&
            !(region->mapping.flags & mapping->flags & QUIRE_READ_ONLY) &&
            ranges_meet(region->first, region->pages, mapping->offset / PAGE_SIZE, pages))
            return true;
    }
    return false;
}

static bool lies_within(const struct store *store, uint64_t offset, uint64_t pages)
{
    return offset / PAGE_SIZE <= store->pages && pages <= store->pages - offset / PAGE_SIZE;
}

static enum status mapping_check(struct quire_pager *pager, const struct quire_mapping *mapping,
                                 uint64_t pages, struct quire_error *error)
{
    if (!mapping->store || mapping->length == 0 || mapping->length > (uint64_t)1 << 46 ||
        !is_aligned(mapping->offset, PAGE_SIZE) || !is_aligned(mapping->base_offset, PAGE_SIZE) ||
        (mapping->flags & ~(unsigned)(QUIRE_FRESH | QUIRE_READ_ONLY)) != 0 ||
        !is_aligned((uintptr_t)mapping->address, WINDOW_PAGES * PAGE_SIZE) ||
        (mapping->base && (mapping->flags & QUIRE_FRESH))) {
        error_say(
            error,
            "mapping: expected a store, a length of 1 byte to 64 TiB, offsets that are multiples of %u, "
            "known flags, and no base for a region that begins as zeroes",
            (unsigned)PAGE_SIZE);
        return ST_INVALID;
    }
    if (mapping->member && (mapping->member->pager != pager || !mapping->member->used)) {
        error_say(error, "mapping: expected a member of this pager");
        return ST_INVALID;
    }
    if (!lies_within(mapping->store, mapping->offset, pages) ||
        (mapping->base && !lies_within(mapping->base, mapping->base_offset, pages))) {
        error_say(error, "mapping: %llu pages from offset %llu, and the store '%s' ends before",
                  (unsigned long long)pages, (unsigned long long)mapping->offset, mapping->store->type->name);
        return ST_BEYOND_END;
    }
    if (is_shown(mapping, pages)) {
        error_say(error, "mapping: a part of these pages of the store is mapped already");
        return ST_MAPPED;
    }
    if (pages > pool_most_pages(pager->type) - pager->mapped_pages) {
        error_say(error, "mapping: the policy %s can know %llu pages and no more", pager->type->name,
                  (unsigned long long)pool_most_pages(pager->type));
        return ST_LIMIT;
    }
    return ST_OK;
}

/* memory < 0: anonymous. */
static uint8_t *map_at(void *address, int memory, uint64_t bytes, int protection, int fixed)
{
    int flags = (memory < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | fixed | MAP_NORESERVE;
    uint8_t *start = mmap(address, bytes, protection, flags, memory, 0);

    if (start == MAP_FAILED)
        return NULL;
    madvise(start, bytes, MADV_DONTFORK);
    if (memory < 0)
        madvise(start, bytes, MADV_NOHUGEPAGE); /* no kernel thread makes a huge page of ours */
    return start;
}

static uint8_t *map_there(void *address, int memory, uint64_t bytes, int protection)
{
    return map_at(address, memory, bytes, protection,
                  atomic_load(&addresses_kept) ? MAP_FIXED : MAP_FIXED_NOREPLACE);
}

static uint8_t *map_window_aligned(int memory, uint64_t bytes, int protection)
{
    uint64_t window = WINDOW_PAGES * PAGE_SIZE, room = bytes + window;
    uint8_t *reserved = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
            *start;

    if (reserved == MAP_FAILED)
        return NULL;
    start = (uint8_t *)align_up((uintptr_t)reserved, window);
    if (start > reserved)
        munmap(reserved, (size_t)(start - reserved));
    munmap(start + bytes, (size_t)(reserved + room - (start + bytes)));
    if (map_at(start, memory, bytes, protection, MAP_FIXED))
        return start;
    munmap(start, bytes);
    return NULL;
}

static void *table_of(uint64_t count, size_t bytes)
{
    void *table =
        mmap(NULL, count * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return table == MAP_FAILED ? NULL : table;
}

static void region_destroy(struct region *region)
{
    if (region->start)
        munmap(region->start, region->pages * PAGE_SIZE);
    if (region->memory >= 0)
        close(region->memory);
    if (region->words)
        munmap(region->words, region->pages * sizeof(page_word));
    if (region->windows)
        munmap(region->windows, region_windows(region) * sizeof(struct window));
    pthread_mutex_destroy(&region->door_lock);
    free(region);
}

/* What holds its pages: nothing, of anonymous memory. */
static bool memory_make(struct region *region, uint64_t bytes)
{
    if (region->pager->way == QUIRE_WAY_ANONYMOUS)
        return true;
    region->memory = descriptor_high(memfd_create("quire", MFD_CLOEXEC));
    return region->memory >= 0 && ftruncate(region->memory, (off_t)bytes) == 0;
}

static enum status region_make(struct region *region)
{
    uint64_t bytes = region->pages * PAGE_SIZE;
    int protection;

    if (!memory_make(region, bytes) || !(region->words = table_of(region->pages, sizeof(page_word))) ||
        !(region->windows = table_of(region_windows(region), sizeof(struct window))))
        return ST_NO_MEMORY;
    protection = region->mapping.flags & QUIRE_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE;
    region->start = region->mapping.address
                        ? map_there(region->mapping.address, region->memory, bytes, protection)
                        : map_window_aligned(region->memory, bytes, protection);
    if (!region->start)
        return ST_NO_SPACE;
    return pages_watch(region);
}

static enum status region_enter(struct region *region)
{
    uint32_t i = 0;
    enum status status;

    while (i < MOST_REGIONS && entries[i].region)
        i++;
    if (i == MOST_REGIONS)
        return ST_LIMIT;
    status = member_enter(region->member, region->pages);
    if (status != ST_OK)
        return status;
    region->index = i;
    pthread_mutex_lock(&region->pager->order);
    entries[i].region = region;
    pthread_mutex_unlock(&region->pager->order);
    atomic_store_explicit(&entries[i].end, (uintptr_t)region->start + region->pages * PAGE_SIZE,
                          memory_order_relaxed);
    atomic_store_explicit(&entries[i].start, (uintptr_t)region->start, memory_order_release);
    if (i >= entries_used)
        atomic_store_explicit(&entries_used, i + 1, memory_order_release);
    region->pager->mapped_pages += region->pages;
    return ST_OK;
}

static enum status map_locked(struct quire_pager *pager, const struct quire_mapping *mapping, uint64_t pages,
                              struct region *live, struct region **made, struct quire_error *error)
{
    enum status status = mapping_check(pager, mapping, pages, error);
    struct region *region = status == ST_OK ? aligned_alloc(_Alignof(struct region), sizeof(*region)) : NULL;

    if (status != ST_OK)
        return status;
    if (!region)
        return ST_NO_MEMORY;
    *region = (struct region){.pager = pager,
                              .member = mapping->member ? mapping->member
                                        : live          ? live->member
                                                        : &pager->members[0],
                              .memory = -1,
                              .pages = pages,
                              .mapping = *mapping,
                              .first = mapping->offset / PAGE_SIZE,
                              .base_first = mapping->base_offset / PAGE_SIZE,
                              .plain = !live && !mapping->base && !(mapping->flags & QUIRE_FRESH),
                              .live = live};
    pthread_mutex_init(&region->door_lock, NULL);
    status = region_make(region);
    if (status == ST_OK)
        status = region_enter(region);
    if (status != ST_OK) {
        region_destroy(region);
        error_say(error, "mapping: %llu pages: %s", (unsigned long long)pages, status_name(status));
        return status;
    }
    *made = region;
    return ST_OK;
}

static enum status map_region(struct quire_pager *pager, const struct quire_mapping *mapping,
                              struct region *live, struct region **region, struct quire_error *error)
{
    uint64_t pages = mapping->length / PAGE_SIZE + (mapping->length % PAGE_SIZE != 0);
    enum status status;

    if (atomic_load(&forked)) {
        error_say(error, "mapping: a pager is of no use in a child of fork()");
        return ST_UNSUPPORTED;
    }
    pthread_mutex_lock(&regions_lock);
    watch_forks();
    status = map_locked(pager, mapping, pages, live, region, error);
    pthread_mutex_unlock(&regions_lock);
    return status;
}

enum status quire_map(struct quire_pager *pager, const struct quire_mapping *mapping, void **address,
                      struct quire_error *error)
{
    struct region *region;
    enum status status = map_region(pager, mapping, NULL, &region, error);

    if (status == ST_OK)
        *address = region->start;
    return status;
}

enum status region_map_view(struct region *live, const struct quire_mapping *mapping, struct region **view,
                            struct quire_error *error)
{
    return map_region(live->pager, mapping, live, view, error);
}

/* ------------------------------------------------------------------ unmapping */

/* Until no page of the region is on its way; ST_IO_ERROR when a store takes longer than the deadline. */
static enum status page_wait_until_settled(struct region *region, uint64_t page, uint64_t until)
{
    for (;;) {
        uint32_t seen = page_look(&region->words[page]);

        if (page_state(seen) == PAGE_ABSENT || (page_is_settled(seen) && !(seen & PAGE_FLIGHT)))
            return ST_OK;
        if (now_ns() > until)
            return ST_IO_ERROR;
        if ((seen & PAGE_WAITED) || page_change(&region->words[page], &seen, seen | PAGE_WAITED))
            futex_wait(&region->words[page], seen | PAGE_WAITED, NAP_NS);
    }
}

static enum status wait_until_settled(struct region *region)
{
    uint64_t until = now_ns() + region->pager->deadline_ns;
    enum status status = ST_OK;

    for (uint64_t page = 0; page < region->pages && status == ST_OK; page++) {
        if (page % WINDOW_PAGES == 0 && atomic_load(&region->windows[page / WINDOW_PAGES].resident) == 0)
            page += WINDOW_PAGES - 1;
        else
            status = page_wait_until_settled(region, page, until);
    }
    return status;
}

static uint32_t resident_pages(const struct region *region)
{
    uint32_t resident = 0;

    for (uint64_t i = 0; i < region_windows(region); i++)
        resident += atomic_load(&region->windows[i].resident);
    return resident;
}

static bool has_pins(const struct region *region)
{
    for (uint64_t page = 0; page < region->pages; page++) {
        if (page % WINDOW_PAGES == 0 && atomic_load(&region->windows[page / WINDOW_PAGES].resident) == 0)
            page += WINDOW_PAGES - 1;
        else if (page_pins(page_look(&region->words[page])) > 0)
            return true;
    }
    return false;
}

static void forget_in_policy(struct region *region)
{
    pthread_mutex_lock(&region->pager->order);
    order_drain_all(region->pager);
    order_remove_region(region);
    pthread_mutex_unlock(&region->pager->order);
}

static void leave_table(struct region *region)
{
    pthread_mutex_lock(&regions_lock);
    atomic_store(&entries[region->index].start, 0);
    pthread_mutex_lock(&region->pager->order);
    entries[region->index].region = NULL;
    pthread_mutex_unlock(&region->pager->order);
    region->pager->mapped_pages -= region->pages;
    pthread_mutex_unlock(&regions_lock);
}

/*
 * The policy first, so that no page of it is chosen any more; then those that were chosen end. A store that
 * hangs is seen before anything is changed; one that begins to hang just then keeps its region's memory.
 */
static enum status region_leave(struct region *region)
{
    struct quire_pager *pager = region->pager;
    enum status status = wait_until_settled(region);

    if (status == ST_OK && region->live)
        status = view_leave(region);
    if (status != ST_OK)
        return status;
    atomic_store(&region->closing, true);
    ahead_hold(pager); /* nothing is read ahead from here on */
    ahead_release(pager);
    forget_in_policy(region);
    evict_quiesce(pager);
    status = wait_until_settled(region);
    forget_in_policy(region);
    if (status != ST_OK)
        return status;
    leave_table(region);
    frames_give(region->member, resident_pages(region));
    member_leave(region->member, region->pages);
    region_destroy(region);
    return ST_OK;
}

static struct region *region_that_begins(const void *address)
{
    struct region *region = region_at(address);

    return region && region->start == address && !has_pins(region) && !region_has_snapshots(region) ? region
                                                                                                    : NULL;
}

enum status quire_discard(void *address)
{
    struct region *region = region_that_begins(address);

    return region ? region_leave(region) : ST_INVALID;
}

enum status quire_unmap(void *address)
{
    struct region *region = region_that_begins(address);
    enum status status = region ? quire_sync(address, region->pages * PAGE_SIZE) : ST_INVALID;

    /* What a store does not keep anyway is written as far as it can be. */
    return status == ST_OK || status == ST_UNSUPPORTED ? region_leave(region) : status;
}
