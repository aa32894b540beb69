/*
 * ioctl, and calls that are not offered but have an answer of their own.
 */
#include <asm/ioctls.h>

#include "kernel/linux/file_args.h"

static long set_flag(struct file *file, unsigned flag, uint64_t argument)
{
    int on;

    if (user_read(&on, argument, sizeof on) != 0)
        return -EFAULT;
    file->flags = on != 0 ? file->flags | flag : file->flags & ~flag;
    return 0;
}

/* How many bytes lie before the end of a regular file. */
static long bytes_left(struct file *file, uint64_t argument)
{
    struct vattr attr;
    int left, error = file_getattr(file, &attr);

    if (error != 0)
        return error;
    left = attr.size > file->offset ? (int)(attr.size - file->offset) : 0;
    return user_write(argument, &left, sizeof left);
}

static long ioctl_on(struct file *file, int fd, unsigned request, uint64_t argument)
{
    switch (request) {
    case FIOCLEX:
    case FIONCLEX:
        files_set_flag(process_current()->files, fd, request == FIOCLEX);
        return 0;
    case FIONBIO:
        return set_flag(file, O_NONBLOCK, argument);
    case FIOASYNC:
        return set_flag(file, FASYNC, argument);
    default:
        break;
    }
    if (file->ops->ioctl != NULL)
        return file->ops->ioctl(file, request, argument);
    if (request == FIONREAD && file->vnode != NULL && file->vnode->type == S_IFREG)
        return bytes_left(file, argument);
    return -ENOTTY;
}

long sys_ioctl(int fd, unsigned request, uint64_t argument)
{
    struct file *file = file_get(fd);
    long result;

    if (file == NULL)
        return -EBADF;
    result = (file->flags & O_PATH) != 0 ? -EBADF : ioctl_on(file, fd, request, argument);
    file_unref(file);
    return result;
}
