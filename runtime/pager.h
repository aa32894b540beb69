/*
 * The runtime's structures. The public side is quire/quire.h.
 *
 *      region    a mapping of a memfd, a word for each page, a counter for each window of 2 MiB
 *      pager     a budget of frames, the thread that evicts
 *      member    whose regions are; with a policy and its pages' numbers, with a budget (member.h)
 *      slot      a piece of memory to read into before a page comes; whoever brings a page in has one
 *
 * Who protects what:
 *      w   the page's word (page.h)
 *      o   pager->order: policies, names, members, what scans note; taken by the evicting thread and by calls
 *          of the program, never by a fault
 *      r   regions_lock: the table of regions; faults read it without
 *      a   atomic
 *      -   set when made
 * Order: door_lock of a region, round, the readers' work (ahead.c), regions_lock, order. A page's word is
 * owned only by who holds neither, or by the evicting thread.
 *
 * A fault takes a frame (a), a slot (a), and appends the page to pager->arrivals (a), which the evicting
 * thread hands to the policy: so no fault waits for the policy, and none runs in a signal's handler.
 */
#ifndef QUIRE_RUNTIME_PAGER_H
#define QUIRE_RUNTIME_PAGER_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "member.h"
#include "page.h"
#include "quire/quire.h"
#include "uffd.h"

/* initial-exec: an access never allocates. */
#define THREAD_OWN static _Thread_local __attribute__((tls_model("initial-exec")))

enum {
    SLOTS = 32,        /* so many threads read at the same time; a bit each in a word */
    SLOT_PAGES = 32,   /* most pages that are read at once */
    BATCH_PAGES = 256, /* victims, and pages of one round of writing */
    COUNT_SHARDS = 16,
    MOST_REGIONS = 256,
    MOST_SNAPSHOTS = 16 /* of a region */
};

enum count {
    COUNT_FAULTS,
    COUNT_ZERO_FAULTS,
    COUNT_WRITE_FAULTS,
    COUNT_READ_AHEAD,
    COUNT_WAITS,
    COUNT_RESERVE_WAITS,
    COUNT_READ_ERRORS,
    COUNT_EVICTIONS,
    COUNT_WRITE_BACKS,
    COUNT_WRITE_ERRORS,
    COUNT_GIVEN_BACK,
    COUNT_SCANS,
    COUNT_REFERENCED,
    COUNT_NOT_RECORDED,
    COUNT_FAULT_NS,
    COUNT_FRAME_WAIT_NS,
    COUNT_READ_NS,
    COUNT_POLICY_NS,
    COUNT_WRITE_NS,
    COUNTS
};

struct counts {
    _Alignas(64) _Atomic uint64_t of[COUNTS];
};

struct window {
    _Atomic uint32_t resident; /* a: pages that have a frame, or are about to */
    uint32_t scanned;          /* o: its pool's clock when it was scanned last */
    _Atomic uint32_t
        shutting; /* a: in the first of SHUT_PAGES: odd while its pages are being shut (shut.c) */
};

/* What is write-protected together: 16 MiB. */
enum { SHUT_PAGES = 8 * WINDOW_PAGES };

struct region {
    struct quire_pager *pager;    /* - */
    struct quire_member *member;  /* - */
    uint32_t index;               /* - in the table of regions */
    int memory;                   /* - the memfd; -1: anonymous memory */
    uint8_t *start;               /* - */
    uint64_t pages;               /* - */
    struct quire_mapping mapping; /* - */
    uint64_t first, base_first;   /* - pages of the stores */
    bool plain;                   /* - the store has contents of every page */
    page_word *words;             /* w */
    struct window *windows;
    bool frozen;          /* r */
    _Atomic bool closing; /* a: no page of it is given back to the policy any more */
    _Atomic int advice;   /* a: enum quire_advice */
    _Atomic int trust;    /* a: what read-ahead deserves here (stream.c) */
    _Atomic uint32_t
        write_status; /* a: enum status of a write-back that failed, until quire_sync() says so */
    /* Snapshots (snapshot.h). */
    struct region *live;                  /* - of a view: what it is of; else NULL */
    struct region *views[MOST_SNAPSHOTS]; /* changed behind the closed door, read in write sections */
    pthread_mutex_t door_lock;
    _Alignas(64) _Atomic uint32_t writing; /* a: threads in write sections */
    _Atomic uint32_t door;                 /* a: 1: closed */
};

