/*
 * Stores: where pages are while they are not in memory. A disk, a file, compressed memory, another machine.
 *
 * A store is an array of `pages` pages of 4 KiB, read and written by runs. Requests are asynchronous: who
 * makes one is told of its end by a call, and may have many under way. A page that was never written, or was
 * discarded, has no defined contents: whoever wants zeroes remembers that himself.
 *
 * A read that fails leaves no contents that count, and a write that fails leaves none in the store: the old
 * ones may be gone. Nothing of a request may be touched between submit and done: neither it, nor its pages
 * (those being written may be read). The order of requests that overlap and are under way together is not
 * defined.
 */
#ifndef QUIRE_STORE_H
#define QUIRE_STORE_H

#include "quire/status.h"
#include "quire/types.h"

struct store;
struct store_request;

enum store_op {
    STORE_READ,
    STORE_WRITE,
    STORE_DISCARD, /* the contents are not needed any more; `pages` is NULL. May do nothing */
    STORE_FLUSH    /* what was written before lasts when the machine ends; neither range nor `pages` */
};

struct store_request {
    /* What the caller fills in. */
    enum store_op op;
    uint32_t count;     /* pages; at least one for a read, a write or a discard */
    uint64_t first;     /* page of the store; first + count <= store->pages */
    void *const *pages; /* `count` addresses of 4,096 bytes each, aligned to that */
    /* Called exactly once for each submit: from inside of submit or poll, or from an interrupt; never sleeps.
     * The request is the caller's again, who may free it or submit it anew. ST_OK; ST_IO_ERROR; ST_NO_SPACE
     * (a write to a store that has no room just now, such as one in memory); ST_INVALID: not within the
     * store; ST_NO_MEMORY: nothing was begun. */
    void (*done)(struct store_request *request, enum status status);
    void *context; /* the caller's */
    /* The store's, from submit to done. */
    struct store_request *next;
    void *private;
};

struct store_type {
    const char *name;
    /* Never sleeps; what does not fit into the device waits in the store. */
    void (*submit)(struct store *store, struct store_request *request);
    /* Ends what has finished, and when nothing has, waits for at most `wait_ns` until something does. Returns
     * how many it ended; 0 at once when nothing is under way. Nobody need call it where interrupts (or other
     * threads of the store's own) end requests. */
    unsigned (*poll)(struct store *store, uint64_t wait_ns);
    /* Frees the store. No request is under way. */
    void (*close)(struct store *store);
    /* May be NULL. The whole request, over when it returns; `done` is not called. Any number of threads at a
     * time, also within a signal's handler: nothing is allocated, and no lock is held over a sleep that a
     * handler could want. Who reads one page in a fault is served soonest by this. */
    enum status (*transfer)(struct store *store, const struct store_request *request);
};

struct store {
    const struct store_type *type;
    uint64_t pages;
};

static inline void store_submit(struct store *store, struct store_request *request)
{
    store->type->submit(store, request);
}

static inline unsigned store_poll(struct store *store, uint64_t wait_ns)
{
    return store->type->poll(store, wait_ns);
}

static inline void store_close(struct store *store)
{
    store->type->close(store);
}

/* Is it within the store, and complete? A store asks before it begins. */
static inline bool store_request_fits(const struct store *store, const struct store_request *request)
{
    if (request->op == STORE_FLUSH)
        return true;
    return request->count != 0 && request->first < store->pages &&
           request->count <= store->pages - request->first &&
           (request->op == STORE_DISCARD || request->pages != NULL);
}

#endif
