/*
 * Requests to a running machine. A client sends one line and reads text until the end of the file. The number
 * of its place is the frame's stream number, so several may ask at a time; the answer to a client that has
 * gone is dropped, and its place is free again only when the answer has ended.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/control.h"

enum { CONTROL_MOST = 64 << 20 }; /* a client that does not read loses its answer beyond this */

static void client_accept(struct control *control);
static void client_read(struct control_client *client, uint16_t number, struct link *link);
static void client_write(struct control_client *client);
static void client_hang_up(struct control_client *client);

void control_init(struct control *control, int listen)
{
    *control = (struct control){.listen = listen};
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        control->clients[i].fd = -1;
    }
}

void control_prepare(const struct control *control, struct pollfd *fds)
{
    fds[0] = (struct pollfd){.fd = control->listen, .events = POLLIN};
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        const struct control_client *client = &control->clients[i];
        short events = client->asked ? 0 : POLLIN;

        if (queue_length(&client->out) > 0) {
            events |= POLLOUT;
        }
        fds[i + 1] = (struct pollfd){.fd = client->fd, .events = events};
    }
}

void control_serve(struct control *control, const struct pollfd *fds, struct link *link)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *client = &control->clients[i];

        if (client->fd < 0 || !fds[i + 1].revents) {
            continue;
        }
        if (fds[i + 1].revents & POLLOUT) {
            client_write(client);
        } else if (fds[i + 1].revents & POLLIN) {
            client_read(client, (uint16_t)i, link);
        } else {
            client_hang_up(client);
        }
    }
    if (fds[0].revents & POLLIN) {
        client_accept(control);
    }
}

static void client_accept(struct control *control)
{
    int fd = accept4(control->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        return;
    }
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *client = &control->clients[i];

        if (client->fd < 0 && (!client->asked || client->answered)) {
            *client = (struct control_client){.fd = fd};
            return;
        }
    }
    close(fd); /* too many at once */
}

static void client_read(struct control_client *client, uint16_t number, struct link *link)
{
    size_t room = sizeof(client->request) - client->request_length;
    ssize_t got = recv(client->fd, client->request + client->request_length, room, 0);

    if (got <= 0) {
        client_hang_up(client);
        return;
    }
    client->request_length += (size_t)got;
    char *end = memchr(client->request, '\n', client->request_length);

    if (!end) {
        if (client->request_length == sizeof(client->request)) {
            client_hang_up(client);
        }
        return;
    }
    static const char verb[] = "dump ";
    size_t length = (size_t)(end - client->request);

    if (length < sizeof(verb) - 1 || memcmp(client->request, verb, sizeof(verb) - 1) != 0) {
        client_hang_up(client);
        return;
    }
    client->asked = true;
    link_send(link, LINK_DUMP_REQUEST, number, client->request + sizeof(verb) - 1,
              (uint32_t)(length - (sizeof(verb) - 1)));
}

static void client_write(struct control_client *client)
{
    ssize_t done = send(client->fd, queue_front(&client->out), queue_length(&client->out), MSG_DONTWAIT);

    if (done < 0 && errno != EAGAIN && errno != EINTR) {
        client_hang_up(client);
        return;
    }
    queue_drop(&client->out, done > 0 ? (size_t)done : 0);
    if (client->answered && queue_length(&client->out) == 0) {
        client_hang_up(client);
    }
}

static void client_hang_up(struct control_client *client)
{
    close(client->fd);
    client->fd = -1;
    queue_free(&client->out);
}

void control_answer(struct control *control, uint16_t stream, const char *bytes, size_t count)
{
    if (stream >= CONTROL_CLIENTS) {
        return;
    }
    struct control_client *client = &control->clients[stream];

    client->answered = count == 0;
    if (client->fd < 0) {
        return;
    }
    queue_put(&client->out, bytes, count);
    if (queue_length(&client->out) > CONTROL_MOST || (client->answered && queue_length(&client->out) == 0)) {
        client_hang_up(client);
    }
}

void control_close(struct control *control)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        if (control->clients[i].fd >= 0) {
            client_hang_up(&control->clients[i]);
        }
    }
}
