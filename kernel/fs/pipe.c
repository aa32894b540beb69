/*
 * Pipes, also named ones.
 *
 * A ring of bytes over single frames, each allocated when it is first written to. When the ring runs empty
 * the next byte goes to its beginning again, so a pipe for small messages lives in one frame.
 *
 *     frames:  [ 0 ][ 1 ] ... [ count-1 ]      head: where the next byte is read, used: bytes from there on
 *
 * Copies fault and may sleep, so readers and writers hold `mutex`; nobody sleeps for data or room while
 * holding it. One queue serves all who wait, because what they wait for excludes one another. Writes of up to
 * PIPE_BUF bytes are not mixed with others': they wait until all of it fits.
 */
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <linux/errno.h>
#include <linux/limits.h>

#include "base/check.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "quire/slab.h"

enum {
    PIPE_PAGES = 16,      /* 64 KiB, pipe(7) */
    PIPE_PAGES_MAX = 256, /* 1 MiB: /proc/sys/fs/pipe-max-size */
};

struct pipe {
    struct mutex mutex;
    struct waitq queue;
    unsigned refs; /* open files, and openers of a named one */
    unsigned readers, writers;
    uint64_t reader_opens, writer_opens; /* ever: an opener waits for a change */
    struct vnode *fifo;                  /* whose pipe it is; no reference */
    unsigned page_count;
    size_t head, used;
    struct frame **frames;
    struct frame *inline_frames[PIPE_PAGES];
};

static size_t pipe_bytes(const struct pipe *pipe)
{
    return (size_t)pipe->page_count << PAGE_SHIFT;
}

static inline void pipe_lock(struct pipe *pipe)
{
    if (__builtin_expect(pipe->mutex.owner == NULL, 1))
        pipe->mutex.owner = task_current();
    else
        mutex_lock(&pipe->mutex);
}

static inline void pipe_unlock(struct pipe *pipe)
{
    if (__builtin_expect(list_empty(&pipe->mutex.queue.waiters), 1))
        pipe->mutex.owner = NULL;
    else
        mutex_unlock(&pipe->mutex);
}

static inline void pipe_wake(struct pipe *pipe)
{
    if (!list_empty(&pipe->queue.waiters))
        waitq_wake(&pipe->queue);
}

static struct pipe *pipe_alloc(void)
{
    struct pipe *pipe = fs_alloc(sizeof *pipe);

    if (pipe == NULL)
        return NULL;
    mutex_init(&pipe->mutex);
    waitq_init(&pipe->queue);
    pipe->page_count = PIPE_PAGES;
    pipe->frames = pipe->inline_frames;
    return pipe;
}

static void frames_put(struct frame **frames, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (frames[i] != NULL)
            frame_free(frames[i]);
        frames[i] = NULL;
    }
}

static void pipe_put(struct pipe *pipe)
{
    if (--pipe->refs != 0)
        return;
    if (pipe->fifo != NULL)
        pipe->fifo->fifo = NULL;
    frames_put(pipe->frames, pipe->page_count);
    if (pipe->frames != pipe->inline_frames)
        slab_free(pipe->frames);
    slab_free(pipe);
}

/* ---------------------------------------------------------------- the ring */

/* Moves up to `bytes` out; what was moved. The mutex is held. */
static size_t ring_take(struct pipe *pipe, struct uio *uio, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        size_t within = pipe->head & PAGE_MASK, chunk = PAGE_SIZE - within, moved;

        if (chunk > bytes - done)
            chunk = bytes - done;
        moved =
            uio_put(uio, (const char *)frame_data(pipe->frames[pipe->head >> PAGE_SHIFT]) + within, chunk);
        done += moved;
        pipe->used -= moved;
        pipe->head += moved;
        if (pipe->head == pipe_bytes(pipe))
            pipe->head = 0;
        if (moved < chunk)
            break;
    }
    if (pipe->used == 0)
        pipe->head = 0;
    return done;
}

/* Moves up to `bytes`, which fit, in; what was moved. *no_memory: a frame could not be had. */
static size_t ring_add(struct pipe *pipe, struct uio *uio, size_t bytes, bool *no_memory)
{
    size_t done = 0;

    while (done < bytes) {
        size_t tail = pipe->head + pipe->used, within, chunk, moved;
        struct frame **place;

        if (tail >= pipe_bytes(pipe))
            tail -= pipe_bytes(pipe);
        within = tail & PAGE_MASK;
        place = &pipe->frames[tail >> PAGE_SHIFT];
        if (*place == NULL)
            *place = fs_frame();
        if (*place == NULL) {
            *no_memory = true;
            break;
        }
        chunk = PAGE_SIZE - within;
        if (chunk > bytes - done)
            chunk = bytes - done;
        moved = uio_get(uio, (char *)frame_data(*place) + within, chunk);
        done += moved;
        pipe->used += moved;
        if (moved < chunk)
            break;
    }
    return done;
}

/* ---------------------------------------------------------------- reading and writing */

