/*
 * Opening and closing a pager: quire/quire.h. The budget becomes frames, of which a reserve of 3 % (at least
 * 16) is kept free: eviction begins below it and ends at twice that, so that a fault finds a frame at once.
 */
#include "pager.h"
#include "bare.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    STANDARD_SCAN_PERCENT =
        25, /* bench/runtime, zipf: a tenth fewer faults than 100; 12 brings nothing more */
    STANDARD_DEADLINE_MS = 30000
};
/* Of those that work on reference bits, the one with the fewest faults in bench/runtime. */
#define STANDARD_POLICY "car"
#define MOST_FRAMES ((uint64_t)1 << 30)

static enum status options_check(struct quire_pager *pager, const struct quire_options *options,
                                 struct quire_error *error)
{
    const char *text = options->policy ? options->policy : STANDARD_POLICY;
    struct policy_error wrong;

    if (options->memory_bytes < QUIRE_LEAST_MEMORY || options->memory_bytes / PAGE_SIZE > MOST_FRAMES) {
        error_say(error, "memory: %llu bytes: expected 256 KiB to 4 TiB",
                  (unsigned long long)options->memory_bytes);
        return ST_INVALID;
    }
    if (options->scan_percent > 1000) {
        error_say(error, "scan: %u %%: expected 1 to 1000, or 0 for the standard", options->scan_percent);
        return ST_INVALID;
    }
    if (options->way > QUIRE_WAY_ANONYMOUS ||
        (options->handlers > 0 && options->way > QUIRE_WAY_USERFAULTFD)) {
        error_say(error, "way %d: expected one of enum quire_way; handler threads need userfaultfd",
                  (int)options->way);
        return ST_INVALID;
    }
    if (policy_parse(text, &pager->type, &pager->policy_config, &wrong) != ST_OK) {
        error_say(error, "policy '%s': '%.*s': expected %s", text, (int)wrong.length, text + wrong.at,
                  wrong.expected);
        return ST_INVALID;
    }
    if (pager->type->needs == POLICY_FUTURE) {
        error_say(error, "policy '%s' needs the future: it runs in the simulator only", text);
        return ST_UNSUPPORTED;
    }
    return ST_OK;
}

static void set_sizes(struct quire_pager *pager, const struct quire_options *options)
{
    unsigned percent = options->scan_percent ? options->scan_percent : STANDARD_SCAN_PERCENT;
    uint64_t capacity = 1;

    pager->frames = (uint32_t)(options->memory_bytes / PAGE_SIZE);
    budget_set(&pager->budget, pager->frames);
    pager->scan_percent = percent;
    pager->deadline_ns = (options->deadline_ms ? options->deadline_ms : STANDARD_DEADLINE_MS) * 1000000;
    while (capacity < pager->frames)
        capacity *= 2;
    pager->arrivals_mask = capacity - 1;
}

