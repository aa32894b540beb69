/*
 * Timers of processes that end in signals: alarm and setitimer, timer_create.
 */
#ifndef KERNEL_ITIMER_H
#define KERNEL_ITIMER_H

#include "kernel/task/task.h"

struct interval {
    uint64_t value_ns;    /* until the next time; 0: off */
    uint64_t interval_ns; /* from then on; 0: once */
};

/* `which`: ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF. */
void itimer_get(const struct process *process, int which, struct interval *out);
void itimer_set(struct process *process, int which, const struct interval *in);

struct posix_timer_event {
    int signo; /* 0: none is sent */
    int tid;   /* to this thread; 0: to the process */
    uint64_t value;
    bool value_is_id; /* the default event carries the timer's number */
};
/* Its number, or -EAGAIN. */
int posix_timer_create(struct process *process, int clock, const struct posix_timer_event *event);
struct posix_timer *posix_timer_find(const struct process *process, int id);
int posix_timer_clock(const struct posix_timer *timer);
void posix_timer_get(const struct posix_timer *timer, struct interval *out);
/* `first_ns`: host_now_ns() time of the first expiry; 0: off. */
void posix_timer_set(struct posix_timer *timer, uint64_t first_ns, uint64_t interval_ns);
int posix_timer_overrun(const struct posix_timer *timer);
void posix_timer_delete(struct process *process, struct posix_timer *timer);

#endif
