/*
 * eventfd(2): a counter that can be waited for.
 */
#include <asm/poll.h>
#include <linux/errno.h>

#include "kernel/fs/internal.h"
#include "quire/slab.h"

enum { EFD_SEMAPHORE = 1 }; /* eventfd(2); not in every version of the kernel headers */

struct eventfd {
    struct waitq queue;
    uint64_t count; /* at most UINT64_MAX - 1 */
    bool semaphore;
};

static long eventfd_read(struct file *file, struct uio *uio, uint64_t offset)
{
    struct eventfd *event = file->data;
    uint64_t value;

    if (uio->left < sizeof value)
        return -EINVAL;
    while (event->count == 0) {
        int error = (file->flags & O_NONBLOCK) != 0 ? -EAGAIN : waitq_sleep(&event->queue, UINT64_MAX, true);

        if (error != 0)
            return error;
    }
    value = event->semaphore ? 1 : event->count;
    event->count -= value;
    waitq_wake(&event->queue);
    return uio_put(uio, &value, sizeof value) == sizeof value ? (long)sizeof value : -EFAULT;
}

static long eventfd_write(struct file *file, struct uio *uio, uint64_t offset)
{
    struct eventfd *event = file->data;
    uint64_t value;

    if (uio->left < sizeof value)
        return -EINVAL;
    if (uio_get(uio, &value, sizeof value) != sizeof value)
        return -EFAULT;
    if (value == UINT64_MAX)
        return -EINVAL;
    while (value > UINT64_MAX - 1 - event->count) {
        int error = (file->flags & O_NONBLOCK) != 0 ? -EAGAIN : waitq_sleep(&event->queue, UINT64_MAX, true);

        if (error != 0)
            return error;
    }
    event->count += value;
    waitq_wake(&event->queue);
    return sizeof value;
}

static unsigned eventfd_poll(struct file *file, struct waitq_entry *entry)
{
    struct eventfd *event = file->data;

    if (entry != NULL)
        waitq_add(&event->queue, entry);
    return (event->count != 0 ? POLLIN : 0u) | (event->count < UINT64_MAX - 1 ? POLLOUT : 0u);
}

static int64_t eventfd_seek(struct file *file, int64_t offset, int whence)
{
    return -ESPIPE;
}

static void eventfd_release(struct file *file)
{
    slab_free(file->data);
}

static const struct file_ops eventfd_ops = {
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .seek = eventfd_seek,
    .release = eventfd_release,
};

int eventfd_create(uint64_t initial, unsigned flags, struct file **out)
{
    struct eventfd *event = fs_alloc(sizeof *event);

    if (event == NULL)
        return -ENOMEM;
    waitq_init(&event->queue);
    event->count = initial;
    event->semaphore = (flags & EFD_SEMAPHORE) != 0;
    *out = file_alloc(&eventfd_ops, NULL, O_RDWR | (flags & O_NONBLOCK));
    if (*out == NULL) {
        slab_free(event);
        return -ENOMEM;
    }
    (*out)->data = event;
    return 0;
}
