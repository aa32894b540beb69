/*
 * Our side of the link to the kernel (include/quire/link.h): cuts what comes into frames, queues what goes.
 */
#ifndef CLI_LINK_H
#define CLI_LINK_H

#include "cli/cli.h"
#include "cli/queue.h"
#include "quire/link.h"

struct link {
    int fd;
    struct queue in, out;
    bool ended; /* QEMU closed it */
};

void link_send(struct link *link, enum link_kind kind, uint16_t stream, const void *bytes, uint32_t count);
/* Reads what is there; `ended` when there will be no more. */
void link_receive(struct link *link);
/* Writes as much as goes now. */
void link_flush(struct link *link);
/* The first whole frame, if there is one: drop it with link_drop(). `broken` when the kernel does not speak
 * our protocol. */
bool link_frame(struct link *link, struct link_header *header, const char **bytes, bool *broken);
void link_drop(struct link *link, const struct link_header *header);
void link_free(struct link *link);

#endif
