/*
 * The link to the host: receiving.
 *
 * The device fills RECEIVE_BUFFERS pages with the byte stream that the host sends. Bytes are taken out inside
 * of the interrupt: frame headers may be cut anywhere; the bodies of input go on in the pieces in which they
 * come, the others are short and are gathered first.
 */
#include <asm-generic/errno.h>

#include "kernel/dev/hostlink_internal.h"
#include "kernel/klib.h"

enum { RECEIVE_BUFFERS = 2, BODY_BYTES = 64 };

struct buffer {
    struct virtq_request request;
    struct vring_desc piece __attribute__((aligned(16)));
    uint8_t *bytes; /* one page */
};

/* The frame that is coming in. */
struct incoming {
    struct link_header header;
    uint32_t header_got; /* bytes of it */
    uint32_t body_got;
    char body[BODY_BYTES + 1]; /* what of it is kept; NUL-terminated */
};

static struct buffer buffers[RECEIVE_BUFFERS];
static struct incoming incoming;

static void received(struct virtq *queue, struct virtq_request *request);

static void offer(struct virtq *queue, struct buffer *buffer)
{
    virtq_piece(&buffer->piece, host_paddr(buffer->bytes).v, (uint32_t)PAGE_SIZE, VRING_DESC_F_WRITE);
    (void)virtq_submit(queue, &buffer->request); /* fails only with the device */
}

int link_receive_start(void)
{
    struct virtq *queue = link_port.receive;

    queue->completed = received;
    for (unsigned i = 0; i < RECEIVE_BUFFERS; i++) {
        struct frame *frame = frame_alloc(0, FRAME_KERNEL, FRAME_ANY);

        if (frame == NULL)
            return -ENOMEM;
        buffers[i].bytes = frame_data(frame);
        buffers[i].request.pieces = &buffers[i].piece;
        buffers[i].request.count = 1;
        waitq_init(&buffers[i].request.waiters);
        offer(queue, &buffers[i]);
    }
    virtq_listen(queue);
    virtq_notify(queue);
    return 0;
}

/* The first 32-bit number of the body; 0 when it is shorter. */
static uint32_t body_number(void)
{
    uint32_t number = 0;

    if (incoming.body_got >= sizeof(number))
        memcpy(&number, incoming.body, sizeof(number));
    return number;
}

static void signal_first(uint32_t signo)
{
    struct process *first = process_find(1);

    if (first != NULL && signo > 0 && signo < SIGNAL_COUNT)
        (void)signal_send_process(first, (int)signo, NULL);
}

/* A whole frame is here. */
static void frame_done(void)
{
    uint16_t cells[2];

    switch (incoming.header.kind) {
    case LINK_INPUT_END:
        stdin_end();
        break;
    case LINK_WINSIZE:
        if (incoming.body_got >= sizeof(cells)) {
            memcpy(cells, incoming.body, sizeof(cells));
            tty_resize(cells[0], cells[1]);
        }
        break;
    case LINK_SIGNAL:
        signal_first(body_number());
        break;
    case LINK_DUMP_REQUEST:
        link_ask_dump(incoming.header.stream, incoming.body);
        break;
    case LINK_REPORT_REQUEST:
        link_ask_report();
        break;
    case LINK_OUTPUT_CLOSED:
        link_output_closed(incoming.header.stream);
        break;
    default: /* input, which has gone its way; or of a newer host */
        break;
    }
}

/* Takes what it can of the header; the number of bytes. */
static size_t take_header(const uint8_t *bytes, size_t count)
{
    size_t wanted = sizeof(incoming.header) - incoming.header_got;
    size_t taken = count < wanted ? count : wanted;

    memcpy((uint8_t *)&incoming.header + incoming.header_got, bytes, taken);
    incoming.header_got += (uint32_t)taken;
    return taken;
}

static size_t take_body(const uint8_t *bytes, size_t count)
{
    size_t wanted = incoming.header.length - incoming.body_got;
    size_t taken = count < wanted ? count : wanted;

    if (incoming.header.kind == LINK_INPUT) {
        if (taken != 0)
            stdin_input(bytes, taken);
    } else if (incoming.body_got < BODY_BYTES) {
        size_t kept = taken < BODY_BYTES - incoming.body_got ? taken : BODY_BYTES - incoming.body_got;

        memcpy(incoming.body + incoming.body_got, bytes, kept);
    }
    incoming.body_got += (uint32_t)taken;
    return taken;
}

static void take(const uint8_t *bytes, size_t count)
{
    for (size_t at = 0; at < count;) {
        if (incoming.header_got < sizeof(incoming.header))
            at += take_header(bytes + at, count - at);
        if (incoming.header_got < sizeof(incoming.header))
            return;
        at += take_body(bytes + at, count - at);
        if (incoming.body_got == incoming.header.length) {
            frame_done();
            memset(&incoming, 0, sizeof(incoming));
        }
    }
}

static void received(struct virtq *queue, struct virtq_request *request)
{
    struct buffer *buffer = container_of(request, struct buffer, request);

    if (request->state == VIRTQ_FAILED)
        return;
    take(buffer->bytes, request->written < PAGE_SIZE ? request->written : PAGE_SIZE);
    offer(queue, buffer);
    virtq_notify(queue);
}
