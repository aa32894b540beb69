/*
 * The three standard streams of the program, carried between this process and the link.
 */
#ifndef CLI_STREAMS_H
#define CLI_STREAMS_H

#include "cli/link.h"

struct pollfd;

enum { STREAM_FDS = 3 };

struct output {
    int fd;
    struct queue queue;
    bool regular; /* a file: takes everything at once */
    bool closed;  /* nobody reads it any more */
    bool failed;  /* and that was an error (disk full), not a reader that had enough */
};

struct streams {
    bool input_open;   /* standard input has not ended */
    bool input_usable; /* the terminal is ours */
    bool input_tty;
    bool escaped;             /* the user typed the sequence that ends the machine */
    uint32_t window;          /* bytes of input that the kernel takes */
    struct output outputs[2]; /* 1 and 2 */
};

void streams_init(struct streams *streams);
/* Fills STREAM_FDS entries for poll(). `accept_input`: the machine is still interested. */
void streams_prepare(const struct streams *streams, struct pollfd *fds, const struct link *link,
                     bool accept_input);
void streams_serve(struct streams *streams, const struct pollfd *fds, struct link *link);
void streams_put(struct streams *streams, uint16_t stream, const char *bytes, size_t count);
/* Output is waiting, so much that no more should be read. */
bool streams_full(const struct streams *streams);
bool streams_empty(const struct streams *streams);
void streams_free(struct streams *streams);

#endif
