/*
 * The outcome of an operation of the core. There is no -1 and no errno below the
 * system-call layer; kernel/linux/errno.c alone translates.
 */
#ifndef QUIRE_STATUS_H
#define QUIRE_STATUS_H

enum status {
    ST_OK = 0,
    ST_NO_MEMORY,     /* no frame (or descriptor) could be had; nothing has changed */
    ST_MAPPED,        /* something is mapped there already */
    ST_NOT_MAPPED,    /* nothing is mapped there */
    ST_HUGE_PAGE,     /* a larger page is in the way */
    ST_NOT_CANONICAL, /* the address is not one that the format can translate */
    ST_NOT_ALIGNED,   /* an address or a length is not a multiple of the page size */
    ST_INVALID,       /* an argument has a value that it may not have */
    ST_DENIED,        /* the protection does not allow this access */
    ST_BEYOND_END,    /* behind the last page of the object: SIGBUS */
    ST_IO_ERROR,      /* the store failed to read or write: SIGBUS or EIO */
    ST_NO_SPACE,      /* the store, or the address range, is full */
    ST_LIMIT,         /* a limit that somebody set would be passed */
    ST_UNSUPPORTED,   /* this format, object or host cannot do that */
    ST_RETRY,         /* the world changed meanwhile: begin again */
    ST_NEEDS_IO,      /* must sleep for a store first; what for is in the context */
    ST_INTERRUPTED,   /* a signal ended the wait */
    ST_DIFFERENT,     /* things that had to agree do not */
    ST_COUNT
};

/* A short English name, e.g. "not mapped"; never NULL. */
const char *status_name(enum status status);

#endif
