/*
 * epoll(7): a set of files that are polled together.
 *
 * A wait goes over the set as poll(2) does: this serves programs that ask for the interface, not thousands of
 * connections. Edge-triggered entries are reported when they have events that the last look had not, or when
 * something has happened on their file since (their wait-queue entry stays on its queue between waits).
 *
 * A set can be asked by poll(2) whether it has events, but that is no reason to wake up: sets are waited for
 * with epoll_wait().
 *
 * Each entry is on two lists: its set's, and its file's (file->epolls), so that either may go first. Entries
 * hold no reference to the file: closing the last descriptor takes it out of the set, as Linux does.
 */
#include <asm/poll.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>

#include "kernel/fs/internal.h"
#include "kernel/fs/poll.h"
#include "kernel/klib.h"
#include "quire/slab.h"

struct epoll {
    struct list entries;
    struct waitq queue; /* who polls the set itself, or waits: woken when the set changes */
};

struct epoll_entry {
    struct list in_set;
    struct list in_file;
    struct epoll *epoll;
    struct file *file;
    int fd;
    uint32_t events; /* asked for, with EPOLLET and EPOLLONESHOT */
    uint32_t seen;   /* edge-triggered: reported already and still there */
    uint64_t data;
};

static void entry_free(struct epoll_entry *entry)
{
    list_remove(&entry->in_set);
    list_remove(&entry->in_file);
    if (list_empty(entry->file->epolls)) {
        slab_free(entry->file->epolls);
        entry->file->epolls = NULL;
    }
    slab_free(entry);
}

void epoll_file_gone(struct file *file)
{
    while (file->epolls != NULL)
        entry_free(container_of(file->epolls->next, struct epoll_entry, in_file));
}

static void epoll_release(struct file *file)
{
    struct epoll *epoll = file->data;

    list_for_each_safe(node, spare, &epoll->entries)
        entry_free(container_of(node, struct epoll_entry, in_set));
    slab_free(epoll);
}

/* What the entry has to report now. */
static uint32_t entry_events(struct epoll_entry *entry, struct waitq_entry *wait)
{
    uint32_t wanted = entry->events | EPOLLERR | EPOLLHUP, now;

    if ((entry->events & ~(uint32_t)(EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP)) == 0)
        return 0; /* a one-shot that has been taken */
    now = file_poll(entry->file, wait) & wanted;
    if ((entry->events & EPOLLET) == 0)
        return now;
    entry->seen &= now;
    return now & ~entry->seen;
}

static unsigned epoll_poll(struct file *file, struct waitq_entry *wait)
{
    struct epoll *epoll = file->data;

    if (wait != NULL)
        waitq_add(&epoll->queue, wait);
    list_for_each(node, &epoll->entries)
    {
        if (entry_events(container_of(node, struct epoll_entry, in_set), NULL) != 0)
            return POLLIN | POLLRDNORM;
    }
    return 0;
}

static int64_t epoll_seek(struct file *file, int64_t offset, int whence)
{
    return -ESPIPE;
}

const struct file_ops epoll_file_ops = {
    .poll = epoll_poll,
    .seek = epoll_seek,
    .release = epoll_release,
};

int epoll_create(struct file **out)
{
    struct epoll *epoll = fs_alloc(sizeof *epoll);

    if (epoll == NULL)
        return -ENOMEM;
    list_init(&epoll->entries);
    waitq_init(&epoll->queue);
    *out = file_alloc(&epoll_file_ops, NULL, O_RDWR);
    if (*out == NULL) {
        slab_free(epoll);
        return -ENOMEM;
    }
    (*out)->data = epoll;
    return 0;
}

static struct epoll_entry *entry_find(struct epoll *epoll, int fd, const struct file *file)
{
    list_for_each(node, &epoll->entries)
    {
        struct epoll_entry *entry = container_of(node, struct epoll_entry, in_set);

        if (entry->fd == fd && entry->file == file)
            return entry;
    }
    return NULL;
}