/* A page of a region. */
struct place {
    struct region *region;
    uint64_t page;
};

struct slot {
    uint8_t *memory; /* SLOT_PAGES, aligned to a page; registered with nobody */
};

/* Of ours, the C library's or (bare.h) not. */
struct thread {
    bool bare;
    unsigned number;
    pthread_t thread;
};

struct writer;
struct live;
struct handlers;
struct ahead;

struct quire_pager {
    uint32_t frames;                /* - the budget's */
    uint64_t deadline_ns;           /* - */
    unsigned scan_percent;          /* - reference bits are stale after this part of a pool's frames came */
    enum quire_way way;             /* - */
    int record;                     /* - a trace is written there; -1: none */
    int uffd, pagemap;              /* - */
    int self;                       /* - of anonymous memory: this process */
    const struct policy_type *type; /* - */
    struct policy_config policy_config; /* - its options and seed */

    struct budget budget;
    _Atomic uint32_t guaranteed;                 /* a: frames, to all members together */
    _Alignas(64) _Atomic uint32_t slots_taken;   /* a: a bit each; whoever finds none free sleeps on it */
    _Atomic uint32_t slot_waiters;               /* a */
    struct slot slots[SLOTS];                    /* - */
    _Alignas(64) _Atomic uint64_t arrivals_tail; /* a */
    _Atomic uint64_t *arrivals;                  /* a: names + 1 of pages that came; 0: not there yet */
    uint64_t arrivals_mask;                      /* - */
    uint64_t arrivals_head;                      /* o */
    _Alignas(64) _Atomic uint32_t wanted;        /* a: 1: somebody woke the evicting thread */
    _Atomic uint32_t nobody;                     /* a: 0 until the end: what the evicting thread naps on */
    _Atomic bool stop;                           /* a */
    struct counts counts[COUNT_SHARDS];          /* a */

    pthread_mutex_t round; /* held through a round of the evicting thread */
    pthread_mutex_t order;
    struct scope scope;                       /* o */
    struct scope_member scoped[MOST_MEMBERS]; /* o */
    struct quire_member members[MOST_MEMBERS];
    uint32_t members_count;             /* r, o, round: none is used from here on */
    uint64_t measured_us;               /* o: processor time at the last look at fault rates */
    struct search search;               /* o */
    struct place to_clean[BATCH_PAGES]; /* o: what policies want written soon */
    uint32_t to_clean_count;            /* o */
    uint64_t mapped_pages;              /* r */
    struct writer *writer;              /* - the evicting thread's */
    struct thread evictor;
    struct round *victims;     /* the evictor's; freed with the pager */
    struct live *live;         /* - NULL: nobody is told */
    bool publish;              /* - */
    bool is_child;             /* - of fork(): its threads are bare */
    struct handlers *handlers; /* - NULL: faults are served by the threads that make them */
    struct ahead *ahead;       /* - the threads that read */
};

/* The pages that a range of addresses meets. */
struct range {
    struct region *region;
    uint64_t first, end;
};

static inline page_word *place_word(struct place place)
{
    return &place.region->words[place.page];
}

static inline uint8_t *place_address(struct place place)
{
    return place.region->start + place.page * PAGE_SIZE;
}

/* ---- regions (region.c) */

/* Does the region's store have contents of the page, by its word? */
static inline bool region_page_is_stored(const struct region *region, uint32_t word)
{
    return region->plain || (word & PAGE_STORED) != 0;
}

/* The region of the address, or NULL. Async-signal-safe. */
struct region *region_at(const void *address);
struct region *region_by_index(uint32_t index);
/* The pager's, unless it is being closed; NULL: there is none. Takes regions_lock. */
struct region *region_open_by_index(struct quire_pager *pager, uint32_t index);
/* A region whose pages come from `live` as long as it has none of its own: quire_snapshot(). */
MUST_USE enum status region_map_view(struct region *live, const struct quire_mapping *mapping,
                                     struct region **view, struct quire_error *error);
