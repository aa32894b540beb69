/*
 * Page replacement.
 *
 * A policy orders the pages that are in memory and says which one is to go. The kernel, the runtime and the
 * simulator run the same files (src/policy), under the same names and options. A policy knows no page table,
 * no lock and no input or output; it allocates nothing (its memory is handed to it), and has no globals.
 *
 * Pages are numbers (`page`), dense from 0 below config.pages, given out by the host: the simulator numbers
 * the pages of a trace once and for all; the kernel and the runtime number what is in memory and what a
 * policy still remembers (src/policy/names.h, with policy_host.forget). What a policy remembers of pages that
 * have gone (ghosts) it finds by their number, so nothing needs a hash table.
 *
 * What both sides see of a page is one byte, policy.state[page]. The host sets POLICY_REFERENCED and
 * POLICY_DIRTY, either as it happens (the simulator) or when it is asked to (policy_host.harvest: the kernel
 * gathers them from page tables). A policy that needs every reference (POLICY_EVERY_REFERENCE) is told by
 * policy_touch() as well.
 *
 * Locking: the caller's. One call at a time for each policy, and the state bytes change under the same lock.
 */
#ifndef QUIRE_POLICY_H
#define QUIRE_POLICY_H

#include "quire/status.h"
#include "quire/types.h"

#define POLICY_NO_PAGE UINT32_MAX
#define POLICY_MAX_PAGES ((uint32_t)1 << 31) /* a reference has its page's number and a bit in 32 bits */

enum policy_state {
    POLICY_RESIDENT = 1,   /* in memory, and in the policy's order */
    POLICY_REFERENCED = 2, /* the host sets it, policies clear it */
    POLICY_DIRTY = 4,      /* to be written before the page can go; the host's alone */
    POLICY_PINNED = 8,     /* never a victim: pinned, under I/O, being written; the host's alone */
    POLICY_OWN = 0xf0      /* four bits of the policy's */
};

/* What a policy must be told. */
enum policy_needs {
    POLICY_BITS,            /* reference bits, when it asks for them */
    POLICY_EVERY_REFERENCE, /* policy_touch() at every reference */
    POLICY_FUTURE           /* and how far the next one is: only where the future is known */
};

struct policy;

/* What the host does for a policy. Each may be NULL. */
struct policy_host {
    /* Bring POLICY_REFERENCED and POLICY_DIRTY of the page up to date. NULL: they always are. */
    void (*harvest)(void *context, struct policy *policy, uint32_t page);
    /* Write the (dirty) page soon, without taking it out. Never calls back. NULL: dirty pages are written
     * only when they go. */
    void (*clean)(void *context, struct policy *policy, uint32_t page);
    /* The policy knows the page no more: it has gone, and is no ghost. Its number may be given to another
     * page. Once for each page that goes, but for those that come back or are removed before: from within
     * policy_victim() for its own page as a rule, later if that is remembered. Also the page that is coming
     * may be forgotten while room is made for it: it keeps its number, and comes as a new one. */
    void (*forget)(void *context, struct policy *policy, uint32_t page);
    /* May the page not go just now, for a reason that the state byte does not have (the class of its process:
     * quire/scope.h)? Asked of pages that are looked at for a victim. Where others are at work, the answer
     * may be another one the next time. NULL: POLICY_PINNED says it all. */
    bool (*spares)(void *context, const struct policy *policy, uint32_t page);
    void *context;
};

enum { POLICY_OPTIONS = 6 };
#define POLICY_ALL_GHOSTS UINT32_MAX

/* A number that the user may choose: `clock:load=clear,…`. */
struct policy_option {
    const char *name;
    uint64_t standard, least, most;
    const char *words; /* NULL: a number. Else names for 0, 1, 2, …, separated by spaces: "clear set" */
    const char *meaning;
};

struct policy_config {
    uint32_t pages;                   /* numbers are below; at most POLICY_MAX_PAGES */
    uint32_t frames;                  /* how many may be resident, 1 … most_frames */
    uint32_t most_frames;             /* policy_resize() goes up to here */
    bool removes;                     /* policy_remove() will be called: some policies keep more for it */
    uint64_t seed;                    /* of what is random */
    uint64_t options[POLICY_OPTIONS]; /* policy_parse() fills them in */
    const struct policy_host *host;   /* NULL: has nothing to offer */
    uint8_t *state;                   /* config.pages bytes, zeroes */
};

/* A number that a policy keeps about itself, for reports. */
struct policy_counter {
    const char *name;
    uint64_t value;
};

/* What happens before references[at] of a block: time, or the end of a page, which is policy_remove()d. */
struct policy_mark {
    uint32_t at;
    uint32_t page;   /* POLICY_NO_PAGE: it is `now_us` */
    uint64_t now_us; /* of the programs' time (quire/work.h), never less than before */
};

/* References in the simulator: a page's number times two, plus one when it is a write. */
struct policy_block {
    const uint32_t *references;
    const uint32_t
        *distances; /* POLICY_FUTURE: after how many references the page comes again, UINT32_MAX: never */
    size_t count;
    const struct policy_mark *marks; /* in the order of `at` */
    size_t mark_count;
    bool timed; /* time passes by marks, not by references: policy.now stands still within the block */
};

struct policy_tally {
    uint64_t references, faults, evictions, write_backs;
};

/* What a file of src/policy defines. The functions need not look after POLICY_RESIDENT, policy.resident and
 * checks of arguments: the calls below do. NULL where not said otherwise: nothing is to be done. */
