/*
 * Standard input, output and error.
 *
 * The descriptors are shared with others (the user's shell, a pipeline), so they are never made non-blocking.
 * Input is read only when poll() says that there is some and the kernel has granted room. Output goes out in
 * pieces of PIPE_BUF bytes, each behind a poll(): a pipe that is writable takes that much without blocking
 * (pipe(7)); a regular file takes everything.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/streams.h"
#include "cli/terminal.h"

/* Above this much waiting output no more frames are taken from the kernel. */
enum { OUTPUT_MOST = 256 << 10 };

static void input_serve(struct streams *streams, struct link *link);
static void output_serve(struct output *output, uint16_t stream, struct link *link);

void streams_init(struct streams *streams)
{
    *streams =
        (struct streams){.input_open = true, .input_usable = true, .input_tty = isatty(STDIN_FILENO) == 1};
    for (int i = 0; i < 2; i++) {
        struct stat info;

        streams->outputs[i].fd = i + 1;
        streams->outputs[i].regular = fstat(i + 1, &info) == 0 && S_ISREG(info.st_mode);
    }
}

void streams_prepare(const struct streams *streams, struct pollfd *fds, const struct link *link,
                     bool accept_input)
{
    bool read_input = accept_input && streams->input_open && streams->input_usable && streams->window > 0 &&
                      queue_length(&link->out) < LINK_WINDOW;

    fds[0] = (struct pollfd){.fd = read_input ? STDIN_FILENO : -1, .events = POLLIN};
    for (int i = 0; i < 2; i++) {
        const struct output *output = &streams->outputs[i];

        fds[i + 1] = (struct pollfd){.fd = queue_length(&output->queue) ? output->fd : -1, .events = POLLOUT};
    }
}

void streams_serve(struct streams *streams, const struct pollfd *fds, struct link *link)
{
    if (fds[0].revents) {
        input_serve(streams, link);
    }
    for (uint16_t i = 0; i < 2; i++) {
        if (fds[i + 1].revents) {
            output_serve(&streams->outputs[i], (uint16_t)(i + 1), link);
        }
    }
}

static void input_serve(struct streams *streams, struct link *link)
{
    char block[LINK_WINDOW];
    size_t room = streams->window < sizeof(block) ? streams->window : sizeof(block);
    ssize_t got = read(STDIN_FILENO, block, room);

    if (got > 0) {
        if (streams->input_tty && terminal_escape(block, (size_t)got)) {
            streams->escaped = true;
        }
        streams->window -= (uint32_t)got;
        link_send(link, LINK_INPUT, 0, block, (uint32_t)got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        streams->input_open = false;
        link_send(link, LINK_INPUT_END, 0, NULL, 0);
    }
}

static void output_serve(struct output *output, uint16_t stream, struct link *link)
{
    size_t length = queue_length(&output->queue);

    if (!output->regular && length > PIPE_BUF) {
        length = PIPE_BUF;
    }
    ssize_t done = write(output->fd, queue_front(&output->queue), length);

    if (done >= 0) {
        queue_drop(&output->queue, (size_t)done);
        return;
    }
    if (errno == EAGAIN || errno == EINTR) {
        return;
    }
    if (errno != EPIPE) {
        output->failed = true;
        if (stream == STDOUT_FILENO) {
            say("boot: standard output: %s", strerror(errno));
        }
    }
    output->closed = true;
    queue_drop(&output->queue, queue_length(&output->queue));
    link_send(link, LINK_OUTPUT_CLOSED, stream, NULL, 0);
}

void streams_put(struct streams *streams, uint16_t stream, const char *bytes, size_t count)
{
    struct output *output = &streams->outputs[stream == STDERR_FILENO];

    if (!output->closed) {
        queue_put(&output->queue, bytes, count);
    }
}

bool streams_full(const struct streams *streams)
{
    return queue_length(&streams->outputs[0].queue) > OUTPUT_MOST ||
           queue_length(&streams->outputs[1].queue) > OUTPUT_MOST;
}

bool streams_empty(const struct streams *streams)
{
    return queue_length(&streams->outputs[0].queue) == 0 && queue_length(&streams->outputs[1].queue) == 0;
}

void streams_free(struct streams *streams)
{
    queue_free(&streams->outputs[0].queue);
    queue_free(&streams->outputs[1].queue);
}
