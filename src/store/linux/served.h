/*
 * What stores at the other end of a connection have in common (NBD, Redis). A thread of the store's own does
 * all that the connection needs, so a fault never calls into a library that allocates; requests come to it by
 * a list without a lock, and end in it.
 *
 *      submit ---- list ----> the thread ---- begin ----> connection ---- piece_ended ----> done
 *                                 |  lost: what is under way is begun again on a new connection
 *                                 |  deadline: the connection is closed, and the request ends in ST_IO_ERROR
 *
 * Never wrong bytes. A hash of every page that was read or written is kept (4 bytes a page), and what is read
 * is compared: a server that comes back without what it had, or whose contents somebody else changed, is an
 * ST_IO_ERROR of the read. Writes that were not flushed when a connection was lost are in doubt: the next
 * flush reads them, and fails unless all are there.
 *
 * Invariants: a request has a place from begin to done, and as many pieces as it has commands under way on
 * this connection. Nothing but the two lists' heads and the counts of requests is touched by other threads.
 */
#ifndef QUIRE_STORE_SERVED_H
#define QUIRE_STORE_SERVED_H

#include "quire/store_module.h"

enum { SERVED_PLACES = 128, SERVED_DEADLINE_MS = 30000 };

struct served;

/* A request that the connection has begun. */
struct served_place {
    struct store_request *request; /* NULL: free */
    uint64_t until;                /* ns: its deadline */
    uint32_t pieces;               /* commands that have not ended */
    enum status status;            /* the first error of them */
    bool begun;                    /* on this connection */
};

/* All are called by the store's thread, but for disconnect and destroy after it has ended. */
struct served_backend {
    const char *name;
    /* A connection, within `wait_ms`; a second one must show the same store. Else the reason in served->why,
     * and what it says of it: ST_DENIED and ST_INVALID are for ever, others may change, ST_RETRY soon. */
    enum status (*connect)(struct served *served, unsigned wait_ms);
    void (*disconnect)(struct served *served); /* no piece ends after it */
    /* Sends commands: served_piece_begun() before each, which ends with served_piece_ended(), here or later.
     * One that this end refuses begins no piece but sets place->status. False: the connection is lost. */
    bool (*begin)(struct served *served, struct served_place *place);
    /* What to poll() for, and going on when it is ready or not. False: the connection is lost. */
    int (*watch)(struct served *served, short *events);
    bool (*progress)(struct served *served, short ready);
    void (*destroy)(struct served *served); /* frees it all */
};

struct served {
    struct store base;
    struct store_type type; /* base.type */
    const struct served_backend *backend;
    uint64_t deadline_ns;
    bool read_only;
    uint64_t wanted_bytes; /* how long it must be at least */
    char *why;             /* of the opening; NULL later */
    size_t why_bytes;
    struct served_state *state; /* served.c */
};

/* Begins the thread, which connects; on an error everything is freed, also `served`. */
MUST_USE enum status served_start(struct served *served, const struct store_opening *opening);
void served_say(struct served *served, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline void served_piece_begun(struct served_place *place)
{
    place->pieces++;
}
void served_piece_ended(struct served *served, struct served_place *place, enum status status);

/* Takes "quire-deadline=SECONDS" out of the query ("?a=b&…") of a name. False: that is no number of 1 to
 * 86,400. */
bool served_take_deadline(char *name, uint64_t *deadline_ns);

#endif