/* ST_NOT_MAPPED: the addresses are not all in one region. Async-signal-safe. */
MUST_USE enum status region_range(const void *address, size_t length, struct range *range);
/* Every region of the pager, under regions_lock; `visit` may not map or unmap. */
void regions_for_each(struct quire_pager *pager, void (*visit)(struct region *region, void *context),
                      void *context);

/* For fork: regions_lock is taken, or given back. */
void regions_hold(bool hold);
/* In a child of fork(): no region is ours any more. They come into `all`, at their index. */
void regions_abandon(struct region *all[MOST_REGIONS]);
/* Nothing else comes to where they were, until told so; regions of these addresses replace what keeps the
 * place. False: something is there. */
MUST_USE bool regions_keep_addresses(struct region *const all[MOST_REGIONS], bool keep);

/* The same under pager->order. */
void regions_sweep(struct quire_pager *pager, void (*visit)(struct region *region, void *context),
                   void *context);

/* What policies call a page. */
static inline uint64_t place_name(struct place place)
{
    return (uint64_t)place.region->index << 48 | place.page;
}
struct place place_of_name(uint64_t name);

/* ---- faults (fault.c) */

/* The page is in memory, and open for writing when asked for, when this returns ST_OK; it may go again at
 * once. Async-signal-safe. */
MUST_USE enum status page_bring(struct place place, bool write);
/* Until the word is not `seen` any more, or a while; ST_IO_ERROR when the deadline has passed. *until is 0 at
 * first. */
MUST_USE enum status page_wait(struct place place, uint32_t seen, uint64_t *until);
/* What the stores hold of absent pages: the region's own, or its base, or zeroes. Async-signal-safe. */
MUST_USE enum status region_read(struct place first, bool stored, uint8_t *memory, uint32_t count);
/* Pins, without asking whether there are too many. False: it must be brought in, or opened, first.
 * Async-signal-safe. */
bool page_pin(struct place place, bool write);
void page_unpin(struct place place);
/* The handler of SIGBUS, and whose it was before. */
MUST_USE enum status fault_handler_install(enum quire_way way);
/* A line on standard error: the page cannot come. Async-signal-safe. */
void fault_say_why(struct place place, enum status status);

/* ---- opening in steps (pager.c): quire_open() is both; errors of the second leave the pager without threads
 */

MUST_USE enum status pager_open(const struct quire_options *options, struct quire_pager **made,
                                struct quire_error *error);
MUST_USE enum status pager_start(struct quire_pager *pager, unsigned handlers);
MUST_USE enum status thread_start(struct thread *thread, void *(*run)(void *context), void *context,
                                  bool bare);
void thread_join(const struct thread *thread);

/* ---- fork (fork.c) */

/* quire_fork_prepare() was called. */
bool fork_is_prepared(void);

/* ---- threads that serve faults (handlers.c) */

/* ST_NO_MEMORY: handlers_stop() ends those that run. */
MUST_USE enum status handlers_start(struct quire_pager *pager, unsigned count);
void handlers_stop(struct quire_pager *pager);

/* Pages from `from` on behind `place` that are absent and come from the same place (`stored`) become COMING,
 * and the caller's, each with a frame, while more than the reserve are free: up to `wanted`, counted from
 * `place`. Returns how many, those before `from` included. */
uint32_t pages_claim(struct place place, uint32_t from, uint32_t wanted, bool stored, enum reserve reserve);
/* They do not come after all: from `from` on. */
void pages_give_up(struct place place, uint32_t from, uint32_t count);
/* Their contents, into memory of the caller's. */
MUST_USE enum status pages_read(struct place place, bool stored, uint8_t *memory, uint32_t count);
/* ... and from there in place, the first `open` of them open for writing. *count: how many are there now, at
 * least one with ST_OK, and else one; the others do not come. */
MUST_USE enum status pages_put(struct place place, const uint8_t *contents, uint32_t *count, uint32_t open);
/* They are settled, and the policy will hear of them; nobody touched those from `touched` on. */
void pages_came(struct place place, uint32_t count, uint32_t open, uint32_t touched);

/* ---- read-ahead: who asks for it (stream.c), who reads (ahead.c) */