/* Sleeps without the mutex until something changes. 0 or -EINTR. */
static int pipe_wait(struct pipe *pipe)
{
    int error;

    pipe_unlock(pipe);
    error = waitq_sleep(&pipe->queue, UINT64_MAX, true);
    pipe_lock(pipe);
    return error;
}

static long pipe_read(struct file *file, struct uio *uio, uint64_t offset)
{
    struct pipe *pipe = file->data;
    size_t bytes = uio->left;
    long result = 0;

    if (bytes == 0)
        return 0;
    pipe_lock(pipe);
    while (pipe->used == 0) {
        if (pipe->writers == 0)
            goto out;
        result = (file->flags & O_NONBLOCK) != 0 ? -EAGAIN : pipe_wait(pipe);
        if (result != 0)
            goto out;
    }
    if (bytes > pipe->used)
        bytes = pipe->used;
    result = (long)ring_take(pipe, uio, bytes);
    if (result == 0)
        result = -EFAULT;
    else
        pipe_wake(pipe);
out:
    pipe_unlock(pipe);
    return result;
}

static long pipe_broken(void)
{
    signal_send_task(task_current(), SIGPIPE, NULL);
    return -EPIPE;
}

static long pipe_write(struct file *file, struct uio *uio, uint64_t offset)
{
    struct pipe *pipe = file->data;
    size_t wanted = uio->left, done = 0;
    long error = 0;

    if (wanted == 0)
        return 0;
    pipe_lock(pipe);
    while (done < wanted) {
        size_t room = pipe_bytes(pipe) - pipe->used, chunk = wanted - done, moved;
        bool no_memory = false;

        if (pipe->readers == 0) {
            error = pipe_broken();
            break;
        }
        if (room == 0 || (wanted <= PIPE_BUF && room < chunk)) {
            error = (file->flags & O_NONBLOCK) != 0 ? -EAGAIN : pipe_wait(pipe);
            if (error != 0)
                break;
            continue;
        }
        if (chunk > room)
            chunk = room;
        moved = ring_add(pipe, uio, chunk, &no_memory);
        done += moved;
        if (moved != 0)
            pipe_wake(pipe);
        if (moved < chunk) {
            error = no_memory ? -ENOMEM : -EFAULT;
            break;
        }
    }
    pipe_unlock(pipe);
    return done != 0 ? (long)done : error;
}

static unsigned pipe_poll_reader(struct file *file, struct waitq_entry *entry)
{
    struct pipe *pipe = file->data;
    unsigned events = pipe->used != 0 ? POLLIN | POLLRDNORM : 0;

    if (entry != NULL)
        waitq_add(&pipe->queue, entry);
    if (pipe->writers == 0 && (pipe->fifo == NULL || pipe->writer_opens != 0))
        events |= POLLHUP;
    return events;
}

static unsigned pipe_poll_writer(struct file *file, struct waitq_entry *entry)
{
    struct pipe *pipe = file->data;
    unsigned events = pipe_bytes(pipe) - pipe->used >= PIPE_BUF ? POLLOUT | POLLWRNORM : 0;

    if (entry != NULL)
        waitq_add(&pipe->queue, entry);
    return pipe->readers == 0 ? events | POLLERR : events;
}

static unsigned pipe_poll_both(struct file *file, struct waitq_entry *entry)
{
    return pipe_poll_reader(file, entry) | pipe_poll_writer(file, NULL);
}

static long pipe_ioctl(struct file *file, unsigned request, uint64_t argument)
{
    struct pipe *pipe = file->data;
    int used = (int)pipe->used;

    return request == FIONREAD ? user_write(argument, &used, sizeof used) : -ENOTTY;
}

static void pipe_release(struct file *file)
{
    struct pipe *pipe = file->data;
    unsigned access = file->flags & O_ACCMODE;

    if (access != O_WRONLY)
        pipe->readers--;
    if (access != O_RDONLY)
        pipe->writers--;
    pipe_wake(pipe);
    pipe_put(pipe);
}

static int64_t pipe_seek(struct file *file, int64_t offset, int whence)
{
    return -ESPIPE;
}

const struct file_ops pipe_reader_ops = {
    .read = pipe_read,
    .poll = pipe_poll_reader,
    .ioctl = pipe_ioctl,
    .seek = pipe_seek,
    .release = pipe_release,
};

const struct file_ops pipe_writer_ops = {
    .write = pipe_write,
    .poll = pipe_poll_writer,
    .ioctl = pipe_ioctl,
    .seek = pipe_seek,
    .release = pipe_release,
};

/* A FIFO that was opened for both. */
static const struct file_ops pipe_both_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll_both,
    .ioctl = pipe_ioctl,
    .seek = pipe_seek,
    .release = pipe_release,
};

bool file_is_pipe(const struct file *file)
{
    return file->ops == &pipe_reader_ops || file->ops == &pipe_writer_ops || file->ops == &pipe_both_ops;
}

/* ---------------------------------------------------------------- making and opening */