static void *fresh(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static enum status make_memory(struct quire_pager *pager, struct quire_error *error)
{
    uint8_t *slots;

    pager->arrivals = fresh((pager->arrivals_mask + 1) * sizeof(*pager->arrivals));
    slots = fresh((size_t)SLOTS * SLOT_PAGES * PAGE_SIZE);
    pager->slots[0].memory = slots;
    if (!pager->arrivals || !slots) {
        error_say(error, "no memory for a pager of %u frames", pager->frames);
        return ST_NO_MEMORY;
    }
    for (unsigned i = 1; i < SLOTS; i++)
        pager->slots[i].memory = slots + (size_t)i * SLOT_PAGES * PAGE_SIZE;
    return ST_OK;
}

/* A process of its own name, for process_madvise(). Without one, pages go one by one. */
static int open_self(void)
{
    return descriptor_high((int)syscall(SYS_pidfd_open, getpid(), 0));
}

/* Without reference bits, where they are of no use, and nobody wants a copy for a child. */
static bool wants_anonymous(const struct quire_pager *pager, const struct quire_options *options)
{
    return options->way == QUIRE_WAY_ANONYMOUS || (options->way == QUIRE_WAY_BEST && options->handlers == 0 &&
                                                   pager->type->blind && !fork_is_prepared());
}

static enum status open_userfaultfd(struct quire_pager *pager, const struct quire_options *options,
                                    struct quire_error *error)
{
    unsigned handlers = options->handlers;
    const char *why = "";

    pager->uffd = uffd_open(handlers > 0 ? UFFD_MESSAGES : UFFD_SIGNALS, &why);
    if (pager->uffd >= 0) {
        pager->way = wants_anonymous(pager, options) ? QUIRE_WAY_ANONYMOUS : QUIRE_WAY_USERFAULTFD;
        if (pager->way == QUIRE_WAY_ANONYMOUS)
            pager->self = open_self();
        return ST_OK;
    }
    error_say(error, "%s%s", why,
              handlers > 0 ? " (handler threads need root, CAP_SYS_PTRACE, /dev/userfaultfd, or "
                             "vm.unprivileged_userfaultfd=1)"
                           : "");
    return ST_UNSUPPORTED;
}

static enum status do_without(struct quire_pager *pager, enum quire_way way, struct quire_error *error)
{
    uint32_t most = protect_most_frames();

    if (pager->frames > most) {
        error_say(error,
                  "without userfaultfd, a budget of at most %llu KiB (half of vm.max_map_count, in pages)",
                  (unsigned long long)(most * PAGE_SIZE >> 10));
        return ST_UNSUPPORTED;
    }
    pager->way = way;
    return ST_OK;
}

static enum status choose_way(struct quire_pager *pager, const struct quire_options *options,
                              struct quire_error *error)
{
    enum status status;

    if (options->way == QUIRE_WAY_PROTECT || options->way == QUIRE_WAY_PINS)
        return do_without(pager, options->way, error);
    status = open_userfaultfd(pager, options, error);
    if (status == ST_OK || options->way != QUIRE_WAY_BEST || options->handlers > 0)
        return status;
    return do_without(pager, QUIRE_WAY_PROTECT, error);
}

static enum status open_kernel(struct quire_pager *pager, const struct quire_options *options,
                               struct quire_error *error)
{
    enum status status;

    if (sysconf(_SC_PAGESIZE) != (long)PAGE_SIZE) {
        error_say(error, "this system's pages are not of %u bytes", (unsigned)PAGE_SIZE);
        return ST_UNSUPPORTED;
    }
    status = choose_way(pager, options, error);
    if (status != ST_OK)
        return status;
    if ((pager->pagemap = descriptor_high(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC))) < 0) {
        error_say(error, "/proc/self/pagemap cannot be read: which pages are in use is not known");
        return ST_UNSUPPORTED;
    }
    return options->handlers > 0 ? ST_OK : fault_handler_install(pager->way);
}

static void pager_destroy(struct quire_pager *pager)
{
    live_stop(pager);
    handlers_stop(pager);
    ahead_stop(pager);
    members_end(pager);
    writer_destroy(pager->writer);
    free(pager->victims);
    if (pager->arrivals)
        munmap(pager->arrivals, (pager->arrivals_mask + 1) * sizeof(*pager->arrivals));
    if (pager->slots[0].memory)
        munmap(pager->slots[0].memory, (size_t)SLOTS * SLOT_PAGES * PAGE_SIZE);
    if (pager->pagemap >= 0)
        close(pager->pagemap);
    if (pager->record >= 0)
        close(pager->record);
    if (pager->uffd >= 0)
        close(pager->uffd);
    if (pager->self >= 0)
        close(pager->self);
    pthread_mutex_destroy(&pager->order);
    pthread_mutex_destroy(&pager->round);
    free(pager);
}

static bool is_published(void)
{
    const char *wanted = getenv("QUIRE_PUBLISH");

    return wanted && strcmp(wanted, "1") == 0;
}

static enum status pager_make(struct quire_pager *pager, const struct quire_options *options,
                              struct quire_error *error)
{
    enum status status;

    pager->policy_config.seed = options->seed;
    status = options_check(pager, options, error);
    if (status == ST_OK)
        status = members_parse(pager, options, error);
    if (status != ST_OK)
        return status;
    set_sizes(pager, options);
    status = make_memory(pager, error);
    if (status == ST_OK)
        status = open_kernel(pager, options, error);
    if (status == ST_OK)
        status = members_begin(pager, error);
    if (status == ST_OK)
        status = record_open(pager, options->record, error);
    pager->publish = options->publish || is_published();
    return status;
}

enum status pager_open(const struct quire_options *options, struct quire_pager **made,
                       struct quire_error *error)
{
    struct quire_pager *pager = aligned_alloc(_Alignof(struct quire_pager), sizeof(*pager));
    enum status status;

    if (!pager)
        return ST_NO_MEMORY;
    memset(pager, 0, sizeof(*pager));
    pager->uffd = pager->pagemap = pager->record = pager->self = -1;
    pthread_mutex_init(&pager->order, NULL);
    pthread_mutex_init(&pager->round, NULL);
    error_say(error, "no memory");
    status = pager_make(pager, options, error);
    if (status == ST_OK)
        *made = pager;
    else
        pager_destroy(pager);
    return status;
}