/* What a thread faults on, sorted into streams. Two threads may share one; one at a time has it. */
enum { STREAMS = 8 };
struct stream {
    const struct region *region; /* looked at as a number; it may be gone */
    uint64_t last;               /* page of the last fault */
    int64_t stride;              /* 0: only one was seen */
    uint32_t run;                /* faults that kept to it */
    uint32_t asked;              /* pages behind `last`, a stride apart, that were asked for */
    uint32_t window;             /* how many at the last time */
    uint32_t used;               /* turn of its last fault */
};
struct streams {
    _Atomic uint32_t busy; /* a */
    uint32_t turn;
    struct stream stream[STREAMS];
};
/* The pages that this thread brings in from now on are for the thread whose streams these are. */
void stream_is_for(struct streams *streams);
/* What the thread does about the page: bring it in from a store, or as zeroes, or wait for somebody who does.
 */
enum stream_use { STREAM_BRINGS, STREAM_ZEROES, STREAM_WAITS };
/* The calling thread's streams see a fault, and ask for what will be needed next. Returns how many pages from
 * this one on the thread is to bring in itself. Async-signal-safe. */
uint32_t stream_fault(struct place place, enum stream_use use);
/* `count` pages, `stride` apart, are asked for; the order is of no importance. Returns how many could be.
 * Async-signal-safe. */
uint32_t ahead_ask(struct region *region, uint64_t page, int64_t stride, uint32_t count);
/* Brings in the page and its neighbours, up to `most`, as far as they are absent and a store has contents of
 * them, while there are more frames than the reserve. Returns how many pages were looked at, at least 1.
 * *status ST_INTERRUPTED: the store may still write to `memory`. */
uint32_t ahead_bring(struct place place, uint32_t most, uint8_t *memory, enum status *status);
enum { AHEAD_THREADS = 4 };
MUST_USE enum status ahead_start(struct quire_pager *pager);
void ahead_stop(struct quire_pager *pager);
/* Nothing is being read between these; what is asked for waits. */
void ahead_hold(struct quire_pager *pager);
void ahead_release(struct quire_pager *pager);

/* ---- pages that the program sees (appear.c) */

/* They come, all with their contents at once; ST_DIFFERENT: not as one range; ST_NO_MEMORY: none of them. */
MUST_USE enum status pages_show(struct place first, const uint8_t *contents, uint32_t count, bool open);
/* Pages that are there: open for writing, or write-protected in every thread when it returns. */
MUST_USE enum status pages_protect(struct place first, uint32_t count, bool open);
/* They go, all of one pager and in order: an access is a fault again. */
void places_remove(const struct place *places, uint32_t count);
/* Pages of one part of SHUT_PAGES that page_take_to_write() took are write-protected, and what else the part
 * has open with them, if that can be: then they are SHUT. */
void places_shut(const struct place *places, uint32_t count);
/* Before the caller's page (COMING, OPENING) is opened: nobody shuts its neighbours, nor will before it is
 * settled. Async-signal-safe. */
void page_wait_shut(struct place place);
/* What pages hold that are there and stay there meanwhile. */
MUST_USE bool pages_copy_out(struct place first, uint32_t count, uint8_t *to);
/* The pages of a new region are not there. */
MUST_USE enum status pages_watch(struct region *region);
/* The largest budget without userfaultfd. */
uint32_t protect_most_frames(void);

/* ---- slots (frame.c) */

MUST_USE enum status slot_take(struct quire_pager *pager, unsigned *slot);
void slot_give(struct quire_pager *pager, unsigned slot);

/* ---- stores (io.c) */

/* One run of pages between consecutive memory and the store, over when it returns. Async-signal-safe. */
MUST_USE enum status io_transfer(struct store *store, enum store_op op, uint64_t first, uint32_t count,
                                 void *memory, uint64_t deadline_ns);

/* ---- what policies hear of (order.c); under pager->order */

/* A page came, which somebody touched or not. Without the lock; async-signal-safe. */
void arrivals_push(struct quire_pager *pager, struct place place, bool touched);
/* Policies learn what came since; not what came behind a place in the queue that is taken and not yet filled.
 */