int pipe_create(struct file **reader, struct file **writer, unsigned flags)
{
    struct pipe *pipe = pipe_alloc();

    flags &= O_NONBLOCK;
    if (pipe == NULL)
        return -ENOMEM;
    *reader = file_alloc(&pipe_reader_ops, NULL, O_RDONLY | flags);
    *writer = *reader == NULL ? NULL : file_alloc(&pipe_writer_ops, NULL, O_WRONLY | flags);
    if (*writer == NULL) {
        slab_free(*reader);
        slab_free(pipe);
        return -ENOMEM;
    }
    (*reader)->data = (*writer)->data = pipe;
    pipe->readers = pipe->writers = 1;
    pipe->refs = 2;
    return 0;
}

/* Waits until the other end has been opened. The file counts already. 0 or -EINTR. */
static int fifo_wait(struct pipe *pipe, const unsigned *others, const uint64_t *other_opens)
{
    uint64_t opens = *other_opens;

    while (*others == 0 && *other_opens == opens) {
        int error = waitq_sleep(&pipe->queue, UINT64_MAX, true);

        if (error != 0)
            return error;
    }
    return 0;
}

static int fifo_pipe(struct vnode *node)
{
    struct pipe *pipe;

    if (node->fifo != NULL)
        return 0;
    pipe = pipe_alloc();
    if (pipe == NULL)
        return -ENOMEM;
    if (node->fifo != NULL) { /* meanwhile */
        slab_free(pipe);
        return 0;
    }
    pipe->fifo = node;
    node->fifo = pipe;
    return 0;
}

int fifo_open(struct vnode *node, struct file *file)
{
    unsigned access = file->flags & O_ACCMODE;
    int error = fifo_pipe(node);
    struct pipe *pipe = node->fifo;

    if (error != 0)
        return error;
    if (access == O_WRONLY && (file->flags & O_NONBLOCK) != 0 && pipe->readers == 0) {
        pipe->refs++;
        pipe_put(pipe);
        return -ENXIO;
    }
    pipe->refs++;
    file->data = pipe;
    if (access != O_WRONLY) {
        pipe->readers++;
        pipe->reader_opens++;
    }
    if (access != O_RDONLY) {
        pipe->writers++;
        pipe->writer_opens++;
    }
    pipe_wake(pipe);
    if (access == O_RDONLY && (file->flags & O_NONBLOCK) == 0)
        error = fifo_wait(pipe, &pipe->writers, &pipe->writer_opens);
    else if (access == O_WRONLY)
        error = fifo_wait(pipe, &pipe->readers, &pipe->reader_opens);
    if (error != 0) {
        pipe_release(file);
        return error;
    }
    file->ops = access == O_RDONLY   ? &pipe_reader_ops
                : access == O_WRONLY ? &pipe_writer_ops
                                     : &pipe_both_ops;
    return 0;
}

/* ---------------------------------------------------------------- capacity */

long pipe_capacity(struct file *file)
{
    return (long)pipe_bytes(file->data);
}

/* The contents, which fit, into new frames, from the beginning. The mutex is held. */
static long pipe_move(struct pipe *pipe, struct frame **frames, unsigned count)
{
    struct pipe fresh = {.page_count = count, .frames = frames};
    size_t used = pipe->used, done = 0;
    bool no_memory = false;

    while (done < used) {
        size_t at = pipe->head + done, chunk;
        struct iovec_piece piece;
        struct uio uio;

        if (at >= pipe_bytes(pipe))
            at -= pipe_bytes(pipe);
        chunk = PAGE_SIZE - (at & PAGE_MASK);
        if (chunk > used - done)
            chunk = used - done;
        uio_init_kernel(&uio, &piece, (char *)frame_data(pipe->frames[at >> PAGE_SHIFT]) + (at & PAGE_MASK),
                        chunk);
        done += ring_add(&fresh, &uio, chunk, &no_memory);
        if (no_memory) {
            frames_put(frames, count);
            return -ENOMEM;
        }
    }
    frames_put(pipe->frames, pipe->page_count);
    if (pipe->frames != pipe->inline_frames)
        slab_free(pipe->frames);
    pipe->frames = frames;
    pipe->page_count = count;
    pipe->head = 0;
    return (long)pipe_bytes(pipe);
}

long pipe_set_capacity(struct file *file, uint64_t bytes)
{
    struct pipe *pipe = file->data;
    uint64_t count = 1;
    struct frame **frames;
    long result;

    if (bytes > (uint64_t)PIPE_PAGES_MAX << PAGE_SHIFT)
        return bytes > INT32_MAX ? -EINVAL : -EPERM;
    while (count << PAGE_SHIFT < bytes)
        count *= 2;
    frames = fs_alloc(count * sizeof(struct frame *));
    if (frames == NULL)
        return -ENOMEM;
    pipe_lock(pipe);
    result = pipe->used > count << PAGE_SHIFT ? -EBUSY : pipe_move(pipe, frames, (unsigned)count);
    pipe_wake(pipe);
    pipe_unlock(pipe);
    if (result < 0)
        slab_free(frames);
    return result;
}
