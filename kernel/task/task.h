/*
 * Tasks (threads), processes (thread groups), waiting and running.
 *
 * Everything here runs under the kernel lock: on the one CPU that is booted it is held by being in the
 * kernel, because the kernel is not interrupted and gives the CPU up only in sched_*(), waitq_*() and
 * mutex_lock() (docs/LOCKING.md). src/vm and src/frame do not rely on it: they have locks of their own.
 */
#ifndef KERNEL_TASK_H
#define KERNEL_TASK_H

#include <asm/siginfo.h>
#include <asm/signal.h>

#include "base/list.h"
#include "kernel/x86/x86.h"
#include "quire/space.h"

enum { SIGNAL_COUNT = 65 }; /* signals are 1..64; bit n-1 of a set */

struct file;
struct vnode;
struct tty;

/* ---------------------------------------------------------------- waiting */

struct waitq {
    struct list waiters;
};
#define WAITQ_INIT(name)                                                                                     \
    {                                                                                                        \
        LIST_INIT((name).waiters)                                                                            \
    }
void waitq_init(struct waitq *queue);
/* Sleep until waitq_wake(), the deadline (host_now_ns() time; UINT64_MAX: none), or, when interruptible, a
 * signal. 0, -ETIMEDOUT or -EINTR. Spurious returns of 0 are allowed: test the condition in a loop. */
int waitq_sleep(struct waitq *queue, uint64_t deadline_ns, bool interruptible);
/* Wait for several queues at once (poll): add entries, sleep, remove them. */
struct waitq_entry {
    struct list node; /* on queue->waiters */
    struct task *task;
};
void waitq_add(struct waitq *queue, struct waitq_entry *entry); /* entry->task = current */
void waitq_remove(struct waitq_entry *entry);
int waitq_sleep_added(uint64_t deadline_ns, bool interruptible); /* sleeps until any added queue wakes */
void waitq_wake(struct waitq *queue);                            /* everyone */
void waitq_wake_one(struct waitq *queue);

/* A lock that may be held while sleeping. Not recursive. */
struct mutex {
    struct task *owner;
    struct waitq queue;
};
void mutex_init(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

/* ---------------------------------------------------------------- tasks and processes */

enum task_state { TASK_RUNNING, TASK_SLEEPING, TASK_STOPPED, TASK_DEAD };

/* Bits of cpu->work; set for the current task, and by the scheduler when it switches to one with signals. */
enum { WORK_RESCHED = 1, WORK_SIGNAL = 2 };

struct task {
    uint64_t rsp;             /* while not running */
    uint64_t kernel_stack;    /* top */
    struct process *process;  /* NULL: kernel thread */
    struct trap_frame *frame; /* of its last entry from user mode: at the top of its kernel stack */
    int tid;
    enum task_state state;
    bool interruptible; /* sleeping in a way that a signal may end */
    bool woken;
    struct list run;    /* run queue */
    struct list thread; /* process->threads */
    uint64_t wake_ns;   /* deadline while sleeping */
    struct list timed;  /* on the sleepers' list while it has a deadline */
    uint64_t fs_base;
    void *fpu;
    sigset_t blocked; /* of the kernel's <asm/signal.h>: one 64-bit word */
    sigset_t pending;
    sigset_t saved_blocked; /* sigsuspend, ppoll */
    bool restore_blocked;
    siginfo_t *siginfo[SIGNAL_COUNT]; /* why each pending one was sent; may be NULL */
    uint64_t sigalt_start, sigalt_bytes;
    int sigalt_flags;
    uint64_t clear_child_tid; /* CLONE_CHILD_CLEARTID */
    uint64_t robust_list;
    struct waitq *vfork_done;
    uint64_t user_ns, system_ns, since_ns;
    char name[16];
};

struct files; /* descriptor table, kernel/fs/files.c */

struct process {
    int pid, pgid, sid;
    struct process *parent;
    struct list children, sibling, all;
    struct list threads;
    unsigned thread_count;
    struct space *space;
    struct files *files;
    struct vnode *cwd, *root, *exe;
    char *cwd_path; /* absolute, for getcwd */
    unsigned umask;
    struct tty *tty; /* controlling terminal */
    struct sigaction actions[SIGNAL_COUNT];
    sigset_t pending; /* sent to the process */
    siginfo_t *siginfo[SIGNAL_COUNT];
    struct waitq child_wait; /* wait4 in this process */
    int exit_code;           /* as wait status */
    bool exiting, zombie, stopped, continued, stop_reported, execed;
    bool aslr;
    uint64_t limits[16][2]; /* RLIM_NLIMITS pairs: soft, hard */
    uint64_t alarm_ns, alarm_interval_ns;
    uint64_t faults_minor, faults_major, children_user_ns, children_system_ns, user_ns, system_ns;
    char *args; /* /proc/PID/cmdline: NUL-separated */
    size_t args_bytes;
    uint64_t start_ns;
};

static inline struct process *process_current(void)
{
    return task_current()->process;
}

void sched_init(void);
/* Give the CPU to the next runnable task. */
void sched_yield(void);
void sched_wake(struct task *task);
/* Ends the current task; never returns. */
_Noreturn void sched_exit(void);
/* The idle loop: zeroes frames ahead, then halts with interrupts on. */
_Noreturn void sched_idle(void);
void timer_tick(void); /* from the timer interrupt */
/* Before a return to user mode while cpu->work is not 0 (called by entry.S): reschedule, deliver signals. */
void work_pending(struct trap_frame *frame);

/* A kernel thread; NULL without memory. */
struct task *kthread_create(const char *name, void (*function)(void *), void *context);

/* Start the first process: program and its arguments are taken from the initramfs's /init-args (see main.c).
 */
struct process *process_find(int pid);
void process_for_each(void (*visit)(struct process *process, void *context), void *context);
_Noreturn void process_exit(int wait_status); /* the whole thread group */
/* Ends the process that holds most memory, with a message; false when there is none that may be ended. */
bool process_kill_largest(void);

/* ---------------------------------------------------------------- signals */

/* 0 or -ESRCH/-EINVAL. `info` may be NULL. */
int signal_send_process(struct process *process, int signo, const siginfo_t *info);
int signal_send_task(struct task *task, int signo, const siginfo_t *info);
int signal_send_group(int pgid, int signo);
/* A synchronous fault of the current task: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP. Cannot be blocked or
 * ignored. */
void signal_fault(int signo, int code, uint64_t address, const struct trap_frame *frame);
bool signal_pending(void); /* one that is not blocked, for the current task: an interruptible sleep ends */

#endif
