/*
 * Standard streams that are no terminals: pipes and files of the host, through the link.
 *
 * Input lies in a ring until it is read. The host may send what it was granted, which is what the ring has
 * room for: granted + count <= RING_BYTES always, so nothing is ever lost. Consumed room is granted again a
 * quarter of the ring at a time, or when the ring is empty. The ring is there, and the first grant made, when
 * somebody reads or polls: input that no program wants stays with whoever reads it next on the host.
 */
#include <asm-generic/errno.h>
#include <linux/poll.h>

#include "kernel/dev/hostlink.h"
#include "kernel/klib.h"
#include "quire/link.h"
#include "quire/slab.h"

enum { RING_BYTES = 16384 };
_Static_assert((int)RING_BYTES <= (int)LINK_WINDOW, "the first grant");

static struct {
    uint8_t *bytes;
    size_t first, count;
    size_t consumed; /* and not yet granted again */
    bool ended;
    struct waitq queue;
    struct mutex reader; /* one copies at a time: copying may sleep */
} ring = {.queue = WAITQ_INIT(ring.queue), .reader = {.queue = WAITQ_INIT(ring.reader.queue)}};

static void ring_start(void)
{
    if (ring.bytes != NULL || ring.ended)
        return;
    ring.bytes = slab_alloc(RING_BYTES);
    if (ring.bytes == NULL) {
        host_log("link: no memory for standard input");
        ring.ended = true;
        return;
    }
    hostlink_grant(RING_BYTES);
}

void host_stream_input(const void *bytes, size_t count)
{
    size_t end, chunk;

    if (ring.bytes == NULL || ring.ended)
        return;
    if (count > RING_BYTES - ring.count)
        count = RING_BYTES - ring.count; /* more than was granted */
    end = (ring.first + ring.count) % RING_BYTES;
    chunk = count < RING_BYTES - end ? count : RING_BYTES - end;
    memcpy(ring.bytes + end, bytes, chunk);
    memcpy(ring.bytes, (const uint8_t *)bytes + chunk, count - chunk);
    ring.count += count;
    waitq_wake(&ring.queue);
}

void host_stream_end(void)
{
    ring.ended = true;
    waitq_wake(&ring.queue);
}

static void grant_again(void)
{
    if (ring.consumed == 0 || (ring.count != 0 && ring.consumed < RING_BYTES / 4))
        return;
    hostlink_grant((uint32_t)ring.consumed);
    ring.consumed = 0;
}

/* Copies what is there. */
static long ring_take(struct uio *uio)
{
    long done = 0;

    mutex_lock(&ring.reader);
    while (uio->left != 0 && ring.count != 0) {
        size_t chunk = ring.count < RING_BYTES - ring.first ? ring.count : RING_BYTES - ring.first;
        size_t got = uio_put(uio, ring.bytes + ring.first, chunk);

        ring.first = (ring.first + got) % RING_BYTES;
        ring.count -= got;
        ring.consumed += got;
        done += (long)got;
        if (got < chunk && uio->left != 0) {
            done = done != 0 ? done : -EFAULT;
            break;
        }
    }
    mutex_unlock(&ring.reader);
    grant_again();
    return done;
}

long hostlink_input(struct uio *uio, bool wait)
{
    long done;

    if (uio->left == 0)
        return 0;
    ring_start();
    for (;;) {
        int error;

        done = ring_take(uio);
        if (done != 0)
            return done;
        if (ring.ended || ring.bytes == NULL || !hostlink_present())
            return 0;
        if (!wait)
            return -EAGAIN;
        error = waitq_sleep(&ring.queue, UINT64_MAX, true);
        if (error != 0)
            return error;
    }
}

/* ---------------------------------------------------------------- as open files */

static unsigned stream_of(const struct file *file)
{
    return (unsigned)(uintptr_t)file->data;
}

static long stream_read(struct file *file, struct uio *uio, uint64_t offset)
{
    (void)offset;
    if (stream_of(file) != 0)
        return -EBADF;
    return hostlink_input(uio, (file->flags & O_NONBLOCK) == 0);
}

static long stream_write(struct file *file, struct uio *uio, uint64_t offset)
{
    long done;

    (void)offset;
    if (stream_of(file) == 0)
        return -EBADF;
    if ((file->flags & O_NONBLOCK) != 0 && !hostlink_writable())
        return -EAGAIN;
    done = hostlink_output(stream_of(file), uio);
    if (done == -EPIPE)
        (void)signal_send_task(task_current(), SIGPIPE, NULL);
    return done;
}

static unsigned stream_poll(struct file *file, struct waitq_entry *entry)
{
    if (stream_of(file) == 0) {
        ring_start();
        if (entry != NULL)
            waitq_add(&ring.queue, entry);
        if (ring.count != 0)
            return POLLIN | POLLRDNORM;
        return ring.ended || ring.bytes == NULL ? POLLHUP : 0;
    }
    if (entry != NULL)
        waitq_add(hostlink_writable_queue(), entry);
    return hostlink_writable() ? POLLOUT | POLLWRNORM : 0;
}

const struct file_ops host_stream_file_ops = {
    .read = stream_read,
    .write = stream_write,
    .poll = stream_poll,
};
