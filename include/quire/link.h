/*
 * The link between `quire boot` and the kernel: frames over one virtio-serial port.
 *
 * Both sides send a struct link_header, then `length` bytes. All numbers little-endian. Shared by cli/ and
 * kernel/dev/hostlink.c.
 */
#ifndef QUIRE_LINK_H
#define QUIRE_LINK_H

#include <stdint.h>

struct link_header {
    uint16_t kind;   /* enum link_kind */
    uint16_t stream; /* LINK_DATA*: 0, 1, 2; LINK_DUMP: request's number */
    uint32_t length; /* at most LINK_MAX */
};

enum { LINK_MAX = 65536, LINK_WINDOW = 65536 };

enum link_kind {
    /* host to kernel */
    LINK_INPUT = 1,    /* bytes of standard input, never more than the kernel has granted */
    LINK_INPUT_END,    /* end of file on standard input */
    LINK_WINSIZE,      /* uint16_t rows, columns */
    LINK_DUMP_REQUEST, /* text: "kernel" or a pid in decimal, or "" for a list of processes; LINK_DUMP frames
                          answer, an empty one ends */
    LINK_SIGNAL,       /* uint32_t: send this signal to the first process (SIGTERM, SIGINT to quire boot) */
    LINK_REPORT_REQUEST, /* a LINK_REPORT answers at once */
    LINK_OUTPUT_CLOSED,  /* stream 1 or 2: nobody reads it any more; writing fails with EPIPE from now on */
    /* kernel to host */
    LINK_OUTPUT = 64, /* stream 1 or 2 */
    LINK_GRANT, /* uint32_t: so many more bytes of input may be sent; one of 0 says that the kernel listens */
    LINK_TTY_RAW, /* uint32_t: reserved */
    LINK_DUMP,    /* text; it begins with "error: " when there is no such thing */
    LINK_REPORT,  /* one JSON object: the paging report */
    LINK_EXIT,    /* uint32_t: the exit status of the first process (128 + signal when it was killed) */
    LINK_LOG,     /* one line of the kernel's log */
    LINK_EVENTS   /* struct event (quire/event.h), as many as there are; asked for on the command line */
};

#endif
