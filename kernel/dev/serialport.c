/*
 * Virtio serial: finding the port and opening it.
 *
 * VIRTIO 1.2, 5.3 "Console Device". With the multiport feature queues 2 and 3 carry control messages:
 *
 *     driver                       device
 *     DEVICE_READY      ->
 *                       <-         PORT_ADD for each port
 *     PORT_READY        ->
 *                       <-         PORT_NAME, PORT_OPEN
 *     PORT_OPEN         ->
 *
 * Port 0 has queues 0 and 1, port n has 2n + 2 and 2n + 3. Those of ports 0 and 1 are made before the device
 * starts, as the standard wants it; QEMU gives the first port that is no console number 1.
 */
#include "kernel/dev/serialport.h"

#include <asm-generic/errno.h>
#include <linux/virtio_console.h>

#include "kernel/klib.h"
#include "quire/slab.h"

enum { PORT_QUEUE = 16, CONTROL_BUFFERS = 8, CONTROL_BYTES = 64, PORTS_EARLY = 2, PORTS_MAX = 8 };
#define HANDSHAKE_NS ((uint64_t)500000000)
#define NO_PORT UINT32_MAX

struct control_buffer {
    struct virtq_request request;
    struct vring_desc piece __attribute__((aligned(16)));
    uint8_t bytes[CONTROL_BYTES];
};

/* There is one such device. */
static struct serialport *port_started;
static struct control_buffer control_out;
static struct control_buffer *control_in;
static const char *wanted_name;
static uint32_t ports[PORTS_MAX]; /* that the device has told of */
static unsigned port_count;
static uint32_t named_port = NO_PORT;

static void control_received(struct virtq *queue, struct virtq_request *request);

static unsigned receive_queue(uint32_t port)
{
    return port == 0 ? 0 : 2 * port + 2;
}

static void control_offer(struct virtq *queue, struct control_buffer *buffer)
{
    virtq_piece(&buffer->piece, host_paddr(buffer->bytes).v, CONTROL_BYTES, VRING_DESC_F_WRITE);
    buffer->request.pieces = &buffer->piece;
    buffer->request.count = 1;
    (void)virtq_submit(queue, &buffer->request); /* fails only with the device */
}

static int control_send(struct serialport *port, uint32_t id, uint16_t event, uint16_t value)
{
    struct virtio_console_control message = {.id = id, .event = event, .value = value};
    int error;

    memcpy(control_out.bytes, &message, sizeof(message));
    virtq_piece(&control_out.piece, host_paddr(control_out.bytes).v, sizeof(message), 0);
    control_out.request.pieces = &control_out.piece;
    control_out.request.count = 1;
    error = virtq_submit(port->control_send, &control_out.request);
    if (error != 0)
        return error;
    virtq_notify(port->control_send);
    return virtq_wait(port->control_send, &control_out.request, virtio_deadline(HANDSHAKE_NS));
}

static int control_start(struct serialport *port)
{
    port->control_receive = virtq_create(&port->device, 2, PORT_QUEUE);
    port->control_send = virtq_create(&port->device, 3, PORT_QUEUE);
    control_in = slab_alloc(CONTROL_BUFFERS * sizeof(*control_in));
    if (port->control_receive == NULL || port->control_send == NULL || control_in == NULL)
        return -ENOMEM;
    port->control_receive->completed = control_received;
    waitq_init(&control_out.request.waiters);
    for (unsigned i = 0; i < CONTROL_BUFFERS; i++) {
        waitq_init(&control_in[i].request.waiters);
        control_offer(port->control_receive, &control_in[i]);
    }
    return 0;
}

