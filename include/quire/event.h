/*
 * Events of paging, as the kernel tells them to `quire boot` while the machine runs: records of a fixed
 * length in LINK_EVENTS frames (include/quire/link.h), in the order in which they happened. Shared by the
 * core, kernel/ and cli/; a recording (docs/TRACE-FORMAT.md) is a file of them. All numbers little-endian.
 */
#ifndef QUIRE_EVENT_H
#define QUIRE_EVENT_H

#include <stdint.h>

enum event_kind {
    EVENT_LOST = 1,    /* `value` events before this one did not find room */
    EVENT_FAULT,       /* a page fault ended: detail is enum event_fault, value the address */
    EVENT_PAGE_IN,     /* a page was read: value is how many more came in with the same read */
    EVENT_PAGE_OUT,    /* a page was written to its store: value is how many more with the same write */
    EVENT_EVICT_CLEAN, /* a page was chosen to leave memory; the store has it already */
    EVENT_EVICT_DIRTY, /* a page was chosen to leave memory, and must be written for it */
    EVENT_REFAULT,     /* a page came back: value is how many pages have been evicted since it went */
    EVENT_SWAP_OUT,    /* load control: a whole process leaves; value is its pages */
    EVENT_SWAP_IN,     /* and comes back */
    EVENT_OOM,         /* the process is ended for want of memory; value is the pages it holds */
    EVENT_START,       /* a process begins to run a program */
    EVENT_FORK,        /* value is the parent's number: their private pages are the same ones */
    EVENT_EXIT,        /* the process is over */
    EVENT_REFERENCE,   /* a reference to a page: value is the address, detail enum event_reference */
    EVENT_GONE,        /* recorded pages exist no more: value of them, whose names follow each other */
    EVENT_SHORT,       /* memory is short from now on: value is the free frames */
    EVENT_KINDS
};

/* How a fault ended. */
enum event_fault {
    EVENT_FAULT_ZERO,
    EVENT_FAULT_ZERO_READ,
    EVENT_FAULT_HUGE,
    EVENT_FAULT_MINOR,
    EVENT_FAULT_MAJOR,
    EVENT_FAULT_COPY,
    EVENT_FAULT_REUSE,
    EVENT_FAULT_PROTECTION,
    EVENT_FAULT_UNMAPPED,
    EVENT_FAULT_SPURIOUS,
    EVENT_FAULT_FAILED, /* out of memory, an error of the store, a signal */
    EVENT_FAULTS
};

/* Bits of a reference. */
enum event_reference {
    EVENT_WRITES = 1,
    EVENT_BY_KERNEL = 2 /* a file's page, read or written by a system call: value says nothing */
};

/* What event.page says: a page of an object (its number << 32, and the page's), or one of these. 0: none. */
#define EVENT_PAGE_SLOT ((uint64_t)1 << 62)  /* a slot of swap */
#define EVENT_PAGE_FRAME ((uint64_t)1 << 63) /* a private frame that has no slot */
#define EVENT_PAGE_PRIVATE                                                                                   \
    ((uint64_t)3 << 62) /* of a reference: a private page, by the number that the recording gave it */

/* Those that a recording has. */
static inline int event_is_recorded(unsigned kind)
{
    return kind == EVENT_REFERENCE || kind == EVENT_START || kind == EVENT_FORK || kind == EVENT_EXIT ||
           kind == EVENT_GONE || kind == EVENT_SHORT || kind == EVENT_LOST;
}

struct event {
    uint64_t time_ns; /* of the machine; of a reference: quire/work.h */
    uint64_t page;
    uint64_t value;
    uint32_t process; /* whose fault it is, or who was running; 0: the kernel */
    uint16_t kind;
    uint16_t detail;
};
_Static_assert(sizeof(struct event) == 32, "the link and recordings have it so");

/* A recording is this head and then events. */
#define EVENT_FILE_MAGIC "\211QEV\r\n\032\n"
enum { EVENT_FILE_MAGIC_BYTES = 8, EVENT_FILE_VERSION = 2 };
/* Its window: at least the pages that one instruction may need, and what the kernel has room for. */
enum { RECORD_WINDOW_LEAST = 8, RECORD_WINDOW_MOST = 256 };

struct event_file_head {
    char magic[EVENT_FILE_MAGIC_BYTES];
    uint32_t version;
    uint32_t window; /* pages that could be referred to without being recorded; 0: no references */
    uint64_t page_bytes;
    uint64_t zero;
};
_Static_assert(sizeof(struct event_file_head) == 32, "as long as an event");

#endif
