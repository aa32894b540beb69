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
#include <linux/capability.h>

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
/* A system call that was interrupted gives -EINTR and nothing else: which calls begin again after a signal
 * (SA_RESTART, or no handler at all) is decided by their number in one place, kernel/linux/restart.c. */
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

/* ---------------------------------------------------------------- timers */

/* Calls fire(timer) once when host_now_ns() has reached when_ns; from timer_tick(), so it must not sleep. */
struct timer {
    uint64_t when_ns;
    struct list node; /* on the list of all that are set, soonest first */
    void (*fire)(struct timer *timer);
};
void timer_init(struct timer *timer, void (*fire)(struct timer *timer));
void timer_set(struct timer *timer, uint64_t when_ns); /* also when it is set already */
void timer_cancel(struct timer *timer);
static inline bool timer_is_set(const struct timer *timer)
{
    return !list_empty(&timer->node);
}

/* ---------------------------------------------------------------- tasks and processes */

enum task_state { TASK_RUNNING, TASK_SLEEPING, TASK_STOPPED, TASK_DEAD };

/* Bits of cpu->work and task->work; the scheduler copies the task's to the CPU when it switches to it. */
enum { WORK_RESCHED = 1, WORK_SIGNAL = 2, WORK_HOLD = 4 };

/* A signal that was sent: on the queue of a task or of a process. */
struct signal_entry {
    struct list node;
    siginfo_t info;
};
struct signal_queue {
    sigset_t set;        /* bit n-1: signal n is pending */
    struct list entries; /* why, oldest first; a signal in `set` without an entry has no more to tell */
};

/* A thread. It lies at the top of its own kernel stack, above the floating-point state, so that making one
 * is one allocation. */
struct task {
    uint64_t rsp;             /* while not running */
    uint64_t kernel_stack;    /* top: below it the trap frame */
    struct process *process;  /* NULL: kernel thread */
    struct trap_frame *frame; /* of its last entry from user mode: at the top of its kernel stack */
    void *fpu;
    int tid;
    enum task_state state;
    unsigned work; /* WORK_* */
    uint8_t sleep; /* how it sleeps: enum sleep_kind of task_internal.h */
    bool woken;
    uint16_t stalls;      /* it waits for memory: pressure_begin() without pressure_end() */
    bool killed;          /* the process ends: leave at the next return to user mode */
    struct list run;      /* run queue */
    struct list thread;   /* process->threads */
    struct list hashed;   /* by tid */
    struct timer timeout; /* while sleeping with a deadline */
    uint64_t fs_base, gs_base;
    sigset_t blocked;
    sigset_t saved_blocked; /* sigsuspend, ppoll: to be put back after the handler has been set up */
    bool restore_blocked;
    sigset_t awaited; /* sigtimedwait: these end the sleep although they are blocked */
    struct signal_queue pending;
    int forced_signo; /* what the instruction that ran has caused, and why: comes before all others; 0:
                         nothing */
    siginfo_t forced;
    uint64_t fault_address, fault_error, fault_vector; /* of the last signal_fault(): for the signal frame */
    uint64_t sigalt_start, sigalt_bytes;
    int sigalt_flags;
    uint64_t restart_ns;      /* nanosleep begun again: the deadline; 0: none */
    uint64_t clear_child_tid; /* CLONE_CHILD_CLEARTID */
    uint64_t set_child_tid;   /* CLONE_CHILD_SETTID: written by the thread itself when it starts */
    uint64_t robust_list;
    struct waitq *vfork_done;
    uint64_t user_ns, system_ns, since_ns; /* until then */
    int system_part;                       /* of 256, of what runs between two samples (account.c) */
    bool sampled;
    uint64_t switches;
    uint64_t kstack;          /* as kstack_alloc() gave it */
    void (*function)(void *); /* kernel thread */
    void *context;
    char name[16];
};

struct files; /* descriptor table, kernel/fs/files.c */

/* What a process does on each signal. Shared by fork until one side changes it. */
struct signal_actions {
    uint32_t refs;
    sigset_t ignored; /* by SIG_IGN, or by SIG_DFL where that ignores */
    sigset_t caught;  /* has a handler */
    struct sigaction action[SIGNAL_COUNT];
};