struct policy_type {
    const char *name;   /* as in --policy */
    const char *title;  /* one line for `quire policies` */
    const char *source; /* the paper or text it follows */
    enum policy_needs needs;
    bool blind;           /* reference bits change nothing: a host need not gather them */
    bool prefers_clean;   /* dirty pages are spared while a clean one will do */
    unsigned ghosts;      /* it remembers so many pages that have gone, for each of most_frames; 0: none;
                             POLICY_ALL_GHOSTS: all that have a number */
    unsigned page_bytes;  /* of policy_bytes(), for each page that has a number (with `removes` false) */
    unsigned frame_bytes; /* for each frame */
    struct policy_option options[POLICY_OPTIONS]; /* up to the first without a name */

    /* Never NULL. How much memory, and what is made in it (zeroed, aligned to 64). init() writes nothing for
     * each page or frame: the simulator sets aside address space for more pages
     * than will ever come, and what nobody touches takes no memory. */
    size_t (*bytes)(const struct policy_config *config);
    void (*init)(struct policy *policy, const struct policy_config *config);
    /* Never NULL. The page has come into memory. */
    void (*insert)(struct policy *policy, uint32_t page);
    /* POLICY_EVERY_REFERENCE and POLICY_FUTURE: a resident page is referenced. */
    void (*touch)(struct policy *policy, uint32_t page);
    /* Never NULL. Takes a page that is not pinned (nor spared by the host: policy_is_pinned() asks) out of
     * the order, to make room for `incoming` (POLICY_NO_PAGE: for nothing in particular). POLICY_NO_PAGE when
     * there is none. Ends in any case. */
    uint32_t (*victim)(struct policy *policy, uint32_t incoming);
    /* Never NULL. The page, resident or a ghost or unknown, is not to be known any more. */
    void (*remove)(struct policy *policy, uint32_t page);
    /* policy.frames has changed; more may be resident than that until victims are taken. */
    void (*resize)(struct policy *policy);
    /* An interval of time has passed (the host says how long that is). */
    void (*tick)(struct policy *policy);
    /* Up to `most` counters; returns how many. */
    size_t (*counters)(const struct policy *policy, struct policy_counter *out, size_t most);
    /* Never NULL. Walks every invariant; the text of the first that does not hold, NULL if all do. */
    const char *(*check)(const struct policy *policy);
    /* Never NULL. A block of references, with the same outcome as policy_reference() for each
     * (src/policy/run.h). */
    void (*run)(struct policy *policy, const struct policy_block *block, struct policy_tally *tally);
};

/* The head of every policy's own structure. */
struct policy {
    const struct policy_type *type;
    const struct policy_host *host; /* never NULL */
    uint8_t *state;
    uint32_t pages, frames, most_frames;
    uint32_t resident;
    uint64_t now;      /* virtual time in references, or in microseconds; the host moves it on */
    uint32_t distance; /* POLICY_FUTURE: of the reference that is being made */
};

/* Every policy there is, in the order of `quire policies`; ends with NULL. */
extern const struct policy_type *const policy_types[];

MUST_USE const struct policy_type *policy_find(const char *name, size_t length);

/* What was wrong with a policy's name and options. */
struct policy_error {
    size_t at, length; /* the part of the text that is wrong */
    const char *expected;
};
/* "name" or "name:option=value,option=value": the type and config->options. ST_INVALID with *error filled in.
 */
MUST_USE enum status policy_parse(const char *text, const struct policy_type **type,
                                  struct policy_config *config, struct policy_error *error);
/* The standard options. */
void policy_standard(const struct policy_type *type, struct policy_config *config);

/* How much memory policy_create() needs. */
MUST_USE size_t policy_bytes(const struct policy_type *type, const struct policy_config *config);
/* `memory`: policy_bytes() zeroes, aligned to 64, the caller's, who may take it back at any time. */
MUST_USE struct policy *policy_create(const struct policy_type *type, const struct policy_config *config,
                                      void *memory);

/* `page` has come into memory, because it was referenced. There was room: resident < frames. */
void policy_insert(struct policy *policy, uint32_t page);
/* A resident page is referenced: POLICY_REFERENCED, and policies that need every reference are told. */
void policy_touch(struct policy *policy, uint32_t page);
/* Chooses who goes, and takes him out. POLICY_DIRTY stays as it is: the host writes the page, and clears it.
 * A page that is wanted again before it was written comes back by policy_insert(). If the incoming page
 * cannot come after all the host may leave it so, or call policy_remove(): a policy that remembers it waits
 * for it. */
MUST_USE uint32_t policy_victim(struct policy *policy, uint32_t incoming);
/* The page exists no more (its process ended, its file was cut): also its ghost goes, and its state byte is
 * 0. */
void policy_remove(struct policy *policy, uint32_t page);
/* Up to config.most_frames. The caller then takes victims while resident > frames. */
void policy_resize(struct policy *policy, uint32_t frames);
void policy_tick(struct policy *policy);
/* How long an interval is, where time is microseconds and the user has not said: what it costs to look at
 * every page stays in proportion. */
static inline uint64_t policy_tick_us(uint32_t pages)
{
    enum { FOR_A_PAGE = 4, LEAST = 10000 };

    return (uint64_t)FOR_A_PAGE * pages > LEAST ? (uint64_t)FOR_A_PAGE * pages : LEAST;
}
size_t policy_counters(const struct policy *policy, struct policy_counter *out, size_t most);
/* NULL, or what is wrong. */
MUST_USE const char *policy_check(const struct policy *policy);

/* One reference of the simulator's, as policy.type->run does it for many. */
void policy_reference(struct policy *policy, uint32_t page, bool write, uint32_t distance,
                      struct policy_tally *tally);

#endif