static int entry_add(struct epoll *epoll, int fd, struct file *file, uint32_t events, uint64_t data)
{
    struct epoll_entry *entry = fs_alloc(sizeof *entry);

    if (entry == NULL)
        return -ENOMEM;
    if (file->epolls == NULL) {
        struct list *head = fs_alloc(sizeof *head);

        if (head == NULL) {
            slab_free(entry);
            return -ENOMEM;
        }
        list_init(head);
        if (file->epolls == NULL) /* still */
            file->epolls = head;
        else
            slab_free(head);
    }
    entry->epoll = epoll;
    entry->file = file;
    entry->fd = fd;
    entry->events = events;
    entry->data = data;
    list_push_back(&epoll->entries, &entry->in_set);
    list_push_back(file->epolls, &entry->in_file);
    return 0;
}

int epoll_control(struct file *file, int operation, int fd, struct file *watched, uint32_t events,
                  uint64_t data)
{
    struct epoll *epoll = file->data;
    struct epoll_entry *entry;
    int error = 0;

    if (file->ops != &epoll_file_ops || watched == file)
        return -EINVAL;
    if (watched->ops->poll == NULL)
        return -EPERM; /* a regular file or a directory */
    if (watched->ops == &epoll_file_ops)
        return -EINVAL; /* sets of sets */
    entry = entry_find(epoll, fd, watched);
    switch (operation) {
    case EPOLL_CTL_ADD:
        error = entry != NULL ? -EEXIST : entry_add(epoll, fd, watched, events, data);
        break;
    case EPOLL_CTL_MOD:
        if (entry == NULL)
            return -ENOENT;
        entry->events = events;
        entry->data = data;
        entry->seen = 0;
        break;
    case EPOLL_CTL_DEL:
        if (entry == NULL)
            return -ENOENT;
        entry_free(entry);
        break;
    default:
        return -EINVAL;
    }
    waitq_wake(&epoll->queue);
    return error;
}

/* One look over the set: fills `out`; waits are registered when `waits` is not NULL. */
static unsigned epoll_collect(struct epoll *epoll, struct epoll_event *out, unsigned room,
                              struct poll_waits *waits)
{
    unsigned count = 0;

    list_for_each(node, &epoll->entries)
    {
        struct epoll_entry *entry = container_of(node, struct epoll_entry, in_set);
        uint32_t events = entry_events(entry, waits != NULL ? poll_waits_next(waits, entry->file) : NULL);

        if (events == 0 || count == room)
            continue;
        out[count].events = events;
        out[count].data = entry->data;
        count++;
        entry->seen |= events;
        if ((entry->events & EPOLLONESHOT) != 0)
            entry->events &= EPOLLET | EPOLLONESHOT;
    }
    return count;
}

/* The entries that were edge-triggered and have been woken count as new again. */
static void epoll_rearm(struct epoll *epoll)
{
    list_for_each(node, &epoll->entries) container_of(node, struct epoll_entry, in_set)->seen = 0;
}

static unsigned epoll_size(const struct epoll *epoll)
{
    unsigned count = 0;

    list_for_each(node, &epoll->entries) count++;
    return count;
}

int epoll_wait_events(struct file *file, struct epoll_event *out, unsigned room, uint64_t deadline_ns)
{
    struct epoll *epoll = file->data;

    for (;;) {
        struct poll_waits waits;
        unsigned count;
        int error = 0;

        if (!poll_waits_begin(&waits, epoll_size(epoll) + 1))
            return -ENOMEM;
        waitq_add(&epoll->queue, poll_waits_next(&waits, file));
        count = epoll_collect(epoll, out, room, &waits);
        if (count == 0 && deadline_ns != 0)
            error = waitq_sleep_added(deadline_ns, true);
        poll_waits_end(&waits);
        if (count != 0)
            return (int)count;
        if (deadline_ns == 0 || error == -ETIMEDOUT)
            return 0;
        if (error != 0)
            return error;
        epoll_rearm(epoll);
    }
}