enum status thread_start(struct thread *thread, void *(*run)(void *context), void *context, bool bare)
{
    thread->bare = bare;
    if (bare)
        return bare_start(run, context, &thread->number);
    return pthread_create(&thread->thread, NULL, run, context) == 0 ? ST_OK : ST_NO_MEMORY;
}

void thread_join(const struct thread *thread)
{
    if (thread->bare)
        bare_join(thread->number);
    else
        pthread_join(thread->thread, NULL);
}

enum status pager_start(struct quire_pager *pager, unsigned handlers)
{
    enum status status = ahead_start(pager);

    if (status == ST_OK)
        status = evict_start(pager);
    if (status == ST_OK && handlers > 0) {
        status = handlers_start(pager, handlers);
        if (status != ST_OK)
            evict_stop(pager);
    }
    /* That nobody can look at it is no reason not to work. */
    if (status == ST_OK && pager->publish && live_start(pager) != ST_OK)
        pager->publish = false;
    return status;
}

enum status quire_open(const struct quire_options *options, struct quire_pager **made,
                       struct quire_error *error)
{
    enum status status = pager_open(options, made, error);

    if (status == ST_OK && (status = pager_start(*made, options->handlers)) != ST_OK) {
        error_say(error, "no memory for threads");
        pager_destroy(*made);
    }
    return status;
}

struct addresses {
    void *start[MOST_REGIONS];
    uint32_t count;
};

static void note_address(struct region *region, void *context)
{
    struct addresses *addresses = context;

    addresses->start[addresses->count++] = region->start;
}

static void note_address_of_view(struct region *region, void *context)
{
    if (region->live)
        note_address(region, context);
}

static void note_address_of_other(struct region *region, void *context)
{
    if (!region->live)
        note_address(region, context);
}

enum status quire_close(struct quire_pager *pager)
{
    struct addresses addresses = {.count = 0};
    enum status first = ST_OK;

    regions_for_each(pager, note_address_of_view, &addresses); /* before what they are of */
    regions_for_each(pager, note_address_of_other, &addresses);
    for (uint32_t i = 0; i < addresses.count; i++) {
        enum status status = quire_unmap(addresses.start[i]);

        if (first == ST_OK)
            first = status;
    }
    if (first != ST_OK)
        return first;
    evict_stop(pager);
    pager_destroy(pager);
    return ST_OK;
}

/* ------------------------------------------------------------------ invariants */

struct count_pages {
    uint64_t resident, of_member[MOST_MEMBERS];
    uint32_t pinned;
    const char *wrong;
};

static void check_region(struct region *region, void *context)
{
    struct count_pages *count = context;

    for (uint64_t window = 0; window < region_windows(region); window++) {
        uint32_t resident = atomic_load(&region->windows[window].resident), seen = 0;

        for (uint64_t page = window * WINDOW_PAGES;
             page < region->pages && page < (window + 1) * WINDOW_PAGES; page++) {
            uint32_t word = page_look(&region->words[page]);

            seen += page_state(word) != PAGE_ABSENT;
            count->pinned += page_pins(word) > 0;
            if (page_pins(word) > 0 && page_state(word) == PAGE_ABSENT)
                count->wrong = "a pinned page is absent";
        }
        if (resident != seen)
            count->wrong = "a window's count of resident pages is wrong";
        count->resident += seen;
        count->of_member[region->member->number] += seen;
    }
}

static const char *check_all(struct quire_pager *pager, struct count_pages *count)
{
    order_drain_all(pager);
    if (count->wrong)
        return count->wrong;
    if (count->resident != atomic_load(&pager->budget.taken))
        return "frames are lost";
    if (count->pinned != atomic_load(&pager->budget.pinned))
        return "the count of pinned pages is wrong";
    return members_check(pager, count->of_member);
}

const char *quire_check(struct quire_pager *pager)
{
    struct count_pages count = {.wrong = NULL};
    const char *wrong;

    pthread_mutex_lock(&pager->round); /* nothing is evicted meanwhile, and nothing read ahead */
    ahead_hold(pager);
    regions_for_each(pager, check_region, &count);
    pthread_mutex_lock(&pager->order);
    wrong = check_all(pager, &count);
    pthread_mutex_unlock(&pager->order);
    ahead_release(pager);
    pthread_mutex_unlock(&pager->round);
    return wrong;
}
