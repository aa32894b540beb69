/*
 * The link to the host: sending.
 *
 * What goes out is copied into one of LINK_SLOTS frames, each holding one frame of the protocol: header, then
 * bytes. A slot is free, being filled (its owner may sleep in a page fault while copying), or with the
 * device. When none is free the sender sleeps until the device gives one back, which it does when the host
 * has taken the bytes: so the host's slowness reaches the program.
 *
 *     program --copy--> slot --queue--> device --> socket --> quire boot
 *
 * Grants and the exit status have small buffers of their own, so that neither waits for a slot.
 */
#include <asm-generic/errno.h>

#include "kernel/dev/hostlink_internal.h"
#include "kernel/klib.h"
#include "kernel/x86/serial.h"
#include "quire/slab.h"

enum { LINK_SLOTS = 4, SLOT_BYTES = 4096 - sizeof(struct link_header) };
enum { REPORT_BYTES_MAX = 16384 };
#define LAST_WORDS_NS ((uint64_t)600 * 1000000000) /* for a host that somebody has paused */
#define POLLED_WORDS_NS ((uint64_t)5 * 1000000000)

struct slot {
    struct virtq_request request;
    struct vring_desc piece __attribute__((aligned(16)));
    struct link_header *frame;
    bool filling;
};

/* A frame of four bytes. */
struct word_frame {
    struct virtq_request request;
    struct vring_desc piece __attribute__((aligned(16)));
    struct link_header header;
    uint32_t value;
};

struct serialport link_port;
static bool present;
static struct slot slots[LINK_SLOTS];
static struct waitq room = WAITQ_INIT(room); /* a slot has become free */
static bool poll_listens;                    /* somebody polls for that */
static struct word_frame grant, exit_frame;
static uint32_t grant_waiting; /* bytes granted, not yet told */
static bool closed[3];         /* by stream: nobody reads it */
static report_writer *report_by;

static void sent(struct virtq *queue, struct virtq_request *request);
static void grant_send(void);

bool hostlink_present(void)
{
    return present;
}

/* The host's side has gone: nobody is there to read or to write. */
static void port_opened(bool open)
{
    struct process *first = process_find(1);

    if (open)
        return;
    stdin_end();
    if (first != NULL)
        (void)signal_send_process(first, SIGHUP, NULL);
}

static void link_broken(struct virtio_device *device)
{
    (void)device;
    present = false;
    waitq_wake(&room);
    stdin_end();
}

static void word_frame_init(struct word_frame *word, enum link_kind kind)
{
    waitq_init(&word->request.waiters);
    word->header.kind = (uint16_t)kind;
    word->header.length = sizeof(word->value);
    word->request.pieces = &word->piece;
    word->request.count = 1;
    virtq_piece(&word->piece, host_paddr(&word->header).v, sizeof(word->header) + sizeof(word->value), 0);
}

static int slots_init(void)
{
    for (unsigned i = 0; i < LINK_SLOTS; i++) {
        struct frame *frame = frame_alloc(0, FRAME_KERNEL, FRAME_ANY);

        if (frame == NULL)
            return -ENOMEM;
        slots[i].frame = frame_data(frame);
        slots[i].request.pieces = &slots[i].piece;
        slots[i].request.count = 1;
        waitq_init(&slots[i].request.waiters);
    }
    return 0;
}

int hostlink_start(const struct pci_device *pci)
{
    int error;

    if (present)
        return -EEXIST;
    error = slots_init();
    if (error == 0)
        error = serialport_start(&link_port, pci, "quire.link");
    if (error != 0)
        return error;
    _Static_assert(offsetof(struct word_frame, value) ==
                       offsetof(struct word_frame, header) + sizeof(struct link_header),
                   "header and value are one piece");
    word_frame_init(&grant, LINK_GRANT);
    word_frame_init(&exit_frame, LINK_EXIT);
    link_port.send->completed = sent;
    link_port.device.broken = link_broken;
    link_port.opened = port_opened;
    present = true;
    error = link_receive_start();
    if (error == 0)
        grant_send(); /* of nothing: the host learns that somebody listens */
    return error;
}