/* Sets of Linux's capabilities; bit n is CAP_ number n. */
struct capabilities {
    uint64_t effective, permitted, inheritable;
};
#define CAPABILITIES_ALL (((uint64_t)1 << (CAP_LAST_CAP + 1)) - 1)

enum { CREDENTIAL_REAL, CREDENTIAL_EFFECTIVE, CREDENTIAL_SAVED, CREDENTIALS };

struct posix_timer;
struct group;
struct process {
    int pid, pgid, sid;
    struct process *parent;
    struct list children, sibling, all;
    struct list hashed; /* by pid */
    struct list threads;
    unsigned thread_count;
    struct task *leader; /* NULL: has ended before its other threads */
    struct space *space; /* NULL: zombie */
    struct files *files;
    struct vnode *cwd, *root, *exe;
    char *cwd_path; /* absolute, for getcwd */
    char *exe_path; /* absolute, for /proc/PID/exe; may be NULL */
    unsigned umask;
    uint32_t uid[CREDENTIALS], gid[CREDENTIALS];
    struct capabilities capabilities;
    struct tty *tty; /* controlling terminal */
    struct signal_actions *actions;
    struct signal_queue pending; /* sent to the process */
    struct waitq child_wait;     /* wait4 in this process */
    struct waitq thread_wait;    /* exec waits here until it is alone */
    int exit_code;               /* as wait status */
    int exit_signal;             /* to the parent at the end; 0: none */
    int stop_signal;             /* why it stopped */
    int parent_death_signal;     /* PR_SET_PDEATHSIG */
    bool no_new_privileges;
    bool keeps_capabilities; /* PR_SET_KEEPCAPS */
    bool exiting, zombie, stopped, continued, stop_reported, execed, dumpable, keeps_space, counts_cpu;
    bool aslr;
    uint32_t personality;
    int nice;
    uint64_t limits[16][2]; /* RLIM_NLIMITS pairs: soft, hard */
    struct timer alarm;     /* ITIMER_REAL */
    uint64_t alarm_interval_ns;
    uint64_t cpu_timer_left_ns[2], cpu_timer_interval_ns[2]; /* ITIMER_VIRTUAL, ITIMER_PROF */
    struct posix_timer *timers;
    struct list fork_ranges;             /* kernel/linux/fork_advice.c */
    struct list attachments;             /* of System V shared memory: kernel/linux/segment.c */
    uint64_t faults_minor, faults_major; /* of what is here and of threads that ended */
    uint64_t user_ns, system_ns, switches;
    uint64_t children_user_ns, children_system_ns, children_faults_minor, children_faults_major;
    /* Pages in memory (kernel/task/resident.c): the most so far; how many there were when `faults` was what
     * resident_mark says. */
    uint64_t resident_peak, resident_base, resident_mark;
    uint64_t children_resident_peak;  /* of one child that was waited for, or of a child of its */
    int oom_adjust, oom_adjust_least; /* /proc/PID/oom_score_adj */
    struct group *group;              /* that is charged for its memory (group.h); NULL: none */
    uint64_t group_faults_minor, group_faults_major; /* of faults_*, those before it came to the group */
    /* Where its first stack has the arguments (/proc/PID/cmdline), and behind them the environment. */
    uint64_t args_start, args_end, environment_end;
    uint64_t start_ns;
};

static inline struct process *process_current(void)
{
    return task_current()->process;
}

static inline bool process_may(const struct process *process, unsigned capability)
{
    return process->capabilities.effective >> capability & 1;
}
/* pidfd.c: a file that stands for the process. 0 or -ENOMEM. */
int pidfd_create(const struct process *process, unsigned flags, struct file **out);
/* The living process of such a file; -EBADF: it is no such file, -ESRCH: the process has ended. */
int pidfd_process(const struct file *file, struct process **out);
/* resident.c: the most pages that it had in memory so far. A walk. */
uint64_t resident_peak(struct process *process);
/* Before so many bytes of its memory go: they may be the peak. */
void resident_shrinks(struct process *process, uint64_t bytes);
/* Before it leaves its memory, and when it has got other memory. */
void resident_leaves(struct process *process);
void resident_begins(struct process *process);
/* fork. */
void resident_inherit(struct process *child, const struct process *parent);

