/*
 * Waiting for several files at once: what poll, select and epoll share (poll.c).
 */
#ifndef KERNEL_FS_POLL_H
#define KERNEL_FS_POLL_H

#include "kernel/fs/vfs.h"

struct epoll_event;

/* The events that hold now on any kind of file: those without a poll operation are always ready. */
unsigned file_poll(struct file *file, struct waitq_entry *entry);

/* One wait's queue entries, each with a reference to its file so that the queue stays. poll_waits_begin()
 * also forgets earlier wake-ups, so a wake-up between looking and sleeping is not lost. */
enum { POLL_WAITS_INLINE = 8 };
struct poll_wait {
    struct waitq_entry entry;
    struct file *file;
};
struct poll_waits {
    unsigned count, used;
    struct poll_wait *waits;
    struct poll_wait inline_waits[POLL_WAITS_INLINE];
};
bool poll_waits_begin(struct poll_waits *waits, unsigned count);
struct waitq_entry *poll_waits_next(struct poll_waits *waits, struct file *file);
void poll_waits_end(struct poll_waits *waits);

/* `deadline_ns`: host_now_ns() time; 0: do not wait; UINT64_MAX: for ever. A count, -EINTR, -ENOMEM. */
int epoll_wait_events(struct file *file, struct epoll_event *out, unsigned room, uint64_t deadline_ns);

#endif