/* ---------------------------------------------------------------- slots */

static struct slot *slot_find(void)
{
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (!slots[i].filling && slots[i].request.state != VIRTQ_SUBMITTED)
            return &slots[i];
    return NULL;
}

/* A slot to fill. -EAGAIN when there is none and `wait` is false. */
static int slot_take(bool wait, struct slot **out)
{
    virtq_reap(link_port.send);
    while (present) {
        int error;

        *out = slot_find();
        if (*out != NULL) {
            (*out)->filling = true;
            return 0;
        }
        if (!wait)
            return -EAGAIN;
        error = virtq_wait_on(link_port.send, &room, UINT64_MAX, true);
        if (error != 0)
            return error;
    }
    return -EIO;
}

static void slot_drop(struct slot *slot)
{
    slot->filling = false;
    waitq_wake_one(&room);
}

static int slot_send(struct slot *slot, enum link_kind kind, unsigned stream, size_t count)
{
    int error;

    slot->frame->kind = (uint16_t)kind;
    slot->frame->stream = (uint16_t)stream;
    slot->frame->length = (uint32_t)count;
    virtq_piece(&slot->piece, host_paddr(slot->frame).v, (uint32_t)(sizeof(*slot->frame) + count), 0);
    error = virtq_submit(link_port.send, &slot->request);
    if (error != 0) {
        slot_drop(slot);
        return error;
    }
    slot->filling = false;
    virtq_notify(link_port.send);
    return 0;
}

static void grant_send(void)
{
    if (!present || grant.request.state == VIRTQ_SUBMITTED)
        return;
    grant.value = grant_waiting;
    grant_waiting = 0;
    if (virtq_submit(link_port.send, &grant.request) != 0)
        grant_waiting = grant.value;
    else
        virtq_notify(link_port.send);
}

/* The device has done with one of our requests. */
static void sent(struct virtq *queue, struct virtq_request *request)
{
    if (request->state == VIRTQ_FAILED)
        return;
    if (poll_listens) {
        poll_listens = false;
        virtq_ignore(queue);
        waitq_wake(&room);
    } else if (request != &exit_frame.request) {
        waitq_wake_one(&room);
    }
    if (grant_waiting != 0)
        grant_send();
}

/* ---------------------------------------------------------------- what others call */

/* Without a host: what a program writes is shown with the kernel's log. */
static long output_to_log(struct uio *uio)
{
    char bytes[128];
    long done = 0;

    while (uio->left != 0) {
        size_t wanted = uio->left < sizeof(bytes) ? uio->left : sizeof(bytes);
        size_t got = uio_get(uio, bytes, wanted);

        serial_write(bytes, got);
        done += (long)got;
        if (got < wanted)
            return done != 0 ? done : -EFAULT;
    }
    return done;
}

static long output(unsigned stream, struct uio *uio)
{
    bool wait = virtio_may_sleep();
    long done = 0;

    while (uio->left != 0) {
        size_t wanted = uio->left < SLOT_BYTES ? uio->left : SLOT_BYTES;
        struct slot *slot;
        size_t got;
        int error = slot_take(wait, &slot);

        if (error != 0)
            return done != 0 || error == -EAGAIN ? done : error;
        if (closed[stream]) { /* while we waited */
            slot_drop(slot);
            return done != 0 ? done : -EPIPE;
        }
        got = uio_get(uio, slot->frame + 1, wanted);
        if (got == 0) {
            slot_drop(slot);
            return done != 0 ? done : -EFAULT;
        }
        error = slot_send(slot, LINK_OUTPUT, stream, got);
        if (error != 0)
            return done != 0 ? done : error;
        done += (long)got;
        if (got < wanted)
            break;
    }
    return done;
}

void link_output_closed(unsigned stream)
{
    if (stream < sizeof(closed) / sizeof(closed[0]))
        closed[stream] = true;
    waitq_wake(&room);
}