enum { OOM_ADJUST_LEAST = -1000, OOM_ADJUST_MOST = 1000 }; /* the least: never ended for want of memory */
/* oom.c: how much would be won by ending it, of `total` pages. */
int64_t oom_points(const struct process *process, uint64_t total);
/* process.c: may it look into the other's memory, as ptrace(2) would allow it? */
bool process_may_reach(const struct process *process, const struct process *other);
/* limits.c: tell the space the limits on memory. */
void limits_apply(const struct process *process, struct space *space);

/* Makes the running boot code the idle task. Before anything sleeps or is woken. */
void sched_init(void);
/* Give the CPU to the next runnable task. */
void sched_yield(void);
/* WORK_* before the task returns to user mode. */
void task_add_work(struct task *task, unsigned work);
void sched_wake(struct task *task);
/* Of what the running program's CPU did since it got it, so much was not for the program: host_worked_ns()
 * goes back by it. In an interrupt, of what that took. */
void sched_not_worked(uint64_t ns);
/* Tasks that want the CPU, without the running one. */
unsigned sched_runnable(void);
/* Ends the current task; never returns. */
_Noreturn void sched_exit(void);
/* The idle loop: zeroes frames ahead, then halts with interrupts on. */
_Noreturn void sched_idle(void);
void timer_tick(void); /* from the timer interrupt */
/* First thing that a new task does (called by task_enter_user and kthread_enter): ends the switch. */
void task_started(void);
/* Called by kthread_enter after task_started(): runs the thread's function and ends it. */
_Noreturn void kthread_main(void);
/* Before a return to user mode while cpu->work is not 0 (called by entry.S): reschedule, deliver signals. */
void work_pending(struct trap_frame *frame);

/* A kernel thread; NULL without memory. */
struct task *kthread_create(const char *name, void (*function)(void *), void *context);

/*
 * Start the first process: what the initramfs's /.quire/init says ("argc\0envc\0", then the arguments, then
 * the environment, each ended by NUL). The kernel ends with it: hostlink_exit() gets its exit status, 128 + n
 * when signal n ended it, 126 or 127 when it cannot be run. 0, or -errno when there is no memory for a
 * process.
 */
struct boot_info;
int process_start_first(const struct boot_info *info);

struct process *process_find(int pid);
struct task *task_find(int tid);
void process_for_each(void (*visit)(struct process *process, void *context), void *context);
/* Calls visit for the members of a group; returns how many there are. */
unsigned process_group_for_each(int pgid, void (*visit)(struct process *process, void *context),
                                void *context);
unsigned process_count(void);
/* Of all threads so far, with what runs now. */
void process_times(const struct process *process, uint64_t *user_ns, uint64_t *system_ns);
/* R, S, D, T or Z, as /proc shows it. */
char process_state(const struct process *process);
_Noreturn void process_exit(int wait_status); /* the whole thread group */

/* ---------------------------------------------------------------- signals */

static inline sigset_t signal_bit(int signo)
{
    return (sigset_t)1 << (signo - 1);
}
/* 0 or -ESRCH/-EINVAL. `info` may be NULL: from the kernel. */
int signal_send_process(struct process *process, int signo, const siginfo_t *info);
int signal_send_task(struct task *task, int signo, const siginfo_t *info);
int signal_send_group(int pgid, int signo, const siginfo_t *info);
/* A synchronous fault of the current task: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP. Cannot be blocked or
 * ignored. */
void signal_fault(int signo, int code, uint64_t address, const struct trap_frame *frame);
bool signal_pending(void); /* one that is not blocked, for the current task: an interruptible sleep ends */
/* Is this signal ignored or blocked by the current task? (A background read of the terminal asks.) */
bool signal_is_blocked_or_ignored(int signo);
/* Replace the mask of blocked signals until a handler has been set up or the call returns (ppoll, pselect,
 * sigsuspend). After the sleep: signal_mask_restore() unless -EINTR is returned. */
void signal_mask_for_wait(sigset_t blocked);
void signal_mask_restore(void);

#endif
