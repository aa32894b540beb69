/*
 * The clients of a running machine's socket (quire dump): passes their requests to the kernel and its
 * answers back.
 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include "cli/link.h"

struct pollfd;

enum { CONTROL_CLIENTS = 4, CONTROL_FDS = CONTROL_CLIENTS + 1 };

struct control_client {
    int fd; /* -1: free */
    bool asked, answered;
    char request[64];
    size_t request_length;
    struct queue out;
};

struct control {
    int listen;
    struct control_client clients[CONTROL_CLIENTS];
};

void control_init(struct control *control, int listen);
/* Fills CONTROL_FDS entries; then, when poll() has returned, looks at them. */
void control_prepare(const struct control *control, struct pollfd *fds);
void control_serve(struct control *control, const struct pollfd *fds, struct link *link);
/* A LINK_DUMP frame; an empty one ends the answer. */
void control_answer(struct control *control, uint16_t stream, const char *bytes, size_t count);
void control_close(struct control *control);

#endif