void order_drain(struct quire_pager *pager);
/* They learn of every page that is settled now. The lock is let go of on the way. */
void order_drain_all(struct quire_pager *pager);
/* The page, which was to go, stays in memory. */
void order_insert(struct place place);
/* The page is not to be known any more. */
void order_remove(struct place place);
/* No page of the region is, ghosts neither. */
void order_remove_region(struct region *region);
/* Before victims are sought: time passes for policies; reference bits of one that hears of each. */
void order_advance(struct quire_pager *pager);
/* A dirty page that its policy wants clean. */
void order_note_to_clean(struct quire_pager *pager, struct place place);
/* Of those up to `most`, taken to be written. */
uint32_t order_take_to_clean(struct quire_pager *pager, struct place *places, uint32_t most);

/* ---- reference bits (reference.c); under pager->order */

bool window_is_stale(const struct region *region, uint64_t window);
/* The bits of all its pages are brought up to date, and none is mapped afterwards. */
void window_scan(struct region *region, uint64_t window, bool tells);
static inline uint64_t region_windows(const struct region *region)
{
    return (region->pages + WINDOW_PAGES - 1) / WINDOW_PAGES;
}

/* ---- eviction (evict.c) and writing back (write.c) */

MUST_USE enum status evict_start(struct quire_pager *pager);
void evict_stop(struct quire_pager *pager);
void evict_wake(struct quire_pager *pager);
/* Returns after the end of the round that may be going on, whose pages have gone or are back. */
void evict_quiesce(struct quire_pager *pager);
/* LEAVING pages, sorted or not, are no more in memory. */
void places_leave(struct place *places, uint32_t count);
/* A settled CLEAN page without pins: it is LEAVING, and the caller's. */
bool page_take_to_leave(struct place place);

struct writer *writer_create(void);
void writer_destroy(struct writer *writer);
/* What to do with pages once they are written. */
enum writing { WRITE_STAY, WRITE_LEAVE };
/*
 * Writes up to BATCH_PAGES pages that page_take_to_write() took. Afterwards one that nobody wrote to
 * meanwhile is CLEAN, or with WRITE_LEAVE, and without pins, LEAVING; one that could not be written is DIRTY.
 * Those that are LEAVING come to the front of `places`; returns how many. *status: the first error. A store
 * that misses the deadline keeps *writer, which becomes NULL or another one; its pages end when the store
 * does.
 */
uint32_t writer_write(struct writer **writer, struct place *places, uint32_t count, enum writing how,
                      enum status *status);
/* A settled DIRTY page, not under FLIGHT: it is the caller's to write. Pinned ones only `even_pinned`. */
bool page_take_to_write(struct place place, bool even_pinned);
void places_sort(struct place *places, uint32_t count);
/* How many places from the first on are neighbours in memory. */
uint32_t places_run(const struct place *places, uint32_t count);

/* ---- for others to see: traces (record.c), and what is going on (live.c) */

MUST_USE enum status record_open(struct quire_pager *pager, const char *path, struct quire_error *error);
/* Async-signal-safe. */
void record_reference(struct place place, bool write);
/* Errors: nobody is told then. */
MUST_USE enum status live_start(struct quire_pager *pager);
void live_stop(struct quire_pager *pager);
/* In a child of fork(): the socket is the parent's. */
void live_abandon(struct quire_pager *pager);

/* ---- counting (stats.c) */

extern _Thread_local unsigned thread_shard __attribute__((tls_model("initial-exec")));
void count_add(struct quire_pager *pager, enum count count, uint64_t by);

/* How long something takes: time_end() adds it. Between time_sometimes() and time_always() the thread does
 * not look at the clock every time, and what it sees then counts for the others. Async-signal-safe. */
void time_sometimes(void);
void time_always(void);
MUST_USE uint64_t time_begin(void);
void time_end(struct quire_pager *pager, enum count count, uint64_t began);

/* In words for the user. */
void error_say(struct quire_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Calls of the program that bring pages in: a handler of an asynchronous signal that touches the same page
 * would wait for the thread that it interrupted. Nor is the thread cancelled meanwhile. Not one within
 * another. */
void signals_block(sigset_t *saved);
void signals_restore(const sigset_t *saved);

#endif
