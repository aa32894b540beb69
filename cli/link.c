/*
 * The link: frames on a non-blocking socket, with a queue in each direction.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/link.h"

void link_send(struct link *link, enum link_kind kind, uint16_t stream, const void *bytes, uint32_t count)
{
    struct link_header header = {.kind = (uint16_t)kind, .stream = stream, .length = count};

    queue_put(&link->out, &header, sizeof(header));
    queue_put(&link->out, bytes, count);
    link_flush(link);
}

void link_receive(struct link *link)
{
    char block[LINK_MAX];
    ssize_t got = recv(link->fd, block, sizeof(block), MSG_DONTWAIT);

    if (got > 0) {
        queue_put(&link->in, block, (size_t)got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        link->ended = true;
    }
}

void link_flush(struct link *link)
{
    while (queue_length(&link->out) > 0 && !link->ended) {
        ssize_t done = send(link->fd, queue_front(&link->out), queue_length(&link->out), MSG_DONTWAIT);

        if (done < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                queue_drop(&link->out, queue_length(&link->out)); /* QEMU is gone; reading finds the end */
            }
            return;
        }
        queue_drop(&link->out, (size_t)done);
    }
}

bool link_frame(struct link *link, struct link_header *header, const char **bytes, bool *broken)
{
    size_t length = queue_length(&link->in);

    if (length < sizeof(*header)) {
        return false;
    }
    memcpy(header, queue_front(&link->in), sizeof(*header));
    if (header->length > LINK_MAX) {
        *broken = true;
        return false;
    }
    if (length < sizeof(*header) + header->length) {
        return false;
    }
    *bytes = queue_front(&link->in) + sizeof(*header);
    return true;
}

void link_drop(struct link *link, const struct link_header *header)
{
    queue_drop(&link->in, sizeof(*header) + header->length);
}

void link_free(struct link *link)
{
    queue_free(&link->in);
    queue_free(&link->out);
    close(link->fd);
}