static void control_message(const struct virtio_console_control *message, const char *text, size_t length)
{
    switch (message->event) {
    case VIRTIO_CONSOLE_PORT_ADD:
        if (port_count < PORTS_MAX)
            ports[port_count++] = message->id;
        break;
    case VIRTIO_CONSOLE_PORT_NAME:
        if (length >= strlen(wanted_name) && memcmp(text, wanted_name, strlen(wanted_name)) == 0)
            named_port = message->id;
        break;
    case VIRTIO_CONSOLE_PORT_OPEN:
        if (message->id == port_started->number && port_started->opened != NULL)
            port_started->opened(message->value != 0);
        break;
    default:
        break;
    }
}

static void control_received(struct virtq *queue, struct virtq_request *request)
{
    struct control_buffer *buffer = container_of(request, struct control_buffer, request);
    struct virtio_console_control message;

    if (request->state == VIRTQ_FAILED)
        return;
    if (request->written >= sizeof(message) && request->written <= CONTROL_BYTES) {
        memcpy(&message, buffer->bytes, sizeof(message));
        control_message(&message, (const char *)buffer->bytes + sizeof(message),
                        request->written - sizeof(message));
    }
    control_offer(queue, buffer);
    virtq_notify(queue);
}

/* Until there is a port, or the named one. */
static int await_port(struct serialport *port, bool named, uint64_t deadline_ns)
{
    virtq_reap(port->control_receive);
    while (named ? named_port == NO_PORT : port_count == 0) {
        if (virtq_wait_on(port->control_receive, &control_in[0].request.waiters, deadline_ns, false) ==
                -ETIMEDOUT ||
            port->device.failed)
            return -ENODEV;
        virtq_reap(port->control_receive);
    }
    return 0;
}

/* Which port is ours? */
static int choose_port(struct serialport *port)
{
    int error;

    virtq_notify(port->control_receive);
    error = control_send(port, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    if (error == 0)
        error = await_port(port, false, virtio_deadline(HANDSHAKE_NS));
    for (unsigned i = 0; i < port_count && error == 0; i++)
        error = control_send(port, ports[i], VIRTIO_CONSOLE_PORT_READY, 1);
    if (error != 0)
        return error;
    /* A port that has a name tells it at once. */
    error = await_port(port, true, host_now_ns() + HANDSHAKE_NS / 50);
    port->number = error == 0 ? named_port : ports[0];
    return 0;
}

static int open_port(struct serialport *port)
{
    if (port->receive == NULL || receive_queue(port->number) != port->receive->index) {
        port->receive = virtq_create(&port->device, receive_queue(port->number), PORT_QUEUE);
        port->send = virtq_create(&port->device, receive_queue(port->number) + 1, PORT_QUEUE);
    }
    if (port->receive == NULL || port->send == NULL)
        return -ENOMEM;
    return 0;
}

int serialport_start(struct serialport *port, const struct pci_device *pci, const char *name)
{
    struct virtq *early[2 * PORTS_EARLY] = {NULL};
    bool many;
    int error;

    port_started = port;
    wanted_name = name;
    error = virtio_start(&port->device, pci, name, (uint64_t)1 << VIRTIO_CONSOLE_F_MULTIPORT);
    if (error != 0)
        return error;
    many = (port->device.features >> VIRTIO_CONSOLE_F_MULTIPORT & 1) != 0;
    for (uint32_t i = 0; i < (many ? PORTS_EARLY : 1u); i++) {
        early[2 * i] = virtq_create(&port->device, receive_queue(i), PORT_QUEUE);
        early[2 * i + 1] = virtq_create(&port->device, receive_queue(i) + 1, PORT_QUEUE);
    }
    if (many && (error = control_start(port)) != 0)
        return error;
    virtio_ready(&port->device);
    if (many && (error = choose_port(port)) != 0)
        return error;
    if (port->number < PORTS_EARLY) {
        port->receive = early[2 * port->number];
        port->send = early[2 * port->number + 1];
    }
    error = open_port(port);
    if (error == 0 && many) {
        error = control_send(port, port->number, VIRTIO_CONSOLE_PORT_OPEN, 1);
        virtq_listen(port->control_receive);
    }
    return error;
}
