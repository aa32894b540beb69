/*
 * Files that stand for a process (pidfd_open(2)): readable once it has ended.
 *
 * A number may be given to another process later, so the file knows when its own began too.
 */
#include <asm/poll.h>
#include <linux/errno.h>

#include "kernel/fs/internal.h"
#include "kernel/task/task_internal.h"
#include "quire/slab.h"

struct pidfd {
    int pid;
    uint64_t start_ns;
};

struct waitq process_ends = WAITQ_INIT(process_ends);

/* NULL: it is gone. */
static struct process *process_of(const struct pidfd *pidfd)
{
    struct process *process = process_find(pidfd->pid);

    return process != NULL && process->start_ns == pidfd->start_ns ? process : NULL;
}

static unsigned pidfd_poll(struct file *file, struct waitq_entry *entry)
{
    const struct process *process = process_of(file->data);

    if (entry != NULL)
        waitq_add(&process_ends, entry);
    return process == NULL ? POLLIN | POLLHUP : process->zombie ? POLLIN : 0;
}

static int64_t pidfd_seek(struct file *file, int64_t offset, int whence)
{
    return -ESPIPE;
}

static void pidfd_release(struct file *file)
{
    slab_free(file->data);
}

static const struct file_ops pidfd_ops = {.poll = pidfd_poll, .seek = pidfd_seek, .release = pidfd_release};

int pidfd_create(const struct process *process, unsigned flags, struct file **out)
{
    struct pidfd *pidfd = fs_alloc(sizeof *pidfd);

    if (pidfd == NULL)
        return -ENOMEM;
    *pidfd = (struct pidfd){process->pid, process->start_ns};
    *out = file_alloc(&pidfd_ops, NULL, O_RDWR | (flags & O_NONBLOCK));
    if (*out == NULL) {
        slab_free(pidfd);
        return -ENOMEM;
    }
    (*out)->data = pidfd;
    return 0;
}

int pidfd_process(const struct file *file, struct process **out)
{
    if (file->ops != &pidfd_ops)
        return -EBADF;
    *out = process_of(file->data);
    return *out == NULL || (*out)->zombie ? -ESRCH : 0;
}