long hostlink_output(unsigned stream, struct uio *uio)
{
    if (closed[stream])
        return -EPIPE;
    if (!present && link_port.device.failed)
        return -EIO;
    return present ? output(stream, uio) : output_to_log(uio);
}

long hostlink_write(unsigned stream, const void *bytes, size_t count)
{
    struct iovec_piece piece;
    struct uio uio;

    uio_init_kernel(&uio, &piece, (void *)(uintptr_t)bytes, count);
    return hostlink_output(stream, &uio);
}

bool hostlink_writable(void)
{
    if (!present)
        return true;
    virtq_reap(link_port.send);
    if (slot_find() != NULL)
        return true;
    if (!poll_listens) { /* whoever polls wants to be woken */
        poll_listens = true;
        virtq_listen(link_port.send);
        virtq_reap(link_port.send);
    }
    return slot_find() != NULL;
}

struct waitq *hostlink_writable_queue(void)
{
    return &room;
}

void hostlink_grant(uint32_t bytes)
{
    grant_waiting += bytes;
    if (!present)
        return;
    virtq_reap(link_port.send); /* the grant before may be done, and nobody has looked */
    grant_send();
    if (grant_waiting != 0 && !poll_listens) { /* it is not: sent() goes on with this one */
        poll_listens = true;
        virtq_listen(link_port.send);
        virtq_reap(link_port.send);
    }
}

void hostlink_log(const char *line)
{
    size_t length = strnlen(line, SLOT_BYTES);
    struct slot *slot;

    if (!present || slot_take(false, &slot) != 0)
        return;
    memcpy(slot->frame + 1, line, length);
    (void)slot_send(slot, LINK_LOG, 0, length);
}

long link_send(enum link_kind kind, unsigned stream, const void *bytes, size_t count)
{
    struct link_header *frame;
    int error;

    if (!present)
        return -EIO;
    frame = slab_alloc(sizeof(*frame) + count);
    if (frame == NULL)
        return -ENOMEM;
    *frame = (struct link_header){(uint16_t)kind, (uint16_t)stream, (uint32_t)count};
    memcpy(frame + 1, bytes, count);
    error = hostlink_send_frame(frame);
    slab_free(frame);
    return error == 0 ? (long)count : error;
}

int hostlink_send_frame(const struct link_header *frame)
{
    struct vring_desc piece;
    struct virtq_request request = {.pieces = &piece, .count = 1};
    int error;

    if (!present)
        return -EIO;
    virtq_piece(&piece, host_paddr(frame).v, (uint32_t)(sizeof(*frame) + frame->length), 0);
    waitq_init(&request.waiters);
    error = virtq_submit(link_port.send, &request); /* the queue is longer than what all senders have */
    if (error == 0) {
        virtq_notify(link_port.send);
        error = virtq_wait(link_port.send, &request, virtio_deadline(LAST_WORDS_NS));
    }
    return error;
}

/* ---------------------------------------------------------------- report and exit */

void hostlink_report_by(report_writer *writer)
{
    report_by = writer;
}

int hostlink_report(void)
{
    size_t size = REPORT_BYTES_MAX, length;
    char *text = slab_alloc(size);
    long result;

    if (text == NULL) {
        size = PAGE_SIZE / 2;
        text = slab_alloc(size);
    }
    if (text == NULL)
        return -ENOMEM;
    length = report_by != NULL ? report_by(text, size) : 0;
    result = link_send(LINK_REPORT, 0, text, length < size ? length : size);
    slab_free(text);
    return result < 0 ? (int)result : 0;
}

void hostlink_exit(int status)
{
    uint64_t limit = virtio_may_sleep() ? LAST_WORDS_NS : POLLED_WORDS_NS;

    if (!present || exit_frame.request.state == VIRTQ_SUBMITTED)
        return;
    if (report_by != NULL && hostlink_report() != 0)
        host_log("link: the report could not be sent");
    exit_frame.value = (uint32_t)status;
    if (virtq_submit(link_port.send, &exit_frame.request) != 0)
        return;
    virtq_notify(link_port.send);
    (void)virtq_wait(link_port.send, &exit_frame.request, virtio_deadline(limit));
}
