/*
 * What the files of kernel/task share with one another (and with kernel/linux where it says so).
 */
#ifndef KERNEL_TASK_INTERNAL_H
#define KERNEL_TASK_INTERNAL_H

#include "kernel/task/task.h"

/* ---- sched.c */

enum sleep_kind {
    SLEEP_UNTIL_WOKEN,
    SLEEP_KILLABLE, /* also ends when the process is killed */
    SLEEP_INTERRUPTIBLE
};

/* The heart of every wait: 0 when woken, -ETIMEDOUT, -EINTR. Returns at once when woken since woken was
 * reset. */
int sched_sleep(uint64_t deadline_ns, enum sleep_kind kind);
/* End the sleep of a task without telling it that what it waits for has come (signals, timeouts). */
void sched_interrupt(struct task *task);
/* Give the CPU away until somebody makes the task runnable; its state is set before. */
void sched_block(void);
/* Set bits of task->work, and of cpu->work when it is the current one. */
void task_clear_work(unsigned work); /* of the current task */

/* A task with its stack and floating-point area, of no process and with no number; NULL without memory. */
struct task *task_alloc(const char *name);
void task_free(struct task *task); /* never ran */
/* Its first run begins at `enter` (task_enter_user or kthread_enter). Makes it runnable. */
void task_begin(struct task *task, char *enter);

/* ---- account.c */
/* The current task's times are brought up to date; of others they are. */
void account_task(struct task *task);
/* `next` takes the CPU. */
void account_switch(struct task *previous, struct task *next, uint64_t now_ns);
/* From timer_tick(): when it is to come again; UINT64_MAX: nobody runs. */
uint64_t account_tick(uint64_t now_ns);

/* ---- timer.c */
void timers_init(void);
/* There must be a tick at this time. */
void timer_need_tick(uint64_t when_ns);
/* Somebody waits for the CPU: there must be a tick within a quantum. */
void timer_need_quantum(void);

/* ---- process.c: numbers and relations */
int number_take(void); /* a free pid or tid */
void task_hash(struct task *task);
void task_unhash(struct task *task);
void process_add(struct process *process);
void process_remove(struct process *process);
extern struct list processes; /* by process->all */
extern struct process *first_process;

/* ---- pidfd.c */
extern struct waitq process_ends; /* woken when a process becomes a zombie, and when that is gone */

/* ---- exit.c */
_Noreturn void thread_exit(void);
/* What is due before a thread stops using its space: robust futexes, CLONE_CHILD_CLEARTID. */
void thread_leaves_space(struct task *task);
/* All threads but the current one are to leave. */
void process_kill_other_threads(struct process *process);
/* The parent (or its debugger) learns of a change: SIGCHLD with this code, and wait4. */
void process_notify_parent(struct process *process, int code);
void process_reap(struct process *process);
void process_announce_end(struct process *process);
/* Timers, files and memory go. May sleep. */
void process_release(struct process *process);
bool process_group_is_orphaned(int pgid, const struct process *without);
void vfork_end(struct task *task);

struct wait_request {
    int kind; /* P_ALL, P_PID, P_PGID */
    int id;
    unsigned options;
};
struct wait_result {
    int pid;
    uint32_t uid;
    int status; /* as wait4 stores it */
    int code;   /* CLD_* */
    uint64_t user_ns, system_ns, faults_minor, faults_major, resident_peak;
};
/* The pid, 0 (WNOHANG), or -errno. */
long process_wait(const struct wait_request *request, struct wait_result *result);

/* ---- fork.c */
struct clone_request {
    uint64_t flags;
    uint64_t stack; /* top; 0: the parent's */
    uint64_t parent_tid, child_tid, tls;
    int exit_signal;
};
/* A process with nothing in it, on no list; NULL without memory. */
struct process *process_alloc(void);
/* The task becomes a thread of the process, with this number. */
void task_attach(struct task *task, struct process *process, int tid);
/* The new thread's number, or -errno. */
long process_clone(const struct clone_request *request);

/* ---- exec.c */
struct exec_request {
    struct vnode *base; /* NULL: the current directory */
    const char *base_path;
    const char *path;
    struct vnode *node;  /* instead of a path: what a descriptor refers to; no reference is taken over */
    uint64_t argv, envp; /* user addresses; 0: `strings` */
    const char *strings; /* argc arguments, then envc variables, each ended by NUL */
    size_t strings_bytes;
    unsigned argc, envc;
    bool no_follow;
};
/* Returns 0 with the trap frame set for the new program, or -errno with nothing changed. Ends the process
 * when it fails after the point of no return. */
long process_exec(const struct exec_request *request);

/* ---- first.c: the first process has ended, and with it the kernel */
_Noreturn void first_process_end(void);

/* ---- signal.c */
/* Drop everything that is queued. */
void signal_queue_init(struct signal_queue *queue);
void signal_queue_clear(struct signal_queue *queue);
/* New actions with one reference, everything default; NULL without memory. */
struct signal_actions *signal_actions_create(void);
void signal_actions_unref(struct signal_actions *actions);
/* The current process's own copy, to be changed; NULL without memory. */
struct signal_actions *signal_actions_own(struct process *process);
/* exec: handlers become the default, what is ignored stays so. Cannot fail when `spare` is not NULL or
 * nothing has a handler. Frees what is not needed. */
void signal_actions_exec(struct process *process, struct signal_actions *spare);
void signal_action_set(struct signal_actions *actions, int signo, const struct sigaction *action);
/* Look again whether something can be delivered to the task (its mask, or the queues, have changed). */
void signal_recalculate(struct task *task);
void signal_set_blocked(sigset_t blocked); /* of the current task */
/* Take the first pending signal of the current task that is in `wanted`; 0: none. */
int signal_take(sigset_t wanted, siginfo_t *info);
void signal_discard(struct process *process, sigset_t which);
/* A signal's frame cannot be written to the current task's stack, or read from it: SIGSEGV, if it was not
 * that the stack's page could not be read, which is SIGBUS already. */
void signal_bad_stack(const struct trap_frame *frame);
/* Delivery before a return to user mode. */
void signal_deliver(struct trap_frame *frame);
void siginfo_user(siginfo_t *info, int signo, int code);

/* ---- signal_frame.c: Linux's frame on the user's stack */
/* false: the stack cannot take it. */
bool signal_frame_push(struct trap_frame *frame, int signo, const siginfo_t *info,
                       const struct sigaction *action, sigset_t mask);
/* false: there is no valid frame. */
bool signal_frame_pop(struct trap_frame *frame);

/* ---- futex.c */
/* The word at a user address has changed: wake up to `count`. As FUTEX_WAKE on a shared word. */
void futex_wake_address(uint64_t address, unsigned count);
void futex_robust_exit(struct task *task);

/* ---- itimer.c */
void process_timers_init(struct process *process);
void process_timers_end(struct process *process);
void process_timers_exec(struct process *process); /* those of timer_create() go */
/* Charges run time to ITIMER_VIRTUAL and ITIMER_PROF. True while one of them runs. */
bool process_cpu_timers(struct process *process, uint64_t ran_ns);

#endif
