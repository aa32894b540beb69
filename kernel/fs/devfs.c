/*
 * /dev: a tmpfs with the usual nodes, and the character devices behind them, by their numbers (Linux's
 * Documentation/admin-guide/devices.txt).
 */
#include <asm/poll.h>
#include <linux/errno.h>

#include "kernel/fs/internal.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"

enum device_major { MAJOR_MEMORY = 1, MAJOR_TTY = 5 };
enum memory_minor {
    MEMORY_NULL = 3,
    MEMORY_ZERO = 5,
    MEMORY_FULL = 7,
    MEMORY_RANDOM = 8,
    MEMORY_URANDOM = 9,
    MEMORY_KMSG = 11
};
enum tty_minor { TTY_CURRENT = 0, TTY_CONSOLE = 1 };

enum { RANDOM_PIECE_BYTES = 256, KMSG_LINE_BYTES = 256 };

/* ---------------------------------------------------------------- null, zero, full, random, kmsg */

static long null_read(struct file *file, struct uio *uio, uint64_t offset)
{
    return 0;
}

static long null_write(struct file *file, struct uio *uio, uint64_t offset)
{
    long bytes = (long)uio->left;

    uio_advance(uio, uio->left);
    return bytes;
}

static long zero_read(struct file *file, struct uio *uio, uint64_t offset)
{
    static const char zeroes[1024];
    long done = 0;

    while (uio->left != 0) {
        size_t wanted = uio->left < sizeof zeroes ? uio->left : sizeof zeroes;
        size_t put = uio_put(uio, zeroes, wanted);

        done += (long)put;
        if (put < wanted)
            return done != 0 ? done : -EFAULT;
        if (signal_pending())
            break;
    }
    return done;
}

static long full_write(struct file *file, struct uio *uio, uint64_t offset)
{
    return -ENOSPC;
}

static long random_read(struct file *file, struct uio *uio, uint64_t offset)
{
    uint8_t piece[RANDOM_PIECE_BYTES];
    long done = 0;

    while (uio->left != 0) {
        size_t wanted = uio->left < sizeof piece ? uio->left : sizeof piece;
        size_t put;

        random_bytes(piece, wanted);
        put = uio_put(uio, piece, wanted);
        done += (long)put;
        if (put < wanted)
            return done != 0 ? done : -EFAULT;
        if (signal_pending())
            break;
    }
    return done;
}

static long kmsg_write(struct file *file, struct uio *uio, uint64_t offset)
{
    long bytes = (long)uio->left;
    char line[KMSG_LINE_BYTES];
    size_t got = uio_get(uio, line, uio->left < sizeof line - 1 ? uio->left : sizeof line - 1);

    if (got == 0 && bytes != 0)
        return -EFAULT;
    while (got != 0 && line[got - 1] == '\n')
        got--;
    line[got] = '\0';
    host_log("%s: %s", task_current()->name, line);
    uio_advance(uio, uio->left);
    return bytes;
}

/* Seeking does nothing on these, and does not fail. */
static int64_t device_seek(struct file *file, int64_t offset, int whence)
{
    file->offset = 0;
    return 0;
}

static const struct file_ops null_ops = {.read = null_read, .write = null_write, .seek = device_seek};
static const struct file_ops zero_ops = {.read = zero_read, .write = null_write, .seek = device_seek};
static const struct file_ops full_ops = {.read = zero_read, .write = full_write, .seek = device_seek};
static const struct file_ops random_ops = {.read = random_read, .write = null_write, .seek = device_seek};
static const struct file_ops kmsg_ops = {.read = null_read, .write = kmsg_write, .seek = device_seek};

bool file_is_zero_device(const struct file *file)
{
    return file->ops == &zero_ops;
}

/* ---------------------------------------------------------------- opening */

static const struct file_ops *memory_device(unsigned minor)
{
    switch (minor) {
    case MEMORY_NULL:
        return &null_ops;
    case MEMORY_ZERO:
        return &zero_ops;
    case MEMORY_FULL:
        return &full_ops;
    case MEMORY_RANDOM:
    case MEMORY_URANDOM:
        return &random_ops;
    case MEMORY_KMSG:
        return &kmsg_ops;
    default:
        return NULL;
    }
}

int dev_open(uint64_t rdev, struct file *file)
{
    const struct file_ops *ops = NULL;

    if (rdev >> 8 == MAJOR_MEMORY) {
        ops = memory_device(rdev & 0xff);
    } else if (rdev == dev_make(MAJOR_TTY, TTY_CONSOLE)) {
        ops = &tty_file_ops;
        tty_opened(file->flags);
    } else if (rdev == dev_make(MAJOR_TTY, TTY_CURRENT)) {
        struct process *process = process_current();

        ops = process != NULL && process->tty != NULL ? &tty_file_ops : NULL;
    }
    if (ops == NULL)
        return -ENXIO;
    file->ops = ops;
    return 0;
}

/* ---------------------------------------------------------------- the folder */

static const struct {
    const char *name;
    uint16_t mode;
    uint8_t major, minor;
} nodes[] = {
    {"null", 0666, MAJOR_MEMORY, MEMORY_NULL},       {"zero", 0666, MAJOR_MEMORY, MEMORY_ZERO},
    {"full", 0666, MAJOR_MEMORY, MEMORY_FULL},       {"random", 0666, MAJOR_MEMORY, MEMORY_RANDOM},
    {"urandom", 0666, MAJOR_MEMORY, MEMORY_URANDOM}, {"kmsg", 0644, MAJOR_MEMORY, MEMORY_KMSG},
    {"tty", 0666, MAJOR_TTY, TTY_CURRENT},           {"console", 0600, MAJOR_TTY, TTY_CONSOLE},
};

static const struct {
    const char *name, *target;
} links[] = {
    {"fd", "/proc/self/fd"},
    {"stdin", "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},
};

int devfs_create(struct vnode **out)
{
    struct vnode *root, *node;
    int error = tmpfs_create(&root);

    if (error != 0)
        return error;
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0] && error == 0; i++) {
        error = root->ops->create(root, nodes[i].name, S_IFCHR | nodes[i].mode,
                                  dev_make(nodes[i].major, nodes[i].minor), &node);
        if (error == 0)
            vnode_unref(node);
    }
    for (size_t i = 0; i < sizeof links / sizeof links[0] && error == 0; i++)
        error = root->ops->symlink(root, links[i].name, links[i].target);
    if (error == 0)
        error = root->ops->mkdir(root, "shm", 01777, &node);
    if (error != 0) {
        vnode_unref(root);
        return error;
    }
    vnode_unref(node);
    tmpfs_limit(root);
    *out = root;
    return 0;
}
